//! What happens when something goes wrong.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::Deployment;

#[test]
fn what_does_not_depend_on_a_failure_goes_on() {
    let deployment = Deployment::new(
        r#"{ inherit state;
          bad = thing "bad" { failOn = [ "create" ]; };
          after = thing "after" { content = o.bad.serial; };
          later = thing "later" { content = o.after.serial; };
          good = thing "good" { content = o.other.serial; };
          other = thing "other" { }; }"#,
    );
    let ran = deployment
        .run(&["apply"])
        .expect(1)
        .says("told to fail on create\n        tell it otherwise")
        .says("2 created, 1 failed, 2 not tried")
        .says("waits for bad.serial")
        .says("apply again: it goes on from there");
    assert!(ran.stdout.contains("after  waits for bad.serial"));
    assert!(deployment.thing("good").is_some());
    assert!(deployment.thing("after").is_none());

    let ran = deployment.run(&["apply", "--json"]).expect(1);
    let summary = ran.summary();
    assert_eq!(summary["success"], false);
    assert_eq!(summary["failed"][0]["path"], json!(["bad"]));
    assert_eq!(summary["failed"][0]["operation"], "create");
    assert_eq!(summary["skipped"].as_array().unwrap().len(), 2);
    assert_eq!(summary["unchanged"], 2);
    assert_eq!(deployment.times("create good"), 1);

    deployment.write(
        r#"{ inherit state; bad = thing "bad" { }; after = thing "after" { content = o.bad.serial; };
          good = thing "good" { content = o.other.serial; }; other = thing "other" { }; }"#,
    );
    deployment
        .run(&["apply"])
        .expect(0)
        .says("2 created, 2 unchanged");
}

#[test]
fn a_provider_that_misbehaves_is_one_failure() {
    for (act, says) in [
        (
            "exit",
            "the provider ended (exit status: 3) without an answer",
        ),
        ("exit", "the last words of the provider"),
        ("garbage", "wrote something on stdout that is not an answer"),
        ("hang", "gave no answer within"),
    ] {
        let deployment = Deployment::new(&format!(
            r#"{{ inherit state; bad = thing "bad" {{ act = "{act}"; }}; good = thing "good" {{ }}; }}"#
        ));
        let begun = Instant::now();
        deployment
            .run(&["apply", "--timeout", "1"])
            .expect(1)
            .says(says)
            .says("1 created, 1 failed");
        assert!(begun.elapsed() < Duration::from_secs(20));
        assert!(deployment.thing("good").is_some());
    }
}

#[test]
fn a_plan_that_fails_is_told_and_does_not_stop_the_others() {
    let deployment = Deployment::new(
        r#"{ inherit state; bad = thing "bad" { failOn = [ "plan" ]; }; good = thing "good" { }; }"#,
    );
    deployment
        .run(&["plan"])
        .expect(1)
        .says("! bad")
        .says("told to fail on plan")
        .says("+ good");
    deployment
        .run(&["apply"])
        .expect(1)
        .says("could not be looked at")
        .says("1 created, 1 failed");
}

#[test]
fn killed_in_the_middle_it_goes_on_where_it_was() {
    let members = |sleep: u32| {
        format!(
            r#"{{ inherit state; a = thing "a" {{ }};
              b = thing "b" {{ content = o.a.serial; sleep = {sleep}; }};
              c = thing "c" {{ content = o.b.serial; }}; }}"#
        )
    };
    let deployment = Deployment::new(&members(60_000));
    let mut child = deployment
        .command(&["apply"])
        .stdout(std::process::Stdio::null())
        .spawn()
        .unwrap();
    wait_for(|| deployment.times("create-began b") == 1);
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(deployment.thing("c").is_none());
    deployment.write(&members(0));
    deployment
        .run(&["apply"])
        .expect(0)
        .says("2 created, 1 unchanged");
    assert_eq!(deployment.times("create a"), 1);
    deployment.run(&["apply"]).expect(0).says("Nothing to do");
}

