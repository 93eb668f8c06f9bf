//! Many at once, and killed in between.

use std::thread;

use nixops4_resources_tests::binaries;
use nixops4_resources_tests::messages::{self, Object};
use nixops4_resources_tests::provider::killed_at;
use serde_json::json;

use crate::support::{DEFAULTS, GRANT, Place, table, with};

fn at_once(place: &Place, work: &[(&str, Object)]) -> Vec<Result<Object, String>> {
    thread::scope(|scope| {
        let running: Vec<_> = work
            .iter()
            .map(|(kind, inputs)| scope.spawn(move || place.create(kind, inputs)))
            .collect();
        running
            .into_iter()
            .map(|one| one.join().expect("a thread"))
            .collect()
    })
}

/// Processes that grant on the same objects at once lose nothing.
fn many_at_once(place: &Place) {
    let words = ["SELECT", "INSERT", "UPDATE", "DELETE"];
    let work: Vec<_> = (0..16)
        .flat_map(|number| {
            let role = format!("r{number}");
            place.server.sql(&format!("create role {role}"));
            let grant = with(
                &place.inputs(table(&[words[number % 4]])),
                json!({"role": role, "schema": "s", "objects": ["t", "u"]}),
            );
            let mut database = place.inputs(json!({
                "role": role, "objectType": "database", "objects": ["app"], "privileges": ["CONNECT"],
            }));
            database.remove("database");
            let adds = with(
                &place.inputs(table(&[words[number % 4]])),
                json!({"role": "reader", "schema": "s", "objects": ["t"], "mode": "additive"}),
            );
            let defaults = place.inputs(json!({
                "creator": "maker", "schema": "s", "role": role, "objectType": "table",
                "privileges": [words[number % 4]],
            }));
            [(GRANT, grant), (GRANT, database), (GRANT, adds), (DEFAULTS, defaults)]
        })
        .collect();
    for result in work.chunks(16).flat_map(|work| at_once(place, work)) {
        result.unwrap_or_else(|error| panic!("{error}"));
    }
    for (kind, inputs) in &work {
        assert_eq!(
            place.plan(kind, inputs),
            ("none".to_owned(), vec![]),
            "{inputs:?}"
        );
    }
    assert_eq!(
        place.on_table("s.t", "reader"),
        "DELETE INSERT SELECT UPDATE"
    );
    for number in 0..16 {
        for name in ["s.t", "s.u"] {
            assert_eq!(
                place.on_table(name, &format!("r{number}")),
                words[number % 4]
            );
        }
    }
}

#[test]
fn sixteen_at_once_lose_nothing() {
    let place = Place::new();
    place.sql("create role reader; create role maker; create schema s authorization maker; set role maker; create table s.t (); create table s.u ()");
    many_at_once(&place);
}

#[test]
fn sixteen_at_once_without_superuser_lose_nothing() {
    let place = Place::restricted();
    place.sql("create schema s authorization maker; set role maker; create table s.t (); create table s.u ()");
    many_at_once(&place);
    let left = "select count(*) from pg_auth_members where member = 'admin'::regrole and
        (not to_jsonb(pg_auth_members) ? 'set_option' or grantor = member)";
    assert_eq!(place.server.sql(left), "0");
}

#[test]
fn every_process_dies_somewhere_and_is_run_again() {
    let place = Place::new();
    place.sql("create role reader; create table t (); grant delete on t to reader");
    let inputs = place.inputs(table(&["SELECT", "INSERT"]));
    let request = messages::create(GRANT, &inputs, true);
    for (point, left) in [
        ("engine:observed", "DELETE"),
        // Nothing of a transaction is left by halves.
        ("privileges:set", "DELETE"),
        ("engine:applied-0", "INSERT SELECT"),
        ("engine:verified", "INSERT SELECT"),
    ] {
        place.sql("revoke all on t from reader; grant delete on t to reader");
        let command = place
            .sandbox
            .command(binaries::path("nixops4-resources-postgresql"));
        let _ended = killed_at(command, point, 0, request.to_string());
        assert_eq!(place.on_table("t", "reader"), left, "{point}");
        place.ensure(GRANT, &inputs);
        assert_eq!(place.on_table("t", "reader"), "INSERT SELECT");
    }
}
