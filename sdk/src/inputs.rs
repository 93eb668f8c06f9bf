//! From the JSON of a request to typed inputs, with errors that name the field.

use nixops4_protocol::Object;
use schemars::JsonSchema;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::error::{Error, Result};
use crate::kind::{DeletionPolicy, Owner, ResourceKind};

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
    #[expect(dead_code, reason = "only destroying asks for it, and reads it from the record")]
    deletion_policy: Option<DeletionPolicy>,
}

/// The names of the inputs that every kind has.
pub(crate) const COMMON: [&str; 3] = ["owner", "adopt", "deletionPolicy"];

/// A kind's inputs with those that every kind has.
pub(crate) struct Parsed<I> {
    pub(crate) common: Common,
    pub(crate) inputs: I,
}

/// Parses and validates the inputs of a kind.
pub(crate) fn parse<K: ResourceKind>(properties: &Object) -> Result<Parsed<K::Inputs>> {
    let mut own = without_nulls(properties);
    let mut common = Object::new();
    for name in COMMON {
        if let Some(value) = own.remove(name) {
            common.insert(name.to_owned(), value);
        }
    }
    let common = read(common)?;
    let inputs = read(own)?;
    K::validate(&inputs)?;
    Ok(Parsed { common, inputs })
}

/// What of the recorded inputs the engine itself needs; an old record may lack
/// any of it.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RecordedCommon {
    pub(crate) owner: Option<Owner>,
    pub(crate) deletion_policy: Option<DeletionPolicy>,
}

/// Reads a JSON object as typed inputs. Null means absent.
pub(crate) fn read<T: DeserializeOwned>(properties: Object) -> Result<T> {
    let value = Value::Object(without_nulls(&properties));
    serde_path_to_error::deserialize(value).map_err(|error| {
        let mut pointer = to_pointer(error.path());
        let message = error.into_inner().to_string();
        // These two name the field only in their text.
        for kind in ["unknown field `", "missing field `"] {
            if let Some(name) = message.strip_prefix(kind).and_then(|rest| rest.split('`').next()) {
                let token = format!("/{}", escape(name));
                if !pointer.ends_with(&token) {
                    pointer.push_str(&token);
                }
            }
        }
        Error::input(pointer, message)
    })
}

fn to_pointer(path: &serde_path_to_error::Path) -> String {
    use serde_path_to_error::Segment;
    path.iter()
        .map(|segment| match segment {
            Segment::Seq { index } => format!("/{index}"),
            Segment::Map { key } => format!("/{}", escape(key)),
            Segment::Enum { variant } => format!("/{}", escape(variant)),
            Segment::Unknown => String::new(),
        })
        .collect()
}

/// A name as one token of a JSON pointer.
pub(crate) fn escape(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}

/// The same object without its nulls: an option of Nix that is not set arrives
/// as one. Nulls in lists stay, for the types to refuse.
pub(crate) fn without_nulls(object: &Object) -> Object {
    object
        .iter()
        .filter(|(_, value)| !value.is_null())
        .map(|(key, value)| {
            let value = match value {
                Value::Object(nested) => Value::Object(without_nulls(nested)),
                other => other.clone(),
            };
            (key.clone(), value)
        })
        .collect()
}
