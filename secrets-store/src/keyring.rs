//! What this process can decrypt and whom it trusts: our identities, the store's
//! key that they open, and the recipients and entries that this key vouches for.
//! It reads through `rows`, and writes a store's key and nothing else.

use time::OffsetDateTime;
use uuid::Uuid;

use crate::SecretString;
use crate::database::{self, Transaction};
use crate::entry::{Entry, Version};
use crate::error::Error;
use crate::identity::Identities;
use crate::name::SecretName;
use crate::recipient::Recipient;
use crate::rows::{self, SealedRow, StoreRow, TaggedEntry};
use crate::seal::{self, Label, StoreKey, Unopened};
use crate::url::StoreUrl;

/// The keys of an open store.
pub(crate) struct Keyring {
    pub(crate) url: StoreUrl,
    pub(crate) identities: Identities,
    /// The store's own id, which its key vouches for.
    id: String,
    /// The ciphertext that `key` came from. Another one in the store means that
    /// somebody changed the recipients, and the key with them.
    sealed: Vec<u8>,
    key: StoreKey,
}

impl Keyring {
    /// Opens the store's key.
    pub(crate) async fn unlock(
        tx: &mut Transaction<'_>,
        url: &StoreUrl,
        identities: &Identities,
    ) -> Result<Self, Error> {
        let read = |error| database::explain(url, "read the key", error);
        let row = rows::store(tx.on()).await.map_err(read)?;
        let listed = listed(tx, url).await?;
        let ours = identities.recipients();
        let key = match seal::open_key(identities, &row.store_key) {
            Ok(key) => key,
            Err(Unopened::NotForUs)
                if !ours.iter().any(|r| listed.iter().any(|l| l == r.as_str())) =>
            {
                return Err(Error::WrongIdentity {
                    store: url.to_string(),
                    identity: identities.source().to_owned(),
                    ours: join(ours.iter().map(Recipient::as_str)),
                    recipients: join(listed.iter().map(String::as_str)),
                });
            }
            Err(problem) => return Err(tampered(url, format!("its key: {problem}"))),
        };
        let keyring = Self {
            url: url.clone(),
            identities: identities.clone(),
            id: row.id.clone(),
            sealed: row.store_key.clone(),
            key,
        };
        keyring.vouch(&row, &listed)?;
        Ok(keyring)
    }

    /// Follows the store's key, if somebody changed it. Call it at the start of
    /// each transaction.
    pub(crate) async fn follow(&mut self, tx: &mut Transaction<'_>) -> Result<StoreRow, Error> {
        let read = |error| database::explain(&self.url, "read the key", error);
        let row = rows::store(tx.on()).await.map_err(read)?;
        if self.id != row.id {
            return Err(tampered(
                &self.url,
                "another store stands in its place".into(),
            ));
        }
        if self.sealed != row.store_key {
            self.key = seal::open_key(&self.identities, &row.store_key)
                .map_err(|problem| tampered(&self.url, format!("its key: {problem}")))?;
            self.sealed.clone_from(&row.store_key);
        }
        Ok(row)
    }

    /// The recipients that a value is to be encrypted to. The transaction keeps
    /// them from changing before the value is in.
    pub(crate) async fn recipients(
        &mut self,
        tx: &mut Transaction<'_>,
    ) -> Result<Vec<Recipient>, Error> {
        let row = self.follow(tx).await?;
        let listed = listed(tx, &self.url).await?;
        self.vouch(&row, &listed)
    }

    /// Makes another key, and encrypts it to those. Returns the row to write.
    pub(crate) fn change_key(&mut self, recipients: &[Recipient]) -> Result<StoreRow, Error> {
        let (key, row) = new_key(&self.url, self.id.clone(), recipients)?;
        self.sealed.clone_from(&row.store_key);
        self.key = key;
        Ok(row)
    }

    /// Encrypts a value.
    pub(crate) fn seal(
        &self,
        recipients: &[Recipient],
        name: &SecretName,
        version: &Version,
        value: &SecretString,
    ) -> Result<Vec<u8>, Error> {
        let label = label(name, version);
        seal::seal(recipients, &self.key, label, value).map_err(|reason| Error::Encrypt {
            store: self.url.to_string(),
            reason,
        })
    }

