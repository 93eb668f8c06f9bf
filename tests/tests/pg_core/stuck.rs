//! Databases that can't be dropped or copied: what stands in the way is named with the
//! statement that removes it, before and after, and what was shut is open again.

use nixops4_resources_tests::messages::{self, Object};
use nixops4_resources_tests::postgres::{Config, Server};
use serde_json::{Value, json};

use crate::database::killed_at;
use crate::support::{DATABASE, Place, ROLE, config};

const TENANT: &str = "postgresql_tenant";

/// As both administrators, on servers that have prepared transactions and replication.
fn both(test: impl Fn(&Place)) {
    for restricted in [false, true] {
        let settings = [("max_prepared_transactions", "5"), ("wal_level", "logical")];
        let place = Place::on(
            Server::start(&Config {
                settings: settings
                    .map(|(name, value)| (name.to_owned(), value.to_owned()))
                    .into(),
                ..config()
            }),
            restricted,
        );
        test(&place);
        place.nothing_borrowed();
    }
}

/// A database `shop` of the role `app`, that is to be deleted, and its outputs.
fn shop(place: &Place) -> (Object, Object) {
    let password = place.secret("app", "of the app");
    place.ensure(
        ROLE,
        &place.inputs(json!({"name": "app", "password": password})),
    );
    let inputs = place.inputs(json!({
        "name": "shop", "ownerRole": "app", "deletionPolicy": "delete", "revokePublic": true,
        "comment": "the shop's",
    }));
    let outputs = place.ensure(DATABASE, &inputs);
    (inputs, outputs)
}

/// All that dropping could have changed, but for when the mark was written.
fn state(place: &Place) -> String {
    place.sql(
        "select datallowconn, datistemplate, datconnlimit, datdba::regrole,
                (select string_agg(a.grantee::regrole || ' ' || a.grantor::regrole || ' ' || a.privilege_type, ', '
                        order by a.grantee::regrole::text, a.privilege_type)
                 from aclexplode(datacl) a),
                shobj_description(oid, 'pg_database')
         from pg_database where datname = 'shop'",
    )
}

/// What a plan of destroying it says.
fn foreseen(place: &Place, kind: &str, inputs: &Object, outputs: &Object) -> Vec<String> {
    let resource = messages::resource(kind, inputs, Some(outputs));
    let request = json!({"nixops4-resources/planDestroyRequest": {"resource": resource}});
    let answer = place.ask(&request).expect("a plan");
    let warnings = answer["warnings"].as_array().expect("a list").iter();
    warnings
        .map(|warning| warning.as_str().expect("a text").to_owned())
        .collect()
}

/// Dropping `shop` fails as it was foreseen, and leaves everything as it was.
fn fails_as_foreseen(place: &Place, (inputs, outputs): &(Object, Object), words: &[&str]) {
    let before = state(place);
    let foreseen = foreseen(place, DATABASE, inputs, outputs);
    let error = place
        .destroy(DATABASE, inputs, outputs)
        .expect_err("something is in the way");
    for word in words {
        assert!(error.contains(word), "{word:?} is not in: {error}");
        assert!(
            foreseen.iter().any(|warning| warning.contains(word)),
            "{word:?} is not in: {foreseen:?}"
        );
    }
    assert!(error.contains("\nhint: "), "{error}");
    assert_eq!(state(place), before, "{error}");
}

#[test]
fn a_prepared_transaction_is_named_and_its_owner_gets_in() {
    both(|place| {
        let shop = shop(place);
        let prepare =
            "create table kept(); begin; create table t(); prepare transaction 'it''s stuck'";
        let as_owner =
            |statements: &str| place.server.sql_as("app", "of the app", "shop", statements);
        as_owner(prepare).expect("it is prepared");
        let rollback = "ROLLBACK PREPARED 'it''s stuck'";
        fails_as_foreseen(
            place,
            &shop,
            &[
                "prepared transaction",
                "role \"app\"",
                "in database \"shop\"",
                rollback,
            ],
        );
        // Who would roll it back can, with the statement that the error names.
        as_owner(rollback).expect("it is rolled back");
        assert!(foreseen(place, DATABASE, &shop.0, &shop.1).is_empty());
        place
            .destroy(DATABASE, &shop.0, &shop.1)
            .expect("it is dropped");
        assert_eq!(
            place.sql("select count(*) from pg_database where datname = 'shop'"),
            "0"
        );
    });
}

