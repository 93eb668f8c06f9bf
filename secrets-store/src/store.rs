//! The store as its users see it: each call is one transaction. It knows the
//! order of things; statements are in `rows`, encryption is in `seal`.

use std::cell::LazyCell;
use std::fmt;
use std::time::Duration;

use secrecy::SecretString;
use sqlx::{Connection, Sqlite, SqliteConnection, Transaction};
use time::OffsetDateTime;

use crate::entry::{Ensured, Entry, Need, NewSecret, Retained, Version, decide};
use crate::error::Error;
use crate::identity::Identities;
use crate::keyring::{self, Keyring};
use crate::name::{Generation, SecretId, SecretName, check_label};
use crate::rows;
use crate::schema::{Found, Schema};
use crate::seal::Label;
use crate::sqlite::{self, explain};
use crate::url::StoreUrl;

/// How to open a store, where the defaults do not fit.
#[derive(Debug, Clone)]
pub struct OpenOptions {
    busy_timeout: Duration,
}

impl Default for OpenOptions {
    /// Waits up to 10 seconds for another process that writes.
    fn default() -> Self {
        Self {
            busy_timeout: Duration::from_secs(10),
        }
    }
}

impl OpenOptions {
    /// How long a call waits for another process that writes, before it fails
    /// with [`Error::Locked`]. At most some 24 days.
    #[must_use]
    pub fn busy_timeout(mut self, timeout: Duration) -> Self {
        // SQLite counts milliseconds in 31 bits.
        self.busy_timeout = timeout.min(Duration::from_millis(i32::MAX as u64));
        self
    }

    /// As [`Store::open`].
    pub async fn open(&self, url: &StoreUrl, identities: &Identities) -> Result<Store, Error> {
        sqlite::check_file(url)?;
        self.connect(url, identities, false).await
    }

    /// As [`Store::open_or_create`].
    pub async fn open_or_create(
        &self,
        url: &StoreUrl,
        identities: &Identities,
    ) -> Result<Store, Error> {
        let create = !url.is_read_only();
        match sqlite::check_file(url) {
            Err(Error::StoreMissing { .. }) if create => sqlite::create_file(url)?,
            other => other?,
        }
        self.connect(url, identities, create).await
    }

    async fn connect(
        &self,
        url: &StoreUrl,
        identities: &Identities,
        create: bool,
    ) -> Result<Store, Error> {
        let mut conn = sqlite::connect(url, self.busy_timeout).await?;
        let keyring = prepare(&mut conn, &Schema::sqlite(), url, identities, create).await?;
        Ok(Store { conn, keyring })
    }
}

/// Brings the database to our schema if we may, and opens the store's key.
async fn prepare(
    conn: &mut SqliteConnection,
    schema: &Schema,
    url: &StoreUrl,
    identities: &Identities,
    create: bool,
) -> Result<Keyring, Error> {
    let fail = |error| explain(url, "open it", error);

    let mut reading = conn.begin().await.map_err(fail)?;
    match schema.find(&mut reading).await.map_err(fail)? {
        Found::Current => return Keyring::unlock(&mut reading, url, identities).await,
        // Before anything is written: do we belong here?
        Found::Older => drop(Keyring::unlock(&mut reading, url, identities).await?),
        Found::Blank if create => {}
        // Another process is about to make it, or was killed before it had: asked
        // while `reading` keeps that one from committing.
        Found::Blank if sqlite::is_empty_file(url)? => {
            return Err(Error::StoreMissing {
                store: url.to_string(),
            });
        }
        other => return Err(refuse(url, schema, other)),
    }
    reading.rollback().await.map_err(fail)?;

    let fail = |error| explain(url, "write the schema", error);
    let mut writing = begin_immediate(conn).await.map_err(fail)?;
    // Asked again under the lock: another process may have been faster.
    match schema.find(&mut writing).await.map_err(fail)? {
        Found::Current => {}
        Found::Older => schema.apply(&mut writing).await.map_err(fail)?,
        // SQLite reads the rest of a store that was cut down to a byte as blank.
        Found::Blank if create && sqlite::is_empty_file(url)? => {
            schema.apply(&mut writing).await.map_err(fail)?;
            keyring::initialise(&mut writing, url, identities, now()).await?;
        }
        other => return Err(refuse(url, schema, other)),
    }
    let keyring = Keyring::unlock(&mut writing, url, identities).await?;
    writing.commit().await.map_err(fail)?;
    Ok(keyring)
}

