//! What is generated from the Rust structs is committed, and fresh. With
//! `UPDATE_SCHEMAS=1` it is written instead.

use std::path::PathBuf;
use std::process::Command;

use nixops4_protocol::describe::Description;
use nixops4_resources_tests::{binaries, reference};

const PROVIDERS: [&str; 4] = ["garage", "postgresql", "secrets", "state"];

fn description(provider: &str) -> Description {
    let executable = binaries::path(&format!("nixops4-resources-{provider}"));
    let output = Command::new(executable).arg("describe").output().unwrap();
    assert!(output.status.success(), "{output:?}");
    assert!(output.stderr.is_empty(), "{output:?}");
    let described: Description = serde_json::from_slice(&output.stdout).unwrap();
    assert!(described.version.is_some());
    // The version changes at each release, and says nothing of the kinds.
    Description {
        version: None,
        ..described
    }
}

fn check(path: &str, fresh: &str) {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("..")
        .join(path);
    if std::env::var_os("UPDATE_SCHEMAS").is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, fresh).unwrap();
    }
    let committed = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        committed == fresh,
        "{} is not what the code says now; run `make generate` and commit it",
        path.display()
    );
}

#[test]
fn schemas_are_fresh() {
    for provider in PROVIDERS {
        let described = description(provider);
        assert_eq!(described.name, provider);
        let schema = format!("{}\n", serde_json::to_string_pretty(&described).unwrap());
        check(&format!("schemas/{provider}.json"), &schema);
    }
}

#[test]
fn the_reference_is_fresh() {
    for provider in PROVIDERS {
        check(
            &format!("docs/reference/{provider}.md"),
            &reference::render(&description(provider)),
        );
    }
}

#[test]
fn every_field_is_documented() {
    fn undocumented(schema: &serde_json::Value, path: &str, found: &mut Vec<String>) {
        for (name, property) in schema
            .get("properties")
            .and_then(|all| all.as_object())
            .into_iter()
            .flatten()
        {
            let path = format!("{path}/{name}");
            if property.get("description").is_none() {
                found.push(path.clone());
            }
            undocumented(property, &path, found);
        }
    }
    let mut found = Vec::new();
    for provider in PROVIDERS {
        for (name, kind) in description(provider).kinds {
            assert!(!kind.description.is_empty(), "{name} has no doc comment");
            undocumented(&kind.inputs.into(), &name, &mut found);
            undocumented(&kind.outputs.into(), &name, &mut found);
        }
    }
    assert_eq!(found, Vec::<String>::new());
}

/// What may be left out has a default, or is null then, or has only such fields: Nix
/// takes anything else for something that has to be set.
#[test]
fn what_may_be_left_out_has_a_default() {
    fn may_be_unset(property: &serde_json::Value) -> bool {
        let null = serde_json::json!("null");
        let is_null = |schema: &serde_json::Value| {
            let kind = &schema["type"];
            *kind == null || kind.as_array().is_some_and(|kinds| kinds.contains(&null))
        };
        let fills_itself = property["type"] == "object" && property.get("required").is_none();
        let alternatives = property["anyOf"].as_array();
        fills_itself || is_null(property) || alternatives.is_some_and(|all| all.iter().any(is_null))
    }
    fn without(schema: &serde_json::Value, path: &str, found: &mut Vec<String>) {
        let required = schema["required"].as_array().cloned().unwrap_or_default();
        let properties = schema["properties"].as_object();
        for (name, property) in properties.into_iter().flatten() {
            let path = format!("{path}/{name}");
            let is_required = required.iter().any(|required| required == name);
            if !is_required && property.get("default").is_none() && !may_be_unset(property) {
                found.push(path.clone());
            }
            without(property, &path, found);
            without(&property["items"], &path, found);
        }
    }
    let mut found = Vec::new();
    for provider in PROVIDERS {
        for (name, kind) in description(provider).kinds {
            without(&kind.inputs.into(), &name, &mut found);
        }
    }
    assert_eq!(found, Vec::<String>::new());
}
