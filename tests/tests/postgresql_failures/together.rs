//! Many at once, and somebody in the way.

use std::time::{Duration, Instant};

use nixops4_resources_tests::messages::{self, set};
use nixops4_resources_tests::postgres::{Config, Server};
use nixops4_resources_tests::provider::{Provider, TIMEOUT, oneshot};
use serde_json::{Value, json};

use super::support::postgresql::literal;
use super::{DATABASE, ROLE, SERVERS, Site, Sleeper, assert_says};

#[test]
fn somebody_holds_the_lock() {
    let server = SERVERS.lease();
    let site = Site::of(&server);
    // The key that every process of this provider takes: "nixops4r".
    let key = i64::from_be_bytes(*b"nixops4r");
    let statement = format!("SELECT pg_advisory_lock({key});");
    let mut holder = Sleeper::running(&server, &site, "postgres", &statement);
    for kind in [ROLE, DATABASE] {
        let mut command = site.command();
        command.env("NIXOPS4_RESOURCES_TIMEOUT", "3");
        let begun = Instant::now();
        let error = Site::create_by(command, kind, &site.inputs("patient"));
        let error = error.expect_err("somebody holds the lock");
        assert!(
            begun.elapsed() < Duration::from_secs(30),
            "{:?}",
            begun.elapsed()
        );
        let words = [
            "a nightly job",
            "role postgres",
            "127.0.0.1",
            "pg_terminate_backend",
        ];
        assert_says(&error, "", &words);
    }
    // Nothing but the change itself waits for it.
    let request = messages::read(ROLE, &site.inputs("patient"), None);
    let output = oneshot(site.command(), [request.to_string()]);
    assert!(output.status.success());

    // Whoever is patient gets it in the end.
    let mut provider = Provider::spawn(site.command());
    let request = messages::create(ROLE, &site.inputs("patient"), true);
    provider.send(request.to_string());
    provider
        .receive(Duration::from_millis(300))
        .expect_err("it waits");
    holder.end(&server);
    messages::answer(&request, &provider.answer()).expect("the lock is free");
    server.sql("DROP ROLE patient");
}

#[test]
fn a_process_that_waits_holds_no_connection() {
    let server = SERVERS.lease();
    let site = Site::of(&server);
    let mut provider = Provider::spawn(site.command());
    let request = messages::create(ROLE, &site.inputs("idle"), true);
    let first = messages::answer(&request, &provider.request(request.to_string()));
    // Others may need what it doesn't use: a server has only so many.
    let ours = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'nixops4-resources'";
    let begun = Instant::now();
    while server.sql(ours) != "0" {
        assert!(begun.elapsed() < TIMEOUT, "it is still connected");
        std::thread::sleep(Duration::from_millis(20));
    }
    let second = messages::answer(&request, &provider.request(request.to_string()));
    assert_eq!(
        first.expect("it is created"),
        second.expect("it connects again")
    );
    server.sql("DROP ROLE idle");
}

#[test]
fn three_hundred_processes_and_twenty_connections() {
    let server = Server::start(&Config {
        max_connections: 20,
        ..Config::default()
    });
    let site = Site::of(&server);
    let requests: Vec<_> = (0..300)
        .map(|number| messages::create(ROLE, &site.inputs(&format!("role-{number}")), true))
        .collect();
    let answers = at_once(&site, &requests);
    for answer in answers {
        answer.unwrap_or_else(|error| panic!("{error}"));
    }
    let roles = "SELECT count(*) FROM pg_roles WHERE rolname LIKE 'role-%'";
    assert_eq!(server.sql(roles), "300");
    assert!(!server.log().contains("tuple concurrently updated"));
}

#[test]
fn sixty_four_processes_and_one_role() {
    let server = SERVERS.lease();
    let site = Site::of(&server);
    let mut inputs = site.inputs("the one");
    set(
        &mut inputs,
        "/password",
        site.secret("password", "of the one"),
    );
    let requests = vec![messages::create(ROLE, &inputs, true); 64];
    let answers = at_once(&site, &requests);
    let first = answers[0].clone();
    assert!(first.is_ok(), "{first:?}");
    assert!(answers.iter().all(|answer| *answer == first));
    assert_eq!(
        server.sql("SELECT count(*) FROM pg_roles WHERE rolname = 'the one'"),
        "1"
    );
    assert!(
        server
            .sql_as("the one", "of the one", "postgres", "SELECT 1")
            .is_ok()
    );
    server.sql("DROP ROLE \"the one\"");
}

#[test]
fn two_hundred_memberships_at_once() {
    let server = SERVERS.lease();
    let site = Site::of(&server);
    server.sql("CREATE ROLE hub");
    let requests: Vec<_> = (0..50)
        .map(|number| {
            let mut inputs = site.inputs(&format!("spoke-{number}"));
            set(&mut inputs, "/memberOf", json!(["hub"]));
            messages::create(ROLE, &inputs, true)
        })
        .collect();
    for answer in at_once(&site, &requests) {
        answer.unwrap_or_else(|error| panic!("{error}"));
    }
    let members = "SELECT count(*) FROM pg_auth_members WHERE roleid = 'hub'::regrole";
    assert_eq!(server.sql(members), "50");
    let missing = site.with("spoke-0", &[("/memberOf", json!(["hub", "absent"]))]);
    site.refuses(
        ROLE,
        &missing,
        "/memberOf",
        &["\"absent\" does not exist", "declare what is missing"],
    );
    let name = literal("spoke-%");
    let roles = server.sql(&format!(
        "SELECT string_agg(quote_ident(rolname), ', ') FROM pg_roles WHERE rolname LIKE {name}"
    ));
    server.sql(&format!("DROP ROLE hub, {roles}"));
}

/// Sends each request to a process of its own, all at once.
fn at_once(site: &Site, requests: &[Value]) -> Vec<Result<Value, String>> {
    let running: Vec<_> = requests
        .iter()
        .map(|request| {
            let mut provider = Provider::spawn(site.command());
            provider.send(request.to_string());
            provider.close_stdin();
            provider
        })
        .collect();
    running
        .into_iter()
        .zip(requests)
        .map(|(provider, request)| {
            let output = provider.finish();
            assert!(output.status.success(), "{}", output.status);
            let line = String::from_utf8_lossy(&output.stdout).into_owned();
            messages::answer(request, line.trim_end())
        })
        .collect()
}
