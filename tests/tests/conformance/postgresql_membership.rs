//! The kind `postgresql_membership`, of a role that has the
//! name of the thing.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::PathBuf;

use nixops4_resources_tests::canary::Canary;
use nixops4_resources_tests::conformance::{Bad, Drift, Field, Fixture, Verdict};
use nixops4_resources_tests::messages::{Object, object};
use nixops4_resources_tests::sandbox::Sandbox;
use serde_json::{Value, json};

use crate::postgresql::{self, GROUPS, Site, identifier, literal};

crate::conformance_of!(Membership);

struct Membership<const SERVER: usize, const SUPERUSER: bool> {
    site: Site,
}

impl<const SERVER: usize, const SUPERUSER: bool> Membership<SERVER, SUPERUSER> {
    fn has_options(&self) -> bool {
        self.site.server().version() >= 16
    }
}

/// The memberships in the group.
const ENTRIES: &str = "pg_auth_members m JOIN pg_roles r ON r.oid = m.member
    WHERE m.roleid = 'readers'::regrole AND r.rolname NOT IN ('postgres', 'manager')";

impl<const SERVER: usize, const SUPERUSER: bool> Fixture for Membership<SERVER, SUPERUSER> {
    const TYPE: &'static str = "postgresql_membership";
    const PROVIDER: &'static str = "nixops4-resources-postgresql";
    const RETAINS: bool = false;
    const RENAMES: bool = false;
    const OWNED: bool = false;
    const LOCATED_BY: &'static [&'static str] = &["owner", "role", "connection", "group"];

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
            "role": name,
            "group": GROUPS[0],
        }))
    }

    fn fields(&self) -> Vec<Field> {
        let mut all = vec![("/admin", json!(true))];
        if self.has_options() {
            all.push(("/inheritPrivileges", json!(false)));
            all.push(("/setRole", json!(false)));
        }
        all.into_iter()
            .map(|(pointer, value)| Field {
                pointer,
                value,
                verdict: Verdict::Changed,
            })
            .collect()
    }

    fn drifts(&self) -> Vec<Drift<Self>> {
        vec![Drift {
            pointer: "/admin",
            make: |at, name| {
                let role = identifier(name);
                at.site
                    .by_hand(&format!("GRANT readers TO {role} WITH ADMIN OPTION"));
            },
        }]
    }

    fn bad(&self) -> Vec<Bad> {
        let of = postgresql::wrong;
        let mut all = postgresql::bad_names("/role");
        all.extend(postgresql::bad_names("/group"));
        all.extend([
            of("/admin", json!("yes"), &["expected true or false"]),
            of("/setRole", json!(1), &["expected true or false"]),
            of(
                "/inheritPrivileges",
                json!("no"),
                &["expected true or false"],
            ),
        ]);
        if !self.has_options() {
            all.push(of("/setRole", json!(true), &["from PostgreSQL 16 on"]));
        }
        all
    }

    fn look(&self, name: &str) -> Option<Value> {
        let query = format!(
            "SELECT to_jsonb(m) - '{{oid,roleid,member,grantor}}'::text[]
             FROM {ENTRIES} AND r.rolname = {}",
            literal(name)
        );
        self.site.row(&query)
    }

    fn version(&self, name: &str) -> String {
        let name = literal(name);
        self.site.sql(&format!(
            "SELECT m.xmin FROM {ENTRIES} AND r.rolname = {name}"
        ))
    }

    fn everything(&self) -> BTreeSet<String> {
        let query = format!("SELECT r.rolname FROM {ENTRIES}");
        self.site.set_of("postgres", &query)
    }

    fn vanish(&self, name: &str) {
        let role = identifier(name);
        self.site.by_hand(&format!("REVOKE readers FROM {role}"));
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
