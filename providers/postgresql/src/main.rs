//! NixOps4 resource provider for PostgreSQL.

mod acl;
mod admin;
mod connection;
mod current_privileges;
mod database;
mod default_privileges;
mod everywhere;
mod exposure;
mod extension;
mod failure;
mod grant;
mod grant_statement;
mod in_database;
mod limit;
mod lock;
mod membership;
mod name;
mod object;
mod owned;
mod pooler;
mod privilege_kind;
mod reconcile;
mod role;
mod schema;
mod scram;
mod server;
mod sessions;
mod set_role;
mod settings;
mod sql;
mod tenant;
mod witness;

use std::process::ExitCode;

use nixops4_provider_sdk::Provider;

fn main() -> ExitCode {
    Provider::new(
        "postgresql",
        "Manages what applications need of a PostgreSQL server: roles, databases, and who may do what.",
        env!("CARGO_PKG_VERSION"),
    )
    .kind::<role::Role>()
    .kind::<database::Database>()
    .relation::<grant::Grant>()
    .relation::<default_privileges::DefaultPrivileges>()
    .kind::<schema::Schema>()
    .kind::<extension::Extension>()
    .relation::<membership::Membership>()
    .composite::<tenant::Tenant>()
    .run()
}

/// The default of what is on unless it is switched off.
fn yes() -> bool {
    true
}