#[test]
fn a_tenants_prepared_transaction_is_named_too() {
    both(|place| {
        let password = place.secret("app", "of the app");
        let inputs =
            place.inputs(json!({"name": "shop", "deletionPolicy": "delete", "password": password}));
        let outputs = place.ensure(TENANT, &inputs);
        let as_owner = |statements: &str| {
            place
                .server
                .sql_as("shop", "of the app", "shop", statements)
        };
        as_owner("begin; create table t(); prepare transaction 'stuck'").expect("it is prepared");
        let before = state(place);
        let rollback = "ROLLBACK PREPARED 'stuck'";
        let told = foreseen(place, TENANT, &inputs, &outputs);
        assert!(
            told.iter().any(|warning| warning.contains(rollback)),
            "{told:?}"
        );
        let error = place
            .destroy(TENANT, &inputs, &outputs)
            .expect_err("it is stuck");
        assert!(error.contains(rollback), "{error}");
        assert_eq!(state(place), before);
        // A tenant that is retained takes it along: nobody can end it then.
        let mut retained = inputs.clone();
        retained.insert("deletionPolicy".to_owned(), json!("retain"));
        let told = foreseen(place, TENANT, &retained, &outputs);
        assert!(
            told.iter().any(|warning| warning.contains(rollback)),
            "{told:?}"
        );
        as_owner(rollback).expect("it is rolled back");
        place
            .destroy(TENANT, &inputs, &outputs)
            .expect("it is gone");
    });
}

#[test]
fn a_subscription_is_named() {
    both(|place| {
        let shop = shop(place);
        place.server.sql_in(
            "shop",
            "create subscription \"the feed\" connection 'host=/nonexistent' publication p
             with (connect = false, slot_name = 'feed', enabled = false)",
        );
        let named = [
            "subscription \"the feed\"",
            "ALTER SUBSCRIPTION \"the feed\" DISABLE; ALTER SUBSCRIPTION \"the feed\" SET (slot_name \
             = NONE); DROP SUBSCRIPTION \"the feed\"",
            "SELECT pg_drop_replication_slot('feed')",
        ];
        fails_as_foreseen(place, &shop, &named);
        place.server.sql_in("shop", named[1]);
        place
            .destroy(DATABASE, &shop.0, &shop.1)
            .expect("it is dropped");
    });
}

/// It is said before, and goes: so does whatever else has drifted.
#[test]
fn a_template_that_was_not_declared_as_one_is_named() {
    both(|place| {
        let (inputs, outputs) = shop(place);
        let told = || foreseen(place, DATABASE, &inputs, &outputs);
        assert!(told().is_empty());
        place.sql("alter database shop is_template true");
        let cure = "ALTER DATABASE \"shop\" IS_TEMPLATE false";
        let warnings = told();
        assert!(
            warnings.len() == 1
                && warnings[0].contains("is a template")
                && warnings[0].contains(cure),
            "{warnings:?}"
        );
        place.sql(cure);
        assert!(told().is_empty());
        place.sql("alter database shop is_template true");
        place
            .destroy(DATABASE, &inputs, &outputs)
            .expect("it is dropped");
    });
}

#[test]
fn a_replication_slot_goes_along_and_its_reader_is_named() {
    both(|place| {
        let shop = shop(place);
        let slot = "select pg_create_logical_replication_slot('feed', 'test_decoding')";
        place.server.sql_in("shop", slot);
        let told = foreseen(place, DATABASE, &shop.0, &shop.1);
        assert!(
            told.len() == 1 && told[0].contains("slot \"feed\""),
            "{told:?}"
        );
        place
            .destroy(DATABASE, &shop.0, &shop.1)
            .expect("it is dropped");
        assert_eq!(place.sql("select count(*) from pg_replication_slots"), "0");
    });
}

