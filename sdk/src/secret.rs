//! Secrets, by reference.
//!
//! NixOps4 prints and stores every input in clear, so no secret is ever one. An
//! input holds a [`SecretRef`]; the value is fetched in the process that needs
//! it, by [`crate::Context::secret`], and known to the [redaction](redact) from
//! then on.

use std::collections::HashSet;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::path::{Path, PathBuf};
use std::sync::{LazyLock, Mutex, PoisonError};

use nixops4_secrets_store::environment::{identities, store_url};
use nixops4_secrets_store::file::{self, FileProblem, Privacy};
use nixops4_secrets_store::{
    Fingerprint, Generation, OpenOptions, SecretId, SecretName, Store, forbid_core_dumps, trust,
};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use secrecy::SecretString;
use serde::{Deserialize, Deserializer, Serialize, de};

use crate::error::{Error, Result, Retry};

pub use crate::redaction::{redact, remember};
pub use nixops4_secrets_store::environment::{IDENTITY_VARIABLE, STORES_VARIABLE};

/// Where a secret is to be found.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum SecretRef {
    /// In a file, without the line end at its end. It has to be a regular file,
    /// outside the Nix store.
    File(PathBuf),
    /// In an environment variable of the provider.
    Env(String),
    /// In a secrets store.
    Stored(StoredSecret),
}

/// A secret in a store, as the secrets provider's outputs name it.
///
/// Two are the same if they name the same value: the store's key was not part of
/// references before, and says nothing of which value is meant.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StoredSecret {
    /// Logical name of the store.
    pub store: String,
    /// Name of the secret.
    pub name: String,
    /// Generation, counted from 1.
    pub generation: u32,
    /// Random id of this one value.
    pub id: String,
    /// Fingerprint of the key that the store began with: by this, a machine that has
    /// never seen the store knows which one is meant. Null in a reference of before.
    #[serde(default, rename = "storeKey", skip_serializing_if = "Option::is_none")]
    pub store_key: Option<String>,
}

impl StoredSecret {
    /// What names the value.
    fn value(&self) -> (&str, &str, u32, &str) {
        (&self.store, &self.name, self.generation, &self.id)
    }

    /// The key that its store began with, if it says so. The error points at it.
    fn root(&self) -> Result<Option<Fingerprint>> {
        let root = self.store_key.as_deref().map(str::parse).transpose();
        root.map_err(|error: nixops4_secrets_store::Invalid| {
            Error::input("/storeKey", error.to_string())
        })
    }
}

impl PartialEq for StoredSecret {
    fn eq(&self, other: &Self) -> bool {
        self.value() == other.value()
    }
}

impl Eq for StoredSecret {}

impl Hash for StoredSecret {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.value().hash(state);
    }
}

/// A reference as it is written: every field optional, so that it reads the
/// same whether Nix leaves a field out or sets it to null.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Written {
    file: Option<PathBuf>,
    env: Option<String>,
    store: Option<String>,
    name: Option<String>,
    generation: Option<u32>,
    id: Option<String>,
    #[serde(rename = "storeKey")]
    store_key: Option<String>,
}

const FORMS: &str = "write { file = \"/run/keys/x\"; } or { env = \"NAME\"; }, or use the `secret` \
                     output of a secrets resource";

impl<'de> Deserialize<'de> for SecretRef {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // A value in the wrong place may be the secret itself: never repeat it.
        let written = serde_json::Value::deserialize(deserializer)?;
        if !written.is_object() {
            return Err(de::Error::custom(format!(
                "a secret is given by reference, never as its value; {FORMS}"
            )));
        }
        let written: Written = serde_json::from_value(written).map_err(|_| {
            de::Error::custom(format!("this is not a reference to a secret; {FORMS}"))
        })?;
        written.into_reference().map_err(de::Error::custom)
    }
}

