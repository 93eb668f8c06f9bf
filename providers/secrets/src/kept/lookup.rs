//! What the store has of a secret, as a kind sees it.

use nixops4_provider_sdk::kept::{self, Kept};
use nixops4_provider_sdk::secret::{StoredSecret, existing_store, store_error};
use nixops4_provider_sdk::{Context, Found, Object, Observed, Ownership, Result};
use nixops4_secrets_store::{Entry, SecretName};
use serde_json::json;
use time::OffsetDateTime;

use super::Keeps;

pub(crate) use nixops4_provider_sdk::kept::KeptValue as Current;

/// A secret as the store has it.
#[derive(Debug, Clone)]
pub(crate) struct Facts<P, S> {
    pub(crate) store: String,
    /// Fingerprint of the key that the store began with.
    pub(crate) store_key: Option<String>,
    pub(crate) name: SecretName,
    /// The value in use.
    pub(crate) current: Current<P>,
    /// The values before that are kept, newest first.
    pub(crate) older: Vec<Current<P>>,
    /// Who asked for a new value by hand.
    pub(crate) asked: Option<String>,
    pub(crate) sources: S,
    pub(crate) now: OffsetDateTime,
}

/// Where errors about a secret point.
const NAME: &str = "/name";

/// Looks a secret up. Fails if it is of another kind, or if the store is not the one
/// in which it was recorded.
pub(super) async fn entry<K: Keeps>(
    store: &str,
    name: &SecretName,
    recorded: Option<&StoredSecret>,
) -> Result<Option<Entry>> {
    kept::entry(store, name, K::TYPE, recorded, NAME).await
}

/// The secrets of this kind that carry the owner's name.
pub(super) async fn list<K: Keeps>(cx: &Context, store: &str) -> Result<Vec<Found>> {
    let Some(mut opened) = existing_store(store).await? else {
        cx.could_not_look(
            format!("secrets store {store:?}"),
            "there is none where NIXOPS4_SECRETS_STORES says it is",
        );
        return Ok(Vec::new());
    };
    let entries = opened.list().await;
    let entries = entries.map_err(|error| store_error(&error, "/store"))?;
    let is_ours = |entry: &Entry| entry.kind == K::TYPE && entry.owner == cx.owner().as_str();
    let found = |entry: Entry| {
        let mut facts = Object::new();
        let newest = entry.newest().map(|newest| newest.generation.get());
        facts.insert("generation".to_owned(), json!(newest));
        Ok(Found {
            identity: json!({ "store": store, "secret": entry.name.as_str() }),
            mark: kept::mark(&entry)?,
            facts,
        })
    };
    entries.into_iter().filter(is_ours).map(found).collect()
}

/// What is known of a secret, and whose it is.
pub(super) fn observed<K: Keeps>(
    store: &str,
    entry: Entry,
) -> Result<Observed<Facts<K::Public, K::Sources>>> {
    let kept = Kept::<K::Public>::read(store, entry, NAME)?;
    let facts = Facts {
        current: kept.current,
        older: kept.older,
        store: kept.store,
        store_key: kept.store_key,
        asked: kept.asked,
        name: kept.name,
        sources: K::Sources::default(),
        now: OffsetDateTime::now_utc(),
    };
    Ok(Observed {
        facts,
        ownership: Ownership::Marked(kept.mark),
    })
}

/// Fails if a value that was recorded isn't there.
pub(super) fn refuse_lost(recorded: &StoredSecret, entry: Option<&Entry>) -> Result<()> {
    kept::refuse_lost(recorded, entry, NAME)
}
