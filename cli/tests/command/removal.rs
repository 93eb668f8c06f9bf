//! What is destroyed, in which order, and what is left alone.

use serde_json::{Value, json};

use crate::support::Deployment;

pub(crate) const CHAIN: &str = r#"{
  inherit state;
  a = thing "a" { content = "one"; };
  b = thing "b" { content = o.a.serial; };
  inner.members.c = thing "c" { content = o.b.serial; };
}"#;

pub(crate) fn gone(deployment: &Deployment, names: &[&str]) {
    for name in names {
        assert_eq!(deployment.thing(name), None, "{name}");
    }
}

/// What was destroyed or retained, in order.
pub(crate) fn removed(deployment: &Deployment) -> Vec<String> {
    deployment
        .log()
        .into_iter()
        .filter(|line| line.starts_with("destroy ") || line.starts_with("retain "))
        .collect()
}

#[test]
fn everything_goes_and_what_uses_others_goes_first() {
    let deployment = Deployment::new(CHAIN);
    deployment.run(&["apply"]).expect(0);
    deployment
        .run(&["destroy"])
        .expect(1)
        .says("- inner.c")
        .says("Removal: 3 to delete.")
        .says("there is nobody to ask; --yes");
    assert!(removed(&deployment).is_empty());
    deployment
        .run(&["destroy", "--yes"])
        .expect(0)
        .says("3 destroyed")
        .says("the next apply makes again what the expression still has: a, b, inner.c");
    assert_eq!(
        removed(&deployment),
        ["destroy c", "destroy b", "destroy a"]
    );
    assert_eq!(deployment.times("destroy-began a"), 1);
    gone(&deployment, &["a", "b", "c"]);
    deployment
        .run(&["destroy", "--yes"])
        .expect(0)
        .says("Nothing to remove");
    deployment.run(&["apply"]).expect(0).says("3 created");
}

/// What a provider foresees is told before anybody is asked, to people and machines.
#[test]
fn what_stands_in_the_way_is_told_before() {
    let deployment = Deployment::new(
        r#"{ inherit state; a = thing "a" { };
          held = thing "held" { failOn = [ "destroy" ]; }; }"#,
    );
    deployment.run(&["apply"]).expect(0);
    deployment
        .run(&["destroy"])
        .expect(1)
        .says("      ! held is held\n        hint: let it go")
        .says("there is nobody to ask; --yes");
    let told = deployment.run(&["destroy", "--json"]).expect(1);
    told.says(r#""warnings":["held is held\nhint: let it go"]"#);
    assert_eq!(deployment.times("destroy-began a"), 0);
    // It is tried all the same: that may have changed since.
    deployment
        .run(&["destroy", "--yes"])
        .expect(1)
        .says("1 destroyed");
}

#[test]
fn what_is_made_from_what_is_recorded() {
    let deployment = Deployment::new(
        r#"{ inherit state; a = thing "a" { content = 7; };
          b = thing "b" { content = { x = [ "<${o.a.serial}>" ]; }; };
          number = thing "number" { content = o.a.content; };
          named = thing "named" { content.${o.a.serial} = 1; };
          inner.members = builtins.listToAttrs [ { name = o.a.serial; value = thing "in" { }; } ]; }"#,
    );
    deployment.run(&["apply"]).expect(0).says("5 created");
    let edges =
        |name: &str| deployment.recorded(name).unwrap()["nixops4-resources"]["dependsOn"].clone();
    let a = |output: &str| json!([{ "path": ["a"], "output": output }]);
    assert_eq!(edges("a"), json!([]));
    assert_eq!(edges("b"), a("serial"));
    // These carry no context; they were seen to wait.
    assert_eq!(edges("number"), a("content"));
    assert_eq!(edges("named"), a("serial"));
    // A change elsewhere takes nothing away.
    deployment.write(
        r#"{ inherit state; a = thing "a" { content = 7; size = 2; };
          b = thing "b" { content = "none"; };
          number = thing "number" { content = o.a.content; };
          named = thing "named" { content.x = o.a.serial; }; }"#,
    );
    deployment.run(&["apply"]).expect(0);
    assert_eq!(edges("number"), a("content"));
    assert_eq!(edges("named"), a("serial"));
    assert_eq!(edges("b"), json!([]));
    // And nothing is written for nothing.
    let events = || std::fs::read_to_string(deployment.path("state")).unwrap();
    let before = events();
    deployment.run(&["apply"]).expect(0).says("Nothing to do");
    assert_eq!(events(), before);
}

