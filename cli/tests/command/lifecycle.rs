//! Drift, import, targets, and how often Nix runs.

use serde_json::{Value, json};

use crate::support::{Deployment, provider, ran};

const PAIR: &str = r#"{ inherit state; a = thing "a" { content = "one"; };
  b = thing "b" { content = o.a.serial; }; }"#;

#[test]
fn drift_is_found_without_evaluating() {
    let deployment = Deployment::of_suite(PAIR);
    deployment.run(&["apply"]).expect(0);
    deployment.write("throw \"nobody evaluates this\"");
    deployment
        .run(&["drift"])
        .expect(0)
        .says("No drift: 2 as recorded.");
    deployment.tamper("a", &json!({ "content": "two", "serial": "serial-a" }));
    std::fs::remove_file(deployment.path("things/b.json")).unwrap();
    deployment
        .run(&["drift"])
        .expect(2)
        .says("a  scratch_thing  content is \"two\", recorded \"one\"")
        .says("b  scratch_thing  is gone")
        .says("Drift: 2 not as recorded, 0 as recorded.");
    deployment
        .run(&["drift", "a"])
        .expect(2)
        .never_says("is gone");
    deployment
        .run(&["drift", "c"])
        .expect(1)
        .says("nothing is recorded at or below 'c'");
    let report: Value =
        serde_json::from_str(&deployment.run(&["drift", "--json"]).expect(2).stdout).unwrap();
    assert_eq!(report["findings"][0]["drift"], "changed");
    assert_eq!(report["findings"][1]["drift"], "gone");
    assert_eq!(deployment.times("create a"), 1);
}

#[test]
fn a_secret_that_changed_is_found_and_not_shown() {
    let deployment =
        Deployment::new(r#"{ inherit state; a = thing "a" { secret = { file = "/run/a"; }; }; }"#);
    deployment.run(&["apply"]).expect(0);
    deployment.tamper("a", &json!({ "secret": "canary", "serial": "serial-a" }));
    deployment
        .run(&["drift"])
        .expect(2)
        .says("a  scratch_thing  secret is another value (sensitive)")
        .never_says("canary");
}

#[test]
fn interrupted_a_removal_finishes_what_runs() {
    let deployment = Deployment::new(
        r#"{ inherit state; a = thing "a" { }; b = thing "b" { content = o.a.serial; sleep = 2000; }; }"#,
    );
    deployment.run(&["apply"]).expect(0);
    let mut child = deployment
        .command(&["destroy", "--yes", "--json"])
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    while deployment.times("destroy-began b") == 0 {
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    let interrupted = std::process::Command::new("kill")
        .args(["-INT", &child.id().to_string()])
        .status();
    assert!(interrupted.unwrap().success());
    assert_eq!(child.wait().unwrap().code(), Some(1));
    assert!(deployment.thing("b").is_none() && deployment.recorded("b").is_none());
    assert!(deployment.thing("a").is_some() && deployment.recorded("a").is_some());
    deployment
        .run(&["destroy", "--yes"])
        .expect(0)
        .says("1 destroyed");
}

#[test]
fn drift_tells_what_it_could_not_look_at() {
    let deployment = Deployment::new(
        r#"{ inherit state; a = thing "a" { failOn = [ "plan" ]; }; b = old "b" { }; }"#,
    );
    // The plan of the first fails, so that only the other is made.
    deployment.run(&["apply"]).expect(1);
    deployment.write(r#"{ inherit state; a = thing "a" { }; b = old "b" { }; }"#);
    deployment.run(&["apply"]).expect(0);
    deployment
        .run(&["drift", "--verbose"])
        .expect(0)
        .says("b  its provider cannot compare it")
        .says("1 not checked, 1 as recorded");
    std::fs::remove_dir_all(deployment.path("home")).unwrap();
    deployment.run(&["drift"]).expect(0).says("1 as recorded");
}

#[test]
fn drift_fails_where_a_provider_can_not_be_asked() {
    let members = r#"let a = thing "a" { }; in { inherit state; b = thing "b" { };
      a.resource = a.resource // { provider = a.resource.provider // {
        executable = "${directory}/provider"; }; }; }"#;
    let deployment = Deployment::new(members);
    std::fs::copy(provider(), deployment.path("provider")).unwrap();
    deployment.run(&["apply"]).expect(0);
    deployment.run(&["drift"]).expect(0);
    std::fs::remove_file(deployment.path("provider")).unwrap();
    deployment
        .run(&["drift"])
        .expect(1)
        .says("a  could not be looked at: ")
        .says("Drift: 1 that could not be looked at, 1 as recorded.");
    // Something that differs beside that doesn't make it less of a failure.
    std::fs::remove_file(deployment.path("things/b.json")).unwrap();
    deployment
        .run(&["drift"])
        .expect(1)
        .says("b  scratch_thing  is gone");
    deployment.run(&["drift", "b"]).expect(2);
}

