//! An admin token that Garage checks in no time.
//!
//! Garage checks the token of each request by Argon2, in some 50 ms, so that a test
//! waits for little else. What a check costs stands in the hash that Garage keeps of
//! a token. Garage hashes each with the same parameters; here the nodes are stopped,
//! and the hash is written anew with the least of everything.
//!
//! This module must not know how a node is started.

use std::fs;
use std::path::Path;

use argon2::password_hash::{PasswordHasher as _, SaltString};
use argon2::{Algorithm, Argon2, Params, Version};
use memchr::memmem;
use serde_json::json;

use super::admin::Admin;

/// What the token is called.
pub(super) const NAME: &str = "the-tests-own";

/// How every hash begins that Garage makes.
const COSTLY: &[u8] = b"$argon2id$v=19$m=19456,t=2,p=1$";

/// How long such a hash is.
const LENGTH: usize = COSTLY.len() + 22 + 1 + 43;

/// Makes a token that may do everything.
pub(super) fn make(admin: &Admin) -> String {
    let wanted = json!({"name": NAME, "scope": ["*"]});
    let made = admin.post("CreateAdminToken", &[], &wanted);
    made["secretToken"].as_str().expect("a token").to_owned()
}

/// A hash of a token that costs next to nothing to check, as long as those that
/// Garage makes.
pub(super) fn cheap_hash(token: &str) -> String {
    let params = Params::new(Params::MIN_M_COST, 1, 1, None).expect("parameters");
    let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
    // The salt is longer by what the parameters are shorter.
    let salt = SaltString::encode_b64(&rand::random::<[u8; 19]>()).expect("a salt");
    let hash = argon2.hash_password(token.as_bytes(), &salt);
    let hash = hash.expect("a hash").to_string();
    assert_eq!(hash.len(), LENGTH, "{hash}");
    hash
}

/// Puts a hash in place of the one that a stopped node has of its only token. In the
/// database of a node a value of the same length can be overwritten.
pub(super) fn replace_hash(metadata: &Path, hash: &str) {
    let file = metadata.join("db.lmdb/data.mdb");
    let mut bytes =
        fs::read(&file).unwrap_or_else(|error| panic!("cannot read {}: {error}", file.display()));
    let found: Vec<_> = memmem::find_iter(&bytes, COSTLY).collect();
    assert!(!found.is_empty(), "found no token in {}", file.display());
    for at in found {
        bytes[at..at + LENGTH].copy_from_slice(hash.as_bytes());
    }
    fs::write(&file, bytes)
        .unwrap_or_else(|error| panic!("cannot write {}: {error}", file.display()));
}
