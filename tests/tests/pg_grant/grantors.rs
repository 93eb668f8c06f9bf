//! Whose privileges are taken, who grants, and what is gone by then.

use serde_json::json;

use crate::support::{DEFAULTS, GRANT, Place, table, with};

#[test]
fn what_is_gone_needs_no_destroying() {
    let place = Place::new();
    place.sql("create role reader; create table t (a int)");
    let inputs = place.inputs(table(&["SELECT"]));
    let outputs = place.ensure(GRANT, &inputs);
    place.sql("drop table t");
    place
        .destroy(GRANT, &inputs, &outputs)
        .expect("the table is gone");
    place.sql("drop role reader");
    place
        .destroy(GRANT, &inputs, &outputs)
        .expect("the role is gone");
    place.server.sql("drop database app with (force)");
    place
        .destroy(GRANT, &inputs, &outputs)
        .expect("the database is gone");
    let kept = with(&inputs, json!({"deletionPolicy": "retain"}));
    place.server.sql("create database app; create role reader");
    place.sql("create table t ()");
    let outputs = place.ensure(GRANT, &kept);
    let error = place
        .destroy(GRANT, &kept, &outputs)
        .expect_err("nothing to retain");
    assert!(error.contains("can't be retained"), "{error}");
}

#[test]
fn what_was_passed_on_is_taken_only_on_request() {
    let place = Place::new();
    place.sql(
        "create role reader; create role other; create table t (a int);
         grant select on t to reader with grant option; set role reader; grant select on t to other",
    );
    let inputs = place.inputs(table(&["INSERT"]));
    let error = place.create(GRANT, &inputs).expect_err("it was passed on");
    assert!(
        error.starts_with("/cascade:") && error.contains("other"),
        "{error}"
    );
    assert_eq!(place.on_table("t", "reader"), "SELECT*");
    place.ensure(GRANT, &with(&inputs, json!({"cascade": true})));
    assert_eq!(
        (place.on_table("t", "reader"), place.on_table("t", "other")),
        ("INSERT".to_owned(), String::new())
    );
}

#[test]
fn grantors_without_the_schema_and_owners() {
    let place = Place::new();
    place.sql(
        "create role reader; create role other; create schema s; create table s.t (a int);
         grant usage on schema s to other; grant select on s.t to other with grant option;
         set role other; grant select on s.t to reader; reset role; revoke usage on schema s from other",
    );
    let before = place.sql("select nspacl from pg_namespace where nspname = 's'");
    let inputs = with(&place.inputs(table(&["INSERT"])), json!({"schema": "s"}));
    place.ensure(GRANT, &inputs);
    assert_eq!(place.on_table("s.t", "reader"), "INSERT");
    assert_eq!(
        place.sql("select nspacl from pg_namespace where nspname = 's'"),
        before
    );

    // A grantor that the server now takes for the owner: it says so.
    place.sql("set role other; reset role; grant usage on schema s to other; set role other; grant select on s.t to reader; reset role; alter role other superuser");
    let error = place
        .create(GRANT, &inputs)
        .expect_err("nothing can revoke it");
    assert!(
        error.starts_with("/privileges:") && error.contains("\"other\" granted"),
        "{error}"
    );
    assert_eq!(place.on_table("s.t", "reader"), "INSERT SELECT/other");

    // An owner can be bound, and isn't when its grant is destroyed.
    place.sql("create role maker; create table m (); alter table m owner to maker");
    let own = with(
        &place.inputs(table(&["SELECT"])),
        json!({"role": "maker", "objects": ["m"]}),
    );
    let outputs = place.ensure(GRANT, &own);
    assert_eq!(place.on_table("m", "maker"), "SELECT");
    place.destroy(GRANT, &own, &outputs).expect("destroyed");
    assert_eq!(place.on_table("m", "maker"), "SELECT");
}

#[test]
fn an_administrator_without_superuser() {
    let place = Place::restricted();
    place.sql(
        "create schema s authorization maker; set role maker; create table s.t (a int);
         create table s.u (a int); grant usage on schema s to app_owner;
         grant select on s.t to app_owner with grant option; set role app_owner; grant select on s.t to reader",
    );
    let memberships = "select roleid::regrole, member::regrole, to_jsonb(m) - 'oid' from pg_auth_members m order by 1, 2, 3::text";
    let before = place.server.sql(memberships);
    let inputs = with(&place.inputs(table(&["INSERT"])), json!({"schema": "s"}));
    let outputs = place.ensure(GRANT, &inputs);
    assert_eq!(place.on_table("s.t", "reader"), "INSERT");
    let all = place.inputs(json!({
        "role": "reader", "objectType": "table", "schema": "s", "allObjects": true,
        "privileges": ["SELECT", "UPDATE"], "futureBy": ["maker"],
    }));
    let all_outputs = place.ensure(GRANT, &all);
    let defaults = place.inputs(json!({
        "creator": "app_owner", "role": "public", "objectType": "type", "privileges": [],
    }));
    place.ensure(DEFAULTS, &defaults);
    let public = place.inputs(json!({
        "role": "reader", "objectType": "schema", "objects": ["public"], "privileges": ["ALL"],
    }));
    place.ensure(GRANT, &public);
    let mut database = place.inputs(json!({
        "role": "public", "objectType": "database", "objects": ["app"], "privileges": [],
    }));
    database.remove("database");
    place.ensure(GRANT, &database);
    assert_eq!(
        place.sql("select datacl from pg_database where datname = 'app'"),
        "{app_owner=CTc/app_owner}"
    );
    // With CONNECT gone from everybody, the administrator needs its own.
    place.server.sql("grant connect on database app to admin");
    place.destroy(GRANT, &all, &all_outputs).expect("destroyed");
    place.destroy(GRANT, &inputs, &outputs).expect("destroyed");
    assert_eq!(place.on_table("s.t", "reader"), "");
    assert_eq!(place.server.sql(memberships), before);

    // What belongs to a superuser is out of its reach, and it says so.
    place.sql("create table public.t (a int)");
    let error = place
        .create(GRANT, &place.inputs(table(&["SELECT"])))
        .expect_err("not its table");
    assert!(error.starts_with("/connection/user:"), "{error}");
    place.sql("grant select on public.t to admin");
    let error = place
        .create(GRANT, &place.inputs(table(&["SELECT"])))
        .expect_err("not its table");
    assert!(
        error.starts_with("/privileges:") && error.contains("not there after"),
        "{error}"
    );
    place.sql("grant select on public.t to admin with grant option");
    place.ensure(GRANT, &place.inputs(table(&["SELECT"])));
    assert_eq!(place.on_table("public.t", "reader"), "SELECT/admin");
    place.ensure(GRANT, &place.inputs(table(&[])));
    assert_eq!(place.on_table("public.t", "reader"), "");
}
