//! Why the command failed.

use nixops4_resources_engine::state::StateError;
use nixops4_resources_engine::{self as engine, Interrupted};
use nixops4_secrets_store::clock::WrongClock;

/// Why the command failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// What was done with the deployment.
    #[error(transparent)]
    Engine(Box<engine::Failure>),
    /// Bad use of the command.
    #[error("{0}")]
    Usage(String),
    /// A provider's answer to a single request.
    #[error("{0}")]
    Provider(String),
    /// A store of secrets.
    #[error(transparent)]
    Secrets(#[from] nixops4_secrets_store::Error),
    /// A secret that is not shown or kept like that.
    #[error("{0}")]
    SecretRefused(String),
    /// Nobody said yes.
    #[error("nothing was forgotten: {0}")]
    NotForgotten(&'static str),
    /// Something could not be read or written.
    #[error("{0}: {1}")]
    Io(String, #[source] std::io::Error),
    /// Nothing can be done by such a clock.
    #[error(transparent)]
    Clock(#[from] WrongClock),
    /// Ctrl-C.
    #[error(transparent)]
    Interrupted(#[from] Interrupted),
}

impl Failure {
    /// Whether the command was used wrongly.
    pub(crate) fn is_usage(&self) -> bool {
        match self {
            Self::Usage(_) => true,
            Self::Engine(failure) => matches!(**failure, engine::Failure::Location(_)),
            _ => false,
        }
    }
}

impl From<engine::Failure> for Failure {
    fn from(failure: engine::Failure) -> Self {
        Self::Engine(Box::new(failure))
    }
}

impl From<StateError> for Failure {
    fn from(error: StateError) -> Self {
        engine::Failure::from(error).into()
    }
}
