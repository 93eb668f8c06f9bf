//! Opening a store: making it, bringing it to our schema, refusing what is none.

use std::time::Duration;

use super::{Store, now};
use crate::audit::{self, Action, Record};
use crate::database::{self, Connection, Transaction};
use crate::error::Error;
use crate::failpoint;
use crate::identity::Identities;
use crate::keyring::{self, Belief, Keyring};
use crate::known::{self, Known};
use crate::notice::Notice;
use crate::recognition::{self, Recognition};
use crate::rows;
use crate::schema::{Found, Schema};
use crate::succession::Fingerprint;
use crate::url::StoreUrl;

/// The first version of the schema whose entries carry a tag.
const TAGGED: i64 = 2;
/// The first version that says which key came after which.
const SUCCEEDED: i64 = 3;

/// How to open a store, where the defaults do not fit.
#[derive(Debug, Clone)]
pub struct OpenOptions {
    busy_timeout: Duration,
    belief: Belief,
}

/// What a store is, and what is known of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inspection {
    /// Its own id.
    pub id: String,
    /// The key that it has.
    pub key: Fingerprint,
    /// The key that it began with, by what it says itself.
    pub root: Fingerprint,
    /// How it stands to what is known.
    pub recognition: Recognition,
    /// What was known, of its address or of the store.
    pub known: Option<Known>,
}

