//! NixOps4 resource provider for PostgreSQL.

mod acl;
mod admin;
mod assume;
mod comment;
mod connection;
mod database;
mod deed;
mod default_privileges;
mod entitlement;
mod everywhere;
mod exposure;
mod extension;
mod failure;
mod grant;
mod granting;
mod holding;
mod inside;
mod limit;
mod lock;
mod membership;
mod name;
mod owned;
mod place;
mod pooler;
mod role;
mod schema;
mod scram;
mod server;
mod sessions;
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
    .kind::<grant::Grant>()
    .kind::<default_privileges::DefaultPrivileges>()
    .kind::<schema::Schema>()
    .kind::<extension::Extension>()
    .kind::<membership::Membership>()
    .kind::<tenant::Tenant>()
    .run()
}

/// The default of what is on unless it is switched off.
fn yes() -> bool {
    true
}
