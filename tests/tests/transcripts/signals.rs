//! Ctrl-C and SIGTERM, idle and in the middle of a step.

use std::time::{Duration, Instant};

use nixops4_resources_tests::binaries;
use nixops4_resources_tests::lifeline::Signal;
use nixops4_resources_tests::messages::{self, Object, object};
use nixops4_resources_tests::provider::{Provider, TIMEOUT, oneshot};
use nixops4_resources_tests::sandbox::Sandbox;
use serde_json::json;

use super::{PROVIDERS, STATE, Site, assert_refuses_type, harmless};

/// Waits until a failpoint shows up in the log.
fn wait_for(provider: &Provider, failpoint: &str) {
    let begun = Instant::now();
    let is_there = || String::from_utf8_lossy(&provider.stderr()).contains(failpoint);
    while !is_there() {
        assert!(begun.elapsed() < TIMEOUT, "{failpoint} was not passed");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// A provider that stays a second at a failpoint.
fn spawn_slow(site: &Site, failpoint: &str) -> Provider {
    let mut command = site.command();
    command
        .env("NIXOPS4_RESOURCES_LOG", "trace")
        .env("FAILPOINTS", format!("{failpoint}=1*sleep(1000)"));
    Provider::spawn(command)
}

#[test]
fn an_interruption() {
    let site = Site::new();
    let mut inputs = site.role("interrupted");
    let create = messages::create("postgresql_role", &inputs, true);
    let created = oneshot(site.command(), [create.to_string()]);
    assert!(created.status.success());
    messages::set(&mut inputs, "/login", json!(false));
    messages::set(&mut inputs, "/connectionLimit", json!(1));
    let change = messages::create("postgresql_role", &inputs, true);
    let row = |site: &Site| {
        site.server
            .sql("SELECT rolcanlogin, rolconnlimit FROM pg_roles WHERE rolname = 'interrupted'")
    };

    // Between two steps: the first is done, and the answer is an error.
    let mut provider = spawn_slow(&site, "engine:applied-0");
    provider.send(change.to_string());
    wait_for(&provider, "engine:applied-0");
    provider.signal(Signal::INT);
    let error = messages::answer(&change, &provider.answer()).expect_err("it was interrupted");
    assert!(error.contains("interrupted"), "{error}");
    assert!(error.contains("\nhint: "), "{error}");
    assert_eq!(row(&site), "f|-1");
    // It goes on serving, and the next request is not interrupted.
    messages::answer(&change, &provider.request(change.to_string())).expect("it goes on");
    assert_eq!(row(&site), "f|1");
    assert!(provider.finish().status.success());

    // Within the last step: there is nothing left to give up.
    messages::set(&mut inputs, "/connectionLimit", json!(2));
    let change = messages::create("postgresql_role", &inputs, true);
    let mut provider = spawn_slow(&site, "engine:verified");
    provider.send(change.to_string());
    wait_for(&provider, "engine:verified");
    provider.signal(Signal::INT);
    messages::answer(&change, &provider.answer()).expect("everything was done");
    assert_eq!(row(&site), "f|2");

    // Idle: there is nothing to answer.
    provider.signal(Signal::INT);
    let status = provider.wait(TIMEOUT).expect("it ends");
    assert!([Some(130), Some(0)].contains(&status.code()), "{status}");
    let stdout = provider.finish().stdout;
    assert_eq!(String::from_utf8_lossy(&stdout).lines().count(), 1);
    site.drop_role("interrupted");
}

#[test]
fn a_database_that_is_being_created_when_ctrl_c_comes() {
    let site = Site::new();
    let inputs = site.role("staged");
    let create = messages::create("postgresql_database", &inputs, true);
    let mut provider = spawn_slow(&site, "database:created");
    provider.send(create.to_string());
    wait_for(&provider, "database:created");
    provider.signal(Signal::INT);
    // The step is finished: no half of a database stays.
    messages::answer(&create, &provider.answer()).expect("it was the last step");
    let databases = "SELECT datname FROM pg_database WHERE NOT datistemplate ORDER BY 1";
    assert_eq!(site.server.sql(databases), "postgres\nstaged");
    assert!(provider.finish().status.success());
    site.server.sql("DROP DATABASE staged");
}

#[test]
fn a_termination() {
    let site = Site::new();
    let create = messages::create("postgresql_role", &site.role("terminated"), true);
    let mut provider = spawn_slow(&site, "engine:observed");
    provider.send(create.to_string());
    provider.send(create.to_string());
    wait_for(&provider, "engine:observed");
    provider.signal(Signal::TERM);
    let error = messages::answer(&create, &provider.answer()).expect_err("it was interrupted");
    assert!(error.contains("interrupted"), "{error}");
    // It answers what it had begun, and ends although stdin is open.
    let status = provider.wait(TIMEOUT).expect("it ends");
    assert!(status.success(), "{status}");
    assert_eq!(
        String::from_utf8_lossy(&provider.stdout()).lines().count(),
        1
    );
    assert!(!site.has_role("terminated"));

    for name in PROVIDERS {
        let mut provider = Provider::spawn(site.sandbox.command(binaries::path(name)));
        assert_refuses_type(&provider.request(harmless()));
        provider.signal(Signal::TERM);
        let status = provider.wait(TIMEOUT).expect("it ends");
        // The latter if the signal comes before it waits for the next line.
        assert!(
            [Some(143), Some(0)].contains(&status.code()),
            "{name}: {status}"
        );
    }
}

#[test]
fn a_state_provider_ignores_interruptions() {
    let sandbox = Sandbox::new();
    let inputs = object(json!({"deployment": "transcripts", "path": "state.sqlite"}));
    let create = messages::create("state_sqlite", &inputs, false);
    let mut provider = Provider::spawn(sandbox.command(binaries::path(STATE)));
    for _ in 0..3 {
        messages::answer(&create, &provider.request(create.to_string())).expect("it serves");
        provider.signal(Signal::INT);
        std::thread::sleep(Duration::from_millis(20));
    }
    let state = messages::resource("state_sqlite", &inputs, Some(&Object::new()));
    let patch = json!([{"op": "add", "path": "/resources/a", "value": {}}]);
    let event = messages::state_event(&state, "create", &patch);
    messages::answer(&event, &provider.request(event.to_string())).expect("it serves");
    // It ends at the end of its stdin, with success.
    assert!(provider.finish().status.success());
}
