//! The server with its things, and the place that keeps state: what each request
//! does, at once and wholly.

use std::collections::BTreeMap;

use json_patch::Patch;
use nixops4_protocol::message::{Request, Response};
use nixops4_protocol::{Object, state};
use serde_json::{Value, json};

use super::kinds::STATE_KIND;

/// A thing on the server.
#[derive(Debug, Clone)]
pub(in crate::model) struct Thing {
    pub(in crate::model) serial: String,
    number: u64,
    pub(in crate::model) content: Value,
    pub(in crate::model) retained: bool,
}

impl Thing {
    pub(in crate::model) fn output(&self, name: &str) -> Value {
        match name {
            "serial" => json!(self.serial),
            _ => json!(self.number),
        }
    }

    fn outputs(&self) -> Object {
        object(json!({ "serial": self.serial, "number": self.number, "content": self.content }))
    }
}

/// The server.
pub(super) struct Server {
    pub(super) things: BTreeMap<String, Thing>,
    made: u64,
    /// The events, if the place was made, and what they come to.
    state: Option<Vec<Patch>>,
    pub(super) document: Value,
}

impl Server {
    pub(super) fn new() -> Self {
        Self {
            things: BTreeMap::new(),
            made: 0,
            state: None,
            document: state::empty(),
        }
    }

    /// Does what it is asked by somebody who has seen so many events of the state.
    pub(super) fn answer(
        &mut self,
        request: &Request,
        seen: &mut usize,
    ) -> Result<Response, String> {
        let answer = match request {
            Request::Create(create) if create.r#type == STATE_KIND => {
                self.state.get_or_insert_default();
                json!({ "createResourceResponse": { "outputProperties": {} } })
            }
            Request::Read(read) if read.r#type == STATE_KIND => {
                let present = self.state.is_some();
                let outputs = present.then(Object::new);
                json!({ "nixops4-resources/readResourceResponse":
                    { "identity": null, "present": present, "outputProperties": outputs } })
            }
            Request::StateRead(_) => {
                *seen = self.state.as_ref().map_or(0, Vec::len);
                json!({ "stateResourceReadResponse": { "state": self.document } })
            }
            Request::StateEvent(event) => {
                self.append(&event.patch, seen)?;
                json!({ "stateResourceEventResponse": {} })
            }
            Request::Create(create) => {
                let outputs = self.make(&create.input_properties);
                json!({ "createResourceResponse": { "outputProperties": outputs } })
            }
            Request::Update(update) => {
                let outputs = self.make(&update.input_properties);
                json!({ "updateResourceResponse": { "outputProperties": outputs } })
            }
            Request::Destroy(destroy) => {
                self.destroy(&destroy.resource.input_properties)?;
                json!({ "destroyResourceResponse": {} })
            }
            Request::Plan(plan) => {
                let is_unknown = plan.unknown_inputs.iter().any(|it| it == "/content");
                let planned = self.plan(&plan.input_properties, is_unknown);
                json!({ "nixops4-resources/planResourceResponse": planned })
            }
            Request::Read(read) => {
                let thing = self.things.get(name(&read.input_properties));
                json!({ "nixops4-resources/readResourceResponse": {
                    "identity": identity(&read.input_properties),
                    "present": thing.is_some(),
                    "outputProperties": thing.map(Thing::outputs),
                } })
            }
            Request::List(_) => {
                let listed: Vec<Value> = self.things.iter().map(listed).collect();
                json!({ "nixops4-resources/listResourcesResponse": { "resources": listed } })
            }
            Request::PlanDestroy(_) => return Err("nobody foresees".to_owned()),
            Request::StateHistory(_) => return Err("nobody remembers".to_owned()),
        };
        Ok(serde_json::from_value(answer).unwrap())
    }

    /// Appends an event of somebody who has seen so many; refuses it where they
    /// have missed something.
    fn append(&mut self, patch: &Patch, seen: &mut usize) -> Result<(), String> {
        let events = self.state.as_mut().ok_or("there is no state")?;
        let places = |patch: &Patch| -> Vec<String> {
            let paths = patch.0.iter().map(json_patch::PatchOperation::path);
            paths.map(|path| format!("{path}/")).collect()
        };
        let mine = places(patch);
        let missed = events[(*seen).min(events.len())..].iter().flat_map(places);
        for theirs in missed {
            if mine
                .iter()
                .any(|mine| mine.starts_with(&theirs) || theirs.starts_with(mine))
            {
                return Err(format!("{theirs} was changed by somebody else"));
            }
        }
        json_patch::patch(&mut self.document, patch).map_err(|error| error.to_string())?;
        events.push(patch.clone());
        *seen = events.len();
        Ok(())
    }

    fn make(&mut self, inputs: &Object) -> Object {
        let made = &mut self.made;
        let thing = self
            .things
            .entry(name(inputs).to_owned())
            .or_insert_with(|| {
                *made += 1;
                Thing {
                    serial: format!("serial-{made}"),
                    number: 1000 + *made,
                    content: Value::Null,
                    retained: false,
                }
            });
        thing.content = inputs["content"].clone();
        thing.retained = false;
        thing.outputs()
    }

    fn destroy(&mut self, inputs: &Object) -> Result<(), String> {
        let Some(thing) = self.things.get(name(inputs)).cloned() else {
            return Ok(());
        };
        let outputs = [json!(thing.serial), json!(thing.number)];
        for (other, user) in &self.things {
            if !user.retained && outputs.contains(&user.content) {
                return Err(format!("{other} still uses it"));
            }
        }
        if inputs.get("deletionPolicy") == Some(&json!("retain")) {
            let retained = Thing {
                retained: true,
                ..thing
            };
            self.things.insert(name(inputs).to_owned(), retained);
        } else {
            self.things.remove(name(inputs));
        }
        Ok(())
    }

    fn plan(&self, inputs: &Object, is_unknown: bool) -> Value {
        let there = self.things.get(name(inputs));
        let before = there.map_or(Value::Null, |thing| thing.content.clone());
        let after = inputs["content"].clone();
        let is_same = before == after && there.is_some_and(|thing| !thing.retained);
        let mut changes = Vec::new();
        if is_unknown || !is_same {
            let after = if is_unknown {
                json!("unknown")
            } else {
                json!({ "known": after })
            };
            changes.push(json!({ "path": "/content", "before": { "known": before },
                "after": after, "effect": "inPlace" }));
        }
        let action = match (there, changes.is_empty()) {
            (None, _) => "create",
            (Some(_), true) => "none",
            (Some(_), false) => "update",
        };
        let mut outputs = there.map(Thing::outputs).unwrap_or_default();
        outputs.remove("content");
        if !is_unknown {
            outputs.insert("content".to_owned(), after);
        }
        let all = ["serial", "number", "content"].into_iter();
        let unknown: Vec<&str> = all.filter(|it| !outputs.contains_key(*it)).collect();
        json!({ "identity": identity(inputs), "action": action, "changes": changes,
            "outputProperties": outputs, "unknownOutputs": unknown })
    }
}

fn name(inputs: &Object) -> &str {
    inputs["name"].as_str().unwrap()
}

fn identity(inputs: &Object) -> Value {
    json!({ "name": inputs["name"] })
}

fn listed((name, thing): (&String, &Thing)) -> Value {
    let mark = if thing.retained {
        "owner=test retained-since=2026-01-01"
    } else {
        "owner=test"
    };
    json!({ "identity": { "name": name }, "mark": mark })
}

fn object(value: Value) -> Object {
    match value {
        Value::Object(object) => object,
        other => panic!("no object: {other}"),
    }
}
