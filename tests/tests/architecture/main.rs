//! Dependencies point one way, and every crate keeps the workspace's rules.

mod credentials;

use std::collections::{BTreeMap, BTreeSet};
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
        "nixops4-protocol" | "nixops4-postgresql-client" => &[],
        "nixops4-secrets-store" => &["nixops4-postgresql-client"],
        "nixops4-provider-sdk" => &[
            "nixops4-postgresql-client",
            "nixops4-protocol",
            "nixops4-secrets-store",
        ],
        "nixops4-resources" => &["nixops4-protocol", "nixops4-secrets-store"],
        "nixops4-resources-tests" => &[
            "nixops4-protocol",
            "nixops4-provider-sdk",
            "nixops4-secrets-store",
        ],
        "nixops4-resources-garage" | "nixops4-resources-secrets" => {
            &["nixops4-provider-sdk", "nixops4-secrets-store"]
        }
        "nixops4-resources-state" => &["nixops4-provider-sdk", "nixops4-protocol"],
        provider if provider.starts_with("nixops4-resources-") => &["nixops4-provider-sdk"],
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
