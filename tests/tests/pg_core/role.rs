//! Roles: every field, its drift, and passwords.

use nixops4_resources_tests::canary::Canary;
use nixops4_resources_tests::mark::without_details;
use nixops4_resources_tests::messages;
use nixops4_resources_tests::postgres::{Config, Server};
use serde_json::json;

use crate::support::{Place, ROLE, config};

/// What somebody does behind our back, and where the plan shows it.
const DRIFTS: &[(&str, &[&str])] = &[
    ("alter role app nologin", &["/login"]),
    ("alter role app connection limit 3", &["/connectionLimit"]),
    ("alter role app valid until 'infinity'", &["/validUntil"]),
    ("alter role app valid until '-infinity'", &["/validUntil"]),
    ("revoke staff from app", &["/memberOf"]),
    ("grant other to app", &["/memberOf"]),
    (
        "alter role app set work_mem = '1GB'",
        &["/settings/work_mem"],
    ),
    (
        "alter role app set lock_timeout = 5",
        &["/settings/lock_timeout"],
    ),
    (
        "alter role app reset all",
        &[
            "/settings/cursor_tuple_fraction",
            "/settings/jit",
            "/settings/search_path",
            "/settings/work_mem",
        ],
    ),
    (
        "alter role app in database attic reset all",
        &["/settingsInDatabase/attic/work_mem"],
    ),
    (
        "alter role app in database postgres set jit = on",
        &["/settingsInDatabase/postgres/jit"],
    ),
    (
        "comment on role app is 'nixops4-resources: owner=tests'",
        &["/comment"],
    ),
];

#[test]
fn every_field_is_made_changed_and_mended() {
    Place::both(|place| {
        place.sql("create role other; create database shop; create database attic");
        if place.restricted && place.server.version() >= 16 {
            place.sql("grant other to admin with admin true, inherit false, set false");
        }
        place.ensure(
            ROLE,
            &place.inputs(json!({"name": "staff", "login": false})),
        );
        let inputs = place.inputs(json!({
            "name": "app", "connectionLimit": 7, "createDatabase": true, "createRole": place.server.version() < 16,
            "inheritPrivileges": false, "validUntil": "2040-01-01T00:00:00+01:00",
            "password": place.secret("p1", "first-password"),
            "memberOf": ["staff"],
            "settings": {"search_path": "\"$user\", App, public", "work_mem": "8MB", "jit": false, "cursor_tuple_fraction": 0.5},
            "settingsInDatabase": {"shop": {"DateStyle": "ISO, DMY"}, "attic": {"work_mem": "1MB"}},
            "comment": "the shop's\nown",
        }));
        let outputs = place.ensure(ROLE, &inputs);
        assert_eq!(
            place.sql("select rolconnlimit, rolcreatedb, rolinherit, rolvaliduntil at time zone 'UTC' from pg_roles where rolname = 'app'"),
            "7|t|f|2039-12-31 23:00:00"
        );
        assert_eq!(
            place.sql("select array_to_string(setconfig, ';') from pg_db_role_setting where setrole = 'app'::regrole order by setdatabase = 0 desc, 1"),
            "cursor_tuple_fraction=0.5;jit=off;search_path=\"$user\", app, public;work_mem=8MB\nDateStyle=ISO, DMY\nwork_mem=1MB"
        );
        assert_eq!(
            without_details(&place.sql("select shobj_description('app'::regrole, 'pg_authid')")),
            "the shop's\nown\nnixops4-resources: owner=tests"
        );
        assert!(
            place
                .server
                .sql_as("app", "first-password", "postgres", "select 1")
                .is_ok()
        );

        for (drift, paths) in DRIFTS {
            if place.restricted && drift.starts_with("grant other") && place.server.version() >= 16
            {
                // What a superuser has granted, a superuser takes back.
                continue;
            }
            let granted_by_admin = place.restricted && place.server.version() >= 16;
            let drift = match drift {
                &"revoke staff from app" if granted_by_admin => {
                    "revoke staff from app granted by admin"
                }
                drift => *drift,
            };
            place.mends(ROLE, &inputs, &outputs, drift, paths);
        }

        let (inputs, outputs) = place.change(
            ROLE,
            &inputs,
            &outputs,
            json!({"name": "app \"2\""}),
            &["/name"],
        );
        let (inputs, outputs) = place.change(
            ROLE,
            &inputs,
            &outputs,
            json!({"settings": {"work_mem": "8MB"}, "settingsInDatabase": {}, "memberOf": [], "validUntil": null, "comment": ""}),
            &["/validUntil", "/memberOf", "/settings/cursor_tuple_fraction", "/settings/jit", "/settings/search_path",
              "/settingsInDatabase/attic/work_mem", "/settingsInDatabase/shop/DateStyle", "/comment"],
        );
        assert_eq!(outputs["passwordVerified"], json!(!place.restricted));
        // What isn't said is left alone.
        place.sql("alter role \"app \"\"2\"\"\" set jit = on; comment on role \"app \"\"2\"\"\" is E'ask Ann\\nnixops4-resources: owner=tests'");
        let mut silent = inputs.clone();
        for name in ["settings", "settingsInDatabase", "memberOf", "comment"] {
            silent.remove(name);
        }
        place.ensure(ROLE, &silent);
        place
            .destroy(ROLE, &inputs, &outputs)
            .expect("it is dropped");
        assert_eq!(
            place.sql("select count(*) from pg_roles where rolname like 'app%'"),
            "0"
        );
    });
}

