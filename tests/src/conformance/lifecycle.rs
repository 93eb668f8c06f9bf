//! Made, left alone, changed, changed by others, renamed, removed.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::fixture::{Fixture, Loss, Verdict};
use super::place::{Place, Planned, Thing, planned};
use crate::messages;

/// It is made, the outputs are those that are declared, and from then on neither
/// create nor update changes anything.
pub fn created_and_left_alone<F: Fixture>() {
    let at = Place::<F>::new();
    let mut thing = at.thing("made");
    let before = thing.plan();
    assert_eq!(before.action, "create");
    for name in thing.inputs.keys() {
        assert!(before.pointers.contains(&format!("/{name}")), "{name}");
    }
    assert!(!thing.is_there(), "a plan changes nothing");
    let read = |thing: &Thing<'_, F>| {
        let resource = thing.resource();
        at.send(&messages::read(F::TYPE, &thing.inputs, resource.as_ref()))
            .expect("it can be read")
    };
    assert_eq!(read(&thing)["present"], false);

    let outputs = thing.create();
    at.assert_only(&[&thing.name]);
    assert!(at.fixture.is_in_service(&thing.name));
    let predicted = before.whole["outputProperties"].as_object();
    for (name, value) in predicted.expect("outputs") {
        assert_eq!(value, &outputs[name], "the plan was sure of {name}");
    }
    let names: BTreeSet<_> = outputs.keys().cloned().collect();
    assert_eq!(names, declared::<F>(&at, "outputs"));

    let (look, version) = (thing.look(), thing.version());
    thing.assert_settled();
    assert_eq!(thing.plan().whole["outputProperties"], json!(outputs));
    let unrecorded = at.send(&messages::plan(F::TYPE, &thing.inputs, &[], None));
    assert_eq!(planned(unrecorded.expect("a plan")).action, "none");
    assert_eq!(read(&thing)["outputProperties"], json!(outputs));
    assert_eq!(read(&thing)["identity"], before.whole["identity"]);
    assert_eq!(thing.create(), outputs);
    assert_eq!(thing.update(), outputs);
    assert_eq!(thing.look(), look);
    assert_eq!(thing.version(), version, "something was written");

    // On one process, with what it keeps from one request to the next.
    let requests = [
        thing.create_request(),
        thing.update_request(),
        thing.create_request(),
    ];
    for answer in at.send_all(&requests) {
        assert_eq!(answer.expect("done")["outputProperties"], json!(outputs));
    }
    assert_eq!(thing.version(), version, "something was written");
}

/// The names of the inputs or outputs that `describe` declares.
pub(super) fn declared<F: Fixture>(at: &Place<F>, which: &str) -> BTreeSet<String> {
    let output = at
        .command()
        .arg("describe")
        .stdin(std::process::Stdio::null())
        .output()
        .expect("it runs");
    let description: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let properties = description["kinds"][F::TYPE][which]["properties"].as_object();
    properties.expect("properties").keys().cloned().collect()
}

/// Each field alone, and back; what can't be changed in place is refused and
/// left as it is.
pub fn each_field_is_changed<F: Fixture>() {
    let at = Place::<F>::new();
    for field in at.fixture.fields() {
        let mut thing = at.thing("field");
        thing.create();
        let (look, original) = (thing.look(), thing.inputs.clone());
        thing.set(field.pointer, field.value.clone());
        let plan = thing.plan();
        match field.verdict {
            Verdict::Changed => {
                assert_shows(&plan, "update", field.pointer);
                thing.update();
                thing.assert_settled();
                assert_ne!(thing.look(), look, "{} made no difference", field.pointer);
                let changed = thing.look();
                // Back, this time by create, as without state.
                thing.inputs = original;
                thing.create();
                thing.assert_settled();
                thing.set(field.pointer, field.value);
                thing.update();
                assert_eq!(thing.look(), changed, "{}", field.pointer);
            }
            Verdict::Refused => {
                assert_shows(&plan, "refuse", field.pointer);
                for refused in [thing.try_update(), thing.clone().try_create()] {
                    let error = refused.expect_err("it can't be changed in place");
                    let begins = format!("{}: ", field.pointer);
                    assert!(error.starts_with(&begins), "{error}");
                    assert!(error.contains("\nhint: "), "{error}");
                }
                assert_eq!(thing.look(), look);
            }
            Verdict::Ignored => {
                let version = thing.version();
                assert_eq!(plan.action, "none", "{}", plan.whole);
                thing.update();
                assert_eq!(thing.version(), version, "{}", field.pointer);
            }
        }
    }

    // All at once gives what each gives alone, and what create would make.
    let (mut changed, mut made) = (at.thing("changed"), at.thing("afresh"));
    changed.create();
    changed.change_everything().update();
    changed.assert_settled();
    made.change_everything().create();
    made.assert_settled();
    if !F::KEEPS_HISTORY {
        assert_eq!(changed.likeness(), made.likeness());
    }
}

