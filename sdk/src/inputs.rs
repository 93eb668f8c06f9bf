//! From the JSON of a request to a kind's typed inputs.

use nixops4_protocol::Object;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use crate::error::Result;
use crate::kind::{DeletionPolicy, Owner, ResourceKind};
use crate::typed;

/// The inputs that every kind has.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Common {
    /// The deployment that this belongs to. What is made carries its name as a
    /// mark on the server itself, and what carries another name is refused.
    /// Unique for each deployment.
    pub(crate) owner: Owner,
    /// Whether to take over a thing that is there already and isn't marked as
    /// this deployment's.
    #[serde(default)]
    pub(crate) adopt: bool,
    /// What destroying does: `retain` takes it out of service and keeps its
    /// data, `delete` removes it.
    #[serde(default)]
    #[expect(
        dead_code,
        reason = "only destroying asks for it, and reads it from the record"
    )]
    deletion_policy: Option<DeletionPolicy>,
    /// Whether it must not be destroyed, nor taken out of service, by whatever
    /// command. To destroy it after all, set this to false and apply first.
    #[serde(default)]
    #[expect(
        dead_code,
        reason = "only destroying asks for it, and reads it from the record"
    )]
    protect: bool,
}

/// The names of the inputs that every kind has.
pub(crate) const COMMON: [&str; 4] = ["owner", "adopt", "deletionPolicy", "protect"];

/// A kind's inputs with those that every kind has.
pub(crate) struct Parsed<I> {
    pub(crate) common: Common,
    pub(crate) inputs: I,
}

/// Parses and validates the inputs of a kind.
pub(crate) fn parse<K: ResourceKind>(properties: &Object) -> Result<Parsed<K::Inputs>> {
    let parsed = parse_types::<K>(properties)?;
    K::validate(&parsed.inputs)?;
    Ok(parsed)
}

/// Parses the inputs of a kind, and leaves it at that: where some aren't known
/// yet, validating them together would be guessing.
pub(crate) fn parse_types<K: ResourceKind>(properties: &Object) -> Result<Parsed<K::Inputs>> {
    let is_common = |name: &str| COMMON.contains(&name);
    // The kind's own come first: they know all names, so that a misspelt
    // `owner` isn't called missing.
    let own = properties.iter().filter(|(name, _)| !is_common(name));
    let inputs = typed::read(own, &COMMON)?;
    let common = typed::read(properties.iter().filter(|(name, _)| is_common(name)), &[])?;
    Ok(Parsed { common, inputs })
}

/// What of the recorded inputs the engine itself needs; an old record may lack
/// any of it.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RecordedCommon {
    pub(crate) owner: Option<Owner>,
    pub(crate) deletion_policy: Option<DeletionPolicy>,
    #[serde(default)]
    pub(crate) protect: bool,
}

/// Reads a JSON object as a type. Null means absent.
pub(crate) fn read<'a, T: Deserialize<'a>>(properties: &'a Object) -> Result<T> {
    typed::read(properties, &[])
}

/// The same value without the nulls in its objects: an option of Nix that is
/// not set arrives as one.
pub(crate) fn without_nulls(value: &Value) -> Value {
    match value {
        Value::Object(fields) => fields
            .iter()
            .filter(|(_, value)| !value.is_null())
            .map(|(name, value)| (name.clone(), without_nulls(value)))
            .collect(),
        Value::Array(items) => items.iter().map(without_nulls).collect(),
        other => other.clone(),
    }
}
