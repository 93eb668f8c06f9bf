//! The command on every kind of state: two at once, and from one to the next.

use std::process::Output;

use nixops4_resources_tests::messages;
use nixops4_resources_tests::postgres::Config;
use nixops4_resources_tests::provider::{Provider, oneshot};
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

    fn start_on(&self, kind: &str, file: &str) -> Provider {
        let mut command = self.command("nixops4-resources");
        command
            .args(["apply", "--json", "--file"])
            .arg(in_project("tests/tests/apply").join(file))
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

/// Whether a refusal says who was quicker, by what was recorded or by what was begun.
fn names_the_other(said: &str) -> bool {
    said.contains("the recorded state was changed by ")
        || said.contains(" is applying what this would change, since 2")
}

#[test]
fn two_applies_at_once_on_every_kind_of_state() {
    for kind in KINDS {
        let site = Site::new(&Config::default());
        let running = [(); 2].map(|()| site.start_on(kind, "states.nix"));
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
            assert!(names_the_other(&stdout), "{kind}: {stdout}{stderr}");
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

/// How often two begin, of each kind of state; `NIXOPS4_RESOURCES_ROUNDS` says it.
fn rounds() -> usize {
    let said = std::env::var("NIXOPS4_RESOURCES_ROUNDS").ok();
    said.and_then(|text| text.parse().ok()).unwrap_or(3)
}

#[test]
fn of_two_applies_that_begin_at_one_moment_one_succeeds() {
    let mut refused = 0;
    for kind in KINDS {
        for round in 0..rounds() {
            let site = Site::new(&Config::default());
            let running = [(); 2].map(|()| site.start_on(kind, "tokens.nix"));
            let ended = running.map(|mut running| {
                running.wait(PATIENCE).expect("it ends");
                running.finish()
            });
            let (won, lost): (Vec<_>, Vec<_>) =
                ended.iter().partition(|output| output.status.success());
            let said: Vec<_> = lost.iter().map(|output| text(&output.stdout)).collect();
            assert!(!won.is_empty(), "{kind}, round {round}: {said:?}");
            let made = won.iter().map(|output| summary(output)["created"].as_u64());
            // The second may have come so late that nothing was left to do.
            assert_eq!(made.flatten().sum::<u64>(), 6, "{kind}, round {round}");
            for said in said {
                refused += 1;
                assert!(said.contains("nothing was applied"), "{kind}: {said}");
                assert!(names_the_other(&said), "{kind}: {said}");
                assert!(!said.contains("\"event\":\"started\""), "{kind}: {said}");
            }
            let file = in_project("tests/tests/apply/tokens.nix");
            let verify = ["state", "verify"];
            let verified = site.run_with(&file, &verify, &[("STATE", kind)]);
            let verified: Value = serde_json::from_slice(&verified.stdout).expect("JSON");
            assert_eq!(verified["success"], true, "{kind}: {verified}");
            assert_eq!(verified["states"][0]["resources"], 6, "{kind}: {verified}");
        }
    }
    assert!(
        refused > 0,
        "they never met in {} rounds",
        rounds() * KINDS.len()
    );
}

#[test]
fn who_comes_later_is_told_who_is_at_work() {
    let site = Site::new(&Config::default());
    let file = in_project("tests/tests/apply/tokens.nix");
    let apply = || site.run_with(&file, &["apply"], &[("STATE", "sqlite")]);
    let state = format!("sqlite:{}#tokens", site.state().display());
    // This process takes the part of another apply: it says that it begins.
    let event = |name: &str, patch: Value| {
        let resource = json!({
            "type": "state_sqlite",
            "inputProperties": {"deployment": "tokens", "path": site.state()},
        });
        let event = messages::state_event(&resource, name, &patch);
        let output = oneshot(site.command("nixops4-resources-state"), [event.to_string()]);
        messages::answer(&event, text(&output.stdout).trim_end()).expect("it is written");
    };
    let create = json!({"createResourceRequest": {
        "type": "state_sqlite", "isStateful": false,
        "inputProperties": {"deployment": "tokens", "path": site.state()},
    }});
    let created = oneshot(
        site.command("nixops4-resources-state"),
        [create.to_string()],
    );
    messages::answer(&create, text(&created.stdout).trim_end()).expect("it is made");
    let stat = std::fs::read_to_string("/proc/self/stat").expect("it runs");
    let stat: Vec<&str> = stat.rsplit(") ").next().expect("it").split(' ').collect();
    let machine = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").expect("Linux");
    let space = std::fs::read_link("/proc/self/ns/pid").expect("Linux");
    let place = "/nixops4-resources-apply-of-the-test";
    let turn = |process: u32| {
        json!([
            {"op": "add", "path": place, "value": {
                "machine": machine.trim(), "space": space, "process": process, "started": stat[19],
            }},
            {"op": "remove", "path": place},
            {"op": "add", "path": "/resources/token3", "value": {}},
            {"op": "remove", "path": "/resources/token3"},
        ])
    };
    let me = std::process::id();
    event("begin", turn(me));
    let output = apply();
    assert_eq!(output.status.code(), Some(1), "{}", text(&output.stdout));
    let said = text(&output.stdout);
    for word in [
        "is applying what this would change, since 2",
        "\\nhint: wait",
    ] {
        assert!(said.contains(word), "{word}: {said}");
    }
    assert!(!said.contains("\"event\":\"started\""), "{said}");
    // Nobody waits for one that has ended, or that was killed.
    event("end", turn(me));
    event("begin", turn(u32::MAX >> 1));
    assert_eq!(summary(&apply())["created"], 6);
    let mut list = site.command("nixops4-resources");
    let history = list.args(["state", "--state", &state, "history"]).output();
    let history = text(&history.expect("it runs").stdout);
    assert!(
        history.contains("begin") && history.contains("end"),
        "{history}"
    );
    assert!(!history.contains("nixops4-resources-apply-"), "{history}");
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