#[test]
fn what_went_into_a_derivation_is_recorded() {
    let deployment = Deployment::new(
        r#"let
            made = name: text: derivation { inherit name text; system = builtins.currentSystem;
              builder = "/bin/sh"; args = [ "-c" "echo $text > $out" ]; };
          in { inherit state; a = thing "a" { }; b = thing "b" { };
            plain = thing "plain" { content = "${made "plain" "nothing"}"; };
            through = thing "through" { content = "${made "outer" "${made "inner" o.a.serial} and more"}"; };
            both = thing "both" { content = [ "${made "both" o.b.serial}" o.a.serial ]; }; }"#,
    );
    let apply = || {
        let mut command = deployment.command(&["apply"]);
        // Whoever runs the tests may build here, whatever this Nix is set up for.
        command.env(
            "NIX_CONFIG",
            "build-users-group =\nsandbox = false\nsubstitute = false",
        );
        crate::support::ran(&mut command).expect(0)
    };
    apply().says("5 created");
    let edges =
        |name: &str| deployment.recorded(name).unwrap()["nixops4-resources"]["dependsOn"].clone();
    let of = |name: &str| json!({ "path": [name], "output": "serial" });
    assert_eq!(edges("plain"), json!([]));
    assert_eq!(edges("through"), json!([of("a")]));
    assert_eq!(edges("both"), json!([of("a"), of("b")]));
    // One that uses what was there before never waited for it.
    deployment.write(
        r#"let
            made = name: text: derivation { inherit name text; system = builtins.currentSystem;
              builder = "/bin/sh"; args = [ "-c" "echo $text > $out" ]; };
          in { inherit state; a = thing "a" { }; late = thing "late" { content = "${made "late" o.a.serial}"; }; }"#,
    );
    apply().says("1 created");
    assert_eq!(edges("late"), json!([of("a")]));
}

#[test]
fn a_killed_apply_leaves_what_was_waited_for() {
    let deployment = Deployment::new(
        r#"{ inherit state; a = thing "a" { content = 7; }; b = thing "b" { content = o.a.serial; };
          last = thing "last" { content = o.b.serial; sleep = 60000; }; }"#,
    );
    let mut child = deployment.command(&["apply"]);
    let mut child = child.stdout(std::process::Stdio::null()).spawn().unwrap();
    while deployment.times("create-began last") == 0 {
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    let of = |name: &str| deployment.recorded(name).unwrap()["nixops4-resources"].clone();
    assert_eq!(
        of("b")["dependsOn"],
        json!([{ "path": ["a"], "output": "serial" }])
    );
    assert_eq!(of("b")["provisional"], true);
    // The next apply looks at the whole.
    deployment.write(
        r#"{ inherit state; a = thing "a" { content = 7; }; b = thing "b" { content = o.a.serial; }; }"#,
    );
    deployment.run(&["apply"]).expect(0);
    assert_eq!(of("b")["provisional"], json!(null));
    assert_eq!(of("a")["dependsOn"], json!([]));
}

#[test]
fn without_recorded_edges_the_order_is_found() {
    let deployment = Deployment::new(
        r#"{ inherit state; a = thing "a" { }; b = thing "b" { content = o.a.serial; };
            x = thing "x" { }; y = thing "y" { content = "serial-x"; }; }"#,
    );
    deployment.run(&["apply"]).expect(0);
    let state = deployment.path("state");
    let lines = std::fs::read_to_string(&state).unwrap();
    let upstream: Vec<String> = lines
        .lines()
        .map(|line| {
            let mut patch: Value = serde_json::from_str(line).unwrap();
            for operation in patch.as_array_mut().unwrap() {
                if let Some(entry) = operation["value"].as_object_mut() {
                    entry.remove("nixops4-resources");
                    // As from a provider that tells nothing.
                    if entry
                        .get("input_properties")
                        .is_some_and(|inputs| inputs["name"] == "x")
                    {
                        entry.insert("output_properties".to_owned(), json!({}));
                    }
                }
            }
            patch.to_string()
        })
        .collect();
    std::fs::write(&state, format!("{}\n", upstream.join("\n"))).unwrap();
    let mut command = deployment.command(&["destroy", "--yes", "--parallel", "1"]);
    with_provider(&deployment, &mut command);
    crate::support::ran(&mut command)
        .expect(0)
        .says("4 destroyed")
        .says("tried again later");
    assert_eq!(deployment.times("destroy-began a"), 1);
    assert_eq!(deployment.times("destroy-began x"), 2);
    gone(&deployment, &["a", "b", "x", "y"]);
}