impl Written {
    /// The one form that it has; errors repeat nothing of it.
    fn into_reference(self) -> Result<SecretRef, String> {
        match self {
            Self {
                file: Some(file),
                env: None,
                store: None,
                name: None,
                generation: None,
                id: None,
                store_key: None,
            } if !file.as_os_str().is_empty() => Ok(SecretRef::File(file)),
            Self {
                file: None,
                env: Some(env),
                store: None,
                name: None,
                generation: None,
                id: None,
                store_key: None,
            } if is_variable_name(&env) => Ok(SecretRef::Env(env)),
            Self {
                file: None,
                env: None,
                store: Some(store),
                name: Some(name),
                generation: Some(generation),
                id: Some(id),
                store_key,
            } => Ok(SecretRef::Stored(StoredSecret {
                store,
                name,
                generation,
                id,
                store_key,
            })),
            Self { env: Some(env), .. } if !is_variable_name(&env) => Err(format!(
                "`env` is not the name of an environment variable (letters, digits and _); {FORMS}"
            )),
            _ => Err(format!(
                "a reference to a secret has either `file`, or `env`, or all of `store`, `name`, \
                 `generation` and `id`; {FORMS}"
            )),
        }
    }
}

fn is_variable_name(name: &str) -> bool {
    !name.is_empty()
        && !name.starts_with(|c: char| c.is_ascii_digit())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

impl JsonSchema for SecretRef {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "SecretRef".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "object",
            "description": "A reference to a secret: either `file`, or `env`, or all of `store`, `name`, `generation` and `id` as the `secret` output of a secrets resource has them.",
            "additionalProperties": false,
            "properties": {
                "file": {
                    "type": ["string", "null"], "default": null,
                    "description": "Path of a file with the secret, outside the Nix store; one line end at its end is left out.",
                },
                "env": {
                    "type": ["string", "null"], "default": null,
                    "description": "Environment variable of the provider with the secret.",
                },
                "store": {
                    "type": ["string", "null"], "default": null,
                    "description": "Logical name of the secrets store.",
                },
                "name": {
                    "type": ["string", "null"], "default": null,
                    "description": "Name of the secret in its store.",
                },
                "generation": {
                    "type": ["integer", "null"], "default": null, "minimum": 1,
                    "description": "Generation of the secret.",
                },
                "id": {
                    "type": ["string", "null"], "default": null,
                    "description": "Random id of the one value that is meant.",
                },
                "storeKey": {
                    "type": ["string", "null"], "default": null,
                    "description": "Fingerprint of the key that the store began with: another store is refused.",
                },
            },
        })
    }
}

/// Fetches the value that a reference names, for the deployment `owner`. Errors
/// point into the reference.
pub(crate) async fn resolve(reference: &SecretRef, owner: &str) -> Result<SecretString> {
    forbid_core_dumps();
    let value = match reference {
        SecretRef::File(path) => from_file(path)?,
        SecretRef::Env(name) => from_env(name)?,
        SecretRef::Stored(stored) => from_store(stored, owner).await?,
    };
    remember(&value);
    Ok(value)
}

fn from_file(path: &Path) -> Result<SecretString> {
    let read = file::read(path, Privacy::Any);
    // What others could have written is refused, but for who became root by sudo.
    if let Ok(Some(tolerated)) = trust::check(path) {
        warn_once(&tolerated);
    }
    read.map_err(|problem| {
        let error = Error::input(
            "/file",
            format!("unable to read the secret in {}", path.display()),
        );
        error.because(&problem).hint(match problem {
            FileProblem::Untrusted(_) => "see the guide to secrets, \"Whom a file must belong to\"",
            FileProblem::InNixStore => {
                "keep it elsewhere, and give its path in quotes: a bare path in Nix is copied to \
                 the store"
            }
            _ => {
                "give the path of a file that this process can read and that holds the secret alone"
            }
        })
    })
}

fn from_env(name: &str) -> Result<SecretString> {
    match std::env::var(name) {
        Ok(value) if !value.is_empty() => Ok(SecretString::from(value)),
        found => {
            let state = match found {
                Ok(_) => "empty",
                Err(std::env::VarError::NotPresent) => "not set",
                Err(std::env::VarError::NotUnicode(_)) => "not text in UTF-8",
            };
            Err(Error::input(
                "/env",
                format!("the environment variable {name} is {state}"),
            )
            .hint("set it where nixops4 is run; a provider inherits that environment"))
        }
    }
}