/// A superuser's session is not the restricted administrator's to end.
#[test]
fn a_session_that_may_not_be_ended_is_named() {
    let mut place = Place::restricted();
    let timeout = ("NIXOPS4_RESOURCES_TIMEOUT", "20".to_owned());
    place.environment.push(timeout);
    let shop = shop(&place);
    std::thread::scope(|scope| {
        let session = scope.spawn(|| place.server.sql_in("shop", "select pg_sleep(300)"));
        let pid = loop {
            let sleeper = "select pid from pg_stat_activity
                           where datname = 'shop' and query like 'select pg_sleep%'";
            let pid = place.sql(sleeper);
            if !pid.is_empty() {
                break pid;
            }
            std::thread::yield_now();
        };
        let named = format!("process {pid} ");
        let cure = format!("SELECT pg_terminate_backend({pid})");
        fails_as_foreseen(
            &place,
            &shop,
            &[&named, "role \"postgres\"", "may not end", &cure],
        );
        place.sql(&cure);
        session.join().expect_err("it was ended");
    });
    place
        .destroy(DATABASE, &shop.0, &shop.1)
        .expect("it is dropped");
}

/// Leaves a prepared transaction in `shop`, which is shut.
fn get_stuck(place: &Place) {
    place.sql("alter database shop allow_connections true");
    let prepare = "begin; create table late(); prepare transaction 'late'";
    place.server.sql_in("shop", prepare);
    place.sql("alter database shop allow_connections false");
}

/// Whoever is killed with the database shut leaves it to the next: who finds something
/// in the way opens it again, and so does who declares it.
#[test]
fn killed_while_it_was_shut() {
    both(|place| {
        let (inputs, outputs) = shop(place);
        let before = state(place);
        let destroy = messages::destroy(&messages::resource(DATABASE, &inputs, Some(&outputs)));
        let shut = |point: &str| {
            killed_at(place, point, &destroy);
            place.nothing_borrowed();
            assert_eq!(
                place.sql("select datallowconn from pg_database where datname = 'shop'"),
                "f"
            );
        };
        for point in ["database:shut-out", "database:closed"] {
            // The next one can't complete it: something is stuck in it by now.
            shut(point);
            shut(point);
            get_stuck(place);
            let error = place.ask(&destroy).expect_err("it is stuck");
            assert!(error.contains("ROLLBACK PREPARED 'late'"), "{error}");
            assert_eq!(state(place), before, "{point}");
            place.server.sql_in("shop", "rollback prepared 'late'");
        }

        // It is declared again.
        shut("database:closed");
        let (action, paths) = place.plan(DATABASE, &inputs, None);
        assert_eq!(action, "update");
        assert_eq!(paths.first().map(String::as_str), Some(""), "{paths:?}");
        place.ensure(DATABASE, &inputs);
        assert_eq!(state(place), before);

        // It is retained instead, and comes back as it was.
        shut("database:closed");
        let mut retained = inputs.clone();
        retained.insert("deletionPolicy".to_owned(), json!("retain"));
        place
            .destroy(DATABASE, &retained, &outputs)
            .expect("it is retained");
        place.ensure(DATABASE, &inputs);
        let owner = "select datdba::regrole from pg_database where datname = 'shop'";
        assert_eq!(place.sql(owner), "app");

        shut("database:closed");
        place.ask(&destroy).expect("it is dropped");
    });
}

/// What the owner writes into the comment gives the database to nobody.
#[test]
fn the_line_of_the_comment_is_no_way_to_another_owner() {
    both(|place| {
        let (inputs, outputs) = shop(place);
        place.ensure(ROLE, &place.inputs(json!({"name": "other"})));
        let owner = || place.sql("select datdba::regrole from pg_database where datname = 'shop'");
        let comment = || {
            place.sql("select shobj_description(oid, 'pg_database') from pg_database where datname = 'shop'")
        };
        let mark = comment();
        let forge = || {
            let line = r#"{"owner":"other","allowConnections":true,"isTemplate":false}"#;
            let forged = format!("{mark}\nnixops4-resources-deleting: {line}").replace('\'', "''");
            place.sql(&format!(
                "set role app; comment on database shop is '{forged}'"
            ));
        };
        forge();
        place.ensure(DATABASE, &inputs);
        assert_eq!((owner(), comment()), ("app".to_owned(), mark.clone()));

        // Nor by a deletion that comes to nothing.
        forge();
        let destroy = messages::destroy(&messages::resource(DATABASE, &inputs, Some(&outputs)));
        killed_at(place, "database:closed", &destroy);
        get_stuck(place);
        place.ask(&destroy).expect_err("it is stuck");
        assert_eq!((owner(), comment()), ("app".to_owned(), mark.clone()));
    });
}

