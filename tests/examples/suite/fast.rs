//! What a developer waits for after each change: less than three minutes on two cores,
//! with no other server than PostgreSQL.

use crate::built::{Target, UNIT_TESTS};

/// What needs other servers, or runs for long: the beginnings of names.
const SLOW: &[&str] = &[
    "apply",
    "endurance",
    "garage_",
    "guides",
    "harness",
    "postgresql_core",
    "postgresql_failures",
    "postgresql_grant",
    "postgresql_load",
    "postgresql_tenant",
    "secrets_lifetime",
    "skeleton",
    "vault",
];

/// Of all others, the tests with these in their names are left out: each point to be
/// killed at, crowds, second servers and administrators, and random deployments.
const SKIPPED: &[&str] = &[
    "killed_while",
    "at_once",
    "beside_",
    "own_restricted",
    "in_german",
    "on_each_other_version",
    "model::",
    "large::",
];

/// The arguments that leave them out.
pub(crate) fn arguments() -> Vec<&'static str> {
    SKIPPED.iter().flat_map(|name| ["--skip", name]).collect()
}

pub(crate) fn is_fast(target: &Target) -> bool {
    let is_slow = SLOW.iter().any(|slow| target.name.starts_with(slow));
    target.name == UNIT_TESTS || !is_slow
}