#[test]
fn interrupted_it_finishes_what_runs_and_records_it() {
    let deployment = Deployment::new(
        r#"{ inherit state; a = thing "a" { sleep = 1500; }; b = thing "b" { content = o.a.serial; }; }"#,
    );
    let child = deployment
        .command(&["apply"])
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    wait_for(|| deployment.times("create-began a") == 1);
    let pid = child.id().to_string();
    let kill = std::process::Command::new("kill")
        .args(["-INT", &pid])
        .status();
    assert!(kill.unwrap().success());
    let output = child.wait_with_output().unwrap();
    let stdout = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(1), "{stdout}");
    assert!(stdout.contains("stopping"), "{stdout}");
    assert!(stdout.contains("Interrupted"), "{stdout}");
    assert!(deployment.thing("a").is_some());
    assert!(deployment.thing("b").is_none());
    deployment.write(r#"{ inherit state; a = thing "a" { sleep = 1500; }; b = thing "b" { content = o.a.serial; }; }"#);
    deployment
        .run(&["apply"])
        .expect(0)
        .says("1 created, 1 unchanged");
}

#[test]
fn interrupted_twice_it_ends_at_once() {
    let deployment = Deployment::new(r#"{ inherit state; a = thing "a" { sleep = 100000; }; }"#);
    let child = deployment
        .command(&["apply"])
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    wait_for(|| deployment.times("create-began a") == 1);
    let pid = child.id().to_string();
    let interrupt = || {
        let kill = std::process::Command::new("kill")
            .args(["-INT", &pid])
            .status();
        assert!(kill.unwrap().success());
    };
    let begun = Instant::now();
    interrupt();
    std::thread::sleep(Duration::from_millis(300));
    interrupt();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(begun.elapsed() < Duration::from_secs(30));
    let stdout = String::from_utf8(output.stdout).unwrap();
    assert!(stdout.contains("it was killed in the middle"), "{stdout}");
}

#[test]
fn state_that_cannot_be_written_stops_everything() {
    let deployment = Deployment::new(
        r#"{ state = stateIn { file = "${directory}/state"; failAfter = 1; };
          a = thing "a" { }; b = thing "b" { content = o.a.serial; }; c = thing "c" { content = o.b.serial; }; }"#,
    );
    let ran = deployment
        .run(&["apply"])
        .expect(1)
        .says("the disk is full")
        .says("b was made or changed, and NOT RECORDED")
        .says("1 created, 1 failed, 1 not tried");
    assert!(
        ran.stdout
            .contains("it was done, but could not be recorded")
    );
    assert!(deployment.thing("c").is_none());
    deployment.write(
        r#"{ state = stateIn { file = "${directory}/state"; };
          a = thing "a" { }; b = thing "b" { content = o.a.serial; }; c = thing "c" { content = o.b.serial; }; }"#,
    );
    deployment
        .run(&["apply"])
        .expect(0)
        .says("1 created, 1 recorded, 1 unchanged");
}

