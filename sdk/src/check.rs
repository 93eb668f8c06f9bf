//! What a provider must be like, beyond what the compiler sees.
//!
//! The Nix modules, the reference and the engine take these rules for granted.
//! `describe` checks them, and so does every test that compares its output with
//! the committed schema. This module knows schemas alone.

use nixops4_protocol::Object;
use nixops4_protocol::describe::StateNeed;
use serde_json::Value;

use crate::inputs::COMMON;
use crate::kind::ResourceKind;
use crate::schema;
use crate::state_kind::StateKind;

/// What is wrong with a resource kind.
pub(crate) fn managed<K: ResourceKind>(provider: &str) -> Vec<String> {
    let mut found = Problems::of(K::TYPE, provider);
    let inputs = schema::of::<K::Inputs>();
    let outputs = schema::of::<K::Outputs>();
    for name in COMMON {
        if field(&inputs, name).is_some() {
            found.add(
                &format!("inputs /{name}"),
                "every kind has this input; remove it",
            );
        }
    }
    for name in K::LOCATED_BY {
        if field(&inputs, name).is_none() {
            found.add("LOCATED_BY", &format!("{name:?} is no input"));
        }
    }
    for name in K::LASTING {
        if field(&outputs, name).is_none() {
            found.add("LASTING", &format!("{name:?} is no output"));
        }
    }
    if K::STATE == StateNeed::Never {
        found.add("STATE", "only a state kind has no state of its own");
    }
    found.in_inputs(&inputs);
    found.in_outputs(&outputs);
    found.list
}

/// What is wrong with a state kind.
pub(crate) fn keeping<K: StateKind>(provider: &str) -> Vec<String> {
    let mut found = Problems::of(K::TYPE, provider);
    found.in_inputs(&schema::of::<K::Inputs>());
    found.in_outputs(&schema::of::<K::Outputs>());
    found.list
}

struct Problems {
    kind: &'static str,
    list: Vec<String>,
}

impl Problems {
    fn of(kind: &'static str, provider: &str) -> Self {
        let list = Vec::new();
        let mut found = Self { kind, list };
        let rest = kind
            .strip_prefix(provider)
            .and_then(|rest| rest.strip_prefix('_'));
        if rest.is_none_or(str::is_empty) {
            found.add("TYPE", &format!("it has to begin with {provider:?} and _"));
        }
        found
    }

    fn add(&mut self, place: &str, problem: &str) {
        self.list.push(format!("{}, {place}: {problem}", self.kind));
    }

    fn in_inputs(&mut self, schema: &Object) {
        if !schema.contains_key("properties") {
            self.add("inputs", "they have to be a struct with named fields");
        }
        if schema.get("description").is_none() {
            self.add("inputs", "a doc comment is missing: it describes the kind");
        }
        if schema.contains_key("$defs") {
            self.add(
                "inputs",
                "a type that contains itself has no schema without references",
            );
        }
        self.in_object("inputs ", schema);
    }

    fn in_outputs(&mut self, schema: &Object) {
        if schema.get("type").and_then(Value::as_str) != Some("object") {
            self.add("outputs", "they have to be a struct with named fields");
        }
        self.in_fields("outputs ", schema);
    }

    /// An object that an author writes: it refuses what it doesn't know.
    fn in_object(&mut self, place: &str, schema: &Object) {
        if schema.contains_key("properties")
            && schema.get("additionalProperties") != Some(&Value::Bool(false))
        {
            self.add(place.trim_end(), "deny_unknown_fields is missing");
        }
        self.in_fields(place, schema);
    }

    fn in_fields(&mut self, place: &str, schema: &Object) {
        let fields = schema.get("properties").and_then(Value::as_object);
        for (name, field) in fields.into_iter().flatten() {
            let place = format!("{place}/{name}");
            if !is_camel_case(name) {
                self.add(&place, "it has to be camelCase");
            }
            let Value::Object(field) = field else {
                continue;
            };
            if field.get("description").is_none() {
                self.add(&place, "a doc comment is missing: its unit and default");
            }
            if place.starts_with("inputs") {
                self.in_object(&place, field);
            }
        }
    }
}

fn field<'a>(schema: &'a Object, name: &str) -> Option<&'a Value> {
    schema.get("properties")?.get(name)
}

fn is_camel_case(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_lowercase())
        && name.chars().all(|c| c.is_ascii_alphanumeric())
}

#[cfg(test)]
mod tests;
