//! How PostgreSQL can fail: each time one readable message, with the input that
//! is to blame and what to do next, and a process that goes on serving.

#[path = "../support"]
mod support {
    pub(crate) mod postgresql;
}

mod connecting;
mod names;
mod refused;
mod together;

use std::process::Command;
use std::time::Instant;

use nixops4_resources_tests::binaries;
use nixops4_resources_tests::messages::{self, Object, object, set};
use nixops4_resources_tests::pool::Pool;
use nixops4_resources_tests::postgres::{Config, Server};
use nixops4_resources_tests::provider::{Provider, TIMEOUT, oneshot};
use nixops4_resources_tests::sandbox::Sandbox;
use serde_json::{Value, json};

static SERVERS: Pool<Server> = Pool::new(|| Server::start(&Config::default()));

const ROLE: &str = "postgresql_role";
const DATABASE: &str = "postgresql_database";

/// A place to run the provider in, with the connection to a server.
struct Site {
    sandbox: Sandbox,
    connection: Value,
}

impl Site {
    fn of(server: &Server) -> Self {
        Self {
            sandbox: Sandbox::new(),
            connection: support::postgresql::connection(server),
        }
    }

    fn command(&self) -> Command {
        let executable = binaries::path("nixops4-resources-postgresql");
        self.sandbox.command(executable)
    }

    fn inputs(&self, name: &str) -> Object {
        object(json!({"connection": self.connection, "name": name, "owner": "failures"}))
    }

    /// The same with other inputs, by JSON pointer.
    fn with(&self, name: &str, patch: &[(&str, Value)]) -> Object {
        let mut inputs = self.inputs(name);
        for (pointer, value) in patch {
            set(&mut inputs, pointer, value.clone());
        }
        inputs
    }

    fn secret(&self, name: &str, value: &str) -> Value {
        json!({"file": self.sandbox.write(name, value)})
    }

    /// Creates something, and then asks for something that can't be: that the
    /// process answers it means that it goes on.
    fn create(&self, kind: &str, inputs: &Object) -> Result<Value, String> {
        Self::create_by(self.command(), kind, inputs)
    }

    fn create_by(command: Command, kind: &str, inputs: &Object) -> Result<Value, String> {
        let request = messages::create(kind, inputs, true);
        let other = messages::create("no_such_type", inputs, true);
        let output = oneshot(command, [request.to_string(), other.to_string()]);
        assert!(output.status.success(), "{}", output.status);
        let stdout = String::from_utf8_lossy(&output.stdout);
        let lines: Vec<_> = stdout.lines().collect();
        assert_eq!(lines.len(), 2, "{stdout}");
        messages::answer(&other, lines[1]).expect_err("there is no such type");
        messages::answer(&request, lines[0])
    }

    fn made(&self, kind: &str, inputs: &Object) -> Value {
        self.create(kind, inputs)
            .unwrap_or_else(|error| panic!("{error}"))
    }

    /// Panics unless creating is refused at `pointer`, in these words and with a
    /// hint that has the last of them.
    fn refuses(&self, kind: &str, inputs: &Object, pointer: &str, words: &[&str]) {
        let error = self.create(kind, inputs).expect_err("it can't be done");
        assert_says(&error, pointer, words);
    }
}

fn assert_says(error: &str, pointer: &str, words: &[&str]) {
    let begins = format!("{pointer}: ");
    assert!(
        pointer.is_empty() || error.starts_with(&begins),
        "{pointer}: {error}"
    );
    for word in words {
        assert!(error.contains(word), "{word:?} is not in: {error}");
    }
    let (summary, hint) = error.split_once("\nhint: ").expect("a hint");
    let last = words.last().expect("a word of the hint");
    assert!(hint.contains(last), "{last:?} is not in the hint: {error}");
    assert!(!summary.contains('\n'), "one line, and a hint: {error}");
}

/// A session that somebody has open.
struct Sleeper {
    session: Provider,
}

impl Sleeper {
    fn start(server: &Server, site: &Site, database: &str) -> Self {
        Self::running(server, site, database, "SELECT 1;")
    }

    /// A session in which a statement has been run.
    fn running(server: &Server, site: &Site, database: &str, statement: &str) -> Self {
        let mut command = site.sandbox.command(server.programs().join("psql"));
        let password = std::fs::read_to_string(server.superuser_password_file());
        let password = password.expect("it");
        let file = site
            .sandbox
            .write("pgpass", format!("*:*:*:*:{password}\n"));
        command
            .args(["-XAtq"])
            .env("PGHOST", server.host())
            .env("PGPORT", server.port().to_string())
            .env("PGUSER", "postgres")
            .env("PGDATABASE", database)
            .env("PGAPPNAME", "a nightly job")
            .env("PGPASSFILE", file);
        let mut session = Provider::spawn(command);
        session.send(statement);
        session.send("SELECT 'ready';");
        // After the rows of the statement.
        while session.answer() != "ready" {}
        Self { session }
    }

    fn end(&mut self, server: &Server) {
        self.session.close_stdin();
        self.session.wait(TIMEOUT).expect("psql ends");
        let sessions =
            "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'a nightly job'";
        let begun = Instant::now();
        while server.sql(sessions) != "0" {
            assert!(begun.elapsed() < TIMEOUT, "the session is still there");
        }
    }
}
