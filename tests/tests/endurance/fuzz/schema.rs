//! Values as a schema allows them, made up. Knows no kind: what has to lead
//! somewhere comes from the [`World`].

use rand::RngExt as _;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;
use serde_json::{Map, Value, json};

use super::world::World;

/// Texts that fit the patterns in `schemas/`.
const FITTING: [(&str, &[&str]); 9] = [
    (
        "^[.]?[A-Za-z0-9-]+([.][A-Za-z0-9-]+)*$",
        &[".web.example", "web"],
    ),
    ("^[0-9]+[smhdwy]$", &["90d", "1y", "3600s", "10w"]),
    ("^[0-9a-f]{24}$", &["0123456789abcdef01234567"]),
    (
        "^[0-9a-f]{64}$",
        &["0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"],
    ),
    ("^[A-Za-z0-9][A-Za-z0-9._/-]{0,63}$", &["endurance"]),
    ("^[A-Za-z0-9_.-]{8,}$", &["GKendurance"]),
    ("^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$", &["bucket-1", "a.b"]),
    (
        r"^\s*[0-9]+(\.[0-9]+)?\s*(([KMGT]i|[kKMGT])?B)?\s*$",
        &["10 GiB", "1.5 kB", "7"],
    ),
    ("^https?://[^?#@]+$", &["http://127.0.0.1:1"]),
];

/// How many of the optional fields there are.
#[derive(Clone, Copy)]
pub(crate) enum Fields {
    All,
    Some,
}

/// An object that fits a schema.
pub(crate) fn object(
    world: &World,
    schema: &Value,
    fields: Fields,
    random: &mut StdRng,
) -> Map<String, Value> {
    let mut made = Map::new();
    let required = schema["required"].as_array();
    let is_required = |name: &str| required.is_some_and(|all| all.iter().any(|it| it == name));
    for (name, of) in schema["properties"].as_object().into_iter().flatten() {
        let wanted = match fields {
            Fields::All => true,
            Fields::Some => is_required(name) || random.random_ratio(1, 4),
        };
        if wanted {
            let value = world.fixed(name).cloned();
            let value = value.unwrap_or_else(|| any(world, name, of, fields, random));
            made.insert(name.clone(), value);
        }
    }
    if schema["additionalProperties"].is_object() {
        let of = &schema["additionalProperties"];
        made.insert("one".to_owned(), any(world, "one", of, fields, random));
    }
    made
}

/// A value that fits a schema.
fn any(world: &World, name: &str, schema: &Value, fields: Fields, random: &mut StdRng) -> Value {
    if let Some(value) = schema.get("const") {
        return value.clone();
    }
    if let Some(values) = schema["enum"].as_array() {
        return values.choose(random).cloned().unwrap_or_default();
    }
    for several in ["oneOf", "anyOf"] {
        if let Some(choices) = schema[several].as_array() {
            let choices: Vec<_> = choices.iter().filter(|one| is_cheap(one)).collect();
            let choice = choices.choose(random).expect("there is one to choose");
            return any(world, name, choice, fields, random);
        }
    }
    let types = match &schema["type"] {
        Value::Array(types) => types.iter().filter_map(Value::as_str).collect(),
        one => one.as_str().into_iter().collect::<Vec<_>>(),
    };
    match types.first().copied().unwrap_or("null") {
        "object" if is_reference(schema) => world.reference(random),
        "object" => Value::Object(object(world, schema, fields, random)),
        "array" => {
            let count = random.random_range(0..3);
            let items = (0..count).map(|_| any(world, name, &schema["items"], fields, random));
            let mut items: Vec<_> = items.collect();
            items.dedup();
            Value::Array(items)
        }
        "string" => json!(text(name, schema, random)),
        "integer" => {
            let least = schema["minimum"].as_i64().unwrap_or(0);
            json!(least + random.random_range(0..3))
        }
        "number" => json!(0.5),
        "boolean" => json!(random.random::<bool>()),
        _ => Value::Null,
    }
}

/// Whether a schema is that of a reference to a secret.
pub(crate) fn is_reference(schema: &Value) -> bool {
    let fields = &schema["properties"];
    ["file", "env", "store", "id"]
        .iter()
        .all(|name| fields[name].is_object())
}

/// Primes are looked for by the second.
fn is_cheap(choice: &Value) -> bool {
    let name = choice["const"].as_str().unwrap_or_default();
    !name.starts_with("rsa") && choice["type"] != "null"
}

fn text(name: &str, schema: &Value, random: &mut StdRng) -> String {
    if let Some(pattern) = schema["pattern"].as_str() {
        let fitting = FITTING.iter().find(|(known, _)| *known == pattern);
        let (_, texts) = fitting.unwrap_or_else(|| panic!("what fits the new pattern {pattern}?"));
        return (*texts.choose(random).expect("one")).to_owned();
    }
    if schema["format"] == "date-time" {
        return "2030-01-01T00:00:00Z".to_owned();
    }
    let number = random.random_range(0..9);
    let text = format!("{name}{number}").to_lowercase();
    let most = schema["maxLength"].as_u64().unwrap_or(60);
    text.chars()
        .take(usize::try_from(most).expect("it is short"))
        .collect()
}
