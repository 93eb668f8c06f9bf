//! `postgresql_schema`

use nixops4_resources_tests::mark::without_details;
use serde_json::json;

use crate::support::{Place, assert_parts, everywhere, ident, literal};

const KIND: &str = "postgresql_schema";

fn owner_of(at: &Place, database: &str, schema: &str) -> String {
    let schema = literal(schema);
    at.sql(
        database,
        &format!("SELECT nspowner::regrole FROM pg_namespace WHERE nspname = {schema}"),
    )
}

fn privileges(at: &Place, database: &str, schema: &str) -> String {
    let sql = format!(
        "SELECT string_agg(coalesce(r.rolname, 'PUBLIC') || ' ' || privilege_type || ' ' || is_grantable,
                           ', ' ORDER BY r.rolname, privilege_type)
         FROM pg_namespace, aclexplode(coalesce(nspacl, acldefault('n', nspowner))) a
         LEFT JOIN pg_roles r ON r.oid = a.grantee WHERE nspname = {}",
        literal(schema)
    );
    at.sql(database, &sql)
}

#[test]
fn it_is_made_changed_and_dropped() {
    everywhere(|at| {
        let (owner, database) = at.database();
        let (name, other) = (at.name("schema"), at.name("other"));
        at.make("postgresql_role", json!({"name": other}));
        let inputs = json!({"database": database, "name": name, "ownerRole": owner});
        let mut schema = at.thing(KIND, inputs);
        schema.plans(
            "create",
            &["/connection", "/database", "/name", "/owner", "/ownerRole"],
        );
        let outputs = schema.create();
        assert_eq!(outputs["name"], json!(name));
        assert_eq!(outputs["database"], json!(database));
        assert_eq!(outputs["ownerRole"], json!(owner));
        assert!(outputs["databaseOid"].is_i64() && outputs["systemIdentifier"].is_string());
        assert_eq!(
            schema.list(),
            [json!({
                "server": format!("{}:{}", at.server.host(), at.server.port()),
                "database": database, "schema": name,
            })]
        );

        // Drift, and a change of each field.
        at.sql(
            &database,
            &format!("ALTER SCHEMA {} OWNER TO postgres", ident(&name)),
        );
        schema.plans("update", &["/ownerRole"]);
        at.sql(
            &database,
            &format!("ALTER SCHEMA {} OWNER TO {}", ident(&name), ident(&other)),
        );
        schema.create();
        assert_eq!(owner_of(at, &database, &name), ident(&owner));
        let renamed = at.name("renamed");
        schema
            .set("/name", renamed.clone())
            .set("/ownerRole", other.clone());
        schema.plans("update", &["/name", "/ownerRole"]);
        assert_eq!(schema.create()["oid"], outputs["oid"]);
        assert_eq!(owner_of(at, &database, &renamed), ident(&other));
        assert_eq!(owner_of(at, &database, &name), "");

        at.sql(&database, &format!("CREATE TABLE {}.t ()", ident(&renamed)));
        schema.destroy("delete");
        assert_eq!(owner_of(at, &database, &renamed), "");
        at.sql("postgres", &format!("DROP DATABASE {}", ident(&database)));
        schema.destroy("delete");
    });
}

#[test]
fn what_is_retained_is_out_of_reach_and_comes_back() {
    everywhere(|at| {
        let (owner, database) = at.database();
        let (name, reader, gone) = (at.name("schema"), at.name("reader"), at.name("gone"));
        let inputs = json!({"database": database, "name": name, "ownerRole": owner});
        let mut schema = at.make(KIND, inputs);
        let (quoted, to) = (ident(&name), format!("{}, PUBLIC", ident(&reader)));
        at.sql(
            &database,
            &format!(
                "CREATE ROLE {}; CREATE ROLE {}; GRANT USAGE ON SCHEMA {quoted} TO {to};
             GRANT CREATE ON SCHEMA {quoted} TO {} WITH GRANT OPTION;
             GRANT CREATE ON SCHEMA {quoted} TO {}; CREATE TABLE {quoted}.t AS SELECT 42;
             DO $$BEGIN EXECUTE format('COMMENT ON SCHEMA %s IS %L', {}, concat('ask Ann', E'\\n',
                obj_description({}::regnamespace))); END$$",
                ident(&reader),
                ident(&gone),
                ident(&reader),
                ident(&gone),
                literal(&quoted),
                literal(&quoted),
            ),
        );
        let before = privileges(at, &database, &name);
        assert!(
            before.contains("USAGE") && before.contains("PUBLIC"),
            "{before}"
        );
        schema.destroy("retain");
        assert_eq!(privileges(at, &database, &name), "");
        let comment = format!("SELECT obj_description({}::regnamespace)", literal(&quoted));
        let text = at.sql(&database, &comment);
        assert!(
            text.starts_with("ask Ann\n") && text.contains("retained-since="),
            "{text}"
        );
        at.sql(&database, &format!("DROP ROLE {}", ident(&gone)));

        schema.forget().plans("update", &["/owner"]);
        schema.create();
        let after = privileges(at, &database, &name);
        let expected: Vec<_> = before
            .split(", ")
            .filter(|one| !one.contains(&gone))
            .collect();
        assert_eq!(after.split(", ").collect::<Vec<_>>(), expected);
        assert_eq!(
            without_details(&at.sql(&database, &comment)),
            "ask Ann\nnixops4-resources: owner=tests"
        );
        assert_eq!(
            at.sql(&database, &format!("SELECT * FROM {quoted}.t")),
            "42"
        );
    });
}

