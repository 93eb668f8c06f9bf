//! What is said of an extension, and what can be read of it.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::connection::Connection;
use crate::inside::Whereabouts;
use crate::name::Name;

/// An extension in a PostgreSQL database. Dropping one can take columns of its types
/// along, so it is retained by default; nothing takes an extension out of service, so
/// that only rewrites its mark. Deleting it is refused while anything depends on it.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Inputs {
    /// The server.
    pub(super) connection: Connection,
    /// The database that it is in. It can't be moved to another.
    pub(super) database: Name,
    /// Name of the extension, such as `pg_trgm`. The server has to have its files.
    pub(super) name: Name,
    /// The schema that its objects are in, which has to be there. Changing it moves
    /// them, if the extension allows that. Unset: the one that the extension asks
    /// for, else `public`, and it is left alone afterwards.
    #[serde(default)]
    pub(super) schema: Option<Name>,
    /// Its version. Changing it updates the extension, if it comes with a way from
    /// the one to the other; few have a way back. Unset: the server's default when
    /// it is created, and it is left alone afterwards.
    #[serde(default)]
    pub(super) version: Option<String>,
    /// Whether to create the extensions that it requires with it, if they aren't
    /// there. They carry no mark, and stay when this one is deleted.
    #[serde(default)]
    pub(super) cascade: bool,
}

/// What an expression can read of an extension.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Outputs {
    /// Name of the extension.
    pub(super) name: String,
    /// Host of the server, as the input `connection` has it.
    pub(super) host: String,
    /// Port of the server.
    pub(super) port: u16,
    /// The schema that its objects are in.
    pub(super) schema: String,
    /// The version that is installed.
    pub(super) version: String,
    /// The extension's object identifier.
    pub(super) oid: i64,
    #[serde(flatten)]
    pub(super) whereabouts: Whereabouts,
}

/// An extension in a database.
#[derive(Debug, Serialize)]
pub(crate) struct Identity {
    pub(super) server: String,
    pub(super) database: Name,
    pub(super) extension: Name,
}

impl fmt::Display for Identity {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (extension, database) = (self.extension.as_str(), self.database.as_str());
        write!(
            out,
            "extension {extension:?} in database {database:?} on {}",
            self.server
        )
    }
}
