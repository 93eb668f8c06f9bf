//! NixOps4 resource provider for the state of deployments.

mod failure;
mod file;
mod file_number;
mod log;
mod postgresql;
mod sqlite;
mod store;
mod table;

use std::process::ExitCode;

use nixops4_provider_sdk::Provider;

fn main() -> ExitCode {
    Provider::new(
        "state",
        "Keeps the state of a deployment: what was made, by which inputs, with which outputs.",
        env!("CARGO_PKG_VERSION"),
    )
    .state_kind::<file::StateFile>()
    .state_kind::<sqlite::Sqlite>()
    .state_kind::<postgresql::Postgresql>()
    .run()
}