#[test]
fn what_is_foreign_is_refused_and_adopted() {
    everywhere(|at| {
        let (owner, database) = at.database();
        let inputs = json!({"database": database, "name": "public"});
        let mut schema = at.thing(KIND, inputs);
        schema.refused(&["/adopt", "schema \"public\"", "it carries no mark"]);
        schema.set("/adopt", true).create();
        let comment = at.sql(&database, "SELECT obj_description('public'::regnamespace)");
        assert_eq!(
            without_details(&comment),
            "standard public schema\nnixops4-resources: owner=tests"
        );
        schema.set("/owner", "others").set("/adopt", false);
        schema.refused(&["/adopt", "marked as that of \"tests\""]);
        schema
            .set("/owner", "tests")
            .set("/ownerRole", owner.clone())
            .create();
        assert_eq!(owner_of(at, &database, "public"), ident(&owner));
    });
}

#[test]
fn errors_name_the_input() {
    everywhere(|at| {
        let (_, database) = at.database();
        let (other_owner, missing) = (at.name("missing"), at.name("no such database"));
        let mut schema = at.thing(KIND, json!({"database": missing, "name": "s"}));
        schema.plans("create", &["/connection", "/database", "/name", "/owner"]);
        schema.refused(&["/database", "does not exist", "declare that database"]);
        schema
            .set("/database", database.clone())
            .set("/ownerRole", other_owner);
        schema.refused(&["/ownerRole", "does not exist"]);
        schema
            .set("/name", "pg_x")
            .refused(&["/name", "PostgreSQL keeps the name"]);
        let error = schema
            .set("/name", "x".repeat(64))
            .try_create()
            .unwrap_err();
        assert!(
            error.contains("/name") && error.contains("64 bytes"),
            "{error}"
        );
        schema.set("/name", "s").set("/ownerRole", at.user).create();

        // It can't be renamed to one that is there, nor moved to another database.
        schema
            .set("/name", "public")
            .refused(&["/name", "already exists"]);
        schema.set("/name", "s").set("/database", "postgres");
        schema.refused(&["/database", "can't be moved"]);
        schema.set("/database", database.clone());

        // The database is renamed: it is the same schema.
        let renamed = at.name("renamed database");
        at.sql(
            "postgres",
            &format!(
                "ALTER DATABASE {} RENAME TO {}",
                ident(&database),
                ident(&renamed)
            ),
        );
        schema.set("/database", renamed.clone()).plans("none", &[]);
        at.sql(
            "postgres",
            &format!("ALTER DATABASE {} ALLOW_CONNECTIONS false", ident(&renamed)),
        );
        let error = schema.try_create().unwrap_err();
        assert_parts(
            &error,
            &["/database", "not currently accepting connections"],
        );
        at.sql(
            "postgres",
            &format!("ALTER DATABASE {} ALLOW_CONNECTIONS true", ident(&renamed)),
        );
        schema.destroy("delete");
        assert_eq!(owner_of(at, &renamed, "s"), "");
    });
}

#[test]
fn it_is_listed_in_every_database_and_what_nobody_can_look_into_is_named() {
    everywhere(|at| {
        let (one, two) = (at.database().1, at.database().1);
        let things: Vec<_> = [&one, &two]
            .map(|database| {
                let name = at.name("schema");
                let mut thing = at.thing(KIND, json!({"database": database, "name": name}));
                thing.create();
                thing
            })
            .into();
        let (closed, foreign) = (at.name("closed"), at.name("foreign"));
        for (database, statement) in [
            (&closed, "ALTER DATABASE {} ALLOW_CONNECTIONS false"),
            (&foreign, "REVOKE CONNECT ON DATABASE {} FROM PUBLIC"),
        ] {
            at.sql("postgres", &format!("CREATE DATABASE {}", ident(database)));
            at.sql("postgres", &statement.replace("{}", &ident(database)));
        }
        for thing in &things {
            let (listed, unseen) = thing.list_everywhere();
            for database in [&one, &two] {
                let is_in = |identity: &&serde_json::Value| identity["database"] == **database;
                assert_eq!(listed.iter().filter(is_in).count(), 1, "{listed:?}");
            }
            let reason = |database: &str| {
                let place = format!("database {} on ", ident(database));
                let mut unseen = unseen.iter();
                let found = unseen.find(|it| it["place"].as_str().unwrap().starts_with(&place));
                found.map(|it| it["reason"].as_str().unwrap().to_owned())
            };
            assert!(reason(&closed).is_some_and(|it| it.contains("ALLOW_CONNECTIONS")));
            let denied = reason(&foreign);
            if at.is_superuser {
                assert_eq!(denied, None);
            } else {
                assert!(denied.is_some_and(|it| it.contains("manager has no CONNECT")));
            }
            assert_eq!(reason(&one), None);
        }
        for database in [&closed, &foreign] {
            at.sql("postgres", &format!("DROP DATABASE {}", ident(database)));
        }
    });
}
