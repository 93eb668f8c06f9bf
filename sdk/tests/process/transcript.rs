//! What goes in and what comes out.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use expect_test::expect_file;
use serde_json::{Value, json};

use crate::running::{Running, example, message};

fn resource(inputs: &Value, outputs: &Value) -> Value {
    json!({ "type": "scratch_note", "inputProperties": inputs, "outputProperties": outputs })
}

#[test]
fn the_life_of_a_note() {
    let mut provider = Running::start();
    let path = provider.folder().join("a.note");
    let inputs = provider.inputs(json!({ "text": "one", "secret": null }));
    let outputs = json!({ "path": path, "lines": 1 });
    for _ in 0..2 {
        let created = provider.ask(&provider.create(json!({ "text": "one", "secret": null })));
        assert_eq!(
            created,
            json!({ "createResourceResponse": { "outputProperties": outputs } })
        );
    }
    let plan = |inputs: &Value, resource: Option<Value>| {
        json!({ "nixops4-resources/planResourceRequest":
            { "type": "scratch_note", "inputProperties": inputs, "resource": resource } })
    };
    let planned = provider.ask(&plan(&inputs, Some(resource(&inputs, &outputs))));
    assert_eq!(
        planned["nixops4-resources/planResourceResponse"],
        json!({
            "identity": { "folder": provider.folder(), "name": "a" }, "action": "none",
            "changes": [], "outputProperties": outputs, "unknownOutputs": [],
        })
    );

    let wanted = provider.inputs(json!({ "text": "two", "copies": 2 }));
    let planned = provider.ask(&plan(&wanted, None));
    let planned = &planned["nixops4-resources/planResourceResponse"];
    assert_eq!(planned["action"], "update");
    assert_eq!(
        planned["changes"],
        json!([{ "path": "/text", "before": { "known": ["one"] },
                 "after": { "known": ["two", "two"] }, "effect": "inPlace" }])
    );
    assert_eq!(
        planned["outputProperties"],
        json!({ "path": path, "lines": 2 })
    );

    let updated = provider.ask(&json!({ "updateResourceRequest":
        { "resource": resource(&inputs, &outputs), "inputProperties": wanted } }));
    assert_eq!(
        updated["updateResourceResponse"]["outputProperties"]["lines"],
        2
    );
    let text = std::fs::read_to_string(&path).unwrap();
    let (mark, rest) = text.split_once('\n').unwrap();
    assert!(
        mark.starts_with("nixops4-resources: owner=demo type=scratch_note since="),
        "{mark}"
    );
    assert_eq!(rest, "two\ntwo\n");

    let read = json!({ "nixops4-resources/readResourceRequest":
        { "type": "scratch_note", "inputProperties": wanted } });
    let answer = provider.ask(&read);
    assert_eq!(
        answer["nixops4-resources/readResourceResponse"]["present"],
        true
    );

    let mut protected = wanted.clone();
    protected["protect"] = json!(true);
    let refused = provider.refused(
        json!({ "destroyResourceRequest": { "resource": resource(&protected, &outputs) } })
            .to_string()
            .as_bytes(),
    );
    assert!(
        refused.contains("/protect: it is protected, so it is not destroyed"),
        "{refused}"
    );
    assert!(path.exists());

    let destroy = json!({ "destroyResourceRequest": { "resource": resource(&wanted, &outputs) } });
    for _ in 0..2 {
        assert_eq!(
            provider.ask(&destroy),
            json!({ "destroyResourceResponse": {} })
        );
        assert!(!path.exists());
    }
    let answer = provider.ask(&read);
    assert_eq!(
        answer["nixops4-resources/readResourceResponse"]["present"],
        false
    );
    assert_eq!(provider.finish(), "");
}

