//! `nixops4-resources state`, on real states of every kind, without an
//! expression.

use std::process::Output;

use nixops4_resources_tests::binaries;
use serde_json::{Value, json};

use super::{FILE, Site, add};

/// What came of a command.
struct Said {
    code: i32,
    out: String,
    error: String,
}

impl Site {
    /// How the state is named on the command line.
    fn location(&self) -> String {
        match self.kind {
            "state_sqlite" => format!("sqlite:{FILE}#demo"),
            "state_file" => "file:state.json#demo".to_owned(),
            kind => json!({"type": kind, "inputs": self.inputs}).to_string(),
        }
    }

    fn run(&self, arguments: &[&str]) -> Said {
        let mut command = self.sandbox.command(binaries::path("nixops4-resources"));
        command
            .env("USER", "ben")
            .env("STATE_PASSWORD", "quite secret")
            .args(["state", "--state", &self.location()])
            .args(arguments);
        let Output {
            status,
            stdout,
            stderr,
        } = command.output().expect("it runs");
        let said = Said {
            code: status.code().expect("a code"),
            out: String::from_utf8(stdout).expect("UTF-8"),
            error: String::from_utf8(stderr).expect("UTF-8"),
        };
        for text in [&said.out, &said.error] {
            assert!(!text.contains("quite secret"), "{text}");
        }
        said
    }

    /// What it prints; it has to succeed.
    pub(super) fn say(&self, arguments: &[&str]) -> String {
        let said = self.run(arguments);
        assert_eq!(said.code, 0, "{arguments:?}: {}{}", said.out, said.error);
        said.out
    }

    pub(super) fn json(&self, arguments: &[&str]) -> Value {
        let mut all = vec!["--json"];
        all.extend(arguments);
        serde_json::from_str(&self.say(&all)).expect("one JSON document")
    }

    /// What it complains of; nothing may have changed.
    fn complaint(&self, arguments: &[&str]) -> String {
        let before = self.read();
        let said = self.run(arguments);
        assert_eq!(said.code, 1, "{arguments:?}: {}", said.out);
        assert_eq!(self.read(), before, "{arguments:?}");
        said.error
    }

    /// A state with a role, and a composite whose database was made from it.
    fn filled(self) -> Self {
        self.create();
        let entry = |kind: &str, depends_on: Value| {
            json!({
                "type": kind,
                "input_properties": {"name": "app"},
                "output_properties": {"oid": 7},
                "nixops4-resources": {
                    "executable": "nixops4-resources-postgresql", "args": [], "dependsOn": depends_on,
                },
            })
        };
        let made_from_role = json!([{"path": ["role"], "output": "name"}]);
        for patch in [
            add("/resources/role", entry("postgresql_role", json!([]))),
            json!([
                {"op": "add", "path": "/deployments/web", "value": {"resources": {}, "deployments": {}}},
                {"op": "add", "path": "/deployments/web/resources/db",
                 "value": entry("postgresql_database", made_from_role)},
            ]),
        ] {
            self.send(&self.event(&patch)).expect("it is written");
        }
        self
    }
}

fn filled() -> [Site; 3] {
    Site::each().map(Site::filled)
}

#[test]
fn what_is_recorded_is_listed_and_shown() {
    for site in &filled() {
        assert_eq!(
            site.say(&["list"]),
            "role    postgresql_role\nweb.db  postgresql_database\n2 resources recorded\n"
        );
        assert_eq!(
            site.json(&["list", "web"])["resources"][0]["path"],
            json!(["web", "db"])
        );
        let shown = site.say(&["show", "web.db"]);
        for line in [
            "made by nixops4-resources-postgresql",
            "role.name",
            "name: \"app\"",
            "oid: 7",
        ] {
            assert!(shown.contains(line), "no {line:?} in {shown}");
        }
        let shown = site.json(&["show", "web.db"]);
        assert_eq!(
            shown["dependsOn"],
            json!([{"path": ["role"], "output": "name"}])
        );
        assert_eq!(shown["outputs"], json!({"oid": 7}));
        for arguments in [["show", "web"], ["show", "none"], ["list", "none"]] {
            let error = site.complaint(&arguments);
            assert!(error.contains("nothing is recorded at"), "{error}");
            assert!(error.contains("state list"), "{error}");
        }
    }
}

