//! The worked example of `docs/architecture.md`: a provider whose server is asked by
//! HTTP. It manages two kinds of things of OpenBao, and is installed by nobody.

mod api;
mod entity;
mod policy;
mod server;

use std::process::ExitCode;

use nixops4_provider_sdk::Provider;

fn main() -> ExitCode {
    Provider::new(
        "openbao",
        "Manages who may do what in OpenBao: policies and entities.",
        env!("CARGO_PKG_VERSION"),
    )
    .kind::<policy::Policy>()
    .kind::<entity::Entity>()
    .run()
}
