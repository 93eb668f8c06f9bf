//! The kind `postgresql_extension`: `pg_trgm`, in a database
//! that has the name of the thing.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::PathBuf;

use nixops4_resources_tests::canary::Canary;
use nixops4_resources_tests::conformance::{Bad, Drift, Field, Fixture, Verdict};
use nixops4_resources_tests::messages::{Object, object};
use nixops4_resources_tests::sandbox::Sandbox;
use serde_json::{Value, json};

use crate::postgresql::{self, Site, identifier, literal, timeless};

crate::conformance_of!(Extension);

/// A server comes with several versions of it, and no superuser is needed for it.
const NAME: &str = "pg_trgm";

struct Extension<const SERVER: usize, const SUPERUSER: bool> {
    site: Site,
    /// The databases that were made so far.
    databases: RefCell<BTreeSet<String>>,
}

impl<const SERVER: usize, const SUPERUSER: bool> Extension<SERVER, SUPERUSER> {
    fn alter(&self, name: &str, what: &str) {
        let statement = format!("ALTER EXTENSION {NAME} {what}");
        self.site.server().sql_in(name, &statement);
    }
}

impl<const SERVER: usize, const SUPERUSER: bool> Fixture for Extension<SERVER, SUPERUSER> {
    const TYPE: &'static str = "postgresql_extension";
    const PROVIDER: &'static str = "nixops4-resources-postgresql";
    const RETAINS: bool = true;
    const RENAMES: bool = false;
    const LOCATED_BY: &'static [&'static str] = &["owner", "name", "connection", "database"];

    fn is_there() -> bool {
        postgresql::is_there(SERVER)
    }

    fn new() -> Self {
        Self {
            site: Site::new(SERVER, SUPERUSER),
            databases: RefCell::default(),
        }
    }

    fn sandbox(&self) -> &Sandbox {
        &self.site.sandbox
    }

    fn environment(&self) -> Vec<(&'static str, OsString)> {
        self.site.environment()
    }

    fn inputs(&self, name: &str) -> Object {
        if self.databases.borrow_mut().insert(name.to_owned()) {
            let database = identifier(name);
            self.site.by_hand(&format!("CREATE DATABASE {database}"));
            self.site
                .by_hand_in(name, "CREATE SCHEMA tools; CREATE SCHEMA other");
        }
        object(json!({
            "connection": self.site.connection(),
            "database": name,
            "name": NAME,
            "schema": "tools",
            "version": "1.5",
        }))
    }

    fn fields(&self) -> Vec<Field> {
        let mut all = vec![
            ("/version", json!("1.3"), Verdict::Refused),
            ("/cascade", json!(true), Verdict::Ignored),
        ];
        if SUPERUSER {
            // What is in a trusted extension belongs to a superuser.
            all.push(("/schema", json!("other"), Verdict::Changed));
        }
        all.into_iter()
            .map(|(pointer, value, verdict)| Field {
                pointer,
                value,
                verdict,
            })
            .collect()
    }

    fn drifts(&self) -> Vec<Drift<Self>> {
        let moved = Drift {
            pointer: "/schema",
            make: |at: &Self, name: &str| at.alter(name, "SET SCHEMA public"),
        };
        if SUPERUSER { vec![moved] } else { Vec::new() }
    }

    fn bad(&self) -> Vec<Bad> {
        let of = postgresql::wrong;
        let mut all = postgresql::bad_names("/name");
        all.extend([
            of("/version", json!(""), &["can't be empty", "hint: leave"]),
            of("/schema", json!(""), &["can't be empty"]),
            of("/cascade", json!("yes"), &["expected true or false"]),
        ]);
        all
    }

    fn look(&self, name: &str) -> Option<Value> {
        if !self.databases.borrow().contains(name) {
            return None;
        }
        let query = format!(
            "SELECT jsonb_build_object('name', extname, 'version', extversion,
                'schema', extnamespace::regnamespace, 'comment', {})
             FROM pg_extension WHERE extname = {}",
            timeless("obj_description(oid, 'pg_extension')"),
            literal(NAME)
        );
        self.site.row_in(name, &query)
    }

    fn version(&self, name: &str) -> String {
        let query = format!(
            "SELECT e.xmin, d.xmin FROM pg_extension e
             LEFT JOIN pg_description d ON d.objoid = e.oid WHERE extname = {}",
            literal(NAME)
        );
        self.site.server().sql_in(name, &query)
    }

    fn everything(&self) -> BTreeSet<String> {
        let all = self.databases.borrow();
        all.iter()
            .filter(|name| self.look(name).is_some())
            .cloned()
            .collect()
    }

    fn is_in_service(&self, name: &str) -> bool {
        // Nothing takes it out of service but the word of its mark.
        let query = format!(
            "SELECT obj_description(oid, 'pg_extension') LIKE '%retained-since=%'
             FROM pg_extension WHERE extname = {}",
            literal(NAME)
        );
        self.site.server().sql_in(name, &query) != "t"
    }

    fn put_data(&self, name: &str) {
        let statements = "CREATE TABLE public.kept (word text);
            INSERT INTO public.kept VALUES ('forty-two')";
        self.site.by_hand_in(name, statements);
    }

    fn has_data(&self, name: &str) -> bool {
        // It still does its work for what is there.
        let query = format!(
            "SELECT set_config('search_path', extnamespace::regnamespace::text, false) <> '', 0
             FROM pg_extension WHERE extname = {};
             SELECT similarity(word, 'forty-two') FROM public.kept",
            literal(NAME)
        );
        self.site.server().sql_in(name, &query) == "t|0\n1"
    }

    fn vanish(&self, name: &str) {
        let statement = format!("DROP EXTENSION {NAME} CASCADE");
        self.site.server().sql_in(name, &statement);
    }

    fn make_unmarked(&self, name: &str) -> bool {
        let statement = format!("CREATE EXTENSION {NAME} SCHEMA tools VERSION '1.5'");
        self.site.by_hand_in(name, &statement);
        // Its own words for itself are no mark.
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