#[test]
fn what_is_renamed_keeps_its_edges_and_tells_who_did_it() {
    for site in &filled() {
        site.say(&["mv", "role", "admins.role"]);
        site.say(&["mv", "web", "shop"]);
        assert_eq!(
            site.say(&["list"]),
            "admins.role  postgresql_role\nshop.db      postgresql_database\n2 resources recorded\n"
        );
        let shown = site.json(&["show", "shop.db"]);
        assert_eq!(shown["dependsOn"][0]["path"], json!(["admins", "role"]));
        for (from, to, why) in [
            ("none", "other", "nothing is recorded at 'none'"),
            ("shop", "admins", "something is recorded at admins already"),
            ("shop", "shop.inner", "shop.inner is within shop"),
        ] {
            let error = site.complaint(&["mv", from, to]);
            assert!(error.contains(why), "{error}");
        }
        let history = site.say(&["history"]);
        let lines: Vec<&str> = history.lines().collect();
        assert_eq!(lines.len(), 6, "{history}");
        assert!(
            lines[1].starts_with("#1 20") && lines[1].contains(" ann@"),
            "{history}"
        );
        assert!(lines[1].ends_with("create role"), "{history}");
        assert!(
            lines[3].contains(" ben@") && lines[3].contains(" mv admins.role, role"),
            "{history}"
        );
        let events = site.json(&["history", "shop", "--last", "1"]);
        let events = events["events"].as_array().expect("events");
        assert_eq!((events.len(), &events[0]["index"]), (1, &json!(4)));
        assert_eq!(site.run(&["verify"]).code, 0);
    }
}

#[test]
fn what_is_forgotten() {
    for site in &filled() {
        let error = site.complaint(&["rm", "web"]);
        assert!(
            error.contains("nothing was forgotten") && error.contains("--yes"),
            "{error}"
        );
        let said = site.say(&["rm", "web", "--yes"]);
        assert!(
            said.contains("web.db") && said.contains("forgot 1 resource"),
            "{said}"
        );
        assert_eq!(
            site.say(&["list"]),
            "role  postgresql_role\n1 resource recorded\n"
        );
        let error = site.complaint(&["rm", "web", "--yes"]);
        assert!(error.contains("nothing is recorded at 'web'"), "{error}");
        assert!(site.say(&["history"]).contains(" rm web"));
    }
}

#[test]
fn whether_it_is_whole() {
    for site in &filled() {
        assert_eq!(
            site.say(&["verify"]),
            "state: 3 events, 2 resources; it is whole\n"
        );
    }
    let site = Site::new().filled();
    let circle = json!([{"path": ["web", "db"]}]);
    let patch = add("/resources/role/nixops4-resources/dependsOn", circle);
    site.send(&site.event(&patch)).expect("it is written");
    let said = site.run(&["verify"]);
    assert_eq!(said.code, 1);
    assert!(
        said.out.contains("in circles: 'role', 'web.db'"),
        "{}",
        said.out
    );
    site.sql("DELETE FROM event WHERE position = 1");
    let said = site.run(&["verify"]);
    assert_eq!(said.code, 1);
    assert!(said.error.contains("event 1 is missing"), "{}", said.error);
    assert!(said.error.contains("backup"), "{}", said.error);
}

