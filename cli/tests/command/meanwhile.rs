//! What others do between looking and writing.

use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use crate::support::{Deployment, Ran, ran};

/// How long a command may take to get there.
const PATIENCE: Duration = Duration::from_mins(1);

/// A deployment that was applied, so that it is remembered where its state is, and
/// whose next plan stops in the middle.
fn paused() -> Deployment {
    let deployment = Deployment::of_suite(
        r#"{ inherit state; a = thing "a" { content = "one"; }; b = thing "b" { }; }"#,
    );
    deployment.run(&["apply"]).expect(0);
    deployment.write(
        r#"{ inherit state; a = thing "a" { content = "two"; }; b = thing "b" { };
          c = thing "c" { waitFor = "${directory}/gate"; }; }"#,
    );
    deployment
}

/// Starts a command, and gives it back once its plan has stopped.
fn started(deployment: &Deployment, arguments: &[&str]) -> Child {
    let mut command = deployment.command(arguments);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let child = command.spawn().expect("it starts");
    let begun = Instant::now();
    while !deployment.path("gate.reached").exists() {
        assert!(begun.elapsed() < PATIENCE, "nobody plans");
        std::thread::sleep(Duration::from_millis(20));
    }
    child
}

/// Lets it go on, to its end.
fn ended(deployment: &Deployment, child: Child) -> Ran {
    std::fs::write(deployment.path("gate"), "").expect("the gate");
    let output = child.wait_with_output().expect("it ends");
    Ran {
        code: output.status.code(),
        stdout: String::from_utf8(output.stdout).expect("UTF-8"),
        stderr: String::from_utf8(output.stderr).expect("UTF-8"),
    }
}

#[test]
fn an_apply_looks_anew_if_another_was_quicker() {
    let deployment = paused();
    let first = started(&deployment, &["apply"]);
    deployment
        .run(&["apply"])
        .expect(0)
        .says("1 created, 1 updated");
    let recorded = std::fs::read(deployment.path("state")).unwrap();
    ended(&deployment, first)
        .expect(0)
        .says("Nothing to do: 3")
        .never_says("Plan: ");
    assert_eq!(deployment.times("update a"), 1);
    assert_eq!(deployment.times("create c"), 1);
    assert_eq!(std::fs::read(deployment.path("state")).unwrap(), recorded);
}

#[test]
fn what_another_renamed_is_not_made_anew() {
    let deployment = paused();
    let first = started(&deployment, &["apply"]);
    deployment.run(&["state", "mv", "b", "d"]).expect(0);
    ended(&deployment, first)
        .expect(0)
        .says("d  scratch_thing")
        .says("1 created, 1 updated");
    assert!(deployment.recorded("d").is_some());
}

#[test]
fn an_import_is_refused_if_another_was_quicker() {
    let deployment = paused();
    let c = serde_json::json!({ "content": "found", "serial": "serial-c" });
    deployment.tamper("c", &c);
    let first = started(&deployment, &["import", "c"]);
    deployment.run(&["import", "c"]).expect(0);
    let recorded = std::fs::read(deployment.path("state")).unwrap();
    ended(&deployment, first)
        .expect(1)
        .says("somebody else changed the state meanwhile")
        .says("state history");
    assert_eq!(std::fs::read(deployment.path("state")).unwrap(), recorded);
    ran(&mut deployment.command(&["import", "c"]))
        .expect(1)
        .says("it is recorded already");
}
