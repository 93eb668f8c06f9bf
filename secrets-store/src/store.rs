//! The store as its users see it: each call is one transaction, and leaves a
//! record. It knows the order of things; statements are in `rows`, encryption is
//! in `seal`.

mod ensure;
mod open;
mod prune;
mod recipients;

use std::fmt;

use secrecy::SecretString;
use time::format_description::well_known::Rfc3339;
use time::{OffsetDateTime, UtcOffset};

use crate::audit::{self, Action, Record};
use crate::database::{self, Connection, Transaction};
use crate::entry::{Entry, Retained, Rotation};
use crate::error::Error;
use crate::failpoint;
use crate::identity::Identities;
use crate::keyring::Keyring;
use crate::known;
use crate::name::{Generation, SecretId, SecretName, check_label};
use crate::notice::Notice;
use crate::rows;
use crate::succession::Fingerprint;
use crate::url::StoreUrl;

pub use open::{Inspection, OpenOptions};
pub use recipients::ListedRecipient;

/// To the second, as the store keeps it.
pub(crate) fn now() -> OffsetDateTime {
    let now = OffsetDateTime::now_utc();
    now.replace_nanosecond(0).unwrap_or(now)
}

/// An open store: one connection. Calls wait for one another.
pub struct Store {
    conn: Connection,
    keyring: Keyring,
    notices: Vec<Notice>,
    /// The deployment that is recorded as whom something is done for.
    owner: Option<String>,
}

/// Why a value is decrypted.
#[derive(Clone, Copy)]
enum Purpose {
    Use,
    Show,
}

impl Store {
    /// Opens a store that exists. One of the identities must be a recipient.
    pub async fn open(url: &StoreUrl, identities: &Identities) -> Result<Self, Error> {
        OpenOptions::default().open(url, identities).await
    }

    /// Opens a store, and makes it first where there is none, with the identities'
    /// own public keys as its recipients. Several processes may do so at once.
    ///
    /// A SQLite file is made with mode 0600, missing directories with mode 0700. A
    /// file of no bytes counts as no store, because a process that is killed at
    /// the very start leaves one. In PostgreSQL the database has to be there, and
    /// the schema that comes first in the role's `search_path` to be empty.
    pub async fn open_or_create(url: &StoreUrl, identities: &Identities) -> Result<Self, Error> {
        OpenOptions::default().open_or_create(url, identities).await
    }

    /// Where it is.
    #[must_use]
    pub fn url(&self) -> &StoreUrl {
        &self.keyring.url
    }

    /// What somebody should hear who opened it, although nothing is wrong.
    #[must_use]
    pub fn notices(&self) -> &[Notice] {
        &self.notices
    }

    /// The key that it began with, which stays the same for its life: references say
    /// by it which store they belong to.
    #[must_use]
    pub fn root(&self) -> Option<Fingerprint> {
        self.keyring.root()
    }

    /// Forgets what is known of an address: the next store there is met as if for the
    /// first time. Returns whether anything was known.
    pub async fn forget(url: &StoreUrl, identities: &Identities) -> Result<bool, Error> {
        known::forget(identities.known_stores(), &url.address()).await
    }

    /// Records what is done from here on as done for that deployment, where the
    /// call itself does not say.
    #[must_use]
    pub fn acting_for(self, owner: impl Into<String>) -> Self {
        Self {
            owner: Some(owner.into()),
            ..self
        }
    }

    /// What is known of a secret without decrypting it; `None` if there is none
    /// of this name.
    ///
    /// Fails with [`Error::Altered`] if somebody without an identity changed it.
    pub async fn lookup(&mut self, name: &SecretName) -> Result<Option<Entry>, Error> {
        let url = self.keyring.url.clone();
        let fail = |error| database::explain(&url, "look up a secret", error);
        let mut tx = self.conn.reading().await.map_err(fail)?;
        let keyring = &mut self.keyring;
        let found = async {
            keyring.follow(&mut tx).await?;
            entry(&mut tx, keyring, name, fail).await
        };
        let found = found.await;
        tx.end(found, fail).await
    }

