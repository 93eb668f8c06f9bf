//! The file that NixOps4's own provider keeps: read, written, shared and mended.
//!
//! Where `NIXOPS4_RESOURCES_LOCAL` names that provider (`nixops4-resources-local`)
//! it reads what ours wrote and the other way round; elsewhere its events are as
//! it was seen to write them.

use std::fs::File;
use std::process::Command;
use std::time::{Duration, Instant};

use nixops4_resources_tests::messages::{self, object};
use nixops4_resources_tests::provider::{Provider, oneshot};
use serde_json::{Value, json};

use super::{Site, Writer, add};

const NAME: &str = "state.json";

/// An event as upstream writes it: the index of each is 0.
fn upstreams(operation: Option<&str>, patch: &Value) -> String {
    let mut meta = json!({"time": "2026-01-01T00:00:00.123456789+00:00"});
    if let Some(operation) = operation {
        meta["event"] = json!(operation);
    }
    let event = json!({"index": 0, "meta": meta, "patch": patch});
    serde_json::to_string_pretty(&event).expect("JSON") + "\n"
}

fn upstreams_file() -> String {
    let empty = json!({"_type": "nixopsState", "resources": {}, "deployments": {}});
    let made = json!({"type": "file", "input_properties": {"name": "a"}, "output_properties": {}});
    let first = upstreams(None, &add("", empty));
    let nested = add(
        "/deployments/mail",
        json!({"resources": {}, "deployments": {}}),
    );
    first
        + &upstreams(Some("create"), &add("/resources/a", made.clone()))
        + &upstreams(Some("create"), &nested)
        + &upstreams(Some("create"), &add("/deployments/mail/resources/b", made))
}

#[test]
fn what_upstream_wrote_is_read_and_gone_on_with() {
    let site = Site::file();
    site.sandbox.write(NAME, upstreams_file());
    site.create();
    let state = site.read();
    assert_eq!(
        state["deployments"]["mail"]["resources"]["b"]["type"],
        "file"
    );
    let history = site.history(0);
    assert_eq!(history.len(), 4);
    assert_eq!(history[1].get("writer"), None);
    assert_eq!(history[1]["event"], "create");
    site.send(&site.event(&add("/resources/c", json!({}))))
        .expect("it is written");

    // What upstream's provider needs: index 0 first, a time, and a patch.
    let text = std::fs::read_to_string(site.sandbox.work().join(NAME)).expect("the file");
    assert!(text.starts_with(&upstreams_file()), "what was there stays");
    let events: Vec<Value> = serde_json::Deserializer::from_str(&text)
        .into_iter()
        .collect::<Result<_, _>>()
        .expect("JSON");
    assert_eq!(events.len(), 5);
    assert_eq!(events[0]["index"], 0);
    assert_eq!(events[4]["index"], 4);
    assert_eq!(events[4]["meta"]["deployment"], "demo");
    assert!(events.iter().all(|event| event["meta"]["time"].is_string()));
    assert!(events.iter().all(|event| event["patch"].is_array()));
}

/// Upstream's provider, and ours, on one file in turn.
#[expect(
    clippy::print_stdout,
    reason = "who reads the log sees what was skipped"
)]
#[test]
fn upstreams_own_provider_reads_and_writes_the_same_file() {
    let Some(local) = std::env::var_os("NIXOPS4_RESOURCES_LOCAL") else {
        println!("NIXOPS4_RESOURCES_LOCAL is not set; skipped");
        return;
    };
    let site = Site::file();
    let theirs = messages::resource("state_file", &object(json!({"name": NAME})), None);
    let ask = |request: &Value| {
        let mut command: Command = site.sandbox.command(&local);
        command.env("USER", "upstream");
        let output = oneshot(command, [request.to_string()]);
        let line = String::from_utf8_lossy(&output.stdout).into_owned();
        messages::answer(request, line.trim_end()).expect("it answers")
    };
    let read = || ask(&messages::read_state(&theirs))["state"].take();
    site.create();
    ask(&messages::create(
        "state_file",
        &object(json!({"name": NAME})),
        false,
    ));
    for number in 0..3 {
        let patch = add(&format!("/resources/ours-{number}"), json!({"type": "x"}));
        site.send(&site.event(&patch)).expect("it is written");
        let patch = add(&format!("/resources/theirs-{number}"), json!({"type": "x"}));
        ask(&messages::state_event(&theirs, "create", &patch));
    }
    let state = site.read();
    assert_eq!(state["resources"].as_object().expect("resources").len(), 6);
    assert_eq!(read(), state);
}

