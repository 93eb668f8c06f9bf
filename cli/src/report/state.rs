//! What `state` tells machines.

use nixops4_protocol::Object;
use nixops4_protocol::state::RecordedResource;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

use crate::member::MemberPath;

/// What `state` prints, by its subcommands. `export` prints a state file of
/// NixOps4's own, or a state document.
#[derive(JsonSchema)]
#[serde(rename_all = "camelCase")]
#[expect(dead_code, reason = "only its schema is used")]
pub(super) struct Printed {
    /// `list` prints one.
    list: StateList,
    /// `show` prints one.
    show: StateEntry,
    /// `history` prints one.
    history: StateHistory,
    /// `verify` prints one.
    verify: StateVerification,
    /// `mv`, `rm`, `import` and `export --to` print one.
    change: StateChanged,
}

/// What `state list` prints.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct StateList {
    /// The version of this format.
    pub format: u32,
    /// What is recorded, in the order of its names.
    pub resources: Vec<StateEntry>,
}

/// A recorded resource.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct StateEntry {
    /// The names that lead to it.
    pub path: MemberPath,
    /// Resource type on the wire.
    pub r#type: String,
    /// The state resource that records it.
    pub state: MemberPath,
    /// The provider's executable and its arguments, where they were recorded.
    pub provider: Option<Vec<String>>,
    /// What it was made from; null where that is not known.
    pub depends_on: Option<Vec<DependsOn>>,
    /// The inputs that it was made with; `show` prints them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub inputs: Option<Object>,
    /// The outputs that it gave; `show` prints them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub outputs: Option<Object>,
}

/// Another resource whose output an input was made from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DependsOn {
    /// Where it stands.
    pub path: MemberPath,
    /// The output; null where only the resource is known.
    pub output: Option<String>,
}

impl StateEntry {
    pub(crate) fn new(state: &MemberPath, path: &MemberPath, recorded: &RecordedResource) -> Self {
        let extension = recorded.extension.as_ref();
        let depends_on = extension.and_then(|extension| extension.depends_on.as_ref());
        Self {
            path: path.clone(),
            r#type: recorded.r#type.clone(),
            state: state.clone(),
            provider: extension.map(|extension| {
                let mut provider = vec![extension.executable.clone()];
                provider.extend(extension.args.iter().cloned());
                provider
            }),
            depends_on: depends_on.map(|all| {
                let dependencies = all.iter().map(|dependency| DependsOn {
                    path: MemberPath(dependency.path.clone()),
                    output: dependency.output.clone(),
                });
                dependencies.collect()
            }),
            inputs: None,
            outputs: None,
        }
    }

    pub(crate) fn with_properties(self, recorded: &RecordedResource) -> Self {
        Self {
            inputs: Some(recorded.input_properties.clone()),
            outputs: Some(recorded.output_properties.clone()),
            ..self
        }
    }
}

/// What `state history` prints.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct StateHistory {
    /// The version of this format.
    pub format: u32,
    /// The changes of all states, the oldest first; those of one state by their index.
    pub events: Vec<StateChange>,
}

/// One change of a state.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct StateChange {
    /// The state resource that keeps it.
    pub state: MemberPath,
    /// Its place among the events of that state, counted from 0.
    pub index: u64,
    /// When it was recorded, RFC 3339.
    pub time: String,
    /// Who recorded it; null where that was not noted.
    pub writer: Option<String>,
    /// The operation: `create`, `update`, `destroy`, `mv`, ...; empty where that
    /// was not noted.
    pub event: String,
    /// The program that recorded it; null where that was not noted.
    pub version: Option<String>,
    /// The members that it changed; an empty path is the state as a whole.
    pub paths: Vec<MemberPath>,
    /// What it changed in the state document, RFC 6902.
    pub patch: Value,
}

/// What `state verify` prints.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct StateVerification {
    /// The version of this format.
    pub format: u32,
    /// Whether nothing is wrong.
    pub success: bool,
    /// Each state.
    pub states: Vec<Verified>,
}

/// What was found of one state.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Verified {
    /// The state resource that keeps it.
    pub state: MemberPath,
    /// How many events it has; null where its provider does not tell.
    pub events: Option<usize>,
    /// How many resources are recorded.
    pub resources: usize,
    /// What is wrong with it.
    pub problems: Vec<String>,
    /// What the reader should know beside that.
    pub notes: Vec<String>,
}

/// What `state mv`, `rm`, `import` and `export --to` print.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct StateChanged {
    /// What was done.
    pub event: &'static str,
    /// The members, or the states, that it was done with.
    pub paths: Vec<MemberPath>,
    /// How many recorded resources that were.
    pub resources: usize,
}
