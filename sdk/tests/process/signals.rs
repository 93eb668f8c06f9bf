//! Ctrl-C, SIGTERM, and the end.

use std::process::Command;

use rustix::process::Signal;
use serde_json::json;

use crate::running::{Running, example, message};

#[test]
fn while_there_is_nothing_to_do_a_signal_ends_it() {
    for (signal, code) in [(Signal::INT, 130), (Signal::TERM, 143)] {
        let mut provider = Running::start();
        provider.ask(&provider.create(json!({})));
        // It is idle from the moment on at which it has answered, or soon.
        std::thread::sleep(std::time::Duration::from_millis(50));
        provider.signal(signal);
        let ended = provider.wait();
        assert_eq!(ended.status.code(), Some(code));
        assert_eq!(ended.stderr, "");
    }
}

#[test]
fn ctrl_c_lets_the_step_end_and_begins_no_other() {
    let mut provider = Running::start();
    let note = provider.folder().join("a.note");
    std::fs::write(&note, "theirs\nold\n").unwrap();
    provider.faults(&json!({ "slowMs": 300 }));
    let adopting = provider.create(json!({ "adopt": true, "text": "new" }));
    provider.send(&adopting);
    provider.wait_for_step();
    provider.signal(Signal::INT);
    let refused = message(&provider.answer());
    assert!(
        refused.starts_with("interrupted before everything was done"),
        "{refused}"
    );
    let text = std::fs::read_to_string(&note).unwrap();
    let (mark, rest) = text.split_once('\n').unwrap();
    assert!(mark.starts_with("nixops4-resources: owner=demo "), "{mark}");
    assert_eq!(rest, "old\n");

    // The next request isn't interrupted, and goes on from there.
    provider.faults(&json!({}));
    let created = provider.ask(&adopting);
    assert!(created.get("createResourceResponse").is_some(), "{created}");
    assert_eq!(provider.finish(), "");
}

#[test]
fn sigterm_lets_the_step_end_and_then_ends_the_process() {
    let mut provider = Running::start();
    provider.faults(&json!({ "slowMs": 300 }));
    provider.send(&provider.create(json!({})));
    provider.wait_for_step();
    provider.signal(Signal::TERM);
    // It was the last step: what was made is told, so that it can be recorded.
    let created = provider.answer();
    assert!(created.get("createResourceResponse").is_some(), "{created}");
    assert!(provider.wait().status.success());
}

#[test]
fn a_wait_for_a_busy_server_is_interrupted() {
    let mut provider = Running::start();
    provider.faults(&json!({ "busy": 1_000_000 }));
    provider.send(&provider.create(json!({})));
    std::thread::sleep(std::time::Duration::from_millis(200));
    provider.signal(Signal::INT);
    assert_eq!(message(&provider.answer()), "the folder is busy");
}

#[test]
fn a_state_provider_ignores_ctrl_c_and_ends_at_eof() {
    let mut provider = Running::start_with(Command::new(example("scratch-state")));
    let inputs = json!({ "deployment": "demo", "folder": provider.folder() });
    let resource = json!({ "type": "scratch-state_ledger", "inputProperties": inputs });
    let created = provider.ask(&json!({ "createResourceRequest":
        { "type": "scratch-state_ledger", "inputProperties": inputs, "isStateful": false } }));
    assert_eq!(
        created,
        json!({ "createResourceResponse": { "outputProperties": {} } })
    );

    provider.faults(&json!({ "slowMs": 300 }));
    provider.send(&json!({ "stateResourceEvent": {
        "resource": resource, "event": "create", "nixopsVersion": "0.1",
        "patch": [{ "op": "add", "path": "/resources/a", "value": { "type": "x" } }],
    }}));
    provider.wait_for_step();
    for _ in 0..3 {
        provider.signal(Signal::INT);
    }
    assert_eq!(
        provider.answer(),
        json!({ "stateResourceEventResponse": {} })
    );
    provider.signal(Signal::INT);
    let read = provider.ask(&json!({ "stateResourceReadRequest": { "resource": resource } }));
    let state = &read["stateResourceReadResponse"]["state"];
    assert_eq!(*state, json!({ "resources": { "a": { "type": "x" } } }));
    provider.signal(Signal::INT);
    assert_eq!(provider.finish(), "");
}

#[test]
fn what_a_state_provider_answers_and_what_not() {
    let mut provider = Running::start_with(Command::new(example("scratch-state")));
    let inputs = json!({ "deployment": "demo", "folder": provider.folder() });
    let read = json!({ "nixops4-resources/readResourceRequest":
        { "type": "scratch-state_ledger", "inputProperties": inputs } });
    provider.faults(&json!({ "busy": 3 }));
    let answer = provider.ask(&read);
    assert_eq!(
        answer["nixops4-resources/readResourceResponse"]["present"],
        false
    );
    let plan = json!({ "nixops4-resources/planResourceRequest":
        { "type": "scratch-state_ledger", "inputProperties": inputs } });
    let refused = message(&provider.ask(&plan));
    assert!(refused.contains("don't answer this request"), "{refused}");
    let inputs = json!({ "deployment": "-", "folder": "/" });
    let refused = message(&provider.ask(&json!({ "createResourceRequest":
        { "type": "scratch-state_ledger", "inputProperties": inputs, "isStateful": false } })));
    assert!(
        refused.starts_with("/deployment: \"-\" can't be an owner"),
        "{refused}"
    );

    // SIGTERM is no Ctrl-C: it ends even this one.
    std::thread::sleep(std::time::Duration::from_millis(50));
    provider.signal(Signal::TERM);
    assert_eq!(provider.wait().status.code(), Some(143));
}
