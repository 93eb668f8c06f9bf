//! `postgresql_extension`

use nixops4_resources_tests::mark::without_details;
use serde_json::json;

use crate::support::{Place, everywhere, ident};

const KIND: &str = "postgresql_extension";

fn installed(at: &Place, database: &str, name: &str) -> String {
    at.sql(
        database,
        &format!(
        "SELECT extversion, nspname FROM pg_extension JOIN pg_namespace n ON n.oid = extnamespace
         WHERE extname = '{name}'"
    ),
    )
}

#[test]
fn it_is_made_updated_and_dropped() {
    everywhere(|at| {
        let (owner, database) = at.database();
        let mut hstore = at.thing(
            KIND,
            json!({"database": database, "name": "hstore", "version": "1.4"}),
        );
        let outputs = hstore.create();
        assert_eq!(outputs["version"], json!("1.4"));
        assert_eq!(outputs["schema"], json!("public"));
        let comment = "SELECT obj_description(oid, 'pg_extension') FROM pg_extension WHERE extname = 'hstore'";
        let marked =
            "data type for storing sets of (key, value) pairs\nnixops4-resources: owner=tests";
        assert_eq!(without_details(&at.sql(&database, comment)), marked);

        hstore.set("/version", "1.8").plans("update", &["/version"]);
        assert_eq!(hstore.create()["oid"], outputs["oid"]);
        assert_eq!(installed(at, &database, "hstore"), "1.8|public");
        assert_eq!(without_details(&at.sql(&database, comment)), marked);
        hstore.set("/version", "1.4").plans("refuse", &["/version"]);
        hstore.refused(&["/version", "no way from 1.8 to 1.4"]);
        hstore
            .set("/version", "99")
            .refused(&["/version", "doesn't have version 99, but 1.4, 1.5"]);
        hstore.set("/version", json!(null)).plans("none", &[]);

        at.sql(
            &database,
            &format!("CREATE SCHEMA extras AUTHORIZATION {}", ident(&owner)),
        );
        hstore
            .set("/schema", "extras")
            .plans("update", &["/schema"]);
        if at.is_superuser {
            hstore.create();
            assert_eq!(installed(at, &database, "hstore"), "1.8|extras");
        } else {
            // A trusted extension's objects are the superuser's.
            hstore.refused(&["/connection/user", "must be owner of"]);
            hstore.set("/schema", json!(null));
        }
        hstore
            .set("/name", "citext")
            .refused(&["/name", "declare the other one"]);
        hstore.set("/name", "hstore");

        let used = "CREATE TABLE keeps_it (pairs hstore)";
        at.sql(
            &database,
            &format!("SET search_path = public, extras; {used}"),
        );
        let error = hstore.try_destroy("delete").unwrap_err();
        assert!(
            error.contains("other objects depend on it") && error.contains("deletionPolicy"),
            "{error}"
        );
        hstore.destroy("retain");
        assert!(at.sql(&database, comment).contains("retained-since="));
        hstore.forget().plans("update", &["/owner"]);
        hstore.create();
        assert_eq!(without_details(&at.sql(&database, comment)), marked);
        at.sql(&database, "DROP TABLE keeps_it");
        hstore.destroy("delete");
        assert_eq!(installed(at, &database, "hstore"), "");
    });
}

#[test]
fn what_it_requires_and_where_it_goes() {
    everywhere(|at| {
        let (_, database) = at.database();
        let mut earth = at.thing(KIND, json!({"database": database, "name": "earthdistance"}));
        earth.refused(&["/cascade", "required extension \"cube\""]);
        earth.set("/schema", "nowhere").set("/cascade", true);
        earth.refused(&["/schema", "\"nowhere\" does not exist"]);
        earth.set("/schema", json!(null));
        if !at.is_superuser {
            return earth.refused(&["/connection/user", "no trusted extension"]);
        }
        earth.create();
        assert_ne!(installed(at, &database, "cube"), "");
        let mut cube = at.thing(KIND, json!({"database": database, "name": "cube"}));
        cube.refused(&["/adopt", "it carries no mark"]);
        cube.set("/adopt", true).create();
        assert_eq!(earth.list().len(), 2);

        // Retained: the database is dropped with it.
        cube.destroy("retain");
        at.sql("postgres", &format!("DROP DATABASE {}", ident(&database)));
        cube.destroy("delete");
    });
}

#[test]
fn what_is_foreign_or_not_there() {
    everywhere(|at| {
        let (_, database) = at.database();
        let mut plpgsql = at.thing(KIND, json!({"database": database, "name": "plpgsql"}));
        plpgsql.refused(&["/adopt", "it carries no mark"]);
        plpgsql.set("/adopt", true);
        if at.is_superuser {
            plpgsql.create();
            plpgsql
                .set("/schema", "public")
                .plans("refuse", &["/schema"]);
            plpgsql.refused(&["/schema", "can't be moved to another schema"]);
        } else {
            plpgsql.refused(&["must be owner of extension plpgsql"]);
        }
        let mut no_such = at.thing(KIND, json!({"database": database, "name": "no such"}));
        no_such.plans("create", &["/connection", "/database", "/name", "/owner"]);
        no_such.refused(&["/name", "the server has no extension \"no such\""]);
        no_such.set("/name", "hstore").set("/version", "0.9");
        no_such.refused(&[
            "/version",
            "no version \"0.9\" of extension \"hstore\", but 1.4, 1.5",
        ]);
        no_such
            .set("/version", "")
            .refused(&["/version", "can't be empty"]);
        no_such
            .set("/version", json!(null))
            .set("/database", at.name("missing"));
        no_such.refused(&["/database", "there is no database"]);
    });
}
