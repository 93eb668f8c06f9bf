//! The kind `postgresql_tenant`.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::PathBuf;

use nixops4_resources_tests::canary::Canary;
use nixops4_resources_tests::conformance::{Bad, Drift, Field, Fixture, Verdict};
use nixops4_resources_tests::messages::{Object, object};
use nixops4_resources_tests::sandbox::Sandbox;
use serde_json::{Value, json};

use crate::postgresql::{self, At, Site, identifier, literal, timeless};

crate::conformance_of!(Tenant);

struct Tenant<const SERVER: usize, const SUPERUSER: bool> {
    site: Site,
    password: Canary,
    other_password: Canary,
    password_file: PathBuf,
}

impl<const SERVER: usize, const SUPERUSER: bool> Fixture for Tenant<SERVER, SUPERUSER> {
    const TYPE: &'static str = "postgresql_tenant";
    const PROVIDER: &'static str = "nixops4-resources-postgresql";
    const RETAINS: bool = true;
    const RENAMES: bool = true;

    fn is_there() -> bool {
        postgresql::is_there(SERVER)
    }

    fn new() -> Self {
        let site = Site::new(SERVER, SUPERUSER);
        let password = Canary::new();
        let password_file = site.sandbox.write("keys/app", password.value());
        Self {
            site,
            password,
            other_password: Canary::new(),
            password_file,
        }
    }

    fn sandbox(&self) -> &Sandbox {
        &self.site.sandbox
    }

    fn environment(&self) -> Vec<(&'static str, OsString)> {
        vec![("OTHER_PASSWORD", self.other_password.value().into())]
    }

    fn inputs(&self, name: &str) -> Object {
        object(json!({
            "connection": self.site.connection(),
            "name": name,
            "password": {"file": self.password_file},
            // A superuser reads the verifier.
            "verifyPassword": !SUPERUSER,
            "extensions": ["hstore"],
            "connectionLimit": 4,
        }))
    }

    fn fields(&self) -> Vec<Field> {
        [
            ("/connectionLimit", json!(7), Verdict::Changed),
            ("/roleConnectionLimit", json!(5), Verdict::Changed),
            (
                "/password",
                json!({"env": "OTHER_PASSWORD"}),
                Verdict::Changed,
            ),
            (
                "/extensions",
                json!(["hstore", "pg_trgm"]),
                Verdict::Changed,
            ),
            ("/revokePublic", json!(false), Verdict::Ignored),
            ("/encoding", json!("LATIN1"), Verdict::Refused),
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
            drift("/login", |at: &Self, name| {
                at.site
                    .sql(&format!("ALTER ROLE {} NOLOGIN", identifier(name)));
            }),
            drift("/password", |at, name| {
                let role = identifier(name);
                at.site
                    .sql(&format!("ALTER ROLE {role} PASSWORD 'by hand'"));
            }),
            drift("/connectionLimit", |at, name| {
                let database = identifier(name);
                at.site
                    .sql(&format!("ALTER DATABASE {database} CONNECTION LIMIT -1"));
            }),
            drift("/revokePublic", |at, name| {
                let database = identifier(name);
                at.site
                    .sql(&format!("GRANT CONNECT ON DATABASE {database} TO PUBLIC"));
            }),
            drift("/extensions", |at, name| {
                at.site.server().sql_in(name, "DROP EXTENSION hstore");
            }),
        ]
    }

    fn bad(&self) -> Vec<Bad> {
        let of = postgresql::wrong;
        let mut all = postgresql::bad_names("/name");
        all.extend(postgresql::bad_limits("/connectionLimit"));
        all.extend(postgresql::bad_limits("/roleConnectionLimit"));
        all.extend([
            of("/role", json!("pg_app"), &["PostgreSQL keeps the name"]),
            of("/database", json!(""), &["can't be empty"]),
            of("/host", json!(""), &["can't be empty"]),
            of("/password", json!({"env": "UNSET"}), &["hint: "])
                .at("/password/env", "UNSET is not set"),
        ]);
        all
    }

    fn look(&self, name: &str) -> Option<Value> {
        let mut row = self.site.row(&format!(
            "SELECT jsonb_build_object(
                'role', (SELECT to_jsonb(r) - '{{oid,rolpassword}}'::text[]
                    || jsonb_build_object('comment', {}) FROM pg_authid r WHERE rolname = name),
                'database', (SELECT to_jsonb(d) - '{{oid,datdba,datfrozenxid,datminmxid}}'::text[]
                    || jsonb_build_object('comment', {}, 'owner', pg_get_userbyid(datdba))
                    FROM pg_database d WHERE datname = name))
             FROM (SELECT {} AS name) AS names
             WHERE EXISTS (SELECT FROM pg_roles WHERE rolname = name)
                OR EXISTS (SELECT FROM pg_database WHERE datname = name)",
            timeless("shobj_description(r.oid, 'pg_authid')"),
            timeless("shobj_description(d.oid, 'pg_database')"),
            literal(name)
        ))?;
        if row["database"]["datallowconn"] == true {
            let extensions = "SELECT jsonb_agg(extname ORDER BY extname) FROM pg_extension";
            row["extensions"] = json!(self.site.row_in(name, extensions));
            let takes = |password: &Canary| {
                let server = self.site.server();
                server.sql_as(name, password.value(), name, "").is_ok()
            };
            row["takes"] = json!([takes(&self.password), takes(&self.other_password)]);
        }
        Some(row)
    }

    fn version(&self, name: &str) -> String {
        self.site.sql(&format!(
            "SELECT r.xmin, a.xmin, d.xmin, b.xmin FROM pg_authid r
             LEFT JOIN pg_shdescription a ON a.objoid = r.oid
             LEFT JOIN pg_database d ON d.datname = r.rolname
             LEFT JOIN pg_shdescription b ON b.objoid = d.oid WHERE rolname = {}",
            literal(name)
        ))
    }

    fn everything(&self) -> BTreeSet<String> {
        self.site.everything()
    }

    fn is_in_service(&self, name: &str) -> bool {
        let name = literal(name);
        let query = format!(
            "SELECT rolcanlogin AND datallowconn FROM pg_roles, pg_database
             WHERE rolname = {name} AND datname = {name}"
        );
        self.site.holds(&query)
    }

    fn put_data(&self, name: &str) {
        let table = "CREATE TABLE kept AS SELECT 42 AS answer";
        self.site.server().sql_in(name, table);
    }

    fn has_data(&self, name: &str) -> bool {
        let query = "SELECT answer FROM kept";
        self.site.server().sql_in(name, query) == "42"
    }

    fn vanish(&self, name: &str) {
        let name = identifier(name);
        self.site.sql(&format!(
            "DROP DATABASE IF EXISTS {name};\nDROP ROLE IF EXISTS {name}"
        ));
    }

    fn make_unmarked(&self, name: &str) -> bool {
        let name = identifier(name);
        self.site
            .by_hand(&format!("CREATE ROLE {name} LOGIN; CREATE DATABASE {name}"));
        true
    }

    fn references(&self) -> Vec<&'static str> {
        vec!["/password", "/connection/password"]
    }

    fn secrets(&self) -> Vec<Canary> {
        let own = [&self.password, &self.other_password];
        let own = own.map(|secret| Canary::with(secret.value()));
        own.into_iter().chain([self.site.secret()]).collect()
    }

    fn planted(&self) -> Vec<PathBuf> {
        vec![self.password_file.clone(), self.site.planted()]
    }

    fn writings(&self) -> Vec<(String, Vec<u8>)> {
        self.site.writings()
    }
}
