//! What is collected, and what is left alone.

use serde_json::json;

use crate::removal::{CHAIN, gone, removed};
use crate::support::Deployment;

#[test]
fn what_left_the_expression_is_collected() {
    let deployment = Deployment::new(CHAIN);
    deployment.run(&["apply"]).expect(0);
    deployment.write(r#"{ inherit state; a = thing "a" { content = "one"; }; }"#);
    deployment
        .run(&["gc"])
        .expect(1)
        .says("Removal: 2 to delete.")
        .says("there is nobody to ask");
    deployment
        .run(&["gc", "--yes"])
        .expect(0)
        .says("2 destroyed");
    assert_eq!(removed(&deployment), ["destroy c", "destroy b"]);
    assert!(deployment.thing("a").is_some());
    deployment
        .run(&["gc", "--yes"])
        .expect(0)
        .says("Nothing to remove");
    deployment
        .run(&["plan"])
        .expect(0)
        .never_says("No longer in the expression");
    deployment
        .run(&["gc", "a"])
        .expect(1)
        .says("was removed from the expression");
}

#[test]
fn a_renamed_member_is_never_collected() {
    let deployment = Deployment::new(r#"{ inherit state; a = thing "a" { content = 1; }; }"#);
    deployment.run(&["apply"]).expect(0);
    for content in ["1", "2"] {
        deployment.write(&format!(
            r#"{{ inherit state; z = thing "a" {{ content = {content}; }}; }}"#
        ));
        deployment
            .run(&["gc", "--yes"])
            .expect(0)
            .says("Nothing to remove")
            .says("nixops4-resources state mv a z");
    }
    // Once it is recorded under both, the old name can only be forgotten.
    deployment.run(&["apply"]).expect(0);
    deployment
        .run(&["gc", "--yes"])
        .expect(0)
        .says("nixops4-resources state rm a");
    assert!(deployment.thing("a").is_some());
}

#[test]
fn nothing_is_collected_before_everything_is_known() {
    let deployment = Deployment::new(CHAIN);
    deployment.run(&["apply"]).expect(0);
    deployment.write(
        r#"{ inherit state; new = thing "new" { };
          each.members = builtins.listToAttrs [ { name = o.new.serial; value = thing "c" { }; } ]; }"#,
    );
    deployment
        .run(&["gc", "--yes"])
        .expect(1)
        .says("nothing was collected")
        .says("each waits for new.serial");
    assert!(removed(&deployment).is_empty());
    deployment.write("{ inherit state; a = throw \"oh no\"; }");
    deployment.run(&["gc", "--yes"]).expect(1).says("oh no");
    assert!(removed(&deployment).is_empty());
}

#[test]
fn what_is_in_no_state_is_found_on_the_server() {
    let deployment = Deployment::new(
        r#"{ inherit state; a = thing "a" { }; b = thing "b" { deletionPolicy = "retain"; }; }"#,
    );
    deployment.run(&["apply"]).expect(0);
    deployment.write(r#"{ inherit state; a = thing "a" { }; }"#);
    deployment.run(&["gc", "--yes"]).expect(0);
    deployment.tamper("lost", &json!({ "serial": "serial-lost" }));
    deployment
        .run(&["gc", "--yes"])
        .expect(0)
        .says("Nothing to remove");
    deployment
        .run(&["gc", "--orphans"])
        .expect(1)
        .says("it carries our mark and is in no state")
        .says("Out of service since before");
    deployment
        .run(&["gc", "--orphans", "--yes"])
        .expect(0)
        .says("1 destroyed");
    gone(&deployment, &["lost"]);
    assert!(deployment.thing("a").is_some() && deployment.thing("b").is_some());
    deployment
        .run(&["gc", "--orphans", "--yes"])
        .expect(0)
        .says("Nothing to remove");
}

#[test]
fn nothing_is_an_orphan_beside_one_that_nobody_can_name() {
    let members = |failing: &str| {
        format!(
            r#"{{ inherit state; a = thing "a" {{ failOn = [ {failing} ]; }}; b = thing "b" {{ }}; }}"#
        )
    };
    let deployment = Deployment::new(&members(""));
    deployment.run(&["apply"]).expect(0);
    deployment.run(&["state", "rm", "--yes", "a"]).expect(0);
    deployment.tamper("lost", &json!({ "serial": "serial-lost" }));
    deployment.write(&members("\"plan\" \"read\""));
    deployment
        .run(&["gc", "--orphans", "--yes"])
        .expect(0)
        .says("may be 'a', of which nobody can say what it is")
        .says("told to fail on read")
        .says("Nothing to remove");
    assert!(deployment.thing("a").is_some() && deployment.thing("lost").is_some());
    // Once everything has a name, what is lost is found.
    deployment.write(&members(""));
    deployment.run(&["apply"]).expect(0);
    deployment
        .run(&["gc", "--orphans", "--yes"])
        .expect(0)
        .says("1 destroyed");
    gone(&deployment, &["lost"]);
    assert!(deployment.thing("a").is_some());
}

#[test]
fn orphans_are_neither_forgotten_nor_chosen_by_a_path() {
    let deployment = Deployment::new(r#"{ inherit state; a = thing "a" { }; }"#);
    deployment.run(&["apply"]).expect(0);
    deployment.tamper("lost", &json!({ "serial": "serial-lost" }));
    for other in ["--forget", "a"] {
        deployment
            .run(&["gc", "--yes", "--orphans", other])
            .expect(64)
            .says("cannot be used with");
    }
    assert!(deployment.thing("lost").is_some());
}

#[test]
fn a_shell_takes_the_commands_that_are_printed() {
    let members = |name: &str| {
        format!(
            r#"{{ inherit state; zone.members.${{"{name}"}} = thing "a" {{ content = 1; }}; }}"#
        )
    };
    let deployment = Deployment::new(&members("example.org"));
    deployment.run(&["apply"]).expect(0);
    deployment.write(&members("it's"));
    let ran = deployment.run(&["gc", "--yes"]).expect(0);
    let (_, command) = ran.stdout.split_once("`nixops4-resources ").unwrap();
    let (command, _) = command.split_once('`').unwrap();
    let program = env!("CARGO_BIN_EXE_nixops4-resources");
    let mut shell = std::process::Command::new("sh");
    shell
        .args(["-c", &format!("{program} {command}")])
        .current_dir(deployment.path(""))
        .env("XDG_STATE_HOME", deployment.path("home"));
    crate::support::ran(&mut shell).expect(0);
    deployment.run(&["apply"]).expect(0).says("Nothing to do");
}

#[test]
fn what_is_protected_is_left_with_what_it_uses_and_the_rest_is_collected() {
    let deployment = Deployment::new(
        r#"{ inherit state; a = thing "a" { }; b = thing "b" { content = o.a.serial; protect = true; };
          c = thing "c" { content = o.d.serial; }; d = thing "d" { }; old = old "old" { };
          silent = thing "silent" { failOn = [ "read" ]; }; e = thing "e" { }; }"#,
    );
    deployment.run(&["apply"]).expect(0);
    let others = r#"inherit state; e = thing "e" { };"#;
    deployment.write(&format!("{{ {others} }}"));
    // Nobody could look at the last one.
    deployment
        .run(&["gc", "--yes"])
        .expect(1)
        .says("'a' is left alone: 'b' was made from it and stays")
        .says("'b' is left alone: it is protected: declare it again with `protect = false`")
        .says("silent\n      it cannot be looked at")
        .says("! old\n      \"")
        .says("\"v0\" was not started")
        .says("2 destroyed, 2 failed");
    assert_eq!(removed(&deployment), ["destroy c", "destroy d"]);
    // Nobody names it any more, and whoever does may ask it.
    let old = format!("{} v0", crate::support::provider().display());
    deployment
        .run(&["gc", "--yes", "--allow-provider", &old])
        .expect(1)
        .says("'old' is left alone: its provider cannot destroy")
        .says("1 failed");
    deployment
        .run(&["state", "rm", "--yes", "silent", "old"])
        .expect(0);
    deployment
        .run(&["gc", "--yes"])
        .expect(0)
        .says("Nothing to remove");
    deployment
        .run(&["destroy", "--yes"])
        .expect(1)
        .says("nothing was destroyed")
        .says("b: it is protected: declare it again");
    assert!(deployment.thing("e").is_some());
    // And that helps.
    deployment.write(&format!(
        r#"{{ {others} b = thing "b" {{ protect = false; }}; }}"#
    ));
    deployment.run(&["apply"]).expect(0);
    deployment.write(&format!("{{ {others} }}"));
    deployment
        .run(&["gc", "--yes"])
        .expect(0)
        .says("2 destroyed");
}

#[test]
fn what_stays_keeps_what_it_was_made_from() {
    let deployment = Deployment::new(
        r#"{ inherit state; a = thing "a" { }; b = thing "b" { content = o.a.serial; };
          c = thing "c" { }; }"#,
    );
    deployment.run(&["apply"]).expect(0);
    deployment.write(r#"{ inherit state; b = thing "b" { content = "other"; }; }"#);
    deployment
        .run(&["gc", "--yes"])
        .expect(0)
        .says("'a' is left alone: 'b' was made from it and stays")
        .says("1 destroyed");
    gone(&deployment, &["c"]);
    deployment.run(&["apply"]).expect(0);
    deployment
        .run(&["gc", "--yes"])
        .expect(0)
        .says("1 destroyed");
    gone(&deployment, &["a"]);
}

#[test]
fn a_protected_member_can_be_renamed() {
    let deployment =
        Deployment::new(r#"{ inherit state; a = thing "a" { protect = true; content = 1; }; }"#);
    deployment.run(&["apply"]).expect(0);
    deployment.write(r#"{ inherit state; z = thing "a" { protect = true; content = 2; }; }"#);
    deployment
        .run(&["gc", "--yes"])
        .expect(0)
        .never_says("declare it again")
        .says("nixops4-resources state mv a z");
}

#[test]
fn a_server_with_two_addresses_has_each_thing_once() {
    let deployment = Deployment::new(
        r#"{ inherit state; a = thing "a" { connection = "db1"; content = 1; };
          b = thing "b" { connection = "db1"; }; c = thing "c" { connection = "db1.example.org"; }; }"#,
    );
    deployment.run(&["apply"]).expect(0);
    // At either address all of them are listed.
    deployment
        .run(&["gc", "--orphans", "--yes"])
        .expect(0)
        .says("Nothing to remove");
    // Moved, renamed and changed at once, while others use the old address.
    deployment.write(
        r#"{ inherit state; z = thing "a" { connection = "db1.example.org"; content = 2; };
          b = thing "b" { connection = "db1"; }; }"#,
    );
    deployment
        .run(&["gc", "--yes"])
        .expect(0)
        .says("nixops4-resources state mv a z")
        .says("1 destroyed");
    gone(&deployment, &["c"]);
    deployment
        .run(&["gc", "--orphans", "--yes"])
        .expect(0)
        .says("Nothing to remove");
    assert!(deployment.thing("a").is_some() && deployment.thing("b").is_some());
}
