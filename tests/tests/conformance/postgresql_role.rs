//! The kind `postgresql_role`.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::PathBuf;

use nixops4_resources_tests::canary::Canary;
use nixops4_resources_tests::conformance::{Bad, Drift, Field, Fixture, Verdict};
use nixops4_resources_tests::messages::{Object, object};
use nixops4_resources_tests::sandbox::Sandbox;
use serde_json::{Value, json};

use crate::postgresql::{self, At, GROUPS, Site, identifier, literal, timeless};

crate::conformance_of!(Role);

/// The id of a value that nobody has made.
const NO_VALUE: &str = "00000000-0000-4000-8000-000000000000";

/// What only a superuser gives and takes.
const OF_SUPERUSERS: [&str; 3] = ["/superuser", "/replication", "/bypassRls"];

struct Role<const SERVER: usize, const SUPERUSER: bool> {
    site: Site,
    password: Canary,
    other_password: Canary,
    password_file: PathBuf,
}

impl<const SERVER: usize, const SUPERUSER: bool> Role<SERVER, SUPERUSER> {
    fn alter(&self, name: &str, what: &str) {
        let role = identifier(name);
        self.site.sql(&format!("ALTER ROLE {role} {what}"));
    }
}

impl<const SERVER: usize, const SUPERUSER: bool> Fixture for Role<SERVER, SUPERUSER> {
    const TYPE: &'static str = "postgresql_role";
    const PROVIDER: &'static str = "nixops4-resources-postgresql";
    const RETAINS: bool = false;
    const RENAMES: bool = true;

    fn is_there() -> bool {
        postgresql::is_there(SERVER)
    }