#[test]
fn what_is_wrong_is_said_and_the_next_request_is_answered() {
    let mut provider = Running::start();
    let unowned = json!({ "folder": provider.folder(), "name": "a" });
    let lines: Vec<(Vec<u8>, &str)> = vec![
        (b"".to_vec(), "this is not a request: the line is empty"),
        (b"{".to_vec(), "this is not a request"),
        (b"\xff".to_vec(), "not UTF-8"),
        (b"[]".to_vec(), "this is not a request"),
        (b"{\"fooRequest\":{}}".to_vec(), "this is not a request"),
        (
            provider
                .create(json!({}))
                .to_string()
                .replace("_note", "_not")
                .into(),
            "this provider has no resource type \"scratch_not\"\nhint: it has scratch_note",
        ),
        (
            provider.create(json!({ "txet": 1 })).to_string().into(),
            "/txet: unknown field \"txet\"\nhint: did you mean \"text\"?",
        ),
        (
            provider.create(json!({ "ownr": 1 })).to_string().into(),
            "/ownr: unknown field \"ownr\"\nhint: did you mean \"owner\"?",
        ),
        (
            provider.create(json!({ "owner": null })).to_string().into(),
            "/owner: missing field \"owner\"",
        ),
        (
            provider.create(json!({ "copies": 256 })).to_string().into(),
            "/copies: expected a whole number from 0 to 255, found 256",
        ),
        (
            provider
                .create(json!({ "text": "a\nb" }))
                .to_string()
                .into(),
            "/text: a note says one line",
        ),
        (
            provider
                .create(json!({ "deletionPolicy": "retian" }))
                .to_string()
                .into(),
            "/deletionPolicy: \"retian\" is not one of \"retain\", \"delete\"; did you mean",
        ),
        (
            provider
                .create(json!({ "folder": "/nonexistent/folder" }))
                .to_string()
                .into(),
            "/folder: unable to write /nonexistent/folder/a.note: No such file or directory",
        ),
        (
            json!({ "destroyResourceRequest": { "resource": resource(&unowned, &json!({})) } })
                .to_string()
                .into(),
            "the record has no `owner`",
        ),
        (
            json!({ "nixops4-resources/listResourcesRequest":
                { "type": "scratch_note", "inputProperties": {} } })
            .to_string()
            .into(),
            "resources of type scratch_note don't answer this request",
        ),
    ];
    for (line, expected) in lines {
        let refused = provider.refused(&line);
        assert!(refused.contains(expected), "{refused}");
    }
    let created = provider.ask(&provider.create(json!({})));
    assert_eq!(
        created["createResourceResponse"]["outputProperties"]["lines"],
        1
    );
    assert_eq!(provider.finish(), "");
}

#[test]
fn a_long_line_and_a_malformed_one_are_not_repeated_at_length() {
    let mut provider = Running::start();
    let long = "x".repeat(10 << 20);
    let refused = provider.refused(
        provider
            .create(json!({ "copies": long }))
            .to_string()
            .as_bytes(),
    );
    assert!(refused.len() < 300, "{refused}");
    let refused = provider.refused(format!("{{\"{long}\":1}}").as_bytes());
    assert!(refused.len() < 1200, "{} bytes", refused.len());
    let created = provider.ask(&provider.create(json!({ "text": long })));
    assert_eq!(
        created["createResourceResponse"]["outputProperties"]["lines"],
        1
    );
    assert_eq!(provider.finish(), "");
}

#[test]
fn a_thousand_requests_and_none() {
    let mut provider = Running::start();
    for number in 0..1000 {
        let name = format!("note-{number}");
        let created = provider.ask(&provider.create(json!({ "name": name })));
        assert!(created.get("createResourceResponse").is_some(), "{created}");
    }
    assert_eq!(provider.finish(), "");
    assert_eq!(Running::start().finish(), "");
}

#[test]
fn what_is_printed_is_no_answer() {
    let mut provider = Running::start();
    provider.faults(&json!({ "looking": "chatters" }));
    let created = provider.ask(&provider.create(json!({})));
    assert!(created.get("createResourceResponse").is_some(), "{created}");
    let stderr = provider.finish();
    assert!(stderr.contains("chatter"), "{stderr}");
}

#[test]
fn a_busy_server_is_waited_for_until_the_deadline() {
    let mut provider = Running::start();
    provider.faults(&json!({ "busy": 4 }));
    let created = provider.ask(&provider.create(json!({})));
    assert!(created.get("createResourceResponse").is_some(), "{created}");

    let mut command = Command::new(example("scratch"));
    command.env("NIXOPS4_RESOURCES_TIMEOUT", "1");
    let mut provider = Running::start_with(command);
    provider.faults(&json!({ "busy": 1_000_000 }));
    let begun = Instant::now();
    let answer = provider.ask(&provider.create(json!({})));
    assert_eq!(message(&answer), "the folder is busy");
    assert!(begun.elapsed() < Duration::from_secs(5));
}

