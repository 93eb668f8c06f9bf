//! The kind `postgresql_default_privileges`, for a role that has
//! the name of the thing.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::PathBuf;

use nixops4_resources_tests::canary::Canary;
use nixops4_resources_tests::conformance::{Bad, Drift, Field, Fixture, Verdict};
use nixops4_resources_tests::messages::{Object, object};
use nixops4_resources_tests::sandbox::Sandbox;
use serde_json::{Value, json};

use crate::postgresql::{self, At, GROUPS, STAGE, Site, identifier, literal};

crate::conformance_of!(DefaultPrivileges);

struct DefaultPrivileges<const SERVER: usize, const SUPERUSER: bool> {
    site: Site,
}

impl<const SERVER: usize, const SUPERUSER: bool> DefaultPrivileges<SERVER, SUPERUSER> {
    fn alter(&self, what: &str, name: &str) {
        let (creator, role) = (identifier(GROUPS[2]), identifier(name));
        let statement =
            format!("ALTER DEFAULT PRIVILEGES FOR ROLE {creator} IN SCHEMA public {what} {role}");
        self.site.server().sql_in(STAGE, &statement);
    }
}

/// The default privileges of the creator, and where they stand.
const ENTRIES: &str = "pg_default_acl d, aclexplode(d.defaclacl) a
    WHERE pg_get_userbyid(d.defaclrole) = 'owners' AND d.defaclobjtype = 'r'";

impl<const SERVER: usize, const SUPERUSER: bool> Fixture for DefaultPrivileges<SERVER, SUPERUSER> {
    const TYPE: &'static str = "postgresql_default_privileges";
    const PROVIDER: &'static str = "nixops4-resources-postgresql";
    const RETAINS: bool = false;
    const RENAMES: bool = false;
    const OWNED: bool = false;
    const LOCATED_BY: &'static [&'static str] = &[
        "owner",
        "role",
        "connection",
        "database",
        "creator",
        "schema",
        "objectType",
        "privileges",
    ];

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
        self.site
            .by_hand(&format!("CREATE ROLE {}", identifier(name)));
        object(json!({
            "connection": self.site.connection(),
            "database": STAGE,
            "creator": GROUPS[2],
            "schema": "public",
            "role": name,
            "objectType": "table",
            "privileges": ["SELECT", "INSERT"],
        }))
    }

    fn fields(&self) -> Vec<Field> {
        [
            ("/privileges", json!(["SELECT", "UPDATE"]), Verdict::Changed),
            ("/grantOption", json!(true), Verdict::Changed),
            ("/mode", json!("additive"), Verdict::Ignored),
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
            drift(|at: &Self, name| at.alter("REVOKE SELECT ON TABLES FROM", name)),
            drift(|at, name| at.alter("GRANT TRUNCATE ON TABLES TO", name)),
        ]
    }

    fn bad(&self) -> Vec<Bad> {
        let of = postgresql::wrong;
        let mut all = postgresql::bad_names("/role");
        all.extend(postgresql::bad_names("/creator"));
        all.extend([
            of("/objectType", json!("database"), &["\"table\""]),
            of("/privileges", json!(["EXECUTE"]), &["EXECUTE", "hint: "]),
            of("/privileges", json!(["select"]), &[]).at("/privileges/0", "SELECT"),
            of("/database", Value::Null, &["missing field"]),
        ]);
        all
    }

    fn look(&self, name: &str) -> Option<Value> {
        let query = format!(
            "SELECT jsonb_agg(jsonb_build_array(a.privilege_type, a.is_grantable,
                pg_get_userbyid(a.grantor)) ORDER BY a.privilege_type)
             FROM {ENTRIES} AND pg_get_userbyid(a.grantee) = {} HAVING count(*) > 0",
            literal(name)
        );
        self.site.row_in(STAGE, &query)
    }

    fn version(&self, _: &str) -> String {
        let query = "SELECT xmin FROM pg_default_acl ORDER BY oid";
        self.site.server().sql_in(STAGE, query)
    }

    fn everything(&self) -> BTreeSet<String> {
        let query = format!("SELECT DISTINCT pg_get_userbyid(a.grantee) FROM {ENTRIES}");
        self.site.set_of(STAGE, &query)
    }

    fn vanish(&self, name: &str) {
        self.alter("REVOKE ALL ON TABLES FROM", name);
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
