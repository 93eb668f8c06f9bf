//! Who can open the store. Adding and removing a recipient makes another key for
//! the store and encrypts every value anew, in one transaction.

use time::OffsetDateTime;

use super::{Store, now};
use crate::audit::{self, Action, Record};
use crate::database::{self, Transaction};
use crate::error::Error;
use crate::failpoint;
use crate::keyring::Keyring;
use crate::recipient::Recipient;
use crate::rows;

/// A recipient, as the store lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedRecipient {
    /// The public key.
    pub recipient: Recipient,
    /// Since when, to the second.
    pub added_at: OffsetDateTime,
    /// Whether the identities that opened the store belong to it.
    pub is_ours: bool,
}

impl Store {
    /// Whom values are encrypted to, in the order of their public keys.
    pub async fn recipients(&mut self) -> Result<Vec<ListedRecipient>, Error> {
        let url = self.keyring.url.clone();
        let fail = |error| database::explain(&url, "read the recipients", error);
        let mut tx = self.conn.reading().await.map_err(fail)?;
        let keyring = &mut self.keyring;
        let read = async {
            let recipients = keyring.recipients(&mut tx).await?;
            let dates = rows::recipients(tx.on()).await.map_err(fail)?;
            Ok((recipients, dates))
        };
        let read = read.await;
        let (recipients, dates) = tx.end(read, fail).await?;
        let ours = self.keyring.identities.recipients();
        Ok(recipients
            .into_iter()
            .zip(dates)
            .map(|(recipient, (_, added_at))| ListedRecipient {
                is_ours: ours.contains(&recipient),
                recipient,
                added_at,
            })
            .collect())
    }

    /// Lets somebody else open the store: encrypts every value anew. All or
    /// nothing, however it ends. Returns whether that was not the case before.
    pub async fn add_recipient(&mut self, recipient: &Recipient) -> Result<bool, Error> {
        let add = |recipients: &mut Vec<Recipient>| {
            if recipients.contains(recipient) {
                return Ok(false);
            }
            recipients.push(recipient.clone());
            recipients.sort_by(|a, b| a.as_str().cmp(b.as_str()));
            Ok(true)
        };
        self.change_recipients(recipient, Action::RecipientAdded, add)
            .await
    }

    /// Shuts somebody out: encrypts every value anew, without them. All or
    /// nothing, however it ends.
    ///
    /// Whoever was a recipient can still read older copies of the store, and may
    /// remember what is in it: rotate what they should not know.
    ///
    /// Fails with [`Error::NoSuchRecipient`], and with [`Error::RecipientNeeded`]
    /// if none of the identities that opened the store could open it afterwards.
    pub async fn remove_recipient(&mut self, recipient: &Recipient) -> Result<(), Error> {
        let store = self.keyring.url.to_string();
        let ours = self.keyring.identities.recipients().to_vec();
        let remove = |recipients: &mut Vec<Recipient>| {
            let before = recipients.len();
            recipients.retain(|listed| listed != recipient);
            if recipients.len() == before {
                return Err(Error::NoSuchRecipient {
                    store,
                    recipient: recipient.to_string(),
                });
            }
            if !recipients.iter().any(|left| ours.contains(left)) {
                return Err(Error::RecipientNeeded {
                    store,
                    recipient: recipient.to_string(),
                    reason: "it is the one that opened the store here; let another recipient \
                             remove it, or add another key of yours first and open the store \
                             with that",
                });
            }
            Ok(true)
        };
        self.change_recipients(recipient, Action::RecipientRemoved, remove)
            .await
            .map(drop)
    }

    async fn change_recipients(
        &mut self,
        recipient: &Recipient,
        action: Action,
        change: impl FnOnce(&mut Vec<Recipient>) -> Result<bool, Error>,
    ) -> Result<bool, Error> {
        self.refuse_read_only("change the recipients")?;
        let url = self.keyring.url.clone();
        let fail = |error| database::explain(&url, "change the recipients", error);
        // Held for all of it: nobody adds a value that would be left out.
        let mut tx = self.conn.writing().await.map_err(fail)?;
        let change = async {
            let mut recipients = self.keyring.recipients(&mut tx).await?;
            if !change(&mut recipients)? {
                return Ok(false);
            }
            reseal(&mut tx, &mut self.keyring, &recipients, fail).await?;
            let key = recipient.as_str();
            match action {
                Action::RecipientAdded => rows::insert_recipient(tx.on(), key, now()).await,
                _ => rows::delete_recipient(tx.on(), key).await,
            }
            .map_err(fail)?;
            let record = Record::now(action, self.owner.as_deref()).detail(key);
            audit::insert(tx.on(), &record).await.map_err(fail)?;
            failpoint::reach("store:recipients-listed");
            Ok(true)
        };
        let is_changed = change.await;
        let is_changed = tx.end(is_changed, fail).await?;
        failpoint::reach("store:recipients-changed");
        self.keyring.settle_change().await;
        Ok(is_changed)
    }
}

/// Encrypts everything to those, under another key of the store.
async fn reseal(
    tx: &mut Transaction<'_>,
    keyring: &mut Keyring,
    recipients: &[Recipient],
    fail: impl Fn(sqlx::Error) -> Error + Copy,
) -> Result<(), Error> {
    // Everything is opened with the old key first; one that does not open
    // stops it here.
    let mut values = Vec::new();
    let mut entries = Vec::new();
    for found in rows::entries(tx.on()).await.map_err(fail)? {
        let entry = keyring.checked(found)?;
        for version in &entry.generations {
            let row = rows::sealed(tx.on(), &entry.name, version.generation)
                .await
                .map_err(fail)?
                .ok_or_else(|| fail(sqlx::Error::RowNotFound))?;
            let value = keyring.open(&entry.name, version, &row)?;
            values.push((entry.name.clone(), version.clone(), value));
        }
        entries.push(entry);
    }
    failpoint::reach("store:recipients-opened");
    let (row, link) = keyring.change_key(recipients)?;
    for (name, version, value) in values {
        let ciphertext = keyring.seal(recipients, &name, &version, &value)?;
        rows::set_ciphertext(tx.on(), version.id, &ciphertext)
            .await
            .map_err(fail)?;
        failpoint::reach("store:recipients-sealed");
    }
    for entry in &entries {
        rows::update_secret(tx.on(), entry, &keyring.tag(entry))
            .await
            .map_err(fail)?;
    }
    failpoint::reach("store:recipients-tagged");
    rows::set_store_key(tx.on(), &row).await.map_err(fail)?;
    rows::insert_link(tx.on(), &link, now()).await.map_err(fail)
}
