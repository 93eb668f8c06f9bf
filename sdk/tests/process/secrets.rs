//! A planted secret turns up nowhere.

use std::process::Command;

use serde_json::{Value, json};

use crate::running::{Running, example, message};

/// With what needs quoting, in JSON and in Rust.
const CANARY: &str = "canary \"one\"\\two\tthree-d41d8cd98f00";
/// What is left of it in any quoting.
const TRACE: &str = "d41d8cd98f00";

fn start(format: &str) -> (Running, Value) {
    let mut command = Command::new(example("scratch"));
    command
        .env("CANARY", CANARY)
        .env("NIXOPS4_RESOURCES_LOG", "trace")
        .env("NIXOPS4_RESOURCES_LOG_FORMAT", format);
    let provider = Running::start_with(command);
    let file = provider.folder().join("canary");
    std::fs::write(&file, format!("{CANARY}\n")).unwrap();
    (provider, json!({ "file": file }))
}

#[test]
fn in_no_answer_and_in_no_log() {
    for format in ["text", "json"] {
        let (mut provider, file) = start(format);
        for reference in [file, json!({ "env": "CANARY" })] {
            for fault in ["none", "leaks", "logs", "panics"] {
                let faults = if fault == "none" {
                    json!({})
                } else {
                    json!({ "looking": fault })
                };
                provider.faults(&faults);
                let request = provider.create(json!({ "secret": reference }));
                let answer = provider.ask(&request);
                assert!(!answer.to_string().contains(TRACE), "{answer}");
                match fault {
                    "leaks" => assert_eq!(message(&answer), "refused: it holds Some(\"(secret)\")"),
                    "panics" => {
                        assert!(message(&answer).starts_with("the provider failed by a bug"));
                    }
                    _ => assert!(answer.get("createResourceResponse").is_some(), "{answer}"),
                }
            }
        }
        let stderr = provider.finish();
        assert!(!stderr.contains(TRACE), "{stderr}");
        assert!(stderr.contains("(secret)"), "{stderr}");
        assert!(stderr.contains("panicked at"), "{stderr}");
    }
}

#[test]
fn a_reference_that_leads_nowhere_names_the_field() {
    let (mut provider, _) = start("text");
    for (reference, expected) in [
        (
            json!({ "file": "/nonexistent" }),
            "/secret/file: unable to read the secret in",
        ),
        (
            json!({ "env": "NO_SUCH" }),
            "/secret/env: the environment variable NO_SUCH is not set",
        ),
        (
            json!(CANARY),
            "/secret: a secret is given by reference, never as its value",
        ),
        (json!({ "env": CANARY }), "/secret: `env` is not the name"),
        (
            json!({ "value": CANARY }),
            "/secret: this is not a reference to a secret",
        ),
        (
            json!({ "store": "main", "name": "a", "generation": 0, "id": "x" }),
            "/secret/generation: ",
        ),
        (
            json!({ "store": "main", "name": "a", "generation": 1, "id": "x" }),
            "/secret/id: ",
        ),
    ] {
        let refused = message(&provider.ask(&provider.create(json!({ "secret": reference }))));
        assert!(refused.starts_with(expected), "{refused}");
        assert!(!refused.contains(TRACE), "{refused}");
    }
    assert!(!provider.finish().contains(TRACE));
}

#[test]
fn a_panic_is_answered_and_the_next_request_too() {
    let (mut provider, file) = start("text");
    for _ in 0..2 {
        provider.faults(&json!({ "looking": "panics" }));
        let answer = provider.ask(&provider.create(json!({ "secret": file })));
        assert!(message(&answer).contains("report the bug"), "{answer}");
        provider.faults(&json!({}));
        let answer = provider.ask(&provider.create(json!({ "secret": file })));
        assert!(answer.get("createResourceResponse").is_some(), "{answer}");
    }
}
