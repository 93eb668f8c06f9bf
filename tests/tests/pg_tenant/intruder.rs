//! Somebody who has a role on the server, and means harm with it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use nixops4_resources_tests::provider::Provider;

use crate::support::{Place, ident, literal};

pub(crate) const PASSWORD: &str = "the intruder's: password";

/// The agreed lock: "nixops4r" in ASCII.
pub(crate) const KEY: &str = "7956022636749993074";

/// A session that stays.
pub(crate) struct Session {
    _psql: Provider,
}

impl Session {
    /// Runs statements in a database, and stays there with whatever it holds.
    pub(crate) fn new(at: &Place, user: &str, database: &str, statements: &str) -> Self {
        let mut command = at.sandbox.command(at.server.programs().join("psql"));
        let password = PASSWORD.replace(':', r"\:");
        let file = at
            .sandbox
            .write("intruder", format!("*:*:*:*:{password}\n"));
        command
            .args(["-XAtq", "-v", "ON_ERROR_STOP=1"])
            .env("PGHOST", at.server.host())
            .env("PGPORT", at.server.port().to_string())
            .env("PGUSER", user)
            .env("PGDATABASE", database)
            .env("PGPASSFILE", file);
        let mut psql = Provider::spawn(command);
        psql.send(format!("{statements};"));
        psql.send("SELECT 'ready';");
        while psql.answer() != "ready" {}
        Self { _psql: psql }
    }
}

/// Sessions that come back whenever they are ended, until this is dropped.
pub(crate) struct Swarm {
    is_over: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Swarm {
    pub(crate) fn new(at: &Place, user: &str, database: &str, statements: &str) -> Self {
        let is_over = Arc::new(AtomicBool::new(false));
        let port = at.server.port();
        let server = &at.server;
        let (host, programs) = (server.host(), server.programs().join("psql"));
        let password = PASSWORD.replace(':', r"\:");
        let file = at.sandbox.write("swarm", format!("*:*:*:*:{password}\n"));
        let threads = (0..3).map(|_| {
            let mut command = at.sandbox.command(&programs);
            command
                .args(["-XAtq", "-c", statements])
                .env("PGHOST", &host)
                .env("PGPORT", port.to_string())
                .env("PGUSER", user)
                .env("PGDATABASE", database)
                .env("PGPASSFILE", &file)
                .stdin(std::process::Stdio::null())
                .stdout(std::process::Stdio::null())
                .stderr(std::process::Stdio::null());
            let is_over = Arc::clone(&is_over);
            std::thread::spawn(move || {
                while !is_over.load(Ordering::Relaxed) {
                    let _ended = command.status();
                }
            })
        });
        Self {
            threads: threads.collect(),
            is_over,
        }
    }

    /// Lets them go.
    pub(crate) fn end(mut self, at: &Place, user: &str) {
        self.is_over.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            while !thread.is_finished() {
                send_off(at, user);
            }
            thread.join().expect("it ends");
        }
    }
}

/// A role of its own.
pub(crate) fn stranger(at: &Place) -> String {
    let name = at.name("stranger");
    at.sql(
        "postgres",
        &format!(
            "CREATE ROLE {} LOGIN PASSWORD {}",
            ident(&name),
            literal(PASSWORD)
        ),
    );
    if !at.is_superuser {
        // It is one of those that the administrator manages.
        at.sql(
            "postgres",
            &format!("GRANT {} TO manager WITH ADMIN OPTION", ident(&name)),
        );
    }
    name
}

pub(crate) fn sessions(at: &Place, user: &str) -> String {
    at.sql(
        "postgres",
        &format!(
            "SELECT count(*) FROM pg_stat_activity WHERE usename = {}",
            literal(user)
        ),
    )
}

fn send_off(at: &Place, user: &str) {
    at.sql(
        "postgres",
        &format!(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = {}",
            literal(user)
        ),
    );
}
