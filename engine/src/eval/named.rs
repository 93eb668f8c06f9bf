//! What the expression has named so far: the providers that it starts, and what it says
//! to them. What only a record names has no power of its own.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::hash::{BuildHasher as _, RandomState};
use std::path::Path;

use nixops4_protocol::Object;
use serde_json::Value;

use super::{Evaluation, Member};

/// Providers, and the inputs of members.
#[derive(Debug, Default)]
pub(crate) struct Named {
    /// Each with what the Nix store has to hold for it.
    providers: BTreeMap<(String, Vec<String>), Vec<String>>,
    /// Which inputs will matter, only the provider of a record tells. So all are kept,
    /// and none of them whole: of each its name and value as numbers that nobody
    /// outside of this process can know.
    members: HashSet<Box<[Said]>>,
    key: RandomState,
    /// What was asked already, and whether it is so.
    asked: HashMap<u64, bool>,
}

/// An input of a member: its name, and its value if that is known.
type Said = (u64, Option<u64>);

impl Named {
    pub(super) fn learn(&mut self, evaluation: &Evaluation) {
        for member in evaluation.members.values() {
            let provider = (member.executable.clone(), member.args.clone());
            let paths = || member.provider_paths.clone();
            self.providers.entry(provider).or_insert_with(paths);
            let said = self.said(member);
            self.members.insert(said);
        }
        self.asked.clear();
    }

    fn said(&self, member: &Member) -> Box<[Said]> {
        let inputs = member.inputs.iter().filter_map(|(name, value)| {
            let number = self.key.hash_one(name);
            if !is_known(member, name) {
                return Some((number, None));
            }
            (!value.is_null()).then(|| (number, Some(self.number(value))))
        });
        inputs.collect()
    }

    /// The same for the same value, whatever the order of its fields; what is null is
    /// absent.
    fn number(&self, value: &Value) -> u64 {
        match value {
            Value::Object(fields) => {
                let fields = fields.iter().filter(|(_, value)| !value.is_null());
                let sum = fields
                    .map(|(name, value)| self.key.hash_one((name, self.number(value))))
                    .fold(0, u64::wrapping_add);
                self.key.hash_one((0, sum))
            }
            Value::Array(values) => {
                let numbers: Vec<u64> = values.iter().map(|value| self.number(value)).collect();
                self.key.hash_one((1, numbers))
            }
            Value::String(text) => self.key.hash_one((2, text)),
            Value::Number(number) => self.key.hash_one((3, number.to_string())),
            Value::Bool(value) => self.key.hash_one((4, value)),
            Value::Null => self.key.hash_one(5),
        }
    }

    /// What the store has to hold for exactly this provider, if it is named.
    pub(crate) fn provider(&self, executable: &str, args: &[String]) -> Option<&[String]> {
        let provider = (executable.to_owned(), args.to_vec());
        self.providers.get(&provider).map(Vec::as_slice)
    }

    /// A provider without arguments whose file has this name.
    pub(crate) fn provider_called(&self, name: &str) -> Option<(&str, &[String])> {
        let is_it = |executable: &str| Path::new(executable).file_name() == Some(name.as_ref());
        self.providers
            .iter()
            .find(|((executable, args), _)| args.is_empty() && is_it(executable))
            .map(|((executable, _), paths)| (executable.as_str(), paths.as_slice()))
    }

    /// Whether the expression gives one member these values for the inputs of these
    /// names, and none for those of them that have no value here.
    pub(crate) fn says(&mut self, names: &[String], values: &Object) -> bool {
        let wanted: Vec<Said> = names
            .iter()
            .map(|name| {
                let value = values.get(name).filter(|value| !value.is_null());
                (self.key.hash_one(name), value.map(|it| self.number(it)))
            })
            .collect();
        let says = |member: &[Said]| {
            wanted.iter().all(|(name, value)| {
                let said = member.iter().find(|(other, _)| other == name);
                match said {
                    Some((_, said)) => said.is_some() && said == value,
                    None => value.is_none(),
                }
            })
        };
        let question = self.key.hash_one(&wanted);
        let members = &self.members;
        let asked = self.asked.entry(question);
        *asked.or_insert_with(|| members.iter().any(|member| says(member)))
    }
}

