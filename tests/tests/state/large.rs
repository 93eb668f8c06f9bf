//! States of more than 64 MiB, and what wants to fill the memory.

use std::fmt::Write as _;
use std::time::Duration;

use nixops4_resources_tests::messages;
use nixops4_resources_tests::provider::Provider;
use serde_json::{Value, json};

use super::{Site, Writer, add};

/// What a line about a resource may have, in bytes; no state was larger once.
const MESSAGE: usize = 64 << 20;
/// How long a provider may take for what is so large on a busy machine.
const PATIENCE: Duration = Duration::from_mins(5);
const RESOURCES: usize = 66;

/// A state of 66 MiB as NixOps4's provider keeps it, in one event.
fn exported() -> String {
    let output = "x".repeat(1 << 20);
    let mut resources = String::new();
    for number in 0..RESOURCES {
        let comma = if number == 0 { "" } else { "," };
        let _ = write!(
            resources,
            r#"{comma}"r{number}":{{"type":"t","input_properties":{{}},"output_properties":{{"o":"{output}"}}}}"#
        );
    }
    format!(
        r#"{{"index":0,"meta":{{"time":"2026-01-01T00:00:00Z"}},"patch":[{{"op":"add","path":"","value":{{"_type":"nixopsState","resources":{{{resources}}},"deployments":{{}}}}}}]}}"#
    )
}

/// Imports, lists, shows, verifies, exports, and appends to it.
fn live_with(site: &Site) {
    let text = exported();
    assert!(text.len() > MESSAGE + (1 << 20));
    let file = site.sandbox.write("exported.json", &text);
    drop(text);
    let imported = site.json(&["import", &file.to_string_lossy()]);
    assert_eq!(imported["resources"], RESOURCES);
    std::fs::remove_file(file).expect("it is ours");

    // What follows goes by it, and adds to it.
    let mut provider = Provider::spawn(site.command());
    provider.send(site.read_request().to_string());
    let answer = provider.receive(PATIENCE).expect("the state");
    assert!(answer.len() > MESSAGE);
    assert!(answer.starts_with(r#"{"stateResourceReadResponse":{"state":{"#));
    drop(answer);
    let event = site.event(&add(
        "/resources/last",
        json!({"type": "t", "input_properties": {}}),
    ));
    let appended = provider.request(event.to_string());
    messages::answer(&event, &appended).expect("it is written");
    // What it takes is the document and what one event has, and no more of each.
    let most = peak(provider.id()) >> 20;
    assert!(most < 450, "{}: {most} MiB", site.kind);
    drop(provider);

    let listed = site.json(&["list"]);
    let listed = listed["resources"].as_array().map(Vec::len);
    assert_eq!(listed, Some(RESOURCES + 1));
    assert_eq!(site.json(&["show", "last"])["path"], json!(["last"]));
    let verified = site.json(&["verify"]);
    assert_eq!(verified["success"], true, "{verified}");
    let exported = site.say(&["export"]);
    assert!(exported.len() > MESSAGE);
    assert!(exported.trim_end().ends_with('}') && exported.contains("\"last\""));
}

#[test]
fn more_than_64_mib_in_sqlite() {
    live_with(&Site::new());
}

#[test]
fn more_than_64_mib_in_a_file() {
    live_with(&Site::file());
}

#[test]
fn more_than_64_mib_in_postgresql() {
    live_with(&Site::postgresql());
}

/// The most memory that a process ever had, in bytes.
fn peak(process: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).expect("it runs");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kibibytes = line.expect("a size").trim().trim_end_matches(" kB");
    kibibytes.parse::<u64>().expect("a number") << 10
}

#[test]
fn a_request_that_wants_to_fill_the_memory() {
    let site = Site::new();
    let fill = |piece: &str| piece.repeat((62 << 20) / piece.len());
    for (inputs, word) in [
        (format!("[{}0]", fill("0,")), "values"),
        (fill("["), "recursion limit"),
        (fill("{\"\":"), "recursion limit"),
        (format!("[{}0]", fill("{\"\":0},")), "values"),
        (format!("{{{}\"a\":0}}", fill("\"\":[],")), "values"),
    ] {
        let mut provider = Provider::spawn(site.sandbox.command(
            nixops4_resources_tests::binaries::path("nixops4-resources-secrets"),
        ));
        let request = format!(
            r#"{{"createResourceRequest":{{"type":"secrets_token","isStateful":true,"inputProperties":{{"x":{inputs}}}}}}}"#
        );
        provider.send(&request);
        let refusal = provider.receive(PATIENCE).expect("an answer");
        let refusal = messages::refusal(&refusal);
        assert!(refusal.contains(word), "{refusal}");
        let most = peak(provider.id()) >> 20;
        // The line itself, and what is read of it.
        assert!(most < 200, "{most} MiB for {}...", &inputs[..8]);
        assert!(provider.finish().status.success());
    }
}

#[test]
fn who_may_append_makes_no_state_that_nobody_can_read() {
    for site in [Site::new(), Site::file()] {
        site.create();
        let nested = (0..80).fold(json!(1), |inner, _| json!([inner]));
        let mut writer = Writer::new(&site, "ann");
        writer.read();
        let deep = format!("/resources/a{}/-", "/0".repeat(79));
        writer
            .append(&add("/resources/a", nested.clone()))
            .expect("it is not too deep");
        let error = writer.append(&add(&deep, nested)).expect_err("too deep");
        assert!(error.contains("120 deep"), "{error}");

        // Some 80 bytes more double what there is.
        let mut bomb =
            vec![json!({"op": "add", "path": "/resources/b", "value": ["x".repeat(1000)]})];
        for _ in 0..30 {
            bomb.push(json!({"op": "copy", "from": "/resources/b", "path": "/resources/b/-"}));
        }
        let error = writer.append(&json!(bomb)).expect_err("too much");
        assert!(error.contains("it copies more than"), "{error}");
        let state = site.read();
        assert_eq!(
            state["resources"].as_object().map(serde_json::Map::len),
            Some(1)
        );
    }
    // By other ways than ours.
    let site = Site::new();
    site.create();
    for (position, patch) in [
        json!([{"op": "add", "path": "/a", "value": ["x"]}]),
        Value::Array(vec![
            json!({"op": "copy", "from": "/a", "path": "/a/-"});
            40
        ]),
    ]
    .iter()
    .enumerate()
    {
        site.sql(&format!(
            "INSERT INTO event VALUES ('demo', {}, '', '', '', '', '{patch}')",
            position + 1
        ));
    }
    let error = site.send(&site.read_request()).expect_err("it is hostile");
    assert!(error.contains("the recorded state is damaged"), "{error}");
    assert!(
        error.contains("event 2 does not apply: it copies"),
        "{error}"
    );
}