/// The error for a database that cannot be used.
fn refuse(url: &StoreUrl, schema: &Schema, found: Found) -> Error {
    let store = url.to_string();
    match found {
        Found::Newer(found) => Error::NewerSchema {
            store,
            found,
            known: schema.newest(),
        },
        Found::Blank => Error::NotAStore {
            store,
            reason: "it is empty, or too short to be one",
        },
        Found::Other => Error::NotAStore {
            store,
            reason: "it is another program's database",
        },
        Found::Altered | Found::Older | Found::Current => Error::Damaged {
            store,
            reason: "its schema was altered".into(),
        },
    }
}

/// Takes the write lock at the start: a transaction that begins by reading can
/// fail to get it later, however long it waits.
async fn begin_immediate(
    conn: &mut SqliteConnection,
) -> Result<Transaction<'_, Sqlite>, sqlx::Error> {
    conn.begin_with("BEGIN IMMEDIATE").await
}

/// To the second, as the store keeps it.
fn now() -> OffsetDateTime {
    let now = OffsetDateTime::now_utc();
    now.replace_nanosecond(0).unwrap_or(now)
}

/// An open store: one connection. Calls wait for one another.
pub struct Store {
    conn: SqliteConnection,
    keyring: Keyring,
}

impl Store {
    /// Opens a store that exists. One of the identities must be a recipient.
    pub async fn open(url: &StoreUrl, identities: &Identities) -> Result<Self, Error> {
        OpenOptions::default().open(url, identities).await
    }

    /// Opens a store, and makes it first where there is none: the file with mode
    /// 0600, missing directories with mode 0700, and the identities' own public
    /// keys as its recipients. Several processes may do so at once.
    ///
    /// A file of no bytes counts as no store, because a process that is killed
    /// at the very start leaves one.
    pub async fn open_or_create(url: &StoreUrl, identities: &Identities) -> Result<Self, Error> {
        OpenOptions::default().open_or_create(url, identities).await
    }

    /// Where it is.
    #[must_use]
    pub fn url(&self) -> &StoreUrl {
        &self.keyring.url
    }

    /// What is known of a secret without decrypting it; `None` if there is none
    /// of this name.
    pub async fn lookup(&mut self, name: &SecretName) -> Result<Option<Entry>, Error> {
        rows::entry(&mut self.conn, name)
            .await
            .map_err(|error| explain(&self.keyring.url, "look up a secret", error))
    }