/// Records without a provider are those of the provider named by their type.
fn with_provider(deployment: &Deployment, command: &mut std::process::Command) {
    let bin = deployment.path("bin");
    std::fs::create_dir_all(&bin).unwrap();
    let provider = bin.join("nixops4-resources-scratch");
    if !provider.exists() {
        std::os::unix::fs::symlink(crate::support::provider(), &provider).unwrap();
    }
    let path = std::env::var("PATH").unwrap();
    command.env("PATH", format!("{}:{path}", bin.display()));
}

#[test]
fn what_others_use_stays_with_them() {
    let deployment = Deployment::new(CHAIN);
    deployment.run(&["apply"]).expect(0);
    deployment
        .run(&["destroy", "--yes", "b"])
        .expect(1)
        .says("'inner.c' was made from it and would stay");
    assert!(removed(&deployment).is_empty());
    deployment
        .run(&["destroy", "--yes", "inner", "b"])
        .expect(0)
        .says("2 destroyed");
    assert!(deployment.thing("a").is_some());
    deployment
        .run(&["destroy", "--yes", "nobody"])
        .expect(1)
        .says("nothing is recorded at or below 'nobody'");
}

#[test]
fn a_failure_leaves_what_it_uses_and_nothing_else() {
    let deployment = Deployment::new(
        r#"{ inherit state; a = thing "a" { }; b = thing "b" { content = o.a.serial; failOn = [ "destroy" ]; };
            c = thing "c" { }; }"#,
    );
    deployment.run(&["apply"]).expect(0);
    let ran = deployment.run(&["destroy", "--yes", "--json"]).expect(1);
    let summary = ran.summary();
    assert_eq!(summary["destroyed"], 1);
    assert_eq!(summary["failed"][0]["path"], json!(["b"]));
    assert_eq!(
        summary["skipped"],
        json!([{ "path": ["a"], "reason": "'b' still uses it" }])
    );
    assert!(deployment.recorded("a").is_some() && deployment.recorded("b").is_some());
    assert!(deployment.recorded("c").is_none());
    deployment
        .run(&["destroy", "--yes"])
        .expect(1)
        .says("told to fail on destroy")
        .says("a  'b' still uses it");
}

#[test]
fn protected_things_and_data_stay() {
    let members = |protect: &str| {
        format!(
            r#"{{ inherit state; a = thing "a" {{ deletionPolicy = "retain"; }};
              b = thing "b" {{ protect = {protect}; }}; }}"#
        )
    };
    let deployment = Deployment::new(&members("true"));
    deployment.run(&["apply"]).expect(0);
    deployment
        .run(&["destroy", "--yes"])
        .expect(1)
        .says("nothing was destroyed")
        .says("b: it is protected: set `protect = false`");
    assert!(removed(&deployment).is_empty());
    deployment.write(&members("false"));
    // What is recorded counts, until it is applied.
    deployment.run(&["destroy", "--yes"]).expect(1);
    deployment.run(&["apply"]).expect(0);
    deployment
        .run(&["destroy", "--yes"])
        .expect(0)
        .says("is taken out of service; its data stays")
        .says("1 destroyed, 1 taken out of service");
    assert_eq!(deployment.thing("a").unwrap()["retained"], true);
    gone(&deployment, &["b"]);
}

#[test]
fn a_provider_that_cannot_destroy_is_refused_or_forgotten() {
    let deployment = Deployment::new(r#"{ state = oldState; a = old "a" { }; }"#);
    deployment.run(&["apply"]).expect(0);
    deployment
        .run(&["destroy", "--yes"])
        .expect(1)
        .says("its provider cannot destroy")
        .says("--forget");
    deployment
        .run(&["destroy", "--yes", "--forget"])
        .expect(0)
        .says("1 forgotten");
    assert!(deployment.thing("a").is_some());
    deployment
        .run(&["destroy"])
        .expect(0)
        .says("Nothing to remove");
}

#[test]
fn without_the_expression_the_state_is_enough() {
    let deployment = Deployment::new(CHAIN);
    deployment.run(&["apply"]).expect(0);
    std::fs::remove_file(deployment.path("nixops4.nix")).unwrap();
    let ran = deployment
        .run(&["destroy", "--yes"])
        .expect(1)
        .says("there is no deployment here")
        .says("--from-state");
    let location = ran
        .stderr
        .lines()
        .find_map(|line| {
            line.trim()
                .strip_prefix("--from-state '")?
                .strip_suffix('\'')
        })
        .expect("the place is remembered")
        .to_owned();
    deployment
        .run(&["destroy", "--yes", "--from-state", &location])
        .expect(0)
        .says("3 destroyed");
    gone(&deployment, &["a", "b", "c"]);
    deployment
        .run(&["destroy", "--yes", "--from-state", "nonsense"])
        .expect(64)
        .says("does not say where a state is");
}