#[test]
fn a_state_that_is_gone_is_not_as_recorded() {
    let deployment = Deployment::new(PAIR);
    deployment
        .run(&["drift"])
        .expect(1)
        .says(r#"there is no state at {"type":"scratch_state","#)
        .says("apply makes it")
        .never_says("last apply from here");
    deployment.run(&["apply"]).expect(0);
    std::fs::remove_file(deployment.path("state")).unwrap();
    for arguments in [
        &["drift"][..],
        &["state", "list"],
        &["state", "verify"],
        &["state", "export"],
    ] {
        deployment
            .run(arguments)
            .expect(1)
            .says("there is no state at")
            .says(&deployment.path("state").to_string_lossy())
            .never_says("No drift")
            .never_says("it is whole");
    }
    // A provider of v0 alone says of it what it says.
    deployment.write(r#"{ state = oldState; a = thing "a" { }; }"#);
    std::fs::remove_dir_all(deployment.path("home")).unwrap();
    deployment
        .run(&["drift"])
        .expect(1)
        .says("the state that 'state' keeps could not be read")
        .says("No such file");
    // A plan needs none.
    deployment.run(&["plan"]).expect(0);
}

#[test]
fn drift_tells_which_state_it_went_by() {
    let deployment = Deployment::of_suite(PAIR);
    deployment.run(&["apply"]).expect(0);
    let location = |name: &str| {
        let file = deployment.path(name);
        json!({ "type": "scratch_state", "inputs": { "file": file } }).to_string()
    };
    deployment.run(&["drift"]).expect(0).says(&format!(
        "Recorded in {}, as remembered from the last apply here\n",
        location("state")
    ));
    let json = |arguments: &[&str]| -> Value {
        let ran = deployment.run(&[&["drift", "--json"], arguments].concat());
        serde_json::from_str(&ran.expect(0).stdout).unwrap()
    };
    let report = json(&[]);
    assert_eq!(
        report["states"],
        json!([{ "state": ["state"], "location": location("state") }])
    );
    assert_eq!(report["remembered"], true);
    // Where it is now is asked of the expression, or said.
    std::fs::rename(deployment.path("state"), deployment.path("moved")).unwrap();
    deployment
        .run(&["drift"])
        .expect(1)
        .says("It was there at the last apply from here")
        .says("nixops4-resources plan");
    deployment.write(&PAIR.replace(
        "inherit state;",
        r#"state = stateIn { file = "${directory}/moved"; };"#,
    ));
    deployment.run(&["plan"]).expect(0);
    assert_eq!(json(&[])["states"][0]["location"], location("moved"));
    std::fs::remove_dir_all(deployment.path("home")).unwrap();
    let report = json(&[]);
    assert_eq!(report["states"][0]["location"], location("moved"));
    assert_eq!(report["remembered"], false);
}

#[test]
fn what_is_there_is_imported_as_it_is() {
    let deployment = Deployment::new(PAIR);
    deployment.tamper("a", &json!({ "content": "old", "serial": "serial-a" }));
    deployment
        .run(&["import", "a"])
        .expect(0)
        .says("a  imported")
        .says("~ a")
        .says("content  \"old\" -> \"one\"");
    assert_eq!(deployment.thing("a").unwrap()["content"], "old");
    assert!(deployment.log().is_empty());
    assert_eq!(
        deployment.recorded("a").unwrap()["output_properties"]["serial"],
        "serial-a"
    );
    deployment
        .run(&["import", "a"])
        .expect(1)
        .says("'a' was not imported: it is recorded already");
    deployment
        .run(&["import", "b"])
        .expect(1)
        .says("there is no such scratch_thing");
    deployment
        .run(&["import", "c"])
        .expect(1)
        .says("no member at or below 'c'; there are 'a', 'b', 'state'");
    deployment
        .run(&["apply"])
        .expect(0)
        .says("1 created, 1 updated");
}

#[test]
fn what_apply_would_refuse_is_not_imported() {
    let deployment = Deployment::new(r#"{ inherit state; a = thing "a" { region = "here"; }; }"#);
    deployment.tamper("a", &json!({ "region": "there", "serial": "serial-a" }));
    deployment
        .run(&["import", "a"])
        .expect(1)
        .says("'a' was not imported: /region: a thing stays where it is");
    assert!(deployment.recorded("a").is_none());
}

#[test]
fn what_waits_cannot_be_imported() {
    let deployment = Deployment::new(PAIR);
    deployment
        .run(&["import", "b"])
        .expect(1)
        .says("its inputs wait for a.serial");
}

#[test]
fn a_target_brings_what_it_needs_and_nothing_else() {
    let deployment = Deployment::new(
        r#"{ inherit state; a = thing "a" { content = 1; }; b = thing "b" { content = o.a.serial; };
          web.members = { x = thing "x" { content = o.b.serial; }; y = thing "y" { }; };
          other = thing "other" { }; }"#,
    );
    deployment
        .run(&["plan", "--target", "web.x"])
        .expect(0)
        .says("+ web.x")
        .says("+ b")
        .never_says("+ other")
        .never_says("web.y");
    deployment
        .run(&["apply", "--target", "b"])
        .expect(0)
        .says("2 created");
    assert!(deployment.thing("other").is_none());
    // What is recorded is believed: `a` is not looked at.
    deployment.tamper("a", &json!({ "content": 2, "serial": "serial-a" }));
    deployment
        .run(&["apply", "--target", "web.x", "--target", "b"])
        .expect(0)
        .says("1 created, 1 unchanged");
    assert_eq!(deployment.thing("a").unwrap()["content"], 2);
    deployment
        .run(&["plan", "--target", "nope"])
        .expect(1)
        .says("there is no member at or below 'nope'");
    deployment
        .run(&["apply"])
        .expect(0)
        .says("2 created, 1 updated, 2 unchanged");
}

#[test]
fn without_refresh_the_record_is_believed() {
    let deployment = Deployment::new(PAIR);
    deployment.run(&["apply"]).expect(0);
    deployment.tamper("a", &json!({ "content": 2, "serial": "serial-a" }));
    deployment
        .run(&["plan", "--refresh=false", "--detailed-exitcode"])
        .expect(0)
        .says("Nothing to do: 2");
    deployment
        .run(&["plan", "--detailed-exitcode"])
        .expect(2)
        .says("~ a");
    deployment.write(&PAIR.replace("\"one\"", "\"two\""));
    deployment
        .run(&["plan", "--refresh=false"])
        .expect(0)
        .says("content  \"one\" -> \"two\"")
        .says("compared with its record alone");
}

/// Runs the command with a `nix-instantiate` that counts.
fn evaluations(deployment: &Deployment, arguments: &[&str]) -> usize {
    let bin = deployment.path("counting");
    let count = deployment.path("count");
    std::fs::create_dir_all(&bin).unwrap();
    let path = std::env::var("PATH").unwrap();
    let real = std::env::split_paths(&path)
        .map(|directory| directory.join("nix-instantiate"))
        .find(|program| program.exists())
        .unwrap();
    let script = format!(
        "#!/bin/sh\necho x >>'{}'\nexec '{}' \"$@\"\n",
        count.display(),
        real.display()
    );
    let program = bin.join("nix-instantiate");
    std::fs::write(&program, script).unwrap();
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(&program, mode).unwrap();
    let _ = std::fs::remove_file(&count);
    let mut command = deployment.command(arguments);
    let path = deployment.programs();
    command.env("PATH", format!("{}:{path}", bin.display()));
    ran(&mut command).expect(0);
    let counted = std::fs::read_to_string(&count).unwrap_or_default();
    counted.lines().count()
}

#[test]
fn with_nothing_to_do_nix_runs_once() {
    let deployment = Deployment::of_suite(PAIR);
    // Where the state is, what is wanted, what `b` is once `a` is there, edges;
    // and for display once with what is foreseen.
    assert!(evaluations(&deployment, &["apply"]) <= 5);
    assert_eq!(evaluations(&deployment, &["apply"]), 1);
    assert_eq!(evaluations(&deployment, &["plan"]), 1);
    assert_eq!(evaluations(&deployment, &["drift"]), 0);
    std::fs::remove_dir_all(deployment.path("home")).unwrap();
    assert_eq!(evaluations(&deployment, &["plan"]), 2);
    // Others' providers are started because the expression names them, and a drift asks
    // it once.
    let others = Deployment::new(PAIR);
    others.run(&["apply"]).expect(0);
    assert_eq!(evaluations(&others, &["plan"]), 2);
    assert!((1..=2).contains(&evaluations(&others, &["drift"])));
}

#[test]
fn state_that_moved_is_not_taken_from_where_it_was() {
    let deployment = Deployment::new(PAIR);
    deployment.run(&["apply"]).expect(0);
    std::fs::rename(deployment.path("state"), deployment.path("elsewhere")).unwrap();
    std::fs::write(deployment.path("state"), "").unwrap();
    deployment.write(&PAIR.replace(
        "inherit state;",
        r#"state = stateIn { file = "${directory}/elsewhere"; };"#,
    ));
    deployment.run(&["plan"]).expect(0).says("Nothing to do: 2");
}
