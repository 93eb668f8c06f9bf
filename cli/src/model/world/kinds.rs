//! What the provider says of its kinds.

use std::collections::HashMap;
use std::sync::Arc;

use nixops4_protocol::client::ProviderCommand;
use nixops4_protocol::describe::Description;
use serde_json::json;

use crate::providers;
use crate::schema::Kind;

pub(in crate::model) const KIND: &str = "model_thing";
pub(in crate::model) const STATE_KIND: &str = "model_state";

thread_local! {
    pub(super) static DESCRIPTION: Description = description();
    static KINDS: Kinds = DESCRIPTION.with(kinds);
}

/// The kinds with their compiled schemas, which takes longer than a whole run.
type Kinds = HashMap<(ProviderCommand, String), Arc<Kind>>;

pub(in crate::model) fn compiled() -> Kinds {
    KINDS.with(Kinds::clone)
}

fn kinds(description: &Description) -> Kinds {
    let command = providers::command(&description.executable, &[]);
    let compiled = description.kinds.iter().map(|(name, kind)| {
        let kind = Arc::new(Kind::new(kind.clone()));
        ((command.clone(), name.clone()), kind)
    });
    compiled.collect()
}

fn description() -> Description {
    let repeatable = json!([
        "createResourceRequest",
        "updateResourceRequest",
        "destroyResourceRequest",
    ]);
    let description = json!({
        "name": "model", "version": "1", "description": "Things.", "executable": "model",
        "kinds": {
            KIND: {
                "description": "A thing.",
                "state": "required",
                "requests": [
                    "createResourceRequest", "updateResourceRequest", "destroyResourceRequest",
                    "nixops4-resources/planResourceRequest",
                    "nixops4-resources/readResourceRequest",
                    "nixops4-resources/listResourcesRequest",
                ],
                "repeatable": repeatable,
                "inputs": {
                    "type": "object",
                    "additionalProperties": false,
                    "required": ["name"],
                    "properties": {
                        "name": { "type": "string" },
                        "content": {},
                        "deletionPolicy": { "enum": ["delete", "retain"] },
                    },
                },
                "outputs": {},
            },
            STATE_KIND: {
                "description": "Events.",
                "state": "never",
                "requests": [
                    "createResourceRequest", "stateResourceReadRequest", "stateResourceEvent",
                    "nixops4-resources/readResourceRequest",
                ],
                "inputs": { "type": "object", "properties": {} },
                "outputs": {},
            },
        },
    });
    serde_json::from_value(description).unwrap()
}
