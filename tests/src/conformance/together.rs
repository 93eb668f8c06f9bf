//! Several processes at the same thing at the same time.

use super::fixture::Fixture;
use super::place::Place;

/// How many come at once, in turn.
const CROWDS: [usize; 2] = [2, 8];

/// All of them succeed, and there is one thing.
pub fn created_by_many_at_once<F: Fixture>() {
    let at = Place::<F>::new();
    for many in CROWDS {
        let mut thing = at.thing("crowd");
        let answers = at.send_at_once(&vec![thing.create_request(); many]);
        let first = answers[0].clone().expect("it is created");
        for answer in answers {
            assert_eq!(answer.expect("it is created"), first);
        }
        at.assert_only(&[&thing.name]);
        thing.take(first);
        thing.assert_settled();
        thing.destroy(Some("delete"));
        at.assert_only(&[]);
    }
}

/// All of them succeed, and it is changed.
pub fn updated_by_many_at_once<F: Fixture>() {
    let at = Place::<F>::new();
    for many in CROWDS {
        let mut thing = at.thing("crowd");
        thing.create();
        thing.change_everything();
        let answers = at.send_at_once(&vec![thing.update_request(); many]);
        for answer in answers {
            answer.expect("it is updated");
        }
        thing.update();
        thing.assert_settled();
        at.assert_only(&[&thing.name]);
        thing.destroy(Some("delete"));
    }
}

/// All of them succeed: whoever comes later finds nothing to do.
pub fn destroyed_by_many_at_once<F: Fixture>() {
    let at = Place::<F>::new();
    for many in CROWDS {
        let policies = ["delete", "retain"];
        for policy in &policies[..if F::OWNED { 2 } else { 1 }] {
            let mut thing = at.thing("crowd");
            thing.create();
            let request = thing.destroy_request(Some(policy));
            for answer in at.send_at_once(&vec![request; many]) {
                answer.expect("it is destroyed");
            }
            assert_eq!(thing.is_there(), *policy == "retain");
            thing.destroy(Some("delete"));
            at.assert_only(&[]);
        }
    }
}

/// One of them gets it, and the other is told whose it is.
pub fn created_by_two_owners_at_once<F: Fixture>() {
    if !F::OWNED {
        return;
    }
    let at = Place::<F>::new();
    for _ in 0..3 {
        let mut ours = at.thing("contested");
        let mut theirs = ours.clone();
        theirs.set("/owner", "somebody-else");
        let requests = [ours.create_request(), theirs.create_request()];
        let [our_answer, their_answer] =
            at.send_at_once(&requests).try_into().expect("two answers");
        let (winner, answer, error) = match (our_answer, their_answer) {
            (Ok(answer), Err(error)) => (&mut ours, answer, error),
            (Err(error), Ok(answer)) => (&mut theirs, answer, error),
            both => panic!("one of them has it: {both:?}"),
        };
        assert!(error.starts_with("/adopt: "), "{error}");
        winner.take(answer);
        winner.assert_settled();
        at.assert_only(&[&winner.name]);
        winner.destroy(Some("delete"));
        at.assert_only(&[]);
    }
}
