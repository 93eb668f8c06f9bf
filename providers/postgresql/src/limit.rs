//! How many connections something takes at once.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A number of connections; -1 for no limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "i32")]
#[schemars(extend("minimum" = -1))]
pub(crate) struct ConnectionLimit(i32);

impl Default for ConnectionLimit {
    fn default() -> Self {
        Self(-1)
    }
}

impl TryFrom<i32> for ConnectionLimit {
    type Error = String;

    fn try_from(limit: i32) -> Result<Self, String> {
        if limit < -1 {
            return Err(format!(
                "{limit} is no number of connections; use 0 or more, or -1 for no limit"
            ));
        }
        Ok(Self(limit))
    }
}

impl From<ConnectionLimit> for i32 {
    fn from(limit: ConnectionLimit) -> Self {
        limit.0
    }
}

impl std::fmt::Display for ConnectionLimit {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(out)
    }
}

impl PartialEq<i32> for ConnectionLimit {
    fn eq(&self, other: &i32) -> bool {
        self.0 == *other
    }
}
