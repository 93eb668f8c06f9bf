//! The yes-or-no attributes of a role.

use super::inputs::Inputs;

/// A yes-or-no attribute of a role.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Attribute {
    Login,
    Superuser,
    CreateDatabase,
    CreateRole,
    Inherit,
    Replication,
    BypassRls,
}

impl Attribute {
    /// In the order in which roles are looked up.
    pub(super) const ALL: [Self; 7] = [
        Self::Login,
        Self::Superuser,
        Self::CreateDatabase,
        Self::CreateRole,
        Self::Inherit,
        Self::Replication,
        Self::BypassRls,
    ];

    pub(super) fn pointer(self) -> &'static str {
        match self {
            Self::Login => "/login",
            Self::Superuser => "/superuser",
            Self::CreateDatabase => "/createDatabase",
            Self::CreateRole => "/createRole",
            Self::Inherit => "/inheritPrivileges",
            Self::Replication => "/replication",
            Self::BypassRls => "/bypassRls",
        }
    }

    pub(super) fn keyword(self, on: bool) -> &'static str {
        match (self, on) {
            (Self::Login, true) => "LOGIN",
            (Self::Login, false) => "NOLOGIN",
            (Self::Superuser, true) => "SUPERUSER",
            (Self::Superuser, false) => "NOSUPERUSER",
            (Self::CreateDatabase, true) => "CREATEDB",
            (Self::CreateDatabase, false) => "NOCREATEDB",
            (Self::CreateRole, true) => "CREATEROLE",
            (Self::CreateRole, false) => "NOCREATEROLE",
            (Self::Inherit, true) => "INHERIT",
            (Self::Inherit, false) => "NOINHERIT",
            (Self::Replication, true) => "REPLICATION",
            (Self::Replication, false) => "NOREPLICATION",
            (Self::BypassRls, true) => "BYPASSRLS",
            (Self::BypassRls, false) => "NOBYPASSRLS",
        }
    }

    pub(super) fn wanted(self, inputs: &Inputs) -> bool {
        match self {
            Self::Login => inputs.login,
            Self::Superuser => inputs.superuser,
            Self::CreateDatabase => inputs.create_database,
            Self::CreateRole => inputs.create_role,
            Self::Inherit => inputs.inherit_privileges,
            Self::Replication => inputs.replication,
            Self::BypassRls => inputs.bypass_rls,
        }
    }
}
