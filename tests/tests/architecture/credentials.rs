//! A credential is always a reference to a secret: no input of any kind takes one
//! in another way.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::{Value, json};

/// What speaks of secrets and can't be one, and why. A kind that ends with `*` is
/// all that begin like that.
const NO_CREDENTIAL: [(&str, &str, &str); 17] = [
    ("garage_*", "/connection/endpoint", "an address"),
    ("garage_*", "/store", "which store, not what opens it"),
    ("garage_*", "/secretName", "which secret of a store"),
    (
        "garage_bucket",
        "/keys/*/accessKeyId",
        "an id, which lets nobody in",
    ),
    (
        "garage_bucket",
        "/localAliases/*/accessKeyId",
        "an id, which lets nobody in",
    ),
    (
        "garage_permission",
        "/accessKeyId",
        "an id, which lets nobody in",
    ),
    (
        "garage_*",
        "/lifecycleRules/*/prefix",
        "how the names of objects begin",
    ),
    ("garage_tenant", "/name", "a name"),
    ("garage_tenant", "/key", "the name of a key"),
    ("garage_tenant", "/expiration", "a time"),
    ("postgresql_role", "/validUntil", "a time"),
    ("secrets_*", "/store", "which store, not what opens it"),
    ("secrets_*", "/name", "which secret of a store"),
    ("secrets_sealed", "/recipients", "public keys"),
    ("secrets_ssh_key", "/comment", "stands in the public key"),
    (
        "secrets_value",
        "/source",
        "which source, not what opens it",
    ),
    ("secrets_value", "/sourceName", "which secret of a source"),
];

/// The fields of a reference.
const REFERENCE: [&str; 7] = [
    "env",
    "file",
    "generation",
    "id",
    "name",
    "store",
    "storeKey",
];

/// Whether a name or a description is about what is presented to be let in.
fn speaks_of_credentials(name: &str, description: &str) -> bool {
    let name = name.to_lowercase();
    let description = description.to_lowercase();
    let is_key = |word: &str| word == "key" || word == "keys";
    let mut words = description.split(|c: char| !c.is_alphanumeric());
    name.ends_with("key")
        || name.ends_with("keys")
        || words.any(is_key)
        || ["passw", "passphrase", "secret", "token", "credential"]
            .iter()
            .any(|word| name.contains(word) || description.contains(word))
}

fn is_reference(schema: &Value) -> bool {
    let fields = schema["properties"].as_object();
    fields.is_some_and(|fields| {
        let fields: BTreeSet<_> = fields.keys().map(String::as_str).collect();
        fields == REFERENCE.into() && schema["additionalProperties"] == false
    })
}

/// Whether no text fits in there that somebody chooses freely.
fn is_closed(schema: &Value) -> bool {
    let has_no_text = |kind: &Value| {
        ["boolean", "integer", "null", "number"]
            .iter()
            .any(|textless| kind == textless)
    };
    let is_closed = |schema: &Value| {
        let kind = &schema["type"];
        let kinds = kind.as_array();
        has_no_text(kind)
            || kinds.is_some_and(|kinds| kinds.iter().all(has_no_text))
            || schema.get("enum").is_some()
            || schema.get("const").is_some()
    };
    let mut alternatives = ["oneOf", "anyOf"].iter();
    let alternatives = alternatives.find_map(|key| schema[key].as_array());
    is_closed(schema) || alternatives.is_some_and(|them| them.iter().all(is_closed))
}

/// The schemas right below this one, each with what is put behind its pointer.
fn below(schema: &Value) -> Vec<(String, &Value)> {
    assert!(
        schema.get("$ref").is_none(),
        "follow references to other schemas: {schema}"
    );
    let named = schema["properties"].as_object().into_iter().flatten();
    let named = named.map(|(name, schema)| (format!("/{name}"), schema));
    let each = ["items", "additionalProperties"]
        .iter()
        .filter_map(|key| schema.get(key).filter(|below| below.is_object()))
        .map(|schema| ("/*".to_owned(), schema));
    let alternatives = ["oneOf", "anyOf", "allOf"]
        .iter()
        .filter_map(|key| schema[key].as_array())
        .flatten()
        .map(|schema| (String::new(), schema));
    named.chain(each).chain(alternatives).collect()
}

