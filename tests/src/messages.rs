//! Requests and answers of the resource provider protocol, as JSON.
//!
//! Written by hand on purpose: what is on the wire is what is tested, not what
//! the workspace's own types make of it. This module must not know any kind.

use serde_json::{Map, Value, json};

/// A JSON object: inputs, outputs.
pub type Object = Map<String, Value>;

/// `createResourceRequest`
#[must_use]
pub fn create(kind: &str, inputs: &Object, is_stateful: bool) -> Value {
    json!({"createResourceRequest": {
        "type": kind, "inputProperties": inputs, "isStateful": is_stateful,
    }})
}

/// What was recorded of a resource.
#[must_use]
pub fn resource(kind: &str, inputs: &Object, outputs: Option<&Object>) -> Value {
    let mut resource = json!({"type": kind, "inputProperties": inputs});
    if let Some(outputs) = outputs {
        resource["outputProperties"] = json!(outputs);
    }
    resource
}

/// `updateResourceRequest`
#[must_use]
pub fn update(resource: &Value, inputs: &Object) -> Value {
    json!({"updateResourceRequest": {"resource": resource, "inputProperties": inputs}})
}

/// `destroyResourceRequest`
#[must_use]
pub fn destroy(resource: &Value) -> Value {
    json!({"destroyResourceRequest": {"resource": resource}})
}

/// `stateResourceReadRequest`
#[must_use]
pub fn read_state(resource: &Value) -> Value {
    json!({"stateResourceReadRequest": {"resource": resource}})
}

/// `stateResourceEvent`
#[must_use]
pub fn state_event(resource: &Value, event: &str, patch: &Value) -> Value {
    json!({"stateResourceEvent": {
        "resource": resource, "event": event, "nixopsVersion": "0.1.0", "patch": patch,
    }})
}

/// `nixops4-resources/planResourceRequest`
#[must_use]
pub fn plan(kind: &str, inputs: &Object, unknown: &[String], resource: Option<&Value>) -> Value {
    json!({"nixops4-resources/planResourceRequest": {
        "type": kind, "inputProperties": inputs, "unknownInputs": unknown, "resource": resource,
    }})
}

/// `nixops4-resources/readResourceRequest`
#[must_use]
pub fn read(kind: &str, inputs: &Object, resource: Option<&Value>) -> Value {
    json!({"nixops4-resources/readResourceRequest": {
        "type": kind, "inputProperties": inputs, "resource": resource,
    }})
}

/// What a line that answers `request` holds, or the message of its
/// `errorResponse`. Panics if it is no such answer to the letter.
pub fn answer(request: &Value, line: &str) -> Result<Value, String> {
    let asked = only_key(request);
    let parsed: Value = serde_json::from_str(line)
        .unwrap_or_else(|error| panic!("the answer to {asked} is no JSON: {error}: {line}"));
    let answered = only_key(&parsed);
    let held = parsed[answered].clone();
    if answered == "errorResponse" {
        return Err(message(&held));
    }
    let expected = match asked.strip_suffix("Request") {
        Some(stem) => format!("{stem}Response"),
        None => format!("{asked}Response"),
    };
    assert_eq!(answered, expected, "{line}");
    Ok(held)
}

/// The message of the line that answers something that is no request.
#[must_use]
pub fn refusal(line: &str) -> String {
    let parsed: Value = serde_json::from_str(line)
        .unwrap_or_else(|error| panic!("the answer is no JSON: {error}: {line}"));
    assert_eq!(only_key(&parsed), "errorResponse", "{line}");
    message(&parsed["errorResponse"])
}

fn message(held: &Value) -> String {
    assert_eq!(only_key(held), "message", "{held}");
    let message = held["message"].as_str().expect("a message is text");
    assert!(!message.trim().is_empty(), "an error without a message");
    message.to_owned()
}

fn only_key(message: &Value) -> &str {
    let object = message.as_object().expect("a message is an object");
    let mut keys = object.keys();
    match (keys.next(), keys.next()) {
        (Some(key), None) => key,
        _ => panic!("a message has one key: {message}"),
    }
}

/// Puts `value` where a JSON pointer leads; what is above it has to be there.
pub fn set(object: &mut Object, pointer: &str, value: Value) {
    let mut tokens: Vec<_> = pointer.split('/').skip(1).collect();
    let last = tokens.pop().expect("a pointer to a field");
    let mut here = object;
    for token in tokens {
        here = here
            .get_mut(token)
            .and_then(Value::as_object_mut)
            .unwrap_or_else(|| panic!("nothing stands at {token} of {pointer}"));
    }
    here.insert(last.to_owned(), value);
}

/// A `json!({...})` as an object.
#[must_use]
pub fn object(value: Value) -> Object {
    match value {
        Value::Object(object) => object,
        other => panic!("this is no object: {other}"),
    }
}
