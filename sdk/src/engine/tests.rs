use std::time::Duration;

use proptest::prelude::*;
use serde_json::{Value as Json, json};

use super::*;
use crate::Mark;
use crate::Retry;
use crate::model::{self, Model, calls, cx, object, put, record, wanted, world};

async fn apply(own: Json) -> Result<Object> {
    ensure::<Model>(&cx(), &wanted(own), None).await
}

async fn update(own: Json, recorded: &ExtantResource) -> Result<Object> {
    ensure::<Model>(&cx(), &wanted(own), Some(recorded)).await
}

fn comment(name: &str) -> String {
    world(|world| world.things[name].comment.clone().unwrap_or_default())
}

fn message(result: Result<impl std::fmt::Debug>) -> String {
    result.unwrap_err().to_string()
}

const OURS: &str = "nixops4-resources: owner=demo";
const OURS_RETAINED: &str = "nixops4-resources: owner=demo type=model_thing \
     since=2025-01-02T03:04:05Z retained-since=2026-01-02T03:04:05Z";
const OURS_OF_ANOTHER_TYPE: &str = "nixops4-resources: owner=demo type=model_tenant";
const THEIRS: &str = "nixops4-resources: owner=other";

fn assert_ours(name: &str) {
    let mark = Mark::find_in(&comment(name)).unwrap();
    assert_eq!(mark.owner.as_str(), "demo");
    assert_eq!(mark.resource_type.as_deref(), Some("model_thing"));
    assert!(mark.since.is_some() && mark.retained_since.is_none());
}

#[tokio::test]
async fn create_then_nothing_to_do() {
    let outputs = apply(json!({ "name": "a", "size": 3 })).await.unwrap();
    let expected = json!({ "name": "a", "serial": 1, "colour": "grey", "area": 9 });
    assert_eq!(outputs, object(expected));
    assert_ours("a");
    assert_eq!(calls(), ["look", "apply Create", "look"]);

    assert_eq!(
        apply(json!({ "name": "a", "size": 3 })).await.unwrap(),
        outputs
    );
    assert_eq!(calls(), ["look"]);
}

#[tokio::test]
async fn drift_is_repaired_step_by_step() {
    apply(json!({ "name": "a", "colour": "red" }))
        .await
        .unwrap();
    world(|world| {
        let thing = world.things.get_mut("a").unwrap();
        thing.colour = "blue".to_owned();
        thing.size = 99;
    });
    calls();
    apply(json!({ "name": "a", "colour": "red" }))
        .await
        .unwrap();
    assert_eq!(
        calls(),
        ["look", "apply Colour(\"red\")", "apply Size", "look"]
    );
}

#[tokio::test]
async fn what_is_foreign_is_refused_before_anything_else() {
    for (mark, whose) in [
        (None, "it carries no mark"),
        (Some("a comment of theirs"), "it carries no mark"),
        (Some(THEIRS), "it is marked as that of \"other\""),
        (
            Some("nixops4-resources: owner=other retained-since=2026-01-02T03:04:05Z"),
            "\"other\"",
        ),
    ] {
        put("a", mark);
        // A replacement would be refused as well, and must not be what is said.
        let error = message(apply(json!({ "name": "a", "size": 3, "shape": "round" })).await);
        assert!(
            error.starts_with("/adopt: thing \"a\" is there already"),
            "{error}"
        );
        assert!(error.contains(whose), "{error}");
        assert!(error.contains("set `adopt = true`"), "{error}");
        assert_eq!(calls(), ["look"]);
        assert_eq!(comment("a"), mark.unwrap_or_default());
    }
}

#[tokio::test]
async fn adopting_marks_first_and_changes_then() {
    put("a", Some(THEIRS));
    apply(json!({ "name": "a", "size": 3, "adopt": true }))
        .await
        .unwrap();
    assert_eq!(calls(), ["look", "mark a as demo", "apply Size", "look"]);
    assert_ours("a");
    apply(json!({ "name": "a", "size": 3, "adopt": true }))
        .await
        .unwrap();
    assert_eq!(calls(), ["look"]);
}

#[tokio::test]
async fn adopting_what_would_be_replaced_changes_nothing() {
    put("a", None);
    let wanted = json!({ "name": "a", "size": 3, "shape": "round", "adopt": true });
    let error = message(apply(wanted).await);
    assert!(
        error.starts_with("/shape: thing \"a\" can't be changed from null to \"round\""),
        "{error}"
    );
    assert!(error.contains("to replace it on purpose"), "{error}");
    assert_eq!(calls(), ["look"]);
    assert_eq!(comment("a"), "");
}

#[tokio::test]
async fn declaring_again_what_was_retained() {
    put("a", Some(OURS_RETAINED));
    apply(json!({ "name": "a" })).await.unwrap();
    assert_eq!(calls(), ["look", "mark a as demo", "look"]);
    let ours = "nixops4-resources: owner=demo type=model_thing since=2025-01-02T03:04:05Z";
    assert_eq!(comment("a"), ours);
}