/// Whether all of an input is known.
pub(crate) fn is_known(member: &Member, input: &str) -> bool {
    !member.unknown.keys().any(|pointer| {
        let mut tokens = pointer.split('/').skip(1);
        tokens.next().is_none_or(|top| top == input)
    })
}

/// A value as text that is the same whatever the order of its fields; what is null is
/// absent.
pub(crate) fn canonical(value: &Value) -> String {
    match value {
        Value::Object(fields) => {
            let sorted: BTreeSet<String> = fields
                .iter()
                .filter(|(_, value)| !value.is_null())
                .map(|(name, value)| format!("{}:{}", Value::from(name.as_str()), canonical(value)))
                .collect();
            let fields: Vec<String> = sorted.into_iter().collect();
            format!("{{{}}}", fields.join(","))
        }
        Value::Array(values) => {
            let values: Vec<String> = values.iter().map(canonical).collect();
            format!("[{}]", values.join(","))
        }
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{Named, canonical};
    use crate::eval::Evaluation;
    use crate::member::MemberPath;
    use crate::schema;

    #[test]
    fn the_same_is_the_same_in_any_order() {
        let one = json!({ "b": [{ "y": 1, "x": null }], "a": "\"" });
        let other = json!({ "a": "\"", "c": null, "b": [{ "y": 1 }] });
        assert_eq!(canonical(&one), canonical(&other));
        assert_eq!(canonical(&one), r#"{"a":"\"","b":[{"y":1}]}"#);
        assert_ne!(canonical(&one), canonical(&json!({ "a": "", "b": [] })));
        let named = Named::default();
        assert_eq!(named.number(&one), named.number(&other));
        for (one, other) in [
            (json!("1"), json!(1)),
            (json!([1, 2]), json!([2, 1])),
            (json!([]), json!({})),
            (json!({ "a": { "b": 1 } }), json!({ "a": 1, "b": 1 })),
            (json!({ "a": 1, "b": 2 }), json!({ "a": 2, "b": 1 })),
            (json!(true), json!("true")),
        ] {
            assert_ne!(named.number(&one), named.number(&other), "{one} {other}");
        }
    }

    #[test]
    fn one_member_has_to_say_all_of_it() {
        let mut evaluation = Evaluation::default();
        for (name, inputs, unknown) in [
            (
                "a",
                json!({ "at": "db1", "tls": { "ca": "/a", "mode": "x" }, "name": 1 }),
                &[][..],
            ),
            (
                "b",
                json!({ "at": "db2", "tls": null, "name": null }),
                &["/name"],
            ),
            (
                "c",
                json!({ "at": { "host": "db3", "port": null } }),
                &["/at/port"],
            ),
            ("d", json!({}), &[""]),
        ] {
            let mut member = schema::member(inputs, unknown);
            member.path = MemberPath(vec![name.to_owned()]);
            evaluation
                .members
                .insert(member.path.clone(), member.into());
        }
        let mut named = Named::default();
        named.learn(&evaluation);
        let words = |listed: &[&str]| -> Vec<String> {
            listed.iter().map(|&name| name.to_owned()).collect()
        };
        for (asked, values, expected) in [
            (&["at"][..], json!({ "at": "db1" }), true),
            (
                &["at", "tls"],
                json!({ "tls": { "mode": "x", "ca": "/a" }, "at": "db1" }),
                true,
            ),
            // Not without what is checked there, nor with what another one checks.
            (&["at", "tls"], json!({ "at": "db1" }), false),
            (
                &["at", "tls"],
                json!({ "at": "db2", "tls": { "ca": "/a", "mode": "x" } }),
                false,
            ),
            (&["at", "tls"], json!({ "at": "db2" }), true),
            (&["at", "name"], json!({ "at": "db2" }), false),
            (&["at"], json!({ "at": { "host": "db3" } }), false),
            (&["at"], json!({ "at": "evil" }), false),
        ] {
            let Value::Object(values) = values else {
                panic!("no object: {values}");
            };
            assert_eq!(named.says(&words(asked), &values), expected, "{values:?}");
        }
    }
}
