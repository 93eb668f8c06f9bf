//! NixOps4 resource provider for Garage.

mod api;
mod bucket;
mod bytes;
mod cluster;
mod connection;
mod name;
mod ownership;
mod s3;
mod standin;

use std::process::ExitCode;

use nixops4_provider_sdk::Provider;

fn main() -> ExitCode {
    Provider::new(
        "garage",
        "Manages what applications need of a Garage cluster: buckets, keys, and who may do what.",
        env!("CARGO_PKG_VERSION"),
    )
    .kind::<bucket::Bucket>()
    .run()
}
