//! What is said of a role: inputs, outputs, and what is recorded of both.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use nixops4_provider_sdk::{Error, Result, SecretRef};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::expiry::Expiry;
use crate::comment;
use crate::connection::Connection;
use crate::limit::ConnectionLimit;
use crate::name::Name;
use crate::settings::{self, Settings};

/// A role on a PostgreSQL server: a user that logs in, or a group.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "a role has that many attributes"
)]
pub(crate) struct Inputs {
    /// The server.
    pub(crate) connection: Connection,
    /// Name of the role. Changing it renames the role.
    pub(crate) name: Name,
    /// Whether one can log in as this role.
    #[serde(default = "crate::yes")]
    pub(crate) login: bool,
    /// Whether no permission is ever checked for it.
    #[serde(default)]
    pub(crate) superuser: bool,
    /// Whether it may create databases.
    #[serde(default)]
    pub(crate) create_database: bool,
    /// Whether it may create, change and drop roles.
    #[serde(default)]
    pub(crate) create_role: bool,
    /// Whether it has the privileges of the roles that it is a member of without
    /// SET ROLE.
    #[serde(default = "crate::yes")]
    pub(crate) inherit_privileges: bool,
    /// Whether it may start streaming replication.
    #[serde(default)]
    pub(crate) replication: bool,
    /// Whether row level security doesn't apply to it.
    #[serde(default)]
    pub(crate) bypass_rls: bool,
    /// How many connections it may have at once; -1 for no limit.
    #[serde(default)]
    pub(crate) connection_limit: ConnectionLimit,
    /// Until when its password is good: a time as in `2030-12-31T23:59:59Z`. It
    /// ends no session. Unset: for ever.
    #[serde(default)]
    pub(crate) valid_until: Option<Expiry>,
    /// Its password, by reference. The server is sent a SCRAM-SHA-256 verifier of
    /// it. A new one is set when the reference changes, such as by raising the
    /// secret's generation. Unset: the password is left alone.
    #[serde(default)]
    pub(crate) password: Option<SecretRef>,
    /// Whether to find out by logging in as this role whether the server has the
    /// password, where the connection's role can't read `pg_authid`. It costs two
    /// logins each time, the first with a password that is wrong on purpose: the
    /// second means something only where the first is refused.
    #[serde(default)]
    pub(crate) verify_password: bool,
    /// The roles that it is a member of, all of them. Unset: its memberships are
    /// left alone, for resources of the kind `membership` to say.
    #[serde(default)]
    pub(crate) member_of: Option<BTreeSet<Name>>,
    /// Settings that its sessions begin with, all of them, such as
    /// `{ statement_timeout = "30s"; }`. Everybody on the server can read them.
    /// Unset: they are left alone.
    #[serde(default)]
    pub(crate) settings: Option<Settings>,
    /// Settings that its sessions in one database begin with, by database, all of
    /// them. Unset: they are left alone.
    #[serde(default)]
    pub(crate) settings_in_database: Option<BTreeMap<String, Settings>>,
    /// A text for people, which the comment on the role has beside our mark.
    /// Unset: that text is left alone.
    #[serde(default)]
    pub(crate) comment: Option<String>,
    /// Who gets what this role owns, in every database, when it is destroyed with
    /// `deletionPolicy = "delete"`. Unset: it isn't dropped while it owns
    /// anything.
    #[serde(default)]
    pub(crate) reassign_owned_to: Option<Name>,
}

/// Refuses the role that stands for the owner of each database: who is a member of it
/// is not said, but follows from that. The server would call it an internal error.
pub(crate) fn refuse_stand_in(role: &Name, pointer: &str, why: &str) -> Result<()> {
    if role.as_str() != "pg_database_owner" {
        return Ok(());
    }
    Err(
        Error::input(pointer, format!("role {:?} {why}", role.as_str()))
            .hint("choose another role; this one stands for the owner of each database"),
    )
}

impl Inputs {
    /// Refuses what no server takes.
    pub(crate) fn validate(&self) -> Result<()> {
        let name = self.name.as_str();
        if name.starts_with("pg_") || matches!(name, "public" | "none") {
            return Err(Error::input(
                "/name",
                format!("PostgreSQL keeps the name {name:?} for itself"),
            )
            .hint("choose a name that doesn't begin with pg_ and isn't public or none"));
        }
        if self
            .member_of
            .as_ref()
            .is_some_and(|roles| roles.contains(&self.name))
        {
            return Err(Error::input(
                "/memberOf",
                format!("the role {name:?} can't be a member of itself"),
            ));
        }
        for group in self.member_of.iter().flatten() {
            refuse_stand_in(group, "/memberOf", "cannot have explicit members")?;
        }
        if self.reassign_owned_to.as_ref() == Some(&self.name) {
            return Err(Error::input(
                "/reassignOwnedTo",
                "a role that is dropped can't keep what it owns",
            )
            .hint("name another role"));
        }
        if self.verify_password && self.password.is_none() {
            return Err(
                Error::input("/verifyPassword", "there is no password to verify")
                    .hint("set password to a reference, or leave verifyPassword out"),
            );
        }
        comment::validate(self.comment.as_deref())?;
        if let Some(settings) = &self.settings {
            settings::validate(settings, "/settings")?;
        }
        for (database, settings) in self.settings_in_database.iter().flatten() {
            let pointer = format!("/settingsInDatabase/{}", settings::escape(database));
            Name::try_from(database.clone()).map_err(|problem| Error::input(&pointer, problem))?;
            settings::validate(settings, &pointer)?;
        }
        Ok(())
    }
}

/// What an expression can read of a role.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Outputs {
    /// Name of the role.
    pub(crate) name: String,
    /// Host of the server, as the input `connection` has it.
    pub(crate) host: String,
    /// Port of the server.
    pub(crate) port: u16,
    /// The role's object identifier: what it is found by after a rename.
    pub(crate) oid: i64,
    /// The cluster's system identifier: what tells this server from another.
    pub(crate) system_identifier: String,
    /// Whether the server is known to have the wanted password; `null` where none
    /// is wanted, `false` where it can't be seen.
    pub(crate) password_verified: Option<bool>,
}

/// What is still of use of a record.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct PriorInputs {
    pub(crate) connection: Connection,
    pub(crate) name: Name,
    #[serde(default)]
    pub(crate) password: Option<SecretRef>,
    #[serde(default)]
    pub(crate) reassign_owned_to: Option<Name>,
}

/// A role on a server.
#[derive(Debug, Serialize)]
pub(crate) struct Identity {
    pub(crate) server: String,
    pub(crate) role: String,
}

impl fmt::Display for Identity {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "role {:?} on {}", self.role, self.server)
    }
}
