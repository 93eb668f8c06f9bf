//! Names that break quoting, and inputs that are missing or wrong.

use serde_json::json;

use crate::support::{DEFAULTS, GRANT, Place, table, with};

/// Names that break whoever quotes by hand.
const HOSTILE: [&str; 8] = [
    r#"a"b"#,
    "it's",
    r#"x"; DROP ROLE postgres; --"#,
    "$$select$$",
    "line\nbreak",
    r"back\slash",
    "Ünïcödé 名前",
    "select",
];

#[test]
fn hostile_names() {
    let place = Place::new();
    let ident = |name: &str| format!("\"{}\"", name.replace('"', "\"\""));
    for (number, name) in HOSTILE.iter().enumerate() {
        let (quoted, other) = (ident(name), HOSTILE[(number + 1) % HOSTILE.len()]);
        place.sql(&format!(
            "create role {quoted}; create schema {quoted}; create table {quoted}.{quoted} ({quoted} int);
             create function {quoted}.{quoted}(int) returns int language sql as 'select 1'"
        ));
        place.server.sql(&format!("create database {quoted}"));
        let signature = if name.starts_with('"') {
            ident(name)
        } else {
            (*name).to_owned()
        };
        for (kind, more) in [
            (
                "database",
                json!({"objects": [name], "privileges": ["CREATE"]}),
            ),
            (
                "schema",
                json!({"database": "app", "objects": [name], "privileges": ["ALL"]}),
            ),
            (
                "table",
                json!({"database": "app", "schema": name, "objects": [name], "privileges": ["ALL"]}),
            ),
            (
                "table",
                json!({"database": "app", "schema": name, "objects": [name], "columns": [name], "privileges": ["ALL"]}),
            ),
            (
                "table",
                json!({"database": "app", "schema": name, "allObjects": true, "futureBy": [name], "privileges": ["ALL"]}),
            ),
            (
                "function",
                json!({"database": "app", "schema": name, "objects": [format!("{signature}(integer)")], "privileges": ["ALL"]}),
            ),
        ] {
            let mut inputs = with(
                &place.inputs(more),
                json!({"objectType": kind, "role": name}),
            );
            if kind == "database" {
                inputs.remove("database");
            }
            let outputs = place.ensure(GRANT, &inputs);
            place
                .destroy(GRANT, &inputs, &outputs)
                .unwrap_or_else(|error| panic!("{name}: {error}"));
        }
        let defaults = place.inputs(json!({
            "creator": name, "schema": name, "role": name, "objectType": "type", "privileges": ["USAGE"],
        }));
        place.ensure(DEFAULTS, &defaults);
        // As a grantor, too.
        let (next, table) = (ident(other), format!("{quoted}.{quoted}"));
        if number + 1 < HOSTILE.len() {
            place.sql(&format!("create role {next}; grant usage on schema {quoted} to {quoted}; grant select on {table} to {quoted} with grant option; set role {quoted}; grant select on {table} to {next}"));
            let revoked = place.inputs(json!({
                "role": other, "objectType": "table", "schema": name, "objects": [name], "privileges": [],
            }));
            place.ensure(GRANT, &revoked);
            place.sql(&format!("drop role {next}"));
        }
    }
    assert_eq!(
        place
            .server
            .sql("select count(*) from pg_roles where rolname = 'postgres'"),
        "1"
    );
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table of cases")]
fn what_is_missing_or_wrong_names_its_input() {
    let place = Place::new();
    place.sql("create role reader; create schema s; create table t (a int); create sequence q");
    let long = "x".repeat(64);
    for (more, pointer, says) in [
        (json!({"role": "nobody"}), "/role:", "nobody"),
        (json!({"role": "PUBLIC"}), "/role:", "\"public\""),
        (json!({"role": "Reader"}), "/role:", "Reader"),
        (json!({"database": "nowhere"}), "/database:", "nowhere"),
        (json!({"database": null}), "/database:", "say in which"),
        (json!({"schema": "nowhere"}), "/schema:", "nowhere"),
        (json!({"schema": null}), "/schema:", "say in which"),
        (json!({"objects": ["t", "gone"]}), "/objects/1:", "gone"),
        (
            json!({"objects": ["T"]}),
            "/objects/0:",
            "upper and lower case",
        ),
        (json!({"objects": ["q"]}), "/objects/0:", "has no table"),
        (json!({"objects": ["t", "t"]}), "/objects/1:", "twice"),
        (json!({"objects": []}), "/objects:", "allObjects"),
        (json!({"objects": [long]}), "/objects/0:", "64 bytes"),
        (json!({"objects": ["a\u{0}b"]}), "/objects/0:", "NUL"),
        (json!({"objects": [""]}), "/objects/0:", "empty"),
        (json!({"allObjects": true}), "/allObjects:", "both"),
        (json!({"futureBy": ["reader"]}), "/futureBy:", "allObjects"),
        (
            json!({"objects": null, "allObjects": true, "futureBy": ["reader", "nobody"]}),
            "/futureBy/1:",
            "nobody",
        ),
        (json!({"columns": ["a", "z"]}), "/columns/1:", "\"z\""),
        (
            json!({"columns": ["a"], "privileges": ["DELETE"]}),
            "/privileges:",
            "columns have SELECT",
        ),
        (
            json!({"privileges": ["EXECUTE"]}),
            "/privileges:",
            "TRUNCATE",
        ),
        (
            json!({"privileges": ["select"]}),
            "/privileges/0:",
            "SELECT",
        ),
        (
            json!({"privileges": [], "mode": "additive"}),
            "/privileges:",
            "nothing to add",
        ),
        (
            json!({"role": "public", "grantOption": true}),
            "/grantOption:",
            "PUBLIC",
        ),
        (
            json!({"objectType": "schema", "objects": ["s"], "privileges": ["USAGE"]}),
            "/schema:",
            "no schema",
        ),
        (
            json!({"objectType": "database", "schema": null}),
            "/database:",
            "no database",
        ),
        (
            json!({"objectType": "language", "schema": null, "objects": null, "allObjects": true, "privileges": ["USAGE"]}),
            "/allObjects:",
            "one by one",
        ),
        (
            json!({"objectType": "language", "schema": null, "objects": ["perl"], "privileges": ["USAGE"]}),
            "/objects/0:",
            "perl",
        ),
        (
            json!({"objectType": "function", "objects": ["f"], "privileges": ["EXECUTE"]}),
            "/objects/0:",
            "argument types",
        ),
        (
            json!({"objectType": "function", "objects": ["f(integer)"], "privileges": ["EXECUTE"]}),
            "/objects/0:",
            "no function",
        ),
        (
            json!({"objectType": "function", "objects": ["f(no_such_type)"], "privileges": ["EXECUTE"]}),
            "/objects/0:",
            "no function",
        ),
        (
            json!({"objectType": "function", "objects": ["f(nowhere.x)"], "privileges": ["EXECUTE"]}),
            "/objects/0:",
            "no function",
        ),
        (
            json!({"objectType": "function", "objects": ["f(integer); drop table t; --)"], "privileges": ["EXECUTE"]}),
            "/objects/0:",
            "no function",
        ),
        (
            json!({"objectType": "type", "objects": ["t"], "privileges": ["USAGE"]}),
            "/objects/0:",
            "has no type",
        ),
        (json!({"colour": 1}), "/colour:", "unknown field"),
    ] {
        let inputs = with(&place.inputs(table(&["SELECT"])), more);
        let error = place.create(GRANT, &inputs).expect_err(pointer);
        assert!(
            error.starts_with(pointer) && error.contains(says),
            "{pointer} {says}: {error}"
        );
    }
    assert_eq!(place.on_table("t", "reader"), "");
    // What isn't there yet may be made by the same apply: a plan is no error.
    let early = with(
        &place.inputs(table(&["SELECT"])),
        json!({"role": "nobody", "database": "nowhere"}),
    );
    assert_eq!(place.plan(GRANT, &early).0, "create");
}
