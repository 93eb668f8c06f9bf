//! What the expression has named so far: the providers that it starts, the connections
//! that it gives them, and whose the things are. What only a record names has no power of
//! its own.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde_json::Value;

use super::{Evaluation, Member};

/// The input that says where a server is and who is let in there.
pub(crate) const CONNECTION: &str = "connection";

/// The input that says whose a thing is.
pub(crate) const OWNER: &str = "owner";

/// Providers, connections and owners.
#[derive(Debug, Default)]
pub(crate) struct Named {
    /// Each with what the Nix store has to hold for it.
    providers: BTreeMap<(String, Vec<String>), Vec<String>>,
    connections: BTreeSet<String>,
    owners: BTreeSet<String>,
}

impl Named {
    pub(super) fn learn(&mut self, evaluation: &Evaluation) {
        for member in evaluation.members.values() {
            let provider = (member.executable.clone(), member.args.clone());
            let paths = || member.provider_paths.clone();
            self.providers.entry(provider).or_insert_with(paths);
        }
        let connections = said(evaluation, CONNECTION).map(canonical);
        self.connections.extend(connections);
        self.owners.extend(said(evaluation, OWNER).map(canonical));
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

    /// Whether the expression gives a provider this connection.
    pub(crate) fn has_connection(&self, connection: &Value) -> bool {
        self.connections.contains(&canonical(connection))
    }

    /// Whether something in the expression is this one's.
    pub(crate) fn has_owner(&self, owner: &Value) -> bool {
        self.owners.contains(&canonical(owner))
    }
}

/// What the members say for an input, where all of it is known.
pub(crate) fn said<'a>(
    evaluation: &'a Evaluation,
    input: &'a str,
) -> impl Iterator<Item = &'a Value> {
    let members = evaluation.members.values();
    members.filter_map(move |member| known(member, input))
}

fn known<'a>(member: &'a Member, input: &str) -> Option<&'a Value> {
    let is_part = |pointer: &String| {
        let mut tokens = pointer.split('/').skip(1);
        tokens.next().is_none_or(|top| top == input)
    };
    let value = member.inputs.get(input)?;
    let is_known = !member.unknown.keys().any(is_part);
    (is_known && !value.is_null()).then_some(value)
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
    use serde_json::json;

    use super::canonical;

    #[test]
    fn the_same_is_the_same_in_any_order() {
        let one = json!({ "b": [{ "y": 1, "x": null }], "a": "\"" });
        let other = json!({ "a": "\"", "c": null, "b": [{ "y": 1 }] });
        assert_eq!(canonical(&one), canonical(&other));
        assert_eq!(canonical(&one), r#"{"a":"\"","b":[{"y":1}]}"#);
        assert_ne!(canonical(&one), canonical(&json!({ "a": "", "b": [] })));
    }
}
