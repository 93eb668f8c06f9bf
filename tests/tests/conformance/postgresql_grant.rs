//! The kind `postgresql_grant`, of a table, to a role that
//! has the name of the thing.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::PathBuf;

use nixops4_resources_tests::canary::Canary;
use nixops4_resources_tests::conformance::{Bad, Drift, Field, Fixture, Verdict};
use nixops4_resources_tests::messages::{Object, object};
use nixops4_resources_tests::sandbox::Sandbox;
use serde_json::{Value, json};

use crate::postgresql::{self, GROUPS, STAGE, Site, identifier, literal};

crate::conformance_of!(Grant);

struct Grant<const SERVER: usize, const SUPERUSER: bool> {
    site: Site,
}

impl<const SERVER: usize, const SUPERUSER: bool> Grant<SERVER, SUPERUSER> {
    fn run(&self, statements: &str) {
        self.site.server().sql_in(STAGE, statements);
    }
}

impl<const SERVER: usize, const SUPERUSER: bool> Fixture for Grant<SERVER, SUPERUSER> {
    const TYPE: &'static str = "postgresql_grant";
    const PROVIDER: &'static str = "nixops4-resources-postgresql";
    const RETAINS: bool = false;
    const RENAMES: bool = false;
    const OWNED: bool = false;
    const LOCATED_BY: &'static [&'static str] = &[
        "owner",
        "role",
        "connection",
        "database",
        "objectType",
        "schema",
        "objects",
        "privileges",
    ];

    fn is_there() -> bool {
        postgresql::is_there(SERVER)
    }

    fn new() -> Self {
        let site = Site::new(SERVER, SUPERUSER);
        let owner = identifier(GROUPS[2]);
        let statements = format!(
            "SET client_min_messages = error;
             CREATE TABLE IF NOT EXISTS shared (a int, b int); ALTER TABLE shared OWNER TO {owner}"
        );
        site.server().sql_in(STAGE, &statements);
        Self { site }
    }

    fn sandbox(&self) -> &Sandbox {
        &self.site.sandbox
    }

    fn environment(&self) -> Vec<(&'static str, OsString)> {
        self.site.environment()
    }

    fn inputs(&self, name: &str) -> Object {
        self.site
            .by_hand(&format!("CREATE ROLE {}", identifier(name)));
        object(json!({
            "connection": self.site.connection(),
            "database": STAGE,
            "role": name,
            "objectType": "table",
            "schema": "public",
            "objects": ["shared"],
            "privileges": ["SELECT", "INSERT"],
        }))
    }

    fn fields(&self) -> Vec<Field> {
        [
            ("/privileges", json!(["SELECT", "UPDATE"]), Verdict::Changed),
            ("/grantOption", json!(true), Verdict::Changed),
            ("/mode", json!("additive"), Verdict::Ignored),
            ("/cascade", json!(true), Verdict::Ignored),
        ]
        .map(|(pointer, value, verdict)| Field {
            pointer,
            value,
            verdict,
        })
        .into()
    }

    fn drifts(&self) -> Vec<Drift<Self>> {
        let drift = |make| Drift {
            pointer: "/privileges",
            make,
        };
        vec![
            drift(|at: &Self, name| {
                at.run(&format!(
                    "REVOKE SELECT ON shared FROM {}",
                    identifier(name)
                ));
            }),
            drift(|at, name| {
                at.run(&format!("GRANT TRUNCATE ON shared TO {}", identifier(name)));
            }),
        ]
    }

    fn bad(&self) -> Vec<Bad> {
        let of = postgresql::wrong;
        let mut all = postgresql::bad_names("/role");
        all.extend([
            of("/objectType", json!("view"), &["\"table\""]),
            of("/privileges", json!(["EXECUTE"]), &["EXECUTE", "hint: "]),
            of("/privileges", json!("SELECT"), &["expected a list"]),
            of("/schema", Value::Null, &["hint: "]),
            of("/database", Value::Null, &["hint: "]),
            of("/mode", json!("both"), &["\"additive\""]),
            of("/objects", json!([]), &["hint: "]),
        ]);
        all
    }

    fn look(&self, name: &str) -> Option<Value> {
        let query = format!(
            "SELECT jsonb_agg(jsonb_build_array(a.privilege_type, a.is_grantable,
                pg_get_userbyid(a.grantor)) ORDER BY a.privilege_type)
             FROM pg_class c, aclexplode(c.relacl) a
             WHERE c.oid = 'public.shared'::regclass
               AND pg_get_userbyid(a.grantee) = {} HAVING count(*) > 0",
            literal(name)
        );
        self.site.row_in(STAGE, &query)
    }

    fn version(&self, _: &str) -> String {
        let query = "SELECT xmin FROM pg_class WHERE oid = 'public.shared'::regclass";
        self.site.server().sql_in(STAGE, query)
    }

    fn everything(&self) -> BTreeSet<String> {
        let query = "SELECT DISTINCT pg_get_userbyid(a.grantee)
             FROM pg_class c, aclexplode(c.relacl) a
             WHERE c.oid = 'public.shared'::regclass AND a.grantee <> c.relowner";
        self.site.set_of(STAGE, query)
    }

    fn vanish(&self, name: &str) {
        self.run(&format!("REVOKE ALL ON shared FROM {}", identifier(name)));
    }

    fn is_in_service(&self, name: &str) -> bool {
        self.look(name).is_some()
    }

    fn put_data(&self, name: &str) {
        unreachable!("{name} holds no data");
    }

    fn has_data(&self, name: &str) -> bool {
        unreachable!("{name} holds no data");
    }

    fn make_unmarked(&self, _: &str) -> bool {
        false
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
