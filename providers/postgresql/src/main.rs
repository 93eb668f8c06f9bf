//! NixOps4 resource provider for PostgreSQL.

mod connection;
mod database;
mod defaults;
mod failure;
mod limit;
mod lock;
mod name;
mod role;
mod scram;
mod server;
mod sql;

use std::process::ExitCode;

use nixops4_provider_sdk::Provider;

fn main() -> ExitCode {
    Provider::new(
        "postgresql",
        "Manages roles and databases on a PostgreSQL server.",
        env!("CARGO_PKG_VERSION"),
    )
    .kind::<role::Role>()
    .kind::<database::Database>()
    .run()
}
