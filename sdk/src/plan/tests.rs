use serde_json::json;

use super::*;
use crate::model::{self, Model, calls, cx, object, properties, put, record, world};
use crate::{engine, inputs};

const OURS: &str = "nixops4-resources: owner=demo";

/// Plans as a provider does.
async fn plan(own: Value, unknown: &[&str], recorded: Option<ExtantResource>) -> Planned {
    match try_plan(own, unknown, recorded).await {
        Ok(response) => Planned(response),
        Err(error) => panic!("{error}"),
    }
}

async fn try_plan(
    own: Value,
    unknown: &[&str],
    recorded: Option<ExtantResource>,
) -> Result<PlanResourceResponse> {
    let request = PlanResourceRequest {
        r#type: Model::TYPE.to_owned(),
        input_properties: properties(own),
        unknown_inputs: unknown.iter().map(ToString::to_string).collect(),
        resource: recorded,
    };
    let shape = Shape::of::<Model>();
    let known = Known::new(&request, &shape)?;
    let recorded = request.resource.as_ref();
    if known.hides::<Model>(&shape) {
        return unseen(&known, recorded, &shape);
    }
    let wanted = inputs::parse_types::<Model>(&known.properties)?;
    super::plan::<Model>(&cx(), &wanted, &known, recorded, &shape).await
}

#[derive(Debug)]
struct Planned(PlanResourceResponse);

impl Planned {
    fn changes(&self) -> Vec<String> {
        let show = |value: &PlannedValue| match value {
            PlannedValue::Known(value) => value.to_string(),
            PlannedValue::Unknown => "?".to_owned(),
            PlannedValue::Sensitive => "*".to_owned(),
        };
        let changes = self.0.changes.iter();
        changes
            .map(|change| {
                let (before, after) = (show(&change.before), show(&change.after));
                let note = change.note.as_ref().map(|note| format!(" ({note})"));
                format!(
                    "{} {before} -> {after}{}",
                    change.path,
                    note.unwrap_or_default()
                )
            })
            .collect()
    }

    #[track_caller]
    fn is(&self, action: Action, changes: &[&str], certain: Value, open: &[&str]) {
        assert_eq!(self.0.action, action, "{self:?}");
        assert_eq!(self.changes(), changes);
        assert_eq!(self.0.output_properties, object(certain));
        assert_eq!(self.0.unknown_outputs, open);
    }
}

async fn apply(own: Value) -> Object {
    let outputs = engine::ensure::<Model>(&cx(), &model::wanted(own), None).await;
    calls();
    outputs.unwrap()
}

#[tokio::test]
async fn nothing_right_after_a_create() {
    let own = json!({ "name": "a", "colour": "red", "hidden": true });
    let outputs = apply(own.clone()).await;
    for recorded in [
        None,
        Some(record(own.clone(), Value::Object(outputs.clone()))),
    ] {
        let planned = plan(own.clone(), &[], recorded).await;
        planned.is(Action::None, &[], Value::Object(outputs.clone()), &[]);
        assert_eq!(planned.0.identity, json!({ "name": "a" }));
    }
    assert_eq!(calls(), ["look", "look"]);
}

#[tokio::test]
async fn create_predicts_what_is_certain() {
    let planned = plan(json!({ "name": "a", "size": 3, "shape": null }), &[], None).await;
    planned.is(
        Action::Create,
        &[
            "/owner null -> \"demo\"",
            "/name null -> \"a\"",
            "/size null -> 3",
        ],
        json!({ "name": "a", "area": 9 }),
        &["serial", "colour"],
    );
    assert_eq!(calls(), ["look"]);
}

#[tokio::test]
async fn update_keeps_what_lasts() {
    apply(json!({ "name": "a", "colour": "red" })).await;
    let planned = plan(json!({ "name": "a", "size": 3 }), &[], None).await;
    planned.is(
        Action::Update,
        &["/size 10 -> 3"],
        json!({ "serial": 1, "name": "a", "area": 9 }),
        &["colour"],
    );
}

#[tokio::test]
async fn a_thing_that_is_gone_is_created() {
    let recorded = record(json!({ "name": "a" }), json!({ "serial": 7 }));
    let planned = plan(json!({ "name": "a" }), &[], Some(recorded)).await;
    assert_eq!(planned.0.action, Action::Create);
    assert_eq!(planned.0.unknown_outputs, ["serial", "colour"]);
}

#[tokio::test]
async fn a_replacement_is_refused_and_certain_of_nothing() {
    put("a", Some(OURS));
    let planned = plan(json!({ "name": "a", "shape": "round" }), &[], None).await;
    assert_eq!(planned.0.action, Action::Refuse);
    assert_eq!(planned.0.changes[0].path, "/shape");
    assert_eq!(planned.0.changes[0].effect, Effect::Replace);
    assert!(planned.changes()[0].contains("to replace it on purpose"));
    assert_eq!(planned.0.output_properties, Object::new());
}

#[tokio::test]
async fn what_is_foreign_is_refused_without_telling_its_outputs() {
    put("a", None);
    let planned = plan(json!({ "name": "a" }), &[], None).await;
    let Planned(response) = &planned;
    assert_eq!(response.action, Action::Refuse);
    assert_eq!(response.changes[0].path, "/adopt");
    let note = response.changes[0].note.as_deref().unwrap();
    assert!(note.starts_with("thing \"a\" is there already"), "{note}");
    assert_eq!(response.output_properties, Object::new());
    assert_eq!(
        response.unknown_outputs,
        ["name", "serial", "colour", "area"]
    );
}

