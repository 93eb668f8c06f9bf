//! `postgresql_tenant`

use nixops4_resources_tests::canary::Canary;
use serde_json::{Value, json};

use crate::support::{Place, Thing, everywhere, ident, literal};

const KIND: &str = "postgresql_tenant";
const PASSWORD: &str = "the tenant's: password";

fn tenant<'a>(at: &'a Place, name: &str) -> Thing<'a> {
    let password = at.sandbox.write("tenant", PASSWORD);
    at.thing(
        KIND,
        json!({"name": name, "password": {"file": password}, "extensions": ["hstore", "pg_trgm"]}),
    )
}

fn login(at: &Place, user: &str, database: &str, sql: &str) -> Result<String, String> {
    at.server.sql_as(user, PASSWORD, database, sql)
}

fn count(at: &Place, name: &str) -> String {
    at.sql(
        "postgres",
        &format!(
            "SELECT (SELECT count(*) FROM pg_roles WHERE rolname = {name}),
                (SELECT count(*) FROM pg_database WHERE datname = {name}),
                (SELECT count(*) FROM pg_database WHERE datname LIKE 'nixops4-staging%')",
            name = literal(name)
        ),
    )
}

#[test]
fn it_has_everything_that_a_service_needs() {
    everywhere(|at| {
        let name = at.name("app");
        let mut app = tenant(at, &name);
        app.set("/connectionLimit", 7)
            .set("/roleConnectionLimit", 5)
            .set("/host", "db.internal");
        app.plans(
            "create",
            &[
                "/connection",
                "/connectionLimit",
                "/extensions",
                "/host",
                "/name",
                "/owner",
                "/password",
                "/roleConnectionLimit",
            ],
        );
        let outputs = app.create();
        let encoded = name
            .replace(' ', "%20")
            .replace('"', "%22")
            .replace('\'', "%27");
        let port = at.server.port();
        assert_eq!(
            outputs["url"],
            json!(format!(
                "postgresql://{encoded}@db.internal:{port}/{encoded}"
            ))
        );
        assert_eq!(outputs["host"], json!("db.internal"));
        assert_eq!(outputs["port"], json!(port));
        assert_eq!(
            (&outputs["user"], &outputs["database"]),
            (&json!(name), &json!(name))
        );
        let file = at.sandbox.work().join("tenant");
        assert_eq!(outputs["passwordRef"]["file"], json!(file));
        assert!(!Value::from(outputs.clone()).to_string().contains(PASSWORD));
        assert!(!at.server.log().contains(PASSWORD));

        let made = "CREATE TABLE kept AS SELECT 42 AS answer; CREATE SCHEMA own;
                    SELECT count(*) FROM pg_extension WHERE extname IN ('hstore', 'pg_trgm')";
        assert_eq!(login(at, &name, &name, made).as_deref(), Ok("2"));
        let limits = format!(
            "SELECT rolconnlimit, datconnlimit FROM pg_roles, pg_database
                              WHERE rolname = {0} AND datname = {0}",
            literal(&name)
        );
        assert_eq!(at.sql("postgres", &limits), "5|7");

        let stranger = at.name("stranger");
        at.sql(
            "postgres",
            &format!(
                "CREATE ROLE {} LOGIN PASSWORD {}",
                ident(&stranger),
                literal(PASSWORD)
            ),
        );
        let refused = login(at, &stranger, &name, "SELECT 1").unwrap_err();
        assert!(
            refused.contains("permission denied for database"),
            "{refused}"
        );

        // Drift of each part.
        let (quoted, in_sql) = (ident(&name), literal(&name));
        at.sql("postgres", &format!(
            "GRANT CONNECT ON DATABASE {quoted} TO PUBLIC; ALTER ROLE {quoted} CREATEDB CONNECTION LIMIT 1;
             ALTER DATABASE {quoted} CONNECTION LIMIT 1; ALTER DATABASE {quoted} OWNER TO postgres"
        ));
        at.sql(&name, "DROP EXTENSION hstore");
        app.plans(
            "update",
            &[
                "/createDatabase",
                "/roleConnectionLimit",
                "/name",
                "/connectionLimit",
                "/revokePublic",
                "/extensions",
            ],
        );
        if !at.is_superuser {
            // What is the superuser's is no restricted administrator's to take back.
            at.sql(
                "postgres",
                &format!("ALTER DATABASE {quoted} OWNER TO {quoted}"),
            );
        }
        app.create();
        let owner = format!("SELECT datdba::regrole FROM pg_database WHERE datname = {in_sql}");
        assert_eq!(at.sql("postgres", &owner), quoted);
        assert_eq!(at.sql("postgres", &limits), "5|7");

        app.destroy("delete");
        assert_eq!(count(at, &name), "0|0|0");
    });
}

