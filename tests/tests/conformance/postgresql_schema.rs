//! The kind `postgresql_schema`.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::PathBuf;

use nixops4_resources_tests::canary::Canary;
use nixops4_resources_tests::conformance::{Bad, Drift, Field, Fixture, Verdict};
use nixops4_resources_tests::messages::{Object, object};
use nixops4_resources_tests::sandbox::Sandbox;
use serde_json::{Value, json};

use crate::postgresql::{self, GROUPS, STAGE, Site, identifier, literal, timeless};

crate::conformance_of!(Schema);

struct Schema<const SERVER: usize, const SUPERUSER: bool> {
    site: Site,
}

impl<const SERVER: usize, const SUPERUSER: bool> Schema<SERVER, SUPERUSER> {
    fn holds(&self, query: &str) -> bool {
        self.site.server().sql_in(STAGE, query) == "t"
    }
}

impl<const SERVER: usize, const SUPERUSER: bool> Fixture for Schema<SERVER, SUPERUSER> {
    const TYPE: &'static str = "postgresql_schema";
    const PROVIDER: &'static str = "nixops4-resources-postgresql";
    const RETAINS: bool = true;
    const RENAMES: bool = true;
    const LOCATED_BY: &'static [&'static str] = &["owner", "name", "connection", "database"];

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
            "database": STAGE,
            "name": name,
            "ownerRole": GROUPS[2],
        }))
    }

    fn fields(&self) -> Vec<Field> {
        [("/ownerRole", json!(GROUPS[1]), Verdict::Changed)]
            .map(|(pointer, value, verdict)| Field {
                pointer,
                value,
                verdict,
            })
            .into()
    }

    fn drifts(&self) -> Vec<Drift<Self>> {
        vec![Drift {
            pointer: "/ownerRole",
            make: |at, name| {
                let schema = identifier(name);
                let statement = format!("ALTER SCHEMA {schema} OWNER TO readers");
                at.site.server().sql_in(STAGE, &statement);
            },
        }]
    }

    fn bad(&self) -> Vec<Bad> {
        let of = postgresql::wrong;
        let mut all = postgresql::bad_names("/name");
        all.extend(postgresql::bad_names("/database"));
        all.extend([
            of("/name", json!("pg_app"), &["pg_app", "hint: choose"]),
            of("/name", json!("information_schema"), &["hint: choose"]),
            of("/ownerRole", json!(""), &["can't be empty"]),
            of("/ownerRole", json!(7), &["expected a text"]),
        ]);
        all
    }

    fn look(&self, name: &str) -> Option<Value> {
        let query = format!(
            "SELECT to_jsonb(n) - '{{oid,nspowner}}'::text[] || jsonb_build_object(
                'comment', {}, 'owner', pg_get_userbyid(nspowner),
                'acl', coalesce(nspacl, acldefault('n', nspowner))::text)
             FROM pg_namespace n WHERE nspname = {}",
            timeless("obj_description(oid, 'pg_namespace')"),
            literal(name)
        );
        let mut row = self.site.row_in(STAGE, &query)?;
        // What nobody has changed is written down or not.
        row.as_object_mut().expect("an object").remove("nspacl");
        Some(row)
    }

    fn version(&self, name: &str) -> String {
        let query = format!(
            "SELECT n.xmin, d.xmin FROM pg_namespace n
             LEFT JOIN pg_description d ON d.objoid = n.oid WHERE nspname = {}",
            literal(name)
        );
        self.site.server().sql_in(STAGE, &query)
    }

    fn everything(&self) -> BTreeSet<String> {
        self.site.set_of(STAGE, "SELECT nspname FROM pg_namespace")
    }

    fn is_in_service(&self, name: &str) -> bool {
        self.holds(&format!(
            "SELECT has_schema_privilege(nspowner, oid, 'USAGE')
             FROM pg_namespace WHERE nspname = {}",
            literal(name)
        ))
    }

    fn put_data(&self, name: &str) {
        let table = format!(
            "CREATE TABLE {}.kept AS SELECT 42 AS answer",
            identifier(name)
        );
        self.site.server().sql_in(STAGE, &table);
    }

    fn has_data(&self, name: &str) -> bool {
        self.holds(&format!(
            "SELECT answer = 42 FROM {}.kept",
            identifier(name)
        ))
    }

    fn vanish(&self, name: &str) {
        let statement = format!("DROP SCHEMA {} CASCADE", identifier(name));
        self.site.server().sql_in(STAGE, &statement);
    }

    fn make_unmarked(&self, name: &str) -> bool {
        let statement = format!("CREATE SCHEMA {}", identifier(name));
        self.site.by_hand_in(STAGE, &statement);
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
