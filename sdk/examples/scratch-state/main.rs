//! A state provider for trying things out: a file in a folder.

#[path = "../scratch/faults.rs"]
mod faults;
mod ledger;

use std::process::ExitCode;

use nixops4_provider_sdk::Provider;

fn main() -> ExitCode {
    Provider::new(
        "scratch-state",
        "Keeps the state of a deployment in a file, to try the SDK.",
        env!("CARGO_PKG_VERSION"),
    )
    .state_kind::<ledger::Ledger>()
    .run()
}