/// What a plan says of the template.
fn told_of_template(place: &Place, inputs: &Object) -> String {
    let answer = place
        .ask(&messages::plan(DATABASE, inputs, &[], None))
        .expect("a plan");
    let changes = answer["changes"].as_array().expect("changes").iter();
    let notes = changes
        .filter(|change| change["path"] == "/template")
        .filter_map(|change| change["note"].as_str());
    notes.collect::<Vec<_>>().join("\n")
}

#[test]
fn a_template_that_somebody_is_connected_to_is_told_with_who() {
    let mut place = Place::new();
    let timeout = ("NIXOPS4_RESOURCES_TIMEOUT", "20".to_owned());
    place.environment.push(timeout);
    place.sql("create database pattern is_template true");
    let inputs = place.inputs(json!({"name": "copy", "template": "pattern"}));
    std::thread::scope(|scope| {
        let session = scope.spawn(|| place.server.sql_in("pattern", "select pg_sleep(300)"));
        let sleeper = "select pid from pg_stat_activity
                       where datname = 'pattern' and query like 'select pg_sleep%'";
        while place.sql(sleeper).is_empty() {
            std::thread::yield_now();
        }
        let pid = place.sql(sleeper);
        let named = format!("process {pid} (role \"postgres\")");
        let cure = format!("SELECT pg_terminate_backend({pid})");
        let told = told_of_template(&place, &inputs);
        let error = place.refused(DATABASE, &inputs, "/template");
        for said in [&told, &error] {
            assert!(said.contains(&named) && said.contains(&cure), "{said}");
        }
        place.sql(&cure);
        session.join().expect_err("it was ended");
    });
    place.ensure(DATABASE, &inputs);
}

#[test]
fn a_template_with_a_broken_collation_version_is_told_with_its_cure() {
    Place::both(|place| {
        // What an upgrade of the machine's libraries leaves behind.
        place.sql(
            "create database pattern is_template true template template0
             locale_provider icu icu_locale 'de' locale 'C.UTF-8'",
        );
        place.sql("update pg_database set datcollversion = '1.2' where datname = 'pattern'");
        let inputs = place.inputs(json!({"name": "copy", "template": "pattern"}));
        let begun = std::time::Instant::now();
        let told = told_of_template(place, &inputs);
        let error = place.refused(DATABASE, &inputs, "/template");
        let cure = "ALTER DATABASE \"pattern\" REFRESH COLLATION VERSION";
        for said in [&told, &error] {
            assert!(
                said.contains("version 1.2 of its collation") && said.contains(cure),
                "{said}"
            );
        }
        // It was tried until the time was over, once.
        assert!(begun.elapsed() < std::time::Duration::from_mins(2));
        place.sql(cure);
        place.ensure(DATABASE, &inputs);
    });
}

#[test]
fn an_owner_that_the_administrator_does_not_manage_is_told() {
    let place = Place::restricted();
    place.sql("create role boss superuser");
    let inputs = place.inputs(json!({"name": "copy", "ownerRole": "boss"}));
    let error = place.refused(DATABASE, &inputs, "/ownerRole");
    assert!(error.contains("may not act for it"), "{error}");
    let staged = "select count(*) from pg_database where datname not like 'template%'";
    assert_eq!(place.sql(staged), "1");
    let mine = place.inputs(json!({"name": "mine"}));
    let outputs = place.ensure(DATABASE, &mine);
    let mut theirs = mine.clone();
    theirs.insert("ownerRole".to_owned(), Value::from("boss"));
    let error = place
        .update(DATABASE, &mine, &outputs, &theirs)
        .expect_err("it may not");
    assert!(error.starts_with("/ownerRole: "), "{error}");
}
