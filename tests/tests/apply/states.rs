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
        assert_eq!(site.server.sql(roles), "4", "{kind}");
    }
}

#[test]
fn a_state_moves_from_one_kind_to_the_next_and_nothing_is_made_anew() {
    let site = Site::new(&Config::default());
    summary(&site.on("sqlite", &["apply"]));
    let oids = "SELECT string_agg(oid::text, ' ' ORDER BY rolname) FROM pg_roles
                WHERE rolname IN ('hub', 'a', 'b', 'c')";
    let before = site.server.sql(oids);
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
    assert_eq!(site.server.sql(oids), before);
    let shown = site.json_on("postgresql", &["state", "show", "web.a"]);
    assert_eq!(shown["dependsOn"], edges);
}

/// A state file as NixOps4's own command leaves it: each event has the index 0,
/// nobody is named, and nothing of ours stands in it.
fn as_upstream_writes(file: &str) -> String {
    let events = serde_json::Deserializer::from_str(file).into_iter::<Value>();
    let mut text = String::new();
    for event in events {
        let mut event = event.expect("JSON");
        event["index"] = json!(0);
        let meta = event["meta"].as_object_mut().expect("meta");
        meta.retain(|name, _| name == "time" || name == "event");
        let patch = event["patch"].as_array_mut().expect("a patch");
        patch.retain(|operation| {
            let place = operation["path"].as_str().expect("a path");
            !place.contains("nixops4-resources")
        });
        for operation in patch {
            if let Some(value) = operation["value"].as_object_mut() {
                value.remove("nixops4-resources");
            }
        }
        text.push_str(&serde_json::to_string_pretty(&event).expect("JSON"));
        text.push('\n');
    }
    text
}

#[test]
fn a_state_that_upstream_wrote_is_planned_and_destroyed_from() {
    let site = Site::new(&Config::default());
    summary(&site.on("file", &["apply"]));
    let written = std::fs::read_to_string(site.state()).expect("the state");
    let upstreams = as_upstream_writes(&written);
    assert!(!upstreams.contains("\"nixops4-resources\""), "{upstreams}");
    std::fs::write(site.state(), upstreams).expect("it can be written");

    let plan = site.json_on("file", &["plan"]);
    assert_eq!(plan["counts"]["unchanged"], 4, "{plan}");
    let verified = site.json_on("file", &["state", "verify"]);
    assert_eq!(verified["success"], true, "{verified}");
    let shown = site.json_on("file", &["state", "show", "web.a"]);
    assert_eq!(shown["provider"], Value::Null);
    assert_eq!(shown["dependsOn"], Value::Null);

    summary(&site.on("file", &["destroy", "--yes"]));
    let roles = "SELECT count(*) FROM pg_roles WHERE rolname IN ('hub', 'a', 'b', 'c')";
    assert_eq!(site.server.sql(roles), "0");
    assert_eq!(site.paths("file"), [""; 0]);
    let history = site.json_on("file", &["state", "history", "--last", "4"]);
    let events = history["events"].as_array().expect("events");
    assert!(
        events.iter().all(|event| event["event"] == "destroy"),
        "{history}"
    );
}
