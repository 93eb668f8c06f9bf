//! What is said of a tenant, and what can be read of it.

use std::collections::BTreeSet;
use std::fmt;
use std::path::PathBuf;

use nixops4_provider_sdk::SecretRef;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::connection::Connection;
use crate::limit::ConnectionLimit;
use crate::name::Name;

/// What one application needs of a PostgreSQL server: a role that logs in, and a
/// database that it owns and nobody else can connect to. Retaining it locks the
/// login out and closes the database; declaring it again opens both, with
/// everything in it.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Inputs {
    /// The server, as an administrator reaches it.
    pub(super) connection: Connection,
    /// Name of the tenant, and of its role and database unless they say otherwise.
    pub(super) name: Name,
    /// Name of the role. Changing it renames the role. Unset: as `name`.
    #[serde(default)]
    pub(super) role: Option<Name>,
    /// Name of the database. Changing it renames the database. Unset: as `name`.
    #[serde(default)]
    pub(super) database: Option<Name>,
    /// The role's password, by reference. Unset: it is left alone, and the role logs
    /// in by `peer` or certificate.
    #[serde(default)]
    pub(super) password: Option<SecretRef>,
    /// Whether to find out by logging in as the role whether the server has the
    /// password, as the kind `postgresql_role` does it.
    #[serde(default)]
    pub(super) verify_password: bool,
    /// Extensions that have to be in the database, in their default version. Others
    /// are left alone; the kind `postgresql_extension` says more of one.
    #[serde(default)]
    pub(super) extensions: BTreeSet<Name>,
    /// Whether only the tenant can connect to its database: PUBLIC loses all that it
    /// may do there, and gets nothing back if this is switched off later.
    #[serde(default = "crate::yes")]
    pub(super) revoke_public: bool,
    /// How many connections the database takes at once; -1 for no limit.
    #[serde(default)]
    pub(super) connection_limit: ConnectionLimit,
    /// How many connections the role may have at once; -1 for no limit.
    #[serde(default)]
    pub(super) role_connection_limit: ConnectionLimit,
    /// Who gets what the role owns in other databases, when it is destroyed with
    /// `deletionPolicy = "delete"`. Unset: it isn't dropped while it owns anything
    /// there.
    #[serde(default)]
    pub(super) reassign_owned_to: Option<Name>,
    /// Character encoding of the database, such as `UTF8`. It can't be changed
    /// afterwards. Unset: the template's.
    #[serde(default)]
    pub(super) encoding: Option<String>,
    /// Locale of the database, such as `C.UTF-8`. It can't be changed afterwards.
    /// Unset: the template's.
    #[serde(default)]
    pub(super) locale: Option<String>,
    /// The host that the outputs tell services. Unset: that of `connection`.
    #[serde(default)]
    pub(super) host: Option<String>,
    /// The port that the outputs tell services. Unset: that of `connection`.
    #[serde(default)]
    pub(super) port: Option<u16>,
}

/// What an expression can read of a tenant.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Outputs {
    /// Host for services to connect to; or the directory of the server's socket.
    pub(super) host: String,
    /// Port for services to connect to.
    pub(super) port: u16,
    /// Name of the database.
    pub(super) database: String,
    /// Name of the role to log in as.
    pub(super) user: String,
    /// The reference that was given for its password, if one was; never the value.
    pub(super) password_ref: Option<PasswordRef>,
    /// `postgresql://USER@HOST:PORT/DATABASE`, without the password.
    pub(super) url: String,
    /// The role's object identifier; `null` only where the role is missing.
    pub(super) role_oid: Option<i64>,
    /// The database's object identifier; `null` only where the database is missing.
    pub(super) database_oid: Option<i64>,
    /// The cluster's system identifier: what tells this server from another.
    pub(super) system_identifier: String,
}

/// A reference to a secret, as an input takes it.
#[derive(Debug, Default, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct PasswordRef {
    /// Path of the file with the secret.
    pub(super) file: Option<PathBuf>,
    /// Environment variable with the secret.
    pub(super) env: Option<String>,
    /// Logical name of the secrets store.
    pub(super) store: Option<String>,
    /// Name of the secret in its store.
    pub(super) name: Option<String>,
    /// Generation of the secret.
    pub(super) generation: Option<u32>,
    /// Random id of the value.
    pub(super) id: Option<String>,
    /// Fingerprint of the key that the store began with.
    pub(super) store_key: Option<String>,
}

impl From<&SecretRef> for PasswordRef {
    fn from(reference: &SecretRef) -> Self {
        match reference {
            SecretRef::File(file) => Self {
                file: Some(file.clone()),
                ..Self::default()
            },
            SecretRef::Env(env) => Self {
                env: Some(env.clone()),
                ..Self::default()
            },
            SecretRef::Stored(stored) => Self {
                store: Some(stored.store.clone()),
                name: Some(stored.name.clone()),
                generation: Some(stored.generation),
                id: Some(stored.id.clone()),
                store_key: stored.store_key.clone(),
                ..Self::default()
            },
        }
    }
}

/// A tenant of a server.
#[derive(Debug, Serialize)]
pub(crate) struct Identity {
    pub(super) server: String,
    pub(super) role: Name,
    pub(super) database: Name,
}

impl fmt::Display for Identity {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (role, database) = (self.role.as_str(), self.database.as_str());
        write!(
            out,
            "tenant with role {role:?} and database {database:?} on {}",
            self.server
        )
    }
}

impl Inputs {
    pub(super) fn role_name(&self) -> &Name {
        self.role.as_ref().unwrap_or(&self.name)
    }

    pub(super) fn database_name(&self) -> &Name {
        self.database.as_ref().unwrap_or(&self.name)
    }

    pub(super) fn service_host(&self) -> &str {
        self.host.as_deref().unwrap_or(&self.connection.host)
    }

    pub(super) fn service_port(&self) -> u16 {
        self.port.unwrap_or(self.connection.port)
    }
}

/// What stands for itself in a URL.
const UNRESERVED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// The URL of a database, without a password. A socket's directory is a parameter:
/// not every client reads one in the place of the host.
pub(super) fn url(host: &str, port: u16, user: &Name, database: &Name) -> String {
    let encode = |text| utf8_percent_encode(text, UNRESERVED);
    let (user, database) = (encode(user.as_str()), encode(database.as_str()));
    if host.starts_with('/') {
        format!(
            "postgresql://{user}@/{database}?host={}&port={port}",
            encode(host)
        )
    } else if host.contains(':') {
        format!("postgresql://{user}@[{host}]:{port}/{database}")
    } else {
        format!("postgresql://{user}@{host}:{port}/{database}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls() {
        let name = |text: &str| Name::try_from(text.to_owned()).unwrap();
        for (host, user, database, expected) in [
            (
                "db.example",
                "app",
                "app",
                "postgresql://app@db.example:5432/app",
            ),
            ("::1", "app", "app", "postgresql://app@[::1]:5432/app"),
            (
                "/run/pg",
                "app",
                "app",
                "postgresql://app@/app?host=%2Frun%2Fpg&port=5432",
            ),
            (
                "h",
                "a@b:c/d",
                "ü?#",
                "postgresql://a%40b%3Ac%2Fd@h:5432/%C3%BC%3F%23",
            ),
        ] {
            assert_eq!(url(host, 5432, &name(user), &name(database)), expected);
        }
    }
}