    /// What is known of every secret, in the order of their names.
    pub async fn list(&mut self) -> Result<Vec<Entry>, Error> {
        let url = self.keyring.url.clone();
        let fail = |error| database::explain(&url, "list the secrets", error);
        let mut tx = self.conn.reading().await.map_err(fail)?;
        let keyring = &mut self.keyring;
        let entries = async {
            keyring.follow(&mut tx).await?;
            let entries = rows::entries(tx.on()).await.map_err(fail)?;
            let checked = |found| keyring.checked(found);
            entries.into_iter().map(checked).collect()
        };
        let entries = entries.await;
        tx.end(entries, fail).await
    }

    /// Decrypts one value for a program. With `id`, only the very value that was
    /// recorded.
    ///
    /// It is recorded that it was read; if that fails, so does this, with
    /// [`Error::Unrecorded`] where the store is read-only. Only an address with
    /// `?mode=ro` is read without a record.
    ///
    /// Fails with [`Error::Missing`] if it is not there, [`Error::Tampered`] if it
    /// was altered, moved or made up, and [`Error::MadeAnew`] if it is another
    /// value than `id`.
    pub async fn reveal(
        &mut self,
        name: &SecretName,
        generation: Generation,
        id: Option<&SecretId>,
    ) -> Result<SecretString, Error> {
        self.decrypt(name, generation, id, Purpose::Use).await
    }

    /// As [`Store::reveal`], to show it to a person.
    pub async fn show(
        &mut self,
        name: &SecretName,
        generation: Generation,
    ) -> Result<SecretString, Error> {
        self.decrypt(name, generation, None, Purpose::Show).await
    }

    async fn decrypt(
        &mut self,
        name: &SecretName,
        generation: Generation,
        id: Option<&SecretId>,
        purpose: Purpose,
    ) -> Result<SecretString, Error> {
        let url = self.keyring.url.clone();
        let fail = |error| database::explain(&url, "read a secret", error);
        let keyring = &mut self.keyring;
        let mut tx = self.conn.reading().await.map_err(fail)?;
        let read = async {
            keyring.follow(&mut tx).await?;
            let found = rows::entry(tx.on(), name).await.map_err(fail)?;
            let row = rows::sealed(tx.on(), name, generation).await;
            Ok((found, row.map_err(fail)?))
        };
        let read = read.await;
        let (found, row) = tx.end(read, fail).await?;
        let Some(found) = found else {
            return Err(missing(&url, name, generation, None));
        };
        let version = found.entry.version(generation).cloned();
        let (Some(version), Some(row)) = (version, row) else {
            let entry = keyring.checked(found)?;
            return Err(missing(&url, name, generation, Some(&entry)));
        };
        // The value first: what became of it is said in more detail.
        let value = keyring.open(name, &version, &row)?;
        let entry = keyring.checked(found)?;
        if let Some(expected) = id
            && *expected != row.id
        {
            return Err(Error::MadeAnew {
                store: url.to_string(),
                name: name.clone(),
                generation,
                expected: *expected,
                found: row.id,
            });
        }
        if url.is_read_only() {
            return Ok(value);
        }
        let action = match purpose {
            Purpose::Use => Action::Read,
            Purpose::Show => Action::Shown,
        };
        let owner = self.owner.as_deref().or(Some(&entry.owner));
        let record = Record::now(action, owner).of(name).generation(generation);
        failpoint::reach("store:decrypted");
        match audit::insert(self.conn.on(), &record).await {
            Ok(()) => Ok(value),
            Err(error) => Err(match database::explain(&url, "record a read", error) {
                Error::ReadOnly { store, .. } => Error::Unrecorded {
                    store,
                    name: name.clone(),
                    reason: "it is read-only",
                },
                other => other,
            }),
        }
    }

    /// Gives a secret to another owner.
    pub async fn adopt(&mut self, name: &SecretName, owner: &str) -> Result<(), Error> {
        check_label("owner", owner)?;
        let adopt = |entry: &mut Entry| {
            if entry.owner == owner {
                return None;
            }
            let before = std::mem::replace(&mut entry.owner, owner.to_owned());
            let record = Record::now(Action::Adopted, Some(owner)).of(name);
            Some(record.detail(format!("from {before}")))
        };
        self.change("adopt a secret", name, adopt).await.map(drop)
    }

