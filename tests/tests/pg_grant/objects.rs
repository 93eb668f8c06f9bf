//! Each kind of object, and all of them, now and later.

use nixops4_resources_tests::messages::{self, Object};
use serde_json::{Value, json};

use crate::support::{GRANT, Place, table, with};

#[test]
#[expect(clippy::too_many_lines, reason = "a table of cases")]
fn each_kind_of_object() {
    let place = Place::new();
    place.sql(
        "create role reader; create schema s; create sequence s.q; create type s.mood as enum ('a');
         create domain s.d as int; create function s.f(int, s.mood) returns int language sql as 'select 1';
         create procedure s.p() language sql as 'select 1';
         create foreign data wrapper w; create server far foreign data wrapper w;
         create table s.t (a int, b int); create view s.v as select 1 as one",
    );
    let shared = |inputs: Object| {
        let mut inputs = inputs;
        inputs.remove("database");
        inputs
    };
    let has = |question: &str| place.sql(&format!("select has_{question}"));
    for (inputs, question) in [
        (
            json!({"objectType": "database", "objects": ["app"], "privileges": ["ALL"]}),
            "database_privilege('reader', 'app', 'create')",
        ),
        (
            json!({"objectType": "tablespace", "objects": ["pg_default"], "privileges": ["CREATE"]}),
            "tablespace_privilege('reader', 'pg_default', 'create')",
        ),
        (
            json!({"objectType": "schema", "objects": ["s"], "privileges": ["USAGE", "CREATE"]}),
            "schema_privilege('reader', 's', 'create')",
        ),
        (
            json!({"objectType": "table", "schema": "s", "objects": ["t", "v"], "privileges": ["SELECT"]}),
            "table_privilege('reader', 's.v', 'select')",
        ),
        (
            json!({"objectType": "table", "schema": "s", "objects": ["t"], "columns": ["b"], "privileges": ["UPDATE"]}),
            "column_privilege('reader', 's.t', 'b', 'update')",
        ),
        (
            json!({"objectType": "sequence", "schema": "s", "objects": ["q"], "privileges": ["ALL"]}),
            "sequence_privilege('reader', 's.q', 'update')",
        ),
        (
            json!({"objectType": "function", "schema": "s", "objects": ["f(integer, s.mood)", "p()"], "privileges": ["EXECUTE"]}),
            "function_privilege('reader', 's.p()', 'execute')",
        ),
        (
            json!({"objectType": "type", "schema": "s", "objects": ["mood", "d"], "privileges": ["USAGE"]}),
            "type_privilege('reader', 's.d', 'usage')",
        ),
        (
            json!({"objectType": "language", "objects": ["plpgsql"], "privileges": ["USAGE"]}),
            "language_privilege('reader', 'plpgsql', 'usage')",
        ),
        (
            json!({"objectType": "foreignServer", "objects": ["far"], "privileges": ["USAGE"]}),
            "server_privilege('reader', 'far', 'usage')",
        ),
        (
            json!({"objectType": "foreignDataWrapper", "objects": ["w"], "privileges": ["ALL"]}),
            "foreign_data_wrapper_privilege('reader', 'w', 'usage')",
        ),
    ] {
        let is_shared = ["database", "tablespace"]
            .map(Value::from)
            .contains(&inputs["objectType"]);
        let mut inputs = with(
            &place.inputs(inputs),
            json!({"role": "reader", "grantOption": true}),
        );
        if is_shared {
            inputs = shared(inputs);
        }
        let outputs = place.ensure(GRANT, &inputs);
        assert_eq!(has(question), "t", "{inputs:?}");
        let option = question.strip_suffix("')").expect("a question");
        assert_eq!(
            has(&format!("{option} with grant option')")),
            "t",
            "{inputs:?}"
        );
        place.destroy(GRANT, &inputs, &outputs).expect("destroyed");
        assert_eq!(
            has(&format!("{option} with grant option')")),
            "f",
            "{inputs:?}"
        );
    }
    assert_eq!(
        place.sql("select proacl::text like '%reader%' from pg_proc where proname = 'f'"),
        "f"
    );

    // PUBLIC, and a list of privileges that is null and means the default.
    let everybody = place.inputs(json!({
        "role": "public", "objectType": "function", "schema": "s", "allObjects": true, "privileges": [],
    }));
    assert_eq!(place.plan(GRANT, &everybody).0, "update");
    place.ensure(GRANT, &everybody);
    assert_eq!(has("function_privilege('reader', 's.p()', 'execute')"), "f");
    let connect = shared(place.inputs(json!({
        "role": "public", "objectType": "database", "objects": ["app"], "privileges": ["CONNECT"],
    })));
    place.ensure(GRANT, &connect);
    assert_eq!(has("database_privilege('reader', 'app', 'temporary')"), "f");
    assert_eq!(has("database_privilege('reader', 'app', 'connect')"), "t");
}

