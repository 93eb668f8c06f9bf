//! A server that answers in German: what its refusals mean is told by its codes and its
//! catalog, so that nothing but the words differs.

use std::time::{Duration, Instant};

use nixops4_resources_tests::messages;
use nixops4_resources_tests::postgres::{Config, GERMAN, Server, speaks_german, version};
use serde_json::json;

use crate::support::{DATABASE, Place, ROLE, config};

const SCHEMA: &str = "postgresql_schema";
const EXTENSION: &str = "postgresql_extension";
const MEMBERSHIP: &str = "postgresql_membership";

/// What fails for good is not tried for ten minutes, and the hint is the same.
#[test]
fn refusals_mean_the_same() {
    // Only the machine's own server is translated.
    if version().is_some() || !speaks_german() {
        return;
    }
    let server = Server::start(&Config {
        lc_messages: Some(GERMAN.to_owned()),
        ..config()
    });
    let place = Place::on(server, false);
    place.sql("create role ordinary login password 'secret'");
    let said = place
        .server
        .sql_as("ordinary", "secret", "postgres", "select 1 / 0")
        .expect_err("nobody can");
    assert!(said.contains("Division durch Null"), "it is German: {said}");

    place.sql("create database shop; create role a; create role b in role a");
    place.server.sql_in("shop", "create schema taken");
    let begun = Instant::now();

    let schema = place.inputs(json!({"database": "shop", "name": "s"}));
    let outputs = place.ensure(SCHEMA, &schema);
    let mut renamed = schema.clone();
    renamed.insert("name".to_owned(), json!("taken"));
    let error = place.update(SCHEMA, &schema, &outputs, &renamed);
    let error = error.expect_err("the name is taken");
    assert!(error.starts_with("/name: "), "{error}");
    assert!(error.contains("existiert bereits"), "{error}");
    assert!(error.contains("hint: choose another name"), "{error}");

    for kind in [DATABASE, ROLE] {
        let thing = place.inputs(json!({"name": "mine"}));
        let outputs = place.ensure(kind, &thing);
        let mut renamed = thing.clone();
        let taken = if kind == ROLE { "a" } else { "shop" };
        renamed.insert("name".to_owned(), json!(taken));
        let error = place.update(kind, &thing, &outputs, &renamed);
        let error = error.expect_err("the name is taken");
        assert!(error.starts_with("/name: "), "{error}");
        assert!(error.contains("hint: choose another name"), "{error}");
    }

    let extension = place.inputs(json!({
        "database": "shop", "name": "citext", "deletionPolicy": "delete",
    }));
    let outputs = place.ensure(EXTENSION, &extension);
    place.server.sql_in("shop", "create table t (a citext)");
    let error = place.destroy(EXTENSION, &extension, &outputs);
    let error = error.expect_err("a table uses it");
    assert!(
        error.contains("drop or change what uses it first"),
        "{error}"
    );
    let needy = place.inputs(json!({"database": "shop", "name": "earthdistance"}));
    let error = place.refused(EXTENSION, &needy, "/cascade");
    assert!(error.contains("(cube)"), "{error}");
    let lost = place.inputs(json!({"database": "shop", "name": "hstore", "schema": "nowhere"}));
    place.refused(EXTENSION, &lost, "/schema");

    let circle = place.inputs(json!({"role": "a", "group": "b"}));
    let error = place.refused(MEMBERSHIP, &circle, "/group");
    assert!(error.contains("out of the circle"), "{error}");

    let elapsed = begun.elapsed();
    assert!(elapsed < Duration::from_mins(2), "it took {elapsed:?}");
    let left = messages::plan(SCHEMA, &schema, &[], None);
    assert_eq!(place.ask(&left).expect("a plan")["action"], "none");
}
