//! Making a value, once: the generation that is asked for, and what goes with it.

use std::cell::LazyCell;

use super::{Store, entry, now, write};
use crate::audit::{Action, Record};
use crate::database::{self, Transaction};
use crate::entry::{Ensured, Entry, Made, Need, NewSecret, Version, decide, outlived};
use crate::error::Error;
use crate::failpoint;
use crate::keyring::Keyring;
use crate::name::{Generation, SecretId, SecretName};
use crate::rows;

impl Store {
    /// Makes sure that a generation of a secret is there: makes it if it is
    /// absent, and takes a retained secret of the same owner back into use. When
    /// one is made, the oldest are deleted, but for as many as `new` keeps, and a
    /// rotation that was asked for is done with.
    ///
    /// `make` is not called when the generation exists. It runs before the store
    /// is locked; when several processes come at once each may run its own, one
    /// value is kept, and all get that one's id.
    ///
    /// Fails with [`Error::Foreign`] for another owner's secret (see
    /// [`Store::adopt`]), [`Error::OtherKind`] for one of another kind, and
    /// [`Error::GenerationTooOld`] for a missing generation below the newest.
    pub async fn ensure<M: Into<Made>>(
        &mut self,
        name: &SecretName,
        generation: Generation,
        new: &NewSecret,
        make: impl FnOnce() -> M,
    ) -> Result<Ensured, Error> {
        new.check()?;
        let have = self.lookup(name).await?;
        let value = LazyCell::new(|| make().into());
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
            Need::Value { .. } => LazyCell::force(&value).check()?,
        }
        self.refuse_read_only("store a secret")?;
        failpoint::reach("store:made");

        let url = self.keyring.url.clone();
        let fail = |error| database::explain(&url, "store a secret", error);
        let mut tx = self.conn.writing().await.map_err(fail)?;
        let wanted = Wanted {
            name,
            generation,
            new,
        };
        let ensured = wanted.ensure(&mut tx, &mut self.keyring, value, fail).await;
        tx.end(ensured, fail).await
    }
}

/// What is asked for.
struct Wanted<'a> {
    name: &'a SecretName,
    generation: Generation,
    new: &'a NewSecret,
}

impl Wanted<'_> {
    /// Makes sure of it, under the lock.
    async fn ensure(
        &self,
        tx: &mut Transaction<'_>,
        keyring: &mut Keyring,
        value: LazyCell<Made, impl FnOnce() -> Made>,
        fail: impl Fn(sqlx::Error) -> Error + Copy,
    ) -> Result<Ensured, Error> {
        let Self {
            name,
            generation,
            new,
        } = *self;
        let recipients = keyring.recipients(tx).await?;
        // Asked again: another process may have been faster.
        let have = entry(tx, keyring, name, fail).await?;
        let (ensured, mut records) = match decide(have.as_ref(), name, generation, new)? {
            Need::Nothing { version, restore } => {
                let ensured = Ensured {
                    version,
                    created: false,
                    restored: restore,
                };
                (ensured, Vec::new())
            }
            Need::Value { restore, .. } => {
                let value = LazyCell::force(&value);
                value.check()?;
                let version = Version {
                    generation,
                    id: SecretId::random(),
                    created_at: now(),
                    public_part: value.public_part.clone(),
                };
                let ciphertext = keyring.seal(&recipients, name, &version, &value.value)?;
                let old = have.as_ref().map(|entry| entry.generations.as_slice());
                let records = insert(tx, name, new, old, &version, &ciphertext)
                    .await
                    .map_err(fail)?;
                let ensured = Ensured {
                    version,
                    created: true,
                    restored: restore,
                };
                (ensured, records)
            }
        };
        if ensured.restored {
            records.push(Record::now(Action::Restored, Some(&new.owner)).of(name));
        }
        if !records.is_empty() {
            let entry = after(have, name, new, &ensured);
            write(tx, keyring, &entry, &records).await.map_err(fail)?;
        }
        failpoint::reach("store:commit");
        Ok(ensured)
    }
}

/// Writes a new generation beside the `old` ones, and the secret itself where
/// there are none; deletes those that have outlived their use. Returns what was
/// done.
async fn insert(
    tx: &mut Transaction<'_>,
    name: &SecretName,
    new: &NewSecret,
    old: Option<&[Version]>,
    version: &Version,
    ciphertext: &[u8],
) -> Result<Vec<Record>, sqlx::Error> {
    let record = |action, generation| {
        let record = Record::now(action, Some(&new.owner));
        record.of(name).generation(generation)
    };
    let action = if old.is_none() {
        rows::insert_secret(tx.on(), name, new, version.created_at).await?;
        failpoint::reach("store:secret-inserted");
        Action::Made
    } else {
        Action::Rotated
    };
    rows::insert_generation(tx.on(), name, version, ciphertext).await?;
    failpoint::reach("store:generation-inserted");
    let mut records = vec![record(action, version.generation)];
    for old in outlived(old.unwrap_or_default(), new.keep) {
        rows::delete_generation(tx.on(), old.id).await?;
        records.push(record(Action::Deleted, old.generation));
    }
    failpoint::reach("store:old-deleted");
    Ok(records)
}

/// What is known of a secret once a generation of it was made sure of.
fn after(have: Option<Entry>, name: &SecretName, new: &NewSecret, ensured: &Ensured) -> Entry {
    let mut entry = have.unwrap_or_else(|| Entry {
        name: name.clone(),
        owner: new.owner.clone(),
        kind: new.kind.clone(),
        created_at: ensured.version.created_at,
        generations: Vec::new(),
        retained: None,
        rotation: None,
        store_key: None,
    });
    if ensured.created {
        let gone = outlived(&entry.generations, new.keep).len();
        entry.generations.drain(..gone);
        entry.generations.push(ensured.version.clone());
        entry.rotation = None;
    }
    if ensured.restored {
        entry.retained = None;
    }
    entry
}
