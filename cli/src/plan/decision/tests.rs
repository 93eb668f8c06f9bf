use std::collections::BTreeMap;

use nixops4_protocol::message::{Action as Planned, PlanResourceResponse};
use nixops4_protocol::state::RecordedResource;
use serde_json::{Value, json};

use super::{Decision, Work, at_default, compare, duplicates, from_plan, refusal, type_change};
use crate::eval::Member;
use crate::member::MemberPath;
use crate::report::Action;
use crate::schema::member;

fn stateful(inputs: Value, unknown: &[&str]) -> Member {
    Member {
        state: Some(MemberPath(vec!["state".to_owned()])),
        ..member(inputs, unknown)
    }
}

fn recorded(inputs: &Value, outputs: &Value) -> RecordedResource {
    serde_json::from_value(json!({
        "type": "thing", "input_properties": inputs, "output_properties": outputs,
    }))
    .unwrap()
}

fn planned(action: Planned, outputs: &Value, unknown_outputs: &[&str]) -> PlanResourceResponse {
    PlanResourceResponse {
        identity: json!("x"),
        action,
        changes: Vec::new(),
        output_properties: outputs.as_object().unwrap().clone(),
        unknown_outputs: unknown_outputs.iter().map(ToString::to_string).collect(),
    }
}

fn came_to(decision: &Decision) -> (Action, Work, Value) {
    (
        decision.action,
        decision.work,
        Value::Object(decision.outputs.clone()),
    )
}

#[test]
fn without_a_plan_the_record_decides() {
    let record = || Some(recorded(&json!({"a": 1}), &json!({"o": 1})));
    for (member, record, expected) in [
        (
            stateful(json!({"a": 1}), &[]),
            None,
            (Action::Create, Work::Create, json!({})),
        ),
        (
            stateful(json!({"a": 1}), &[]),
            record(),
            (Action::None, Work::Nothing, json!({"o": 1})),
        ),
        (
            stateful(json!({"a": 2}), &[]),
            record(),
            (Action::Update, Work::Update, json!({})),
        ),
        (
            stateful(json!({"a": 1, "b": null}), &["/b"]),
            record(),
            (Action::Update, Work::Update, json!({})),
        ),
        (
            member(json!({"a": 1}), &[]),
            None,
            (Action::Ensure, Work::Create, json!({})),
        ),
    ] {
        assert_eq!(came_to(&compare(&member, record.as_ref())), expected);
    }
}

#[test]
fn with_a_plan_the_provider_decides() {
    let known = || stateful(json!({"a": 1}), &[]);
    let unknown = || stateful(json!({"a": null}), &["/a"]);
    let stateless = || member(json!({"a": 1}), &[]);
    let same = || Some(recorded(&json!({"a": 1}), &json!({"o": 1})));
    let other = || Some(recorded(&json!({"a": 0}), &json!({"o": 1})));
    let o = || json!({"o": 1});
    for (name, member, record, plan, expected) in [
        (
            "as recorded",
            known(),
            same(),
            planned(Planned::None, &o(), &[]),
            (Action::None, Work::Nothing, o()),
        ),
        (
            "as wanted, but recorded with other inputs",
            known(),
            other(),
            planned(Planned::None, &o(), &[]),
            (Action::Record, Work::Update, o()),
        ),
        (
            "as wanted, but recorded with other outputs",
            known(),
            same(),
            planned(Planned::None, &json!({"o": 2}), &[]),
            (Action::Record, Work::Update, json!({"o": 2})),
        ),
        (
            "as wanted, an absent output is null",
            known(),
            same(),
            planned(Planned::None, &json!({"o": 1, "p": null}), &[]),
            (Action::None, Work::Nothing, o()),
        ),
        (
            "as wanted, never recorded",
            known(),
            None,
            planned(Planned::None, &o(), &[]),
            (Action::Record, Work::Create, o()),
        ),
        (
            "as wanted so far",
            unknown(),
            same(),
            planned(Planned::None, &o(), &[]),
            (Action::Update, Work::Update, o()),
        ),
        (
            "no state, all outputs",
            stateless(),
            None,
            planned(Planned::None, &o(), &[]),
            (Action::None, Work::Nothing, o()),
        ),
        (
            "no state, not all outputs",
            stateless(),
            None,
            planned(Planned::None, &o(), &["p"]),
            (Action::Ensure, Work::Create, o()),
        ),
        (
            "gone, though recorded",
            known(),
            same(),
            planned(Planned::Create, &o(), &[]),
            (Action::Create, Work::Update, o()),
        ),
        (
            "drifted",
            known(),
            same(),
            planned(Planned::Update, &o(), &[]),
            (Action::Update, Work::Update, o()),
        ),
        (
            "drifted, no state",
            stateless(),
            None,
            planned(Planned::Update, &o(), &[]),
            (Action::Update, Work::Create, o()),
        ),
        (
            "refused",
            known(),
            same(),
            planned(Planned::Refuse, &o(), &[]),
            (Action::Refuse, Work::Nothing, o()),
        ),
    ] {
        let decision = from_plan(&member, record.as_ref(), plan);
        assert_eq!(came_to(&decision), expected, "{name}");
        assert_eq!(
            decision.is_settled(),
            decision.action == Action::None,
            "{name}"
        );
    }
}

