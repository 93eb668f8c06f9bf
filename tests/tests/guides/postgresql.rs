//! `docs/guides/postgresql.md`, by an administrator that is no superuser, on
//! two servers: from each version to the newest.

use nixops4_resources_tests::postgres::{Config, Server, versions};

use crate::document::{Block, Document, root};
use crate::workshop::Workshop;

const DEPLOYER: &str = "a password of the deployer";
const OTHER_LOGIN: &str = "a password of the other login";
const REPORTS: &str = "a password of the reports";

fn guide() -> Document {
    Document::read("docs/guides/postgresql.md")
}

/// What a reader sees, in order.
struct Reading {
    workshop: Workshop,
    first: Server,
    second: Server,
    /// How many blocks of commands were run.
    runs: usize,
}

impl Reading {
    fn new(from: u32, to: u32) -> Self {
        let start = |version, own_system_identifier| {
            Server::start(&Config {
                version: Some(version),
                own_system_identifier,
                ..Config::default()
            })
        };
        let (first, second) = (start(from, false), start(to, true));
        for server in [&first, &second] {
            // What the guide says was made by hand.
            server.sql("CREATE ROLE pixelfed LOGIN PASSWORD 'by hand'");
            server.sql("CREATE DATABASE pixelfed OWNER pixelfed");
        }
        first
            .psql_as("pixelfed", "by hand", "pixelfed", "CREATE TABLE kept ()")
            .unwrap();
        let workshop = Workshop::new(&[("db1.example.org", &first), ("db2.example.org", &second)]);
        workshop.key("postgresql-deployer", DEPLOYER);
        workshop.key("mastodon-a", OTHER_LOGIN);
        workshop.key("reports-database", REPORTS);
        // The machine that it reaches takes what comes for a file.
        workshop.stand_in(
            "ssh",
            "#!/bin/sh\n[ \"$1\" = root@web1.example.org ] && exec cat > delivered\n",
        );
        Self {
            workshop,
            first,
            second,
            runs: 0,
        }
    }

    fn superuser(&self, sql: &str) {
        for server in [&self.first, &self.second] {
            server.sql(sql);
            // What \password does, which asks a person.
            server.sql(&format!("ALTER ROLE deployer PASSWORD '{DEPLOYER}'"));
        }
    }

    /// Logs in as the application, with the password that was delivered.
    fn application(&self, server: &Server, sql: &str) -> Result<String, String> {
        let delivered = std::fs::read_to_string(self.workshop.work().join("delivered")).unwrap();
        server.psql_as("mastodon", delivered.trim_end(), "mastodon", sql)
    }

    fn follow(&mut self, block: &Block) {
        match (block.language.as_str(), block.note.as_str()) {
            ("sql", "run as a superuser") => self.superuser(&block.body),
            ("sh", "") => {
                let said = self.workshop.run(&self.within_reach(&block.body));
                self.runs += 1;
                self.look(self.runs, &said);
            }
            ("diff", note) => {
                let file = note.strip_prefix("change: ").expect("the file to change");
                self.workshop.change(file, &block.body);
            }
            ("nix", note) => {
                if let Some(kind) = note.strip_prefix("inputs of: ") {
                    self.complete(kind, &block.body);
                } else if let Some(kind) = note.strip_prefix("applied: ") {
                    let inputs = self.complete(kind, &block.body);
                    self.workshop.run(&format!(
                        "nixops4-resources call create postgresql_{kind} --inputs '{inputs}'"
                    ));
                    self.look_at_the_other_login();
                } else {
                    assert!(
                        note.starts_with("from: "),
                        "what is to be done with {block:?}?"
                    );
                }
            }
            // It is the business of tests with PgBouncer.
            ("ini", "") => assert!(block.body.contains("deployer = pool_mode=session")),
            _ => panic!("what is to be done with {block:?}?"),
        }
    }

    /// The commands, but for copying where the installation comes without the
    /// programs for it.
    fn within_reach(&self, commands: &str) -> String {
        if !commands.contains("pg_dump") || self.first.programs().join("pg_dump").exists() {
            return commands.to_owned();
        }
        let (apply, _copying) = commands.split_once('\n').expect("several lines");
        assert!(apply.starts_with("nixops4-resources apply "), "{apply}");
        format!("{apply}\ntouch not-copied\n")
    }

