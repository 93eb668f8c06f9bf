//! What the kinds of PostgreSQL have in common: a server of their own for as
//! long as a test runs, who manages it, and what is planted there.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::PathBuf;

use nixops4_resources_tests::canary::Canary;
use nixops4_resources_tests::conformance::Bad;
use nixops4_resources_tests::pool::{Lease, Pool};
use nixops4_resources_tests::postgres::{Config, SUPERUSER, Server, verifier, versions};
use nixops4_resources_tests::sandbox::Sandbox;
use serde_json::{Value, json};

/// The machine's own PostgreSQL.
pub(crate) const OWN: usize = 0;
/// The one that `scripts/setup.sh` installs.
pub(crate) const BESIDE: usize = 1;

static SERVERS: [Pool<Stage>; 2] = [
    Pool::new(|| Stage::start(OWN)),
    Pool::new(|| Stage::start(BESIDE)),
];

/// Roles that are there before any test: somebody's groups and owners, made by
/// [`MANAGER`], so that it may administer them.
pub(crate) const GROUPS: [&str; 3] = ["readers", "Writers' \"guild\"", "owners"];

/// An administrator with CREATEROLE and CREATEDB alone.
const MANAGER: &str = "manager";

/// A database that is there before any test, [`MANAGER`]'s.
pub(crate) const STAGE: &str = "stage";

/// A server with what is there before any test.
struct Stage {
    server: Server,
    password: String,
}

impl Stage {
    fn start(which: usize) -> Self {
        let server = Server::start(&Config {
            version: Some(versions()[which]),
            ..Config::default()
        });
        let password = Canary::new().value().to_owned();
        let groups = GROUPS.map(|group| format!("CREATE ROLE {}", identifier(group)));
        // Each process logs in with it. The log is searched for it.
        let verifier = verifier(&password, 1);
        let statements = format!(
            "SET log_statement = none; SET log_min_error_statement = panic;
             CREATE ROLE {MANAGER} LOGIN CREATEROLE CREATEDB PASSWORD '{verifier}';
             GRANT SET ON PARAMETER nixops4_resources.database, nixops4_resources.inside TO {MANAGER};
             SET ROLE {MANAGER}; CREATE DATABASE {STAGE}; {}",
            groups.join("; ")
        );
        server.sql(&statements);
        Self { server, password }
    }
}

/// A server, who manages it, and a place to run the provider in.
pub(crate) struct Site {
    stage: Lease<Stage>,
    pub(crate) sandbox: Sandbox,
    pub(crate) is_superuser: bool,
    password: Canary,
    password_file: PathBuf,
}

/// Whether there is such a server here.
pub(crate) fn is_there(which: usize) -> bool {
    versions().len() > which
}

impl Site {
    pub(crate) fn new(which: usize, is_superuser: bool) -> Self {
        let stage = SERVERS[which].lease();
        let sandbox = Sandbox::new();
        let (password, password_file) = if is_superuser {
            let file = stage.server.superuser_password_file();
            (std::fs::read_to_string(&file).expect("the password"), file)
        } else {
            (
                stage.password.clone(),
                sandbox.write("keys/manager", &stage.password),
            )
        };
        Self {
            stage,
            sandbox,
            is_superuser,
            password: Canary::with(password),
            password_file,
        }
    }

    pub(crate) fn server(&self) -> &Server {
        &self.stage.server
    }

    pub(crate) fn connection(&self) -> Value {
        json!({
            "host": self.server().host(),
            "port": self.server().port(),
            "user": self.administrator(),
            "password": {"file": self.password_file},
        })
    }