/// Panics unless a plan has this action and shows this field and no other.
fn assert_shows(plan: &Planned, action: &str, pointer: &str) {
    assert_eq!(plan.action, action, "{pointer}: {}", plan.whole);
    let expected = BTreeSet::from([pointer.to_owned()]);
    assert_eq!(plan.pointers, expected, "{}", plan.whole);
    for change in plan.whole["changes"].as_array().expect("changes") {
        let is_secret = change["after"] == "sensitive";
        assert_eq!(change["before"] == change["after"], is_secret, "{change}");
    }
}

/// What somebody else changed is seen by plan, and repaired by create and by
/// update.
pub fn drift_is_seen_and_repaired<F: Fixture>() {
    let at = Place::<F>::new();
    for drift in at.fixture.drifts() {
        let mut thing = at.thing("drift");
        thing.create();
        let look = thing.look();
        for by_update in [true, false] {
            (drift.make)(&at.fixture, &thing.name);
            assert_ne!(thing.look(), look, "{} did not drift", drift.pointer);
            let plan = thing.plan();
            assert_eq!(plan.action, "update", "{}: {}", drift.pointer, plan.whole);
            let expected = BTreeSet::from([drift.pointer.to_owned()]);
            assert_eq!(plan.pointers, expected, "{}", plan.whole);
            if by_update {
                thing.update();
            } else {
                thing.create();
            }
            assert_eq!(thing.look(), look, "{}", drift.pointer);
            thing.assert_settled();
        }
    }
}

/// A recorded thing that is gone is made again, or its loss is an error.
pub fn what_vanished<F: Fixture>() {
    let at = Place::<F>::new();
    let mut thing = at.thing("vanished");
    thing.create();
    let look = thing.look();
    at.fixture.vanish(&thing.name);
    at.assert_only(&[]);
    match at.fixture.loss() {
        Loss::MadeAgain => {
            assert_eq!(thing.plan().action, "create");
            thing.update();
            assert_eq!(thing.look(), look);
            thing.assert_settled();
            at.assert_only(&[&thing.name]);
        }
        Loss::Refused(pointer) => {
            for refused in [thing.try_plan().map(drop), thing.try_update().map(drop)] {
                let error = refused.expect_err("it is lost");
                assert!(error.starts_with(&format!("{pointer}: ")), "{error}");
                assert!(error.contains("\nhint: "), "{error}");
            }
            at.assert_only(&[]);
        }
    }
}

/// It goes, nothing stays, and destroying what is gone is no error.
pub fn destroyed_and_destroyed_again<F: Fixture>() {
    let at = Place::<F>::new();
    let mut thing = at.thing("destroyed");
    thing.create();
    thing.destroy(Some("delete"));
    at.assert_only(&[]);
    thing.destroy(Some("delete"));
    thing.destroy(Some("retain"));
    thing.destroy(None);
    at.assert_only(&[]);

    // By what create recorded first, changed since.
    thing.create();
    let old = thing.record.clone();
    thing.change_everything().update();
    thing.record = old;
    thing.destroy(Some("delete"));
    at.assert_only(&[]);

    // Made and removed on one process.
    let answers = at.send_all(&[
        thing.create_request(),
        thing.destroy_request(Some("delete")),
        thing.create_request(),
        thing.destroy_request(Some("delete")),
    ]);
    for answer in answers {
        answer.expect("it is done");
    }
    at.assert_only(&[]);
}

