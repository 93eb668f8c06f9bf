//! What this process can decrypt and whom it trusts: our identities, the store's
//! key that they open, and the recipients that this key vouches for. It reads
//! through `rows` and writes nothing.

use sqlx::SqliteConnection;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::error::Error;
use crate::identity::Identities;
use crate::name::SecretName;
use crate::recipient::Recipient;
use crate::rows::{self, SealedRow, StoreRow};
use crate::seal::{self, Label, StoreKey, Unopened};
use crate::sqlite::explain;
use crate::url::StoreUrl;
use crate::{Generation, SecretString};

/// The keys of an open store.
pub(crate) struct Keyring {
    pub(crate) url: StoreUrl,
    pub(crate) identities: Identities,
    /// The ciphertext that `key` came from. Another one in the store means that
    /// somebody changed the recipients, and the key with them.
    sealed: Vec<u8>,
    key: StoreKey,
}

impl Keyring {
    /// Opens the store's key. `conn` is in a transaction, so that key and
    /// recipients are of one moment.
    pub(crate) async fn unlock(
        conn: &mut SqliteConnection,
        url: &StoreUrl,
        identities: &Identities,
    ) -> Result<Self, Error> {
        let read = |error| explain(url, "read the key", error);
        let row = rows::store(conn).await.map_err(read)?;
        let listed = rows::recipients(conn).await.map_err(read)?;
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
            sealed: row.store_key.clone(),
            key,
        };
        keyring.vouch(&row, &listed)?;
        Ok(keyring)
    }

    /// The recipients that a value is to be encrypted to. `conn` is in a
    /// transaction, so that nobody changes them before the value is in.
    pub(crate) async fn recipients(
        &mut self,
        conn: &mut SqliteConnection,
    ) -> Result<Vec<Recipient>, Error> {
        let read = |error| explain(&self.url, "read the recipients", error);
        let row = rows::store(conn).await.map_err(read)?;
        let listed = rows::recipients(conn).await.map_err(read)?;
        self.refresh(&row.store_key)?;
        self.vouch(&row, &listed)
    }

    /// Encrypts a value.
    pub(crate) fn seal(
        &self,
        recipients: &[Recipient],
        label: Label<'_>,
        value: &SecretString,
    ) -> Result<Vec<u8>, Error> {
        seal::seal(recipients, &self.key, label, value).map_err(|reason| Error::Encrypt {
            store: self.url.to_string(),
            reason,
        })
    }

    /// Decrypts the value that was found under `name` and `generation`.
    pub(crate) fn open(
        &mut self,
        name: &SecretName,
        generation: Generation,
        row: &SealedRow,
    ) -> Result<SecretString, Error> {
        self.refresh(&row.store_key)?;
        let label = Label {
            name,
            generation,
            id: row.id,
        };
        seal::open(&self.identities, &self.key, label, &row.ciphertext).map_err(|problem| {
            Error::Tampered {
                store: self.url.to_string(),
                name: name.clone(),
                generation,
                reason: problem.to_string(),
            }
        })
    }

    fn refresh(&mut self, sealed: &[u8]) -> Result<(), Error> {
        if self.sealed != sealed {
            self.key = seal::open_key(&self.identities, sealed)
                .map_err(|problem| tampered(&self.url, format!("its key: {problem}")))?;
            sealed.clone_into(&mut self.sealed);
        }
        Ok(())
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
/// recipients. `conn` is in a transaction.
pub(crate) async fn initialise(
    conn: &mut SqliteConnection,
    url: &StoreUrl,
    identities: &Identities,
    now: OffsetDateTime,
) -> Result<(), Error> {
    let mut recipients = identities.recipients().to_vec();
    recipients.sort_by(|a, b| a.as_str().cmp(b.as_str()));
    let key = StoreKey::random();
    let id = Uuid::new_v4().to_string();
    let row = StoreRow {
        store_key: seal::seal_key(&recipients, &key).map_err(|reason| Error::Encrypt {
            store: url.to_string(),
            reason,
        })?,
        recipients_tag: key.tag_recipients(&id, &recipients),
        id,
    };
    rows::insert_store(conn, &row, recipients.iter().map(Recipient::as_str), now)
        .await
        .map_err(|error| explain(url, "write the key", error))
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