async fn from_store(stored: &StoredSecret, owner: &str) -> Result<SecretString> {
    let name = SecretName::try_from(stored.name.clone())
        .map_err(|error| Error::input("/name", error.to_string()))?;
    let generation = Generation::try_from(stored.generation)
        .map_err(|error| Error::input("/generation", error.to_string()))?;
    let id = SecretId::try_from(stored.id.clone())
        .map_err(|error| Error::input("/id", error.to_string()))?;
    let mut store = store_of(stored).await?.ok_or_else(|| {
        Error::input(
            "/store",
            format!("the secrets store {:?} is not there", stored.store),
        )
        .hint(format!(
            "see that {STORES_VARIABLE} leads to the store that holds the secret"
        ))
    })?;
    store = store.acting_for(owner);
    store
        .reveal(&name, generation, Some(&id))
        .await
        .map_err(|error| store_error(&error, "/name"))
}

/// Opens the store of a logical name; `None` where there is none yet. Errors
/// point at the reference's `store`.
pub async fn existing_store(name: &str) -> Result<Option<Store>> {
    open_existing(name, OpenOptions::default()).await
}

/// Opens the store that a reference was made in; `None` where there is none. Another
/// one is refused, also by a machine that has never seen either. Errors point into
/// the reference.
pub async fn store_of(reference: &StoredSecret) -> Result<Option<Store>> {
    let options = OpenOptions::default().rooted_in(reference.root()?);
    open_existing(&reference.store, options).await
}

async fn open_existing(name: &str, options: OpenOptions) -> Result<Option<Store>> {
    forbid_core_dumps();
    let opened = async { options.open(&store_url(name)?, &identities()?).await }.await;
    match opened {
        Ok(store) => {
            warn(name, &store);
            Ok(Some(store))
        }
        Err(nixops4_secrets_store::Error::StoreMissing { .. }) => Ok(None),
        Err(error) => Err(store_error(&error, "/store")),
    }
}

/// Opens the store of a logical name, and makes it where there is none. Errors
/// point at the reference's `store`.
pub async fn store(name: &str) -> Result<Store> {
    forbid_core_dumps();
    let opened = async { Store::open_or_create(&store_url(name)?, &identities()?).await }.await;
    let store = opened.map_err(|error| store_error(&error, "/store"))?;
    warn(name, &store);
    Ok(store)
}

fn warn(name: &str, store: &Store) {
    for notice in store.notices() {
        warn_once(notice);
    }
    if store.url().is_read_only() {
        tracing::warn!("the secrets store {name:?} is only read: no record is left of it");
    }
}

/// Says something once in the life of this process.
fn warn_once(warning: &impl fmt::Display) {
    static SAID: LazyLock<Mutex<HashSet<String>>> = LazyLock::new(Mutex::default);
    let warning = warning.to_string();
    let mut said = SAID.lock().unwrap_or_else(PoisonError::into_inner);
    if !said.contains(&warning) {
        tracing::warn!("{warning}");
        said.insert(warning);
    }
}

/// What a failure of the store means to the user.
#[must_use]
pub fn store_error(error: &nixops4_secrets_store::Error, pointer: &str) -> Error {
    let retry = if error.is_retryable() {
        Retry::UntilDeadline
    } else {
        Retry::Never
    };
    // A hint of the store's own stays one.
    let said = error.to_string();
    let error = match said.split_once("\nhint: ") {
        Some((summary, hint)) => Error::input(pointer, summary).hint(hint),
        None => Error::input(pointer, said),
    };
    error.retry(retry)
}

impl fmt::Display for SecretRef {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(out, "file {}", path.display()),
            Self::Env(name) => write!(out, "environment variable {name}"),
            Self::Stored(stored) => {
                write!(
                    out,
                    "secret {} generation {} in store {}",
                    stored.name, stored.generation, stored.store
                )
            }
        }
    }
}

#[cfg(test)]
mod tests;
