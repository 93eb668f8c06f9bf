//! How a command ended.

/// How a command ended that did not fail altogether.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Everything is as wanted.
    Done,
    /// Something failed, and was told.
    Failed,
    /// Changes are pending.
    Pending,
}
