//! Inputs that break whoever quotes by hand, and those that no server takes.

mod rows;

use std::fmt::Write as _;

use nixops4_resources_tests::messages::object;
use nixops4_resources_tests::postgres::lc_messages;
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
            member.extend(object(json!({"name": "member", "memberOf": [name]})));
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

/// The inputs of each kind, and what is wrong in some way.
fn tables() -> [(&'static str, Value, &'static str); 8] {
    let table = json!({
        "database": "shop", "schema": "public", "role": "reader", "objectType": "table",
        "objects": ["t"], "privileges": ["SELECT"],
    });
    let future = json!({
        "database": "shop", "creator": "standing", "role": "reader", "objectType": "table",
        "privileges": ["SELECT"],
    });
    let in_shop = |name| json!({"database": "shop", "name": name});
    let membership = json!({"role": "a", "group": "other"});
    [
        (ROLE, json!({"name": "x"}), rows::ROLES),
        (DATABASE, json!({"name": "x"}), rows::DATABASES),
        ("postgresql_schema", in_shop("x"), rows::SCHEMAS),
        ("postgresql_extension", in_shop("citext"), rows::EXTENSIONS),
        ("postgresql_grant", table, rows::GRANTS),
        ("postgresql_default_privileges", future, rows::DEFAULTS),
        ("postgresql_membership", membership, rows::MEMBERSHIPS),
        ("postgresql_tenant", json!({"name": "y"}), rows::TENANTS),
    ]
}

#[test]
fn what_no_server_takes_is_blamed_on_its_input() {
    let mut place = Place::new();
    // Nothing of this gets better by waiting.
    let timeout = ("NIXOPS4_RESOURCES_TIMEOUT", "20".to_owned());
    place.environment.push(timeout);
    place.sql(
        "create role standing; create role reader; create role other; create role a;
         create role b; create role c; grant a to b; grant b to c",
    );
    place.sql("create database busy");
    place.sql("create database shop");
    let shop = "create schema s; create table t (a int, b int);
                create function f(int) returns int language sql as 'select 1'";
    place.server.sql_in("shop", shop);
    let mut wrong = String::new();
    std::thread::scope(|scope| {
        let session = scope.spawn(|| place.server.sql_in("busy", "select pg_sleep(600)"));
        for (kind, usual, rows) in tables() {
            for row in rows.lines().filter(|line| !line.is_empty()) {
                if let Err(problem) = is_blamed(&place, kind, &usual, row) {
                    writeln!(wrong, "{kind}: {row}: {problem}").expect("it is text");
                }
            }
        }
        place.sql("select pg_cancel_backend(pid) from pg_stat_activity where datname = 'busy'");
        session.join().expect_err("it was cancelled");
    });
    assert_eq!(wrong, "");
    // Nothing came of any of them.
    let left = place.sql(
        "select rolname from pg_roles where rolname in ('x', '') union all
         select datname from pg_database where datname like 'nixops4-staging%'",
    );
    assert_eq!(left, "");
    let left = place.server.sql_in(
        "shop",
        "select nspname from pg_namespace where nspname = 'x' union all
         select extname from pg_extension where extname <> 'plpgsql' union all
         select relacl::text from pg_class where relname = 't' and relacl is not null union all
         select defaclacl::text from pg_default_acl",
    );
    assert_eq!(left, "");
}

/// Whether what is wrong with a row is said as it should be.
fn is_blamed(place: &Place, kind: &str, usual: &Value, row: &str) -> Result<(), String> {
    let (fields, blamed) = row.rsplit_once(" => ").expect("a row has two sides");
    let (pointer, words) = blamed.split_once(": ").expect("an input, and words");
    let fields: Value = serde_json::from_str(fields).expect("the fields are JSON");
    let mut inputs = place.inputs(usual.clone());
    inputs.extend(object(fields));
    match place.create(kind, &inputs) {
        Ok(outputs) => Err(format!("it was taken: {}", Value::from(outputs))),
        Err(error) if error.contains("hunter2") => Err("a secret is repeated".to_owned()),
        Err(error) => {
            // Only the words of the server are in another language.
            let said = error.contains(words) || lc_messages().is_some();
            let is_blamed = error.starts_with(&format!("{pointer}: ")) && said;
            is_blamed.then_some(()).ok_or(error)
        }
    }
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