/// Pointers to inputs that may take a credential by something other than a
/// reference.
fn suspects(schema: &Value, pointer: &str, description: &str, found: &mut Vec<String>) {
    if is_reference(schema) {
        return;
    }
    let name = pointer.rsplit('/').find(|name| *name != "*");
    let below = below(schema);
    // Of an object or a list the parts are looked at; only they hold something.
    let holds = below.is_empty() && !is_closed(schema);
    if holds && speaks_of_credentials(name.unwrap_or_default(), description) {
        found.push(pointer.to_owned());
    }
    for (step, schema) in below {
        let own = schema["description"].as_str().unwrap_or(description);
        suspects(schema, &format!("{pointer}{step}"), own, found);
    }
}

fn is_of(kind: &str, pattern: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(beginning) => kind.starts_with(beginning),
        None => kind == pattern,
    }
}

#[test]
fn are_references_in_every_kind() {
    let schemas = Path::new(env!("CARGO_MANIFEST_DIR")).join("../schemas");
    let mut left: BTreeSet<_> = NO_CREDENTIAL.iter().collect();
    let mut wrong = Vec::new();
    let (mut kinds, mut references) = (0, 0);
    for file in std::fs::read_dir(schemas).unwrap() {
        let text = std::fs::read_to_string(file.unwrap().path()).unwrap();
        references += text.matches("Random id of the one value").count();
        let schema: Value = serde_json::from_str(&text).unwrap();
        // What is not about a provider has none.
        for (kind, described) in schema["kinds"].as_object().into_iter().flatten() {
            kinds += 1;
            let mut found = Vec::new();
            suspects(&described["inputs"], "", "", &mut found);
            for pointer in found {
                let of_an_item = pointer.strip_suffix("/*").unwrap_or(&pointer);
                let explained = NO_CREDENTIAL
                    .iter()
                    .find(|(pattern, at, _)| is_of(kind, pattern) && *at == of_an_item);
                match explained {
                    Some(explained) => drop(left.remove(explained)),
                    None => wrong.push(format!("{kind} {pointer}")),
                }
            }
        }
    }
    assert!(
        wrong.is_empty(),
        "take it as a SecretRef, or say in NO_CREDENTIAL why it is no credential: {wrong:#?}"
    );
    assert!(left.is_empty(), "no kind has these any more: {left:?}");
    assert!(kinds >= 20 && references >= kinds, "{kinds} {references}");
}

#[test]
fn one_in_clear_is_noticed() {
    let text = json!({"type": ["string", "null"]});
    let described = |text: &str| json!({"type": "string", "description": text});
    for (input, is_wrong) in [
        (json!({"password": text}), true),
        (json!({"passwordFile": text}), true),
        (json!({"apiKey": text}), true),
        (
            json!({"login": described("What the server knows you by: a token.")}),
            true,
        ),
        (
            json!({"auth": {"properties": {"user": text, "secret": text}}}),
            true,
        ),
        (json!({"tokens": {"type": "array", "items": text}}), true),
        (json!({"passwords": {"additionalProperties": text}}), true),
        (
            json!({"password": {"anyOf": [text, {"type": "null"}]}}),
            true,
        ),
        (json!({"verifyPassword": {"type": "boolean"}}), false),
        (json!({"keyType": {"enum": ["rsa", "ed25519"]}}), false),
        (json!({"user": text}), false),
        (json!({"monkeyHouse": described("Where they live.")}), false),
    ] {
        let mut found = Vec::new();
        suspects(&json!({"properties": input}), "", "", &mut found);
        assert_eq!(!found.is_empty(), is_wrong, "{input}: {found:?}");
    }
}