#[test]
fn state_that_cannot_be_made_or_read_stops_everything() {
    let deployment = Deployment::new(
        r#"{ state = stateIn { file = "${directory}/no/such/place"; }; a = thing "a" { }; }"#,
    );
    deployment
        .run(&["apply"])
        .expect(1)
        .says("cannot make the state resource 'state'");
    assert!(deployment.log().is_empty());
    std::fs::write(deployment.path("state"), "nonsense\n").unwrap();
    deployment.write(r#"{ inherit state; a = thing "a" { }; }"#);
    for command in ["plan", "apply"] {
        deployment
            .run(&[command])
            .expect(1)
            .says("cannot read the state that 'state' keeps");
    }
    assert!(deployment.log().is_empty());
}

#[test]
fn state_that_is_no_resource_is_named() {
    let deployment = Deployment::new(r#"{ a = thing "a" { }; }"#);
    deployment
        .run(&["plan"])
        .expect(1)
        .says("the state of 'a' is 'state', and there is no such member");
}

#[test]
fn two_members_that_are_the_same_are_refused_before_anything_runs() {
    let deployment = Deployment::new(
        r#"{ inherit state; one = thing "same" { }; two.members.deep = thing "same" { }; x = thing "x" { }; }"#,
    );
    for command in ["plan", "apply"] {
        deployment
            .run(&[command])
            .expect(1)
            .says("'one' and 'two.deep' are the same scratch_thing");
    }
    assert!(deployment.log().is_empty());
}

#[test]
fn two_that_turn_out_to_be_the_same_later_are_refused_then() {
    let deployment = Deployment::new(
        r#"{ inherit state; list = thing "list" { };
          one = thing o.list.serial { }; two = thing "serial-list" { }; }"#,
    );
    deployment
        .run(&["apply"])
        .expect(1)
        .says("it is the same scratch_thing as 'two'");
    assert_eq!(deployment.times("create serial-list"), 1);
}

#[test]
fn a_refusal_is_told_before_anything_runs() {
    let deployment = Deployment::new(r#"{ inherit state; a = thing "a" { region = "here"; }; }"#);
    deployment.run(&["apply"]).expect(0);
    deployment
        .write(r#"{ inherit state; a = thing "a" { region = "there"; }; b = thing "b" { }; }"#);
    deployment
        .run(&["plan"])
        .expect(1)
        .says("! a")
        .says("/region: a thing stays where it is")
        .says("region  \"here\" -> \"there\"");
    deployment
        .run(&["apply"])
        .expect(1)
        .says("nothing was applied, because this is refused:\n        a: /region: a thing stays");
    assert!(deployment.thing("b").is_none());
}

#[test]
fn bad_inputs_are_told_with_their_place_and_without_their_value() {
    let deployment = Deployment::new(
        r#"{ inherit state;
          a = thing "a" { secret = "hunter2"; size = -1; nonsense = 1; };
          b = thing "" { size = o.c.serial; };
          c = thing "c" { }; }"#,
    );
    for command in ["plan", "apply"] {
        deployment
            .run(&[command])
            .expect(1)
            .says("a: /nonsense: there is no such input")
            .says("a: /secret: ")
            .says("a: /size: value is less than the minimum of 0")
            .says("b: /name: ")
            .never_says("b: /size")
            .never_says("hunter2");
    }
    assert!(deployment.log().is_empty());
}

#[test]
fn another_type_under_the_same_name_is_refused() {
    let deployment = Deployment::new(r#"{ state = oldState; a = old "a" { }; }"#);
    deployment.run(&["apply"]).expect(0);
    deployment
        .write(r#"{ state = oldState; a = resource [ "v0" ] [ "state" ] "other_thing" { } [ ]; }"#);
    deployment
        .run(&["apply"])
        .expect(1)
        .says("Resource type change is not supported: 'a' is recorded as scratch_thing");
}

#[test]
fn a_type_that_nobody_has_is_refused() {
    let deployment = Deployment::new(
        r#"{ inherit state; a = resource [ ] [ "state" ] "scratch_thng" { } [ ]; }"#,
    );
    deployment
        .run(&["plan"])
        .expect(1)
        .says("has no type 'scratch_thng'; it has scratch_state, scratch_thing");
}

#[test]
fn an_output_that_nobody_gives_is_named() {
    let deployment = Deployment::new(
        r#"{ inherit state;
          a = resource [ ] [ "state" ] "scratch_thing" { directory = "${directory}/things"; name = "a"; } [ "nonsense" ];
          b = thing "b" { content = o.a.nonsense; }; }"#,
    );
    deployment
        .run(&["apply"])
        .expect(1)
        .says("the provider of 'a' did not give the output 'nonsense'");
    assert_eq!(deployment.times("create a"), 1);
}

#[test]
fn members_that_wait_for_each_other_are_named() {
    let deployment = Deployment::new(
        r#"{ inherit state; a = thing "a" { content = o.b.serial; }; b = thing "b" { content = o.a.serial; };
          c = thing "c" { }; }"#,
    );
    deployment
        .run(&["apply"])
        .expect(1)
        .says("a waits for b.serial")
        .says("b waits for a.serial");
    assert!(deployment.thing("c").is_some());
}

#[test]
fn an_authors_mistake_that_shows_late_is_told_with_its_place() {
    let deployment = Deployment::new(
        r#"{ inherit state; a = thing "a" { };
          b = thing "b" { content = if o.a.serial == "x" then 1 else throw "there is no x"; }; }"#,
    );
    deployment
        .run(&["apply"])
        .expect(1)
        .says("there is no x")
        .says("nixops4.nix:2:")
        .says("the inputs of the member 'b'");
    assert_eq!(deployment.times("create a"), 1);
}

#[test]
fn what_a_provider_says_is_prefixed_and_harmless() {
    let deployment = Deployment::new(r#"{ inherit state; a = thing "a" { act = "chatter"; }; }"#);
    deployment
        .run(&["apply"])
        .expect(0)
        .says("a: doing \u{fffd}[2Jthings")
        .never_says("\u{1b}");
}

#[test]
fn without_nix_it_says_what_to_install() {
    let deployment = Deployment::new(r#"{ a = stateless "a" { }; }"#);
    let mut command = deployment.command(&["plan"]);
    command.env("PATH", deployment.path("things"));
    crate::support::ran(&mut command)
        .expect(1)
        .says("nix-instantiate is not installed")
        .says("apt-get install nix-bin");
}

#[test]
fn a_failure_is_json_too() {
    let deployment = Deployment::new("{ a = 1; }");
    for command in ["plan", "apply"] {
        let ran = deployment.run(&[command, "--json"]).expect(1);
        let error: Value = serde_json::from_str(&ran.stdout).unwrap();
        assert_eq!(error["event"], "error");
        assert_eq!(
            error["message"].as_str().unwrap().lines().next(),
            Some("the member 'a' is a int, not a set with `resource` or `members`")
        );
    }
}

#[track_caller]
#[test]
fn a_question_is_asked_again_if_the_provider_is_lost() {
    let deployment =
        Deployment::new(r#"{ inherit state; a = thing "a" { dieOnce = "${directory}/died"; }; }"#);
    deployment
        .run(&["plan"])
        .expect(0)
        .says("Plan: 2 to create.");
    assert!(deployment.path("died").exists());
}

fn wait_for(mut is_there: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !is_there() {
        assert!(begun.elapsed() < Duration::from_mins(1), "it never came");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn what_a_killed_evaluation_left_goes_and_nobody_else_could_read_it() {
    use std::os::unix::fs::PermissionsExt as _;

    let deployment = Deployment::new(r#"{ inherit state; a = thing "a" { }; }"#);
    let (temporary, fake) = (deployment.path("temporary"), deployment.path("fake"));
    for folder in [&temporary, &fake] {
        std::fs::create_dir(folder).unwrap();
    }
    // A Nix that comes to no end as long as the deployment is there.
    let began = deployment.path("began");
    let script = format!(
        "#!/bin/sh\n: >'{0}'\nwhile test -e '{0}'; do sleep 0.1; done\n",
        began.display()
    );
    let nix = fake.join("nix-instantiate");
    std::fs::write(&nix, script).unwrap();
    std::fs::set_permissions(&nix, std::fs::Permissions::from_mode(0o755)).unwrap();
    let mut child = std::process::Command::new("sh")
        .args(["-c", r#"umask 0; exec "$@""#, "sh"])
        .args([env!("CARGO_BIN_EXE_nixops4-resources"), "plan"])
        .current_dir(deployment.path(""))
        .env("XDG_STATE_HOME", deployment.path("home"))
        .env("TMPDIR", &temporary)
        .env(
            "PATH",
            format!("{}:{}", fake.display(), deployment.programs()),
        )
        .spawn()
        .unwrap();
    wait_for(|| began.exists());
    let left = || -> Vec<std::path::PathBuf> {
        let entries = std::fs::read_dir(&temporary).unwrap();
        entries.map(|entry| entry.unwrap().path()).collect()
    };
    let folders = left();
    assert_eq!(folders.len(), 1, "{folders:?}");
    let mode = |path: &std::path::Path| path.metadata().unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&folders[0]), 0o700);
    for entry in std::fs::read_dir(&folders[0]).unwrap() {
        assert_eq!(mode(&entry.unwrap().path()), 0o600);
    }
    // What a living one has stays.
    let plan = || {
        let mut plan = deployment.command(&["plan"]);
        crate::support::ran(plan.env("TMPDIR", &temporary)).expect(0);
    };
    plan();
    assert_eq!(left(), folders);
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(left(), folders);
    plan();
    assert!(left().is_empty(), "{:?}", left());
}
