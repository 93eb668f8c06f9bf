//! A provider for trying things out: notes in a folder, no server.

mod faults;
mod note;

use std::process::ExitCode;

use nixops4_provider_sdk::Provider;

fn main() -> ExitCode {
    Provider::new(
        "scratch",
        "Keeps notes in a folder, to try the SDK without a server.",
        env!("CARGO_PKG_VERSION"),
    )
    .kind::<note::Note>()
    .run()
}
