//! Databases: every field, its drift, and what is left when a step is the last.

use nixops4_resources_tests::mark::without_details;
use std::time::Duration;

use nixops4_resources_tests::messages;
use nixops4_resources_tests::provider::Silence;
use serde_json::{Value, json};

use crate::support::{DATABASE, Place, ROLE};

fn owners(place: &Place) {
    for name in ["app", "other"] {
        place.ensure(ROLE, &place.inputs(json!({"name": name})));
    }
}

#[test]
fn every_field_is_made_changed_and_mended() {
    Place::both(|place| {
        owners(place);
        let inputs = place.inputs(json!({
            "name": "shop", "ownerRole": "app", "encoding": "UTF-8", "locale": "C.utf8", "collation": "C",
            "connectionLimit": 9, "revokePublic": true, "extensions": ["citext", "pgcrypto"],
            "settings": {"timezone": "UTC", "search_path": "app, public"}, "comment": "the shop",
        }));
        let outputs = place.ensure(DATABASE, &inputs);
        assert_eq!(outputs["ownerRole"], "app");
        assert_eq!(
            place.sql("select datdba::regrole, datcollate, datctype, datconnlimit from pg_database where datname = 'shop'"),
            "app|C|C.utf8|9"
        );
        assert_eq!(
            place.server.sql_in(
                "shop",
                "select string_agg(extname, ' ' order by extname) from pg_extension"
            ),
            "citext pgcrypto plpgsql"
        );
        assert_eq!(
            place.sql("select has_database_privilege('other', 'shop', 'connect')"),
            "f"
        );
        assert_eq!(
            without_details(&place.sql("select shobj_description(oid, 'pg_database') from pg_database where datname = 'shop'")),
            "the shop\nnixops4-resources: owner=tests"
        );
        for (drift, paths) in [
            (
                "alter database shop connection limit 3",
                &["/connectionLimit"][..],
            ),
            ("alter database shop owner to other", &["/ownerRole"]),
            (
                "grant connect on database shop to public",
                &["/revokePublic"],
            ),
            (
                "alter database shop reset timezone",
                &["/settings/timezone"],
            ),
            ("alter database shop set jit = off", &["/settings/jit"]),
            ("alter database shop is_template true", &["/isTemplate"]),
            (
                "comment on database shop is 'nixops4-resources: owner=tests'",
                &["/owner", "/comment"],
            ),
        ] {
            place.mends(DATABASE, &inputs, &outputs, drift, paths);
        }
        place.server.sql_in("shop", "drop extension citext");
        place.mends(DATABASE, &inputs, &outputs, "select", &["/extensions"]);
        let (inputs, outputs) = place.change(
            DATABASE,
            &inputs,
            &outputs,
            json!({"name": "sh\"op", "ownerRole": "other", "settings": {}, "isTemplate": true}),
            &[
                "/name",
                "/ownerRole",
                "/isTemplate",
                "/settings/TimeZone",
                "/settings/search_path",
            ],
        );
        assert_eq!(outputs["name"], "sh\"op");
        let (inputs, outputs) = place.change(
            DATABASE,
            &inputs,
            &outputs,
            json!({"allowConnections": false, "extensions": []}),
            &["/allowConnections"],
        );
        for (field, value) in [
            ("encoding", json!("LATIN1")),
            ("locale", json!("POSIX")),
            ("collation", json!("POSIX")),
            ("characterType", json!("C")),
            ("localeProvider", json!("icu")),
        ] {
            let mut other = inputs.clone();
            other.insert(field.to_owned(), value);
            let error = place.refused(DATABASE, &other, &format!("/{field}"));
            assert!(error.contains("can't be changed from"), "{error}");
            assert!(error.contains("pg_dump"), "{error}");
            assert_eq!(place.plan(DATABASE, &other, None).0, "refuse");
        }
        let mut deleted = inputs.clone();
        deleted.insert("deletionPolicy".to_owned(), json!("delete"));
        place
            .destroy(DATABASE, &deleted, &outputs)
            .expect("it is dropped");
        assert_eq!(
            place.sql("select count(*) from pg_database where datname like 'sh%'"),
            "0"
        );
    });
}

#[test]
fn locale_providers() {
    Place::both(|place| {
        let german = place.inputs(json!({
            "name": "german", "localeProvider": "icu", "icuLocale": "de_DE", "locale": "C.UTF-8",
        }));
        place.ensure(DATABASE, &german);
        assert_eq!(
            place.sql("select datlocprovider from pg_database where datname = 'german'"),
            "i"
        );
        let mut other = german.clone();
        other.insert("icuLocale".to_owned(), json!("sv-SE"));
        place.refused(DATABASE, &other, "/icuLocale");
        let builtin = place.inputs(json!({
            "name": "builtin", "localeProvider": "builtin", "builtinLocale": "C.UTF-8", "locale": "C.UTF-8",
        }));
        if place.server.version() >= 17 {
            place.ensure(DATABASE, &builtin);
            assert_eq!(
                place.sql("select datlocprovider from pg_database where datname = 'builtin'"),
                "b"
            );
        } else {
            place.refused(DATABASE, &builtin, "/localeProvider");
        }
    });
}