#[test]
fn what_only_a_superuser_gives() {
    let place = Place::new();
    for field in ["superuser", "replication", "bypassRls"] {
        let inputs = place.inputs(json!({"name": field, field: true}));
        let outputs = place.ensure(ROLE, &inputs);
        place.change(
            ROLE,
            &inputs,
            &outputs,
            json!({field: false}),
            &[&format!("/{field}")],
        );
    }
    let inputs = place.inputs(json!({"name": "custom", "settings": {"app.id": 3}}));
    place.ensure(ROLE, &inputs);
    let place = Place::restricted();
    let error = place.refused(ROLE, &inputs_of(&place, "custom"), "/connection/user");
    assert!(
        error.contains("permission denied to set parameter"),
        "{error}"
    );
    for field in ["superuser", "replication", "bypassRls"] {
        let error = place.refused(
            ROLE,
            &place.inputs(json!({"name": "x", field: true})),
            "/connection/user",
        );
        assert!(error.contains("hint: log in as a superuser"), "{error}");
    }
    let error = place.refused(
        ROLE,
        &place.inputs(json!({"name": "postgres", "adopt": true})),
        "/connection/user",
    );
    assert!(error.contains("unable to mark role"), "{error}");
}

fn inputs_of(place: &Place, name: &str) -> messages::Object {
    place.inputs(json!({"name": name, "settings": {"app.id": 3}}))
}

/// From PostgreSQL 16 on, each grantor's membership is one of its own.
#[test]
fn a_membership_that_several_have_granted_is_ended() {
    let place = Place::new();
    place.sql("create role staff; create role boss; create role app; grant app, staff to boss with admin option");
    place.sql("comment on role app is 'nixops4-resources: owner=tests'; grant staff to app");
    place.sql("set role boss; grant staff to app");
    place.ensure(
        ROLE,
        &place.inputs(json!({"name": "app", "memberOf": [], "login": false})),
    );
    assert_eq!(
        place.sql("select count(*) from pg_auth_members where member = 'app'::regrole"),
        "0"
    );
}

/// Who makes a role may administer it from then on: that is no membership that
/// `memberOf` speaks of.
#[test]
fn administering_is_no_membership() {
    let place = Place::new();
    let inputs = place.inputs(json!({"name": "maker", "createRole": true, "memberOf": []}));
    place.ensure(ROLE, &inputs);
    place.sql("set role maker; create role made");
    place.ensure(ROLE, &inputs);
    let kept = if place.server.version() >= 16 {
        "1"
    } else {
        "0"
    };
    assert_eq!(
        place.sql("select count(*) from pg_auth_members where member = 'maker'::regrole"),
        kept
    );
}

