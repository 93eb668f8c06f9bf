//! Applying what was recorded to a document. Whoever may append to a state could
//! write what nobody can read again, or what takes all memory: both are refused.

use json_patch::jsonptr::Pointer;
use json_patch::{Patch, PatchError, PatchOperation};
use serde::Deserialize;
use serde_json::Value;

use crate::parse;

/// How deep a state may nest values. A JSON parser stops at 128, and an answer
/// needs some of that for itself.
pub const MAX_DEPTH: usize = 120;
/// How much a patch may copy, in bytes of memory. Nobody here copies anything; of
/// copies of copies, a few lines fill every memory.
const MAX_COPIED: usize = 64 << 10;
/// What a value takes beside its text, in bytes, roughly.
const VALUE: usize = 64;

/// Why a patch does not fit a state.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// The places that it names are not there, or not as it says.
    #[error(transparent)]
    Patch(#[from] PatchError),
    /// Nobody could read the state again.
    #[error("it nests values more than {MAX_DEPTH} deep, which could not be read again")]
    TooDeep,
    /// The state would grow by far more than the patch has in it.
    #[error("it copies more than {MAX_COPIED} bytes from one place of the state to another")]
    TooMuch,
}

/// Applies a patch, and takes its values rather than copies of them. After an error
/// the document is of no use any more.
pub fn apply(document: &mut Value, patch: Patch) -> Result<(), ApplyError> {
    let mut copied = 0;
    for (number, mut operation) in patch.0.into_iter().enumerate() {
        let depth = match &operation {
            PatchOperation::Add(at) => depth(&at.value),
            PatchOperation::Replace(at) => depth(&at.value),
            PatchOperation::Move(at) => at_place(document, &at.from).map_or(0, depth),
            PatchOperation::Copy(at) => {
                let source = at_place(document, &at.from);
                copied += source.map_or(0, size);
                source.map_or(0, depth)
            }
            PatchOperation::Remove(_) | PatchOperation::Test(_) => 0,
        };
        if operation.path().count() + depth > MAX_DEPTH {
            return Err(ApplyError::TooDeep);
        }
        if copied > MAX_COPIED {
            return Err(ApplyError::TooMuch);
        }
        let value = match &mut operation {
            PatchOperation::Add(at) => Some(at.value.take()),
            PatchOperation::Replace(at) => Some(at.value.take()),
            _ => None,
        };
        json_patch::patch_unsafe(document, std::slice::from_ref(&operation)).map_err(
            |mut error| {
                error.operation = number;
                error
            },
        )?;
        if let Some(value) = value {
            put(document, operation.path(), value);
        }
    }
    Ok(())
}

fn at_place<'a>(document: &'a Value, place: &Pointer) -> Option<&'a Value> {
    document.pointer(place.as_str())
}

/// Puts a value where null was put just now.
fn put(document: &mut Value, place: &Pointer, value: Value) {
    let at = match document.pointer_mut(place.as_str()) {
        Some(at) => Some(at),
        // The end of a list has no name once something stands there.
        None => place
            .parent()
            .and_then(|list| document.pointer_mut(list.as_str()))
            .and_then(Value::as_array_mut)
            .and_then(|list| list.last_mut()),
    };
    if let Some(at) = at {
        *at = value;
    }
}

/// How deep a value nests others.
fn depth(value: &Value) -> usize {
    match value {
        Value::Array(values) => 1 + values.iter().map(depth).max().unwrap_or(0),
        Value::Object(fields) => 1 + fields.values().map(depth).max().unwrap_or(0),
        _ => 0,
    }
}

/// What a value takes in memory, roughly.
fn size(value: &Value) -> usize {
    VALUE
        + match value {
            Value::String(text) => text.len(),
            Value::Array(values) => values.iter().map(size).sum(),
            Value::Object(fields) => {
                let fields = fields.iter();
                fields.map(|(name, value)| name.len() + size(value)).sum()
            }
            _ => 0,
        }
}

/// Reads a patch, as an event has it.
pub fn read_patch(text: &str) -> serde_json::Result<Patch> {
    let mut json = serde_json::Deserializer::from_str(text);
    let patch = parse::patch(&mut json)?;
    json.end()?;
    Ok(patch)
}

/// A patch in what `serde` reads.
#[derive(Debug, Deserialize)]
#[serde(transparent)]
pub struct ReadPatch(#[serde(deserialize_with = "parse::patch")] pub Patch);

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn patch(operations: &Value) -> Patch {
        read_patch(&operations.to_string()).unwrap()
    }

    #[test]
    fn it_does_what_a_patch_does() {
        let document = json!({"a": {"b": [1, 2]}, "c": null});
        for operations in [
            json!([{"op": "add", "path": "", "value": {"x": [1]}}]),
            json!([{"op": "add", "path": "/a/b/-", "value": {"x": 1}}]),
            json!([{"op": "add", "path": "/a/b/0", "value": "first"}]),
            json!([{"op": "add", "path": "/a/b", "value": null}]),
            json!([{"op": "add", "path": "/a~1b", "value": [[]]}]),
            json!([{"op": "replace", "path": "/a/b/1", "value": {"y": 2}}]),
            json!([{"op": "remove", "path": "/a"}, {"op": "move", "from": "/c", "path": "/d"}]),
            json!([{"op": "copy", "from": "/a", "path": "/e"}, {"op": "test", "path": "/c", "value": null}]),
        ] {
            let patch = patch(&operations);
            let mut expected = document.clone();
            json_patch::patch(&mut expected, &patch).unwrap();
            let mut applied = document.clone();
            apply(&mut applied, patch).unwrap();
            assert_eq!(applied, expected, "{operations}");
        }
        let misfit = json!([{"op": "remove", "path": "/c"}, {"op": "remove", "path": "/c"}]);
        let error = apply(&mut document.clone(), patch(&misfit)).unwrap_err();
        assert!(error.to_string().contains("operation '/1'"), "{error}");
    }

    #[test]
    fn what_could_not_be_read_again_is_refused() {
        let nested = |depth| (0..depth).fold(json!(1), |inner, _| json!([inner]));
        let add = |value: Value| patch(&json!([{"op": "add", "path": "/a", "value": value}]));
        let deepest = apply(&mut json!({}), add(nested(MAX_DEPTH - 1)));
        assert!(deepest.is_ok());
        let error = apply(&mut json!({}), add(nested(MAX_DEPTH))).unwrap_err();
        assert!(matches!(error, ApplyError::TooDeep), "{error}");
        let mut document = json!({"a": nested(100), "b": nested(100)});
        let inner = format!("/b{}", "/0".repeat(99));
        let moved = json!([{"op": "move", "from": "/a", "path": format!("{inner}/-")}]);
        let error = apply(&mut document, patch(&moved)).unwrap_err();
        assert!(matches!(error, ApplyError::TooDeep), "{error}");
        let copies = vec![json!({"op": "copy", "from": "/a", "path": "/a/-"}); 30];
        let error = apply(&mut json!({"a": ["x"]}), patch(&json!(copies))).unwrap_err();
        assert!(matches!(error, ApplyError::TooMuch), "{error}");
    }
}