#[test]
fn it_moves_to_another_tablespace() {
    Place::both(|place| {
        owners(place);
        for name in ["fast", "slow"] {
            place.sql(&format!(
                "set allow_in_place_tablespaces = on; create tablespace {name} location ''"
            ));
        }
        if place.restricted {
            place.sql("grant create on tablespace fast, slow to admin; grant create on tablespace fast, slow to app");
        }
        let inputs =
            place.inputs(json!({"name": "shop", "ownerRole": "app", "tablespace": "fast"}));
        let outputs = place.ensure(DATABASE, &inputs);
        let plan = place
            .ask(&messages::plan(
                DATABASE,
                &{
                    let mut inputs = inputs.clone();
                    inputs.insert("tablespace".to_owned(), json!("slow"));
                    inputs
                },
                &[],
                None,
            ))
            .expect("a plan");
        assert_eq!(plan["changes"][0]["effect"], "disruptive");
        place.change(
            DATABASE,
            &inputs,
            &outputs,
            json!({"tablespace": "slow"}),
            &["/tablespace"],
        );
    });
}

#[test]
fn what_is_retained_is_found_again() {
    Place::both(|place| {
        owners(place);
        let role = place.inputs(json!({"name": "app"}));
        let role_outputs = place.ensure(ROLE, &role);
        let inputs = place.inputs(json!({"name": "shop", "ownerRole": "app", "comment": "dear"}));
        let outputs = place.ensure(DATABASE, &inputs);
        place.server.sql_in(
            "shop",
            "set role app; create schema s; create table s.kept as select 42 as answer",
        );

        place
            .destroy(DATABASE, &inputs, &outputs)
            .expect("it is retained");
        place
            .destroy(ROLE, &role, &role_outputs)
            .expect("it is retained");
        assert_eq!(
            place.sql("select datallowconn, rolcanlogin from pg_database, pg_roles where datname = 'shop' and rolname = 'app'"),
            "f|f"
        );
        let comment = place.sql(
            "select shobj_description(oid, 'pg_database') from pg_database where datname = 'shop'",
        );
        assert_eq!(
            without_details(&comment),
            "dear\nnixops4-resources: owner=tests retained-"
        );
        // Twice is once.
        place
            .destroy(DATABASE, &inputs, &outputs)
            .expect("it is retained");
        place
            .destroy(ROLE, &role, &role_outputs)
            .expect("it is retained");

        place.ensure(ROLE, &role);
        place.ensure(DATABASE, &inputs);
        assert_eq!(
            place.server.sql_in("shop", "select answer from s.kept"),
            "42"
        );
        assert_eq!(
            without_details(&place.sql("select shobj_description('app'::regrole, 'pg_authid')")),
            "nixops4-resources: owner=tests"
        );
    });
}

#[test]
fn whoever_is_connected_is_sent_off() {
    Place::both(|place| {
        place.ensure(
            ROLE,
            &place.inputs(json!({"name": "app", "password": place.secret("p", "password")})),
        );
        for policy in ["retain", "delete"] {
            let inputs =
                place.inputs(json!({"name": policy, "ownerRole": "app", "deletionPolicy": policy}));
            let outputs = place.ensure(DATABASE, &inputs);
            std::thread::scope(|scope| {
                let session = scope.spawn(|| {
                    place
                        .server
                        .sql_as("app", "password", policy, "select pg_sleep(60)")
                });
                while place.sql(&format!(
                    "select count(*) from pg_stat_activity
                     where datname = '{policy}' and query like '%pg_sleep%'"
                )) == "0"
                {
                    std::thread::sleep(Duration::from_millis(20));
                }
                place
                    .destroy(DATABASE, &inputs, &outputs)
                    .expect("it is out of service");
                let ended = session
                    .join()
                    .expect("the session ends")
                    .expect_err("it was sent off");
                assert!(ended.contains("terminating connection"), "{ended}");
            });
        }
        assert_eq!(place.sql("select string_agg(datname, ' ') from pg_database where datname in ('retain', 'delete')"), "retain");
    });
}

