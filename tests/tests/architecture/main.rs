//! Dependencies point one way, and every crate keeps the workspace's rules.

mod circles;
mod credentials;
mod features;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

use serde_json::Value;

fn packages() -> Vec<Value> {
    let output = Command::new(env!("CARGO"))
        .args([
            "metadata",
            "--format-version",
            "1",
            "--no-deps",
            "--offline",
        ])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    metadata["packages"].as_array().unwrap().clone()
}

/// What a crate may use of the workspace, outside of its tests.
fn may_use(name: &str) -> &'static [&'static str] {
    match name {
        "nixops4-protocol"
        | "nixops4-file-trust"
        | "nixops4-http-client"
        | "nixops4-postgresql-client" => &[],
        "nixops4-secrets-store" => &[
            "nixops4-file-trust",
            "nixops4-http-client",
            "nixops4-postgresql-client",
        ],
        "nixops4-provider-sdk" => &[
            "nixops4-http-client",
            "nixops4-postgresql-client",
            "nixops4-protocol",
            "nixops4-secrets-store",
        ],
        "nixops4-resources-engine" => &["nixops4-file-trust", "nixops4-protocol"],
        "nixops4-resources" => &[
            "nixops4-protocol",
            "nixops4-resources-engine",
            "nixops4-secrets-store",
        ],
        "nixops4-resources-tests" => &[
            "nixops4-protocol",
            "nixops4-provider-sdk",
            "nixops4-secrets-store",
        ],
        "nixops4-resources-state" => &["nixops4-provider-sdk", "nixops4-protocol"],
        provider if provider.starts_with("nixops4-resources-") => {
            &["nixops4-provider-sdk", "nixops4-secrets-store"]
        }
        other => panic!("{other} has no place in docs/architecture.md"),
    }
}

#[test]
fn dependencies_point_one_way() {
    let packages = packages();
    let ours: BTreeSet<_> = packages
        .iter()
        .map(|package| package["name"].as_str().unwrap())
        .collect();
    let mut wrong = BTreeMap::new();
    for package in &packages {
        let name = package["name"].as_str().unwrap();
        for dependency in package["dependencies"].as_array().unwrap() {
            let used = dependency["name"].as_str().unwrap();
            let for_tests = dependency["kind"] == "dev";
            if ours.contains(used) && !for_tests && !may_use(name).contains(&used) {
                wrong.insert(name, used);
            }
        }
    }
    assert_eq!(wrong, BTreeMap::new());
}

/// Whoever asks for a client gets one that verifies the server and has limits.
#[test]
fn one_crate_builds_http_clients() {
    for package in packages() {
        let name = package["name"].as_str().unwrap();
        let mut dependencies = package["dependencies"].as_array().unwrap().iter();
        let builds = dependencies.any(|used| used["name"] == "reqwest");
        assert_eq!(builds, name == "nixops4-http-client", "{name}");
    }
}

/// What a provider's author can use knows no server but PostgreSQL, which has a module of
/// its own there.
#[test]
fn the_sdk_names_no_server() {
    const SERVERS: [&str; 9] = [
        "garage", "openbao", "vault", "proxmox", "powerdns", "knot", "lldap", "openldap",
        "authelia",
    ];
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../sdk/src");
    let mut read = 0;
    for entry in walkdir::WalkDir::new(source) {
        let entry = entry.unwrap();
        if !entry.file_type().is_file() {
            continue;
        }
        read += 1;
        let text = std::fs::read_to_string(entry.path())
            .unwrap()
            .to_lowercase();
        let named = SERVERS.iter().find(|server| text.contains(**server));
        assert_eq!(named, None, "{}", entry.path().display());
        let of_postgresql = ["postgresql.rs", "lib.rs"].iter();
        let may_use = of_postgresql
            .into_iter()
            .any(|file| entry.path().ends_with(file));
        let uses = text.contains("nixops4_postgresql_client");
        assert!(may_use || !uses, "{}", entry.path().display());
    }
    assert!(read > 30, "{read}");
}

/// What the engine must not use, nor anything of ours that it uses: a terminal, a command
/// line, secrets.
const NOT_IN_THE_ENGINE: [&str; 9] = [
    "anstream",
    "anstyle",
    "clap",
    "clap_complete",
    "console",
    "crossterm",
    "indicatif",
    "nixops4-resources",
    "nixops4-secrets-store",
];

