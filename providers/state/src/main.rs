//! NixOps4 resource provider for the state of deployments.

mod failure;
mod log;
mod sqlite;

use std::process::ExitCode;

use nixops4_provider_sdk::Provider;

fn main() -> ExitCode {
    Provider::new(
        "state",
        "Keeps the state of a deployment: what was made, by which inputs, with which outputs.",
        env!("CARGO_PKG_VERSION"),
    )
    .state_kind::<sqlite::Sqlite>()
    .run()
}
