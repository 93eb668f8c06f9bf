//! Plans that are saved, and applied exactly as they are.

use std::os::unix::fs::PermissionsExt as _;
use std::process::Stdio;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::{Deployment, Ran, as_documented};

const CHAIN: &str = r#"{ inherit state; a = thing "a" { content = 1; };
  b = thing "b" { content = o.a.serial; }; }"#;

impl Deployment {
    fn save(&self) -> Value {
        self.run(&["plan", "--out", "plan.json"])
            .expect(0)
            .says("Saved: `nixops4-resources apply plan.json` does this, and no more.");
        let saved = std::fs::read(self.path("plan.json")).unwrap();
        serde_json::from_slice(&saved).unwrap()
    }

    fn apply_saved(&self) -> Ran {
        self.run(&["apply", "plan.json"])
    }

    /// What was recorded, line by line.
    fn state(&self) -> String {
        std::fs::read_to_string(self.path("state")).unwrap_or_default()
    }
}

#[test]
fn a_saved_plan_is_applied_as_it_is_and_asks_nothing() {
    let deployment = Deployment::new(CHAIN);
    let saved = deployment.save();
    as_documented(&["savedPlan"], &saved);
    // Nothing was made for it.
    assert!(!deployment.path("state").exists());
    assert!(deployment.log().is_empty());
    deployment
        .apply_saved()
        .expect(0)
        .says("2 created")
        .says("+ a");
    assert_eq!(deployment.thing("b").unwrap()["content"], "serial-a");

    let changed = CHAIN.replace("content = 1", "content = 2");
    deployment.write(&changed);
    deployment.save();
    let told = deployment.run(&["apply", "plan.json", "--json"]).expect(0);
    assert_eq!(told.summary()["updated"], 1);
    deployment.run(&["plan"]).expect(0).says("Nothing to do");
}

#[test]
fn with_nothing_to_do_nothing_is_done() {
    let deployment = Deployment::new(CHAIN);
    deployment.run(&["apply"]).expect(0);
    let before = deployment.state();
    deployment.save();
    deployment.apply_saved().expect(0).says("Nothing to do: 2");
    assert_eq!(deployment.state(), before);
}

#[test]
fn a_saved_plan_is_for_its_user_alone_and_has_no_secret() {
    let deployment = Deployment::new(
        r#"{ inherit state; a = thing "a" { secret = { file = "/run/keys/canary"; }; }; }"#,
    );
    deployment.run(&["apply"]).expect(0);
    deployment.write(
        r#"{ inherit state; a = thing "a" { secret = { file = "/run/keys/canary-two"; }; content = 1; }; }"#,
    );
    let saved = deployment.save();
    assert!(!saved.to_string().contains("canary"), "{saved:#}");
    let metadata = deployment.path("plan.json").metadata().unwrap();
    assert_eq!(metadata.permissions().mode() & 0o777, 0o600);
    // One that was there before is replaced, and is no wider open than a new one.
    let open = std::fs::Permissions::from_mode(0o666);
    std::fs::set_permissions(deployment.path("plan.json"), open).unwrap();
    deployment
        .apply_saved()
        .expect(1)
        .says("can be written by everybody")
        .says("hint: a plan says what is done to servers");
    assert_eq!(deployment.times("update a"), 0);
    deployment.save();
    let metadata = deployment.path("plan.json").metadata().unwrap();
    assert_eq!(metadata.permissions().mode() & 0o777, 0o600);
    deployment.apply_saved().expect(0).says("1 updated");
}

