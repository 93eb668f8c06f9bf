//! The command on every kind of state: two at once, and from one to the next.

use std::process::Output;

use nixops4_resources_tests::postgres::Config;
use nixops4_resources_tests::provider::Provider;
use serde_json::{Value, json};

use super::{PATIENCE, Site, in_project, summary, text};

const KINDS: [&str; 3] = ["sqlite", "file", "postgresql"];

impl Site {
    fn on(&self, kind: &str, arguments: &[&str]) -> Output {
        let file = in_project("tests/tests/apply/states.nix");
        self.run_with(&file, arguments, &[("STATE", kind)])
    }

    fn json_on(&self, kind: &str, arguments: &[&str]) -> Value {
        let output = self.on(kind, arguments);
        let stdout = text(&output.stdout);
        assert!(output.status.success(), "{stdout}{}", text(&output.stderr));
        serde_json::from_str(&stdout).expect("one JSON document")
    }

    fn start_on(&self, kind: &str) -> Provider {
        let mut command = self.command("nixops4-resources");
        command
            .args(["apply", "--json", "--file"])
            .arg(in_project("tests/tests/apply/states.nix"))
            .env("STATE", kind);
        let mut running = Provider::spawn(command);
        running.close_stdin();
        running
    }

    fn paths(&self, kind: &str) -> Vec<String> {
        let listed = self.json_on(kind, &["state", "list"]);
        let resources = listed["resources"].as_array().expect("a list").iter();
        resources
            .map(|entry| {
                let names = entry["path"].as_array().expect("a path").iter();
                names
                    .filter_map(Value::as_str)
                    .collect::<Vec<_>>()
                    .join(".")
            })
            .collect()
    }
}

#[test]
fn two_applies_at_once_on_every_kind_of_state() {
    for kind in KINDS {
        let site = Site::new(&Config::default());
        let running = [site.start_on(kind), site.start_on(kind)];
        let mut succeeded = 0;
        for mut running in running {
            let status = running.wait(PATIENCE).expect("it ends");
            let output = running.finish();
            let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
            if status.success() {
                succeeded += 1;
                continue;
            }
            assert_eq!(status.code(), Some(1), "{kind}: {stdout}{stderr}");
            assert!(
                stdout.contains("the recorded state was changed by "),
                "{kind}: {stdout}{stderr}"
            );
        }
        assert!(succeeded > 0, "{kind}: nobody was first");
        // Whatever came of them, the next one has nothing to guess.
        summary(&site.on(kind, &["apply"]));
        assert_eq!(
            site.paths(kind),
            ["hub", "mail.c", "web.a", "web.b"],
            "{kind}"
        );
        let verified = site.json_on(kind, &["state", "verify"]);
        assert_eq!(verified["success"], true, "{kind}: {verified}");
        let plan = site.json_on(kind, &["plan"]);
        assert_eq!(plan["counts"]["unchanged"], 4, "{kind}: {plan}");
        let roles = "SELECT count(*) FROM pg_roles WHERE rolname IN ('hub', 'a', 'b', 'c')";
        assert_eq!(site.server.psql(roles), "4", "{kind}");
    }
}

#[test]
fn a_state_moves_from_one_kind_to_the_next_and_nothing_is_made_anew() {
    let site = Site::new(&Config::default());
    summary(&site.on("sqlite", &["apply"]));
    let oids = "SELECT string_agg(oid::text, ' ' ORDER BY rolname) FROM pg_roles
                WHERE rolname IN ('hub', 'a', 'b', 'c')";
    let before = site.server.psql(oids);
    let edges = site.json_on("sqlite", &["state", "show", "web.a"])["dependsOn"].take();
    assert_eq!(edges, json!([{"path": ["hub"], "output": "name"}]));

    // Into upstream's file, and from there into the database.
    let file = site.sandbox.work().join("moved.json");
    let to = format!("file:{}#states", file.display());
    site.json_on("sqlite", &["state", "export", "--to", &to]);
    let imported = site.json_on("postgresql", &["state", "import", &file.to_string_lossy()]);
    assert_eq!(imported["resources"], 4);
    let plan = site.json_on("postgresql", &["plan"]);
    assert_eq!(plan["counts"]["unchanged"], 4, "{plan}");
    assert_eq!(
        site.paths("postgresql"),
        ["hub", "mail.c", "web.a", "web.b"]
    );
    summary(&site.on("postgresql", &["apply"]));
    assert_eq!(site.server.psql(oids), before);
    let shown = site.json_on("postgresql", &["state", "show", "web.a"]);
    assert_eq!(shown["dependsOn"], edges);
}
