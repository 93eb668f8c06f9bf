//! What no state has: members without state, what a killed apply left, and what is
//! left when nobody in the expression names the state any more.

use serde_json::json;

use crate::support::Deployment;

#[test]
fn what_has_no_state_is_destroyed_by_its_inputs() {
    let deployment = Deployment::new(
        r#"{ inherit state; a = thing "a" { };
          free = stateless "free" { content = o.a.serial; }; kept = stateless "kept" { protect = true; };
          old = oldStateless "old" { }; }"#,
    );
    deployment.run(&["apply"]).expect(0);
    // One that must not go forbids everything, as ever.
    deployment
        .run(&["destroy", "--yes"])
        .expect(1)
        .says("kept: it is protected");
    deployment.write(
        r#"{ inherit state; a = thing "a" { };
          free = stateless "free" { content = o.a.serial; }; never = stateless "never" { };
          old = oldStateless "old" { }; }"#,
    );
    let ran = deployment.run(&["destroy", "--yes", "--json"]).expect(0);
    let plan = &ran.events()[0]["plan"];
    assert_eq!(plan["resources"][1]["path"], json!(["free"]), "{plan}");
    assert_eq!(plan["resources"][1]["state"], json!(null));
    let notes = plan["notes"].to_string();
    assert!(
        notes.contains("'old' is left as it is: it has no state"),
        "{notes}"
    );
    assert_eq!(ran.summary()["destroyed"], 2);
    assert!(deployment.thing("free").is_none() && deployment.thing("a").is_none());
    assert!(deployment.thing("old").is_some() && deployment.thing("kept").is_some());
    // It uses the other, so that it went first.
    let log = deployment.log();
    let at = |what: &str| log.iter().position(|line| line == what).unwrap();
    assert!(at("destroy free") < at("destroy a"));
    deployment
        .run(&["destroy", "--yes"])
        .expect(0)
        .says("Nothing to remove");
    // Without the expression nothing leads to it.
    deployment.write(r#"{ inherit state; a = thing "a" { }; free = stateless "free" { }; }"#);
    deployment.run(&["apply"]).expect(0);
    let state = deployment.path("state");
    let location = json!({ "type": "scratch_state", "executable": crate::support::provider(),
        "inputs": { "file": state } });
    deployment
        .run(&["destroy", "--yes", "--from-state", &location.to_string()])
        .expect(0)
        .says("1 destroyed");
    assert!(deployment.thing("free").is_some());
}

#[test]
fn what_was_made_and_not_recorded_is_destroyed_too() {
    let deployment = Deployment::new(
        r#"{ inherit state; a = thing "a" { }; b = thing "b" { deletionPolicy = "retain"; }; }"#,
    );
    deployment.run(&["apply"]).expect(0);
    deployment
        .run(&["state", "rm", "--yes", "a", "b"])
        .expect(0);
    deployment
        .run(&["destroy", "--yes"])
        .expect(0)
        .says("it is not recorded: an apply was cut short")
        .says("1 destroyed, 1 taken out of service");
    assert!(deployment.thing("a").is_none());
    assert_eq!(deployment.thing("b").unwrap()["retained"], true);
    // What was retained before is not retained again.
    deployment
        .run(&["destroy", "--yes"])
        .expect(0)
        .says("Nothing to remove");
}

