//! Opening a store: making it, bringing it to our schema, refusing what is none.

use std::time::Duration;

use super::{Store, now};
use crate::audit::{self, Action, Record};
use crate::database::{self, Connection, Transaction};
use crate::error::Error;
use crate::failpoint;
use crate::identity::Identities;
use crate::keyring::{self, Keyring};
use crate::rows;
use crate::schema::{Found, Schema};
use crate::url::StoreUrl;

/// The first version of the schema whose entries carry a tag.
const TAGGED: i64 = 2;

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
        database::check(url)?;
        self.connect(url, identities, false).await
    }

    /// As [`Store::open_or_create`].
    pub async fn open_or_create(
        &self,
        url: &StoreUrl,
        identities: &Identities,
    ) -> Result<Store, Error> {
        let create = !url.is_read_only();
        match database::check(url) {
            Err(Error::StoreMissing { .. }) if create => database::create(url)?,
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
        let mut conn = database::connect(url, self.busy_timeout).await?;
        let schema = Schema::for_store(url);
        let keyring = prepare(&mut conn, &schema, url, identities, create).await?;
        Ok(Store {
            conn,
            keyring,
            owner: None,
        })
    }
}

/// Brings the database to our schema if we may, and opens the store's key.
pub(super) async fn prepare(
    conn: &mut Connection,
    schema: &Schema,
    url: &StoreUrl,
    identities: &Identities,
    create: bool,
) -> Result<Keyring, Error> {
    let fail = |error| database::explain(url, "open it", error);

    let mut tx = conn.reading().await.map_err(fail)?;
    let opened = look(&mut tx, schema, url, identities, create).await;
    if let Some(keyring) = tx.end(opened, fail).await? {
        return Ok(keyring);
    }

    let fail = |error| database::explain(url, "write the schema", error);
    let mut tx = conn.writing().await.map_err(fail)?;
    let made = make(&mut tx, schema, url, identities, create).await;
    failpoint::reach("store:commit-schema");
    tx.end(made, fail).await
}

/// Opens the store's key if the schema is ours; `None` if it has to be made so,
/// and we may.
async fn look(
    tx: &mut Transaction<'_>,
    schema: &Schema,
    url: &StoreUrl,
    identities: &Identities,
    create: bool,
) -> Result<Option<Keyring>, Error> {
    let fail = |error| database::explain(url, "open it", error);
    match tx.find(schema).await.map_err(fail)? {
        Found::Current => Keyring::unlock(tx, url, identities).await.map(Some),
        // Before anything is written: do we belong here?
        Found::Older(_) => Keyring::unlock(tx, url, identities).await.map(|_| None),
        Found::Blank if create => Ok(None),
        // Another process is about to make it, or was killed before it had: asked
        // while the transaction keeps that one from committing.
        Found::Blank if database::is_new(url)? => Err(Error::StoreMissing {
            store: url.to_string(),
        }),
        other => Err(refuse(url, schema, other)),
    }
}

/// Brings the database to our schema, under the lock.
async fn make(
    tx: &mut Transaction<'_>,
    schema: &Schema,
    url: &StoreUrl,
    identities: &Identities,
    create: bool,
) -> Result<Keyring, Error> {
    let fail = |error| database::explain(url, "write the schema", error);
    // Asked again: another process may have been faster.
    match tx.find(schema).await.map_err(fail)? {
        Found::Current => Keyring::unlock(tx, url, identities).await,
        Found::Older(version) => upgrade(tx, schema, url, identities, version).await,
        Found::Blank if create && database::is_new(url)? => {
            schema.apply(tx.on()).await.map_err(fail)?;
            failpoint::reach("store:schema-made");
            keyring::initialise(tx, url, identities, now()).await?;
            let record = Record::now(Action::Created, None);
            audit::insert(tx.on(), &record).await.map_err(fail)?;
            Keyring::unlock(tx, url, identities).await
        }
        other => Err(refuse(url, schema, other)),
    }
}

/// Brings the database from an older version to the newest. Values stay as they
/// are.
async fn upgrade(
    tx: &mut Transaction<'_>,
    schema: &Schema,
    url: &StoreUrl,
    identities: &Identities,
    version: i64,
) -> Result<Keyring, Error> {
    let fail = |error| database::explain(url, "write the schema", error);
    schema.apply(tx.on()).await.map_err(fail)?;
    failpoint::reach("store:schema-upgraded");
    let keyring = Keyring::unlock(tx, url, identities).await?;
    if version < TAGGED {
        for found in rows::entries(tx.on()).await.map_err(fail)? {
            let tag = keyring.tag(&found.entry);
            rows::update_secret(tx.on(), &found.entry, &tag)
                .await
                .map_err(fail)?;
        }
    }
    let detail = format!("from schema version {version} to {}", schema.newest());
    let record = Record::now(Action::Upgraded, None).detail(detail);
    audit::insert(tx.on(), &record).await.map_err(fail)?;
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
        Found::Altered | Found::Older(_) | Found::Current => Error::Damaged {
            store,
            reason: "its schema was altered".into(),
        },
    }
}
