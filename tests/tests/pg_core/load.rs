//! More processes than connections, and a server that goes away. What many do at
//! once to the same things is tested by `pg_load`.

use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use nixops4_resources_tests::messages;
use nixops4_resources_tests::postgres::{Config, Server};
use nixops4_resources_tests::provider::Provider;
use serde_json::json;

use crate::support::{DATABASE, Place, ROLE, config};

/// How long all of them may take.
const PATIENCE: Duration = Duration::from_mins(8);
/// Longer than anybody waits who gets a turn.
const TURNS: Duration = Duration::from_mins(1);

#[test]
fn five_hundred_processes_share_twenty_connections() {
    let server = Server::start(&Config {
        max_connections: 20,
        log_statements: false,
        ..config()
    });
    let place = Place::on(server, true);
    let inputs = place.inputs(json!({"name": "r"}));
    let running: Vec<_> = (0..500)
        .map(|number| {
            let mut inputs = inputs.clone();
            inputs.insert("name".to_owned(), json!(format!("r{number}")));
            let request = messages::create(ROLE, &inputs, true);
            let mut provider = place.spawn();
            provider.send(request.to_string());
            (request, provider)
        })
        .collect();
    for (request, mut provider) in running {
        let line = provider.receive(PATIENCE).expect("an answer");
        messages::answer(&request, &line).unwrap_or_else(|error| panic!("{error}"));
        drop(provider);
    }
    assert_eq!(
        place.sql("select count(*) from pg_roles where rolname ~ '^r[0-9]+$'"),
        "500"
    );
    let log = place.server.log();
    for refusal in ["too many clients", "remaining connection slots"] {
        assert!(!log.contains(refusal), "{refusal}");
    }
}

/// Eight that never pause, and one that waits for its turn.
#[test]
fn nobody_keeps_a_slot_for_ever_that_another_waits_for() {
    let place = Place::new();
    let request = messages::create(ROLE, &place.inputs(json!({"name": "r"})), true);
    let is_over = AtomicBool::new(false);
    let all_are_busy = Barrier::new(9);
    let ask = |provider: &mut Provider| {
        let line = provider.request(request.to_string());
        messages::answer(&request, &line).unwrap_or_else(|error| panic!("{error}"));
    };
    let again_and_again = |mut provider: Provider| {
        ask(&mut provider);
        all_are_busy.wait();
        while !is_over.load(Ordering::Relaxed) {
            ask(&mut provider);
        }
    };
    let busy: Vec<_> = (0..8).map(|_| place.spawn()).collect();
    thread::scope(|scope| {
        for provider in busy {
            scope.spawn(|| again_and_again(provider));
        }
        all_are_busy.wait();
        let mut ninth = place.spawn();
        ninth.send(request.to_string());
        let answered = ninth.receive(TURNS);
        is_over.store(true, Ordering::Relaxed);
        let line = answered.expect("its turn comes");
        messages::answer(&request, &line).unwrap_or_else(|error| panic!("{error}"));
    });
}

/// A process that keeps its connection gets over a restart between two requests.
#[test]
fn a_kept_connection_is_made_anew() {
    let mut place = Place::new();
    let mut provider = place.spawn();
    for number in 0..3 {
        let inputs = place.inputs(json!({"name": format!("r{number}")}));
        let request = messages::create(ROLE, &inputs, true);
        let line = provider.request(request.to_string());
        messages::answer(&request, &line).unwrap_or_else(|error| panic!("{error}"));
        place.server.restart_immediate();
    }
}

/// DROP DATABASE can't be taken back: what a crash leaves of it can only be
/// dropped.
#[test]
fn what_a_crash_left_of_a_database_is_dropped() {
    Place::both(|place| {
        let inputs = place.inputs(json!({"name": "half", "deletionPolicy": "delete"}));
        let outputs = place.ensure(DATABASE, &inputs);
        // A restricted administrator has made it its own when that happens.
        place.sql(
            "update pg_database set datconnlimit = -2, datallowconn = false where datname = 'half'",
        );
        let error = place.refused(DATABASE, &inputs, "/name");
        assert!(error.contains("its data is gone"), "{error}");
        place
            .destroy(DATABASE, &inputs, &outputs)
            .expect("it is dropped");
        let left = place.sql("select count(*) from pg_database where datname = 'half'");
        assert_eq!(left, "0");
        place.ensure(DATABASE, &inputs);
    });
}