#[test]
fn a_state_that_nobody_names_any_more_is_collected_from() {
    let deployment = Deployment::new(r#"{ inherit state; a = thing "a" { }; }"#);
    deployment.run(&["apply"]).expect(0);
    deployment.write("{ inherit state; }");
    deployment
        .run(&["plan"])
        .expect(0)
        .says("No longer in the expression");
    // On a machine that remembers nothing, too.
    std::fs::remove_dir_all(deployment.path("home")).unwrap();
    deployment
        .run(&["gc", "--yes"])
        .expect(0)
        .says("1 destroyed");
    assert!(deployment.thing("a").is_none() && deployment.recorded("a").is_none());
}

#[test]
fn an_old_name_keeps_nothing_that_the_new_one_no_longer_uses() {
    let deployment = Deployment::new(
        r#"{ inherit state; a = thing "a" { }; b = thing "b" { content = o.a.serial; }; }"#,
    );
    deployment.run(&["apply"]).expect(0);
    deployment.write(r#"{ inherit state; c = thing "b" { content = 1; }; }"#);
    deployment.run(&["apply"]).expect(0);
    deployment
        .run(&["gc", "--yes"])
        .expect(0)
        .says("'b' is the same thing as 'c', which is recorded too")
        .says("1 destroyed");
    assert!(deployment.thing("a").is_none() && deployment.thing("b").is_some());
}

#[test]
fn a_state_that_nobody_names_is_destroyed_from_and_looked_into() {
    let members = |members: &str| {
        format!(
            r#"{{ inherit state; other = stateIn {{ file = "${{directory}}/other"; }}; {members} }}"#
        )
    };
    let elsewhere = r#"b = resource [ ] [ "other" ] "scratch_thing" {
        directory = "${directory}/things"; name = "b"; } [ "serial" ];"#;
    let deployment = Deployment::new(&members(&format!(r#"a = thing "a" {{ }}; {elsewhere}"#)));
    deployment.run(&["apply"]).expect(0);
    // On a machine that remembers nothing.
    std::fs::remove_dir_all(deployment.path("home")).unwrap();
    deployment.write(&members(r#"a = thing "a" { };"#));
    deployment
        .run(&["state", "list"])
        .expect(0)
        .says("a ")
        .says("b ");
    deployment
        .run(&["destroy", "--yes"])
        .expect(0)
        .says("2 destroyed");
    deployment.run(&["apply"]).expect(0);
    // Nobody names any.
    std::fs::remove_dir_all(deployment.path("home")).unwrap();
    deployment.write("{ inherit state; }");
    deployment.run(&["state", "list"]).expect(0).says("a ");
    deployment
        .run(&["destroy", "--yes"])
        .expect(0)
        .says("1 destroyed");
    assert!(deployment.thing("a").is_none() && deployment.thing("b").is_none());
}

#[test]
fn a_state_that_left_with_its_members_is_collected_from() {
    let with = |inner: &str| {
        format!(
            r#"{{ inherit state; a = thing "a" {{ }};
              inner.members = {{ {inner} }}; }}"#
        )
    };
    let deployment = Deployment::new(&with(
        r#"keep = stateIn { file = "${directory}/inner"; };
          b = resource [ ] [ "inner" "keep" ] "scratch_thing" {
            directory = "${directory}/things"; name = "b"; } [ "serial" ];"#,
    ));
    deployment.run(&["apply"]).expect(0);
    deployment.write(r#"{ inherit state; a = thing "a" { }; c = thing "c" { }; }"#);
    for command in ["plan", "apply", "plan"] {
        deployment
            .run(&[command])
            .expect(0)
            .says("o longer in the expression")
            .says("inner.b");
    }
    deployment.run(&["state", "list"]).expect(0).says("inner.b");
    // Where it can't be read it is not forgotten.
    let (kept, away) = (deployment.path("inner"), deployment.path("away"));
    std::fs::copy(&kept, &away).unwrap();
    std::fs::write(&kept, "nonsense\n").unwrap();
    deployment
        .run(&["gc", "--yes"])
        .expect(0)
        .says("'inner.keep' left the expression, and what is recorded in")
        .says("Nothing to remove");
    std::fs::rename(&away, &kept).unwrap();
    deployment
        .run(&["gc", "--yes"])
        .expect(0)
        .says("1 destroyed");
    assert!(deployment.thing("b").is_none() && deployment.thing("a").is_some());
    // With nothing in it nobody thinks of it any more.
    deployment
        .run(&["plan"])
        .expect(0)
        .never_says("No longer in the expression");
    deployment.run(&["plan"]).expect(0);
    let home = deployment.path("home");
    let mut remembered = std::process::Command::new("grep");
    let remembered = remembered.args(["-r", "inner"]).arg(home);
    crate::support::ran(remembered).expect(1);
}
