//! Inputs that break whoever quotes by hand, and those that no server takes.

use serde_json::{Value, json};

use crate::support::{DATABASE, Place, ROLE};

const HOSTILE: [&str; 12] = [
    r#"a"b"#,
    "it's",
    r#"x"; DROP ROLE postgres; --"#,
    "$$select$$",
    "$1",
    "line\nbreak",
    r"back\slash",
    "Ünïcödé 名前 🐘",
    "select",
    " ",
    "%I%s%%",
    "sixty-three-bytes-long-sixty-three-bytes-long-sixty-three-bytes",
];

#[test]
fn names_and_texts_are_taken_as_they_are() {
    Place::both(|place| {
        for name in HOSTILE {
            let role = place.inputs(json!({
                "name": name, "comment": name, "settings": {"search_path": format!("\"{}\"", name.replace('"', "\"\"")), "application_name": "x"},
            }));
            let outputs = place.ensure(ROLE, &role);
            assert_eq!(outputs["name"], name);
            let mut member = role.clone();
            member.extend(nixops4_resources_tests::messages::object(
                json!({"name": "member", "memberOf": [name]}),
            ));
            place.ensure(ROLE, &member);
            let database = place.inputs(json!({
                "name": name, "ownerRole": name, "comment": name, "revokePublic": true, "extensions": ["citext"],
                "settings": {"application_name": "it's"},
            }));
            assert_eq!(place.ensure(DATABASE, &database)["name"], name);
        }
        assert_eq!(
            place.sql("select count(*) from pg_roles where rolname = 'postgres'"),
            "1"
        );
    });
}