#[tokio::test]
async fn what_belongs_to_another_type_of_the_same_deployment_is_refused() {
    put("a", Some(OURS_OF_ANOTHER_TYPE));
    let error = message(apply(json!({ "name": "a" })).await);
    let expected = "/adopt: thing \"a\" is there already and is no model_thing of \"demo\": it is \
                    marked as part of a model_tenant of the same deployment";
    assert!(error.starts_with(expected), "{error}");
    apply(json!({ "name": "a", "adopt": true })).await.unwrap();
    assert_ours("a");
}

#[tokio::test]
async fn a_mark_is_written_under_the_old_name_before_a_rename() {
    put("old", Some(OURS_RETAINED));
    let recorded = record(json!({ "name": "old" }), json!({ "serial": 1 }));
    let outputs = update(json!({ "name": "new" }), &recorded).await.unwrap();
    assert_eq!(outputs["name"], "new");
    assert_eq!(
        calls(),
        [
            "look",
            "mark old as demo",
            "apply Rename { from: \"old\" }",
            "look"
        ]
    );
    assert_ours("new");
}

#[tokio::test]
async fn relations_are_compared_by_value_alone() {
    put("a", None);
    world(|world| world.things.get_mut("a").unwrap().relation = true);
    apply(json!({ "name": "a", "size": 3 })).await.unwrap();
    assert_eq!(calls(), ["look", "apply Size", "look"]);
}

#[tokio::test]
async fn what_a_server_does_not_do_is_an_error() {
    world(|world| world.forgets = true);
    let error = message(apply(json!({ "name": "a" })).await);
    assert!(error.starts_with("thing \"a\" is gone again"), "{error}");

    put("b", Some(OURS));
    world(|world| world.deaf = true);
    let error = message(apply(json!({ "name": "b", "size": 3 })).await);
    assert!(
        error.starts_with("/size: thing \"b\" still has 10 here after it was set to 3"),
        "{error}"
    );

    put("c", None);
    world(|world| world.loses_marks = true);
    let error = message(apply(json!({ "name": "c", "adopt": true })).await);
    assert!(
        error.starts_with("thing \"c\" does not carry our mark"),
        "{error}"
    );
}

#[tokio::test]
async fn what_cannot_be_verified_is_done_each_time_and_is_no_error() {
    world(|world| world.hides = true);
    for _ in 0..2 {
        apply(json!({ "name": "a", "hidden": true })).await.unwrap();
    }
    assert_eq!(
        calls(),
        ["look", "apply Create", "look", "look", "apply Hide", "look"]
    );
}

#[tokio::test]
async fn a_busy_server_is_asked_again_from_the_start() {
    let busy = Error::new("too many").retry(Retry::UntilDeadline);
    let away = Error::new("starting").retry(Retry::Briefly);
    world(|world| world.failures.extend([busy.clone(), away, busy]));
    apply(json!({ "name": "a" })).await.unwrap();
    assert_eq!(
        calls(),
        ["look", "look", "look", "look", "apply Create", "look"]
    );

    world(|world| world.failures.push_back(Error::new("no")));
    assert_eq!(message(apply(json!({ "name": "a" })).await), "no");
    assert_eq!(calls(), ["look"]);
}

#[tokio::test]
async fn an_interruption_ends_it_after_the_step() {
    put("a", Some(OURS));
    let (cx, flag) = model::request(Duration::from_mins(1));
    world(|world| world.interrupts = Some(flag));
    let two_steps = wanted(json!({ "name": "a", "colour": "red", "size": 3 }));
    let error = message(ensure::<Model>(&cx, &two_steps, None).await);
    assert!(
        error.starts_with("interrupted before everything was done"),
        "{error}"
    );
    assert_eq!(calls(), ["look", "apply Colour(\"red\")"]);
}

#[tokio::test]
async fn an_interruption_of_the_last_step_loses_nothing() {
    let (cx, flag) = model::request(Duration::from_mins(1));
    world(|world| world.interrupts = Some(flag));
    let outputs = ensure::<Model>(&cx, &wanted(json!({ "name": "a" })), None).await;
    assert_eq!(outputs.unwrap()["serial"], 1);
}

#[tokio::test]
async fn no_step_begins_after_the_deadline() {
    let (cx, _) = model::request(Duration::ZERO);
    let error = message(ensure::<Model>(&cx, &wanted(json!({ "name": "a" })), None).await);
    assert!(
        error.starts_with("the time for this request is over"),
        "{error}"
    );
    assert!(error.contains("NIXOPS4_RESOURCES_TIMEOUT"), "{error}");
    assert_eq!(calls(), ["look"]);
}

#[tokio::test]
async fn an_unreadable_record_names_the_field() {
    let broken = record(json!({ "name": "a" }), json!({ "serial": "x" }));
    let error = message(update(json!({ "name": "a" }), &broken).await);
    assert!(
        error.contains("/outputs/serial: expected a whole number"),
        "{error}"
    );
    assert_eq!(calls(), [""; 0]);
}

