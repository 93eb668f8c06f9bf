//! NixOps4 resource provider for secrets.

mod by_hand;
mod characters;
mod password;

use std::process::ExitCode;

use nixops4_provider_sdk::Provider;

fn main() -> ExitCode {
    match by_hand::Command::from_arguments(std::env::args_os().skip(1)) {
        Some(Ok(command)) => return command.run(),
        Some(Err(error)) => return by_hand::misused(&error),
        None => {}
    }
    Provider::new(
        "secrets",
        "Makes secrets, keeps them encrypted in a store, and passes them on by reference.",
        env!("CARGO_PKG_VERSION"),
    )
    .kind::<password::Password>()
    .run()
}
