//! What `graph`, `validate` and `outputs` tell machines.

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

use super::UnknownMembers;
use super::state::DependsOn;
use crate::member::{MemberPath, OutputRef};

/// What members depend on.
#[derive(Debug, Clone, Default, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct GraphReport {
    /// The version of this format.
    pub format: u32,
    /// Every member, in the order of their names.
    pub members: Vec<GraphMember>,
    /// Places whose members are not known before something is applied.
    pub unknown_members: Vec<UnknownMembers>,
    /// Members that wait for each other, each for the next and the last for the first.
    /// No apply gets past them.
    pub circles: Vec<Vec<MemberPath>>,
    /// What the reader should know beside that.
    pub notes: Vec<String>,
}

/// One member of a graph.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct GraphMember {
    /// The names that lead to it.
    pub path: MemberPath,
    /// Resource type on the wire.
    pub r#type: String,
    /// The state resource that records it.
    pub state: Option<MemberPath>,
    /// The outputs of others that it uses.
    pub depends_on: Vec<DependsOn>,
}

/// What `validate` found.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ValidationReport {
    /// The version of this format.
    pub format: u32,
    /// The deployment's file, as it was given.
    pub file: String,
    /// Whether there are no problems.
    pub valid: bool,
    /// How many members were checked.
    pub members: usize,
    /// What has to be changed, in the order of the members' names.
    pub problems: Vec<Problem>,
    /// Inputs that could not be checked, because outputs go into them that only apply tells.
    pub unchecked: Vec<Unchecked>,
    /// Places whose members are not known before something is applied.
    pub unknown_members: Vec<UnknownMembers>,
    /// What the reader should know beside that.
    pub notes: Vec<String>,
}

/// Something about one member that has to be changed.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Problem {
    /// The names that lead to the member.
    pub path: MemberPath,
    /// The input, a JSON pointer; null where it is about the member as a whole.
    pub field: Option<String>,
    /// What is wrong, and what to do.
    pub message: String,
}

/// An input that could not be checked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Unchecked {
    /// The names that lead to the member.
    pub path: MemberPath,
    /// The input, a JSON pointer.
    pub field: String,
    /// The outputs that it waits for.
    pub waits_for: Vec<OutputRef>,
}

/// Recorded outputs.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct OutputsReport {
    /// The version of this format.
    pub format: u32,
    /// Each output, in the order of the members' names.
    pub outputs: Vec<RecordedOutput>,
}

/// One recorded output, or a part of one.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RecordedOutput {
    /// How it is named to `outputs`.
    pub name: String,
    /// The names that lead to the member.
    pub path: MemberPath,
    /// Which of its outputs.
    pub output: String,
    /// Which part of that, by the names and numbers that lead to it; empty for all of it.
    pub part: Vec<String>,
    /// What was recorded.
    pub value: Value,
}
