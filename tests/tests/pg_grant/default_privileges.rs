//! What is made later.

use serde_json::json;

use crate::support::{DEFAULTS, Place, with};

#[test]
fn default_privileges() {
    let place = Place::new();
    place.sql(
        "create role reader; create role maker; create schema s; grant all on schema s to maker",
    );
    let list = || {
        place.sql("select defaclrole::regrole, coalesce(defaclnamespace::regnamespace::text, '-'), defaclobjtype, defaclacl from pg_default_acl order by 2, 3")
    };
    let inputs = place.inputs(json!({
        "creator": "maker", "schema": "s", "role": "reader", "objectType": "table",
        "privileges": ["SELECT", "INSERT"],
    }));
    assert_eq!(place.plan(DEFAULTS, &inputs).0, "create");
    let outputs = place.ensure(DEFAULTS, &inputs);
    assert_eq!(list(), "maker|s|r|{reader=ar/maker}");
    place.sql(
        "alter default privileges for role maker in schema s grant delete on tables to reader",
    );
    assert_eq!(
        place.plan(DEFAULTS, &inputs),
        ("update".to_owned(), vec!["/privileges".to_owned()])
    );
    let fewer = with(
        &inputs,
        json!({"privileges": ["SELECT"], "grantOption": true}),
    );
    let outputs = place
        .update(DEFAULTS, (&inputs, &outputs), &fewer)
        .expect("updated");
    assert_eq!(list(), "maker|s|r|{reader=r*/maker}");
    place.sql("set role maker; create table s.t ()");
    assert_eq!(place.on_table("s.t", "reader"), "SELECT*");
    place
        .destroy(DEFAULTS, &fewer, &outputs)
        .expect("destroyed");
    place
        .destroy(DEFAULTS, &fewer, &outputs)
        .expect("destroyed twice");
    assert_eq!(list(), "");
    assert_eq!(place.on_table("s.t", "reader"), "SELECT*");

    // Without a schema they stand in place of the built-in ones.
    let everybody = place.inputs(json!({
        "creator": "maker", "role": "public", "objectType": "function", "privileges": [],
    }));
    assert_eq!(place.plan(DEFAULTS, &everybody).0, "update");
    place.ensure(DEFAULTS, &everybody);
    assert_eq!(list(), "maker|-|f|{maker=X/maker}");
    for (kind, privileges) in [("sequence", "ALL"), ("type", "USAGE"), ("schema", "CREATE")] {
        let inputs = place.inputs(json!({
            "creator": "maker", "role": "reader", "objectType": kind, "privileges": [privileges],
        }));
        place.ensure(DEFAULTS, &inputs);
    }
    place.sql("set role maker; create sequence s.q; create type s.e as enum ()");
    assert_eq!(
        place.sql("select has_sequence_privilege('reader', 's.q', 'update')"),
        "t"
    );
    let large = place.inputs(json!({
        "creator": "maker", "role": "reader", "objectType": "largeObject", "privileges": ["ALL"],
    }));
    match place.create(DEFAULTS, &large) {
        Ok(outputs) => assert_eq!(outputs["privileges"], json!(["SELECT", "UPDATE"])),
        Err(error) => {
            assert!(place.server.version() < 18, "{error}");
            assert!(error.starts_with("/objectType:"), "{error}");
        }
    }
    for (more, pointer) in [
        (json!({"creator": "nobody"}), "/creator:"),
        (json!({"role": "nobody"}), "/role:"),
        (json!({"schema": "nowhere"}), "/schema:"),
        (json!({"database": "nowhere"}), "/database:"),
        (json!({"privileges": ["EXECUTE"]}), "/privileges:"),
        (
            json!({"objectType": "schema", "privileges": ["USAGE"]}),
            "/schema:",
        ),
    ] {
        let error = place
            .create(DEFAULTS, &with(&inputs, more))
            .expect_err(pointer);
        assert!(error.starts_with(pointer), "{pointer} {error}");
    }
}
