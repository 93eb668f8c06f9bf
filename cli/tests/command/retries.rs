//! What is asked again: a provider, or what keeps the state, that ended in the
//! middle.

use serde_json::{Value, json};

use crate::support::{Deployment, Ran, as_documented};

fn retried(ran: &Ran) -> Vec<Value> {
    let events = ran.events().into_iter();
    events.filter(|event| event["event"] == "retried").collect()
}

#[test]
fn a_provider_that_ends_in_the_middle_is_asked_again() {
    let deployment = Deployment::new(
        r#"{ inherit state; a = thing "a" { dieWorking = "${directory}/died"; };
            b = thing "b" { content = o.a.serial; }; }"#,
    );
    let ran = deployment.run(&["apply", "--json"]).expect(0);
    assert_eq!(ran.summary()["created"], 2);
    let retried = retried(&ran);
    assert_eq!(retried.len(), 1, "{retried:?}");
    as_documented(&["event"], &retried[0]);
    assert_eq!(retried[0]["path"], json!(["a"]));
    assert_eq!(retried[0]["attempt"], 2);
    assert_eq!(retried[0]["of"], 3);
    let error = retried[0]["error"].as_str().unwrap();
    assert!(error.contains("without an answer"), "{error}");
    assert_eq!(deployment.times("create-began a"), 2);
    assert_eq!(deployment.times("create b"), 1);

    std::fs::remove_file(deployment.path("died")).unwrap();
    deployment
        .run(&["destroy", "--yes"])
        .expect(0)
        .says("a  is tried again (2 of 3)")
        .says("2 destroyed");
}

#[test]
fn it_is_asked_three_times_and_no_more() {
    let deployment = Deployment::new(
        r#"{ inherit state; a = thing "a" { dieWorking = "${directory}/died"; dieTimes = 9; };
            b = thing "b" { }; }"#,
    );
    let ran = deployment.run(&["apply", "--json"]).expect(1);
    assert_eq!(retried(&ran).len(), 2);
    assert_eq!(ran.summary()["created"], 1);
    assert_eq!(ran.summary()["failed"][0]["path"], json!(["a"]));
    assert_eq!(std::fs::read(deployment.path("died")).unwrap().len(), 3);
}

#[test]
fn what_does_not_say_so_is_not_asked_again() {
    // It knows v0 alone.
    let deployment =
        Deployment::new(r#"{ inherit state; a = old "a" { dieWorking = "${directory}/died"; }; }"#);
    let ran = deployment.run(&["apply", "--json"]).expect(1);
    assert_eq!(retried(&ran).len(), 0);
    assert_eq!(std::fs::read(deployment.path("died")).unwrap().len(), 1);
    // Nor is an error: its provider has tried as long as that makes sense.
    let deployment =
        Deployment::new(r#"{ inherit state; a = thing "a" { failOn = [ "create" ]; }; }"#);
    let ran = deployment.run(&["apply", "--json"]).expect(1);
    assert_eq!(retried(&ran).len(), 0);
    assert_eq!(deployment.times("create-began a"), 1);
}

#[test]
fn a_state_that_is_lost_in_the_middle_is_gone_on_with() {
    for when in ["dieBefore", "dieAfter"] {
        let deployment = Deployment::new(&format!(
            r#"{{ state = stateIn {{ file = "${{directory}}/state"; {when} = "${{directory}}/died"; }};
              a = thing "a" {{ }}; b = thing "b" {{ content = o.a.serial; }}; }}"#
        ));
        let ran = deployment.run(&["apply", "--json"]).expect(0);
        assert_eq!(ran.summary()["created"], 2, "{when}");
        let retried = retried(&ran);
        assert_eq!(retried.len(), 1, "{when}: {retried:?}");
        assert_eq!(retried[0]["path"], json!(["state"]), "{when}");
        // Each was made once, and recorded once.
        assert_eq!(deployment.times("create a"), 1, "{when}");
        let events = std::fs::read_to_string(deployment.path("state")).unwrap();
        let recorded = events
            .lines()
            .filter(|line| line.contains("\"/resources/a\"") && !line.contains("/resources/b"))
            .count();
        assert_eq!(recorded, 1, "{when}: {events}");
        deployment.run(&["plan", "--detailed-exitcode"]).expect(0);
    }
}

#[test]
fn what_others_recorded_before_the_state_was_lost_is_not_overwritten() {
    let members = |state: &str| {
        format!(
            r#"{{ state = stateIn {{ file = "${{directory}}/state"; {state} }};
              a = thing "a" {{ sleep = 1500; }};
              b = thing "b" {{ content = o.a.serial; size = 1; }}; }}"#
        )
    };
    let deployment = Deployment::new(&members(""));
    deployment.run(&["apply"]).expect(0);
    let again = members(r#"dieBefore = "${directory}/died";"#)
        .replace("sleep", "size = 2; sleep")
        .replace("size = 1", "size = 3");
    deployment.write(&again);
    let child = deployment
        .command(&["apply"])
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    while deployment.times("update-began a") == 0 {
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    // While `a` is worked on, somebody else records something of `b`; then the state
    // is lost when `a` is recorded, and read anew.
    let other = r#"[{"op": "add", "path": "/resources/b/input_properties/content", "value": 7}]"#;
    let file = deployment.path("state");
    let events = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, format!("{events}{other}\n")).unwrap();
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(
        said.contains("changed by somebody else meanwhile"),
        "{said}"
    );
    assert_eq!(
        deployment.recorded("b").unwrap()["input_properties"]["content"],
        7,
        "{said}"
    );
    deployment.run(&["apply"]).expect(0).says("1 recorded");
}
