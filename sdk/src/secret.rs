//! Secrets, by reference.
//!
//! NixOps4 prints and stores every input in clear, so no secret is ever one. An
//! input holds a [`SecretRef`]; the value is fetched in the process that needs
//! it, by [`crate::Context::secret`], and known to the [redaction](redact) from
//! then on.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use nixops4_secrets_store::{Generation, Identities, SecretId, SecretName, Store, StoreUrl};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Deserializer, Serialize, de};

use crate::error::{Error, Result, Retry};

/// Maps the logical names of stores to their URLs: `NAME=URL`, several separated
/// by white space.
pub const STORES_VARIABLE: &str = "NIXOPS4_SECRETS_STORES";
/// Names the file with the identity that opens the stores.
pub const IDENTITY_VARIABLE: &str = "NIXOPS4_SECRETS_IDENTITY";
/// A file is read up to this size, in bytes.
const MAX_FILE: u64 = 1 << 20;
/// Shorter values would turn up in ordinary text.
const MIN_REDACTED: usize = 6;

/// Where a secret is to be found.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum SecretRef {
    /// In a file, without its last newline.
    File(PathBuf),
    /// In an environment variable of the provider.
    Env(String),
    /// In a secrets store.
    Stored(StoredSecret),
}

/// A secret in a store, as the secrets provider's outputs name it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
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
        match written {
            Written { file: Some(file), env: None, store: None, name: None, generation: None, id: None } => {
                Ok(Self::File(file))
            }
            Written { file: None, env: Some(env), store: None, name: None, generation: None, id: None } => {
                Ok(Self::Env(env))
            }
            Written {
                file: None,
                env: None,
                store: Some(store),
                name: Some(name),
                generation: Some(generation),
                id: Some(id),
            } => Ok(Self::Stored(StoredSecret { store, name, generation, id })),
            _ => Err(de::Error::custom(format!(
                "a reference to a secret has either `file`, or `env`, or all of `store`, `name`, \
                 `generation` and `id`; {FORMS}"
            ))),
        }
    }
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
                    "description": "Path of a file with the secret; one newline at its end is left out.",
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
            },
        })
    }
}

/// Fetches the value that a reference names. Errors point into the reference.
pub(crate) async fn resolve(reference: &SecretRef) -> Result<SecretString> {
    let value = match reference {
        SecretRef::File(path) => from_file(path)?,
        SecretRef::Env(name) => from_env(name)?,
        SecretRef::Stored(stored) => from_store(stored).await?,
    };
    remember(&value);
    Ok(value)
}

fn from_file(path: &Path) -> Result<SecretString> {
    let unable = |cause: String| {
        Error::input("/file", format!("unable to read the secret in {}", path.display()))
            .because(cause)
            .hint("give the path of a file that this process can read and that holds the secret alone")
    };
    let size = std::fs::metadata(path).map_err(|error| unable(error.to_string()))?.len();
    if size > MAX_FILE {
        return Err(unable(format!("it has {size} bytes, more than any secret")));
    }
    let bytes = std::fs::read(path).map_err(|error| unable(error.to_string()))?;
    // The bytes that aren't UTF-8 are part of the secret: the error can't show them.
    let mut text = String::from_utf8(bytes).map_err(|_| unable("it is not text in UTF-8".into()))?;
    if text.ends_with('\n') {
        text.pop();
    }
    if text.is_empty() {
        return Err(unable("it is empty".into()));
    }
    Ok(SecretString::from(text))
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
            Err(Error::input("/env", format!("the environment variable {name} is {state}"))
                .hint("set it where nixops4 is run; a provider inherits that environment"))
        }
    }
}

async fn from_store(stored: &StoredSecret) -> Result<SecretString> {
    let name = SecretName::try_from(stored.name.clone())
        .map_err(|error| Error::input("/name", error.to_string()))?;
    let generation = Generation::try_from(stored.generation)
        .map_err(|error| Error::input("/generation", error.to_string()))?;
    let id = SecretId::try_from(stored.id.clone())
        .map_err(|error| Error::input("/id", error.to_string()))?;
    let mut store = existing_store(&stored.store).await?.ok_or_else(|| {
        Error::input("/store", format!("the secrets store {:?} is not there", stored.store))
            .hint(format!("see that {STORES_VARIABLE} leads to the store that holds the secret"))
    })?;
    store.reveal(&name, generation, Some(&id)).await.map_err(|error| store_error(&error, "/name"))
}

/// Opens the store of a logical name; `None` where there is none yet. Errors
/// point at the reference's `store`.
pub async fn existing_store(name: &str) -> Result<Option<Store>> {
    match Store::open(&store_url(name)?, &identities()?).await {
        Ok(store) => Ok(Some(store)),
        Err(nixops4_secrets_store::Error::StoreMissing { .. }) => Ok(None),
        Err(error) => Err(store_error(&error, "/store")),
    }
}

/// Opens the store of a logical name, and makes it where there is none. Errors
/// point at the reference's `store`.
pub async fn store(name: &str) -> Result<Store> {
    let opened = Store::open_or_create(&store_url(name)?, &identities()?).await;
    opened.map_err(|error| store_error(&error, "/store"))
}

/// What a failure of the store means to the user.
#[must_use]
pub fn store_error(error: &nixops4_secrets_store::Error, pointer: &str) -> Error {
    let retry = if error.is_retryable() { Retry::UntilDeadline } else { Retry::Never };
    Error::input(pointer, error.to_string()).retry(retry)
}

