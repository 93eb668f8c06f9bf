//! What is said of keys and tokens alike. A macro, because serde can't flatten a
//! struct and refuse unknown fields at once.

use std::fmt;

use nixops4_provider_sdk::secret::StoredSecret;
use nixops4_provider_sdk::{Error, Result};
use nixops4_secrets_store::{Generation, SecretName};
use serde::{Deserialize, Serialize};

use super::Credential;
use crate::connection::Connection;
use crate::moment::Moment;
use crate::title::Name;

/// The inputs that both have.
pub(crate) trait Wanted {
    fn connection(&self) -> &Connection;
    fn name(&self) -> &Name;
    fn store(&self) -> &str;
    fn secret_name(&self) -> Option<&SecretName>;
    fn generation(&self) -> Generation;
    fn keep_generations(&self) -> u32;
    fn expiration(&self) -> Option<Moment>;
}

/// Defaults of the inputs.
pub(crate) mod defaults {
    use nixops4_secrets_store::Generation;

    pub(crate) fn store() -> String {
        "main".to_owned()
    }

    pub(crate) fn generation() -> Generation {
        Generation::FIRST
    }

    pub(crate) fn keep_generations() -> u32 {
        2
    }
}

/// Declares the inputs of a kind.
macro_rules! credential_inputs {
    ($(#[$meta:meta])* struct $kind:ident { $($fields:tt)* }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, serde::Deserialize, schemars::JsonSchema)]
        #[serde(rename_all = "camelCase", deny_unknown_fields)]
        pub(crate) struct $kind {
            /// The cluster.
            pub(crate) connection: $crate::connection::Connection,
            /// Its name, one line of up to 100 characters, behind which the mark of
            /// its owner stands. Changing it renames it.
            pub(crate) name: $crate::title::Name,
            /// Logical name of the secrets store that keeps the secret;
            /// `NIXOPS4_SECRETS_STORES` says where it is.
            #[serde(default = "crate::credential::defaults::store")]
            pub(crate) store: String,
            /// Name of the secret in the store. Unset: made of the first `name`.
            #[serde(default)]
            #[schemars(with = "Option<String>")]
            pub(crate) secret_name: Option<nixops4_secrets_store::SecretName>,
            /// Which value is wanted at least, counted from 1. Raising it above the
            /// newest makes another one, and keeps the old ones in use.
            #[serde(default = "crate::credential::defaults::generation")]
            #[schemars(with = "u32", range(min = 1))]
            pub(crate) generation: nixops4_secrets_store::Generation,
            /// How many older ones stay in use beside the newest. Those before them
            /// are deleted, on the server and in the store.
            #[serde(default = "crate::credential::defaults::keep_generations")]
            pub(crate) keep_generations: u32,
            /// When it ends, such as `2027-01-31T12:00:00Z`; the older ones that are
            /// kept end then, too. Unset: never.
            #[serde(default)]
            pub(crate) expiration: Option<$crate::moment::Moment>,
            $($fields)*
        }

        impl $crate::credential::Wanted for $kind {
            fn connection(&self) -> &$crate::connection::Connection {
                &self.connection
            }
            fn name(&self) -> &$crate::title::Name {
                &self.name
            }
            fn store(&self) -> &str {
                &self.store
            }
            fn secret_name(&self) -> Option<&nixops4_secrets_store::SecretName> {
                self.secret_name.as_ref()
            }
            fn generation(&self) -> nixops4_secrets_store::Generation {
                self.generation
            }
            fn keep_generations(&self) -> u32 {
                self.keep_generations
            }
            fn expiration(&self) -> Option<$crate::moment::Moment> {
                self.expiration
            }
        }
    };
}

pub(crate) use credential_inputs;

/// Where a secret is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) store: String,
    pub(crate) name: SecretName,
}

impl Place {
    /// Where the inputs want it.
    pub(crate) fn of<C: Credential>(inputs: &C::Inputs) -> Result<Self> {
        let (store, name) = (inputs.store().to_owned(), inputs.secret_name());
        let name = match name {
            Some(name) => name.clone(),
            None => default_name::<C>(inputs.name())?,
        };
        Ok(Self { store, name })
    }

    /// Where it was made.
    pub(super) fn recorded<C: Credential>(
        inputs: &PriorInputs,
        outputs: &PriorOutputs,
    ) -> Result<Self> {
        if let Some(secret) = &outputs.secret {
            let name = SecretName::try_from(secret.name.clone());
            return Ok(Self {
                store: secret.store.clone(),
                name: name.map_err(|error| Error::new(error.to_string()))?,
            });
        }
        let name = match &inputs.secret_name {
            Some(name) => name.clone(),
            None => default_name::<C>(&inputs.name)?,
        };
        let store = inputs.store.clone();
        Ok(Self { store, name })
    }
}

fn default_name<C: Credential>(name: &Name) -> Result<SecretName> {
    SecretName::try_from(format!("{}/{name}", C::SECRETS)).map_err(|error| {
        Error::input(
            "/secretName",
            format!(
                "the name {:?} can't be part of the name of a secret",
                name.as_str()
            ),
        )
        .because(error)
        .hint("set secretName")
    })
}

/// What is still of use of a record.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct PriorInputs {
    pub(crate) connection: Connection,
    pub(crate) name: Name,
    #[serde(default = "defaults::store")]
    pub(crate) store: String,
    #[serde(default)]
    pub(crate) secret_name: Option<SecretName>,
}

/// What is still of use of a record.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct PriorOutputs {
    #[serde(default, alias = "accessKeyId")]
    pub(crate) id: Option<String>,
    #[serde(default)]
    pub(crate) secret: Option<StoredSecret>,
    #[serde(default)]
    pub(crate) system_identifier: Option<String>,
}

/// A key or token, by the node that is asked and its name.
#[derive(Debug, Serialize)]
pub(crate) struct Identity {
    server: String,
    name: String,
    #[serde(skip)]
    called: &'static str,
}

impl Identity {
    pub(super) fn new<C: Credential>(at: &Connection, name: &Name) -> Self {
        Self {
            server: at.to_string(),
            name: name.as_str().to_owned(),
            called: C::CALLED,
        }
    }
}

impl fmt::Display for Identity {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{} {:?} on {}", self.called, self.name, self.server)
    }
}