#[test]
fn what_is_retained_comes_back_with_its_data() {
    everywhere(|at| {
        let name = at.name("app");
        let mut app = tenant(at, &name);
        app.create();
        login(at, &name, &name, "CREATE TABLE kept AS SELECT 42 AS answer").unwrap();
        app.destroy("retain");
        let refused = login(at, &name, &name, "SELECT 1").unwrap_err();
        assert!(refused.contains("not permitted to log in"), "{refused}");
        let marks = format!(
            "SELECT shobj_description(r.oid, 'pg_authid') LIKE '%owner=tests %retained-since=%',
                    shobj_description(d.oid, 'pg_database') LIKE '%owner=tests %retained-since=%', datallowconn
             FROM pg_roles r, pg_database d WHERE rolname = {0} AND datname = {0}", literal(&name));
        assert_eq!(at.sql("postgres", &marks), "t|t|f");

        // Another deployment doesn't get it; the same one does, with or without a record.
        app.forget()
            .set("/owner", "others")
            .refused(&["/adopt", "marked as that of \"tests\""]);
        let mut changes = vec![
            "/owner",
            "/login",
            "/allowConnections",
            "/extensions",
            "/extensions",
        ];
        if !at.is_superuser {
            // Without a record nothing tells which password the server has.
            changes.push("/password");
        }
        app.set("/owner", "tests").plans("update", &changes);
        app.create();
        assert_eq!(
            login(at, &name, &name, "SELECT answer FROM kept").as_deref(),
            Ok("42")
        );
        assert_eq!(at.sql("postgres", &marks), "f|f|t");
    });
}

#[test]
fn it_is_renamed_as_a_whole() {
    everywhere(|at| {
        let (name, renamed, role) = (at.name("app"), at.name("renamed"), at.name("role"));
        let mut app = tenant(at, &name);
        let outputs = app.create();
        app.set("/name", renamed.clone())
            .plans("update", &["/name", "/name"]);
        let after = app.create();
        assert_eq!(
            (&after["roleOid"], &after["databaseOid"]),
            (&outputs["roleOid"], &outputs["databaseOid"])
        );
        assert_eq!(count(at, &name), "0|0|0");
        assert_eq!(
            login(at, &renamed, &renamed, "SELECT 1").as_deref(),
            Ok("1")
        );
        app.set("/role", role.clone()).plans("update", &["/role"]);
        app.create();
        assert_eq!(login(at, &role, &renamed, "SELECT 1").as_deref(), Ok("1"));
    });
}

#[test]
fn it_is_killed_and_goes_on() {
    everywhere(|at| {
        for (number, point) in [
            "engine:observed",
            "tenant:role",
            "database:created",
            "database:marked",
            "tenant:database",
            "engine:applied-0",
            "engine:verified",
        ]
        .iter()
        .enumerate()
        {
            let name = at.name(&format!("created {number}"));
            let mut app = tenant(at, &name);
            app.kill_at(point);
            app.create();
            assert_eq!(
                login(at, &name, &name, "SELECT 1").as_deref(),
                Ok("1"),
                "{point}"
            );
            app.destroy("delete");
            assert_eq!(count(at, &name), "0|0|0", "{point}");
        }
        let name = at.name("kept");
        let mut app = tenant(at, &name);
        app.create();
        app.kill_destroying_at("tenant:role-retained", "retain");
        app.destroy("retain");
        assert_eq!(
            at.sql(
                "postgres",
                &format!(
                    "SELECT datallowconn FROM pg_database WHERE datname = {}",
                    literal(&name)
                )
            ),
            "f"
        );
        app.kill_at("tenant:role-marked");
        app.create();
        assert_eq!(login(at, &name, &name, "SELECT 1").as_deref(), Ok("1"));
        app.kill_destroying_at("tenant:database-dropped", "delete");
        assert_eq!(count(at, &name), "1|0|0");
        app.destroy("delete");
        assert_eq!(count(at, &name), "0|0|0");
    });
}

#[test]
fn what_is_foreign_is_refused_and_adopted() {
    everywhere(|at| {
        let name = at.name("app");
        at.make("postgresql_role", json!({"name": name, "owner": "others"}));
        let mut app = tenant(at, &name);
        app.refused(&["/adopt", "marked as that of \"others\""]);
        assert_eq!(count(at, &name), "1|0|0");
        app.set("/adopt", true).create();
        assert_eq!(login(at, &name, &name, "SELECT 1").as_deref(), Ok("1"));
    });
}

#[test]
fn errors_name_the_input() {
    everywhere(|at| {
        let name = at.name("app");
        let mut app = tenant(at, &name);
        app.set("/extensions", json!(["no such"]));
        app.refused(&["/extensions", "the server has no extension \"no such\""]);
        app.set("/extensions", json!([])).set("/role", "pg_app");
        app.refused(&["/role", "PostgreSQL keeps the name"]);
        app.set("/role", json!(null))
            .set("/host", "")
            .refused(&["/host", "can't be empty"]);
        app.set("/host", json!(null)).create();
        app.set("/encoding", "LATIN1")
            .plans("refuse", &["/encoding"]);
        app.set("/encoding", json!(null));
        let missing = at.sandbox.work().join("missing");
        app.set("/password", json!({"file": missing}));
        app.refused(&["/password/file", "unable to read the secret"]);
    });
}

#[test]
fn the_password_is_nowhere() {
    everywhere(|at| {
        let canary = Canary::new();
        let name = at.name("app");
        let mut app = tenant(at, &name);
        app.set(
            "/password",
            json!({"file": at.sandbox.write("canary", canary.value())}),
        );
        let outputs = app.create();
        canary.assert_absent("the outputs", Value::from(outputs).to_string().as_bytes());
        canary.assert_absent("the server's log", at.server.log().as_bytes());
    });
}