fn store_url(name: &str) -> Result<StoreUrl> {
    let mapping = std::env::var(STORES_VARIABLE).unwrap_or_default();
    let stores = parse_stores(&mapping)?;
    let Some(url) = stores.get(name) else {
        let known: Vec<_> = stores.into_keys().collect();
        let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
        return Err(Error::input(
            "/store",
            format!("no secrets store is called {name:?}; {STORES_VARIABLE} names {known}"),
        )
        .hint(format!("set {STORES_VARIABLE}=\"{name}=sqlite:/path/to/secrets.db\"")));
    };
    url.parse().map_err(|error: nixops4_secrets_store::Invalid| {
        Error::input("/store", format!("the URL of {name:?} in {STORES_VARIABLE} can't be used"))
            .because(error)
    })
}

fn parse_stores(mapping: &str) -> Result<BTreeMap<String, String>> {
    mapping
        .split_whitespace()
        .map(|entry| match entry.split_once('=') {
            Some((name, url)) if !name.is_empty() => Ok((name.to_owned(), url.to_owned())),
            // An entry may be a URL with a password in it: don't repeat it.
            _ => Err(Error::input("/store", format!("{STORES_VARIABLE} has an entry without a name"))
                .hint(format!("write {STORES_VARIABLE}=\"NAME=URL NAME=URL ...\""))),
        })
        .collect()
}

fn identities() -> Result<Identities> {
    let path = std::env::var_os(IDENTITY_VARIABLE).filter(|path| !path.is_empty());
    let Some(path) = path else {
        return Err(Error::input("/store", format!("{IDENTITY_VARIABLE} is not set")).hint(format!(
            "set {IDENTITY_VARIABLE} to the file of the age identity or SSH key that opens the \
             store (`nixops4-resources-secrets keygen FILE` makes one)"
        )));
    };
    Identities::from_file(Path::new(&path)).map_err(|error| store_error(&error, "/store"))
}

/// Every value that this process has resolved, for [`redact`].
static RESOLVED: Mutex<Vec<SecretString>> = Mutex::new(Vec::new());

/// Makes sure that a value shows up in nothing that this process says.
pub fn remember(value: &SecretString) {
    if value.expose_secret().len() < MIN_REDACTED {
        return;
    }
    let mut resolved = RESOLVED.lock().unwrap_or_else(PoisonError::into_inner);
    if !resolved.iter().any(|known| known.expose_secret() == value.expose_secret()) {
        resolved.push(value.clone());
    }
}

/// Replaces every value that this process has resolved.
///
/// The last line of defence: nothing is meant to carry one in the first place.
#[must_use]
pub fn redact(text: &str) -> String {
    let resolved = RESOLVED.lock().unwrap_or_else(PoisonError::into_inner);
    resolved.iter().fold(text.to_owned(), |text, value| {
        if text.contains(value.expose_secret()) {
            text.replace(value.expose_secret(), "(secret)")
        } else {
            text
        }
    })
}

impl fmt::Display for SecretRef {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(out, "file {}", path.display()),
            Self::Env(name) => write!(out, "environment variable {name}"),
            Self::Stored(stored) => {
                write!(out, "secret {} generation {} in store {}", stored.name, stored.generation, stored.store)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn references_that_parse() {
        for (written, reference) in [
            (json!({"file": "/run/x"}), SecretRef::File("/run/x".into())),
            (json!({"env": "X", "file": null}), SecretRef::Env("X".into())),
            (
                json!({"store": "main", "name": "a/b", "generation": 2, "id": "x", "file": null, "env": null}),
                SecretRef::Stored(StoredSecret {
                    store: "main".into(),
                    name: "a/b".into(),
                    generation: 2,
                    id: "x".into(),
                }),
            ),
        ] {
            assert_eq!(serde_json::from_value::<SecretRef>(written).unwrap(), reference);
        }
    }

    #[test]
    fn what_is_no_reference_is_never_repeated() {
        for written in [
            json!("canary-value"),
            json!(["canary-value"]),
            json!({"password": "canary-value"}),
            json!({"canary-value": 1}),
            json!({"file": "/x", "env": "canary-value"}),
            json!({"store": "main", "name": "canary-value"}),
            json!({"file": {"canary-value": 1}}),
            json!({}),
            json!(12345),
        ] {
            let error = serde_json::from_value::<SecretRef>(written).unwrap_err().to_string();
            assert!(!error.contains("canary"), "{error}");
            assert!(error.contains("write { file"), "{error}");
        }
    }

    #[test]
    fn stores() {
        assert_eq!(parse_stores("").unwrap().len(), 0);
        let stores = parse_stores(" main=sqlite:/a=b\n team=sqlite:/c ").unwrap();
        assert_eq!(stores["main"], "sqlite:/a=b");
        assert_eq!(stores["team"], "sqlite:/c");
        let error = parse_stores("postgresql://u:canary@h/d").unwrap_err().to_string();
        assert!(!error.contains("canary"), "{error}");
    }

    #[test]
    fn redaction() {
        remember(&SecretString::from("redaction-test-value"));
        remember(&SecretString::from("abc"));
        assert_eq!(redact("abc: redaction-test-value!"), "abc: (secret)!");
    }
}
