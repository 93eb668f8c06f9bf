//! What a saved plan has in it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::PlanReport;
use crate::member::MemberPath;

/// The version of the file's format.
pub(crate) const FORMAT: u32 = 1;
/// The program that writes it: another version may mean something else by the same words.
pub(crate) const VERSION: &str = env!("CARGO_PKG_VERSION");

/// What `plan --out` writes and `apply FILE` reads.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SavedPlan {
    /// The version of this format.
    pub(crate) format: u32,
    /// The version of the program that made it.
    pub(crate) version: String,
    /// When it was made, RFC 3339.
    pub(crate) made: String,
    /// The deployment's file or flake, absolute.
    pub(crate) deployment: PathBuf,
    /// What was recorded.
    pub(crate) states: Vec<SavedState>,
    /// Only these and what they need are applied, if there are any.
    pub(crate) targets: Vec<MemberPath>,
    /// The members that are to be touched, and what they were planned with.
    pub(crate) members: Vec<SavedMember>,
    /// What was shown, as `plan --json` prints it.
    pub(crate) plan: PlanReport,
}

/// A state, as it was when the plan was made.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SavedState {
    /// The member that keeps it.
    pub(crate) path: MemberPath,
    /// Where it is.
    pub(crate) place: String,
    /// How many events it had; null where its provider does not tell.
    pub(crate) events: Option<u64>,
    /// SHA-256 of the state document.
    pub(crate) hash: String,
    /// What was recorded, each with a hash.
    pub(crate) resources: Vec<SavedRecord>,
}

/// A recorded resource.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SavedRecord {
    /// The names that lead to it.
    pub(crate) path: MemberPath,
    /// SHA-256 of what was recorded.
    pub(crate) hash: String,
}

/// A member that is to be touched.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SavedMember {
    /// The names that lead to it.
    pub(crate) path: MemberPath,
    /// Its provider's executable, and the arguments.
    pub(crate) provider: Vec<String>,
    /// The state resource that records it.
    pub(crate) state: Option<MemberPath>,
    /// SHA-256 of each input, as far as it was known.
    pub(crate) inputs: BTreeMap<String, String>,
    /// JSON pointers to what was not known.
    pub(crate) unknown: BTreeSet<String>,
}

impl SavedPlan {
    /// Which members it is about, if not about all.
    #[must_use]
    pub fn targets(&self) -> &[MemberPath] {
        &self.targets
    }
}
