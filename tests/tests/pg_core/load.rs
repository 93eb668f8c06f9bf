//! Many processes at once, and a server that goes away.

use std::time::{Duration, Instant};

use nixops4_resources_tests::messages;
use nixops4_resources_tests::postgres::{Config, Server};
use serde_json::json;

use crate::support::{DATABASE, Place, ROLE, config};

/// How long all of them may take.
const PATIENCE: Duration = Duration::from_mins(8);

#[test]
fn five_hundred_processes_share_twenty_connections() {
    let server = Server::start(&Config {
        max_connections: 20,
        log_statements: false,
        ..config()
    });
    let place = Place::on(server, true);
    let begun = Instant::now();
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
    println!("500 processes took {:?}", begun.elapsed());
    assert_eq!(
        place.sql("select count(*) from pg_roles where rolname ~ '^r[0-9]+$'"),
        "500"
    );
    let refused = place.server.log().matches("too many clients").count()
        + place
            .server
            .log()
            .matches("remaining connection slots")
            .count();
    println!("{refused} connections were refused");
}

#[test]
fn a_server_that_restarts_loses_nothing() {
    let mut place = Place::new();
    for round in 0..3 {
        let running: Vec<_> = (0..12)
            .map(|number| {
                let name = format!("x{round}_{number}");
                let (kind, inputs) = if number % 3 == 0 {
                    (DATABASE, place.inputs(json!({"name": name})))
                } else {
                    (
                        ROLE,
                        place.inputs(json!({"name": name, "settings": {"jit": "off"}})),
                    )
                };
                let request = messages::create(kind, &inputs, true);
                let mut provider = place.spawn();
                provider.send(request.to_string());
                (kind, inputs, request, provider)
            })
            .collect();
        std::thread::sleep(Duration::from_millis(150 + 200 * round));
        place.server.restart_immediate();
        for (kind, inputs, request, mut provider) in running {
            let line = provider.receive(PATIENCE).expect("an answer");
            messages::answer(&request, &line).unwrap_or_else(|error| panic!("{error}"));
            drop(provider);
            place.ensure(kind, &inputs);
        }
    }
    assert_eq!(
        place.sql("select count(*) from pg_roles where rolname like 'x%'"),
        "24"
    );
    assert_eq!(
        place.sql(
            "select count(*) from pg_database where datname like 'x%' or datname like 'nixops4%'"
        ),
        "12"
    );
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
