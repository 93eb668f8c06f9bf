//! How the command behaves towards terminals, logs, shells and machines.

use crate::secret::on_terminal;
use crate::support::{Deployment, ran};

#[test]
fn a_terminal_is_asked_before_anything_is_destroyed() {
    let deployment = Deployment::new(r#"{ inherit state; a = thing "a" { }; }"#);
    deployment.run(&["apply"]).expect(0);
    for answer in ["no\n", "y\n", "\n"] {
        let (code, seen) = on_terminal(&mut deployment.command(&["destroy"]), answer);
        assert_eq!(code, Some(1), "{seen}");
        assert!(seen.contains("Really delete 1?"), "{seen}");
        assert!(seen.contains("nothing was destroyed"), "{seen}");
        assert!(deployment.thing("a").is_some(), "{answer:?}");
    }
    let (code, seen) = on_terminal(&mut deployment.command(&["destroy"]), "yes\n");
    assert_eq!(code, Some(0), "{seen}");
    assert!(deployment.thing("a").is_none());
    assert!(seen.contains("1 destroyed"), "{seen}");
    deployment.run(&["apply"]).expect(0);
    deployment.write("{ inherit state; }");
    let (code, seen) = on_terminal(&mut deployment.command(&["gc"]), "no\n");
    assert_eq!(code, Some(1), "{seen}");
    assert!(deployment.thing("a").is_some());
    // A machine says it beforehand, or isn't asked.
    deployment
        .run(&["gc", "--json"])
        .expect(1)
        .says("there is nobody to ask");
}

#[test]
fn a_log_of_ci_has_lines_and_nothing_else() {
    let deployment = Deployment::new(
        r#"{ inherit state; a = thing "a" { }; b = thing "b" { failOn = [ "create" ]; }; }"#,
    );
    let mut command = deployment.command(&["apply"]);
    command
        .env_remove("NO_COLOR")
        .env("CI", "true")
        .env("TERM", "dumb");
    let ran = ran(&mut command).expect(1);
    // No colours, no line that is drawn again.
    for text in [&ran.stdout, &ran.stderr] {
        assert!(!text.contains(['\u{1b}', '\r', '⠋']), "{text:?}");
    }
    ran.says("  a  creating\n")
        .says("  a  created in ")
        .says("  b  could not be created")
        .says("told to fail on create");
}

#[test]
fn no_color_is_heard_on_a_terminal_too() {
    let deployment = Deployment::new(r#"{ inherit state; a = thing "a" { }; }"#);
    let (code, seen) = on_terminal(&mut deployment.command(&["plan"]), "");
    assert_eq!(code, Some(0), "{seen}");
    assert!(!seen.contains('\u{1b}'), "{seen:?}");
    let mut command = deployment.command(&["plan"]);
    command
        .env_remove("NO_COLOR")
        .env_remove("CI")
        .env("TERM", "xterm-256color");
    let (_, seen) = on_terminal(&mut command, "");
    assert!(seen.contains("\u{1b}["), "{seen:?}");
}

#[test]
fn processes_are_used_again_and_no_more_than_wanted_run() {
    let things: Vec<String> = (0..12)
        .map(|number| format!("t{number} = thing \"t{number}\" {{ sleep = 60; }};"))
        .collect();
    let deployment = Deployment::new(&format!("{{ inherit state; {} }}", things.concat()));
    let starts = deployment.path("starts");
    let mut command = deployment.command(&["apply", "--parallel", "3"]);
    command.env("SCRATCH_STARTS", &starts);
    ran(&mut command).expect(0).says("12 created");
    let started = std::fs::read_to_string(&starts).unwrap().lines().count();
    // Three that work, one that says what it is, one that makes the state and one
    // that keeps it.
    assert!(started <= 6, "{started} processes");
    let (mut running, mut most) = (0, 0);
    for line in deployment.log() {
        if line.starts_with("create-began") {
            running += 1;
        } else if line.starts_with("create ") {
            running -= 1;
        }
        most = most.max(running);
    }
    assert!((2..=3).contains(&most), "{most} at once");
}

#[test]
fn shells_are_told_the_commands() {
    let deployment = Deployment::new("{ inherit state; }");
    for (shell, says) in [
        ("bash", "complete -F"),
        ("zsh", "#compdef nixops4-resources"),
        ("fish", "complete -c nixops4-resources"),
    ] {
        deployment
            .run(&["completion", shell])
            .expect(0)
            .says(says)
            .says("destroy")
            .says("from-state");
    }
    deployment.run(&["completion", "csh"]).expect(64);
    // Each command says what it is for, and each option.
    for command in ["plan", "apply", "drift", "destroy", "gc", "import", "state"] {
        let help = deployment.run(&[command, "--help"]).expect(0);
        help.says("Usage: nixops4-resources").says("--json");
    }
}

#[test]
fn all_that_nix_says_is_shown_if_wanted() {
    let deployment =
        Deployment::new(r#"{ inherit state; a = thing "a" { content = { }.missing; }; }"#);
    let short = deployment.run(&["plan"]).expect(1).says("nixops4.nix");
    let long = deployment.run(&["plan", "--show-trace"]).expect(1);
    assert!(short.stderr.contains("missing"), "{}", short.stderr);
    assert!(
        long.stderr.lines().count() > short.stderr.lines().count(),
        "{}\n{}",
        short.stderr,
        long.stderr
    );
}