/// It is out of service, keeps its data, and comes back when it is declared
/// again.
pub fn retained_and_taken_back<F: Fixture>() {
    let at = Place::<F>::new();
    let mut thing = at.thing("retained");
    thing.create();
    if !F::OWNED {
        let look = thing.look();
        let error = thing.try_destroy(Some("retain"));
        let error = error.expect_err("nothing of it could be kept");
        assert!(error.starts_with("/deletionPolicy: "), "{error}");
        assert!(error.contains("\nhint: "), "{error}");
        assert_eq!(thing.look(), look);
        return;
    }
    at.fixture.put_data(&thing.name);
    let look = thing.look();
    let everything = at.fixture.everything();
    for by_update in [true, false] {
        thing.destroy(Some("retain"));
        assert!(!at.fixture.is_in_service(&thing.name));
        let (retained, version) = (thing.look(), thing.version());
        assert_ne!(retained, look);
        thing.destroy(Some("retain"));
        assert_eq!(thing.version(), version, "it was retained already");

        let plan = thing.plan();
        assert_eq!(plan.action, "update", "{}", plan.whole);
        assert!(plan.pointers.contains("/owner"), "{}", plan.whole);
        if by_update {
            thing.update();
        } else {
            thing.create();
        }
        assert!(at.fixture.is_in_service(&thing.name));
        assert!(at.fixture.has_data(&thing.name));
        assert_eq!(thing.look(), look);
        thing.assert_settled();
    }
    assert_eq!(at.fixture.everything(), everything);

    // What happens where the author says nothing.
    let mut other = at.thing("default");
    other.create();
    other.destroy(None);
    assert_eq!(other.is_there(), F::RETAINS);
    // What is retained can still be deleted.
    other.destroy(Some("delete"));
    assert!(!other.is_there());
    at.fixture.vanish(&thing.name);
    at.assert_only(&[]);
}

/// An update with another name renames it where the server can, and is refused
/// otherwise.
pub fn renamed<F: Fixture>() {
    if !F::OWNED {
        // It has no name of its own.
        return;
    }
    let at = Place::<F>::new();
    let mut thing = at.thing("old");
    let outputs = thing.create();
    let look = thing.look().to_string();
    let (old, new) = (thing.name.clone(), at.thing("new").name);
    thing.set("/name", new.clone());
    if !F::RENAMES {
        assert_shows(&thing.plan(), "refuse", "/name");
        let error = thing.try_update().expect_err("it can't be renamed");
        assert!(error.starts_with("/name: "), "{error}");
        at.assert_only(&[&old]);
        return;
    }
    at.fixture.put_data(&old);
    let everything = at.fixture.everything();
    assert_shows(&thing.plan(), "update", "/name");
    let renamed = thing.update();
    let id = |outputs: &messages::Object| outputs.get("oid").cloned();
    assert_eq!(id(&renamed), id(&outputs), "it is another one");
    thing.name.clone_from(&new);
    assert_eq!(thing.look().to_string().replace(&new, &old), look);
    assert!(at.fixture.has_data(&new));
    assert!(at.fixture.look(&old).is_none());
    thing.assert_settled();
    // What the thing has beside its name, such as its data, is as it was.
    assert_eq!(at.fixture.everything().len(), everything.len());

    // Renamed and changed at once, to a name that is taken, and back.
    let mut taken = at.thing("taken");
    taken.create();
    let before = taken.version();
    thing.set("/name", taken.name.clone());
    let error = thing.try_update().expect_err("the name is taken");
    assert!(error.starts_with("/name: "), "{error}");
    assert_eq!(taken.version(), before);
    assert!(at.fixture.has_data(&new));
    thing.set("/name", old.clone()).change_everything().update();
    thing.name = old;
    thing.assert_settled();
    assert!(at.fixture.look(&new).is_none());

    // Destroyed by a record of the old name.
    at.fixture.vanish(&taken.name);
    at.fixture.vanish(&thing.name);
    at.assert_only(&[]);
}

/// A kind that needs state says so; another one does without.
pub fn state_is_asked_for<F: Fixture>() {
    let at = Place::<F>::new();
    let thing = at.thing("stateless");
    let request = messages::create(F::TYPE, &thing.inputs, false);
    let answers = at.send_all(&[request.clone(), request]);
    for answer in &answers {
        match answer {
            Ok(_) => assert!(!F::NEEDS_STATE),
            Err(error) => {
                assert!(F::NEEDS_STATE, "{error}");
                assert!(error.contains("needs state\nhint: set `state`"), "{error}");
            }
        }
    }
    assert_eq!(thing.is_there(), !F::NEEDS_STATE);
}
