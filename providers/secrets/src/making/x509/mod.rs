//! X.509 certificates and their keys.
//!
//! ring makes Ed25519 and ECDSA keys and all signatures. It has no RSA key
//! generation, so RSA keys come from the `rsa` crate, which `age` brings along
//! anyway; a second backend (aws-lc) would be one more C library to build. ring
//! signs with them, in constant time, which `rsa` 0.9 does not promise.

mod authority;
mod issue;
mod key;
#[cfg(test)]
mod tests;

pub(crate) use authority::{Authority, Certificates};
pub(crate) use issue::{Issued, Names, Profile, Purpose, Subject, Usage};
pub(crate) use key::{Key, KeyType};
