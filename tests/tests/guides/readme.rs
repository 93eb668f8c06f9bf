//! `README.md`

use nixops4_resources_tests::postgres::{Config, Server};

use crate::document::Document;
use crate::workshop::Workshop;

/// Run by `make test` itself, or about where a user puts things.
const NOT_RUN_HERE: [&str; 3] = [
    "make demo",
    "cargo build --release",
    "export PATH=\"$PWD/target/release:$PATH\"",
];

fn readme() -> Document {
    Document::read("README.md")
}

#[test]
fn its_expressions_are_those_of_the_examples() {
    let readme = readme();
    let blocks = readme.blocks();
    let shown: Vec<_> = blocks
        .iter()
        .filter(|block| block.language == "nix")
        .collect();
    assert!(shown.len() >= 2, "{shown:?}");
    for block in shown {
        assert!(
            block.note.starts_with("from: "),
            "where is it from? {block:?}"
        );
        readme.check_origin(block);
    }
}

#[test]
fn its_links_lead_somewhere() {
    readme().check_links();
}

#[test]
fn its_commands_work() {
    let server = Server::start(&Config::default());
    let mut workshop = Workshop::new(&[("127.0.0.1", &server)]);
    let password = std::fs::read_to_string(server.superuser_password_file()).unwrap();
    workshop.key("postgresql-admin", &password);
    workshop.key("shop-database", "a password of the shop\n");
    let commands: Vec<_> = readme()
        .blocks()
        .into_iter()
        .filter(|block| block.language == "sh")
        .flat_map(|block| {
            block
                .body
                .lines()
                .map(ToOwned::to_owned)
                .collect::<Vec<_>>()
        })
        .filter(|line| !NOT_RUN_HERE.contains(&line.as_str()))
        .collect();
    let commands = commands.join("\n");
    assert!(commands.contains("nixops4-resources apply"), "{commands}");
    workshop.run(&commands);

    let roles = server.sql("SELECT string_agg(rolname, ' ' ORDER BY rolname) FROM pg_roles WHERE rolname IN ('shop', 'probe')");
    assert_eq!(roles.trim(), "probe shop");
    server
        .psql_as("shop", "a password of the shop", "postgres", "SELECT 1")
        .unwrap();
}
