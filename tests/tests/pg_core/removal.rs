//! Dropping roles that own things, or are granted things, wherever that is.

use nixops4_resources_tests::messages;
use serde_json::json;

use crate::database::killed_at;
use crate::support::{DATABASE, Place, ROLE};

/// A role with things in two databases, and privileges that a third role granted.
fn entangle(place: &Place) {
    for name in ["app", "heir", "third"] {
        place.ensure(
            ROLE,
            &place.inputs(
                json!({"name": name, "reassignOwnedTo": "heir".to_owned().replace(name, "third")}),
            ),
        );
    }
    for name in ["one", "two"] {
        place.ensure(
            DATABASE,
            &place.inputs(json!({"name": name, "ownerRole": "third"})),
        );
        place.server.sql_in(
            name,
            r#"
            create schema app authorization app;
            set role app;
            create table app."it's a ""table""" as select 42 as answer;
            create function app.f() returns int language sql as 'select 1';
            alter default privileges grant select on tables to third;
            reset role;
            set role third;
            create schema third;
            create table third.t (a int, b int);
            create sequence third.s;
            create type third.k as enum ('a');
            create function third.f(integer, text) returns int language sql as 'select 1';
            reset role;
            create role middle_man_"#
                .replace("middle_man_", &format!("middle_{name}"))
                .as_str(),
        );
        place.server.sql_in(
            name,
            &format!(
                r"
            grant usage on schema third to middle_{name};
            set role third;
            grant select on third.t to middle_{name} with grant option;
            grant update (b) on third.t to middle_{name} with grant option;
            grant usage on sequence third.s to middle_{name} with grant option;
            grant usage on type third.k to middle_{name} with grant option;
            grant execute on function third.f to middle_{name} with grant option;
            grant connect on database {name} to middle_{name} with grant option;
            set role middle_{name};
            grant select on third.t to app;
            grant update (b) on third.t to app;
            grant usage on sequence third.s to app;
            grant usage on type third.k to app;
            grant execute on function third.f to app;
            grant connect on database {name} to app with grant option;
            set role app;
            grant connect on database {name} to heir;"
            ),
        );
        if place.restricted && place.server.version() >= 16 {
            place.sql(&format!(
                "grant middle_{name} to admin with admin option, inherit false, set false"
            ));
        }
    }
    place.ensure(
        DATABASE,
        &place.inputs(json!({"name": "three", "ownerRole": "app"})),
    );
}

#[test]
fn what_a_role_owns_goes_to_its_heir() {
    Place::both(|place| {
        entangle(place);
        let inputs = place.inputs(json!({"name": "app"}));
        let outputs = place.ensure(ROLE, &inputs);
        let error = place
            .destroy(ROLE, &inputs, &outputs)
            .expect_err("it owns things");
        for part in [
            r#"it owns database "three"; in database "one": "#,
            r#"table app."it's a ""table"""#,
            "schema app",
            "function app.f()",
            r#"in database "two""#,
            "reassignOwnedTo",
        ] {
            assert!(error.contains(part), "{part}: {error}");
        }

        let inputs = place.inputs(json!({"name": "app", "reassignOwnedTo": "heir"}));
        let destroy = messages::destroy(&messages::resource(ROLE, &inputs, Some(&outputs)));
        for point in ["owned:let-go-in-database", "role:let-go"] {
            killed_at(place, point, &destroy);
            place.nothing_borrowed();
        }
        place.ask(&destroy).expect("it is dropped");
        place.ask(&destroy).expect("it is gone already");
        assert_eq!(
            place.sql("select count(*) from pg_roles where rolname = 'app'"),
            "0"
        );
        for name in ["one", "two"] {
            assert_eq!(
                place.server.sql_in(name, r#"select answer, relowner::regrole from app."it's a ""table""", pg_class where relname like 'it%'"#),
                "42|heir"
            );
            let left = "select count(*) from pg_class, aclexplode(relacl) where relname = 't' and grantor::regrole::text like 'middle%'";
            assert_eq!(place.server.sql_in(name, left), "0");
        }
        assert_eq!(
            place.sql("select datdba::regrole from pg_database where datname = 'three'"),
            "heir"
        );
    });
}

#[test]
fn privileges_alone_are_no_reason_to_keep_a_role() {
    Place::both(|place| {
        for name in ["app", "third"] {
            place.ensure(ROLE, &place.inputs(json!({"name": name})));
        }
        place.ensure(
            DATABASE,
            &place.inputs(json!({"name": "one", "ownerRole": "third"})),
        );
        place.server.sql_in(
            "one",
            "set role third; create schema s; grant all on schema s to app;
            alter default privileges in schema s grant select on tables to app;
            grant temporary on database one to app",
        );
        let inputs = place.inputs(json!({"name": "app"}));
        let outputs = place.ensure(ROLE, &inputs);
        place
            .destroy(ROLE, &inputs, &outputs)
            .expect("it is dropped");
        assert_eq!(
            place
                .server
                .sql_in("one", "select count(*) from pg_default_acl"),
            "0"
        );
    });
}

#[test]
fn where_nobody_gets_in_nothing_is_let_go() {
    let place = Place::new();
    let inputs = place.inputs(json!({"name": "app", "reassignOwnedTo": "postgres"}));
    let outputs = place.ensure(ROLE, &inputs);
    place.sql("create database closed");
    place
        .server
        .sql_in("closed", "create schema s authorization app");
    place.sql("alter database closed allow_connections false");
    let error = place
        .destroy(ROLE, &inputs, &outputs)
        .expect_err("nobody gets in");
    assert!(
        error.contains(r#"in database "closed", which takes no connections"#),
        "{error}"
    );
    place.sql("alter database closed allow_connections true");
    place
        .destroy(ROLE, &inputs, &outputs)
        .expect("it is dropped");
}

#[test]
fn an_heir_that_is_not_there() {
    let place = Place::new();
    let inputs = place.inputs(json!({"name": "app", "reassignOwnedTo": "nobody"}));
    let outputs = place.ensure(ROLE, &inputs);
    place.sql("create schema s authorization app");
    let error = place
        .destroy(ROLE, &inputs, &outputs)
        .expect_err("there is no such role");
    assert!(error.starts_with("/reassignOwnedTo: "), "{error}");
    assert!(error.contains(r#"role "nobody" does not exist"#), "{error}");
    assert_eq!(
        place.sql("select count(*) from pg_namespace where nspname = 's'"),
        "1"
    );
}
