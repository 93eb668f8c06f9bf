//! What is built for the tests is what the executables are built of. Where a test asks
//! for one feature more of some crate, everything above that crate is built twice.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

/// The features of each crate that is used along these edges.
fn features(edges: &str) -> BTreeMap<String, BTreeSet<String>> {
    let output = Command::new(env!("CARGO"))
        .args(["tree", "--workspace", "--offline", "--prefix", "none"])
        .args(["--format", "{p}|{f}", "--edges", edges])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let mut all: BTreeMap<_, BTreeSet<_>> = BTreeMap::new();
    for line in String::from_utf8(output.stdout).unwrap().lines() {
        // What was shown before ends with "(*)".
        let line = line.trim_end_matches(" (*)");
        if let Some((package, features)) = line.split_once('|') {
            let known = all.entry(package.to_owned()).or_default();
            known.insert(features.to_owned());
        }
    }
    assert!(all.len() > 100, "cargo tree shows {} crates", all.len());
    all
}

#[test]
fn the_tests_ask_for_no_feature_more() {
    let for_tests = features("normal,build,dev");
    let mut twice = Vec::new();
    for (package, features) in features("normal,build") {
        if !for_tests[&package].is_superset(&features) {
            twice.push(format!(
                "{package}: {features:?}, for tests {:?}",
                for_tests[&package]
            ));
        }
    }
    assert!(
        twice.is_empty(),
        "ask for the same in tests/Cargo.toml, which counts for both:\n{}",
        twice.join("\n")
    );
}