#[test]
fn from_each_kind_to_each() {
    for from in &filled() {
        let document = from.read();
        let exported = from.say(&["export"]);
        for to in Site::each() {
            // Through a file that upstream reads, too.
            to.sandbox.write("exported.json", &exported);
            let copy = to.sandbox.work().join("exported.json");
            let file = Site::file();
            file.sandbox.write("state.json", &exported);
            assert_eq!(file.read(), document);
            assert_eq!(file.history(1)[0]["writer"], from.history(1)[0]["writer"]);

            let imported = to.say(&["import", copy.to_str().expect("UTF-8")]);
            assert!(imported.contains("2 resources"), "{imported}");
            assert_eq!(to.read(), document);
            // Once more is no harm; something else on top of it is.
            to.say(&["import", copy.to_str().expect("UTF-8")]);
            assert_eq!(to.history(0).len(), 2);
            to.say(&["mv", "role", "other"]);
            let error = to.complaint(&["import", copy.to_str().expect("UTF-8")]);
            assert!(
                error.contains("has 2 resources recorded in it already"),
                "{error}"
            );
        }
        let to = from.sandbox.work().join("moved.sqlite");
        let location = format!("sqlite:{}#demo", to.display());
        let said = from.say(&["export", "--to", &location]);
        assert!(said.contains(&location), "{said}");
        assert_eq!(from.read(), document, "the old one stays");
        let moved = Site::at(to);
        assert_eq!(moved.read(), document);
        assert_eq!(moved.history(1)[0]["event"], "import");
    }
}

#[test]
fn what_can_not_be_imported_or_found() {
    let site = Site::new();
    site.create();
    for (text, why) in [
        ("", "there is nothing in it"),
        ("a letter to my aunt", "it is not JSON"),
        ("{\"index\": 0", "its end is missing"),
    ] {
        let file = site.sandbox.write("given.json", text);
        let error = site.complaint(&["import", file.to_str().expect("UTF-8")]);
        assert!(
            error.contains(why) && error.contains("nothing was changed"),
            "{error}"
        );
    }
    let error = site.complaint(&["list", "--kept-by", "other"]);
    assert!(error.contains("'other' keeps no state"), "{error}");
}

#[test]
fn a_state_that_is_not_there_is_not_an_empty_one() {
    for site in Site::each() {
        let place = match site.kind {
            "state_postgresql" => r#"at {"type":"state_postgresql","#.to_owned(),
            _ => format!("at {}", site.location()),
        };
        for arguments in [
            &["list"][..],
            &["show", "a"],
            &["history"],
            &["verify"],
            &["export"],
            &["export", "--document"],
            &["mv", "a", "b"],
        ] {
            let said = site.run(arguments);
            assert_eq!(said.code, 1, "{arguments:?}: {}", said.out);
            assert_eq!(said.out, "", "{arguments:?}");
            for told in ["there is no state", &place, "apply makes it"] {
                assert!(said.error.contains(told), "{arguments:?}: {}", said.error);
            }
        }
        for file in [FILE, "state.json"] {
            let file = site.sandbox.work().join(file);
            assert!(!file.exists(), "nothing is made");
        }
    }
    // Nor is one by another name in the same file.
    let site = Site::new().filled();
    let other = format!("sqlite:{FILE}#dmeo");
    let mut command = site.sandbox.command(binaries::path("nixops4-resources"));
    let output = command.args(["drift", "--state", &other]).output();
    let output = output.expect("it runs");
    let error = String::from_utf8(output.stderr).expect("UTF-8");
    assert_eq!(output.status.code(), Some(1), "{error}");
    assert!(error.contains(&other), "{error}");
}

#[test]
fn a_folder_that_can_not_be_looked_into_is_an_error() {
    // Such as one that must not be entered; but root, who may run this, enters all.
    for (short, path) in [("sqlite", "file/state.sqlite"), ("file", "file/state.json")] {
        let site = Site::new();
        site.sandbox.write("file", "");
        let location = format!("{short}:{path}#demo");
        for arguments in [
            &["state", "--state", &location, "verify"][..],
            &["state", "--state", &location, "export"],
            &["drift", "--state", &location],
        ] {
            let mut command = site.sandbox.command(binaries::path("nixops4-resources"));
            let output = command.args(arguments).output().expect("it runs");
            let error = String::from_utf8(output.stderr).expect("UTF-8");
            assert_eq!(output.status.code(), Some(1), "{arguments:?}: {error}");
            assert!(output.stdout.is_empty(), "{arguments:?}");
            let told = format!("unable to look for the state in {path}");
            assert!(error.contains(&told), "{arguments:?}: {error}");
        }
    }
}
