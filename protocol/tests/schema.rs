//! The committed JSON Schema is the one that the types give, and says of messages
//! what the types say.
//!
//! `UPDATE_SCHEMAS=1 cargo test -p nixops4-protocol --test schema` writes it anew.

mod samples;

use std::path::Path;

use jsonschema::Validator;
use samples::bad::{bad_requests, bad_responses};
use samples::{requests, responses};
use serde_json::Value;

fn validator() -> Validator {
    jsonschema::draft202012::new(&nixops4_protocol::schema()).unwrap()
}

#[test]
fn the_committed_schema_is_fresh() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../schemas/protocol.json");
    let mut fresh = serde_json::to_string_pretty(&nixops4_protocol::schema()).unwrap();
    fresh.push('\n');
    if std::env::var_os("UPDATE_SCHEMAS").is_some_and(|value| value == "1") {
        std::fs::write(&path, &fresh).unwrap();
    }
    let committed = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        committed == fresh,
        "schemas/protocol.json is not what the types give; write it anew with \
         UPDATE_SCHEMAS=1 cargo test -p nixops4-protocol --test schema"
    );
}

#[test]
fn it_is_a_valid_schema_that_needs_no_other_document() {
    let schema = nixops4_protocol::schema();
    jsonschema::meta::validate(&schema).unwrap();
    let text = schema.to_string();
    for reference in text.split("\"$ref\":\"").skip(1) {
        assert!(reference.starts_with("#/$defs/"), "{}", &reference[..40]);
    }
}

#[test]
fn it_accepts_every_message() {
    let validator = validator();
    for (name, sample) in requests().into_iter().chain(responses()) {
        if let Err(error) = validator.validate(&sample) {
            panic!("{name}: {error}");
        }
    }
}

#[test]
fn it_refuses_what_the_types_refuse() {
    let validator = validator();
    let mut refused = 0;
    for case in bad_requests().into_iter().chain(bad_responses()) {
        // What is not JSON, or says a key twice, no schema gets to see.
        let duplicate = case.says.iter().any(|says| says.contains("duplicate"))
            || case.says.contains(&"second key `createResourceRequest`");
        if case.pointer.is_none() || duplicate {
            continue;
        }
        let value: Value = serde_json::from_str(&case.line).unwrap();
        assert!(!validator.is_valid(&value), "accepted: {}", case.line);
        refused += 1;
    }
    assert!(refused > 50, "only {refused} cases");
}
