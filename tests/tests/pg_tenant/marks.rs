//! An owner can't change whose its things are.

use nixops4_resources_tests::messages;
use nixops4_resources_tests::provider::oneshot;
use serde_json::json;

use crate::intruder::PASSWORD;
use crate::support::{Place, Thing, WITNESSES, everywhere, ident, literal};

const TENANT: &str = "postgresql_tenant";

fn app<'a>(at: &'a Place, name: &str) -> Thing<'a> {
    let password = at.sandbox.write("tenant", PASSWORD);
    at.make(
        TENANT,
        json!({"name": name, "password": {"file": password}}),
    )
}

/// Runs statements as an owner of things, in its database.
fn as_owner(at: &Place, name: &str, sql: &str) {
    let sql = format!("SET ROLE {}; {sql}", ident(name));
    at.sql(name, &sql);
}

fn comment(at: &Place, name: &str) -> String {
    let sql = format!(
        "SELECT shobj_description(oid, 'pg_database') FROM pg_database WHERE datname = {}",
        literal(name)
    );
    at.sql("postgres", &sql)
}

/// Another mark, of another deployment.
const FORGED: &str = "nixops4-resources: owner=others type=postgresql_tenant";

#[test]
fn a_tenant_can_not_escape() {
    everywhere(|at| {
        for (number, forged) in ["NULL", &literal(FORGED)].into_iter().enumerate() {
            let name = at.name(&format!("escape {number}"));
            let mut app = app(at, &name);
            let deface = format!("COMMENT ON DATABASE {} IS {forged}", ident(&name));
            as_owner(at, &name, &deface);

            // It is found, with or without the record, and nobody else gets it.
            let found = |app: &Thing<'_>| {
                let all = app.list();
                all.iter().any(|one| one["database"] == json!(name))
            };
            assert!(found(&app));
            app.plans("update", &["/owner"]);
            let mut others = at.thing(TENANT, json!({"name": name, "owner": "others"}));
            assert!(!found(&others));
            others.refused(&["/adopt", "\"tests\""]);
            app.create();
            assert!(comment(at, &name).contains("owner=tests"));

            as_owner(at, &name, &deface);
            app.destroy("retain");
            at.server
                .sql_as(&name, PASSWORD, &name, "SELECT 1")
                .expect_err("it is out of service");
            app.create();
            as_owner(at, &name, &deface);
            app.destroy("delete");
        }
    });
}

#[test]
fn the_owner_of_a_schema_or_an_extension_can_not_either() {
    everywhere(|at| {
        let (role, database) = at.database();
        let owned = format!("SET ROLE {}; ", ident(&role));
        // A tenant makes an extension by itself, and owns it then.
        at.sql(&database, &format!("{owned}CREATE EXTENSION pg_trgm"));
        let schema = json!({"name": "shop", "database": database, "ownerRole": role});
        let extension = json!({"name": "pg_trgm", "database": database, "adopt": true});
        for (kind, inputs, deface) in [
            (
                "postgresql_schema",
                schema,
                "COMMENT ON SCHEMA shop IS NULL",
            ),
            (
                "postgresql_extension",
                extension,
                "COMMENT ON EXTENSION pg_trgm IS NULL",
            ),
        ] {
            let mut thing = at.make(kind, inputs);
            thing.set("/adopt", false);
            at.sql(&database, &format!("{owned}{deface}"));
            assert_eq!(thing.list().len(), 1);
            thing.plans("update", &["/owner"]);
            thing.create();
            at.sql(&database, &format!("{owned}{deface}"));
            thing.forget().plans("update", &["/owner"]);
            thing.create();
            at.sql(&database, &format!("{owned}{deface}"));
            thing.destroy("delete");
            assert!(thing.list().is_empty());
        }
        // What is made under the same name afterwards is somebody else's.
        at.sql(&database, &format!("{owned}CREATE SCHEMA shop"));
        at.thing(
            "postgresql_schema",
            json!({"name": "shop", "database": database}),
        )
        .refused(&["/adopt", "it carries no mark"]);
    });
}

