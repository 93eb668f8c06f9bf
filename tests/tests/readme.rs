//! The README shows what is in the examples, and its commands work as they
//! stand, but for the places that they name: a server on a port of its own, and
//! keys in a folder of its own.

use std::path::{Path, PathBuf};

use nixops4_resources_tests::binaries;
use nixops4_resources_tests::postgres::{Config, Server};
use nixops4_resources_tests::sandbox::Sandbox;

/// Run by `make test` itself, or about where a user puts things.
const NOT_RUN_HERE: [&str; 3] = [
    "make demo",
    "cargo build --release",
    "export PATH=\"$PWD/target/release:$PATH\"",
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .unwrap()
        .to_owned()
}

fn readme() -> String {
    std::fs::read_to_string(root().join("README.md")).unwrap()
}

/// The fenced blocks in a language, each with the line before it.
fn blocks(language: &str) -> Vec<(String, String)> {
    let text = readme();
    let opening = format!("```{language}\n");
    let mut found = Vec::new();
    let mut rest = text.as_str();
    while let Some(at) = rest.find(&opening) {
        let before = rest[..at].lines().last().unwrap_or_default().to_owned();
        let body = &rest[at + opening.len()..];
        let end = body.find("```").expect("an open block");
        found.push((before, body[..end].to_owned()));
        rest = &body[end + 3..];
    }
    found
}

#[test]
fn its_expressions_are_those_of_the_examples() {
    let shown = blocks("nix");
    assert!(shown.len() >= 2, "{shown:?}");
    for (before, expression) in shown {
        let file = before
            .strip_prefix("<!-- from: ")
            .and_then(|rest| rest.strip_suffix(" -->"))
            .unwrap_or_else(|| panic!("{before:?} does not say where the expression is from"));
        let example = std::fs::read_to_string(root().join(file)).unwrap();
        assert_eq!(expression, example, "README.md and {file}");
    }
}

#[test]
fn its_links_lead_somewhere() {
    let text = readme();
    for link in text
        .split("](")
        .skip(1)
        .filter_map(|rest| rest.split(')').next())
    {
        if !link.contains("://") {
            assert!(root().join(link).exists(), "README.md links to {link}");
        }
    }
}

#[test]
fn its_commands_work() {
    let server = Server::start(&Config::default());
    let sandbox = Sandbox::new();
    let keys = sandbox.work().join("keys");
    std::fs::create_dir(&keys).unwrap();
    std::fs::copy(
        server.superuser_password_file(),
        keys.join("postgresql-admin"),
    )
    .unwrap();
    std::fs::write(keys.join("shop-database"), "a password of the shop\n").unwrap();
    let adapt = |text: &str| {
        text.replace("/run/keys", keys.to_str().unwrap())
            .replace(
                "host = \"127.0.0.1\";",
                &format!("host = \"127.0.0.1\"; port = {};", server.port()),
            )
            .replace(
                "\"host\": \"127.0.0.1\",",
                &format!("\"host\": \"127.0.0.1\", \"port\": {},", server.port()),
            )
    };
    for folder in ["nixops4", "schemas"] {
        copy(&root().join(folder), &sandbox.work().join(folder), &adapt);
    }

    let commands: Vec<String> = blocks("sh")
        .iter()
        .flat_map(|(_, block)| block.lines())
        .filter(|line| !NOT_RUN_HERE.contains(line))
        .map(ToOwned::to_owned)
        .collect();
    let commands = commands.join("\n");
    assert!(commands.contains("nixops4-resources apply"), "{commands}");
    let path = std::env::join_paths(std::iter::once(binaries::folder()).chain(
        std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default()),
    ))
    .unwrap();
    let output = sandbox
        .command("bash")
        .args(["-euxo", "pipefail", "-c", &adapt(&commands)])
        .env("PATH", path)
        .current_dir(sandbox.work())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "{said}\n{}",
        String::from_utf8_lossy(&output.stdout)
    );

    let roles = server.psql("SELECT string_agg(rolname, ' ' ORDER BY rolname) FROM pg_roles WHERE rolname IN ('shop', 'probe')");
    assert_eq!(roles.trim(), "probe shop");
    server
        .psql_as("shop", "a password of the shop", "postgres", "SELECT 1")
        .unwrap();
}

/// Copies a folder, its texts adapted.
fn copy(from: &Path, to: &Path, adapt: &impl Fn(&str) -> String) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target, adapt);
        } else {
            std::fs::write(
                target,
                adapt(&std::fs::read_to_string(entry.path()).unwrap()),
            )
            .unwrap();
        }
    }
}
