//! Whole applies, with real Nix and a provider whose things are files.

use crate::support::Deployment;
use serde_json::json;

const CHAIN: &str = r#"{
  inherit state;
  a = thing "a" { content = "one"; };
  b = thing "b" { content = o.a.serial; };
  inner.members.c = thing "c" { content = { deep = [ o.b.content 1 ]; }; };
}"#;

#[test]
fn what_depends_on_others_waits_for_them() {
    let deployment = Deployment::new(CHAIN);
    deployment.run(&["apply"]).expect(0).says("3 created");
    assert_eq!(
        deployment
            .log()
            .iter()
            .filter(|line| !line.contains("began"))
            .collect::<Vec<_>>(),
        ["create a", "create b", "create c"]
    );
    assert_eq!(
        deployment.thing("c").unwrap()["content"],
        json!({"deep": ["serial-a", 1]})
    );
}

#[test]
fn a_second_apply_does_nothing() {
    let deployment = Deployment::new(CHAIN);
    deployment.run(&["apply"]).expect(0);
    let before = deployment.log();
    deployment
        .run(&["apply"])
        .expect(0)
        .says("Nothing to do: 3 resources are as wanted.");
    assert_eq!(deployment.log(), before);
    deployment.run(&["plan", "--detailed-exitcode"]).expect(0);
}

#[test]
fn drift_is_shown_and_repaired() {
    let deployment = Deployment::new(CHAIN);
    deployment.run(&["apply"]).expect(0);
    deployment.tamper("b", &json!({"content": "wrong", "serial": "serial-b"}));
    deployment
        .run(&["plan", "--detailed-exitcode"])
        .expect(2)
        .says("~ b")
        .says("content  \"wrong\" -> \"serial-a\"");
    deployment
        .run(&["apply"])
        .expect(0)
        .says("1 updated, 2 unchanged");
    assert_eq!(deployment.thing("b").unwrap()["content"], "serial-a");
    assert_eq!(deployment.times("update b"), 1);
    assert_eq!(deployment.times("update a"), 0);
}

#[test]
fn a_change_reaches_only_what_depends_on_it() {
    let deployment = Deployment::new(
        r#"{ inherit state; a = thing "a" { content = 1; }; b = thing "b" { content = o.a.content; }; x = thing "x" { }; }"#,
    );
    deployment.run(&["apply"]).expect(0);
    deployment.write(
        r#"{ inherit state; a = thing "a" { content = 2; }; b = thing "b" { content = o.a.content; }; x = thing "x" { }; }"#,
    );
    // The provider foresees the output, so that the plan is complete.
    deployment
        .run(&["plan", "--detailed-exitcode"])
        .expect(2)
        .says("~ a")
        .says("content  1 -> 2")
        .says("Plan: 2 to update, 1 unchanged.")
        .never_says("known after apply");
    deployment
        .run(&["apply"])
        .expect(0)
        .says("2 updated, 1 unchanged");
    assert_eq!(deployment.thing("b").unwrap()["content"], 2);
}

#[test]
fn an_output_that_stays_leaves_its_users_alone() {
    let deployment = Deployment::new(
        r#"{ inherit state; a = thing "a" { content = 1; }; b = thing "b" { content = o.a.serial; }; }"#,
    );
    deployment.run(&["apply"]).expect(0);
    deployment.write(
        r#"{ inherit state; a = thing "a" { content = 2; }; b = thing "b" { content = o.a.serial; }; }"#,
    );
    deployment
        .run(&["apply"])
        .expect(0)
        .says("1 updated, 1 unchanged");
    assert_eq!(deployment.times("update b"), 0);
}

#[test]
fn a_plan_changes_nothing() {
    let deployment = Deployment::new(CHAIN);
    deployment
        .run(&["plan", "--detailed-exitcode"])
        .expect(2)
        .says("+ state")
        .says("+ a")
        .says("(known after apply)")
        .says("after a.serial");
    assert!(!deployment.path("state").exists());
    assert!(deployment.log().is_empty());
}

#[test]
fn two_hundred_at_once() {
    let deployment = Deployment::new(
        r#"{ inherit state; } // builtins.listToAttrs (builtins.genList (n: {
          name = "t${toString n}"; value = thing "t${toString n}" { sleep = 200; };
        }) 200)"#,
    );
    let begun = std::time::Instant::now();
    let summary = deployment
        .run(&["apply", "--json", "--parallel", "40"])
        .expect(0)
        .summary();
    assert_eq!(summary["created"], 200);
    // One after the other they would sleep for forty seconds.
    assert!(begun.elapsed().as_secs() < 25, "{:?}", begun.elapsed());
    deployment
        .run(&["apply"])
        .expect(0)
        .says("Nothing to do: 200");
}

#[test]
fn members_that_depend_on_outputs_are_named_and_then_made() {
    let deployment = Deployment::new(
        r#"{ inherit state; list = thing "list" { content = null; };
          each.members = builtins.listToAttrs (map (n: { name = n; value = thing n { }; }) [ o.list.serial ]); }"#,
    );
    deployment
        .run(&["plan"])
        .expect(0)
        .says("? each.*  (members known after apply)")
        .says("after list.serial");
    deployment.run(&["apply"]).expect(0).says("2 created");
    assert!(deployment.thing("serial-list").is_some());
    deployment.run(&["apply"]).expect(0).says("Nothing to do");
}

#[test]
fn state_may_depend_on_what_is_made_first() {
    let deployment = Deployment::new(
        r#"{ place = stateless "place" { content = "${directory}/elsewhere"; };
          state = stateIn { file = o.place.content; };
          a = thing "a" { }; b = thing "b" { content = o.a.serial; }; }"#,
    );
    deployment
        .run(&["plan"])
        .expect(0)
        .says("? a")
        .says("known once its state, 'state', is there");
    deployment.run(&["apply"]).expect(0).says("3 created");
    assert!(deployment.path("elsewhere").exists());
    deployment
        .run(&["plan", "--detailed-exitcode"])
        .expect(0)
        .says("Nothing to do: 3");
    deployment
        .run(&["apply"])
        .expect(0)
        .says("Nothing to do: 3");
}

