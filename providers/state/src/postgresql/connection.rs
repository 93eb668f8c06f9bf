//! The input `connection`: which database, as whom, and how safely.

use std::fmt;

use nixops4_provider_sdk::SecretRef;
use nixops4_provider_sdk::postgresql::client::Method;
use nixops4_provider_sdk::postgresql::{Login, Tls};
use schemars::JsonSchema;
use serde::Deserialize;

/// What our sessions are called in `pg_stat_activity`.
const APPLICATION: &str = "nixops4-resources-state";

/// How to reach a database in a PostgreSQL server.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Connection {
    /// Host name or IP address; or the directory of the server's unix socket,
    /// beginning with `/`.
    pub(super) host: String,
    /// TCP port; for a socket, the number in its name.
    #[serde(default = "default_port")]
    pub(super) port: u16,
    /// The role to log in as. It needs no more than to own the tables; to make
    /// them it needs CREATE on the database, once.
    pub(super) user: String,
    /// That role's password; none for `peer` and `trust` authentication.
    #[serde(default)]
    pub(super) password: Option<SecretRef>,
    /// The database that holds the state. PgBouncer may stand before it, with
    /// any `pool_mode` but `statement`.
    pub(super) database: String,
    /// What the server may ask for to let us in. Unset: if there is a password,
    /// `scram-sha-256` alone, by which the server proves that it knows the password;
    /// anything, if its certificate is verified or it is a unix socket.
    #[serde(default)]
    pub(super) require_auth: Option<Vec<Method>>,
    /// Encryption of the connection.
    #[serde(default)]
    pub(super) tls: Tls,
}

fn default_port() -> u16 {
    5432
}

impl Connection {
    /// As the SDK logs in.
    pub(super) fn login(&self) -> Login<'_> {
        Login {
            host: &self.host,
            port: self.port,
            user: &self.user,
            password: self.password.as_ref(),
            require_auth: self.require_auth.as_deref(),
            database: &self.database,
            tls: &self.tls,
            application: APPLICATION,
        }
    }
}

/// Where the server is: `HOST:PORT`, or the path of its socket.
impl fmt::Display for Connection {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.login().place().fmt(out)
    }
}
