//! What is said of a schema, and what can be read of it.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::connection::Connection;
use crate::inside::Whereabouts;
use crate::name::Name;

/// A schema in a PostgreSQL database. Retaining it takes every privilege on it from
/// everybody, its owner included: nobody but a superuser reaches what is in it unless
/// its owner grants that anew. The privileges are written into its comment, and given
/// back when it is declared again.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Inputs {
    /// The server.
    pub(super) connection: Connection,
    /// The database that it is in. It can't be moved to another.
    pub(super) database: Name,
    /// Name of the schema. Changing it renames the schema.
    pub(super) name: Name,
    /// The role that owns it. Unset: the role that creates it, and it is left
    /// alone afterwards.
    #[serde(default)]
    pub(super) owner_role: Option<Name>,
}

/// What an expression can read of a schema.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Outputs {
    /// Name of the schema.
    pub(super) name: String,
    /// Host of the server, as the input `connection` has it.
    pub(super) host: String,
    /// Port of the server.
    pub(super) port: u16,
    /// The role that owns it.
    pub(super) owner_role: String,
    /// The schema's object identifier: what it is found by after a rename.
    pub(super) oid: i64,
    #[serde(flatten)]
    pub(super) whereabouts: Whereabouts,
}

/// A schema in a database.
#[derive(Debug, Serialize)]
pub(crate) struct Identity {
    pub(super) server: String,
    pub(super) database: Name,
    pub(super) schema: Name,
}

impl fmt::Display for Identity {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (schema, database) = (self.schema.as_str(), self.database.as_str());
        write!(
            out,
            "schema {schema:?} in database {database:?} on {}",
            self.server
        )
    }
}