#[tokio::test]
async fn taking_over_says_from_whom() {
    let open = &["colour"];
    let certain = json!({ "serial": 1, "name": "a", "area": 100 });
    let adopting = json!({ "name": "a", "adopt": true });
    put("a", Some("nixops4-resources: owner=other"));
    plan(adopting.clone(), &[], None).await.is(
        Action::Update,
        &["/owner \"other\" -> \"demo\" (it is there already, and is taken over)"],
        certain.clone(),
        open,
    );
    world(|world| world.things.get_mut("a").unwrap().comment = None);
    plan(adopting, &[], None).await.is(
        Action::Update,
        &["/owner null -> \"demo\" (it is there already, and is taken over)"],
        certain.clone(),
        open,
    );
    let retained = format!("{OURS} retained-since=2026-01-02T03:04:05Z");
    world(|world| world.things.get_mut("a").unwrap().comment = Some(retained));
    plan(json!({ "name": "a" }), &[], None).await.is(
        Action::Update,
        &["/owner \"demo (retained on 2026-01-02)\" -> \"demo\" \
           (it was retained, and comes back into service)"],
        certain,
        open,
    );
}

#[tokio::test]
async fn sensitive_values_are_marks() {
    put("a", Some(OURS));
    let planned = plan(json!({ "name": "a", "hidden": true }), &[], None).await;
    assert_eq!(planned.changes(), ["/hidden * -> *"]);
    world(|world| world.hides = true);
    let planned = plan(json!({ "name": "a", "hidden": true }), &[], None).await;
    assert_eq!(planned.changes(), ["/hidden * -> * (nobody can see it)"]);
}

#[tokio::test]
async fn without_its_place_nothing_is_looked_for() {
    for unknown in [
        &["/name"][..],
        &["/owner"],
        &["/adopt"],
        &["/name/deep/inside"],
        &[""],
    ] {
        let planned = plan(json!({ "name": "a", "size": 3 }), unknown, None).await;
        let Planned(response) = &planned;
        assert_eq!(response.action, Action::Create, "{unknown:?}");
        assert_eq!(response.identity, Value::Null);
        assert_eq!(response.output_properties, Object::new());
        assert_eq!(response.unknown_outputs.len(), 4);
    }
    assert_eq!(calls(), [""; 0]);
}

#[tokio::test]
async fn without_its_place_the_record_is_compared() {
    let recorded = record(json!({ "name": "a", "size": 3, "colour": null }), json!({}));
    let own = json!({ "name": "?", "size": 4, "shape": "round" });
    let planned = plan(own, &["/name"], Some(recorded)).await;
    planned.is(
        Action::Update,
        &["/size 3 -> 4", "/shape null -> \"round\"", "/name ? -> ?"],
        json!({}),
        &["name", "serial", "colour", "area"],
    );
}

#[tokio::test]
async fn an_open_input_is_neither_compared_nor_predicted_from() {
    put("a", Some(OURS));
    // Unset, the colour is left alone: nothing must be said of it.
    let planned = plan(json!({ "name": "a", "colour": "?" }), &["/colour"], None).await;
    planned.is(
        Action::Update,
        &["/colour ? -> ?"],
        json!({ "serial": 1, "name": "a", "area": 100 }),
        &["colour"],
    );
    // The default of the size is no size that anybody asked for.
    world(|world| world.things.get_mut("a").unwrap().size = 3);
    let planned = plan(json!({ "name": "a" }), &["/size"], None).await;
    planned.is(
        Action::Update,
        &["/size ? -> ?"],
        json!({ "serial": 1 }),
        &["name", "colour", "area"],
    );
}

#[tokio::test]
async fn an_open_input_replaces_nothing() {
    put("a", Some(OURS));
    let planned = plan(json!({ "name": "a", "shape": "round" }), &["/shape"], None).await;
    assert_eq!(planned.0.action, Action::Update);
    assert_eq!(planned.changes(), ["/shape ? -> ?"]);
    // But what is known to need a replacement is refused now.
    let planned = plan(json!({ "name": "a", "shape": "round" }), &["/colour"], None).await;
    assert_eq!(planned.0.action, Action::Refuse);
}

#[tokio::test]
async fn inputs_that_are_open_are_not_validated_together() {
    let own = json!({ "name": "a", "size": 200 });
    assert!(inputs::parse::<Model>(&properties(own.clone())).is_err());
    let planned = plan(own, &["/shape"], None).await;
    assert_eq!(planned.0.action, Action::Create);
}

#[tokio::test]
async fn a_name_that_is_no_input_is_refused_known_or_not() {
    for (own, unknown, expected) in [
        (
            json!({ "nmae": 1 }),
            &["/name"][..],
            "/nmae: unknown field \"nmae\"",
        ),
        (
            json!({ "name": "a" }),
            &["/clour"],
            "/clour: unknown field \"clour\"",
        ),
        (
            json!({ "name": "a" }),
            &["name"],
            "unknownInputs holds \"name\"",
        ),
    ] {
        let error = try_plan(own, unknown, None).await.unwrap_err().to_string();
        assert!(error.starts_with(expected), "{error}");
    }
    let error = try_plan(json!({}), &["/clour"], None)
        .await
        .unwrap_err()
        .to_string();
    assert!(error.ends_with("hint: did you mean \"colour\"?"), "{error}");
}

#[test]
fn escaped_pointers() {
    assert_eq!(first_token("a~1b/c"), "a/b");
    assert_eq!(first_token("~01"), "~1");
}
