//! What the kinds of PostgreSQL have in common: a server of their own for as
//! long as a test runs, and what is planted there.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use nixops4_resources_tests::canary::Canary;
use nixops4_resources_tests::conformance::Bad;
use nixops4_resources_tests::pool::{Lease, Pool};
use nixops4_resources_tests::postgres::{Config, Server};
use nixops4_resources_tests::sandbox::Sandbox;
use serde_json::{Value, json};

use crate::support;

static SERVERS: Pool<Server> = Pool::new(start);

/// Roles that are there before any test: somebody's groups and owners.
pub(crate) const GROUPS: [&str; 3] = ["readers", "Writers' \"guild\"", "owners"];

fn start() -> Server {
    let server = Server::start(&Config::default());
    for group in GROUPS {
        server.psql(&format!("CREATE ROLE {}", identifier(group)));
    }
    server
}

/// A server, and a place to run the provider in.
pub(crate) struct Site {
    pub(crate) server: Lease<Server>,
    pub(crate) sandbox: Sandbox,
    superuser_password: String,
}

impl Site {
    pub(crate) fn new() -> Self {
        let server = SERVERS.lease();
        let superuser_password = fs::read_to_string(server.superuser_password_file());
        Self {
            server,
            sandbox: Sandbox::new(),
            superuser_password: superuser_password.expect("the password"),
        }
    }

    pub(crate) fn connection(&self) -> Value {
        support::postgresql::connection(&self.server)
    }

    /// The superuser's password.
    pub(crate) fn secret(&self) -> Canary {
        Canary::with(&self.superuser_password)
    }

    pub(crate) fn planted(&self) -> PathBuf {
        self.server.superuser_password_file()
    }

    pub(crate) fn writings(&self) -> Vec<(String, Vec<u8>)> {
        vec![(
            "the server's log".to_owned(),
            self.server.log().into_bytes(),
        )]
    }

    /// Every role and database.
    pub(crate) fn everything(&self) -> BTreeSet<String> {
        let all = "SELECT rolname FROM pg_roles WHERE rolname !~ '^pg_'
                   UNION ALL SELECT datname FROM pg_database WHERE NOT datistemplate";
        let rows = self.server.psql(all);
        rows.lines().map(ToOwned::to_owned).collect()
    }

    /// One row as JSON, of a query that gives a JSON value or none.
    pub(crate) fn row(&self, query: &str) -> Option<Value> {
        let text = self.server.psql(query);
        (!text.is_empty()).then(|| serde_json::from_str(&text).expect("JSON"))
    }

    /// Whether a query gives true.
    pub(crate) fn holds(&self, query: &str) -> bool {
        self.server.psql(query) == "t"
    }
}

/// A name as an identifier.
pub(crate) fn identifier(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// What can be wrong with a connection and a name.
pub(crate) fn bad() -> Vec<Bad> {
    let of = |pointer, value, words: &[&'static str]| Bad {
        patch: vec![(pointer, value)],
        pointer,
        words: words.to_vec(),
    };
    vec![
        of("/connection", Value::Null, &["missing field"]),
        of(
            "/connection",
            json!("postgres://x"),
            &["expected an object"],
        ),
        of("/connection/host", Value::Null, &["missing field"]),
        of("/connection/host", json!(""), &["can't be empty"]),
        of("/connection/port", json!(65536), &["65536"]),
        of("/connection/port", json!("5432"), &["from 0 to 65535"]),
        of("/connection/nonsense", json!(1), &["unknown field"]),
        of("/connection/user", json!(""), &["can't be empty"]),
        of("/connection/tls", json!({"mode": "off"}), &[])
            .at("/connection/tls/mode", "\"disable\""),
        of(
            "/connection/tls",
            json!({"caFile": "/nonexistent"}),
            &["/nonexistent", "hint: give a PEM"],
        )
        .at("/connection/tls/caFile", "unable to read"),
        of(
            "/connection/password",
            json!({}),
            &["has either `file`, or `env`"],
        ),
        of(
            "/connection/password",
            json!({"file": "/nonexistent"}),
            &["/nonexistent", "No such file", "hint: give the path"],
        )
        .at("/connection/password/file", "unable to read the secret"),
        of(
            "/connection/password",
            json!({"env": "UNSET"}),
            &["UNSET is not set", "hint: set it"],
        )
        .at("/connection/password/env", "environment variable"),
        of("/name", Value::Null, &["missing field"]),
        of("/name", json!(""), &["can't be empty"]),
        of(
            "/name",
            json!("x".repeat(64)),
            &["64 bytes", "choose a shorter name"],
        ),
        of("/name", json!("é".repeat(32)), &["64 bytes"]),
        of("/name", json!("a\u{0}b"), &["NUL"]),
        of("/connectionLimit", json!(-2), &["-1 for no limit"]),
        of("/connectionLimit", json!(1.5), &["expected a whole number"]),
        of(
            "/connectionLimit",
            json!(2_147_483_648_u32),
            &["2147483648"],
        ),
    ]
}

/// Makes an entry of a table point somewhere else than where it is patched.
pub(crate) trait At {
    fn at(self, pointer: &'static str, word: &'static str) -> Self;
}

impl At for Bad {
    fn at(mut self, pointer: &'static str, word: &'static str) -> Self {
        self.pointer = pointer;
        self.words.push(word);
        self
    }
}
