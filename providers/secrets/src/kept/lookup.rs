//! What the store has of a secret, as a kind sees it.

use nixops4_provider_sdk::secret::{StoredSecret, existing_store, store_error};
use nixops4_provider_sdk::{
    Context, Error, Found, Mark, Object, Observed, Owner, Ownership, Result,
};
use nixops4_secrets_store::{Entry, Generation, SecretId, SecretName, Version};
use serde_json::json;
use time::OffsetDateTime;

use super::Keeps;

/// A secret as the store has it.
#[derive(Debug, Clone)]
pub(crate) struct Facts<P, S> {
    pub(crate) store: String,
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

/// One value of a secret, without the value.
#[derive(Debug, Clone)]
pub(crate) struct Current<P> {
    pub(crate) generation: Generation,
    pub(crate) id: SecretId,
    pub(crate) created_at: OffsetDateTime,
    pub(crate) public: P,
}

/// Looks a secret up. Fails if it is of another kind.
pub(super) async fn entry<K: Keeps>(store: &str, name: &SecretName) -> Result<Option<Entry>> {
    let Some(mut opened) = existing_store(store).await? else {
        return Ok(None);
    };
    let found = opened.lookup(name).await;
    match found.map_err(|error| store_error(&error, "/name"))? {
        Some(entry) if entry.kind != K::TYPE => Err(Error::input(
            "/name",
            format!(
                "secret {:?} is a {}, not a {}",
                name.as_str(),
                entry.kind,
                K::TYPE
            ),
        )
        .hint("choose another name")),
        entry => Ok(entry),
    }
}

/// The secrets of this kind that carry the owner's name.
pub(super) async fn list<K: Keeps>(cx: &Context, store: &str) -> Result<Vec<Found>> {
    let Some(mut opened) = existing_store(store).await? else {
        return Ok(Vec::new());
    };
    let entries = opened.list().await;
    let entries = entries.map_err(|error| store_error(&error, "/store"))?;
    let is_ours = |entry: &Entry| entry.kind == K::TYPE && entry.owner == cx.owner().as_str();
    let found = |entry: Entry| {
        let mut facts = Object::new();
        let newest = entry.newest().map(|newest| newest.generation.get());
        facts.insert("generation".to_owned(), json!(newest));
        Found {
            identity: json!({ "store": store, "secret": entry.name.as_str() }),
            mark: mark(cx.owner().clone(), &entry),
            facts,
        }
    };
    Ok(entries.into_iter().filter(is_ours).map(found).collect())
}

/// What is known of a secret, and whose it is.
pub(super) fn observed<K: Keeps>(
    store: &str,
    entry: Entry,
) -> Result<Observed<Facts<K::Public, K::Sources>>> {
    let owner = Owner::try_from(entry.owner.clone()).map_err(Error::new)?;
    let mark = mark(owner, &entry);
    let mut newest_first = entry.generations.iter().rev();
    let current = newest_first.next().ok_or_else(|| {
        Error::input(
            "/name",
            format!("secret {:?} has no value in the store", entry.name.as_str()),
        )
    })?;
    let facts = Facts {
        current: read::<K>(&entry.name, current)?,
        older: newest_first
            .map(|version| read::<K>(&entry.name, version))
            .collect::<Result<_>>()?,
        store: store.to_owned(),
        asked: entry.rotation.as_ref().map(|rotation| rotation.by.clone()),
        name: entry.name,
        sources: K::Sources::default(),
        now: OffsetDateTime::now_utc(),
    };
    Ok(Observed {
        facts,
        ownership: Ownership::Marked(mark),
    })
}

/// What a mark would say, if the store had comments.
fn mark(owner: Owner, entry: &Entry) -> Mark {
    Mark {
        owner,
        resource_type: Some(entry.kind.clone()),
        since: Some(entry.created_at),
        retained_since: entry.retained.as_ref().map(|retained| retained.since),
    }
}

fn read<K: Keeps>(name: &SecretName, version: &Version) -> Result<Current<K::Public>> {
    let public = version.public_part.as_deref().unwrap_or("null");
    let public = serde_json::from_str(public).map_err(|error| {
        Error::input(
            "/name",
            format!(
                "what is public of secret {:?} generation {} is not that of a {}",
                name.as_str(),
                version.generation,
                K::TYPE
            ),
        )
        .because(error)
        .hint(
            "if its value was set by hand, ask for a new one with a higher `generation`, or keep \
             it under another name and use it by a secrets_value",
        )
    })?;
    Ok(Current {
        generation: version.generation,
        id: version.id,
        created_at: version.created_at,
        public,
    })
}

/// Fails if a value that was recorded isn't there: a new one in its place would
/// lock out whoever uses it. One that a newer value has pushed out isn't lost.
pub(super) fn refuse_lost(recorded: &StoredSecret, entry: Option<&Entry>) -> Result<()> {
    let find = |entry: &Entry| {
        entry
            .generations
            .iter()
            .find(|version| version.generation.get() == recorded.generation)
            .cloned()
    };
    let newest = entry.and_then(Entry::newest);
    let problem = match entry.and_then(find) {
        Some(version) if version.id.to_string() == recorded.id => return Ok(()),
        Some(version) => format!("the store has another value, {}, in its place", version.id),
        None if newest.is_some_and(|newest| newest.generation.get() > recorded.generation) => {
            return Ok(());
        }
        None => "the store has none such".to_owned(),
    };
    Err(Error::input(
        "/name",
        format!(
            "secret {:?} generation {} was recorded with the value {}: {problem}",
            recorded.name, recorded.generation, recorded.id
        ),
    )
    .hint(format!(
        "restore the store {:?} from a backup, or point it at the right file; to begin anew on \
         purpose, forget this member in the state",
        recorded.store
    )))
}