#[test]
fn if_the_expression_moved_on_nothing_is_done() {
    let deployment = Deployment::new(CHAIN);
    deployment.run(&["apply"]).expect(0);
    deployment.write(&CHAIN.replace("content = 1", "content = 2"));
    deployment.save();
    for (members, says) in [
        (
            CHAIN.replace("content = 1", "content = 3"),
            "'a': the expression has another /content now",
        ),
        (
            CHAIN.replace("content = 1", "content = 2; size = 3"),
            "'a': the expression has another /size now",
        ),
        (
            CHAIN.to_owned(),
            "'a': the plan says that it is updated, and now that nothing is to be done",
        ),
        (
            CHAIN
                .replace("content = 1", "content = 2")
                .replace("b =", "c = thing \"c\" { }; b ="),
            "'c' is new",
        ),
        (
            r#"{ inherit state; a = thing "a" { content = 2; }; }"#.to_owned(),
            "'b' left the expression",
        ),
    ] {
        deployment.write(&members);
        deployment
            .apply_saved()
            .expect(1)
            .says("nothing was applied, because what the plan goes by moved on")
            .says(says)
            .says("hint: ");
    }
    assert_eq!(deployment.times("update a"), 0);
    deployment.write(&CHAIN.replace("content = 1", "content = 2"));
    deployment.apply_saved().expect(0).says("1 updated");
}

#[test]
fn if_a_server_moved_on_nothing_is_done() {
    let deployment = Deployment::new(CHAIN);
    deployment.run(&["apply"]).expect(0);
    deployment.write(&CHAIN.replace("content = 1", "content = 2"));
    deployment.save();
    let thing = deployment.thing("a").unwrap();
    let mut other = thing.clone();
    other["content"] = json!(7);
    deployment.tamper("a", &other);
    deployment
        .apply_saved()
        .expect(1)
        .says("'a': /content is not what it was when this was planned");
    deployment.tamper("a", &thing);
    // Of what was to stay as it is, too.
    let b = deployment.thing("b").unwrap();
    std::fs::remove_file(deployment.path("things/b.json")).unwrap();
    deployment
        .apply_saved()
        .expect(1)
        .says("'b': the plan says that nothing is to be done, and now that it is created");
    assert_eq!(deployment.times("update a"), 0);
    deployment.tamper("b", &b);
    deployment.apply_saved().expect(0).says("1 updated");
}

#[test]
fn if_the_state_moved_on_nothing_is_done() {
    let deployment = Deployment::new(CHAIN);
    let wider = CHAIN.replace("b =", "c = thing \"c\" { }; b =");
    deployment.run(&["apply"]).expect(0);
    deployment.write(&wider);
    deployment.save();
    // Somebody else applies a part of it.
    deployment.run(&["state", "mv", "b", "d"]).expect(0);
    deployment
        .apply_saved()
        .expect(1)
        .says("the state that 'state' keeps: recorded since: 'd'; forgotten since: 'b'");
    deployment.run(&["state", "mv", "d", "b"]).expect(0);
    deployment.apply_saved().expect(0).says("1 created");
}

#[test]
fn one_that_was_applied_says_that_nothing_is_left() {
    let deployment = Deployment::new(CHAIN);
    deployment.save();
    deployment.apply_saved().expect(0);
    deployment
        .apply_saved()
        .expect(1)
        .says("recorded since: 'a', 'b'")
        .says("hint: nothing is left to be done; delete the plan");
}