    pub(crate) fn administrator(&self) -> &'static str {
        if self.is_superuser {
            SUPERUSER
        } else {
            MANAGER
        }
    }

    /// The administrator's password.
    pub(crate) fn secret(&self) -> Canary {
        Canary::with(self.password.value())
    }

    pub(crate) fn planted(&self) -> PathBuf {
        self.password_file.clone()
    }

    #[expect(clippy::unused_self, reason = "it belongs to the site")]
    pub(crate) fn environment(&self) -> Vec<(&'static str, OsString)> {
        Vec::new()
    }

    pub(crate) fn writings(&self) -> Vec<(String, Vec<u8>)> {
        vec![(
            "the server's log".to_owned(),
            self.server().log().into_bytes(),
        )]
    }

    /// Runs statements as the superuser.
    pub(crate) fn sql(&self, statements: &str) -> String {
        self.server().sql(statements)
    }

    /// Runs statements as somebody who may do by hand what the administrator may.
    pub(crate) fn by_hand(&self, statements: &str) -> String {
        self.by_hand_in("postgres", statements)
    }

    /// The same in a database.
    pub(crate) fn by_hand_in(&self, database: &str, statements: &str) -> String {
        let administrator = self.administrator();
        let statements = format!("SET ROLE {administrator}; {statements}");
        self.server().sql_in(database, &statements)
    }

    /// The rows of a query, as a set.
    pub(crate) fn set_of(&self, database: &str, query: &str) -> BTreeSet<String> {
        let rows = self.server().sql_in(database, query);
        rows.lines().map(ToOwned::to_owned).collect()
    }

    /// Every role and database.
    pub(crate) fn everything(&self) -> BTreeSet<String> {
        let all = "SELECT rolname FROM pg_roles WHERE rolname !~ '^pg_'
                   UNION ALL SELECT datname FROM pg_database WHERE datname !~ '^template'";
        self.set_of("postgres", all)
    }

    /// One row as JSON, of a query that gives a JSON value or none.
    pub(crate) fn row(&self, query: &str) -> Option<Value> {
        self.row_in("postgres", query)
    }

    /// The same in a database.
    pub(crate) fn row_in(&self, database: &str, query: &str) -> Option<Value> {
        let text = self.server().sql_in(database, query);
        (!text.is_empty()).then(|| serde_json::from_str(&text).expect("JSON"))
    }

    /// Whether a query gives true.
    pub(crate) fn holds(&self, query: &str) -> bool {
        self.sql(query) == "t"
    }
}

/// What a comment says but for when it was written, as an expression of SQL.
pub(crate) fn timeless(comment: &str) -> String {
    format!("regexp_replace({comment}, 'since=\\S+', 'since', 'g')")
}

/// The checks of a kind's fixture, against each server and as each administrator:
/// all of them as those two who differ in both.
#[macro_export]
macro_rules! conformance_of {
    ($fixture:ident) => {
        mod own_superuser {
            nixops4_resources_tests::conformance!(
                super::$fixture<{ $crate::postgresql::OWN }, true>
            );
        }
        mod beside_restricted {
            nixops4_resources_tests::conformance!(
                super::$fixture<{ $crate::postgresql::BESIDE }, false>
            );
        }
        mod own_restricted {
            nixops4_resources_tests::conformance!(
                core super::$fixture<{ $crate::postgresql::OWN }, false>
            );
        }
        mod beside_superuser {
            nixops4_resources_tests::conformance!(
                core super::$fixture<{ $crate::postgresql::BESIDE }, true>
            );
        }
    };
}

/// A name as an identifier.
pub(crate) fn identifier(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// Text as a literal of SQL.
pub(crate) fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// Inputs that are wrong at one place.
pub(crate) fn wrong(pointer: &'static str, value: Value, words: &[&'static str]) -> Bad {
    Bad {
        patch: vec![(pointer, value)],
        pointer,
        words: words.to_vec(),
    }
}

/// What can be wrong with a connection.
pub(crate) fn bad_connections() -> Vec<Bad> {
    let of = wrong;
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
    ]
}

/// What can be wrong with a name.
pub(crate) fn bad_names(pointer: &'static str) -> Vec<Bad> {
    let of = |value, words| wrong(pointer, value, words);
    vec![
        of(Value::Null, &["missing field"]),
        of(json!(""), &["can't be empty"]),
        of(
            json!("x".repeat(64)),
            &["64 bytes", "choose a shorter name"],
        ),
        of(json!("é".repeat(32)), &["64 bytes"]),
        of(json!("a\u{0}b"), &["NUL"]),
    ]
}

/// What can be wrong with a limit for connections.
pub(crate) fn bad_limits(pointer: &'static str) -> Vec<Bad> {
    let of = |value, words| wrong(pointer, value, words);
    vec![
        of(json!(-2), &["-1 for no limit"]),
        of(json!(1.5), &["expected a whole number"]),
        of(json!(2_147_483_648_u32), &["2147483648"]),
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

/// The kinds whose refusals mean something are the same on a server that answers in
/// another language.
#[test]
fn the_same_in_german() {
    nixops4_resources_tests::postgres::in_german(&[
        "postgresql_schema::own_restricted",
        "postgresql_extension::own_restricted",
        "postgresql_membership::own_restricted",
        "postgresql_database::own_restricted",
        "postgresql_schema::own_superuser::renamed",
        "postgresql_database::own_superuser::renamed",
    ]);
}