    /// Decrypts the value that was found under a name and version.
    pub(crate) fn open(
        &self,
        name: &SecretName,
        version: &Version,
        row: &SealedRow,
    ) -> Result<SecretString, Error> {
        let label = label(name, version);
        seal::open(&self.identities, &self.key, label, &row.ciphertext).map_err(|problem| {
            Error::Tampered {
                store: self.url.to_string(),
                name: name.clone(),
                generation: version.generation,
                reason: problem.to_string(),
            }
        })
    }

    /// The entry, if the store's key vouches for it.
    pub(crate) fn checked(&self, found: TaggedEntry) -> Result<Entry, Error> {
        if self.key.made_entry_tag(&found.tag, &self.id, &found.entry) {
            Ok(found.entry)
        } else {
            Err(Error::Altered {
                store: self.url.to_string(),
                name: found.entry.name,
            })
        }
    }

    /// The tag that vouches for an entry.
    pub(crate) fn tag(&self, entry: &Entry) -> Vec<u8> {
        self.key.tag_entry(&self.id, entry)
    }

    /// The listed recipients, if the store's key vouches for the list.
    fn vouch(&self, row: &StoreRow, listed: &[String]) -> Result<Vec<Recipient>, Error> {
        let odd = || {
            tampered(
                &self.url,
                "its list of recipients was changed by somebody who cannot open it".into(),
            )
        };
        let recipients = listed
            .iter()
            .map(|text| text.parse())
            .collect::<Result<Vec<Recipient>, _>>()
            .map_err(|_| odd())?;
        if self
            .key
            .made_recipients_tag(&row.recipients_tag, &row.id, &recipients)
        {
            Ok(recipients)
        } else {
            Err(odd())
        }
    }
}

/// Makes a key for a new store and writes it, with our own public keys as the
/// recipients.
pub(crate) async fn initialise(
    tx: &mut Transaction<'_>,
    url: &StoreUrl,
    identities: &Identities,
    now: OffsetDateTime,
) -> Result<(), Error> {
    let fail = |error| database::explain(url, "write the key", error);
    let mut recipients = identities.recipients().to_vec();
    recipients.sort_by(|a, b| a.as_str().cmp(b.as_str()));
    let (_, row) = new_key(url, Uuid::new_v4().to_string(), &recipients)?;
    rows::insert_store(tx.on(), &row, now).await.map_err(fail)?;
    for recipient in &recipients {
        rows::insert_recipient(tx.on(), recipient.as_str(), now)
            .await
            .map_err(fail)?;
    }
    Ok(())
}

/// A new key for a store, given its recipients in the order of their text.
fn new_key(
    url: &StoreUrl,
    id: String,
    recipients: &[Recipient],
) -> Result<(StoreKey, StoreRow), Error> {
    let key = StoreKey::random();
    let row = StoreRow {
        store_key: seal::seal_key(recipients, &key).map_err(|reason| Error::Encrypt {
            store: url.to_string(),
            reason,
        })?,
        recipients_tag: key.tag_recipients(&id, recipients),
        id,
    };
    Ok((key, row))
}

async fn listed(tx: &mut Transaction<'_>, url: &StoreUrl) -> Result<Vec<String>, Error> {
    let listed = rows::recipients(tx.on())
        .await
        .map_err(|error| database::explain(url, "read the recipients", error))?;
    Ok(listed.into_iter().map(|(key, _)| key).collect())
}

fn label<'a>(name: &'a SecretName, version: &Version) -> Label<'a> {
    Label {
        name,
        generation: version.generation,
        id: version.id,
    }
}

fn tampered(url: &StoreUrl, reason: String) -> Error {
    Error::StoreTampered {
        store: url.to_string(),
        reason,
    }
}

fn join<'a>(texts: impl Iterator<Item = &'a str>) -> String {
    texts.collect::<Vec<_>>().join(", ")
}
