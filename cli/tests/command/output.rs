//! What machines and people read.

use serde_json::{Value, json};

use crate::support::{Deployment, ran};

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
    let (plan, event) = nixops4_resources::report::schemas();
    let of = |schema: schemars::Schema| jsonschema::draft202012::new(schema.as_value()).unwrap();
    let (plan, event) = (of(plan), of(event));
    let planned: Value =
        serde_json::from_str(&deployment.run(&["plan", "--json"]).expect(0).stdout).unwrap();
    plan.validate(&planned).unwrap();
    let events = deployment.run(&["apply", "--json"]).expect(1).events();
    assert!(events.iter().any(|event| event["event"] == "skipped"));
    for happened in events {
        event
            .validate(&happened)
            .map_err(|error| error.to_string())
            .unwrap();
    }
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
