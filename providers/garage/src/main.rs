//! NixOps4 resource provider for Garage.

mod admin_token;
mod api;
mod bucket;
mod bytes;
mod cluster;
mod connection;
mod credential;
mod granting;
mod key;
mod moment;
mod name;
mod ownership;
mod permission;
mod s3;
mod standin;
mod survey;
mod tenant;
mod title;

use std::process::ExitCode;

use nixops4_provider_sdk::Provider;

fn main() -> ExitCode {
    Provider::new(
        "garage",
        "Manages what applications need of a Garage cluster: buckets, keys, and who may do what.",
        env!("CARGO_PKG_VERSION"),
    )
    .kind::<bucket::Bucket>()
    .kind::<credential::Managed<key::Key>>()
    .kind::<permission::Permission>()
    .kind::<credential::Managed<admin_token::AdminToken>>()
    .kind::<tenant::Tenant>()
    .run()
}
