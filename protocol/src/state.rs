//! The state document: what was made, by which inputs, with which outputs.
//!
//! Upstream's shape. Property keys are written in snake_case, as `nixops4 apply`
//! writes them, and read in both spellings; keys that nobody here knows are left
//! alone. State providers see a document and patches; only the command sees
//! resources in it.

mod applying;
mod renaming;

use json_patch::jsonptr::PointerBuf;
use json_patch::{AddOperation, Patch, PatchOperation, RemoveOperation, TestOperation};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::Object;
use crate::message::ExtantResource;

pub use applying::{ApplyError, MAX_DEPTH, ReadPatch, apply, read_patch};
pub use renaming::{RenameError, rename};

/// The key under which this suite keeps what upstream has no place for.
pub const EXTENSION_KEY: &str = "nixops4-resources";

/// Where a resource stands: the names from the root component down, the
/// resource's own last. Never empty.
pub type MemberPath = [String];

/// A state document that nothing was recorded in yet.
#[must_use]
pub fn empty() -> Value {
    json!({ "_type": "nixopsState", "resources": {}, "deployments": {} })
}

/// What was recorded of one resource.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RecordedResource {
    /// Resource type on the wire.
    pub r#type: String,
    /// The inputs that it was made with.
    #[serde(alias = "inputProperties")]
    pub input_properties: Object,
    /// The outputs that it gave.
    #[serde(alias = "outputProperties", default)]
    pub output_properties: Object,
    /// What this suite records beside them.
    #[serde(
        rename = "nixops4-resources",
        default,
        skip_serializing_if = "Option::is_none"
    )]
    pub extension: Option<Extension>,
    /// Keys of others.
    #[serde(flatten)]
    pub others: Object,
}

/// What this suite records of a resource beside upstream's keys.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Extension {
    /// The provider's executable, as the expression named it.
    pub executable: String,
    /// Its arguments.
    #[serde(default)]
    pub args: Vec<String>,
    /// What it was made from; absent where nobody knows that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub depends_on: Option<Vec<Dependency>>,
    /// Whether that may not be all of it: it was recorded together with the
    /// resource, and nobody has looked at the whole since.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub provisional: bool,
    /// Keys of later versions.
    #[serde(flatten)]
    pub others: Object,
}

impl Extension {
    /// Whether all is known that it was made from.
    #[must_use]
    pub fn knows_all(&self) -> bool {
        self.depends_on.is_some() && !self.provisional
    }
}

/// Another resource whose output an input was made from.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Dependency {
    /// Where it stands.
    pub path: Vec<String>,
    /// The output; absent where only the resource is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output: Option<String>,
}

impl From<RecordedResource> for ExtantResource {
    fn from(recorded: RecordedResource) -> Self {
        Self {
            r#type: recorded.r#type,
            input_properties: recorded.input_properties,
            output_properties: Some(recorded.output_properties),
        }
    }
}

/// Why a document is not a state.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// It is something else.
    #[error("the state is not one of NixOps4: `_type` is {found}, not \"nixopsState\"")]
    NotAState {
        /// What stands at `_type`.
        found: Value,
    },
    /// Something in it is of another type than it has to be.
    #[error(
        "the state can't be read as one of NixOps4: what stands at {pointer:?} is not an object"
    )]
    NotAnObject {
        /// JSON pointer into the document.
        pointer: String,
    },
    /// An entry can't be read.
    #[error("the state's entry of {path} can't be read: {source}")]
    Entry {
        /// The resource, with dots.
        path: String,
        /// What is wrong with it.
        source: serde_json::Error,
    },
}

/// Makes sure that a document is a state, with composites all the way down.
pub fn check(state: &Value) -> Result<(), StateError> {
    match state.get("_type") {
        Some(Value::String(kind)) if kind == "nixopsState" => walk(state, &mut |_, _| Ok(())),
        found => Err(StateError::NotAState {
            found: found.cloned().unwrap_or(Value::Null),
        }),
    }
}

/// What is recorded of the resource at `path`, if anything. The document is one
/// that [`check`] accepts.
pub fn resource(state: &Value, path: &MemberPath) -> Result<Option<RecordedResource>, StateError> {
    state
        .pointer(pointer(path).as_str())
        .map(|entry| read(entry, path))
        .transpose()
}

/// Every recorded resource, outer ones first, each with its path.
pub fn resources(state: &Value) -> Result<Vec<(Vec<String>, RecordedResource)>, StateError> {
    let mut found = Vec::new();
    walk(state, &mut |path, entry| {
        found.push((path.to_vec(), read(entry, path)?));
        Ok(())
    })?;
    Ok(found)
}

fn read(entry: &Value, path: &MemberPath) -> Result<RecordedResource, StateError> {
    RecordedResource::deserialize(entry).map_err(|source| StateError::Entry {
        path: path.join("."),
        source,
    })
}

