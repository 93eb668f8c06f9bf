//! Write a NixOps4 resource provider.
//!
//! A provider is a list of kinds and one call, [`Provider::run`]. A kind is one
//! implementation of [`ResourceKind`]; the [engine](engine) owns the order of
//! things: validate, observe, refuse, diff, apply, observe again. This crate
//! answers the protocol, resolves secret references, keeps marks of ownership,
//! retries what may be retried, and writes the schemas. It knows no server of
//! any kind.

pub mod context;
pub mod engine;
pub mod error;
pub mod kind;
pub mod mark;
pub mod provider;
pub mod schema;
pub mod secret;
pub mod state_kind;

mod failpoint;
mod inputs;
mod logging;
mod plan;
mod retry;
mod serve;

pub use context::Context;
pub use error::{Error, Result, Retry};
pub use kind::{
    DeletionPolicy, Found, Observed, Owner, Ownership, Prior, ResourceKind, Step, Value,
};
pub use mark::Mark;
pub use nixops4_protocol::Object;
pub use nixops4_protocol::describe::StateNeed;
pub use nixops4_protocol::message::Effect;
pub use provider::Provider;
pub use secret::SecretRef;
pub use secrecy::{ExposeSecret, SecretString};
pub use state_kind::StateKind;
