//! What is not ours is left alone unless the author says otherwise.

use serde_json::json;

use super::fixture::Fixture;
use super::place::{Place, Thing};

/// What somebody made by hand.
pub fn foreign_is_refused_and_adopted<F: Fixture>() {
    let at = Place::<F>::new();
    let mut thing = at.thing("foreign");
    if !at.fixture.make_unmarked(&thing.name) {
        // Every thing of this kind has an owner: the next check is the one.
        return;
    }
    at.fixture.put_data(&thing.name);
    let everything = at.fixture.everything();
    assert_refused(&thing, "it carries no mark");
    adopt(&mut thing);
    assert!(at.fixture.has_data(&thing.name));
    assert_eq!(at.fixture.everything(), everything);
    at.fixture.vanish(&thing.name);

    // A mark that somebody removed: it is not ours to remove any more.
    let mut lost = at.thing("unmarked");
    lost.create();
    at.fixture.unmark(&lost.name);
    let error = lost
        .try_destroy(Some("delete"))
        .expect_err("it carries no mark");
    assert!(error.contains("is not destroyed"), "{error}");
    assert!(error.contains("it carries no mark any more"), "{error}");
    assert!(lost.is_there());
}

/// What another deployment made.
pub fn another_owners_is_refused_and_adopted<F: Fixture>() {
    if !F::OWNED {
        return;
    }
    let at = Place::<F>::new();
    let mut theirs = at.thing("theirs");
    theirs.set("/owner", "somebody-else").create();
    at.fixture.put_data(&theirs.name);
    let everything = at.fixture.everything();
    let mut ours = theirs.clone();
    ours.record = None;
    ours.set("/owner", "conformance");
    assert_refused(&ours, "\"somebody-else\"");
    adopt(&mut ours);
    assert!(at.fixture.has_data(&ours.name));
    assert_eq!(at.fixture.everything(), everything);

    // Now it is theirs no more.
    assert_refused(&theirs, "\"conformance\"");
    let look = ours.look();
    for policy in ["delete", "retain"] {
        let error = theirs.try_destroy(Some(policy)).expect_err("it is ours");
        assert!(error.contains("is not destroyed"), "{error}");
        assert!(error.contains("\"conformance\""), "{error}");
    }
    assert_eq!(ours.look(), look);
    at.fixture.vanish(&ours.name);
}

/// What another deployment retained is still another's.
pub fn a_retained_thing_of_another_owner_is_refused<F: Fixture>() {
    if !F::OWNED {
        return;
    }
    let at = Place::<F>::new();
    let mut theirs = at.thing("kept");
    theirs.set("/owner", "somebody-else").create();
    theirs.destroy(Some("retain"));
    let mut ours = theirs.clone();
    ours.record = None;
    ours.set("/owner", "conformance");
    assert_refused(&ours, "\"somebody-else\"");
    adopt(&mut ours);
    assert!(at.fixture.is_in_service(&ours.name));
}

/// Panics unless plan, create and, if it was recorded, update refuse, name
/// `adopt` and say whose it is, with nothing changed.
fn assert_refused<F: Fixture>(thing: &Thing<'_, F>, whose: &str) {
    let look = thing.look();
    let plan = thing.plan();
    assert_eq!(plan.action, "refuse", "{}", plan.whole);
    let change = &plan.whole["changes"][0];
    let note = change["note"].as_str().expect("a reason");
    let pointer = change["path"].as_str().expect("a pointer");
    let mut refusals = vec![
        format!("{pointer}: {note}"),
        thing.clone().try_create().expect_err("it is foreign"),
    ];
    if thing.record.is_some() {
        refusals.push(thing.clone().try_update().expect_err("it is foreign"));
    }
    for refusal in refusals {
        assert!(refusal.starts_with("/adopt: "), "{refusal}");
        assert!(refusal.contains(&thing.name), "{refusal}");
        assert!(refusal.contains(whose), "{refusal}");
        assert!(refusal.contains("\nhint: set `adopt = true`"), "{refusal}");
    }
    assert_eq!(thing.look(), look);
}

/// Adopts a thing; afterwards it is like any other of ours.
fn adopt<F: Fixture>(thing: &mut Thing<'_, F>) {
    thing.set("/adopt", true);
    let plan = thing.plan();
    assert_eq!(plan.action, "update", "{}", plan.whole);
    assert!(plan.pointers.contains("/owner"), "{}", plan.whole);
    let outputs = thing.create();
    thing.assert_settled();
    let version = thing.version();
    // Adopting is for once: without it nothing changes.
    thing.inputs.remove("adopt");
    thing.assert_settled();
    assert_eq!(json!(thing.update()), json!(outputs));
    assert_eq!(thing.version(), version);
}