#[test]
fn tables_and_columns_are_kept_apart() {
    let place = Place::new();
    place.sql("create role reader; create role other; create table t (a int, b int)");
    let columns = with(
        &place.inputs(table(&["SELECT", "UPDATE"])),
        json!({"columns": ["a"], "grantOption": true}),
    );
    place.ensure(GRANT, &columns);
    place.sql(
        "grant select on t to other with grant option; grant select on t to reader;
         set role other; grant select on t to reader; grant select (b) on t to reader",
    );
    let insert = place.inputs(table(&["INSERT"]));
    place.ensure(GRANT, &insert);
    assert_eq!(place.on_table("t", "reader"), "INSERT");
    // A REVOKE on the table would have taken these.
    assert_eq!(place.plan(GRANT, &columns), ("none".to_owned(), vec![]));
    assert_eq!(
        place.sql(
            "select attacl from pg_attribute where attrelid = 't'::regclass and attname = 'b'"
        ),
        "{reader=r/other}"
    );
    place.ensure(
        GRANT,
        &with(
            &columns,
            json!({"columns": ["b"], "privileges": [], "grantOption": false}),
        ),
    );
    assert_eq!(
        place.sql(
            "select attacl from pg_attribute where attrelid = 't'::regclass and attname = 'b'"
        ),
        ""
    );
    assert_eq!(place.on_table("t", "reader"), "INSERT");
}

#[test]
fn all_objects_and_future_ones() {
    let place = Place::new();
    place.sql("create role reader; create role maker; create schema s; grant create, usage on schema s to maker");
    let inputs = place.inputs(json!({
        "role": "reader", "objectType": "table", "schema": "s", "allObjects": true,
        "privileges": ["SELECT"],
    }));
    // No object: nothing to do, and nothing that fails.
    place.ensure(GRANT, &inputs);
    place.sql("create table s.one (); create table s.two ()");
    assert_eq!(place.plan(GRANT, &inputs).0, "create");
    place.ensure(GRANT, &inputs);
    place.sql("create table s.three ()");
    let plan = place
        .ask(&messages::plan(GRANT, &inputs, &[], None))
        .expect("a plan");
    assert_eq!(
        plan["changes"][0]["before"]["known"],
        json!({r#"table "s"."three""#: []})
    );
    let future = with(&inputs, json!({"futureBy": ["maker"]}));
    let outputs = place.ensure(GRANT, &future);
    place.sql("set role maker; create table s.four ()");
    assert_eq!(
        place.on_table("s.four", "reader"),
        "SELECT/maker".replace("/maker", "")
    );
    assert_eq!(place.plan(GRANT, &future), ("none".to_owned(), vec![]));
    // Leaving the list takes it back.
    place
        .update(GRANT, (&future, &outputs), &inputs)
        .expect("updated");
    assert_eq!(place.sql("select count(*) from pg_default_acl"), "0");
    assert_eq!(place.on_table("s.four", "reader"), "SELECT");
    place.destroy(GRANT, &inputs, &outputs).expect("destroyed");
    assert_eq!(
        place.on_table("s.four", "reader") + &place.on_table("s.one", "reader"),
        ""
    );
}