    /// Marks a secret as out of use, but kept: by whom, and since now. One that
    /// is marked already stays as it is. Returns the mark.
    pub async fn retain(&mut self, name: &SecretName, by: &str) -> Result<Retained, Error> {
        check_label("name of who retains a secret", by)?;
        let mark = Retained {
            by: by.to_owned(),
            since: now(),
        };
        let retain = |entry: &mut Entry| {
            if entry.retained.is_some() {
                return None;
            }
            entry.retained = Some(mark.clone());
            Some(Record::now(Action::Retained, Some(by)).of(name))
        };
        let entry = self.change("retain a secret", name, retain).await?;
        Ok(entry.retained.unwrap_or(mark))
    }

    /// Takes a retained secret back into use. One that is in use stays so.
    pub async fn restore(&mut self, name: &SecretName) -> Result<(), Error> {
        let acting = self.owner.clone();
        let restore = |entry: &mut Entry| {
            entry.retained.take()?;
            let owner = acting.as_deref().unwrap_or(&entry.owner);
            Some(Record::now(Action::Restored, Some(owner)).of(name))
        };
        self.change("restore a secret", name, restore)
            .await
            .map(drop)
    }

    /// Asks for a new value: whoever declares the secret sees that one is due.
    /// Asking again changes nothing. Returns the request.
    pub async fn request_rotation(&mut self, name: &SecretName) -> Result<Rotation, Error> {
        let acting = self.owner.clone();
        let request = Rotation {
            by: crate::person::current(),
            since: now(),
        };
        let ask = |entry: &mut Entry| {
            if entry.rotation.is_some() {
                return None;
            }
            entry.rotation = Some(request.clone());
            let owner = acting.as_deref().unwrap_or(&entry.owner);
            Some(Record::now(Action::RotationRequested, Some(owner)).of(name))
        };
        let entry = self.change("ask for a rotation", name, ask).await?;
        Ok(entry.rotation.unwrap_or(request))
    }

    /// Refuses what would write to a store that is opened to be read only: SQLite
    /// says so only when something is written.
    fn refuse_read_only(&self, action: &'static str) -> Result<(), Error> {
        if self.keyring.url.is_read_only() {
            return Err(Error::ReadOnly {
                store: self.keyring.url.to_string(),
                action,
            });
        }
        Ok(())
    }

    /// Changes what stands beside the values of a secret, unless `change` finds
    /// nothing to do. Returns the entry afterwards.
    async fn change(
        &mut self,
        action: &'static str,
        name: &SecretName,
        change: impl FnOnce(&mut Entry) -> Option<Record>,
    ) -> Result<Entry, Error> {
        self.refuse_read_only(action)?;
        let url = self.keyring.url.clone();
        let fail = |error| database::explain(&url, action, error);
        let mut tx = self.conn.writing().await.map_err(fail)?;
        let keyring = &mut self.keyring;
        let changed = async {
            keyring.follow(&mut tx).await?;
            let found = entry(&mut tx, keyring, name, fail).await?;
            let mut entry = found.ok_or_else(|| Error::NoSuchSecret {
                store: url.to_string(),
                name: name.clone(),
            })?;
            if let Some(record) = change(&mut entry) {
                write(&mut tx, keyring, &entry, &[record])
                    .await
                    .map_err(fail)?;
            }
            failpoint::reach("store:commit");
            Ok(entry)
        };
        let changed = changed.await;
        tx.end(changed, fail).await
    }

    /// Deletes a secret with all its generations, for good. Returns whether there
    /// was one.
    pub async fn delete(&mut self, name: &SecretName) -> Result<bool, Error> {
        self.refuse_read_only("delete a secret")?;
        let url = self.keyring.url.clone();
        let fail = |error| database::explain(&url, "delete a secret", error);
        let mut tx = self.conn.writing().await.map_err(fail)?;
        let record = Record::now(Action::Deleted, self.owner.as_deref()).of(name);
        let deleted = async {
            let there = rows::delete(tx.on(), name).await?;
            if there {
                audit::insert(tx.on(), &record).await?;
            }
            failpoint::reach("store:commit");
            Ok(there)
        };
        let deleted = deleted.await.map_err(fail);
        tx.end(deleted, fail).await
    }