#[test]
fn two_states_are_kept_apart() {
    let deployment = Deployment::new(
        r#"{ inherit state; second = stateIn { file = "${directory}/second"; };
          a = thing "a" { };
          b.resource = (thing "b" { content = o.a.serial; }).resource // { state = [ "second" ]; }; }"#,
    );
    deployment.run(&["apply"]).expect(0).says("2 created");
    for file in ["state", "second"] {
        let events = std::fs::read_to_string(deployment.path(file)).unwrap();
        // One that makes it, and one that says what it was made from.
        assert_eq!(events.lines().count(), 2, "{file}");
    }
    deployment
        .run(&["apply"])
        .expect(0)
        .says("Nothing to do: 2");
}

#[test]
fn an_output_that_the_record_lacks_is_recorded_anew() {
    let deployment = Deployment::new(r#"{ inherit state; a = thing "a" { }; }"#);
    deployment.run(&["apply"]).expect(0);
    let state = deployment.path("state");
    let events = std::fs::read_to_string(&state).unwrap();
    std::fs::write(
        &state,
        events.replace(r#""serial":"serial-a""#, r#""old":1"#),
    )
    .unwrap();
    deployment
        .write(r#"{ inherit state; a = thing "a" { }; b = thing "b" { content = o.a.serial; }; }"#);
    deployment
        .run(&["plan"])
        .expect(0)
        .says("only its record changes");
    deployment
        .run(&["apply"])
        .expect(0)
        .says("1 created, 1 recorded");
    assert_eq!(deployment.thing("b").unwrap()["content"], "serial-a");
    deployment
        .run(&["apply"])
        .expect(0)
        .says("Nothing to do: 2");
}

#[test]
fn what_left_the_expression_is_listed_and_left_alone() {
    let deployment = Deployment::new(CHAIN);
    deployment.run(&["apply"]).expect(0);
    deployment.write(r#"{ inherit state; a = thing "a" { content = "one"; }; }"#);
    for command in ["plan", "apply"] {
        deployment
            .run(&[command])
            .expect(0)
            .says("No longer in the expression")
            .says("inner.c");
    }
    assert!(deployment.thing("b").is_some());
}

#[test]
fn without_state_the_provider_is_asked_each_time() {
    let deployment = Deployment::new(
        r#"{ a = stateless "a" { content = 1; }; b = stateless "b" { content = o.a.serial; }; }"#,
    );
    deployment.run(&["apply"]).expect(0).says("2 created");
    deployment
        .run(&["apply"])
        .expect(0)
        .says("Nothing to do: 2");
    deployment.tamper("a", &json!({"content": 3, "serial": "serial-a"}));
    deployment
        .run(&["apply"])
        .expect(0)
        .says("1 created, 1 unchanged");
    assert_eq!(deployment.thing("a").unwrap()["content"], 1);
}

#[test]
fn lost_state_is_recorded_again() {
    let deployment = Deployment::new(CHAIN);
    deployment.run(&["apply"]).expect(0);
    std::fs::remove_file(deployment.path("state")).unwrap();
    deployment
        .run(&["plan"])
        .expect(0)
        .says("it is there as wanted, and will be recorded");
    deployment.run(&["apply"]).expect(0).says("3 recorded");
    deployment.run(&["apply"]).expect(0).says("Nothing to do");
}

#[test]
fn what_nix_has_to_build_is_there_before_the_provider_runs() {
    let deployment = Deployment::new(
        r#"{ inherit state;
          source = thing "source" { content = "${./prelude.nix}"; };
          built = thing "built" { content = "${derivation {
            name = "greeting"; system = builtins.currentSystem; builder = "/bin/sh";
            args = [ "-c" "echo hello ${directory} > $out" ];
          }}"; }; }"#,
    );
    let mut command = deployment.command(&["apply"]);
    command.env(
        "NIX_CONFIG",
        "sandbox = false\nsubstituters =\nbuild-users-group =",
    );
    crate::support::ran(&mut command).expect(0);
    for name in ["source", "built"] {
        let thing = deployment.thing(name).unwrap();
        let path = thing["content"].as_str().unwrap();
        assert!(std::path::Path::new(path).exists(), "{path}");
    }
}

#[test]
fn v0_alone_is_enough() {
    let deployment = Deployment::new(
        r#"{ state = oldState; a = old "a" { content = "one"; }; b = old "b" { content = o.a.serial; };
            c = oldStateless "c" { }; }"#,
    );
    deployment
        .run(&["plan", "--detailed-exitcode"])
        .expect(2)
        .says("is taken as empty")
        .says("it has no state");
    deployment
        .run(&["apply"])
        .expect(0)
        .says("2 created, 1 made sure of");
    deployment.run(&["plan", "--detailed-exitcode"]).expect(0);
    deployment
        .run(&["apply"])
        .expect(0)
        .says("1 made sure of, 2 unchanged");
    deployment.write(
        r#"{ state = oldState; a = old "a" { content = "two"; }; b = old "b" { content = o.a.serial; };
            c = oldStateless "c" { }; }"#,
    );
    deployment
        .run(&["plan", "--detailed-exitcode"])
        .expect(2)
        .says("content  \"one\" -> \"two\"")
        .says("content  \"serial-a\" -> (known after apply)");
    deployment
        .run(&["apply"])
        .expect(0)
        .says("1 updated, 1 made sure of, 1 unchanged");
}
