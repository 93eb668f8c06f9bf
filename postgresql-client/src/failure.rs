//! Why there is no session. What to do about it is for those to say who know what
//! the inputs are called.

use std::io;

use crate::authentication::Method;
use crate::sqlstate::Meaning;

/// Why there is no session.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Failure {
    /// It can't be reached, or broke off.
    #[error("{0}")]
    Io(#[source] io::Error),

    /// It is no server of PostgreSQL, or one that crashes.
    #[error("what listens there does not speak PostgreSQL's protocol: {0}")]
    Protocol(String),

    /// TLS was asked for, and it has none.
    #[error("the server does not support TLS")]
    NoTls,

    /// TLS failed; most often its certificate is not trusted.
    #[error("{0}")]
    Tls(String),

    /// The authorities to trust can't be used.
    #[error("unable to use the authorities to trust: {0}")]
    Authorities(String),

    /// The certificate to log in with, or its key, can't be used.
    #[error("unable to log in by the certificate: {0}")]
    Certificate(String),

    /// It asks for a password, and there is none.
    #[error("the server asks for a password")]
    NoPassword,

    /// It asks for what it may not ask for.
    #[error("{}", refusal(*.asked, *.is_listed))]
    Refused {
        /// What it asks for.
        asked: Method,
        /// Whether somebody has listed what it may ask for.
        is_listed: bool,
    },

    /// It asks for what is not known here, such as GSSAPI.
    #[error("the server asks for {0}, which is not supported")]
    Unsupported(String),

    /// It let us in without a proof that it knows the password.
    #[error(
        "the server did not prove that it knows the password, so it is not the one that it is \
         taken for"
    )]
    Unproven,

    /// Somebody is between us and the server, or its certificate can't be bound to.
    #[error("{0}")]
    Binding(String),

    /// It refuses the login, in its own words.
    #[error("{}", .0.message)]
    Server(ServerError),

    /// This machine lacks something for it.
    #[error("unable to make a socket in a temporary folder: {0}")]
    Local(#[source] io::Error),
}

fn refusal(asked: Method, is_listed: bool) -> String {
    let asked = match asked {
        Method::ScramSha256 => "asks for a proof by SCRAM-SHA-256",
        Method::Md5 => "asks for the password as an md5 hash",
        Method::Password => "asks for the password in clear",
        Method::None => "lets anybody in without a password",
    };
    if is_listed {
        format!("the server {asked}, which is not among what it may ask for")
    } else {
        format!(
            "the server {asked}, and nothing shows that it is the one that it is taken for; the \
             password was not sent"
        )
    }
}

impl Failure {
    /// What the server's refusal means, if it is one.
    #[must_use]
    pub fn meaning(&self) -> Option<Meaning> {
        match self {
            Self::Server(error) => Some(Meaning::of(&error.code)),
            _ => None,
        }
    }
}

/// What a server says of itself when it refuses something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerError {
    /// The SQLSTATE.
    pub code: String,
    /// The message, in the server's language.
    pub message: String,
}
