//! What the expression has now, beside which everything else is planned.

use std::sync::Arc;

use serde_json::Value;

use crate::eval::Member;

/// A member that the expression has.
pub(super) struct Live {
    pub(super) member: Arc<Member>,
    /// What names it on its server; null if nobody can say.
    pub(super) identity: Value,
    pub(super) is_recorded: bool,
}
