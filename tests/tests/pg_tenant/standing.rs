//! Who stands in the way of those who manage the server is sent off.

use nixops4_resources_tests::messages;
use nixops4_resources_tests::provider::oneshot;
use serde_json::json;

use crate::intruder::{KEY, PASSWORD, Session, Swarm, sessions, stranger};
use crate::support::{Place, Thing, everywhere, ident, literal};

fn app<'a>(at: &'a Place, name: &str) -> Thing<'a> {
    let password = at.sandbox.write("tenant", PASSWORD);
    at.make(
        "postgresql_tenant",
        json!({"name": name, "password": {"file": password}}),
    )
}

#[test]
fn a_strangers_lock() {
    everywhere(|at| {
        let stranger = stranger(at);
        for (number, hold) in [
            "SELECT pg_advisory_lock(KEY)",
            "SELECT pg_advisory_lock_shared(KEY)",
            "BEGIN; SELECT pg_advisory_xact_lock(KEY)",
            "BEGIN; SELECT pg_advisory_xact_lock(KEY); PREPARE TRANSACTION 'held'",
            // Another lock: it keeps nobody out.
            "SELECT pg_advisory_lock((KEY::int8 >> 32)::int4, (KEY::int8 & 4294967295)::int4)",
        ]
        .into_iter()
        .enumerate()
        {
            let hold = hold.replace("KEY", KEY);
            let _session = Session::new(at, &stranger, "postgres", &hold);
            let name = at.name(&format!("role {number}"));
            at.make("postgresql_role", json!({"name": name}));
        }
        let left = "SELECT count(*) FROM pg_prepared_xacts";
        assert_eq!(at.sql("postgres", left), "0");
    });
}

#[test]
fn strangers_who_come_back_for_the_lock() {
    everywhere(|at| {
        let stranger = stranger(at);
        let hold = format!("SELECT pg_advisory_lock({KEY}), pg_sleep(600)");
        let swarm = Swarm::new(at, &stranger, "postgres", &hold);
        let (role, database) = at.database();
        assert_ne!(role, database);
        swarm.end(at, &stranger);
    });
}

/// Whatever of its own a tenant keeps open.
fn holds(name: &str) -> Vec<(&'static str, String)> {
    let own = ident(name);
    vec![
        ("postgres", format!("SELECT pg_advisory_lock({KEY})")),
        (
            "postgres",
            format!("BEGIN; COMMENT ON DATABASE {own} IS 'mine'"),
        ),
        (
            "postgres",
            format!("BEGIN; ALTER ROLE {own} SET work_mem = '1MB'"),
        ),
        (
            "postgres",
            format!("BEGIN; ALTER ROLE {own} PASSWORD {}", literal(PASSWORD)),
        ),
        (
            "postgres",
            format!("BEGIN; ALTER DATABASE {own} CONNECTION LIMIT 5"),
        ),
        (
            "",
            "BEGIN; CREATE TABLE held (); LOCK TABLE held".to_owned(),
        ),
        ("", format!("SELECT pg_advisory_lock({KEY})")),
        (
            "postgres",
            format!(
                "BEGIN; ALTER ROLE {own} PASSWORD {}; PREPARE TRANSACTION 'of the role'",
                literal(PASSWORD)
            ),
        ),
        (
            "postgres",
            format!("BEGIN; COMMENT ON DATABASE {own} IS 'mine'; PREPARE TRANSACTION 'comment'"),
        ),
    ]
}

#[test]
fn a_tenant_can_not_hold_up_what_is_done_to_it() {
    everywhere(|at| {
        for policy in ["retain", "delete"] {
            let count = holds("").len();
            for number in 0..count {
                let name = at.name(&format!("{policy} {number}"));
                let app = app(at, &name);
                let (database, hold) = holds(&name).swap_remove(number);
                let database = if database.is_empty() {
                    name.as_str()
                } else {
                    database
                };
                let _session = Session::new(at, &name, database, &hold);
                app.destroy(policy);
                assert_eq!(sessions(at, &name), "0", "{hold}");
                at.server
                    .sql_as(&name, PASSWORD, "postgres", "SELECT 1")
                    .expect_err("it is shut out");
            }
        }
        let left = "SELECT count(*) FROM pg_prepared_xacts";
        assert_eq!(at.sql("postgres", left), "0");
    });
}

#[test]
fn a_tenant_that_comes_back_is_shut_out() {
    everywhere(|at| {
        let name = at.name("swarm");
        let app = app(at, &name);
        let hold = format!("SELECT pg_advisory_lock({KEY}), pg_sleep(600)");
        let swarm = Swarm::new(at, &name, "postgres", &hold);
        app.destroy("retain");
        assert_eq!(sessions(at, &name), "0");
        swarm.end(at, &name);
    });
}

#[test]
fn nobody_sits_in_the_template() {
    everywhere(|at| {
        let stranger = stranger(at);
        let _session = Session::new(at, &stranger, "template1", "SELECT 1");
        let name = at.name("made");
        at.make("postgresql_database", json!({"name": name}));
        assert_eq!(sessions(at, &stranger), "1");
        let name = at.name("copied");
        at.make(
            "postgresql_database",
            json!({"name": name, "template": "template1"}),
        );
        assert_eq!(sessions(at, &stranger), "0");
    });
}

#[test]
fn a_plan_tells_what_is_open() {
    everywhere(|at| {
        let inputs = at.inputs(json!({"name": at.name("planned")}));
        let told = || {
            let request = messages::plan("postgresql_role", &inputs, &[], None).to_string();
            let output = oneshot(at.command(), [request.clone(), request]);
            String::from_utf8(output.stderr).expect("UTF-8")
        };
        let revoke = "REVOKE CONNECT ON DATABASE postgres, template1 FROM PUBLIC";
        assert_eq!(told().matches(revoke).count(), 1, "{}", told());
        at.sql(
            "postgres",
            &format!("GRANT CONNECT ON DATABASE postgres TO {}", at.user),
        );
        at.sql("postgres", revoke);
        assert_eq!(told(), "");
        at.sql(
            "postgres",
            "GRANT CONNECT ON DATABASE postgres, template1 TO PUBLIC",
        );
    });
}
