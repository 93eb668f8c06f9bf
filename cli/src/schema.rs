//! Checks inputs against what the provider's description says of them, before
//! anything runs.
//!
//! A message never repeats a value: somebody may have put a secret in the wrong
//! place.

use jsonschema::Validator;
use jsonschema::error::ValidationErrorKind;
use nixops4_protocol::Object;
use nixops4_protocol::describe::KindDescription;
use serde_json::Value;

use crate::eval::Member;

/// A resource type, as its provider describes it. The schema of its inputs is
/// compiled once: that takes a hundred times as long as to check by it.
pub(crate) struct Kind {
    /// What the provider says.
    pub(crate) description: KindDescription,
    validator: Result<Validator, String>,
}

impl Kind {
    /// Compiles the schema of the inputs.
    pub(crate) fn new(description: KindDescription) -> Self {
        let schema = Value::Object(description.inputs.clone());
        let validator = jsonschema::draft202012::new(&schema).map_err(|error| {
            format!("the provider's description of its inputs is no JSON Schema: {error}")
        });
        Self {
            description,
            validator,
        }
    }

    /// What is wrong with a member's inputs: `POINTER: MESSAGE`, one each. What
    /// is not known yet is not judged.
    pub(crate) fn problems(&self, member: &Member) -> Vec<String> {
        let validator = match &self.validator {
            Ok(validator) => validator,
            Err(error) => return vec![error.clone()],
        };
        let inputs = Value::Object(without_nulls(&member.inputs));
        let mut problems = Vec::new();
        for error in validator.iter_errors(&inputs) {
            let pointer = error.instance_path().to_string();
            collect(&error, &pointer, member, &mut problems);
        }
        problems.sort();
        problems.dedup();
        problems
    }
}

fn collect(
    error: &jsonschema::ValidationError<'_>,
    pointer: &str,
    member: &Member,
    problems: &mut Vec<String>,
) {
    match error.kind() {
        ValidationErrorKind::Required { property } => {
            let missing = format!(
                "{pointer}/{}",
                escape(property.as_str().unwrap_or_default())
            );
            if !touches_unknown(member, &missing) {
                problems.push(format!("{missing}: is required"));
            }
        }
        ValidationErrorKind::AdditionalProperties { unexpected }
        | ValidationErrorKind::UnevaluatedProperties { unexpected } => {
            for name in unexpected {
                problems.push(format!(
                    "{pointer}/{}: there is no such input; look for a typing mistake",
                    escape(name)
                ));
            }
        }
        _ if touches_unknown(member, pointer) => {}
        ValidationErrorKind::AnyOf { context } | ValidationErrorKind::OneOfNotValid { context } => {
            let alternatives = context.iter().map(|errors| {
                let reasons: Vec<String> = errors
                    .iter()
                    .map(|inner| {
                        let below = inner.instance_path().to_string();
                        let masked = inner.masked().to_string();
                        if below == pointer || below.is_empty() {
                            masked
                        } else {
                            format!("{below}: {masked}")
                        }
                    })
                    .collect();
                reasons.join(" and ")
            });
            let mut alternatives: Vec<String> = alternatives
                .filter(|alternative| !alternative.contains("not of type \"null\""))
                .collect();
            alternatives.dedup();
            problems.push(format!(
                "{}: {}",
                shown(pointer),
                alternatives.join("; or ")
            ));
        }
        _ => problems.push(format!("{}: {}", shown(pointer), error.masked())),
    }
}

fn shown(pointer: &str) -> &str {
    if pointer.is_empty() {
        "(inputs)"
    } else {
        pointer
    }
}

