//! Makes the material of secrets. Pure but for the operating system's
//! randomness: these modules know no store, no provider and no clock.

pub(crate) mod age_key;
pub(crate) mod hash;
pub(crate) mod seal;
pub(crate) mod sops;
pub(crate) mod ssh;
pub(crate) mod token;
pub(crate) mod watched;
pub(crate) mod wireguard;
pub(crate) mod x509;

#[cfg(test)]
pub(crate) mod tools;