    /// The newest `limit` records of what was done, newest first: with one secret,
    /// or with the store and all of them.
    pub async fn audit(
        &mut self,
        name: Option<&SecretName>,
        limit: u32,
    ) -> Result<Vec<Record>, Error> {
        audit::newest(self.conn.on(), name, limit)
            .await
            .map_err(|error| database::explain(&self.keyring.url, "read the record", error))
    }

    /// How many records [`Store::prune_audit`] would delete.
    pub async fn count_audit(&mut self, before: OffsetDateTime) -> Result<u64, Error> {
        audit::count(self.conn.on(), before)
            .await
            .map_err(|error| database::explain(&self.keyring.url, "read the record", error))
    }

    /// Deletes the records of what was done before that time, and records that it
    /// did. How many there were; where there was none, nothing is recorded.
    /// Records of earlier prunings stay.
    pub async fn prune_audit(&mut self, before: OffsetDateTime) -> Result<u64, Error> {
        const ACTION: &str = "prune the record";
        self.refuse_read_only(ACTION)?;
        let url = self.keyring.url.clone();
        let fail = |error| database::explain(&url, ACTION, error);
        let owner = self.owner.clone();
        let mut tx = self.conn.writing().await.map_err(fail)?;
        let pruned = async {
            let pruned = audit::prune(tx.on(), before).await?;
            failpoint::reach("store:pruned");
            if pruned > 0 {
                let until = before.to_offset(UtcOffset::UTC).format(&Rfc3339);
                let until = until.unwrap_or_else(|_| before.to_string());
                let detail = format!("{pruned} from before {until}");
                let record = Record::now(Action::Pruned, owner.as_deref()).detail(detail);
                audit::insert(tx.on(), &record).await?;
            }
            failpoint::reach("store:commit");
            Ok(pruned)
        };
        let pruned = pruned.await.map_err(fail);
        tx.end(pruned, fail).await
    }

    /// Closes the connection, waiting until the database has let go.
    pub async fn close(self) -> Result<(), Error> {
        let Self { conn, keyring, .. } = self;
        conn.close()
            .await
            .map_err(|error| database::explain(&keyring.url, "close it", error))
    }
}

/// What is known of a secret, if the store's key vouches for it.
async fn entry(
    tx: &mut Transaction<'_>,
    keyring: &Keyring,
    name: &SecretName,
    fail: impl Fn(sqlx::Error) -> Error,
) -> Result<Option<Entry>, Error> {
    let found = rows::entry(tx.on(), name).await.map_err(fail)?;
    found.map(|found| keyring.checked(found)).transpose()
}

/// Writes an entry with its tag, and what was done.
async fn write(
    tx: &mut Transaction<'_>,
    keyring: &Keyring,
    entry: &Entry,
    records: &[Record],
) -> Result<(), sqlx::Error> {
    rows::update_secret(tx.on(), entry, &keyring.tag(entry)).await?;
    failpoint::reach("store:tagged");
    for record in records {
        audit::insert(tx.on(), record).await?;
    }
    Ok(())
}

fn missing(
    url: &StoreUrl,
    name: &SecretName,
    generation: Generation,
    entry: Option<&Entry>,
) -> Error {
    let there_is = match entry {
        None => "there is no secret of this name".to_owned(),
        Some(entry) => {
            let numbers: Vec<String> = entry
                .generations
                .iter()
                .map(|version| version.generation.to_string())
                .collect();
            format!("generations kept: {}", numbers.join(", "))
        }
    };
    Error::Missing {
        store: url.to_string(),
        name: name.clone(),
        generation,
        there_is,
    }
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store")
            .field("url", &self.keyring.url)
            .field("identities", &self.keyring.identities)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
