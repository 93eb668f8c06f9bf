//! Killed at each failpoint, and run again: one thing and not two, and nothing
//! left over.

use super::fixture::Fixture;
use super::place::{Place, Thing};

/// While it is created, at every point.
pub fn killed_while_it_is_created<F: Fixture>() {
    let at = Place::<F>::new();
    let mut model = at.thing("model");
    let points = at.failpoints(&model.create_request());
    model.create();
    for point in points {
        let mut thing = at.thing("created");
        at.kill_at(&point, &thing.create_request());
        thing.create();
        at.assert_only(&[&model.name, &thing.name]);
        assert_eq!(thing.likeness(), model.likeness(), "killed at {point:?}");
        thing.assert_settled();

        // Killed and never created again: destroying leaves nothing of it.
        let mut given_up = at.thing("given-up");
        at.kill_at(&point, &given_up.create_request());
        given_up.create();
        given_up.destroy(Some("delete"));
        thing.destroy(Some("delete"));
        at.assert_only(&[&model.name]);
    }
}

/// While everything that can be changed is changed.
pub fn killed_while_it_is_updated<F: Fixture>() {
    let at = Place::<F>::new();
    let mut model = at.thing("model");
    model.create();
    model.change_everything();
    let points = at.failpoints(&model.update_request());
    model.update();
    for point in points {
        let mut thing = at.thing("updated");
        thing.create();
        thing.change_everything();
        at.kill_at(&point, &thing.update_request());
        thing.update();
        at.assert_only(&[&model.name, &thing.name]);
        assert_eq!(thing.likeness(), model.likeness(), "killed at {point:?}");
        thing.assert_settled();
        thing.destroy(Some("delete"));
        at.assert_only(&[&model.name]);
    }
}

/// While it is renamed and changed at once.
pub fn killed_while_it_is_renamed<F: Fixture>() {
    if !F::RENAMES {
        // That a rename is refused is another check's.
        return;
    }
    let at = Place::<F>::new();
    let mut model = at.thing("model");
    model.create();
    model.change_everything();
    want_another_name(&mut model);
    let points = at.failpoints(&model.update_request());
    model.update();
    for point in points {
        let mut thing = at.thing("from");
        thing.create();
        thing.change_everything();
        want_another_name(&mut thing);
        at.kill_at(&point, &thing.update_request());
        thing.update();
        at.assert_only(&[&model.name, &thing.name]);
        assert_eq!(thing.likeness(), model.likeness(), "killed at {point:?}");
        thing.assert_settled();
        thing.destroy(Some("delete"));
        at.assert_only(&[&model.name]);
    }
}

fn want_another_name<F: Fixture>(thing: &mut Thing<'_, F>) {
    let name = thing.at.thing("to").name;
    thing.set("/name", name.clone());
    thing.name = name;
}

/// While it is taken over from another owner, and back into service.
pub fn killed_while_it_is_taken_over<F: Fixture>() {
    if !F::OWNED {
        return;
    }
    let at = Place::<F>::new();
    let retained = || {
        let mut thing = at.thing("taken-over");
        thing.set("/owner", "somebody-else").create();
        thing.destroy(Some("retain"));
        thing.record = None;
        thing.set("/owner", "conformance").set("/adopt", true);
        thing
    };
    let mut model = retained();
    let points = at.failpoints(&model.create_request());
    model.create();
    for point in points {
        let mut thing = retained();
        at.kill_at(&point, &thing.create_request());
        thing.create();
        at.assert_only(&[&model.name, &thing.name]);
        assert_eq!(thing.likeness(), model.likeness(), "killed at {point:?}");
        assert!(at.fixture.is_in_service(&thing.name));
        thing.assert_settled();
        thing.destroy(Some("delete"));
    }
}

/// While it is deleted.
pub fn killed_while_it_is_destroyed<F: Fixture>() {
    let at = Place::<F>::new();
    let mut model = at.thing("model");
    model.create();
    for point in at.failpoints(&model.destroy_request(Some("delete"))) {
        let mut thing = at.thing("destroyed");
        thing.create();
        at.kill_at(&point, &thing.destroy_request(Some("delete")));
        thing.destroy(Some("delete"));
        at.assert_only(&[]);
    }
}

/// While it is retained.
pub fn killed_while_it_is_retained<F: Fixture>() {
    if !F::OWNED {
        return;
    }
    let at = Place::<F>::new();
    let mut model = at.thing("model");
    model.create();
    for point in at.failpoints(&model.destroy_request(Some("retain"))) {
        let mut thing = at.thing("retained");
        thing.create();
        at.kill_at(&point, &thing.destroy_request(Some("retain")));
        thing.destroy(Some("retain"));
        assert_eq!(thing.likeness(), model.likeness(), "killed at {point:?}");
        assert!(!at.fixture.is_in_service(&thing.name));
        thing.create();
        assert!(at.fixture.is_in_service(&thing.name));
        thing.destroy(Some("delete"));
        at.assert_only(&[&model.name]);
    }
}
