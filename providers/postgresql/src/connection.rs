//! The input `connection`: which server, as whom, and how safely.

use std::fmt;

use nixops4_provider_sdk::SecretRef;
use nixops4_provider_sdk::postgresql::client::Method;
use nixops4_provider_sdk::postgresql::{Login, Tls};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::name::Name;

/// What our sessions are called in `pg_stat_activity`.
pub(crate) const APPLICATION: &str = "nixops4-resources";

/// How to reach a PostgreSQL server, as an administrator of it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Connection {
    /// Host name or IP address; or the directory of the server's unix socket,
    /// beginning with `/`.
    pub(crate) host: String,
    /// TCP port; for a socket, the number in its name.
    #[serde(default = "default_port")]
    pub(crate) port: u16,
    /// The role to log in as: a superuser, or one with CREATEROLE and CREATEDB.
    /// The latter can't give what it hasn't got (superuser, and before PostgreSQL
    /// 16 replication and bypassRls); from 16 on it manages the roles alone that
    /// it has made or has been given WITH ADMIN OPTION.
    #[serde(default = "default_user")]
    pub(crate) user: Name,
    /// That role's password; none for `peer` and `trust` authentication.
    #[serde(default)]
    pub(crate) password: Option<SecretRef>,
    /// The maintenance database: the same one for everybody who manages this
    /// server, because the lock that keeps them apart lives in it. Through
    /// PgBouncer, pools with `pool_mode = session` alone can be used.
    #[serde(default = "default_user")]
    pub(crate) database: Name,
    /// What the server may ask for to let us in. Unset: if there is a password,
    /// `scram-sha-256` alone, by which the server proves that it knows the password;
    /// anything, if its certificate is verified or it is a unix socket.
    #[serde(default)]
    pub(crate) require_auth: Option<Vec<Method>>,
    /// Encryption of the connection.
    #[serde(default)]
    pub(crate) tls: Tls,
}

fn default_port() -> u16 {
    5432
}

#[expect(clippy::expect_used, reason = "a constant that fits")]
fn default_user() -> Name {
    Name::try_from("postgres".to_owned()).expect("a short name")
}

impl Connection {
    /// As the SDK logs in.
    pub(crate) fn login(&self) -> Login<'_> {
        Login {
            host: &self.host,
            port: self.port,
            user: self.user.as_str(),
            password: self.password.as_ref(),
            require_auth: self.require_auth.as_deref(),
            database: self.database.as_str(),
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