#[test]
fn another_type_is_no_update() {
    let record = recorded(&json!({}), &json!({}));
    let mut wanted = stateful(json!({}), &[]);
    assert_eq!(type_change(&wanted, &record), None);
    "other".clone_into(&mut wanted.kind);
    let message = type_change(&wanted, &record).unwrap();
    assert!(message.contains("'m' is recorded as thing"), "{message}");
}

#[test]
fn a_refusal_is_told_in_the_providers_words() {
    let with = |changes: Value| {
        let mut decision = compare(&stateful(json!({}), &[]), None);
        decision.changes = serde_json::from_value(changes).unwrap();
        refusal(&decision)
    };
    let change = |path: &str, effect: &str, note: Option<&str>| json!({"path": path, "before": "unknown", "after": "unknown", "effect": effect, "note": note});
    assert_eq!(
        with(json!([change("", "inPlace", Some("it is foreign"))])),
        "it is foreign"
    );
    assert_eq!(with(json!([change("/a", "replace", Some("no"))])), "/a: no");
    assert!(with(json!([change("/a", "replace", None)])).starts_with("/a cannot be changed"));
    assert!(with(json!([])).contains("does not say why"));
}

#[test]
fn only_what_is_set_to_its_default_for_the_first_time_is_at_default() {
    let changes: Vec<nixops4_protocol::message::Change> = serde_json::from_value(json!([
        {"path": "/a", "before": {"known": null}, "after": {"known": 1}, "effect": "inPlace"},
        {"path": "/b", "before": {"known": 2}, "after": {"known": 1}, "effect": "inPlace"},
        {"path": "/c", "before": {"known": null}, "after": {"known": 2}, "effect": "inPlace"},
        {"path": "/d", "before": {"known": null}, "after": "unknown", "effect": "inPlace"},
        {"path": "/e", "before": {"known": null}, "after": {"known": 1}, "effect": "inPlace"},
    ]))
    .unwrap();
    let schema = json!({"properties": {
        "a": {"default": 1}, "b": {"default": 1}, "c": {"default": 1}, "d": {"default": 1}, "e": {},
    }});
    assert_eq!(at_default(&changes, schema.as_object().unwrap()), ["/a"]);
}

#[test]
fn the_same_identity_of_the_same_type_is_the_same_thing() {
    let identity = |identity: Value| Decision {
        identity,
        ..compare(&stateful(json!({}), &[]), None)
    };
    let path = |name: &str| MemberPath(vec![name.to_owned()]);
    let (x, y, nobody) = (
        identity(json!("x")),
        identity(json!("y")),
        identity(json!(null)),
    );
    let paths: BTreeMap<&str, MemberPath> = ["a", "b", "c", "d", "e", "f"]
        .into_iter()
        .map(|name| (name, path(name)))
        .collect();
    let found = duplicates([
        (&paths["a"], "thing", &x),
        (&paths["b"], "thing", &y),
        (&paths["c"], "thing", &x),
        (&paths["d"], "other", &x),
        (&paths["e"], "thing", &nobody),
        (&paths["f"], "thing", &nobody),
    ]);
    assert_eq!(
        found,
        [("thing".to_owned(), json!("x"), vec![path("a"), path("c")])]
    );
}
