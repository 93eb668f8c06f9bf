//! Why Vault does not give a secret, in plain words. No message holds a token or
//! anything of an answer that may be a secret.

use std::fmt;
use std::path::PathBuf;

use crate::file::FileProblem;

/// Where the token was taken from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TokenFrom {
    /// A file.
    File(PathBuf),
    /// An environment variable.
    Variable(&'static str),
}

impl fmt::Display for TokenFrom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "the file {}", path.display()),
            Self::Variable(name) => f.write_str(name),
        }
    }
}

/// Why Vault does not give a secret.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Problem {
    /// No token anywhere.
    #[error(
        "there is no token for the secrets in {server}; set BAO_TOKEN or VAULT_TOKEN, or name its \
         file with `?token-file=` in the address, or log in (`bao login`)"
    )]
    NoToken {
        /// The server.
        server: String,
    },
    /// The token's file cannot be used.
    #[error("unable to read the token for {server} in {}: {problem}", path.display())]
    TokenFile {
        /// The server.
        server: String,
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        problem: FileProblem,
    },
    /// The token is expired, revoked or made up.
    #[error(
        "the token in {from} is not valid on {server}: it expired, was revoked, or belongs to \
         another server or namespace; get a new one (`bao login`)"
    )]
    TokenInvalid {
        /// The server.
        server: String,
        /// Where it came from.
        from: TokenFrom,
    },
    /// The token may not read it.
    #[error(
        "the token in {from} may not read {path} on {server}; give it a policy with the capability \
         `read` on that path"
    )]
    Forbidden {
        /// The server.
        server: String,
        /// Where the token came from.
        from: TokenFrom,
        /// The API's path.
        path: String,
    },
    /// There is no such secret, or version, or it was deleted.
    #[error(
        "{path} is not on {server}{why}; check the name, the engine's path in the address (KV \
         version 2) and the namespace: a secret that is obtained is never made"
    )]
    Missing {
        /// The server.
        server: String,
        /// The API's path.
        path: String,
        /// What else is known, such as that it was deleted.
        why: &'static str,
    },
    /// The secret has other fields.
    #[error("{path} on {server} has {}; {hint}", listed(fields))]
    Field {
        /// The server.
        server: String,
        /// The API's path.
        path: String,
        /// The names of its fields.
        fields: Vec<String>,
        /// What to do.
        hint: &'static str,
    },
    /// The server is sealed.
    #[error("{server} is sealed; unseal it (`bao operator unseal`), then try again")]
    Sealed {
        /// The server.
        server: String,
    },
    /// It cannot be reached, or is not able to answer.
    #[error("unable to read from {server}: {reason}; {hint}")]
    Unreachable {
        /// The server.
        server: String,
        /// Why not.
        reason: String,
        /// What to do.
        hint: &'static str,
        /// Whether it may pass.
        passing: bool,
    },
    /// What it answers is no answer of Vault.
    #[error("{server} does not answer as Vault does ({reason}); check the address")]
    Odd {
        /// The server.
        server: String,
        /// What is odd.
        reason: String,
    },
}

impl Problem {
    pub(in crate::source) fn is_retryable(&self) -> bool {
        matches!(self, Self::Unreachable { passing: true, .. })
    }

    pub(in crate::source) fn is_missing(&self) -> bool {
        matches!(self, Self::Missing { .. } | Self::Field { .. })
    }
}

fn listed(fields: &[String]) -> String {
    if fields.is_empty() {
        return "no fields".to_owned();
    }
    format!("the fields {}", fields.join(", "))
}