/// Whether something at, above or below a pointer is not known.
fn touches_unknown(member: &Member, pointer: &str) -> bool {
    let is_within = |inner: &str, outer: &str| {
        inner
            .strip_prefix(outer)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    member
        .unknown
        .keys()
        .any(|unknown| is_within(unknown, pointer) || is_within(pointer, unknown))
}

fn escape(token: &str) -> String {
    token.replace('~', "~0").replace('/', "~1")
}

/// Null means absent, on every level.
pub(crate) fn without_nulls(object: &Object) -> Object {
    object
        .iter()
        .filter(|(_, value)| !value.is_null())
        .map(|(name, value)| (name.clone(), strip(value)))
        .collect()
}

fn strip(value: &Value) -> Value {
    match value {
        Value::Object(object) => Value::Object(without_nulls(object)),
        Value::Array(values) => values.iter().map(strip).collect(),
        other => other.clone(),
    }
}

/// One member for a table of tests.
#[cfg(test)]
pub(crate) fn member(inputs: Value, unknown: &[&str]) -> Member {
    let Value::Object(inputs) = inputs else {
        panic!("inputs are an object");
    };
    Member {
        path: crate::member::MemberPath(vec!["m".to_owned()]),
        executable: "p".to_owned(),
        args: Vec::new(),
        kind: "thing".to_owned(),
        state: None,
        inputs,
        unknown: unknown
            .iter()
            .map(|&pointer| (pointer.to_owned(), std::collections::BTreeSet::new()))
            .collect(),
        provider_paths: Vec::new(),
        input_paths: Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use nixops4_protocol::describe::{KindDescription, StateNeed};
    use serde_json::{Value, json};

    use super::{Kind, member};

    fn described() -> KindDescription {
        let Value::Object(inputs) = json!({
            "type": "object",
            "additionalProperties": false,
            "required": ["name", "size"],
            "properties": {
                "name": { "type": "string", "maxLength": 3 },
                "size": { "type": "integer" },
                "tags": { "type": "array", "items": { "type": "string" } },
                "secret": { "anyOf": [
                    { "type": "object", "required": ["file"], "additionalProperties": false,
                      "properties": { "file": { "type": "string" } } },
                    { "type": "null" },
                ] },
            },
        }) else {
            unreachable!()
        };
        KindDescription {
            description: String::new(),
            state: StateNeed::Optional,
            requests: Vec::new(),
            repeatable: Vec::new(),
            inputs,
            outputs: nixops4_protocol::Object::new(),
        }
    }

    #[test]
    fn each_problem_names_its_place_and_no_value() {
        for (inputs, unknown, expected) in [
            (json!({"name": "a", "size": 1}), &[][..], &[][..]),
            (
                json!({"name": "a", "size": 1, "tags": null, "secret": null}),
                &[],
                &[],
            ),
            (json!({"name": "a"}), &[], &["/size: is required"]),
            (
                json!({"name": "a", "size": null}),
                &[],
                &["/size: is required"],
            ),
            (json!({"name": "a", "size": null}), &["/size"], &[]),
            (
                json!({"name": "a", "size": "hunter2"}),
                &[],
                &["/size: value is not of type \"integer\""],
            ),
            (
                json!({"name": "hunter2", "size": 1}),
                &[],
                &["/name: value is longer than 3 characters"],
            ),
            (
                json!({"name": "a", "size": 1, "tags": ["x", 1]}),
                &[],
                &["/tags/1: value is not of type \"string\""],
            ),
            (
                json!({"name": "a", "size": 1, "tags": ["x", null]}),
                &["/tags/1"],
                &[],
            ),
            (
                json!({"name": "a", "size": 1, "nmae": 2}),
                &["/size"],
                &["/nmae: there is no such input; look for a typing mistake"],
            ),
            (
                json!({"name": "a", "size": 1, "secret": "hunter2"}),
                &[],
                &["/secret: value is not of type \"object\""],
            ),
            (
                json!({"name": "a", "size": 1, "secret": {"file": null}}),
                &["/secret/file"],
                &[],
            ),
            (json!({}), &[""], &[]),
        ] {
            assert_eq!(
                Kind::new(described()).problems(&member(inputs.clone(), unknown)),
                expected,
                "{inputs}"
            );
        }
    }

    #[test]
    fn a_schema_that_is_none_is_told() {
        let mut kind = described();
        kind.inputs.insert("type".to_owned(), json!(7));
        let problems = Kind::new(kind).problems(&member(json!({}), &[]));
        assert!(problems[0].contains("no JSON Schema"), "{problems:?}");
    }
}
