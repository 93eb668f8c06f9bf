//! A planted secret turns up nowhere but where it was planted.

use std::path::Path;

use serde_json::json;

use super::fixture::Fixture;
use super::place::Place;
use crate::messages;

/// Everything that a provider does and refuses to do; then all that was written
/// is searched. What came out of each process is searched by [`Place::send`].
pub fn secrets_turn_up_nowhere<F: Fixture>() {
    let at = Place::<F>::new();
    let mut thing = at.thing("silent");
    let _ = thing.plan();
    thing.create();
    thing.create();
    for drift in at.fixture.drifts() {
        (drift.make)(&at.fixture, &thing.name);
        let _ = thing.plan();
    }
    thing.update();
    thing.change_everything().update();
    for field in at.fixture.fields() {
        let mut changed = thing.clone();
        changed.set(field.pointer, field.value);
        let _ = changed.plan();
        let _refused = changed.try_update();
    }
    for bad in at.fixture.bad() {
        let mut wrong = thing.clone();
        for (pointer, value) in bad.patch {
            wrong.set(pointer, value);
        }
        wrong.try_create().expect_err("it is wrong");
    }
    if F::OWNED {
        let mut theirs = thing.clone();
        theirs
            .set("/owner", "somebody-else")
            .try_create()
            .expect_err("it is another's");
    }
    // A value where a reference belongs: the error must not repeat it.
    for secret in at.fixture.secrets() {
        for pointer in at.fixture.references() {
            for value in [
                json!(secret.value()),
                json!({"file": 1, "value": secret.value()}),
                json!({secret.value(): 1}),
            ] {
                let mut clear = thing.clone();
                let error = clear.set(pointer, value).try_create();
                let error = error.expect_err("a value is no reference");
                assert!(error.starts_with(&format!("{pointer}: ")), "{error}");
                // Where the thing can't be looked for, either.
                let unseen = ["/owner".to_owned()];
                let plan = messages::plan(F::TYPE, &clear.inputs, &unseen, None);
                let error = at.send(&plan).expect_err("a value is no reference");
                assert!(error.starts_with(&format!("{pointer}: ")), "{error}");
            }
        }
    }
    if F::OWNED {
        thing.destroy(Some("retain"));
    }
    thing.update();
    let read = messages::read(F::TYPE, &thing.inputs, thing.resource().as_ref());
    at.send(&read).expect("it can be read");
    // Killed with the secrets in memory, it says nothing either.
    for point in at.failpoints(&thing.update_request()) {
        at.kill_at(&point, &thing.update_request());
    }
    thing.destroy(Some("delete"));

    let describe = at.command().arg("describe").output().expect("it runs");
    let planted = at.fixture.planted();
    let planted: Vec<&Path> = planted.iter().map(AsRef::as_ref).collect();
    let secrets = at.fixture.secrets();
    assert!(!secrets.is_empty(), "no secret was planted");
    for secret in secrets {
        secret.assert_absent("describe", &describe.stdout);
        secret.assert_absent("describe", &describe.stderr);
        let folder = at.fixture.sandbox().path();
        secret.assert_absent_in_dir_except(folder, &planted);
        for (label, bytes) in at.fixture.writings() {
            assert!(!bytes.is_empty(), "{label} is empty");
            secret.assert_absent(label, bytes);
        }
    }
}
