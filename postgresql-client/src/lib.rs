//! Log in to a PostgreSQL server, and know to whom: where it is, TLS, what it may
//! ask of us to let us in, and what its errors mean.
//!
//! It knows `sqlx` and `rustls`, and nothing of providers, of inputs or of what is
//! in a database.
//!
//! # Why not `sqlx` alone
//!
//! `sqlx` answers whatever a server asks: a server that asks for the password in
//! clear gets it, and one that asks for nothing is believed. It has no channel
//! binding and no place to add it. So [`connect`] does TCP, TLS and the login by
//! itself, and lets `sqlx` begin on a connection that is logged in: through a socket
//! of this process, whose other end is copied to and from the server (`relay`).
//! Asking the server beforehand by another connection would prove nothing of the one
//! that follows.

mod authentication;
mod binding;
mod failure;
mod login;
mod place;
mod relay;
mod session;
mod sqlstate;
mod target;
mod timeouts;
mod tls;
mod wire;

pub use authentication::Method;
pub use failure::{Failure, ServerError};
pub use place::Place;
pub use relay::Link;
pub use secrecy::{ExposeSecret, SecretString};
pub use session::{Opening, Session, connect, open};
pub use sqlstate::{Meaning, code, root_cause};
pub use target::Target;
pub use timeouts::{LIFT_TIMEOUTS, Lifted, Settled, Timeout, settle};
pub use tls::{ClientCertificate, Tls, TlsMode};
