//! How reality differs from what is recorded.

use nixops4_protocol::message::Change;
use schemars::JsonSchema;
use serde::Serialize;

use crate::member::MemberPath;

/// What `drift` found.
#[derive(Debug, Clone, Default, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DriftReport {
    /// The version of this format.
    pub format: u32,
    /// The states that reality was compared with.
    pub states: Vec<StateAt>,
    /// Whether nobody said where they are, and they were looked for where they were
    /// when this user last planned or applied here.
    pub remembered: bool,
    /// What differs, in the order of its names.
    pub findings: Vec<Finding>,
    /// What could not be looked at, and why.
    pub failed: Vec<Unseen>,
    /// What nobody can look at, as its provider cannot: those were not checked.
    pub unchecked: Vec<Unseen>,
    /// How many are as recorded.
    pub unchanged: usize,
    /// What the reader should know beside that.
    pub notes: Vec<String>,
}

/// A state that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct StateAt {
    /// The state resource that keeps it.
    pub state: MemberPath,
    /// Where it is, as `--state` takes it.
    pub location: String,
}

/// A resource that is not as it was recorded.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Finding {
    /// The names that lead to it.
    pub path: MemberPath,
    /// Resource type on the wire.
    pub r#type: String,
    /// What became of it.
    pub drift: Drift,
    /// Field by field: `before` is what is there, `after` what was recorded.
    pub changes: Vec<Change>,
    /// What the reader should know of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// What became of a resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Drift {
    /// It is not there.
    Gone,
    /// Something of it is not as it was recorded.
    Changed,
    /// What is there in its place is not ours, or can't become ours again.
    Foreign,
}

/// A resource that was not looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Unseen {
    /// The names that lead to it.
    pub path: MemberPath,
    /// Resource type on the wire.
    pub r#type: String,
    /// Why not.
    pub reason: String,
}