#[test]
fn what_a_killed_writer_left_is_mended() {
    let site = Site::file();
    site.create();
    let event = site.event(&add("/resources/a", json!({})));
    site.send(&event).expect("it is written");
    let path = site.sandbox.work().join(NAME);
    let whole = std::fs::read_to_string(&path).expect("the file");
    let half = &upstreams(Some("create"), &add("/resources/b", json!({})))[..60];
    site.sandbox.write(NAME, format!("{whole}{half}"));
    // Reading changes nothing, and does not see it.
    assert_eq!(site.read()["resources"], json!({"a": {}}));
    assert_eq!(site.history(0).len(), 2);
    assert_eq!(
        std::fs::read_to_string(&path).expect("the file"),
        format!("{whole}{half}")
    );
    site.create();
    site.send(&site.event(&add("/resources/c", json!({}))))
        .expect("it is written");
    assert_eq!(site.read()["resources"], json!({"a": {}, "c": {}}));
    let text = std::fs::read_to_string(&path).expect("the file");
    assert!(
        text.starts_with(whole.trim_end()) && !text.contains("/resources/b"),
        "{text}"
    );
    let torn = std::fs::read_to_string(site.sandbox.work().join("state.json.torn"));
    assert_eq!(torn.expect("what was cut off").trim(), half.trim());
}

#[test]
fn files_that_can_not_be_used() {
    let refused = |site: &Site, pointer: &str, word: &str| {
        for request in [
            site.create_request(),
            site.read_request(),
            site.event(&add("/resources/a", json!({}))),
        ] {
            let error = site.send(&request).expect_err("it can't be used");
            assert!(error.starts_with(&format!("{pointer}: ")), "{error}");
            assert!(error.contains(word), "{word:?} is not in {error}");
            assert!(error.contains("\nhint: "), "{error}");
        }
    };
    for name in ["missing/state.json", "/proc/state.json", "/dev/null", "."] {
        let mut site = Site::file();
        site.inputs.insert("name".to_owned(), json!(name));
        refused(&site, "/name", name);
    }
    for (text, word) in [
        ("a letter to my aunt", "can't be read"),
        ("[]", "can't be read"),
        ("{", "not even its first event is whole"),
        (r#"{"index":3,"meta":{"time":"t"},"patch":[]}"#, "index 3"),
    ] {
        let site = Site::file();
        site.sandbox.write(NAME, text);
        refused(&site, "/name", word);
        let after = std::fs::read_to_string(site.sandbox.work().join(NAME));
        assert_eq!(after.expect("the file"), text, "nothing is written");
    }
    // In the middle it is damage, and not what a killed writer left.
    let site = Site::file();
    let damaged = upstreams_file().replacen("\"patch\"", "patch", 2);
    site.sandbox.write(NAME, damaged);
    refused(&site, "/name", "event 0 can't be read");
    // Another deployment's.
    let site = Site::file();
    site.create();
    let mut other = Site::file();
    other.inputs = site.inputs.clone();
    other.inputs.insert("deployment".to_owned(), json!("other"));
    other
        .inputs
        .insert("name".to_owned(), json!(site.sandbox.work().join(NAME)));
    refused(&other, "/deployment", "\"demo\"");
    // Empty is what is left of one that was killed as it began.
    let site = Site::file();
    site.sandbox.write(NAME, "");
    site.send(&site.read_request())
        .expect_err("nothing is there");
    site.create();
    assert_eq!(site.history(0).len(), 1);
}

#[test]
fn somebody_else_holds_the_lock() {
    let site = Site::file();
    site.create();
    // As upstream's provider locks it.
    let lock = File::open(site.sandbox.work().join(NAME)).expect("the file");
    lock.lock().expect("nobody has it");
    let mut writer = Provider::spawn(site.command());
    let event = site.event(&add("/resources/a", json!({})));
    writer.send(event.to_string());
    let begun = Instant::now();
    assert_eq!(
        site.read()["resources"],
        json!({}),
        "a reader does not wait"
    );
    assert!(
        begun.elapsed() < Duration::from_secs(5),
        "{:?}",
        begun.elapsed()
    );
    std::thread::sleep(Duration::from_millis(200));
    assert_eq!(site.read()["resources"], json!({}), "a writer does");
    drop(lock);
    messages::answer(&event, &writer.answer()).expect("it is written");
    assert_eq!(site.read()["resources"], json!({"a": {}}));
}

#[test]
fn a_file_that_another_came_in_place_of() {
    let site = Site::file();
    site.create();
    let mut writer = Writer::new(&site, "ann");
    writer.read();
    for name in ["a", "b"] {
        writer
            .append(&add(&format!("/resources/{name}"), json!({})))
            .expect("it is written");
    }
    // Emptied where it is: whoever read it knows that it can't be right.
    let path = site.sandbox.work().join(NAME);
    let whole = std::fs::read(&path).expect("the file");
    let first = std::fs::read_to_string(&path)
        .expect("text")
        .find("\n}\n")
        .expect("an event")
        + 3;
    std::fs::write(&path, &whole[..first]).expect("it can be written");
    let error = writer.append(&json!([])).expect_err("it is shorter");
    assert!(error.contains("shorter than it was"), "{error}");
    // Replaced by another: what is in that one counts.
    std::fs::remove_file(&path).expect("it is there");
    std::fs::write(&path, upstreams_file()).expect("it can be written");
    writer.read();
    writer
        .append(&add("/resources/c", json!({})))
        .expect("it is written");
    assert_eq!(site.history(0).len(), 5);
}
