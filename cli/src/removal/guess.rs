//! How the inputs are guessed that lead to a thing of which only the name is known. Pure.

use nixops4_protocol::Object;
use nixops4_protocol::describe::KindDescription;
use serde_json::Value;

/// The inputs of an example that reach another thing, too.
pub(super) const SHARED: [&str; 2] = ["owner", "connection"];
/// How many guesses are made for one thing.
const GUESSES: usize = 16;

/// Inputs that may name a thing as `wanted`, made after an example whose own
/// inputs name it as `named`: wherever a part of the name is the value of an
/// input, that input gets the other's part.
pub(super) fn guesses(
    described: &KindDescription,
    inputs: &Object,
    named: &Value,
    wanted: &Value,
) -> Vec<Object> {
    let required = described.inputs.get("required").and_then(Value::as_array);
    let is_needed = |name: &String| {
        SHARED.contains(&name.as_str())
            || required.is_some_and(|required| required.iter().any(|needed| needed == name))
    };
    let base: Object = inputs
        .iter()
        .filter(|(name, value)| is_needed(name) || names_something(value, named))
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect();
    let mut guesses = vec![base];
    let (Some(named), Some(wanted)) = (named.as_object(), wanted.as_object()) else {
        return Vec::new();
    };
    for (part, old) in named {
        let new = wanted.get(part).unwrap_or(&Value::Null);
        // What was made by halves lacks a part.
        if old == new || new.is_null() {
            continue;
        }
        let holders: Vec<&String> = inputs
            .iter()
            .filter(|(name, value)| *value == old && !SHARED.contains(&name.as_str()))
            .map(|(name, _)| name)
            .collect();
        guesses = guesses
            .into_iter()
            .flat_map(|guess| {
                holders.iter().map(move |holder| {
                    let mut guess = guess.clone();
                    guess.insert((*holder).clone(), new.clone());
                    guess
                })
            })
            .take(GUESSES)
            .collect();
    }
    guesses
}

/// Whether `named` names what was found, as far as that has a name: of what was made
/// by halves a part is missing, which is null.
pub(super) fn is_named(found: &Value, named: &Value) -> bool {
    let (Some(found), Some(named)) = (found.as_object(), named.as_object()) else {
        return found == named;
    };
    found
        .iter()
        .all(|(part, value)| value.is_null() || named.get(part) == Some(value))
}

fn names_something(value: &Value, named: &Value) -> bool {
    named
        .as_object()
        .is_some_and(|parts| parts.values().any(|part| part == value))
}

#[cfg(test)]
mod tests {
    use nixops4_protocol::describe::KindDescription;
    use serde_json::{Value, json};

    use super::guesses;

    #[test]
    fn an_example_shows_where_the_name_stands() {
        let kind: KindDescription = serde_json::from_value(json!({
            "description": "", "state": "optional", "requests": [], "outputs": {},
            "inputs": { "required": ["owner", "name", "connection"] },
        }))
        .unwrap();
        let inputs = json!({ "owner": "o", "name": "app", "password": { "env": "X" },
            "connection": { "host": "h" }, "database": "app" });
        for (named, wanted, expected) in [
            (
                json!({ "server": "h:5432", "role": "app" }),
                json!({ "server": "h:5432", "role": "old" }),
                vec![
                    json!({ "owner": "o", "name": "old", "connection": { "host": "h" },
                        "database": "app" }),
                    json!({ "owner": "o", "name": "app", "connection": { "host": "h" },
                        "database": "old" }),
                ],
            ),
            // On another server there is no example for it.
            (
                json!({ "server": "h:5432", "role": "app" }),
                json!({ "server": "g:5432", "role": "app" }),
                vec![],
            ),
            (json!("app"), json!("old"), vec![]),
        ] {
            let found: Vec<Value> = guesses(&kind, inputs.as_object().unwrap(), &named, &wanted)
                .into_iter()
                .map(Value::Object)
                .collect();
            assert_eq!(found, expected);
        }
    }
}