    /// Makes sure that a generation of a secret is there: makes it if it is
    /// absent, and takes a retained secret of the same owner back into use. Older
    /// generations are kept.
    ///
    /// `make` is not called when the generation exists. It runs before the store
    /// is locked; when several processes come at once each may run its own, one
    /// value is kept, and all get that one's id.
    ///
    /// Fails with [`Error::Foreign`] for another owner's secret (see
    /// [`Store::adopt`]), [`Error::OtherKind`] for one of another kind, and
    /// [`Error::GenerationTooOld`] for a missing generation below the newest.
    pub async fn ensure(
        &mut self,
        name: &SecretName,
        generation: Generation,
        new: &NewSecret,
        make: impl FnOnce() -> SecretString,
    ) -> Result<Ensured, Error> {
        new.check()?;
        let have = self.lookup(name).await?;
        let value = LazyCell::new(make);
        match decide(have.as_ref(), name, generation, new)? {
            Need::Nothing {
                version,
                restore: false,
            } => {
                return Ok(Ensured {
                    version,
                    created: false,
                    restored: false,
                });
            }
            Need::Nothing { restore: true, .. } => {}
            // A key can take seconds to make: not while others wait for the lock.
            Need::Value { .. } => drop(LazyCell::force(&value)),
        }

        let keyring = &mut self.keyring;
        let url = keyring.url.clone();
        let fail = |error| explain(&url, "store a secret", error);
        let mut tx = begin_immediate(&mut self.conn).await.map_err(fail)?;
        // Asked again under the lock: another process may have been faster.
        let have = rows::entry(&mut tx, name).await.map_err(fail)?;
        let ensured = match decide(have.as_ref(), name, generation, new)? {
            Need::Nothing { version, restore } => Ensured {
                version,
                created: false,
                restored: restore,
            },
            Need::Value { first, restore } => {
                let version = Version {
                    generation,
                    id: SecretId::random(),
                    created_at: now(),
                };
                let label = Label {
                    name,
                    generation,
                    id: version.id,
                };
                let recipients = keyring.recipients(&mut tx).await?;
                let ciphertext = keyring.seal(&recipients, label, &value)?;
                if first {
                    rows::insert_secret(&mut tx, name, new, version.created_at)
                        .await
                        .map_err(fail)?;
                }
                rows::insert_generation(&mut tx, name, &version, &ciphertext)
                    .await
                    .map_err(fail)?;
                Ensured {
                    version,
                    created: true,
                    restored: restore,
                }
            }
        };
        if ensured.restored {
            rows::clear_retained(&mut tx, name).await.map_err(fail)?;
        }
        tx.commit().await.map_err(fail)?;
        Ok(ensured)
    }

