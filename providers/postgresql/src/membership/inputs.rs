//! What is said of a membership, and what can be read of it.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::connection::Connection;
use crate::name::Name;

/// The membership of one role in another. It is added to whatever memberships the
/// two have; a role's input `memberOf` says all of a role's memberships instead, so
/// use one of the two for a role. A membership has no place for a mark: whoever
/// granted it, it is this one.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Inputs {
    /// The server.
    pub(super) connection: Connection,
    /// The role that becomes a member.
    pub(super) role: Name,
    /// The role that it becomes a member of.
    pub(super) group: Name,
    /// Whether the member may add and remove members of the group.
    #[serde(default)]
    pub(super) admin: bool,
    /// Whether the member has the group's privileges without SET ROLE. PostgreSQL
    /// has this from version 16 on. Unset: as the member's `inheritPrivileges` says
    /// when it is added, and it is left alone afterwards.
    #[serde(default)]
    pub(super) inherit_privileges: Option<bool>,
    /// Whether the member may SET ROLE to the group. PostgreSQL has this from version
    /// 16 on. Unset: it may when it is added, and it is left alone afterwards.
    #[serde(default)]
    pub(super) set_role: Option<bool>,
}

/// What an expression can read of a membership.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Outputs {
    /// Name of the member.
    pub(super) role: String,
    /// Name of the role that it is a member of.
    pub(super) group: String,
    /// The member's object identifier.
    pub(super) role_oid: i64,
    /// The group's object identifier.
    pub(super) group_oid: i64,
    /// The cluster's system identifier: what tells this server from another.
    pub(super) system_identifier: String,
}

/// What is still of use of a record's inputs.
#[derive(Debug, Deserialize)]
pub(crate) struct PriorInputs {
    pub(super) connection: Connection,
    pub(super) role: Name,
    pub(super) group: Name,
}

/// The outputs by which the two roles are found again.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RecordedOutputs {
    #[serde(default)]
    pub(super) role_oid: Option<i64>,
    #[serde(default)]
    pub(super) group_oid: Option<i64>,
    #[serde(default)]
    pub(super) system_identifier: Option<String>,
}

/// A membership on a server.
#[derive(Debug, Serialize)]
pub(crate) struct Identity {
    pub(super) server: String,
    pub(super) role: Name,
    pub(super) group: Name,
}

impl fmt::Display for Identity {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (role, group) = (self.role.as_str(), self.group.as_str());
        write!(
            out,
            "membership of {role:?} in {group:?} on {}",
            self.server
        )
    }
}
