//! Which privileges are there: exactly what is declared, or no less.

use nixops4_resources_tests::messages::{self, object};
use serde_json::json;

use crate::support::{GRANT, Place, paths, table, with};

#[test]
fn authoritative_is_exact_and_knows_grantors() {
    let place = Place::new();
    place.sql("create role reader; create role other; create table t (a int, b int)");
    let inputs = place.inputs(table(&["SELECT", "INSERT"]));
    assert_eq!(place.plan(GRANT, &inputs).0, "create");
    let outputs = place.ensure(GRANT, &inputs);
    assert_eq!(outputs["privileges"], json!(["SELECT", "INSERT"]));
    assert_eq!(outputs["database"], "app");
    assert_eq!(place.on_table("t", "reader"), "INSERT SELECT");

    // Drift of each sort is seen and repaired, another grantor's included.
    place.sql(
        "grant select, update on t to other with grant option;
         set role other; grant select, update on t to reader; reset role;
         revoke insert on t from reader; grant delete on t to reader;
         grant select on t to reader with grant option; grant trigger on t to public",
    );
    assert_eq!(
        place.on_table("t", "reader"),
        "DELETE SELECT/other SELECT* UPDATE/other"
    );
    let plan = place
        .ask(&messages::plan(GRANT, &inputs, &[], None))
        .expect("a plan");
    assert_eq!(
        paths(&plan),
        ("update".to_owned(), vec!["/privileges".to_owned()])
    );
    assert_eq!(
        plan["changes"][0]["before"]["known"][r#"table "public"."t""#],
        json!([
            "DELETE",
            r#"SELECT GRANTED BY "other""#,
            "SELECT WITH GRANT OPTION",
            r#"UPDATE GRANTED BY "other""#
        ]),
        "{plan}"
    );
    place.ensure(GRANT, &inputs);
    assert_eq!(place.on_table("t", "reader"), "INSERT SELECT/other SELECT");
    assert_eq!(place.on_table("t", "other"), "SELECT* UPDATE*");
    assert_eq!(place.on_table("t", "public"), "TRIGGER");

    // The grant option comes and goes.
    let passing = with(&inputs, json!({"grantOption": true}));
    assert_eq!(place.plan(GRANT, &passing).1, ["/grantOption"]);
    place.ensure(GRANT, &passing);
    assert_eq!(
        place.on_table("t", "reader"),
        "INSERT* SELECT/other SELECT*"
    );
    place.ensure(GRANT, &inputs);
    assert_eq!(place.on_table("t", "reader"), "INSERT SELECT/other SELECT");

    // Shrinking revokes, without any state.
    let fewer = with(&inputs, json!({"privileges": ["INSERT"]}));
    place.ensure(GRANT, &fewer);
    assert_eq!(place.on_table("t", "reader"), "INSERT");
    let none = with(&inputs, json!({"privileges": []}));
    place.ensure(GRANT, &none);
    assert_eq!(place.on_table("t", "reader"), "");

    let outputs = place.ensure(GRANT, &inputs);
    place.destroy(GRANT, &inputs, &outputs).expect("destroyed");
    place
        .destroy(GRANT, &inputs, &outputs)
        .expect("destroyed twice");
    assert_eq!(place.on_table("t", "reader"), "");
    assert_eq!(place.on_table("t", "other"), "SELECT* UPDATE*");
}

#[test]
fn all_is_what_the_server_has() {
    let place = Place::new();
    place.sql("create role reader; create table t (a int)");
    let inputs = place.inputs(table(&["ALL"]));
    let outputs = place.ensure(GRANT, &inputs);
    let since_17 = place.server.version() >= 17;
    assert_eq!(
        outputs["privileges"].as_array().map(Vec::len),
        Some(if since_17 { 8 } else { 7 })
    );
    place.sql("revoke trigger on t from reader");
    assert_eq!(place.plan(GRANT, &inputs).0, "update");
    place.ensure(GRANT, &inputs);

    let maintain = place.inputs(table(&["MAINTAIN"]));
    match place.create(GRANT, &maintain) {
        Ok(_) => assert_eq!(
            (place.on_table("t", "reader").as_str(), since_17),
            ("MAINTAIN", true)
        ),
        Err(error) => {
            assert!(!since_17, "{error}");
            assert!(
                error.starts_with("/privileges:") && error.contains("MAINTAIN"),
                "{error}"
            );
        }
    }
}

#[test]
fn additive_touches_nothing_else_and_shrinks_by_its_record() {
    let place = Place::new();
    place.sql("create role reader; create table t (a int); grant delete on t to reader");
    let wide = place.inputs(
        with(
            &object(table(&["SELECT", "INSERT"])),
            json!({"mode": "additive"}),
        )
        .into(),
    );
    let outputs = place.ensure(GRANT, &wide);
    assert_eq!(place.on_table("t", "reader"), "DELETE INSERT SELECT");
    let narrow = with(&wide, json!({"privileges": ["SELECT"]}));
    let resource = messages::resource(GRANT, &wide, Some(&outputs));
    let plan = place
        .ask(&messages::plan(GRANT, &narrow, &[], Some(&resource)))
        .expect("a plan");
    assert_eq!(
        paths(&plan),
        ("update".to_owned(), vec!["/privileges".to_owned()])
    );
    let outputs = place
        .update(GRANT, (&wide, &outputs), &narrow)
        .expect("updated");
    assert_eq!(place.on_table("t", "reader"), "DELETE SELECT");
    place.destroy(GRANT, &narrow, &outputs).expect("destroyed");
    assert_eq!(place.on_table("t", "reader"), "DELETE");
    // What is still there by other means is no reason to fail.
    place
        .destroy(GRANT, &narrow, &outputs)
        .expect("destroyed twice");
}

#[test]
fn a_change_of_role_or_objects_takes_back_what_was_declared() {
    let place = Place::new();
    place.sql("create role reader; create role writer; create table t (); create table u ()");
    let first = place.inputs(table(&["SELECT"]));
    let outputs = place.ensure(GRANT, &first);
    let other = with(&first, json!({"objects": ["u"]}));
    let outputs = place
        .update(GRANT, (&first, &outputs), &other)
        .expect("updated");
    assert_eq!(
        (place.on_table("t", "reader"), place.on_table("u", "reader")),
        (String::new(), "SELECT".to_owned())
    );
    let writer = with(&other, json!({"role": "writer"}));
    let resource = messages::resource(GRANT, &other, Some(&outputs));
    let plan = place
        .ask(&messages::plan(GRANT, &writer, &[], Some(&resource)))
        .expect("a plan");
    assert_eq!(paths(&plan).1, ["/role", "/privileges"]);
    let outputs = place
        .update(GRANT, (&other, &outputs), &writer)
        .expect("updated");
    assert_eq!(
        (place.on_table("u", "reader"), place.on_table("u", "writer")),
        (String::new(), "SELECT".to_owned())
    );

    // A role and a database that only have another name now keep everything.
    place.sql("alter role writer rename to author");
    place.server.sql("alter database app rename to app2");
    let renamed = with(&writer, json!({"role": "author", "database": "app2"}));
    let resource = messages::resource(GRANT, &writer, Some(&outputs));
    let plan = place
        .ask(&messages::plan(GRANT, &renamed, &[], Some(&resource)))
        .expect("a plan");
    assert_eq!(paths(&plan), ("none".to_owned(), vec![]));
    // Another database is another thing.
    place.server.sql("create database app");
    place.sql("create table u ()");
    let moved = with(&renamed, json!({"database": "app"}));
    let resource = messages::resource(GRANT, &renamed, Some(&outputs));
    let plan = place
        .ask(&messages::plan(GRANT, &moved, &[], Some(&resource)))
        .expect("a plan");
    assert_eq!(
        paths(&plan),
        ("refuse".to_owned(), vec!["/database".to_owned()])
    );
    let error = place
        .update(GRANT, (&renamed, &outputs), &moved)
        .expect_err("refused");
    assert!(error.starts_with("/database:"), "{error}");
}