    /// Decrypts one value. With `id`, only the very value that was recorded.
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
        let row = rows::sealed(&mut self.conn, name, generation)
            .await
            .map_err(|error| explain(&self.keyring.url, "read a secret", error))?;
        let Some(row) = row else {
            return Err(self.missing(name, generation).await?);
        };
        let value = self.keyring.open(name, generation, &row)?;
        match id {
            Some(expected) if *expected != row.id => Err(Error::MadeAnew {
                store: self.keyring.url.to_string(),
                name: name.clone(),
                generation,
                expected: *expected,
                found: row.id,
            }),
            _ => Ok(value),
        }
    }

    async fn missing(&mut self, name: &SecretName, generation: Generation) -> Result<Error, Error> {
        let there_is = match self.lookup(name).await? {
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
        Ok(Error::Missing {
            store: self.keyring.url.to_string(),
            name: name.clone(),
            generation,
            there_is,
        })
    }

    /// Gives a secret to another owner.
    pub async fn adopt(&mut self, name: &SecretName, owner: &str) -> Result<(), Error> {
        check_label("owner", owner)?;
        let found = rows::set_owner(&mut self.conn, name, owner)
            .await
            .map_err(|error| explain(&self.keyring.url, "adopt a secret", error))?;
        if found {
            Ok(())
        } else {
            Err(self.absent(name))
        }
    }

    /// Marks a secret as out of use, but kept: by whom, and since now. One that
    /// is marked already stays as it is. Returns the mark.
    pub async fn retain(&mut self, name: &SecretName, by: &str) -> Result<Retained, Error> {
        check_label("name of who retains a secret", by)?;
        let fail = |error| explain(&self.keyring.url, "retain a secret", error);
        let mut tx = begin_immediate(&mut self.conn).await.map_err(fail)?;
        rows::set_retained(&mut tx, name, by, now())
            .await
            .map_err(fail)?;
        let entry = rows::entry(&mut tx, name).await.map_err(fail)?;
        tx.commit().await.map_err(fail)?;
        entry
            .and_then(|entry| entry.retained)
            .ok_or_else(|| self.absent(name))
    }

    /// Takes a retained secret back into use. One that is in use stays so.
    pub async fn restore(&mut self, name: &SecretName) -> Result<(), Error> {
        let found = rows::clear_retained(&mut self.conn, name)
            .await
            .map_err(|error| explain(&self.keyring.url, "restore a secret", error))?;
        if found {
            Ok(())
        } else {
            Err(self.absent(name))
        }
    }

    /// Deletes a secret with all its generations, for good. Returns whether there
    /// was one.
    pub async fn delete(&mut self, name: &SecretName) -> Result<bool, Error> {
        rows::delete(&mut self.conn, name)
            .await
            .map_err(|error| explain(&self.keyring.url, "delete a secret", error))
    }

    /// Closes the connection, waiting until the file is let go.
    pub async fn close(self) -> Result<(), Error> {
        let Self { conn, keyring } = self;
        conn.close()
            .await
            .map_err(|error| explain(&keyring.url, "close it", error))
    }

    fn absent(&self, name: &SecretName) -> Error {
        Error::NoSuchSecret {
            store: self.keyring.url.to_string(),
            name: name.clone(),
        }
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
mod tests {
    use super::*;
    use crate::identity::generated;

    const LATER: &[(i64, &str, &str)] = &[
        crate::schema::SQLITE[0],
        (2, "later", "CREATE TABLE later (x TEXT) STRICT"),
    ];

    struct File {
        _dir: tempfile::TempDir,
        url: StoreUrl,
    }

    impl File {
        fn new() -> Self {
            let dir = tempfile::tempdir().unwrap();
            let url = format!("sqlite:{}/secrets.db", dir.path().display());
            let url = url.parse().unwrap();
            sqlite::create_file(&url).unwrap();
            Self { _dir: dir, url }
        }

        async fn open(&self, schema: &Schema, who: &Identities) -> Result<Keyring, Error> {
            let mut conn = sqlite::connect(&self.url, Duration::from_secs(1)).await?;
            prepare(&mut conn, schema, &self.url, who, true).await
        }

        async fn found(&self, schema: &Schema) -> Found {
            let mut conn = sqlite::connect(&self.url, Duration::from_secs(1))
                .await
                .unwrap();
            schema.find(&mut conn).await.unwrap()
        }
    }

    #[tokio::test]
    async fn an_older_store_is_brought_forward_and_a_newer_one_refused() {
        let (file, who) = (File::new(), generated());
        let (now, later) = (Schema::sqlite(), Schema::of(LATER));
        assert_eq!(file.found(&now).await, Found::Blank);
        file.open(&now, &who).await.unwrap();
        assert_eq!(file.found(&now).await, Found::Current);
        assert_eq!(file.found(&later).await, Found::Older);

        // Somebody who cannot open it does not change it.
        let refused = file.open(&later, &generated()).await.err().unwrap();
        assert!(matches!(refused, Error::WrongIdentity { .. }), "{refused}");
        assert_eq!(file.found(&later).await, Found::Older);

        file.open(&later, &who).await.unwrap();
        assert_eq!(file.found(&later).await, Found::Current);
        let refused = file.open(&now, &who).await.err().unwrap().to_string();
        assert!(
            refused.contains("schema version 2, and this program knows 1"),
            "{refused}"
        );
    }

    #[tokio::test]
    async fn a_schema_that_was_altered_is_refused() {
        let (file, who) = (File::new(), generated());
        let other = Schema::of(&[(
            1,
            "store",
            "CREATE TABLE store (x TEXT) STRICT; CREATE TABLE y (z TEXT) STRICT",
        )]);
        let mut conn = sqlite::connect(&file.url, Duration::from_secs(1))
            .await
            .unwrap();
        other.apply(&mut conn).await.unwrap();
        let refused = file.open(&Schema::sqlite(), &who).await.err().unwrap();
        assert!(
            refused.to_string().contains("its schema was altered"),
            "{refused}"
        );
    }

    #[test]
    fn calls_can_be_moved_between_threads() {
        fn movable<T: Send>(_: &T) {}
        fn check(
            store: &mut Store,
            name: &SecretName,
            new: &NewSecret,
            url: &StoreUrl,
            who: &Identities,
        ) {
            movable(&store.ensure(name, Generation::FIRST, new, || SecretString::from("x")));
            movable(&store.reveal(name, Generation::FIRST, None));
            movable(&store.retain(name, "x"));
            movable(&Store::open_or_create(url, who));
        }
        let _: fn(&mut Store, &SecretName, &NewSecret, &StoreUrl, &Identities) = check;
    }
}
