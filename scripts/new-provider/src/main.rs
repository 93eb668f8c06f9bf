//! NixOps4 resource provider for boards.

mod board;
mod note;

use std::process::ExitCode;

use nixops4_provider_sdk::Provider;

fn main() -> ExitCode {
    Provider::new(
        "example",
        "Puts notes on a board.",
        env!("CARGO_PKG_VERSION"),
    )
    .kind::<note::Note>()
    .run()
}