#[test]
fn one_that_was_interrupted_is_planned_again() {
    let deployment = Deployment::new(
        r#"{ inherit state; a = thing "a" { content = 1; }; b = thing "b" { content = o.a.serial; sleep = 60000; }; }"#,
    );
    deployment.save();
    let mut child = deployment
        .command(&["apply", "plan.json", "--parallel", "1"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let begun = Instant::now();
    while !deployment.state().contains("serial-a") {
        assert!(
            begun.elapsed() < Duration::from_secs(30),
            "nothing is recorded"
        );
        std::thread::sleep(Duration::from_millis(10));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    deployment
        .apply_saved()
        .expect(1)
        .says("recorded since: 'a'")
        .says("makes a new plan");
    deployment.write(CHAIN);
    deployment.save();
    deployment.apply_saved().expect(0).says("1 created");
    assert!(deployment.thing("b").is_some());
}

#[test]
fn what_becomes_known_meanwhile_is_only_done_where_the_plan_said_so() {
    // The provider foresees an output, which turns out to be another.
    let members = r#"{ inherit state; a = thing "a" { content = 1; };
      b = thing "b" { content = o.a.content; };
      c = thing "c" { content = o.a.serial; };
      each.members = builtins.listToAttrs (map (n: { name = n; value = thing n { }; }) [ o.a.serial ]); }"#;
    let deployment = Deployment::new(members);
    let saved = deployment.save();
    let unknown = &saved["plan"]["unknownMembers"][0]["path"];
    assert_eq!(unknown, &json!(["each"]));
    let mut command = deployment.command(&["apply", "plan.json"]);
    command.env("SCRATCH_CONTENT", "99");
    crate::support::ran(&mut command)
        .expect(1)
        .says("it was not touched, because the plan that is applied does not show this")
        .says("/content is not as planned")
        .says("3 created, 1 failed");
    assert!(deployment.thing("b").is_none());
    assert_eq!(deployment.thing("c").unwrap()["content"], "serial-a");
    assert!(deployment.thing("serial-a").is_some());
}

#[test]
fn what_is_no_plan_of_this_deployment_and_version_is_refused() {
    let deployment = Deployment::new(CHAIN);
    let other = Deployment::new(CHAIN);
    let mut saved = other.save();
    std::fs::copy(other.path("plan.json"), deployment.path("plan.json")).unwrap();
    deployment
        .apply_saved()
        .expect(1)
        .says("nothing was applied: the plan is of the deployment")
        .says(&other.path("nixops4.nix").to_string_lossy())
        .says("hint: say which deployment with --file");

    let write = |value: &Value| {
        std::fs::write(other.path("plan.json"), value.to_string()).unwrap();
        other.apply_saved().expect(1)
    };
    saved["version"] = json!("0.0.9");
    write(&saved)
        .says("was saved by nixops4-resources 0.0.9")
        .says("hint: plan again with this one");
    saved["version"] = json!(env!("CARGO_PKG_VERSION"));
    saved["format"] = json!(99);
    write(&saved).says("was saved by nixops4-resources");
    write(&json!({ "format": 1 })).says("is no plan that `nixops4-resources plan --out` saved");
    std::fs::write(other.path("plan.json"), "{").unwrap();
    other.apply_saved().expect(1).says("is no plan");
    std::fs::remove_file(other.path("plan.json")).unwrap();
    other
        .apply_saved()
        .expect(1)
        .says("cannot read the plan plan.json");
    other.run(&["apply", "."]).expect(1).says("no regular file");
    other
        .run(&["apply", "plan.json", "--target", "a"])
        .expect(64);
    assert!(other.log().is_empty() && deployment.log().is_empty());
}

#[test]
fn what_can_not_be_applied_is_not_saved() {
    let deployment =
        Deployment::new(r#"{ inherit state; a = thing "a" { failOn = [ "plan" ]; }; }"#);
    let save = ["plan", "--out", "plan.json"];
    deployment.run(&save).expect(1).says("no plan was saved");
    deployment.write(r#"{ inherit state; a = thing "x" { }; b = thing "x" { }; }"#);
    deployment
        .run(&save)
        .expect(1)
        .says("are the same scratch_thing");
    assert!(!deployment.path("plan.json").exists());
    deployment
        .run(&["plan", "--out", "plan.json", "--refresh=false"])
        .expect(64)
        .says("leave out --refresh=false");
    deployment.write(CHAIN);
    deployment
        .run(&["plan", "--out", "missing/plan.json"])
        .expect(1)
        .says("cannot save the plan as missing/plan.json");
}

#[test]
fn a_part_is_planned_and_applied_as_a_part() {
    let deployment = Deployment::new(CHAIN);
    deployment
        .run(&["plan", "--out", "plan.json", "--target", "a", "--json"])
        .expect(0);
    deployment.apply_saved().expect(0).says("1 created");
    assert!(deployment.thing("b").is_none());
}
