//! State documents: what is recorded is read back, and nothing else is touched.

use json_patch::Patch;
use nixops4_protocol::Object;
use nixops4_protocol::message::ExtantResource;
use nixops4_protocol::state::{
    Dependency, Extension, RecordedResource, StateError, check, empty, forget, forget_all, record,
    resource, resources,
};
use serde_json::{Value, json};

mod generated;

fn path(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

fn object(value: Value) -> Object {
    match value {
        Value::Object(object) => object,
        other => panic!("{other} is not an object"),
    }
}

fn recorded() -> RecordedResource {
    RecordedResource {
        r#type: "file".to_owned(),
        input_properties: object(json!({ "name": "a", "mode": null })),
        output_properties: object(json!({ "id": 7 })),
        extension: Some(Extension {
            executable: "nixops4-resources-local".to_owned(),
            args: vec!["--quiet".to_owned()],
            ..Extension::default()
        }),
        others: Object::new(),
    }
}

fn apply(state: &Value, patch: &Patch) -> Value {
    // As it goes over the wire.
    let patch: Patch = serde_json::from_str(&serde_json::to_string(patch).unwrap()).unwrap();
    let mut state = state.clone();
    json_patch::patch(&mut state, &patch).unwrap();
    state
}

#[test]
fn the_first_resource_of_an_empty_state() {
    check(&empty()).unwrap();
    assert_eq!(resources(&empty()).unwrap(), []);
    assert_eq!(resource(&empty(), &path(&["a"])).unwrap(), None);
    let state = apply(&empty(), &record(&empty(), &path(&["a"]), &recorded()));
    assert_eq!(
        state,
        json!({
            "_type": "nixopsState",
            "resources": { "a": {
                "type": "file",
                "input_properties": { "name": "a", "mode": null },
                "output_properties": { "id": 7 },
                "nixops4-resources": {
                    "executable": "nixops4-resources-local",
                    "args": ["--quiet"],
                },
            }},
            "deployments": {},
        })
    );
}

#[test]
fn only_what_is_missing_above_is_added() {
    let nothing = json!({ "resources": {}, "deployments": {} });
    let table = [
        (
            json!({ "_type": "nixopsState", "resources": {}, "deployments": {} }),
            vec![
                ("/deployments/a", nothing.clone()),
                ("/deployments/a/deployments/b", nothing.clone()),
            ],
        ),
        (
            json!({ "_type": "nixopsState" }),
            vec![
                ("/deployments", json!({})),
                ("/deployments/a", nothing.clone()),
                ("/deployments/a/deployments/b", nothing.clone()),
            ],
        ),
        (
            json!({ "_type": "nixopsState", "deployments": { "a": {} } }),
            vec![
                ("/deployments/a/deployments", json!({})),
                ("/deployments/a/deployments/b", nothing),
            ],
        ),
        (
            json!({ "_type": "nixopsState", "deployments": { "a": { "deployments": { "b": {
                "deployments": { "c": {} },
            }}}}}),
            vec![("/deployments/a/deployments/b/resources", json!({}))],
        ),
        (
            json!({ "_type": "nixopsState", "deployments": { "a": { "deployments": { "b": {
                "resources": { "old": 1 },
            }}}}}),
            vec![],
        ),
    ];
    for (state, mut operations) in table {
        let patch = record(&state, &path(&["a", "b", "x"]), &recorded());
        let entry = json!(recorded());
        operations.push(("/deployments/a/deployments/b/resources/x", entry.clone()));
        let operations: Vec<_> = operations
            .into_iter()
            .map(|(path, value)| json!({ "op": "add", "path": path, "value": value }))
            .collect();
        assert_eq!(json!(patch), json!(operations), "{state}");
        let after = apply(&state, &patch);
        let found = resource(&after, &path(&["a", "b", "x"])).unwrap();
        assert_eq!(found, Some(recorded()), "{state}");
    }
}

#[test]
fn names_may_hold_what_pointers_and_paths_are_made_of() {
    for name in [
        "a/b",
        "~",
        "~1",
        "a.b",
        "",
        " ",
        "0",
        "-",
        "ä\n\"",
        "resources",
        "deployments",
    ] {
        for path in [path(&[name]), path(&[name, name]), path(&["a", name, "b"])] {
            let state = apply(&empty(), &record(&empty(), &path, &recorded()));
            check(&state).unwrap();
            assert_eq!(
                resource(&state, &path).unwrap(),
                Some(recorded()),
                "{path:?}"
            );
            let all = resources(&state).unwrap();
            assert_eq!(all, [(path.clone(), recorded())], "{path:?}");
            let state = apply(&state, &forget(&path));
            assert_eq!(resource(&state, &path).unwrap(), None, "{path:?}");
            assert_eq!(resources(&state).unwrap(), [], "{path:?}");
        }
    }
}

#[test]
fn recording_again_replaces_the_entry_alone() {
    let here = path(&["a", "x"]);
    let before = apply(&empty(), &record(&empty(), &here, &recorded()));
    let mut changed = recorded();
    changed.input_properties = Object::new();
    let patch = record(&before, &here, &changed);
    assert_eq!(patch.len(), 1);
    assert_eq!(
        resource(&apply(&before, &patch), &here).unwrap(),
        Some(changed)
    );
}

#[test]
fn a_resource_and_a_composite_may_share_a_name() {
    let mut state = empty();
    for path in [path(&["a"]), path(&["a", "a"]), path(&["a", "a", "a"])] {
        state = apply(&state, &record(&state, &path, &recorded()));
    }
    let paths: Vec<_> = resources(&state)
        .unwrap()
        .into_iter()
        .map(|(path, _)| path)
        .collect();
    assert_eq!(
        paths,
        [path(&["a"]), path(&["a", "a"]), path(&["a", "a", "a"])]
    );
    let state = apply(&state, &forget(&path(&["a"])));
    assert_eq!(resources(&state).unwrap().len(), 2);
}

#[test]
fn both_spellings_are_read_and_one_is_written() {
    let state = json!({ "_type": "nixopsState", "resources": {
        "snake": { "type": "t", "input_properties": { "a": 1 }, "output_properties": { "b": 2 } },
        "camel": { "type": "t", "inputProperties": { "a": 1 }, "outputProperties": { "b": 2 } },
    }});
    let snake = resource(&state, &path(&["snake"])).unwrap().unwrap();
    let camel = resource(&state, &path(&["camel"])).unwrap().unwrap();
    assert_eq!(snake, camel);
    assert_eq!(
        ExtantResource::from(camel.clone()),
        ExtantResource {
            r#type: "t".to_owned(),
            input_properties: object(json!({ "a": 1 })),
            output_properties: Some(object(json!({ "b": 2 }))),
        }
    );
    let after = apply(&state, &record(&state, &path(&["camel"]), &camel));
    assert_eq!(after["resources"]["camel"], state["resources"]["snake"]);
}

#[test]
fn an_entry_of_upstream_has_no_extension_and_may_lack_outputs() {
    let state = json!({ "_type": "nixopsState", "resources": {
        "a": { "type": "t", "input_properties": {} },
    }});
    let found = resource(&state, &path(&["a"])).unwrap().unwrap();
    assert_eq!(found.extension, None);
    assert_eq!(found.output_properties, Object::new());
    assert_eq!(
        json!(found),
        json!({
            "type": "t", "input_properties": {}, "output_properties": {},
        })
    );
}

#[test]
fn unknown_keys_are_kept() {
    let entry = json!({
        "type": "t",
        "input_properties": {},
        "output_properties": {},
        "provider": { "of": ["somebody", null] },
        "nixops4-resources": { "executable": "e", "args": [], "edges": ["a.b"] },
    });
    let state = json!({
        "_type": "nixopsState",
        "resources": { "a": entry },
        "comment": "kept",
        "deployments": { "d": { "comment": "kept too" } },
    });
    let found = resource(&state, &path(&["a"])).unwrap().unwrap();
    assert_eq!(
        found.others,
        object(json!({ "provider": { "of": ["somebody", null] } }))
    );
    assert_eq!(
        found.extension.as_ref().unwrap().others,
        object(json!({ "edges": ["a.b"] }))
    );
    assert_eq!(apply(&state, &record(&state, &path(&["a"]), &found)), state);
    let after = apply(&state, &record(&state, &path(&["d", "a"]), &found));
    assert_eq!(after["comment"], "kept");
    assert_eq!(after["deployments"]["d"]["comment"], "kept too");
    assert_eq!(after["deployments"]["d"]["resources"]["a"], entry);
}

#[test]
fn what_is_no_state_is_refused() {
    for (document, says) in [
        (json!({}), "`_type` is null"),
        (json!([]), "`_type` is null"),
        (json!(null), "`_type` is null"),
        (json!({ "_type": "other" }), "`_type` is \"other\""),
        (
            json!({ "_type": "nixopsState", "resources": [] }),
            "\"/resources\" is not an object",
        ),
        (
            json!({ "_type": "nixopsState", "deployments": null }),
            "\"/deployments\" is not an",
        ),
        (
            json!({ "_type": "nixopsState", "deployments": { "a/b": { "deployments": { "c": 1 }}}}),
            "\"/deployments/a~1b/deployments/c\" is not an object",
        ),
        (
            json!({ "_type": "nixopsState", "deployments": { "a": { "resources": "x" } } }),
            "\"/deployments/a/resources\" is not an object",
        ),
    ] {
        let error = check(&document).unwrap_err().to_string();
        assert!(error.contains(says), "{error}");
    }
    // Never taken for a state without resources.
    let broken = json!({ "_type": "nixopsState", "resources": [] });
    assert!(matches!(
        resources(&broken),
        Err(StateError::NotAnObject { .. })
    ));
}

#[test]
fn an_entry_that_cannot_be_read_is_named() {
    let good = json!({ "type": "t", "input_properties": {}, "output_properties": {} });
    for (key, value, says) in [
        ("type", None, "missing field `type`"),
        ("type", Some(json!(1)), "invalid type: integer"),
        ("input_properties", None, "missing field `input_properties`"),
        (
            "input_properties",
            Some(json!([])),
            "invalid type: sequence",
        ),
        ("output_properties", Some(json!(null)), "invalid type: null"),
        ("inputProperties", Some(json!({})), "duplicate field"),
        (
            "nixops4-resources",
            Some(json!({})),
            "missing field `executable`",
        ),
    ] {
        let mut entry = good.clone();
        match value {
            Some(value) => entry[key] = value,
            None => drop(entry.as_object_mut().unwrap().remove(key)),
        }
        let state = json!({ "_type": "nixopsState", "deployments": { "d": {
            "resources": { "a": good, "b": entry },
        }}});
        check(&state).unwrap();
        for error in [
            resources(&state).unwrap_err(),
            resource(&state, &path(&["d", "b"])).unwrap_err(),
        ] {
            let error = error.to_string();
            assert!(error.contains("entry of d.b"), "{error}");
            assert!(error.contains(says), "{error}");
        }
        // Its neighbour can still be read.
        assert!(resource(&state, &path(&["d", "a"])).unwrap().is_some());
    }
}

#[test]
fn outer_resources_come_first() {
    let entry = json!({ "type": "t", "input_properties": {}, "output_properties": {} });
    let state = json!({
        "_type": "nixopsState",
        "deployments": {
            "a": { "resources": { "x": entry }, "deployments": { "b": { "resources": { "y": entry } } } },
            "c": { "resources": { "z": entry } },
        },
        "resources": { "r": entry, "q": entry },
    });
    let paths: Vec<_> = resources(&state)
        .unwrap()
        .into_iter()
        .map(|(path, _)| path.join("."))
        .collect();
    let at = |path: &str| paths.iter().position(|found| found == path).unwrap();
    assert_eq!(paths.len(), 5);
    assert!(at("r").max(at("q")) < at("a.x"));
    assert!(at("a.x") < at("a.b.y"));
    assert!(at("a.b.y") < at("c.z"));
}

#[test]
fn edges_are_written_in_camel_case_and_only_where_they_are_known() {
    let mut resource = recorded();
    let extension = resource.extension.as_mut().unwrap();
    extension.depends_on = Some(vec![
        Dependency {
            path: path(&["mail", "role"]),
            output: Some("name".to_owned()),
        },
        Dependency {
            path: path(&["host"]),
            output: None,
        },
    ]);
    let written = json!(resource)["nixops4-resources"].take();
    assert_eq!(
        written,
        json!({
            "executable": "nixops4-resources-local",
            "args": ["--quiet"],
            "dependsOn": [{ "path": ["mail", "role"], "output": "name" }, { "path": ["host"] }],
        })
    );
    // None at all is another thing than not known.
    resource.extension.as_mut().unwrap().depends_on = Some(vec![]);
    assert_eq!(json!(resource)["nixops4-resources"]["dependsOn"], json!([]));
}

#[test]
fn a_composite_is_forgotten_with_all_that_is_in_it() {
    let mut state = empty();
    for names in [&["a"][..], &["a", "x"], &["a", "b", "y"], &["c"]] {
        state = apply(&state, &record(&state, &path(names), &recorded()));
    }
    let after = apply(&state, &forget_all(&state, &path(&["a"])));
    let left: Vec<_> = resources(&after).unwrap();
    assert_eq!(left, [(path(&["c"]), recorded())]);
    assert_eq!(forget_all(&state, &path(&["none"])), Patch(vec![]));
}
