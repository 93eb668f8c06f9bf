//! The kind `postgresql_database`.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::PathBuf;

use nixops4_resources_tests::canary::Canary;
use nixops4_resources_tests::conformance::{Bad, Drift, Field, Fixture, Verdict};
use nixops4_resources_tests::messages::{Object, object};
use nixops4_resources_tests::sandbox::Sandbox;
use serde_json::{Value, json};

use crate::postgresql::{self, At, GROUPS, Site, identifier, literal, timeless};

crate::conformance_of!(Database);

struct Database<const SERVER: usize, const SUPERUSER: bool> {
    site: Site,
}

impl<const SERVER: usize, const SUPERUSER: bool> Database<SERVER, SUPERUSER> {
    fn alter(&self, name: &str, what: &str) {
        let database = identifier(name);
        self.site.sql(&format!("ALTER DATABASE {database} {what}"));
    }
}

impl<const SERVER: usize, const SUPERUSER: bool> Fixture for Database<SERVER, SUPERUSER> {
    const TYPE: &'static str = "postgresql_database";
    const PROVIDER: &'static str = "nixops4-resources-postgresql";
    const RETAINS: bool = true;
    const RENAMES: bool = true;

    fn is_there() -> bool {
        postgresql::is_there(SERVER)
    }

    fn new() -> Self {
        Self {
            site: Site::new(SERVER, SUPERUSER),
        }
    }

    fn sandbox(&self) -> &Sandbox {
        &self.site.sandbox
    }

    fn environment(&self) -> Vec<(&'static str, OsString)> {
        self.site.environment()
    }

    fn inputs(&self, name: &str) -> Object {
        object(json!({
            "connection": self.site.connection(),
            "name": name,
            "ownerRole": GROUPS[2],
            "encoding": "UTF8",
            "locale": "C.UTF-8",
            "connectionLimit": 3,
            "revokePublic": true,
            "settings": {"work_mem": "4MB"},
        }))
    }

    fn fields(&self) -> Vec<Field> {
        [
            ("/ownerRole", json!(GROUPS[1]), Verdict::Changed),
            ("/connectionLimit", json!(7), Verdict::Changed),
            ("/allowConnections", json!(false), Verdict::Changed),
            ("/isTemplate", json!(true), Verdict::Changed),
            ("/revokePublic", json!(false), Verdict::Ignored),
            ("/settings/work_mem", json!("5MB"), Verdict::Changed),
            ("/comment", json!("the shop's\n\"data\""), Verdict::Changed),
            ("/encoding", json!("LATIN1"), Verdict::Refused),
            ("/encoding", json!("utf-8"), Verdict::Ignored),
            ("/locale", json!("C"), Verdict::Refused),
            ("/locale", json!("C.utf8"), Verdict::Ignored),
            ("/template", json!("template1"), Verdict::Ignored),
        ]
        .map(|(pointer, value, verdict)| Field {
            pointer,
            value,
            verdict,
        })
        .into()
    }

    fn drifts(&self) -> Vec<Drift<Self>> {
        let drift = |pointer, make| Drift { pointer, make };
        vec![
            drift("/ownerRole", |at: &Self, name| {
                at.alter(name, "OWNER TO readers");
            }),
            drift("/connectionLimit", |at, name| {
                at.alter(name, "CONNECTION LIMIT -1");
            }),
            drift("/isTemplate", |at, name| at.alter(name, "IS_TEMPLATE true")),
            drift("/revokePublic", |at, name| {
                let database = identifier(name);
                at.site
                    .sql(&format!("GRANT CONNECT ON DATABASE {database} TO PUBLIC"));
            }),
            drift("/allowConnections", |at, name| {
                at.alter(name, "ALLOW_CONNECTIONS false");
            }),
        ]
    }

    fn bad(&self) -> Vec<Bad> {
        let of = postgresql::wrong;
        let mut all = postgresql::bad_names("/name");
        all.extend(postgresql::bad_limits("/connectionLimit"));
        all.extend([
            of("/ownerRole", json!(""), &["can't be empty"]),
            of("/ownerRole", json!("x".repeat(64)), &["64 bytes"]),
            of("/encoding", json!(""), &["can't be empty"]),
            of("/locale", json!("C\u{0}"), &["NUL"]),
            of("/template", json!(""), &["can't be empty"]),
            of("/allowConnections", json!(1), &["expected true or false"]),
            of("/icuLocale", json!("de"), &["only the locale provider icu"]),
            of("/settings", json!({"": "x"}), &[]).at("/settings/", ""),
            of("/comment", json!("a\u{0}"), &["NUL"]),
        ]);
        all
    }

    fn look(&self, name: &str) -> Option<Value> {
        self.site.row(&format!(
            "SELECT to_jsonb(d) - '{{oid,datdba,datfrozenxid,datminmxid}}'::text[] || jsonb_build_object(
                'comment', {},
                'settings', (SELECT to_jsonb(s.setconfig) FROM pg_db_role_setting s
                             WHERE s.setdatabase = d.oid AND s.setrole = 0),
                'owner', pg_get_userbyid(datdba))
             FROM pg_database d WHERE datname = {}",
            timeless("shobj_description(oid, 'pg_database')"),
            literal(name)
        ))
    }

    fn version(&self, name: &str) -> String {
        self.site.sql(&format!(
            "SELECT d.xmin, s.xmin FROM pg_database d
             LEFT JOIN pg_shdescription s ON s.objoid = d.oid WHERE datname = {}",
            literal(name)
        ))
    }

    fn everything(&self) -> BTreeSet<String> {
        self.site.everything()
    }

    fn is_in_service(&self, name: &str) -> bool {
        let name = literal(name);
        let query = format!("SELECT datallowconn FROM pg_database WHERE datname = {name}");
        self.site.holds(&query)
    }

    fn put_data(&self, name: &str) {
        let table = "CREATE TABLE kept AS SELECT 42 AS answer";
        self.site.server().sql_in(name, table);
    }

    fn has_data(&self, name: &str) -> bool {
        self.site.server().sql_in(name, "SELECT answer FROM kept") == "42"
    }

    fn vanish(&self, name: &str) {
        let database = identifier(name);
        self.alter(name, "IS_TEMPLATE false");
        self.site.sql(&format!("DROP DATABASE {database}"));
    }

    fn make_unmarked(&self, name: &str) -> bool {
        let database = identifier(name);
        self.site.by_hand(&format!("CREATE DATABASE {database}"));
        true
    }

    fn references(&self) -> Vec<&'static str> {
        vec!["/connection/password"]
    }

    fn secrets(&self) -> Vec<Canary> {
        vec![self.site.secret()]
    }

    fn planted(&self) -> Vec<PathBuf> {
        vec![self.site.planted()]
    }

    fn writings(&self) -> Vec<(String, Vec<u8>)> {
        self.site.writings()
    }
}