#[test]
fn a_step_that_does_not_end_is_given_up() {
    let mut command = Command::new(example("scratch"));
    command.env("NIXOPS4_RESOURCES_TIMEOUT", "1");
    let mut provider = Running::start_with(command);
    provider.faults(&json!({ "slowMs": 600_000 }));
    let refused = message(&provider.ask(&provider.create(json!({}))));
    assert!(
        refused.starts_with("a step took longer than 2 s and was given up"),
        "{refused}"
    );
    provider.faults(&json!({}));
    let created = provider.ask(&provider.create(json!({})));
    assert!(created.get("createResourceResponse").is_some(), "{created}");
}

#[test]
fn an_environment_that_cannot_be_followed_is_the_answer() {
    for wrong in [
        "0",
        "soon",
        "-1",
        "99999999999999999999",
        "18446744073709551615",
    ] {
        let mut command = Command::new(example("scratch"));
        command.env("NIXOPS4_RESOURCES_TIMEOUT", wrong);
        let mut provider = Running::start_with(command);
        let refused = message(&provider.ask(&provider.create(json!({}))));
        assert!(
            refused.starts_with("NIXOPS4_RESOURCES_TIMEOUT has to be"),
            "{refused}"
        );
        assert_eq!(provider.finish(), "");
    }
    let mut command = Command::new(example("scratch"));
    command
        .env("NIXOPS4_RESOURCES_LOG", "loud")
        .env("NIXOPS4_RESOURCES_LOG_FORMAT", "xml");
    let stderr = Running::start_with(command).finish();
    assert!(
        stderr.contains("NIXOPS4_RESOURCES_LOG has to be"),
        "{stderr}"
    );
    assert!(
        stderr.contains("NIXOPS4_RESOURCES_LOG_FORMAT has to be"),
        "{stderr}"
    );
}

#[test]
fn the_log_shows_steps_when_asked() {
    for (format, expected) in [
        ("text", "DEBUG scratch::note: Create"),
        ("json", "\"level\":\"DEBUG\""),
    ] {
        let mut command = Command::new(example("scratch"));
        command
            .env("NIXOPS4_RESOURCES_LOG", "debug")
            .env("NIXOPS4_RESOURCES_LOG_FORMAT", format);
        let mut provider = Running::start_with(command);
        provider.ask(&provider.create(json!({})));
        let stderr = provider.finish();
        assert!(stderr.contains(expected), "{stderr}");
    }
}

#[test]
fn nobody_listens() {
    let mut child = Command::new(example("scratch"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let mut stdin = child.stdin.take().unwrap();
    std::io::Write::write_all(&mut stdin, b"{}\n").unwrap();
    let ended = child.wait_with_output().unwrap();
    assert_eq!(ended.status.code(), Some(1));
    assert_eq!(String::from_utf8_lossy(&ended.stderr), "");
}

#[test]
fn arguments() {
    let run = |arguments: &[&str]| {
        let output = Command::new(example("scratch"))
            .args(arguments)
            .output()
            .unwrap();
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_owned()).unwrap();
        (
            output.status.code(),
            text(&output.stdout),
            text(&output.stderr),
        )
    };
    let version = format!("nixops4-resources-scratch {}\n", env!("CARGO_PKG_VERSION"));
    assert_eq!(run(&["--version"]), (Some(0), version, String::new()));
    let (code, usage, _) = run(&["--help"]);
    assert_eq!(code, Some(0));
    assert!(
        usage.starts_with("usage: nixops4-resources-scratch"),
        "{usage}"
    );
    for wrong in [&["serve"][..], &["describe", "x"]] {
        assert_eq!(run(wrong), (Some(64), String::new(), usage.clone()));
    }
    let (code, description, stderr) = run(&["describe"]);
    assert_eq!((code, stderr.as_str()), (Some(0), ""));
    let mut description: Value = serde_json::from_str(&description).unwrap();
    assert_eq!(description["version"], env!("CARGO_PKG_VERSION"));
    // It changes with each release, and nothing else may by accident.
    description.as_object_mut().unwrap().remove("version");
    let description = serde_json::to_string_pretty(&description).unwrap();
    expect_file!["describe.json"].assert_eq(&format!("{description}\n"));
}
