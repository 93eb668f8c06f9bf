//! What the provider says of itself.

use serde_json::{Value, json};

pub(super) fn description() -> Value {
    json!({
        "name": "scratch",
        "version": "1",
        "description": "Things for tests.",
        "executable": "scratch-provider",
        "kinds": {
            "scratch_thing": {
                "description": "A file. With content.",
                "state": "optional",
                "repeatable": [
                    "createResourceRequest",
                    "updateResourceRequest",
                    "destroyResourceRequest",
                ],
                "requests": [
                    "createResourceRequest",
                    "updateResourceRequest",
                    "destroyResourceRequest",
                    "nixops4-resources/planResourceRequest",
                    "nixops4-resources/planDestroyRequest",
                    "nixops4-resources/readResourceRequest",
                    "nixops4-resources/listResourcesRequest",
                ],
                "inputs": {
                    "type": "object",
                    "additionalProperties": false,
                    "required": ["directory", "name"],
                    "properties": {
                        "directory": { "type": "string", "description": "Where it is." },
                        "name": { "type": "string", "minLength": 1 },
                        "connection": { "description": "An address; all are the same server's." },
                        "content": {},
                        "size": { "type": "integer", "minimum": 0, "default": 1 },
                        "region": { "type": "string" },
                        "secret": { "anyOf": [
                            { "type": "object", "required": ["file"], "properties": { "file": { "type": "string" } } },
                            { "type": "null" },
                        ] },
                        "failOn": { "type": "array", "items": { "type": "string" } },
                        "sleep": { "type": "integer" }, "sleepReading": { "type": "integer" },
                        "dieOnce": { "type": "string" }, "waitFor": { "type": "string" },
                        "dieWorking": { "type": "string" },
                        "dieTimes": { "type": "integer" },
                        "protect": { "type": "boolean" },
                        "deletionPolicy": { "enum": ["delete", "retain"], "default": "delete" },
                        "act": { "enum": ["hang", "garbage", "exit", "chatter"] },
                    },
                },
                "outputs": {
                    "type": "object",
                    "properties": { "path": { "type": "string" }, "serial": {}, "content": {} },
                },
            },
            "scratch_state": {
                "description": "A file of patches.",
                "state": "never",
                "requests": [
                    "createResourceRequest",
                    "stateResourceReadRequest",
                    "stateResourceEvent",
                    "nixops4-resources/readResourceRequest",
                ],
                "inputs": {
                    "type": "object",
                    "additionalProperties": false,
                    "required": ["file"],
                    "properties": { "file": { "type": "string" }, "failAfter": { "type": "integer" },
                        "dieBefore": { "type": "string" }, "dieAfter": { "type": "string" } },
                },
                "outputs": { "type": "object", "properties": {} },
            },
        },
    })
}
