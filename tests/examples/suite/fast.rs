//! What a developer waits for after each change.

use crate::built::{Target, UNIT_TESTS};

/// Tests of the suite as a whole that need more than PostgreSQL, or long.
const SLOW: &[&str] = &["apply", "endurance", "garage", "guides"];

/// Parts of the names of tests that take long.
pub(crate) const SKIP: &[&str] = &[];

pub(crate) fn is_fast(target: &Target) -> bool {
    target.name == UNIT_TESTS || !SLOW.contains(&target.name.as_str())
}
