//! How the command behaves towards terminals, logs, shells and machines.

use std::io::{Read as _, Write as _};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

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

/// Interrupts a command at its question, as who sits at its terminal does, and says
/// yes afterwards: its exit code, and what was seen.
fn interrupted_at_the_question(deployment: &Deployment, arguments: &str) -> (Option<i32>, String) {
    // `script` gives it a terminal that Ctrl-C comes from.
    let command = format!(
        "exec {} {arguments}",
        env!("CARGO_BIN_EXE_nixops4-resources")
    );
    let mut child = Command::new("script")
        .args(["--quiet", "--return", "--command", &command, "/dev/null"])
        .current_dir(deployment.path(""))
        .env("XDG_STATE_HOME", deployment.path("home"))
        .env("NO_COLOR", "1")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let (mut keys, mut screen) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
    let mut seen = Vec::new();
    let mut bytes = [0; 1024];
    while let Ok(length @ 1..) = screen.read(&mut bytes) {
        seen.extend(&bytes[..length]);
        if seen.ends_with(b"Type yes: ") {
            keys.write_all(b"\x03").unwrap();
            std::thread::sleep(Duration::from_secs(2));
            // Nobody may be there any more.
            let _ = keys.write_all(b"yes\n");
        }
    }
    let code = child.wait().unwrap().code();
    (code, String::from_utf8_lossy(&seen).into_owned())
}

#[test]
fn interrupted_at_the_question_it_ends_and_changes_nothing() {
    let deployment = Deployment::new(r#"{ inherit state; a = thing "a" { }; }"#);
    deployment.run(&["apply"]).expect(0);
    let before = std::fs::read(deployment.path("state")).unwrap();
    let unharmed = |arguments: &str| {
        let (code, seen) = interrupted_at_the_question(&deployment, arguments);
        assert_eq!(code, Some(1), "{arguments}: {seen}");
        assert!(seen.contains("error: interrupted"), "{arguments}: {seen}");
        assert!(deployment.thing("a").is_some(), "{arguments}: {seen}");
        let now = std::fs::read(deployment.path("state")).unwrap();
        assert_eq!(now, before, "{arguments}: {seen}");
    };
    unharmed("destroy");
    unharmed("state rm a");
    deployment.write("{ inherit state; }");
    // Whoever keeps what it says is asked all the same.
    unharmed("gc >log");
    let kept = std::fs::read_to_string(deployment.path("log")).unwrap();
    assert!(kept.contains("- a") && !kept.contains("Really"), "{kept}");
}

#[test]
fn interrupted_while_it_looks_a_collection_ends() {
    let members = r#"{ inherit state; b = thing "b" { }; }"#;
    let with_a = members.replace("b =", r#"a = thing "a" { sleepReading = 20000; }; b ="#);
    let deployment = Deployment::new(&with_a);
    deployment.run(&["apply"]).expect(0);
    deployment.write(members);
    let begun = Instant::now();
    let child = deployment
        .command(&["gc", "--yes"])
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    while deployment.times("read-began a") == 0 {
        assert!(begun.elapsed() < Duration::from_secs(15), "nobody looks");
        std::thread::sleep(Duration::from_millis(20));
    }
    let interrupted = Command::new("kill")
        .args(["-INT", &child.id().to_string()])
        .status();
    assert!(interrupted.unwrap().success());
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("interrupted"), "{said}");
    assert!(
        begun.elapsed() < Duration::from_secs(19),
        "it was waited for"
    );
    assert!(deployment.thing("a").is_some());
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