#[test]
fn the_engine_has_no_terminal_no_command_line_and_no_secrets() {
    let packages = packages();
    let ours: BTreeMap<_, _> = packages
        .iter()
        .map(|package| (package["name"].as_str().unwrap(), package))
        .collect();
    let mut wanted = vec!["nixops4-resources-engine"];
    let mut seen = BTreeSet::new();
    while let Some(name) = wanted.pop() {
        for dependency in ours[name]["dependencies"].as_array().unwrap() {
            if dependency["kind"] == "dev" {
                continue;
            }
            let used = dependency["name"].as_str().unwrap();
            assert!(!NOT_IN_THE_ENGINE.contains(&used), "{name} uses {used}");
            let features = dependency["features"].as_array().unwrap();
            assert!(
                !features.iter().any(|feature| feature == "termios"),
                "{name} uses a terminal by {used}"
            );
            if ours.contains_key(used) && seen.insert(used) {
                wanted.push(used);
            }
        }
    }
    assert!(seen.contains("nixops4-protocol"), "{seen:?}");
}

#[test]
fn no_crate_is_a_drawer_for_the_rest() {
    for package in packages() {
        let name = package["name"].as_str().unwrap().to_owned();
        assert!(
            !name.ends_with("common") && !name.ends_with("util"),
            "{name}"
        );
        assert_eq!(package["license"], "MIT OR Apache-2.0", "{name}");
        assert!(package["rust_version"].is_string(), "{name}");
    }
}

/// Where the command names an input or an output by hand, and why it may.
const NAMED: [(&str, &str, &str); 1] = [(
    "records/location.rs",
    "deployment",
    "the short form of a place, which the user types, is the command's own",
)];

/// The code of a file: what stands before its tests, without comments.
fn code(text: &str) -> impl Iterator<Item = &str> {
    text.split("#[cfg(test)]")
        .next()
        .unwrap_or_default()
        .lines()
        .filter(|line| !line.trim_start().starts_with("//"))
}

/// What a kind's inputs and outputs mean, its provider says: `KindDescription::contract`.
#[test]
fn the_command_knows_no_input_by_its_name() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut names = BTreeSet::from(["owner".to_owned(), "systemIdentifier".to_owned()]);
    for file in std::fs::read_dir(root.join("schemas")).unwrap() {
        let text = std::fs::read_to_string(file.unwrap().path()).unwrap();
        let schema: Value = serde_json::from_str(&text).unwrap();
        for kind in schema["kinds"].as_object().into_iter().flatten() {
            let contract = &kind.1["contract"];
            let lists = [&contract["namingInputs"], &contract["reach"]["inputs"]];
            let lists = lists.into_iter().filter_map(Value::as_array).flatten();
            let ones = [
                &contract["reach"]["input"],
                &contract["reach"]["serverIdOutput"],
                &contract["deploymentInput"],
                &contract["protectInput"],
                &contract["deletionPolicyInput"],
            ];
            names.extend(
                lists
                    .chain(ones)
                    .filter_map(Value::as_str)
                    .map(str::to_owned),
            );
        }
    }
    // What anything may be called, such as a field of a report.
    for common in [
        "generation",
        "import",
        "key",
        "name",
        "path",
        "role",
        "schema",
        "secret",
        "source",
        "store",
        "version",
    ] {
        names.remove(common);
    }
    assert!(names.contains("connection") && names.contains("deployment"));
    let mut left: BTreeSet<_> = NAMED.iter().collect();
    let mut wrong = Vec::new();
    let sources = ["cli/src", "engine/src"].map(|folder| root.join(folder));
    let mut folders: Vec<_> = sources.into_iter().filter(|it| it.is_dir()).collect();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                // The model is a provider itself.
                if path.file_name() != Some("model".as_ref()) {
                    folders.push(path);
                }
                continue;
            }
            let is_rust = path.extension() == Some("rs".as_ref());
            let text = std::fs::read_to_string(&path).unwrap();
            let path = path.strip_prefix(&root).unwrap().display().to_string();
            let is_test = path.ends_with("/tests.rs") || path.ends_with("/model.rs");
            for line in code(&text).filter(|_| is_rust && !is_test) {
                for name in &names {
                    if !line.contains(&format!("\"{name}\"")) {
                        continue;
                    }
                    match NAMED
                        .iter()
                        .find(|it| path.ends_with(it.0) && it.1 == *name)
                    {
                        Some(known) => drop(left.remove(known)),
                        None => wrong.push(format!("{path}: {}", line.trim())),
                    }
                }
            }
        }
    }
    assert!(wrong.is_empty(), "ask the contract of the kind: {wrong:#?}");
    assert!(left.is_empty(), "nobody does this any more: {left:?}");
}