/// One process, several requests: what it keeps open is not in its own way.
#[test]
fn a_process_is_not_in_its_own_way() {
    let place = Place::new();
    let mut provider = place.spawn();
    let mut ask = |request: &Value| {
        let line = provider.request(request.to_string());
        messages::answer(request, &line).unwrap_or_else(|error| panic!("{error}"))
    };
    let inputs =
        place.inputs(json!({"name": "one", "extensions": ["citext"], "deletionPolicy": "delete"}));
    let outputs = messages::object(
        ask(&messages::create(DATABASE, &inputs, true))["outputProperties"].clone(),
    );
    let mut copy = inputs.clone();
    copy.extend(messages::object(json!({"name": "copy", "template": "one"})));
    ask(&messages::create(DATABASE, &copy, true));
    let mut renamed = inputs.clone();
    renamed.insert("name".to_owned(), json!("two"));
    let resource = messages::resource(DATABASE, &inputs, Some(&outputs));
    let answer = ask(&messages::update(&resource, &renamed));
    let outputs = messages::object(answer["outputProperties"].clone());
    ask(&messages::destroy(&messages::resource(
        DATABASE,
        &renamed,
        Some(&outputs),
    )));
    for number in 0..8 {
        ask(&messages::create(
            DATABASE,
            &{
                let mut inputs = inputs.clone();
                inputs.insert("name".to_owned(), json!(format!("many{number}")));
                inputs
            },
            true,
        ));
    }
    let open: u32 = place
        .sql("select count(*) from pg_stat_activity where application_name = 'nixops4-resources'")
        .parse()
        .expect("a number");
    assert!((1..=3).contains(&open), "{open} connections are kept");
}

#[test]
fn a_killed_process_leaves_what_the_next_one_completes() {
    Place::both(|place| {
        owners(place);
        for point in [
            "database:cleared",
            "database:created",
            "database:marked",
            "database:renamed",
            "engine:applied-0",
        ] {
            let inputs = place.inputs(json!({
                "name": "shop", "ownerRole": "app", "settings": {"jit": "off"}, "revokePublic": true,
                "extensions": ["citext"], "comment": "x", "deletionPolicy": "delete",
            }));
            killed_at(place, point, &messages::create(DATABASE, &inputs, true));
            place.nothing_borrowed();
            let outputs = place.ensure(DATABASE, &inputs);
            assert_eq!(
                place.sql("select count(*) from pg_database where datname like 'nixops4-staging%'"),
                "0"
            );
            let destroy = messages::destroy(&messages::resource(DATABASE, &inputs, Some(&outputs)));
            for point in ["engine:found", "database:closed", "engine:deleted"] {
                killed_at(place, point, &destroy);
                place.nothing_borrowed();
            }
            place.ask(&destroy).expect("it is gone");
            assert_eq!(
                place.sql("select count(*) from pg_database where datname = 'shop'"),
                "0"
            );
        }
    });
}

/// What was cut short and is declared by nobody any more is found, before its mark as
/// well as after it, and deleted whatever the policy is. Another owner's is not.
#[test]
fn what_was_cut_short_is_found_and_deleted() {
    Place::both(|place| {
        let staged = || {
            place.sql(
                "select coalesce(string_agg(datname, ' '), '') from pg_database
                 where datname like 'nixops4-staging%'",
            )
        };
        for point in ["database:created", "database:marked"] {
            let inputs = place.inputs(json!({"name": "shop", "deletionPolicy": "retain"}));
            killed_at(place, point, &messages::create(DATABASE, &inputs, true));
            let name = staged();
            assert!(name.starts_with("nixops4-staging-"), "{point}: {name}");
            let listed = |owner: &str| {
                let mut inputs = inputs.clone();
                inputs.insert("owner".to_owned(), json!(owner));
                let request = json!({"nixops4-resources/listResourcesRequest": {
                    "type": DATABASE, "inputProperties": inputs,
                }});
                let answer = place.ask(&request).expect("a list");
                let found = answer["resources"].as_array().expect("a list").clone();
                found
                    .into_iter()
                    .find(|one| one["identity"]["database"] == name.as_str())
            };
            let found = listed("tests").expect("it is found");
            assert_eq!(found["unfinished"], true, "{found}");
            assert_eq!(listed("somebody-else"), None);

            let mut reached = inputs.clone();
            reached.insert("name".to_owned(), json!(name));
            let mut theirs = reached.clone();
            theirs.insert("owner".to_owned(), json!("somebody-else"));
            let destroy = |inputs| messages::destroy(&messages::resource(DATABASE, inputs, None));
            place.ask(&destroy(&theirs)).expect_err("it is not theirs");
            assert_eq!(staged(), name);
            place.ask(&destroy(&reached)).expect("it is deleted");
            assert_eq!(staged(), "");
        }
    });
}

/// Sends a request to a process that kills itself at a point, if it gets there.
pub(crate) fn killed_at(place: &Place, point: &str, request: &Value) {
    let mut command = place
        .sandbox
        .command(nixops4_resources_tests::binaries::path(
            "nixops4-resources-postgresql",
        ));
    command.env("FAILPOINTS", format!("{point}=return(kill)"));
    let mut provider = nixops4_resources_tests::provider::Provider::spawn(command);
    provider.send(request.to_string());
    match provider.receive(Duration::from_mins(1)) {
        Err(Silence::Closed) => {}
        // A later one of several points may not be reached any more.
        Ok(line) => drop(
            messages::answer(request, &line).unwrap_or_else(|error| panic!("{point}: {error}")),
        ),
        Err(Silence::TimedOut) => panic!("{point}: no answer"),
    }
}