    fn new() -> Self {
        let site = Site::new(SERVER, SUPERUSER);
        let password = Canary::new();
        // Whoever writes the file ends it with a newline.
        let text = format!("{}\n", password.value());
        let password_file = site.sandbox.write("keys/app", text);
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
            "memberOf": [GROUPS[0]],
            // A superuser reads the verifier.
            "verifyPassword": !SUPERUSER,
            "settings": {"statement_timeout": "1min"},
            "settingsInDatabase": {"postgres": {"search_path": "public"}},
        }))
    }

    fn fields(&self) -> Vec<Field> {
        [
            ("/login", json!(false)),
            ("/superuser", json!(true)),
            ("/createDatabase", json!(true)),
            ("/createRole", json!(true)),
            ("/inheritPrivileges", json!(false)),
            ("/replication", json!(true)),
            ("/bypassRls", json!(true)),
            ("/connectionLimit", json!(5)),
            ("/password", json!({"env": "OTHER_PASSWORD"})),
            ("/memberOf", json!([GROUPS[2], GROUPS[1]])),
            ("/validUntil", json!("2999-12-31T23:59:59Z")),
            ("/settings/statement_timeout", json!("3s")),
            (
                "/settingsInDatabase/postgres/search_path",
                json!("\"$user\", public"),
            ),
            ("/comment", json!("somebody's")),
        ]
        .into_iter()
        .filter(|(pointer, _)| SUPERUSER || !OF_SUPERUSERS.contains(pointer))
        .map(|(pointer, value)| Field {
            pointer,
            value,
            verdict: Verdict::Changed,
        })
        .collect()
    }

    fn drifts(&self) -> Vec<Drift<Self>> {
        let drift = |pointer, make| Drift { pointer, make };
        let all = vec![
            drift("/login", |at: &Self, name| at.alter(name, "NOLOGIN")),
            drift("/superuser", |at, name| at.alter(name, "SUPERUSER")),
            drift("/createDatabase", |at, name| at.alter(name, "CREATEDB")),
            drift("/createRole", |at, name| at.alter(name, "CREATEROLE")),
            drift("/inheritPrivileges", |at, name| at.alter(name, "NOINHERIT")),
            drift("/replication", |at, name| at.alter(name, "REPLICATION")),
            drift("/bypassRls", |at, name| at.alter(name, "BYPASSRLS")),
            drift("/connectionLimit", |at, name| {
                at.alter(name, "CONNECTION LIMIT 0");
            }),
            drift("/password", |at, name| at.alter(name, "PASSWORD 'by hand'")),
            drift("/password", |at, name| at.alter(name, "PASSWORD NULL")),
            drift("/memberOf", |at, name| {
                let (group, role) = (identifier(GROUPS[1]), identifier(name));
                at.site.by_hand(&format!("GRANT {group} TO {role}"));
            }),
            drift("/memberOf", |at, name| {
                let (group, role) = (identifier(GROUPS[0]), identifier(name));
                at.site.by_hand(&format!("REVOKE {group} FROM {role}"));
            }),
        ];
        let ours = |drift: &Drift<Self>| SUPERUSER || !OF_SUPERUSERS.contains(&drift.pointer);
        all.into_iter().filter(ours).collect()
    }

    fn bad(&self) -> Vec<Bad> {
        let empty = self.site.sandbox.write("keys/empty", "\n");
        let binary = self.site.sandbox.write("keys/binary", b"\xff\xfe");
        let of = postgresql::wrong;
        let mut all = postgresql::bad_connections();
        all.extend(postgresql::bad_names("/name"));
        all.extend(postgresql::bad_limits("/connectionLimit"));
        all.extend([
            of("/login", json!("yes"), &["expected true or false"]),
            of("/name", json!("pg_app"), &["pg_app", "hint: choose"]),
            of("/name", json!("public"), &["keeps the name"]),
            of("/name", json!("none"), &["keeps the name"]),
            of("/memberOf", json!("readers"), &["expected a list"]),
            of("/memberOf", json!(["readers", ""]), &["can't be empty"]).at("/memberOf/1", "empty"),
            of("/memberOf", json!([Value::Null]), &[]).at("/memberOf/0", "null"),
            of(
                "/password",
                json!({"file": "/nonexistent"}),
                &["/nonexistent", "hint: "],
            )
            .at("/password/file", "No such file"),
            of("/password", json!({"file": "/"}), &["hint: "]).at("/password/file", "regular file"),
            of("/password", json!({"file": empty}), &["hint: "])
                .at("/password/file", "it is empty"),
            of("/password", json!({"file": binary}), &["hint: "]).at("/password/file", "UTF-8"),
            of("/password", json!({"env": "UNSET"}), &["hint: "])
                .at("/password/env", "UNSET is not set"),
            of(
                "/password",
                json!({"file": "/x", "env": "X"}),
                &["either `file`"],
            ),
            of(
                "/password",
                json!({"store": "main"}),
                &["all of `store`, `name`"],
            ),
            of(
                "/password",
                json!({"store": "main", "name": "x", "generation": 1, "id": "x"}),
                &["random UUID"],
            )
            .at("/password/id", "not the id"),
            of(
                "/password",
                json!({"store": "main", "name": "x", "generation": 1, "id": NO_VALUE}),
                &["NIXOPS4_SECRETS_STORES"],
            )
            .at("/password/store", "\"main\""),
        ]);
        all
    }

    fn look(&self, name: &str) -> Option<Value> {
        let mut row = self.site.row(&format!(
            "SELECT to_jsonb(r) - '{{oid,rolpassword}}'::text[] || jsonb_build_object(
                'comment', {},
                'settings', (SELECT jsonb_agg(to_jsonb(s.setconfig) ORDER BY s.setdatabase)
                             FROM pg_db_role_setting s WHERE s.setrole = r.oid),
                'groups', ARRAY(SELECT g.rolname FROM pg_auth_members m
                                JOIN pg_roles g ON g.oid = m.roleid WHERE m.member = r.oid ORDER BY 1))
             FROM pg_authid r WHERE rolname = {}",
            timeless("shobj_description(r.oid, 'pg_authid')"),
            literal(name)
        ))?;
        let login = |password| {
            let role = self
                .site
                .server()
                .sql_as(name, password, "postgres", "SELECT 1");
            match role {
                Ok(_) => true,
                Err(error) if error.contains("password authentication failed") => false,
                // The password is right, and it may not log in.
                Err(error) if error.contains("is not permitted to log in") => true,
                Err(error) if error.contains("too many connections for role") => true,
                Err(error) => panic!("{error}"),
            }
        };
        let takes = match (
            login(self.password.value()),
            login(self.other_password.value()),
        ) {
            (true, true) => panic!("it takes both passwords"),
            (true, false) => "the password",
            (false, true) => "the other password",
            (false, false) => "neither",
        };
        row["takes"] = json!(takes);
        Some(row)
    }

    fn version(&self, name: &str) -> String {
        self.site.sql(&format!(
            "SELECT r.xmin::text, d.xmin::text, array_agg(m.xmin::text ORDER BY m.roleid)
             FROM pg_authid r LEFT JOIN pg_shdescription d ON d.objoid = r.oid
             LEFT JOIN pg_auth_members m ON m.member = r.oid
             WHERE rolname = {} GROUP BY 1, 2",
            literal(name)
        ))
    }

    fn everything(&self) -> BTreeSet<String> {
        self.site.everything()
    }

    fn is_in_service(&self, name: &str) -> bool {
        let name = literal(name);
        let query = format!("SELECT rolcanlogin FROM pg_roles WHERE rolname = {name}");
        self.site.holds(&query)
    }

    fn put_data(&self, name: &str) {
        let (role, table) = (identifier(name), identifier(&format!("of {name}")));
        let statements = format!("CREATE TABLE {table}(); ALTER TABLE {table} OWNER TO {role}");
        self.site.sql(&statements);
    }

    fn has_data(&self, name: &str) -> bool {
        let name = literal(name);
        let owns = "SELECT count(*) > 0 FROM pg_tables WHERE schemaname = 'public'";
        self.site.holds(&format!("{owns} AND tableowner = {name}"))
    }

    fn vanish(&self, name: &str) {
        let role = identifier(name);
        let statements = format!("DROP OWNED BY {role}; DROP ROLE {role}");
        self.site.sql(&statements);
    }

    fn make_unmarked(&self, name: &str) -> bool {
        let role = identifier(name);
        self.site.by_hand(&format!("CREATE ROLE {role} CREATEDB"));
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