impl Default for OpenOptions {
    /// Waits up to 10 seconds for another process that writes.
    fn default() -> Self {
        Self {
            busy_timeout: Duration::from_secs(10),
            belief: Belief::default(),
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

    /// The key that the store has to have begun with, as a reference to a secret in it
    /// says. It is how a machine knows a store that has never seen it.
    #[must_use]
    pub fn rooted_in(mut self, root: Option<Fingerprint>) -> Self {
        self.belief.root = root;
        self
    }

    /// Opens the store if it has that key, whatever is known, and knows it by that key
    /// from then on. For a person who has compared it.
    #[must_use]
    pub fn accepting(mut self, key: Fingerprint) -> Self {
        self.belief.accepted = Some(key);
        self
    }

    /// Says what a store is and what is known of it. It changes and notes nothing, and
    /// believes nothing but that the identities open it.
    pub async fn inspect(
        &self,
        url: &StoreUrl,
        identities: &Identities,
    ) -> Result<Inspection, Error> {
        database::check(url)?;
        let fail = |error| database::explain(url, "open it", error);
        let mut conn = database::connect(url, self.busy_timeout).await?;
        let schema = Schema::for_store(url);
        let mut tx = conn.reading().await.map_err(fail)?;
        let looked = inspect(&mut tx, &schema, url, identities).await;
        tx.end(looked, fail).await
    }

    /// As [`Store::open`].
    pub async fn open(&self, url: &StoreUrl, identities: &Identities) -> Result<Store, Error> {
        let notice = database::check(url)?;
        self.connect(url, identities, false, notice).await
    }

    /// As [`Store::open_or_create`].
    pub async fn open_or_create(
        &self,
        url: &StoreUrl,
        identities: &Identities,
    ) -> Result<Store, Error> {
        let create = !url.is_read_only();
        let notice = match database::check(url) {
            Err(Error::StoreMissing { .. }) if create => {
                refuse_gone(url, identities)?;
                database::create(url)?;
                None
            }
            other => other?,
        };
        self.connect(url, identities, create, notice).await
    }

    async fn connect(
        &self,
        url: &StoreUrl,
        identities: &Identities,
        create: bool,
        notice: Option<Notice>,
    ) -> Result<Store, Error> {
        let mut conn = database::connect(url, self.busy_timeout).await?;
        let schema = Schema::for_store(url);
        let mut keyring = prepare(&mut conn, &schema, url, identities, create, self.belief).await?;
        let ours = identities.notice().cloned();
        let notices = ours.into_iter().chain(notice).chain(keyring.settle().await);
        Ok(Store {
            notices: notices.collect(),
            conn,
            keyring,
            owner: None,
        })
    }
}

/// Fails if a store is known there: it was there, and a new one would take its place
/// without a word.
fn refuse_gone(url: &StoreUrl, identities: &Identities) -> Result<(), Error> {
    let known = known::all(identities.known_stores())?;
    match recognition::at(&known, &url.address()) {
        Some(known) => Err(Error::StoreGone {
            store: url.to_string(),
            since: recognition::since(known),
        }),
        None => Ok(()),
    }
}

/// Reads what a store is, with whatever schema.
async fn inspect(
    tx: &mut Transaction<'_>,
    schema: &Schema,
    url: &StoreUrl,
    identities: &Identities,
) -> Result<Inspection, Error> {
    let fail = |error| database::explain(url, "open it", error);
    let found = tx.find(schema).await.map_err(fail)?;
    match found {
        Found::Current | Found::Older(_) => {}
        Found::Blank if database::is_new(url)? => {
            return Err(Error::StoreMissing {
                store: url.to_string(),
            });
        }
        other => return Err(refuse(url, schema, other)),
    }
    let keyring = Keyring::open_key(tx, url, identities, has_succession(found)).await?;
    let (id, line, recognised) = keyring.inspect(tx).await?;
    let (Some(root), Some(key)) = (line.first(), line.last()) else {
        unreachable!("a line ends with the key that is there")
    };
    Ok(Inspection {
        id,
        key: *key,
        root: *root,
        recognition: recognised.as_what,
        known: recognised.known,
    })
}

/// Brings the database to our schema if we may, and opens the store's key.
pub(super) async fn prepare(
    conn: &mut Connection,
    schema: &Schema,
    url: &StoreUrl,
    identities: &Identities,
    create: bool,
    belief: Belief,
) -> Result<Keyring, Error> {
    let fail = |error| database::explain(url, "open it", error);

    let mut tx = conn.reading().await.map_err(fail)?;
    let opened = look(&mut tx, schema, url, identities, create, belief).await;
    if let Some(keyring) = tx.end(opened, fail).await? {
        return Ok(keyring);
    }

    let fail = |error| database::explain(url, "write the schema", error);
    let mut tx = conn.writing().await.map_err(fail)?;
    let made = make(&mut tx, schema, url, identities, create, belief).await;
    failpoint::reach("store:commit-schema");
    tx.end(made, fail).await
}

/// Opens the store's key if the schema is ours, or an earlier one of a store that is
/// only read; `None` if it has to be made ours, and we may.
async fn look(
    tx: &mut Transaction<'_>,
    schema: &Schema,
    url: &StoreUrl,
    identities: &Identities,
    create: bool,
    belief: Belief,
) -> Result<Option<Keyring>, Error> {
    let fail = |error| database::explain(url, "open it", error);
    let found = tx.find(schema).await.map_err(fail)?;
    match found {
        Found::Current | Found::Older(_) => {
            let has_succession = has_succession(found);
            let keyring = Keyring::unlock(tx, url, identities, has_succession, belief).await?;
            let is_readable = match found {
                // What is read of it is the same as ever.
                Found::Older(version) => url.is_read_only() && version >= TAGGED,
                _ => true,
            };
            // If it has to be written first: we belong here, and it is the right one.
            Ok(is_readable.then_some(keyring))
        }
        Found::Blank if create => Ok(None),
        // Another process is about to make it, or was killed before it had: asked
        // while the transaction keeps that one from committing.
        Found::Blank if database::is_new(url)? => Err(Error::StoreMissing {
            store: url.to_string(),
        }),
        other => Err(refuse(url, schema, other)),
    }
}

/// Whether a store says which key came after which.
fn has_succession(found: Found) -> bool {
    match found {
        Found::Older(version) => version >= SUCCEEDED,
        found => found == Found::Current,
    }
}

/// Brings the database to our schema, under the lock.
async fn make(
    tx: &mut Transaction<'_>,
    schema: &Schema,
    url: &StoreUrl,
    identities: &Identities,
    create: bool,
    belief: Belief,
) -> Result<Keyring, Error> {
    let fail = |error| database::explain(url, "write the schema", error);
    // Asked again: another process may have been faster.
    match tx.find(schema).await.map_err(fail)? {
        Found::Current => Keyring::unlock(tx, url, identities, true, belief).await,
        Found::Older(version) => upgrade(tx, schema, url, identities, version, belief).await,
        Found::Blank if create && database::is_new(url)? => {
            refuse_gone(url, identities)?;
            // Others who find it before it is noted wait for that.
            let held = known::hold(identities.known_stores()).await;
            schema.apply(tx.on()).await.map_err(fail)?;
            failpoint::reach("store:schema-made");
            keyring::initialise(tx, url, identities, now()).await?;
            let record = Record::now(Action::Created, None);
            audit::insert(tx.on(), &record).await.map_err(fail)?;
            let ours = Belief {
                is_ours: true,
                ..Belief::default()
            };
            let mut keyring = Keyring::unlock(tx, url, identities, true, ours).await?;
            keyring.hold(held);
            Ok(keyring)
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
    belief: Belief,
) -> Result<Keyring, Error> {
    let fail = |error| database::explain(url, "write the schema", error);
    schema.apply(tx.on()).await.map_err(fail)?;
    failpoint::reach("store:schema-upgraded");
    let keyring = Keyring::unlock(tx, url, identities, true, belief).await?;
    if version < TAGGED {
        if !keyring.may_be_of_old() {
            return Err(Error::StoreTampered {
                store: url.to_string(),
                reason: "it has the schema of a time before it was known here, when nothing \
                         vouched for what stands beside the values"
                    .into(),
            });
        }
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
