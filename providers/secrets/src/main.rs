//! NixOps4 resource provider for secrets.

mod age_key;
mod aside;
mod by_hand;
mod characters;
mod kept;
mod making;
mod password;
mod password_hash;
mod sealed;
mod ssh_key;
mod tls;
mod token;
mod value;
mod wireguard_key;

use std::process::ExitCode;

use nixops4_provider_sdk::Provider;

use kept::Kept;

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
    .kind::<Kept<password::Password>>()
    .kind::<Kept<token::Token>>()
    .kind::<Kept<value::Value>>()
    .kind::<Kept<ssh_key::SshKey>>()
    .kind::<Kept<wireguard_key::WireguardKey>>()
    .kind::<Kept<age_key::AgeKey>>()
    .kind::<Kept<tls::ca::TlsCa>>()
    .kind::<Kept<tls::certificate::TlsCertificate>>()
    .kind::<Kept<password_hash::PasswordHash>>()
    .kind::<Kept<sealed::Sealed>>()
    .run()
}
