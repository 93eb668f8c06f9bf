//! Secrets in a store, as kinds see them that keep one there: which values there
//! are, what is public of each, and whose they are.
//!
//! It must not know how a value is made, nor when another one is due.

use nixops4_secrets_store::{Entry, Generation, SecretId, SecretName, Version};
use serde::de::DeserializeOwned;
use time::OffsetDateTime;

use crate::error::{Error, Result};
use crate::kind::Owner;
use crate::mark::Mark;
use crate::secret::{StoredSecret, existing_store, store_error, store_of};

/// A secret as the store has it.
#[derive(Debug, Clone)]
pub struct Kept<P> {
    /// Logical name of the store.
    pub store: String,
    /// Fingerprint of the key that the store began with.
    pub store_key: Option<String>,
    /// Its name there.
    pub name: SecretName,
    /// The value in use.
    pub current: KeptValue<P>,
    /// The values before that are kept, newest first.
    pub older: Vec<KeptValue<P>>,
    /// Who asked for a new value by hand.
    pub asked: Option<String>,
    /// What a mark would say, if the store had comments.
    pub mark: Mark,
}

/// One value of a secret, without the value.
#[derive(Debug, Clone)]
pub struct KeptValue<P> {
    /// Which one, counted from 1.
    pub generation: Generation,
    /// Its random id.
    pub id: SecretId,
    /// When it was made.
    pub created_at: OffsetDateTime,
    /// What everybody may know of it.
    pub public: P,
}

impl<P: DeserializeOwned> Kept<P> {
    /// Reads what the store has of a secret. `pointer` is where its name stands in
    /// the inputs.
    pub fn read(store: &str, entry: Entry, pointer: &str) -> Result<Self> {
        let mark = mark(&entry)?;
        let mut newest_first = entry.generations.iter().rev();
        let read = |version| KeptValue::read(&entry.name, &entry.kind, version, pointer);
        let current = newest_first.next().ok_or_else(|| {
            Error::input(
                pointer,
                format!("secret {:?} has no value in the store", entry.name.as_str()),
            )
        })?;
        Ok(Self {
            current: read(current)?,
            older: newest_first.map(read).collect::<Result<_>>()?,
            store: store.to_owned(),
            store_key: entry.store_key.map(String::from),
            asked: entry.rotation.as_ref().map(|rotation| rotation.by.clone()),
            name: entry.name,
            mark,
        })
    }
}

impl<P> Kept<P> {
    /// All values, newest first.
    pub fn values(&self) -> impl Iterator<Item = &KeptValue<P>> {
        std::iter::once(&self.current).chain(&self.older)
    }

    /// The reference to give to others.
    #[must_use]
    pub fn reference(&self, value: &KeptValue<P>) -> StoredSecret {
        StoredSecret {
            store: self.store.clone(),
            name: self.name.to_string(),
            generation: value.generation.get(),
            id: value.id.to_string(),
            store_key: self.store_key.clone(),
        }
    }
}

/// Looks a secret up. Fails if it is of another kind than `kind`, or if the store is
/// not the one in which it was recorded.
pub async fn entry(
    store: &str,
    name: &SecretName,
    kind: &str,
    recorded: Option<&StoredSecret>,
    pointer: &str,
) -> Result<Option<Entry>> {
    let opened = match recorded.filter(|recorded| recorded.store == store) {
        Some(recorded) => store_of(recorded).await?,
        None => existing_store(store).await?,
    };
    let Some(mut opened) = opened else {
        return Ok(None);
    };
    let found = opened.lookup(name).await;
    match found.map_err(|error| store_error(&error, pointer))? {
        Some(entry) if entry.kind != kind => Err(Error::input(
            pointer,
            format!(
                "secret {:?} is a {}, not a {kind}",
                name.as_str(),
                entry.kind,
            ),
        )
        .hint("choose another name")),
        entry => Ok(entry),
    }
}

/// What a mark would say of a secret.
pub fn mark(entry: &Entry) -> Result<Mark> {
    Ok(Mark {
        owner: Owner::try_from(entry.owner.clone()).map_err(Error::new)?,
        resource_type: Some(entry.kind.clone()),
        since: Some(entry.created_at),
        retained_since: entry.retained.as_ref().map(|retained| retained.since),
    })
}

impl<P: DeserializeOwned> KeptValue<P> {
    /// Reads what the store has of one value of a secret of this name and kind.
    pub fn read(name: &SecretName, kind: &str, version: &Version, pointer: &str) -> Result<Self> {
        let public = version.public_part.as_deref().unwrap_or("null");
        let public = serde_json::from_str(public).map_err(|error| {
            Error::input(
                pointer,
                format!(
                    "what is public of secret {:?} generation {} is not that of a {kind}",
                    name.as_str(),
                    version.generation,
                ),
            )
            .because(error)
            .hint(
                "if its value was set by hand, ask for a new one with a higher `generation`, or \
                 keep it under another name and use it by a secrets_value",
            )
        })?;
        Ok(Self {
            generation: version.generation,
            id: version.id,
            created_at: version.created_at,
            public,
        })
    }
}

/// The generation after this one.
#[must_use]
pub fn following(generation: Generation) -> Generation {
    // At the end of the numbers it stays, and making it fails.
    Generation::try_from(generation.get().saturating_add(1)).unwrap_or(generation)
}

/// Fails if a value that was recorded isn't there: a new one in its place would
/// lock out whoever uses it. One that a newer value has pushed out isn't lost.
pub fn refuse_lost(recorded: &StoredSecret, entry: Option<&Entry>, pointer: &str) -> Result<()> {
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
        pointer,
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
