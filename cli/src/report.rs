//! What the command tells machines. The terminal's output is made from the same.
//!
//! `plan --json` is one [`PlanReport`]; `apply --json` is one [`Event`] a line.

mod drift;
mod removal;
pub mod state;

use nixops4_protocol::message::Change;
use schemars::JsonSchema;
use serde::Serialize;

use crate::member::{MemberPath, OutputRef};

pub use drift::{Drift, DriftReport, Finding, StateAt, Unseen};
pub use removal::{Fate, Orphan, Removal, RemovalReport, Renamed};

/// The version of these formats.
pub const FORMAT: u32 = 1;

/// What apply would do.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PlanReport {
    /// The version of this format.
    pub format: u32,
    /// The deployment's file, as it was given.
    pub file: String,
    /// Every resource, unchanged ones included.
    pub resources: Vec<PlannedResource>,
    /// Places whose members are not known before something is applied.
    pub unknown_members: Vec<UnknownMembers>,
    /// Resources that are recorded and no longer in the expression. Nothing is
    /// done to them.
    pub abandoned: Vec<Abandoned>,
    /// What the reader should know beside that.
    pub notes: Vec<String>,
    /// How many of each.
    pub counts: PlanCounts,
}

/// One resource of a plan.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PlannedResource {
    /// The names that lead to it.
    pub path: MemberPath,
    /// Resource type on the wire.
    pub r#type: String,
    /// What apply would do with it.
    pub action: Action,
    /// Field by field; JSON pointers into its inputs. Empty if nothing changes.
    pub changes: Vec<Change>,
    /// Paths of those changes that only set what is the default anyway.
    pub at_default: Vec<String>,
    /// The outputs of others that it waits for.
    pub waits_for: Vec<OutputRef>,
    /// What the reader should know of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// Why nobody can say what apply would do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// What apply does with a resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Action {
    /// It is as wanted.
    None,
    /// It is made.
    Create,
    /// It is changed in place.
    Update,
    /// It would have to be made anew.
    Replace,
    /// It is there as wanted; only what is recorded of it changes.
    Record,
    /// It has no state and is made sure of at each apply.
    Ensure,
    /// The provider refuses it.
    Refuse,
    /// Its state can't be read before something else is applied.
    Later,
    /// The provider could not say.
    Unknown,
}

/// A place whose members are not known yet.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct UnknownMembers {
    /// The names that lead to it.
    pub path: MemberPath,
    /// What of it is not known.
    pub part: UnknownPart,
    /// The outputs that it waits for.
    pub waits_for: Vec<OutputRef>,
}

/// What of a place is not known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum UnknownPart {
    /// Which members it has.
    Members,
    /// Whether it is a resource.
    Member,
    /// Its provider, type or state.
    Resource,
}

/// A resource that is recorded and no longer in the expression.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Abandoned {
    /// The names that led to it.
    pub path: MemberPath,
    /// Resource type on the wire.
    pub r#type: String,
    /// The state resource that records it.
    pub state: MemberPath,
}

/// How many resources a plan does what with.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PlanCounts {
    /// To be made.
    pub create: usize,
    /// To be changed.
    pub update: usize,
    /// To be made anew.
    pub replace: usize,
    /// To be recorded.
    pub record: usize,
    /// Made sure of at each apply.
    pub ensure: usize,
    /// Refused.
    pub refuse: usize,
    /// Not known yet.
    pub later: usize,
    /// As wanted.
    pub unchanged: usize,
    /// Of which the provider could not say.
    pub failed: usize,
}

impl PlanReport {
    /// Whether apply would change anything, as far as is known. Resources that
    /// are only made sure of at each apply don't count.
    #[must_use]
    pub fn is_pending(&self) -> bool {
        let counts = &self.counts;
        counts.create + counts.update + counts.replace + counts.record + counts.later > 0
            || counts.refuse + counts.failed > 0
            || !self.unknown_members.is_empty()
    }

    /// Whether apply would ask any provider to do anything.
    #[must_use]
    pub fn has_work(&self) -> bool {
        self.is_pending() || self.counts.ensure > 0
    }
}