    /// The inputs of a kind, completed and in JSON.
    fn complete(&self, kind: &str, inputs: &str) -> String {
        let inputs = self.workshop.adapt(inputs);
        let expression = format!(
            "let
               root = (import {0}/default.nix).lib.mkRoot {{ name = \"hosting\"; }} ({{ providers, ... }}: {{
                 members.x = {{ type = providers.postgresql.{kind}; inputs = {inputs}; }};
               }});
             in ((import {0}/tests/nix/fixpoint.nix).run root {{ }}).members.x.resource.inputs",
            root().display()
        );
        let mut evaluation = self.workshop.command("nix-instantiate");
        evaluation.args(["--eval", "--strict", "--json", "--expr", &expression]);
        let output = evaluation.output().unwrap();
        assert!(
            output.status.success(),
            "{inputs}\n{}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8(output.stdout).unwrap()
    }

    fn look_at_the_other_login(&self) {
        let made = "CREATE TABLE made (); SELECT tableowner FROM pg_tables WHERE tablename = 'made'; DROP TABLE made";
        let login = self
            .first
            .psql_as("mastodon_a", OTHER_LOGIN, "mastodon", made);
        assert_eq!(login.unwrap(), "mastodon");
    }

    /// What each block of commands should have done.
    fn look(&self, run: usize, said: &str) {
        let refused = |server| self.application(server, "SELECT 1").unwrap_err();
        match run {
            1 => assert!(said.contains("mastodon"), "{said}"),
            2 => {
                let made = "CREATE TABLE toots AS SELECT 'hello' AS text;
                            SELECT extname FROM pg_extension WHERE extname = 'pg_trgm'";
                assert_eq!(self.application(&self.first, made).unwrap(), "pg_trgm");
            }
            3 => assert_eq!(self.application(&self.first, "SELECT 1").unwrap(), "1"),
            4 => {
                let more = "CREATE TABLE boosts AS SELECT 2 AS count";
                self.application(&self.first, more).unwrap();
                let reports = |sql| self.first.psql_as("reports", REPORTS, "mastodon", sql);
                assert_eq!(
                    reports("SELECT text, count FROM toots, boosts").unwrap(),
                    "hello|2"
                );
                reports("SET default_transaction_read_only = off; DELETE FROM toots").unwrap_err();
            }
            5 => assert!(refused(&self.first).contains("not permitted to log in")),
            6 => assert_eq!(
                self.application(&self.first, "SELECT text FROM toots")
                    .unwrap(),
                "hello"
            ),
            7 => {
                let login = |server: &Server| {
                    server.psql_as(
                        "pixelfed",
                        "by hand",
                        "pixelfed",
                        "SELECT count(*) FROM kept",
                    )
                };
                assert_eq!(login(&self.first).unwrap(), "0");
                assert!(said.contains("systemIdentifier"), "{said}");
            }
            8 => {
                assert!(said.contains("\"mastodon\""), "{said}");
                assert!(said.contains("\"pixelfed\""), "{said}");
                assert!(!said.contains("\"reports\""), "{said}");
            }
            9 if self.workshop.work().join("not-copied").exists() => {
                let made = "CREATE TABLE toots (text text); SELECT count(*) FROM toots";
                assert_eq!(self.application(&self.second, made).unwrap(), "0");
            }
            9 => {
                let moved = "INSERT INTO toots VALUES ('again'); SELECT count(*) FROM toots";
                assert_eq!(self.application(&self.second, moved).unwrap(), "2");
            }
            10 => {
                let left = "SELECT (SELECT count(*) FROM pg_roles WHERE rolname = 'mastodon'),
                                   (SELECT count(*) FROM pg_database WHERE datname = 'mastodon')";
                assert_eq!(self.first.sql(left), "0|0");
                assert_eq!(self.application(&self.second, "SELECT 1").unwrap(), "1");
            }
            _ => panic!("nothing is known of what this should have done"),
        }
    }
}

#[test]
fn it_works_as_it_stands() {
    let guide = guide();
    let versions = versions();
    let newest = *versions.iter().max().expect("a server");
    for version in versions {
        let mut reading = Reading::new(version, newest);
        for block in guide.blocks() {
            guide.check_origin(&block);
            reading.follow(&block);
        }
        assert_eq!(reading.runs, 10);
    }
}

#[test]
fn its_links_lead_somewhere() {
    guide().check_links();
}

/// The table of errors quotes what the code says.
#[test]
fn its_errors_are_ours() {
    guide().check_errors(&[
        "providers/postgresql/src",
        "sdk/src",
        "postgresql-client/src",
    ]);
}
