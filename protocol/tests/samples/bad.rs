//! Lines that are not messages, and what a refusal of each has to say.

use serde_json::{Value, json};

/// A line that is not a message.
pub(crate) struct Case {
    pub(crate) line: String,
    /// Where it is wrong; `None` if it isn't even one JSON value.
    pub(crate) pointer: Option<String>,
    /// What the refusal has to say.
    pub(crate) says: Vec<&'static str>,
}

/// Text, or JSON to be written as text.
struct Line(String);

impl From<&str> for Line {
    fn from(line: &str) -> Self {
        Self(line.to_owned())
    }
}

impl From<String> for Line {
    fn from(line: String) -> Self {
        Self(line)
    }
}

impl From<Value> for Line {
    fn from(line: Value) -> Self {
        Self(line.to_string())
    }
}

fn case(line: impl Into<Line>, pointer: &str, says: &[&'static str]) -> Case {
    Case {
        line: line.into().0,
        pointer: Some(pointer.to_owned()),
        says: says.to_vec(),
    }
}

fn not_json(line: &str, says: &[&'static str]) -> Case {
    Case {
        line: line.to_owned(),
        pointer: None,
        says: says.to_vec(),
    }
}

/// Lines that are neither request nor response.
fn bad_lines() -> Vec<Case> {
    let good = r#"{"errorResponse":{"message":"m"}}"#;
    vec![
        not_json("", &["empty"]),
        not_json(" \t\r", &["empty"]),
        not_json("hello", &["JSON", "line 1 column 1"]),
        not_json("<html>", &["JSON", "line 1 column 1"]),
        not_json("\u{feff}{}", &["JSON", "line 1 column 1"]),
        not_json("{", &["JSON", "EOF"]),
        not_json("{'a': 1}", &["JSON", "key must be a string"]),
        not_json("nul", &["JSON"]),
        case(
            "null",
            "",
            &["invalid type: null", "an object with one key"],
        ),
        case(
            "true",
            "",
            &["invalid type: boolean", "an object with one key"],
        ),
        case(
            "17",
            "",
            &["invalid type: integer", "an object with one key"],
        ),
        case(
            "[]",
            "",
            &["invalid type: sequence", "an object with one key"],
        ),
        case(format!("[{good}]"), "", &["invalid type: sequence"]),
        case(
            r#""errorResponse""#,
            "",
            &["invalid type: string", "an object with one key"],
        ),
        case(r#""createResourceRequest""#, "", &["invalid type: string"]),
        case("{}", "", &["invalid length 0", "an object with one key"]),
        case(
            r#"{"renameResourceRequest":{}}"#,
            "/renameResourceRequest",
            &["unknown variant `renameResourceRequest`", "expected one of"],
        ),
        case(
            r#"{"CreateResourceRequest":{}}"#,
            "/CreateResourceRequest",
            &["unknown variant"],
        ),
        case(
            r#"{"nixops4-resources/x~y":{}}"#,
            "/nixops4-resources~1x~0y",
            &["unknown variant"],
        ),
    ]
}

/// Lines that are no request.
pub(crate) fn bad_requests() -> Vec<Case> {
    let mut cases = bad_lines();
    cases.extend(broken_json());
    cases.extend(bad_creates());
    cases.extend(bad_fields());
    cases.extend(bad_patches());
    cases
}

const CREATE: &str =
    r#"{"createResourceRequest":{"type":"t","inputProperties":{},"isStateful":true}}"#;

fn create(fields: &str) -> String {
    format!(r#"{{"createResourceRequest":{{{fields}}}}}"#)
}

/// Requests that are not one JSON value.
fn broken_json() -> Vec<Case> {
    vec![
        not_json(&format!("{CREATE}{CREATE}"), &["trailing characters"]),
        not_json(&format!("{CREATE} x"), &["trailing characters"]),
        not_json(&format!("{CREATE}]"), &["trailing characters"]),
        not_json(&CREATE[..CREATE.len() - 1], &["EOF"]),
        not_json(&CREATE[..CREATE.len() / 2], &["EOF"]),
        not_json(
            &create(r#""type":"\ud800","inputProperties":{},"isStateful":true"#),
            &["JSON"],
        ),
        not_json(
            &create(r#""type":"\ud800A","inputProperties":{},"isStateful":true"#),
            &["JSON"],
        ),
        not_json(
            &create(r#""type":"\x41","inputProperties":{},"isStateful":true"#),
            &["escape"],
        ),
        not_json(
            &create("\"type\":\"a\tb\",\"inputProperties\":{},\"isStateful\":true"),
            &["control character"],
        ),
        not_json(
            &create(r#""type":"t","inputProperties":{"n":1e400},"isStateful":true"#),
            &["number out of range"],
        ),
        not_json(
            &create(r#""type":"t","inputProperties":{"n":NaN},"isStateful":true"#),
            &["JSON"],
        ),
        not_json(
            &create(r#""type":"t","inputProperties":{},"isStateful":true,"#),
            &["trailing comma"],
        ),
    ]
}

fn bad_creates() -> Vec<Case> {
    let at = |field: &str| format!("/createResourceRequest{field}");
    vec![
        case(
            format!("{},\"errorResponse\":{{}}}}", &CREATE[..CREATE.len() - 1]),
            "",
            &["second key `errorResponse`"],
        ),
        case(
            format!("{},{}", &CREATE[..CREATE.len() - 1], &CREATE[1..]),
            "",
            &["second key `createResourceRequest`"],
        ),
        case(
            r#"{"createResourceRequest":null}"#,
            &at(""),
            &["invalid type: null"],
        ),
        case(
            r#"{"createResourceRequest":["t",{},true]}"#,
            &at(""),
            &["invalid type: sequence"],
        ),
        case(create(""), &at(""), &["missing field `type`"]),
        case(
            create(r#""type":"t","type":"t""#),
            &at(""),
            &["duplicate field `type`"],
        ),
        case(
            create(r#""type":"t","inputProperties":{},"isStateful":true,"isStateful":true"#),
            &at(""),
            &["duplicate field `isStateful`"],
        ),
        case(
            create(r#""type":7"#),
            &at("/type"),
            &["invalid type: integer `7`", "a string"],
        ),
        case(
            create(r#""type":null"#),
            &at("/type"),
            &["invalid type: null", "a string"],
        ),
        case(
            create(r#""inputProperties":[]"#),
            &at("/inputProperties"),
            &["invalid type: sequence"],
        ),
        case(
            create(r#""inputProperties":null"#),
            &at("/inputProperties"),
            &["invalid type: null"],
        ),
        case(
            create(r#""isStateful":"true""#),
            &at("/isStateful"),
            &["a boolean"],
        ),
        case(
            create(r#""isStateful":1"#),
            &at("/isStateful"),
            &["a boolean"],
        ),
        case(
            create(r#""input_properties":{}"#),
            &at("/input_properties"),
            &["unknown field `input_properties`", "`inputProperties`"],
        ),
    ]
}

fn bad_fields() -> Vec<Case> {
    vec![
        case(
            json!({ "destroyResourceRequest": { "resource": ["t", {}, {}] } }),
            "/destroyResourceRequest/resource",
            &["invalid type: sequence"],
        ),
        case(
            json!({ "destroyResourceRequest": { "resource": {
                "type": "t", "inputProperties": {}, "outputProperties": [],
            }}}),
            "/destroyResourceRequest/resource/outputProperties",
            &["invalid type: sequence"],
        ),
        case(
            json!({ "nixops4-resources/planResourceRequest": {
                "type": "t", "inputProperties": {}, "unknownInputs": ["/a", 1],
            }}),
            "/nixops4-resources~1planResourceRequest/unknownInputs/1",
            &["invalid type: integer `1`", "a string"],
        ),
        case(
            json!({ "nixops4-resources/planResourceRequest": {
                "type": "t", "inputProperties": {}, "unknownInputs": null,
            }}),
            "/nixops4-resources~1planResourceRequest/unknownInputs",
            &["invalid type: null"],
        ),
    ]
}

fn bad_patches() -> Vec<Case> {
    let event = |patch: Value| {
        json!({ "stateResourceEvent": {
            "resource": { "type": "t", "inputProperties": {} },
            "event": "create", "nixopsVersion": "0.1.0", "patch": patch,
        }})
    };
    let mut cases = vec![
        case(
            event(json!({})),
            "/stateResourceEvent/patch",
            &["invalid type: map"],
        ),
        case(
            event(json!(null)),
            "/stateResourceEvent/patch",
            &["invalid type: null"],
        ),
    ];
    let operations = [
        (
            json!(["add", { "path": "", "value": 1 }]),
            "",
            "invalid type: sequence",
        ),
        (
            json!({ "path": "/a", "value": 1 }),
            "",
            "missing field `op`",
        ),
        (
            json!({ "op": "merge", "path": "/a" }),
            "/op",
            "unknown variant `merge`",
        ),
        (
            json!({ "op": "add", "value": 1 }),
            "",
            "missing field `path`",
        ),
        (
            json!({ "op": "add", "path": "/a" }),
            "",
            "missing field `value`",
        ),
        (
            json!({ "op": "move", "path": "/a" }),
            "",
            "missing field `from`",
        ),
        (
            json!({ "op": "add", "path": 1, "value": 1 }),
            "/path",
            "invalid type: integer `1`",
        ),
    ];
    for (operation, place, says) in operations {
        let line = event(json!([{ "op": "remove", "path": "/a" }, operation]));
        let pointer = format!("/stateResourceEvent/patch/1{place}");
        cases.push(case(line, &pointer, &[says]));
    }
    cases
}

/// Lines that are no response.
pub(crate) fn bad_responses() -> Vec<Case> {
    let change = |before: Value, effect: &str| {
        json!({ "nixops4-resources/planResourceResponse": {
            "identity": null, "action": "none", "outputProperties": {}, "unknownOutputs": [],
            "changes": [{ "path": "", "before": before, "after": "unknown", "effect": effect }],
        }})
    };
    let changes = "/nixops4-resources~1planResourceResponse/changes/0";
    let mut cases = bad_lines();
    cases.extend([
        case(
            r#"{"errorResponse":{}}"#,
            "/errorResponse",
            &["missing field `message`"],
        ),
        case(
            r#"{"errorResponse":["m"]}"#,
            "/errorResponse",
            &["invalid type: sequence"],
        ),
        case(
            r#"{"errorResponse":"m"}"#,
            "/errorResponse",
            &["invalid type: string"],
        ),
        case(
            r#"{"errorResponse":{"message":null}}"#,
            "/errorResponse/message",
            &["a string"],
        ),
        case(
            r#"{"errorResponse":{"message":"m","code":1}}"#,
            "/errorResponse/code",
            &["unknown field `code`"],
        ),
        case(
            r#"{"errorResponse":{"message":"m"},"hint":"h"}"#,
            "",
            &["second key `hint`"],
        ),
        case(
            r#"{"errorResponse":{"message":"m","message":"n"}}"#,
            "/errorResponse",
            &["duplicate field `message`"],
        ),
        not_json(
            r#"{"errorResponse":{"message":"m"}} {}"#,
            &["trailing characters"],
        ),
        not_json(r#"{"errorResponse":{"message":"\udc00"}}"#, &["JSON"]),
        case(
            r#"{"stateResourceEventResponse":[]}"#,
            "/stateResourceEventResponse",
            &["invalid type: sequence"],
        ),
        case(
            r#"{"stateResourceEventResponse":null}"#,
            "/stateResourceEventResponse",
            &["invalid type: null"],
        ),
        case(
            r#"{"stateResourceEventResponse":{"ok":true}}"#,
            "/stateResourceEventResponse/ok",
            &["unknown field `ok`"],
        ),
        case(
            r#"{"createResourceResponse":{"outputProperties":null}}"#,
            "/createResourceResponse/outputProperties",
            &["invalid type: null"],
        ),
        case(
            r#"{"stateResourceReadResponse":{"state":[]}}"#,
            "/stateResourceReadResponse/state",
            &["invalid type: sequence"],
        ),
        case(
            change(json!("secret"), "inPlace"),
            &format!("{changes}/before"),
            &["unknown variant `secret`"],
        ),
        case(
            change(json!("unknown"), "in-place"),
            &format!("{changes}/effect"),
            &["unknown variant `in-place`"],
        ),
    ]);
    cases
}