/// What happens during apply. In JSON, `event` says which.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[serde(
    tag = "event",
    rename_all = "camelCase",
    rename_all_fields = "camelCase"
)]
pub enum Event {
    /// What will be done, before anything is.
    Plan {
        /// The plan.
        plan: PlanReport,
    },
    /// What will go, before anything does.
    Removal {
        /// What happens to what.
        plan: RemovalReport,
    },
    /// A provider was asked to do something.
    Started {
        /// The resource.
        path: MemberPath,
        /// Resource type on the wire.
        r#type: String,
        /// What it was asked.
        operation: Operation,
    },
    /// It is done, and recorded if the resource has state.
    Finished {
        /// The resource.
        path: MemberPath,
        /// Resource type on the wire.
        r#type: String,
        /// What was done.
        operation: Operation,
        /// How long it took, in seconds.
        seconds: f64,
    },
    /// It failed.
    Failed {
        /// The resource.
        path: MemberPath,
        /// Resource type on the wire.
        r#type: String,
        /// What it was asked.
        operation: Operation,
        /// Why, and what to do next.
        error: String,
        /// How long it took, in seconds.
        seconds: f64,
    },
    /// It is asked again, because nobody answered: its provider, or what keeps its
    /// state, ended.
    Retried {
        /// The resource.
        path: MemberPath,
        /// What happened to the attempt before.
        error: String,
        /// The attempt that follows; the first was 1.
        attempt: usize,
        /// How many there are at most.
        of: usize,
    },
    /// It was not tried.
    Skipped {
        /// The resource, or the place whose members are not known.
        path: MemberPath,
        /// Why not.
        reason: String,
    },
    /// Something that the reader should know.
    Note {
        /// One or several lines.
        message: String,
    },
    /// The command failed as a whole.
    Error {
        /// What went wrong, why, and what to do next.
        message: String,
    },
    /// The last event of an apply.
    Summary(Summary),
}

/// What a provider is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Operation {
    /// To say what it would do.
    Plan,
    /// To make the resource.
    Create,
    /// To make sure of a resource that has no state.
    Ensure,
    /// To change it.
    Update,
    /// To tell its outputs once more, so that they can be recorded.
    Record,
    /// To remove it.
    Destroy,
    /// To take it out of service and keep its data.
    Retain,
    /// Nothing: only its record is removed.
    Forget,
    /// To tell what is there, so that it can be recorded.
    Import,
}

/// How an apply ended.
#[derive(Debug, Clone, Default, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Summary {
    /// Whether everything is as wanted now.
    pub success: bool,
    /// Whether the user stopped it.
    pub interrupted: bool,
    /// Resources that were made.
    pub created: usize,
    /// Resources without state that were made sure of.
    pub ensured: usize,
    /// Resources that were changed.
    pub updated: usize,
    /// Resources that were as wanted, and are recorded now.
    pub recorded: usize,
    /// Resources that were as wanted.
    pub unchanged: usize,
    /// Resources that were removed.
    pub destroyed: usize,
    /// Resources that were taken out of service; their data stays.
    pub retained: usize,
    /// Resources of which only the record was removed.
    pub forgotten: usize,
    /// What failed, and why.
    pub failed: Vec<Failure>,
    /// What was not tried, and why.
    pub skipped: Vec<Skip>,
    /// Resources that were made or changed, which could not be recorded.
    pub unrecorded: Vec<MemberPath>,
    /// Resources that were removed, and are still recorded.
    pub unforgotten: Vec<MemberPath>,
    /// Resources that are recorded and no longer in the expression.
    pub abandoned: Vec<Abandoned>,
    /// How long it took, in seconds.
    pub seconds: f64,
}

/// A resource that failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Failure {
    /// The resource.
    pub path: MemberPath,
    /// What the provider was asked.
    pub operation: Operation,
    /// Why, and what to do next.
    pub error: String,
}

/// A resource that was not tried.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Skip {
    /// The resource, or the place whose members are not known.
    pub path: MemberPath,
    /// Why not.
    pub reason: String,
}

/// What `--json` prints, by who prints it.
#[derive(JsonSchema)]
#[serde(rename_all = "camelCase")]
#[expect(dead_code, reason = "only its schema is used")]
struct Printed {
    /// `plan` prints one.
    plan: PlanReport,
    /// `drift` prints one.
    drift: DriftReport,
    /// What the subcommands of `state` print.
    state: state::Printed,
    /// `apply`, `destroy` and `gc` print one of these a line, a summary last; so does
    /// `import`, the plan that follows last. Every command prints one of kind `error`
    /// if it fails as a whole.
    event: Event,
}

/// The JSON Schema of an object with what each command prints with `--json`: the
/// properties `plan`, `drift`, `state`, and `event` for each line of the others.
#[must_use]
pub fn schema() -> schemars::Schema {
    schemars::schema_for!(Printed)
}