/// Visits every entry under `resources`, outer ones first.
fn walk(
    state: &Value,
    visit: &mut impl FnMut(&MemberPath, &Value) -> Result<(), StateError>,
) -> Result<(), StateError> {
    let mut pending = vec![(Vec::new(), state)];
    while let Some((path, composite)) = pending.pop() {
        if !composite.is_object() {
            return Err(not_an_object(&composite_pointer(&path)));
        }
        for (name, entry) in entries(composite, &path, "resources")? {
            visit(&below(&path, name), entry)?;
        }
        let nested = entries(composite, &path, "deployments")?;
        let nested = nested.map(|(name, entry)| (below(&path, name), entry));
        let first = pending.len();
        pending.extend(nested);
        // The last is taken first.
        pending[first..].reverse();
    }
    Ok(())
}

fn entries<'a>(
    composite: &'a Value,
    path: &MemberPath,
    key: &str,
) -> Result<impl Iterator<Item = (&'a String, &'a Value)>, StateError> {
    let found = match composite.get(key) {
        None => None,
        Some(Value::Object(entries)) => Some(entries),
        Some(_) => {
            let mut pointer = composite_pointer(path);
            pointer.push_back(key);
            return Err(not_an_object(&pointer));
        }
    };
    Ok(found.into_iter().flatten())
}

fn not_an_object(pointer: &PointerBuf) -> StateError {
    StateError::NotAnObject {
        pointer: pointer.to_string(),
    }
}

fn below(path: &MemberPath, name: &str) -> Vec<String> {
    let mut below = path.to_vec();
    below.push(name.to_owned());
    below
}

/// The patch that records `resource` at `path`: the entry, and before it
/// whatever of the composites above is not in the document yet.
#[must_use]
pub fn record(state: &Value, path: &MemberPath, resource: &RecordedResource) -> Patch {
    let mut operations = missing_above(state, path, "resources");
    let mut value = json!(resource);
    // An alias is read, never written.
    if let Some(entry) = value.as_object_mut() {
        entry.retain(|key, _| key != "inputProperties" && key != "outputProperties");
    }
    operations.push(add(pointer(path), value));
    Patch(operations)
}

/// What has to be added so that `path` can be added under `kind`, which is
/// `resources` or `deployments`.
fn missing_above(state: &Value, path: &MemberPath, kind: &str) -> Vec<PatchOperation> {
    let mut operations = Vec::new();
    let (_, composites) = path.split_last().unwrap_or((&EMPTY, &[]));
    for depth in 0..=composites.len() {
        let here = composite_pointer(&composites[..depth]);
        let composite = state.pointer(here.as_str());
        if composite.is_none() {
            operations.push(add(here, json!({ "resources": {}, "deployments": {} })));
            continue;
        }
        let key = if depth == composites.len() {
            kind
        } else {
            "deployments"
        };
        if composite.and_then(|composite| composite.get(key)).is_none() {
            let mut missing = here;
            missing.push_back(key);
            operations.push(add(missing, json!({})));
        }
    }
    operations
}

/// The patch that changes nothing, and that gets in the way of whoever changes what
/// is recorded at `path`.
#[must_use]
pub fn touch(state: &Value, path: &MemberPath) -> Patch {
    let place = pointer(path);
    let recorded = state.pointer(place.as_str());
    if let Some(kind) = recorded.and_then(|entry| entry.get("type")) {
        let value = kind.clone();
        let mut path = place;
        path.push_back("type");
        return Patch(vec![PatchOperation::Test(TestOperation { path, value })]);
    }
    let mut operations = missing_above(state, path, "resources");
    if recorded.is_none() {
        operations.push(add(place, json!({})));
    }
    let added: Vec<PointerBuf> = operations
        .iter()
        .map(|operation| operation.path().to_owned())
        .collect();
    let removed = added.into_iter().rev();
    operations.extend(removed.map(|path| PatchOperation::Remove(RemoveOperation { path })));
    Patch(operations)
}

/// The patch that removes everything that is recorded at `path` and below it.
#[must_use]
pub fn forget_all(state: &Value, path: &MemberPath) -> Patch {
    let places = [pointer(path), composite_pointer(path)];
    let there = places
        .into_iter()
        .filter(|place| state.pointer(place.as_str()).is_some());
    let remove = |path| PatchOperation::Remove(RemoveOperation { path });
    Patch(there.map(remove).collect())
}

/// The patch that removes the entry at `path`.
#[must_use]
pub fn forget(path: &MemberPath) -> Patch {
    Patch(vec![PatchOperation::Remove(RemoveOperation {
        path: pointer(path),
    })])
}

static EMPTY: String = String::new();

fn add(path: PointerBuf, value: Value) -> PatchOperation {
    PatchOperation::Add(AddOperation { path, value })
}

fn composite_pointer(path: &MemberPath) -> PointerBuf {
    PointerBuf::from_tokens(path.iter().flat_map(|name| ["deployments", name.as_str()]))
}

fn pointer(path: &MemberPath) -> PointerBuf {
    let (name, composites) = path.split_last().unwrap_or((&EMPTY, &[]));
    let mut pointer = composite_pointer(composites);
    pointer.push_back("resources");
    pointer.push_back(name.as_str());
    pointer
}
