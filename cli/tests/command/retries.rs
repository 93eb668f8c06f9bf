//! What is asked again: a provider, or what keeps the state, that ended in the
//! middle.

use serde_json::{Value, json};

use crate::support::{Deployment, Ran};

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
    let (_, event) = nixops4_resources::report::schemas();
    let schema = jsonschema::draft202012::new(event.as_value()).unwrap();
    schema
        .validate(&retried[0])
        .map_err(|error| error.to_string())
        .unwrap();
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
