//! The guide's example, from an expression to files that a machine can open.

use std::path::{Path, PathBuf};
use std::process::Output;
use std::time::Duration;

use nixops4_resources_tests::binaries;
use nixops4_resources_tests::canary::Canary;
use nixops4_resources_tests::provider::Provider;
use serde_json::{Value, json};

use crate::{Site, support};

/// How long one run of the command may take on a busy machine.
const PATIENCE: Duration = Duration::from_mins(5);

fn in_project(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path)
}

impl Site {
    /// `nixops4-resources ARGUMENTS --json` on the example.
    fn run_example(&self, arguments: &[&str]) -> Output {
        let mut command = self.sandbox.command(binaries::path("nixops4-resources"));
        let path = std::env::var_os("PATH").expect("there is a PATH");
        let path = std::iter::once(binaries::folder()).chain(std::env::split_paths(&path));
        let [mut stores, identity] = support::secrets::environment(&self.store, &self.identity);
        stores.1.push_str(&self.sources);
        command
            .env("PATH", std::env::join_paths(path).expect("a PATH"))
            .envs([stores, identity])
            .env("NIXOPS4_RESOURCES_LOG", "trace")
            .args(arguments)
            .args(["--json", "--file"])
            .arg(in_project("nixops4/examples/secrets/nixops4.nix"));
        let mut running = Provider::spawn(command);
        running.close_stdin();
        running.wait(PATIENCE).expect("it takes too long");
        let output = running.finish();
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{arguments:?}: {said}");
        output
    }
}

#[test]
fn the_guide_shows_the_example() {
    let example = in_project("nixops4/examples/secrets/nixops4.nix");
    let example = std::fs::read_to_string(example).expect("the example");
    let guide = std::fs::read_to_string(in_project("docs/guides/secrets.md")).expect("the guide");
    assert!(guide.contains(&format!("```nix\n{example}```\n")));
}

/// The example as people meet it: planned, applied, and planned again.
pub(crate) fn example_from_its_plan_on() -> (Site, Vec<Output>) {
    let mut site = Site::new();
    site.sandbox
        .write("existing/mail/relay", Canary::new().value());
    let folder = site.sandbox.work().join("existing");
    site.sources = format!(" existing=file:{}", folder.display());
    let outputs = ["plan", "apply", "plan"].map(|command| site.run_example(&[command]));
    (site, outputs.into())
}

#[test]
fn the_example_is_applied_and_nothing_leaks() {
    let mut site = Site::new();
    let relay = Canary::new();
    site.sandbox.write("existing/mail/relay", relay.value());
    let folder = site.sandbox.work().join("existing");
    site.sources = format!(" existing=file:{}", folder.display());

    let first = site.run_example(&["apply"]);
    let second = site.run_example(&["apply"]);
    let plan = site.run_example(&["plan", "--detailed-exitcode"]);
    let report: Value = serde_json::from_slice(&plan.stdout).expect("JSON");
    let counts = report["counts"].as_object().expect("counts");
    let counts: Vec<_> = counts.iter().filter(|(_, count)| **count != 0).collect();
    assert_eq!(counts, [(&"unchanged".to_owned(), &json!(11))], "{report}");

    // Every value there is, but for the hash, which is public, and what is
    // only kept to compare.
    let mut canaries = vec![relay];
    site.runtime.block_on(async {
        use nixops4_secrets_store::ExposeSecret as _;
        let mut store = site.open().await;
        let entries = store.list().await.expect("a list");
        assert_eq!(entries.len(), 11);
        for entry in entries {
            let newest = entry.newest().expect("a value").clone();
            assert_eq!(newest.generation.get(), 1, "{}", entry.name);
            if entry.kind == "secrets_password_hash" {
                continue;
            }
            let value = store.reveal(&entry.name, newest.generation, None).await;
            canaries.push(Canary::with(value.expect("a value").expose_secret()));
        }
    });
    let state = site.sandbox.work().join("secrets-state.sqlite");
    let state = std::fs::read(state).expect("the state");
    let store = std::fs::read(&site.store).expect("the store");
    for canary in canaries {
        for (label, bytes) in [
            ("apply", &first.stdout),
            ("apply's log", &first.stderr),
            ("apply again", &second.stdout),
            ("the log of apply again", &second.stderr),
            ("plan", &plan.stdout),
            ("plan's log", &plan.stderr),
            ("the state", &state),
            ("the store", &store),
        ] {
            canary.assert_absent(label, bytes);
        }
    }
}