async fn remove(policy: Option<DeletionPolicy>) -> Result<()> {
    let recorded = record(json!({ "name": "a" }), json!({ "serial": 1 }));
    destroy::<Model>(&cx(), &recorded, policy).await
}

#[tokio::test]
async fn destroying_twice() {
    apply(json!({ "name": "a" })).await.unwrap();
    calls();
    remove(Some(DeletionPolicy::Delete)).await.unwrap();
    assert_eq!(calls(), ["look", "delete", "look"]);
    remove(Some(DeletionPolicy::Delete)).await.unwrap();
    assert_eq!(calls(), ["look"]);
}

#[tokio::test]
async fn retaining_is_the_default_where_the_kind_says_so() {
    apply(json!({ "name": "a" })).await.unwrap();
    calls();
    remove(None).await.unwrap();
    assert_eq!(calls(), ["look", "mark a as demo retained", "look"]);
    let since = comment("a");
    remove(None).await.unwrap();
    assert_eq!(calls(), ["look"]);
    assert_eq!(comment("a"), since);
    // The author may say afterwards that the data can go.
    remove(Some(DeletionPolicy::Delete)).await.unwrap();
    assert!(world(|world| world.things.is_empty()));
}

#[tokio::test]
async fn a_kind_has_the_last_word_on_deletion() {
    apply(json!({ "name": "a", "colour": "gold" }))
        .await
        .unwrap();
    assert_eq!(
        message(remove(Some(DeletionPolicy::Delete)).await),
        "gold is never removed"
    );
    apply(json!({ "name": "a", "colour": "silver" }))
        .await
        .unwrap();
    calls();
    remove(Some(DeletionPolicy::Delete)).await.unwrap();
    assert_eq!(calls(), ["look", "mark a as demo retained", "look"]);
}

#[tokio::test]
async fn what_is_not_ours_is_not_destroyed() {
    for (mark, whose) in [
        (None, "no mark any more"),
        (Some(THEIRS), "that of \"other\""),
    ] {
        put("a", mark);
        world(|world| world.things.get_mut("a").unwrap().serial = 1);
        let error = message(remove(Some(DeletionPolicy::Delete)).await);
        assert!(error.starts_with("thing \"a\" is not destroyed"), "{error}");
        assert!(error.contains(whose), "{error}");
        assert_eq!(calls(), ["look"]);
    }
}

#[tokio::test]
async fn what_a_server_does_not_remove_is_an_error() {
    apply(json!({ "name": "a" })).await.unwrap();
    world(|world| world.deaf = true);
    let error = message(remove(Some(DeletionPolicy::Delete)).await);
    assert!(error.starts_with("thing \"a\" is still there"), "{error}");
    world(|world| world.loses_marks = true);
    let error = message(remove(None).await);
    assert!(
        error.starts_with("thing \"a\" is not marked as retained"),
        "{error}"
    );
}

#[tokio::test]
async fn reading_and_listing_change_nothing() {
    put("theirs", Some(THEIRS));
    put("ours", Some(OURS));
    let theirs = read::<Model>(&cx(), &wanted(json!({ "name": "theirs" })), None).await;
    assert_eq!(theirs.unwrap().unwrap()["serial"], 1);
    let none = read::<Model>(&cx(), &wanted(json!({ "name": "none" })), None).await;
    assert_eq!(none.unwrap(), None);
    let listed = list::<Model>(&cx(), &wanted(json!({ "name": "x" })))
        .await
        .unwrap();
    let identities: Vec<_> = listed.iter().map(|thing| &thing.identity["name"]).collect();
    assert_eq!(identities, ["ours"]);
    assert_eq!(calls(), ["look", "look"]);
}

#[test]
fn a_long_value_is_cut() {
    let value = crate::Value::known("x".repeat(1000));
    assert!(show(&value).len() < 120);
}

prop_compose! {
    fn inputs()(
        colour in prop::option::of("red|blue|grey"), size in 0u32..4, hidden: bool,
        shape in prop::option::weighted(0.2, "round|flat"),
    ) -> Json {
        json!({ "name": "a", "colour": colour, "size": size, "hidden": hidden, "shape": shape })
    }
}

proptest! {
    /// Whatever was there: after it was applied nothing is left to do, or it
    /// was refused and nothing has changed.
    #[test]
    fn applying_leaves_no_difference(first in inputs(), second in inputs()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            world(|world| *world = model::World::default());
            apply(first).await.unwrap();
            let before = world(|world| world.things.clone());
            calls();
            match apply(second.clone()).await {
                Ok(outputs) => {
                    calls();
                    assert_eq!(apply(second).await.unwrap(), outputs);
                    assert_eq!(calls(), ["look"]);
                }
                Err(error) => {
                    assert_eq!(error.pointer(), Some("/shape"));
                    assert_eq!(world(|world| world.things.clone()), before);
                }
            }
        });
    }
}