/// A kind, fields, the input to blame, and what the error says of it.
type Row = (&'static str, Value, &'static str, &'static str);

fn rows() -> Vec<Row> {
    let long = "x".repeat(64);
    vec![
        (ROLE, json!({"name": ""}), "/name", "can't be empty"),
        (ROLE, json!({"name": "a\0b"}), "/name", "NUL"),
        (ROLE, json!({"name": long}), "/name", "64 bytes"),
        (ROLE, json!({"name": "ü".repeat(32)}), "/name", "64 bytes"),
        (ROLE, json!({"name": 5}), "/name", "expected a string"),
        (ROLE, json!({"name": ["x"]}), "/name", "expected a string"),
        (ROLE, json!({"name": "pg_mine"}), "/name", "keeps the name"),
        (ROLE, json!({"name": "public"}), "/name", "keeps the name"),
        (ROLE, json!({"name": "none"}), "/name", "keeps the name"),
        (ROLE, json!({"nmae": "x"}), "/nmae", "unknown field"),
        (
            ROLE,
            json!({"login": "yes"}),
            "/login",
            "expected a boolean",
        ),
        (
            ROLE,
            json!({"connectionLimit": -2}),
            "/connectionLimit",
            "-1 for no limit",
        ),
        (
            ROLE,
            json!({"connectionLimit": 3_000_000_000_u32}),
            "/connectionLimit",
            "invalid value",
        ),
        (
            ROLE,
            json!({"validUntil": "tomorrow"}),
            "/validUntil",
            "write one like",
        ),
        (
            ROLE,
            json!({"validUntil": "2030-02-30T00:00:00Z"}),
            "/validUntil",
            "write one like",
        ),
        (
            ROLE,
            json!({"validUntil": "2030-01-01'; DROP ROLE postgres; --"}),
            "/validUntil",
            "write one like",
        ),
        (
            ROLE,
            json!({"memberOf": ["x"]}),
            "/memberOf",
            "member of itself",
        ),
        (
            ROLE,
            json!({"memberOf": ["missing"]}),
            "/memberOf",
            "declare the role that is missing",
        ),
        (
            ROLE,
            json!({"memberOf": ["a", 1]}),
            "/memberOf/1",
            "expected a string",
        ),
        (ROLE, json!({"memberOf": [long]}), "/memberOf/0", "64 bytes"),
        (
            ROLE,
            json!({"reassignOwnedTo": "x"}),
            "/reassignOwnedTo",
            "can't keep what it owns",
        ),
        (
            ROLE,
            json!({"verifyPassword": true}),
            "/verifyPassword",
            "no password",
        ),
        (
            ROLE,
            json!({"password": "hunter2-hunter2"}),
            "/password",
            "by reference",
        ),
        (
            ROLE,
            json!({"password": {"file": "/nonexistent/secret"}}),
            "/password/file",
            "unable to read",
        ),
        (
            ROLE,
            json!({"settings": {"no_such_setting": "1"}}),
            "/settings",
            "unrecognized configuration parameter",
        ),
        (
            ROLE,
            json!({"settings": {"work_mem": "a lot"}}),
            "/settings",
            "invalid value for parameter",
        ),
        (
            ROLE,
            json!({"settings": {"max_connections": 5}}),
            "/settings",
            "cannot be changed",
        ),
        (
            ROLE,
            json!({"settings": {"": "1"}}),
            "/settings/",
            "can't be empty",
        ),
        (
            ROLE,
            json!({"settings": {"a/b~c": "\0"}}),
            "/settings/a~1b~0c",
            "NUL",
        ),
        (
            ROLE,
            json!({"settings": {"work_mem": ["1MB"]}}),
            "/settings/work_mem",
            "the value of a setting is",
        ),
        (
            ROLE,
            json!({"settings": {"jit": "on", "JIT": "off"}}),
            "/settings/jit",
            "same setting",
        ),
        (
            ROLE,
            json!({"settingsInDatabase": {"missing": {"jit": "on"}}}),
            "/settingsInDatabase/missing",
            "does not exist",
        ),
        (
            ROLE,
            json!({"settingsInDatabase": {"": {"jit": "on"}}}),
            "/settingsInDatabase/",
            "can't be empty",
        ),
        (ROLE, json!({"comment": "a\0b"}), "/comment", "NUL"),
        (
            ROLE,
            json!({"comment": "a\nnixops4-resources: owner=other"}),
            "/comment",
            "mark of ownership",
        ),
        (
            ROLE,
            json!({"owner": "no spaces"}),
            "/owner",
            "can't be an owner",
        ),
        (
            ROLE,
            json!({"name": "standing"}),
            "/adopt",
            "carries no mark",
        ),
        (
            DATABASE,
            json!({"name": "postgres"}),
            "/adopt",
            "carries no mark",
        ),
        (
            DATABASE,
            json!({"ownerRole": "missing"}),
            "/ownerRole",
            r#"role "missing" does not exist"#,
        ),
        (
            DATABASE,
            json!({"template": "missing"}),
            "/template",
            "does not exist",
        ),
        (
            DATABASE,
            json!({"template": "x"}),
            "/template",
            "copy of itself",
        ),
        (
            DATABASE,
            json!({"template": "busy"}),
            "/template",
            "being accessed by other users",
        ),
        (
            DATABASE,
            json!({"encoding": "KLINGON"}),
            "/encoding",
            "not a valid encoding name",
        ),
        (
            DATABASE,
            json!({"encoding": "LATIN1", "locale": "C.UTF-8"}),
            "/encoding",
            "does not match locale",
        ),
        (
            DATABASE,
            json!({"encoding": "LATIN1", "locale": "C", "template": "template1"}),
            "/encoding",
            "incompatible with the encoding",
        ),
        (
            DATABASE,
            json!({"encoding": ""}),
            "/encoding",
            "can't be empty",
        ),
        (
            DATABASE,
            json!({"locale": "xx_XX.UTF-8"}),
            "/locale",
            "invalid",
        ),
        (
            DATABASE,
            json!({"collation": "'; DROP DATABASE busy; --"}),
            "/collation",
            "invalid",
        ),
        (
            DATABASE,
            json!({"icuLocale": "de"}),
            "/icuLocale",
            "localeProvider = \"icu\"",
        ),
        (
            DATABASE,
            json!({"localeProvider": "magic"}),
            "/localeProvider",
            "unknown variant",
        ),
        (
            DATABASE,
            json!({"tablespace": "missing"}),
            "/tablespace",
            "does not exist",
        ),
        (
            DATABASE,
            json!({"settings": {"work_mem": "-7"}}),
            "/settings",
            "outside the valid range",
        ),
        (
            DATABASE,
            json!({"extensions": ["no_such_extension"]}),
            "/extensions",
            "no extension \"no_such_extension\"",
        ),
        (
            DATABASE,
            json!({"extensions": ["citext"], "allowConnections": false}),
            "/extensions",
            "takes no connections",
        ),
        (
            DATABASE,
            json!({"connection": {"host": ""}}),
            "/connection/host",
            "can't be empty",
        ),
        (
            DATABASE,
            json!({"connection": {"host": "127.0.0.1", "port": 70000}}),
            "/connection/port",
            "invalid value",
        ),
    ]
}

#[test]
fn what_no_server_takes_is_blamed_on_its_input() {
    let place = Place::new();
    place.sql("create role standing; create database busy");
    std::thread::scope(|scope| {
        let session = scope.spawn(|| place.server.psql_in("busy", "select pg_sleep(120)"));
        let rows = rows();
        assert!(rows.len() >= 40);
        for (kind, fields, pointer, problem) in rows {
            let shown = fields.to_string();
            let mut inputs = place.inputs(json!({"name": "x"}));
            inputs.extend(nixops4_resources_tests::messages::object(fields));
            let error = place.refused(kind, &inputs, pointer);
            assert!(
                error.contains(problem),
                "{shown}: {problem} is not in: {error}"
            );
            assert!(!error.contains("hunter2"), "{error}");
        }
        place.sql("select pg_cancel_backend(pid) from pg_stat_activity where datname = 'busy'");
        session.join().expect_err("it was cancelled");
    });
    // Nothing came of any of them but the database whose extension isn't there.
    assert_eq!(
        place.sql("select count(*) from pg_roles where rolname in ('x', '')"),
        "0"
    );
    assert_eq!(
        place.sql("select count(*) from pg_database where datname like 'nixops4-staging%'"),
        "0"
    );
}

#[test]
fn roles_that_are_members_of_each_other() {
    Place::both(|place| {
        place.ensure(ROLE, &place.inputs(json!({"name": "a"})));
        place.ensure(ROLE, &place.inputs(json!({"name": "b", "memberOf": ["a"]})));
        place.ensure(ROLE, &place.inputs(json!({"name": "c", "memberOf": ["b"]})));
        let error = place.refused(
            ROLE,
            &place.inputs(json!({"name": "a", "memberOf": ["c"]})),
            "/memberOf",
        );
        assert!(error.contains("can't be members of each other"), "{error}");
    });
}