#[test]
fn what_was_made_before_there_were_witnesses() {
    everywhere(|at| {
        let name = at.name("before");
        let forget = |at: &Place| {
            let sql = format!(
                "ALTER ROLE {} IN DATABASE {} RESET ALL",
                at.user,
                ident(&name)
            );
            at.sql("postgres", &sql);
        };
        let mut app = app(at, &name);
        forget(at);
        app.plans("update", &["/owner"]);
        app.create();

        // With neither, the record leads to it; without that it is nobody's.
        forget(at);
        let deface = format!("COMMENT ON DATABASE {} IS NULL", ident(&name));
        as_owner(at, &name, &deface);
        app.plans("update", &["/owner"]);
        let mut unknown = at.thing(TENANT, json!({"name": name}));
        unknown.refused(&["/adopt", "it carries no mark"]);
        app.destroy("retain");
        app.create();

        // Without a witness a mark of others decides.
        forget(at);
        as_owner(at, &name, &deface.replace("NULL", &literal(FORGED)));
        app.refused(&["/adopt", "\"others\""]);
        app.set("/adopt", true).create();
        app.destroy("delete");
    });
}

/// Two deployments, one of which is given what the other had; by two administrators.
#[test]
fn what_is_adopted_changes_hands() {
    everywhere(|at| {
        let name = at.name("handed");
        let mut ours = app(at, &name);
        let mut theirs = at.thing(TENANT, json!({"name": name, "owner": "others"}));
        theirs.refused(&["/adopt", "\"tests\""]);
        theirs.set("/adopt", true);
        if !at.is_superuser {
            // Another administrator has a witness of its own, which is the newer one.
            let password = at.server.superuser_password_file();
            theirs.set("/connection/user", "postgres");
            theirs.set("/connection/password", json!({"file": password}));
        }
        theirs.create();
        ours.refused(&["/adopt", "\"others\""]);
        ours.set("/adopt", true).create();
        theirs
            .set("/adopt", false)
            .refused(&["/adopt", "\"tests\""]);
        ours.destroy("delete");
    });
}

#[test]
fn an_administrator_who_may_not_write_them() {
    everywhere(|at| {
        if at.is_superuser {
            return;
        }
        at.sql(
            "postgres",
            &format!("REVOKE SET ON PARAMETER {WITNESSES} FROM manager"),
        );
        let name = at.name("unwitnessed");
        let mut app = app(at, &name);
        let request = messages::plan(TENANT, &at.inputs(json!({"name": name})), &[], None);
        let output = oneshot(at.command(), [request.to_string()]);
        let told = String::from_utf8(output.stderr).expect("UTF-8");
        let grant = format!("GRANT SET ON PARAMETER {WITNESSES} TO \"manager\"");
        assert!(told.contains(&grant), "{told}");

        // A mark that is gone is found by the record.
        as_owner(
            at,
            &name,
            &format!("COMMENT ON DATABASE {} IS NULL", ident(&name)),
        );
        app.plans("update", &["/owner"]);
        app.create();

        // What another administrator vouches for, it can't change behind that one's back.
        let line = comment(at, &name);
        at.sql(
            "postgres",
            &format!(
                "ALTER ROLE postgres IN DATABASE {} SET nixops4_resources.database = {}",
                ident(&name),
                literal(&format!("{line} revision=1"))
            ),
        );
        app.plans("none", &[]);
        let refused = app.try_destroy("retain").unwrap_err();
        assert!(refused.contains("nixops4_resources.database"), "{refused}");
        at.sql(
            "postgres",
            &format!("GRANT SET ON PARAMETER {WITNESSES} TO manager"),
        );
        app.destroy("retain");
        app.destroy("delete");
    });
}
