//! Where existing secrets are obtained from, and never written to: a folder of
//! files, environment variables, HashiCorp Vault or OpenBao. It knows no store.

mod vault;

use std::path::{Path, PathBuf};
use std::str::FromStr;

use secrecy::SecretString;

use crate::environment;
use crate::error::{Error, Invalid};
use crate::file::{self, FileProblem, Privacy};
use crate::name::SecretName;

pub use vault::TokenFrom;

/// A place to obtain existing secrets from:
///
/// - `file:/run/secrets`: the secret `app/db` is in the file `/run/secrets/app/db`,
///   which others than its owner and group may not be able to read;
/// - `env:DEPLOY_`: the secret `app/db` is in the variable `DEPLOY_APP_DB`;
/// - `vault:https://vault.example:8200/secret`: the secret is in the KV v2 engine
///   `secret`. The token comes from the file that `?token-file=` names, else from
///   `BAO_TOKEN` or `VAULT_TOKEN`, else from `~/.vault-token`; `?namespace=` and
///   `?ca=` (a file of PEM) may be given, else `BAO_NAMESPACE`, `VAULT_NAMESPACE`,
///   `BAO_CACERT` and `VAULT_CACERT` are followed.
#[derive(Debug)]
pub struct Source(Place);

#[derive(Debug)]
enum Place {
    Folder(PathBuf),
    Variables(String),
    Vault(Box<vault::Vault>),
}

/// What was obtained.
#[derive(Debug)]
pub struct Obtained {
    /// The value.
    pub value: SecretString,
    /// Which version of it, where the source counts them.
    pub version: Option<u32>,
}

/// Why a secret could not be obtained.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SourceError {
    /// There is no such source.
    #[error(transparent)]
    Unknown(#[from] Error),
    /// A file does not give it.
    #[error("unable to read the secret in {}: {problem}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        problem: FileProblem,
    },
    /// A variable does not give it.
    #[error("the environment variable {variable} is {state}; set it where nixops4 is run")]
    Variable {
        /// Its name.
        variable: String,
        /// What is wrong with it.
        state: &'static str,
    },
    /// The source has no fields, or no versions.
    #[error("{source_kind} has no {what}; leave it out")]
    NotThere {
        /// "a folder of files" or the like.
        source_kind: &'static str,
        /// "fields" or "versions".
        what: &'static str,
    },
    /// Vault does not give it.
    #[error(transparent)]
    Vault(#[from] vault::Problem),
}

impl SourceError {
    /// Whether the same call may succeed a little later, with nothing changed.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        matches!(self, Self::Vault(problem) if problem.is_retryable())
    }

    /// Whether the source was reached, and does not have the secret.
    #[must_use]
    pub fn is_missing(&self) -> bool {
        match self {
            Self::Variable { .. } => true,
            Self::File { problem, .. } => match problem {
                FileProblem::Unreadable(error) => error.kind() == std::io::ErrorKind::NotFound,
                problem => matches!(problem, FileProblem::Empty),
            },
            Self::Vault(problem) => problem.is_missing(),
            _ => false,
        }
    }
}

impl Source {
    /// The source with that logical name in `NIXOPS4_SECRETS_STORES`.
    pub fn named(name: &str) -> Result<Self, SourceError> {
        let address = environment::address(name, "vault:https://vault.example:8200/secret")?;
        address
            .parse()
            .map_err(|error| SourceError::Unknown(environment::unusable(name, &error)))
    }

    /// Obtains a secret, and never makes one. `field` is one of the fields that
    /// Vault keeps under a name; without it there has to be a single one.
    /// `version` is one that Vault counts; without it, the newest.
    pub async fn obtain(
        &self,
        name: &str,
        field: Option<&str>,
        version: Option<u32>,
    ) -> Result<Obtained, SourceError> {
        crate::memory::forbid_core_dumps();
        let name: SecretName = name.parse().map_err(Error::Invalid)?;
        let plain = |source_kind| match (field, version) {
            (None, None) => Ok(()),
            (Some(_), _) => Err(SourceError::NotThere {
                source_kind,
                what: "fields",
            }),
            (None, Some(_)) => Err(SourceError::NotThere {
                source_kind,
                what: "versions",
            }),
        };
        let value = match &self.0 {
            Place::Folder(folder) => {
                plain("a folder of files")?;
                from_folder(folder, &name)?
            }
            Place::Variables(prefix) => {
                plain("the environment")?;
                from_variable(prefix, &name)?
            }
            Place::Vault(vault) => return Ok(vault.obtain(&name, field, version).await?),
        };
        Ok(Obtained {
            value,
            version: None,
        })
    }
}

fn from_folder(folder: &Path, name: &SecretName) -> Result<SecretString, SourceError> {
    let path = folder.join(name.as_str());
    file::read(&path, Privacy::Refused).map_err(|problem| SourceError::File { path, problem })
}

fn from_variable(prefix: &str, name: &SecretName) -> Result<SecretString, SourceError> {
    let variable = variable(prefix, name);
    let state = match std::env::var(&variable) {
        Ok(value) if !value.is_empty() => return Ok(SecretString::from(value)),
        Ok(_) => "empty",
        Err(std::env::VarError::NotPresent) => "not set",
        Err(std::env::VarError::NotUnicode(_)) => "not text in UTF-8",
    };
    Err(SourceError::Variable { variable, state })
}

/// The variable of a secret: its name in capitals, `_` for what a variable cannot
/// have.
fn variable(prefix: &str, name: &SecretName) -> String {
    let capital = |c: char| {
        if c.is_ascii_alphanumeric() {
            c.to_ascii_uppercase()
        } else {
            '_'
        }
    };
    let name: String = name.as_str().chars().map(capital).collect();
    format!("{prefix}{name}")
}

impl FromStr for Source {
    type Err = Invalid;

    fn from_str(address: &str) -> Result<Self, Invalid> {
        let refuse = |problem: &str| Invalid::Source {
            problem: problem.into(),
        };
        let place = match address.split_once(':') {
            Some(("file", path)) => {
                let path = path.strip_prefix("//").unwrap_or(path);
                if !path.starts_with('/') || path.contains('\0') {
                    return Err(refuse("its path is not absolute"));
                }
                Place::Folder(PathBuf::from(path))
            }
            Some(("env", prefix)) => {
                let plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
                if !prefix.chars().all(plain) || prefix.starts_with(|c: char| c.is_ascii_digit()) {
                    return Err(refuse(
                        "its prefix is not the beginning of a variable's name (letters, digits, _)",
                    ));
                }
                Place::Variables(prefix.to_owned())
            }
            Some(("vault", url)) => Place::Vault(Box::new(vault::Vault::parse(url)?)),
            Some(("sqlite" | "postgresql" | "postgres", _)) => {
                return Err(refuse(
                    "it is a store; give a reference to the secret in it instead",
                ));
            }
            // What stands there may be anything, a token too.
            _ => return Err(refuse("its scheme is none of file, env and vault")),
        };
        Ok(Self(place))
    }
}

#[cfg(test)]
mod tests;
