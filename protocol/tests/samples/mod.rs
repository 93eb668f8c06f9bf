//! Messages, good and bad, that the tests of the types and of the schema share.

pub(crate) mod bad;

use serde_json::{Value, json};

/// One of every request, and variants where a field may be absent.
pub(crate) fn requests() -> Vec<(&'static str, Value)> {
    let inputs = json!({ "name": "pubkey.txt", "owner": null, "lines": [1, 2.5, "ä\n", {}] });
    let bare = json!({ "type": "file", "inputProperties": inputs });
    let full = json!({
        "type": "file",
        "inputProperties": inputs,
        "outputProperties": { "id": "vm-12w94ty8", "note": null },
    });
    let patch = json!([
        { "op": "add", "path": "/resources/a~1b", "value": null },
        { "op": "remove", "path": "/resources/c~0d" },
        { "op": "replace", "path": "", "value": { "_type": "nixopsState" } },
        { "op": "move", "from": "/resources/a", "path": "/resources/b" },
        { "op": "copy", "from": "/resources/a", "path": "/resources/b" },
        { "op": "test", "path": "/_type", "value": "nixopsState" },
    ]);
    let event = |patch| {
        json!({ "stateResourceEvent": {
            "resource": full, "event": "create", "nixopsVersion": "0.1.0", "patch": patch,
        }})
    };
    vec![
        (
            "create",
            json!({ "createResourceRequest": {
                "type": "file", "inputProperties": inputs, "isStateful": false,
            }}),
        ),
        (
            "update",
            json!({ "updateResourceRequest": { "resource": full, "inputProperties": {} } }),
        ),
        (
            "update without outputs",
            json!({ "updateResourceRequest": { "resource": bare, "inputProperties": inputs } }),
        ),
        (
            "destroy",
            json!({ "destroyResourceRequest": { "resource": full } }),
        ),
        (
            "state read",
            json!({ "stateResourceReadRequest": { "resource": full } }),
        ),
        ("state event", event(patch)),
        (
            "state history",
            json!({ "nixops4-resources/stateResourceHistoryRequest": {
                "resource": full, "since": 0,
            }}),
        ),
        (
            "some of the state history",
            json!({ "nixops4-resources/stateResourceHistoryRequest": {
                "resource": full, "since": 7, "limit": 100,
            }}),
        ),
        ("state event that changes nothing", event(json!([]))),
        (
            "plan",
            json!({ "nixops4-resources/planResourceRequest": {
                "type": "file", "inputProperties": inputs,
                "unknownInputs": ["/name", "/a~1b/0"], "resource": bare,
            }}),
        ),
        (
            "plan of something new",
            json!({ "nixops4-resources/planResourceRequest": {
                "type": "file", "inputProperties": inputs, "unknownInputs": [],
            }}),
        ),
        (
            "plan of a destruction",
            json!({ "nixops4-resources/planDestroyRequest": { "resource": full } }),
        ),
        (
            "read",
            json!({ "nixops4-resources/readResourceRequest": {
                "type": "file", "inputProperties": inputs, "resource": full,
            }}),
        ),
        (
            "list",
            json!({ "nixops4-resources/listResourcesRequest": {
                "type": "file", "inputProperties": inputs,
            }}),
        ),
    ]
}

/// One of every response, and variants where a field may be absent.
pub(crate) fn responses() -> Vec<(&'static str, Value)> {
    let outputs = json!({ "id": "vm-12w94ty8", "interfaces": { "eth0": { "ipv4": null } } });
    vec![
        (
            "create",
            json!({ "createResourceResponse": { "outputProperties": outputs } }),
        ),
        (
            "update",
            json!({ "updateResourceResponse": { "outputProperties": {} } }),
        ),
        ("destroy", json!({ "destroyResourceResponse": {} })),
        (
            "state read",
            json!({ "stateResourceReadResponse": {
                "state": { "_type": "nixopsState", "resources": {}, "deployments": {} },
            }}),
        ),
        ("state event", json!({ "stateResourceEventResponse": {} })),
        (
            "state history",
            json!({ "nixops4-resources/stateResourceHistoryResponse": {
                "events": [
                    { "index": 7, "time": "2026-01-01T00:00:00Z", "writer": "ann@desk",
                      "event": "create", "nixopsVersion": "0.1.0",
                      "patch": [{ "op": "remove", "path": "/resources/a" }] },
                    { "index": 8, "time": "2026-01-01T00:00:01Z", "event": "", "patch": [] },
                ],
                "length": 9,
            }}),
        ),
        (
            "plan",
            json!({ "nixops4-resources/planResourceResponse": {
                "identity": { "name": "app" },
                "action": "update",
                "changes": [
                    { "path": "/limit", "before": { "known": null }, "after": { "known": 3 },
                      "effect": "inPlace" },
                    { "path": "/password", "before": "sensitive", "after": "sensitive",
                      "effect": "disruptive", "note": "asks for a new login" },
                    { "path": "/owner", "before": { "known": "a" }, "after": "unknown",
                      "effect": "replace" },
                ],
                "outputProperties": outputs,
                "unknownOutputs": ["oid"],
            }}),
        ),
        (
            "plan of a destruction",
            json!({ "nixops4-resources/planDestroyResponse": {
                "warnings": ["it is in use\nhint: end that"],
            }}),
        ),
        (
            "read",
            json!({ "nixops4-resources/readResourceResponse": {
                "identity": "app", "present": true, "outputProperties": outputs,
            }}),
        ),
        (
            "read of nothing",
            json!({ "nixops4-resources/readResourceResponse": {
                "identity": "app", "present": false,
            }}),
        ),
        (
            "list",
            json!({ "nixops4-resources/listResourcesResponse": {
                "resources": [{ "identity": "app", "mark": "owner=a", "size": 12 }],
            }}),
        ),
        (
            "error",
            json!({ "errorResponse": { "message": "cannot create file:\n  no space" } }),
        ),
    ]
}
