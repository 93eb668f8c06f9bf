//! What a provider says of itself when run with the argument `describe`.
//!
//! The same document is committed as `schemas/NAME.json`; the Nix modules, the
//! reference and the command's early validation are made from it.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Object;
use crate::message::RequestName;

/// A provider, with every kind that it manages.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Description {
    /// Short name; the first part of each of its resource types.
    pub name: String,
    /// Version of the executable. Left out of the committed schemas.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// What it manages, in a sentence.
    pub description: String,
    /// Name of the executable.
    pub executable: String,
    /// The kinds, by resource type.
    pub kinds: BTreeMap<String, KindDescription>,
}

/// One resource kind.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct KindDescription {
    /// What it is, for whoever writes an expression.
    pub description: String,
    /// Whether its result has to be recorded.
    pub state: StateNeed,
    /// The requests that this kind answers.
    pub requests: Vec<RequestName>,
    /// Those of them that may be sent again, as they were, when the process ended
    /// without an answer: they find what is done already, and make nothing twice.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub repeatable: Vec<RequestName>,
    /// JSON Schema of its inputs.
    pub inputs: Object,
    /// JSON Schema of its outputs.
    pub outputs: Object,
}

impl KindDescription {
    /// Whether this kind answers that request.
    #[must_use]
    pub fn offers(&self, request: RequestName) -> bool {
        self.requests.contains(&request)
    }
}

/// Whether a kind's result has to be recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum StateNeed {
    /// It is a place where state is kept, and has none of its own.
    Never,
    /// It can do without; then each apply looks at it anew.
    Optional,
    /// It should do without, because it has to be looked at each time; it is
    /// recorded only where its own `state` says so, not the one around it.
    OnRequest,
    /// It refuses to be made without.
    Required,
}
