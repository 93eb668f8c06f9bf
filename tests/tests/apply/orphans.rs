//! What is in no state is found in every database of a server and in every store, and
//! where nobody could look is told.

use std::process::Output;

use nixops4_resources_tests::postgres::Config;
use serde_json::Value;

use super::{Site, in_project, summary, text};

/// What is shown before anything is removed.
fn removal(output: &Output) -> Value {
    let stdout = text(&output.stdout);
    let events = stdout
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"));
    let mut removals = events.filter(|event: &Value| event["event"] == "removal");
    removals.next().expect(&stdout)["plan"].clone()
}

#[test]
fn orphans_are_found_in_every_database_and_every_store() {
    let site = Site::new(&Config::default());
    let work = site.sandbox.work();
    let stores = format!(
        "main=sqlite:{} other=sqlite:{} gone=sqlite:{}",
        site.store().display(),
        work.join("other.db").display(),
        work.join("gone.db").display()
    );
    let run = |step: &str, arguments: &[&str]| {
        let file = in_project("tests/tests/apply/orphans.nix");
        let set = [("STEP", step), ("NIXOPS4_SECRETS_STORES", stores.as_str())];
        site.run_with(&file, arguments, &set)
    };
    summary(&run("1", &["apply"]));
    let rm = ["state", "rm", "--yes", "lost", "lostSecret", "role"];
    let forgotten = run("1", &rm);
    assert!(forgotten.status.success(), "{}", text(&forgotten.stderr));
    site.server
        .sql("CREATE DATABASE closed ALLOW_CONNECTIONS false");

    let shown = run("2", &["gc", "--orphans"]);
    let plan = removal(&shown);
    let all = plan.to_string();
    let found: Vec<&str> = plan["resources"]
        .as_array()
        .expect("resources")
        .iter()
        .filter_map(|it| it["path"][0].as_str())
        .collect();
    assert_eq!(found.len(), 2, "{all}");
    let is_found = |parts: [&str; 3]| {
        found
            .iter()
            .any(|path| parts.iter().all(|part| path.contains(part)))
    };
    assert!(is_found(["postgresql_schema", "two", "lost"]), "{all}");
    assert!(is_found(["secrets_token", "other", "lost"]), "{all}");
    let is_noted = |parts: &[&str]| {
        let notes = plan["notes"].as_array().expect("notes");
        let mut notes = notes.iter().filter_map(Value::as_str);
        notes.any(|note| parts.iter().all(|part| note.contains(part)))
    };
    for parts in [
        // Of no kind that a member or a record has: told of, and left alone.
        &["postgresql_role", "lonely", "carries our mark"][..],
        &[
            "database \"closed\"",
            "ALLOW_CONNECTIONS",
            "postgresql_schema",
        ],
        &["secrets store \"gone\"", "there is none", "secrets_token"],
        &["it was not searched for", "secrets_sealed"],
    ] {
        assert!(is_noted(parts), "{parts:?}: {all}");
    }

    summary(&run("2", &["gc", "--orphans", "--yes"]));
    // Nobody said that its data may go, so that it is only out of service.
    let is_retained = |database: &str, schema: &str| {
        let sql = format!(
            "SELECT obj_description(oid, 'pg_namespace') LIKE '%retained-since%'
             FROM pg_namespace WHERE nspname = '{schema}'"
        );
        site.server.sql_in(database, &sql)
    };
    assert_eq!(is_retained("one", "kept"), "f");
    assert_eq!(is_retained("two", "lost"), "t");
    let again = removal(&run("2", &["gc", "--orphans", "--yes"]));
    assert_eq!(again["resources"], serde_json::json!([]), "{again}");
    let retained = again["retained"].to_string();
    assert!(retained.contains("two"), "{again}");
    assert_eq!(
        site.server
            .sql("SELECT count(*) FROM pg_roles WHERE rolname = 'lonely'"),
        "1"
    );
}
