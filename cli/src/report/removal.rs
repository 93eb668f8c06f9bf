//! What destroying would do, for people and machines.

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

use crate::member::MemberPath;

/// What `destroy` or `gc` would do, before anything is done.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RemovalReport {
    /// The version of this format.
    pub format: u32,
    /// What would go, in the order of its names.
    pub resources: Vec<Removal>,
    /// What is no longer in the expression under this name, and is left alone
    /// because another member is the same thing.
    pub renamed: Vec<Renamed>,
    /// What carries our mark on a server, was taken out of service before, and
    /// is left alone.
    pub retained: Vec<Orphan>,
    /// What the reader should know beside that.
    pub notes: Vec<String>,
}

/// One resource that would go.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Removal {
    /// The names that lead to it; of what is in no state, what it is.
    pub path: MemberPath,
    /// Resource type on the wire.
    pub r#type: String,
    /// What happens to it.
    pub fate: Fate,
    /// The state resource that records it; absent if none does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<MemberPath>,
    /// Why it is refused, or what the reader should know of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// What stands in the way as things are now, or goes along with it, and what to do
    /// about each; one may have several lines.
    pub warnings: Vec<String>,
}

/// What happens to a resource that goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Fate {
    /// It is removed from its server.
    Delete,
    /// It is taken out of service, and its data stays.
    Retain,
    /// Only its record is removed; the thing itself stays as it is.
    Forget,
    /// Nothing: something forbids it.
    Refuse,
}

/// A thing that is recorded under a name that is gone, and wanted under another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Renamed {
    /// The name that is recorded.
    pub from: MemberPath,
    /// The name that the expression has now.
    pub to: MemberPath,
    /// Resource type on the wire.
    pub r#type: String,
}

/// A thing that carries our mark on its server and is in no state.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Orphan {
    /// Resource type on the wire.
    pub r#type: String,
    /// What names it on its server.
    pub identity: Value,
    /// The mark, as it stands on the server.
    pub mark: String,
}

impl RemovalReport {
    /// How many have this fate.
    #[must_use]
    pub fn count(&self, fate: Fate) -> usize {
        self.resources
            .iter()
            .filter(|resource| resource.fate == fate)
            .count()
    }
}