#[test]
fn passwords_are_seen_where_verifiers_can_be_read() {
    let place = Place::new();
    let canary = Canary::new();
    let inputs =
        place.inputs(json!({"name": "app", "password": place.secret("p", canary.value())}));
    let outputs = place.ensure(ROLE, &inputs);
    assert_eq!(outputs["passwordVerified"], json!(true));
    for drift in [
        "alter role app password 'other'",
        "alter role app password null",
        "set client_min_messages = error; set password_encryption = md5; alter role app password 'x'",
    ] {
        place.mends(ROLE, &inputs, &outputs, drift, &["/password"]);
    }
    let second = Canary::new();
    let rotated = json!({"password": place.secret("p2", second.value())});
    place.change(ROLE, &inputs, &outputs, rotated, &["/password"]);
    assert!(
        place
            .server
            .sql_as("app", second.value(), "postgres", "select 1")
            .is_ok()
    );
    for canary in [&canary, &second] {
        canary.assert_absent("the server's log", place.server.log());
    }
    assert!(place.server.log().contains("SCRAM-SHA-256$"));
}

#[test]
fn passwords_are_tried_where_that_is_asked_for() {
    let place = Place::restricted();
    let canary = Canary::new();
    let plain = place.inputs(json!({"name": "app", "password": place.secret("p", canary.value())}));
    let outputs = place.ensure(ROLE, &plain);
    assert_eq!(outputs["passwordVerified"], json!(false));
    // Nobody can see this.
    place.sql("alter role app password 'other'");
    let resource = messages::resource(ROLE, &plain, Some(&outputs));
    assert_eq!(place.plan(ROLE, &plain, Some(&resource)).0, "none");
    // A new reference is a new password.
    let moved =
        place.inputs(json!({"name": "app", "password": place.secret("elsewhere", canary.value())}));
    assert_eq!(
        place.plan(ROLE, &moved, Some(&resource)),
        ("update".to_owned(), vec!["/password".to_owned()])
    );

    let mut inputs = plain.clone();
    inputs.insert("verifyPassword".to_owned(), json!(true));
    assert_eq!(
        place.plan(ROLE, &inputs, Some(&resource)),
        ("update".to_owned(), vec!["/password".to_owned()])
    );
    let outputs = place.ensure(ROLE, &inputs);
    assert_eq!(outputs["passwordVerified"], json!(true));
    // Right, though it lets nobody in.
    for field in [json!({"login": false}), json!({"connectionLimit": 0})] {
        let mut inputs = inputs.clone();
        inputs.extend(messages::object(field));
        place.ensure(ROLE, &inputs);
    }
    canary.assert_absent("the server's log", place.server.log());
}

#[test]
fn a_test_login_means_nothing_where_no_password_is_asked_for() {
    let server = Server::start(&Config {
        hba: vec!["host all app 127.0.0.1/32 trust".to_owned()],
        ..config()
    });
    let place = Place::on(server, true);
    let inputs = place.inputs(json!({
        "name": "app", "password": place.secret("p", "the-password"), "verifyPassword": true,
    }));
    let outputs = place.ensure(ROLE, &inputs);
    assert_eq!(outputs["passwordVerified"], json!(false));
    // So does one whose password has expired.
    let inputs = place.inputs(json!({
        "name": "old", "password": place.secret("p", "the-password"), "verifyPassword": true,
        "validUntil": "2020-01-01T00:00:00Z",
    }));
    assert_eq!(
        place.ensure(ROLE, &inputs)["passwordVerified"],
        json!(false)
    );
}

#[test]
fn what_carries_our_mark_is_listed() {
    Place::both(|place| {
        place.sql("create role foreign_one; comment on role foreign_one is 'nixops4-resources: owner=tests2'");
        let kept = place.inputs(json!({"name": "kept", "deletionPolicy": "retain"}));
        let outputs = place.ensure(ROLE, &kept);
        place.ensure(ROLE, &place.inputs(json!({"name": "app"})));
        place
            .destroy(ROLE, &kept, &outputs)
            .expect("it is retained");
        let inputs = place.inputs(json!({"name": "app"}));
        let request = json!({"nixops4-resources/listResourcesRequest": {"type": ROLE, "inputProperties": inputs}});
        let answer = place.ask(&request).expect("a list");
        let found = answer["resources"].as_array().expect("a list");
        let names: Vec<_> = found
            .iter()
            .map(|one| one["identity"]["role"].as_str().expect("a name"))
            .collect();
        assert_eq!(names, ["app", "kept"]);
        let marks: Vec<_> = found
            .iter()
            .map(|one| without_details(one["mark"].as_str().expect("a mark")))
            .collect();
        let ours = "nixops4-resources: owner=tests";
        assert_eq!(marks, [ours, &format!("{ours} retained-")]);
    });
}
