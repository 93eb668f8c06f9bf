//! Letting go of old values before a new one is made.

use super::{Store, entry, write};
use crate::audit::{Action, Record};
use crate::database;
use crate::entry::{Version, outlived};
use crate::error::Error;
use crate::failpoint;
use crate::name::SecretName;
use crate::rows;

impl Store {
    /// Deletes the oldest values of a secret, for good, but for the newest and
    /// `keep` before it: for whoever has to withdraw them elsewhere first, and so
    /// keeps all of them in [`Store::ensure`]. Returns those that are gone now.
    pub async fn prune(&mut self, name: &SecretName, keep: u32) -> Result<Vec<Version>, Error> {
        self.refuse_read_only("delete old values")?;
        let url = self.keyring.url.clone();
        let fail = |error| database::explain(&url, "delete old values", error);
        let owner = self.owner.clone();
        let mut tx = self.conn.writing().await.map_err(fail)?;
        let keyring = &mut self.keyring;
        let pruned = async {
            keyring.follow(&mut tx).await?;
            let Some(mut entry) = entry(&mut tx, keyring, name, fail).await? else {
                return Ok(Vec::new());
            };
            let before_newest = entry
                .generations
                .split_last()
                .map_or(&[][..], |(_, old)| old);
            let gone = outlived(before_newest, keep).to_vec();
            if gone.is_empty() {
                return Ok(gone);
            }
            let owner = owner.as_deref().unwrap_or(&entry.owner).to_owned();
            let record = |version: &Version| {
                let record = Record::now(Action::Deleted, Some(&owner));
                record.of(name).generation(version.generation)
            };
            for version in &gone {
                rows::delete_generation(tx.on(), version.id)
                    .await
                    .map_err(fail)?;
            }
            let records: Vec<_> = gone.iter().map(record).collect();
            entry.generations.drain(..gone.len());
            write(&mut tx, keyring, &entry, &records)
                .await
                .map_err(fail)?;
            failpoint::reach("store:commit");
            Ok(gone)
        };
        let pruned = pruned.await;
        tx.end(pruned, fail).await
    }
}
