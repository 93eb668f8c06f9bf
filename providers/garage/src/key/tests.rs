use nixops4_provider_sdk::kept::{Kept, KeptValue};
use nixops4_provider_sdk::{Effect, Mark, Owner, ResourceKind};
use nixops4_secrets_store::SecretId;
use time::OffsetDateTime;

use super::*;
use crate::credential::{Held, Managed, Place, Public};

fn mark() -> Mark {
    Mark::new(Owner::try_from("shop".to_owned()).unwrap(), Key::TYPE)
}

fn id(number: u32) -> AccessKeyId {
    AccessKeyId::try_from(format!("GK{number:024x}")).unwrap()
}

fn inputs(more: serde_json::Value) -> Inputs {
    let mut all = serde_json::json!({
        "connection": {"endpoint": "http://127.0.0.1:3903", "token": {"env": "TOKEN"}},
        "name": "media",
    });
    let fields = all.as_object_mut().unwrap();
    let serde_json::Value::Object(more) = more else {
        panic!("inputs are an object");
    };
    fields.extend(more);
    serde_json::from_value(all).unwrap()
}

/// A key of a generation as it has to be.
fn remote(generation: u32) -> Remote<Key> {
    Remote {
        id: id(generation),
        title: Title {
            name: "media".to_owned(),
            mark: Some(mark()),
            generation: Some(generation),
            making: None,
        },
        expiration: None,
        more: Abilities::default(),
    }
}

/// Generations, newest first, that the store has; each with what the cluster has.
fn facts(held: Vec<(u32, Option<Remote<Key>>)>) -> Facts<Key> {
    let held: Vec<_> = held
        .into_iter()
        .map(|(number, remote)| Held {
            value: KeptValue {
                generation: Generation::try_from(number).unwrap(),
                id: SecretId::try_from("8f3c2d1e-0000-4000-8000-000000000000".to_owned()).unwrap(),
                created_at: OffsetDateTime::UNIX_EPOCH,
                public: Public { id: id(number) },
            },
            remote,
        })
        .collect();
    let mut values = held.iter().map(|held| held.value.clone());
    let place = Place::of::<Key>(&inputs(serde_json::json!({}))).unwrap();
    let kept = values.next().map(|current| Kept {
        store: place.store.clone(),
        store_key: None,
        name: place.name.clone(),
        current,
        older: values.collect(),
        asked: None,
        mark: mark(),
    });
    Facts {
        place,
        kept,
        held,
        loose: None,
        is_managed: false,
        was_there: false,
        region: "garage".to_owned(),
        s3_endpoint: None,
        system_identifier: "node".to_owned(),
    }
}

fn whole(generations: &[u32]) -> Facts<Key> {
    let held = generations
        .iter()
        .map(|number| (*number, Some(remote(*number))));
    facts(held.collect())
}

fn steps(more: serde_json::Value, have: &Facts<Key>) -> Vec<(String, What)> {
    let steps = Managed::<Key>::diff(&inputs(more), Some(have));
    steps
        .into_iter()
        .map(|step| {
            let refused = step.change.what == What::Refused;
            assert_eq!(step.effect == Effect::Replace, refused, "{}", step.path);
            (step.path, step.change.what)
        })
        .collect()
}

fn make(number: u32) -> What {
    What::Make(Generation::try_from(number).unwrap())
}

#[test]
fn what_is_as_it_has_to_be() {
    let nothing = serde_json::json!({});
    assert_eq!(steps(nothing.clone(), &whole(&[1])), []);
    assert_eq!(steps(nothing, &whole(&[3, 2, 1])), []);
    // A generation is one at least.
    assert_eq!(
        steps(serde_json::json!({"generation": 2}), &whole(&[3, 2])),
        []
    );
}

#[test]
fn another_one_is_due() {
    let due = |what| vec![("/generation".to_owned(), what)];
    let nothing = || serde_json::json!({});
    assert_eq!(
        steps(serde_json::json!({"generation": 2}), &whole(&[1])),
        due(make(2))
    );
    // Not on the server: not made yet, as far as one can see.
    assert_eq!(steps(nothing(), &facts(vec![(1, None)])), due(make(1)));
    // Or deleted, as the record knows.
    let mut deleted = facts(vec![(1, None)]);
    deleted.was_there = true;
    assert_eq!(steps(nothing(), &deleted), due(make(2)));
    let mut asked = whole(&[1]);
    asked.kept.as_mut().unwrap().asked = Some("ann@desk".to_owned());
    assert_eq!(steps(nothing(), &asked), due(make(2)));
    // Begun, and not finished.
    let mut begun = whole(&[2, 1]);
    begun.held[0].remote.as_mut().unwrap().title.making = Some(id(1).to_string());
    assert_eq!(steps(nothing(), &begun), due(make(2)));
}

#[test]
fn those_that_are_too_old_go() {
    let keep = |number: u32| serde_json::json!({ "keepGenerations": number });
    let goes = [("/keepGenerations".to_owned(), What::Prune)];
    assert_eq!(steps(keep(2), &whole(&[3, 2, 1])), []);
    assert_eq!(steps(keep(1), &whole(&[3, 2, 1])), goes);
    assert_eq!(steps(keep(0), &whole(&[3, 2])), goes);
    // On the server they are gone; the store has to forget them.
    let half = facts(vec![(2, Some(remote(2))), (1, None)]);
    assert_eq!(steps(keep(0), &half), goes);
}

#[test]
fn old_ones_are_set_too() {
    let mut have = whole(&[2, 1]);
    have.held[1].remote.as_mut().unwrap().more.create_buckets = true;
    let set = |path: &str| (path.to_owned(), What::Set);
    assert_eq!(steps(serde_json::json!({}), &have), [set("/createBuckets")]);
    let all = serde_json::json!({
        "name": "pictures", "expiration": "2027-01-31T12:00:00Z", "createBuckets": true,
    });
    let wanted = ["/name", "/expiration", "/createBuckets"].map(set);
    assert_eq!(steps(all, &whole(&[2, 1])), wanted);
}

#[test]
fn what_stays_where_it_is() {
    let refused = |path: &str| vec![(path.to_owned(), What::Refused)];
    for (more, path) in [
        (serde_json::json!({"store": "team"}), "/store"),
        (
            serde_json::json!({"secretName": "elsewhere"}),
            "/secretName",
        ),
        (
            serde_json::json!({"import": {"accessKeyId": "GK111111"}}),
            "/import/accessKeyId",
        ),
    ] {
        assert_eq!(steps(more, &whole(&[1])), refused(path));
    }
    // Renamed, the secret keeps its name, unless one is wanted.
    let renamed = steps(serde_json::json!({"name": "pictures"}), &whole(&[1]));
    assert_eq!(renamed, [("/name".to_owned(), What::Set)]);
    // What was imported has had its turn.
    let import = serde_json::json!({"import": {"accessKeyId": "GK111111"}});
    assert_eq!(steps(import, &whole(&[2, 1])), []);
}

#[test]
fn what_the_store_has_no_value_of() {
    let mut have = facts(Vec::new());
    have.loose = Some(Remote {
        title: Title::read("media"),
        ..remote(1)
    });
    let step = |what| vec![("/secretName".to_owned(), what)];
    assert_eq!(steps(serde_json::json!({}), &have), step(What::Keep));
    let seen = |remote| {
        let mut have = facts(Vec::new());
        have.loose = Some(remote);
        have.observed(&mark()).facts
    };
    let nothing = || serde_json::json!({});
    assert_eq!(steps(nothing(), &seen(remote(1))), step(What::Refused));
    let mut begun = remote(1);
    begun.title.making = Some(crate::title::ADOPTION.to_owned());
    assert_eq!(steps(nothing(), &seen(begun)), step(What::Keep));
    // That of somebody else, whom the engine asks about.
    let mut theirs = remote(1);
    let other = Owner::try_from("other".to_owned()).unwrap();
    theirs.title.mark = Some(Mark::new(other, Key::TYPE));
    assert_eq!(steps(nothing(), &seen(theirs)), step(What::Keep));
}

#[test]
fn only_what_is_in_use_is_told() {
    let have = facts(vec![(3, Some(remote(3))), (2, None), (1, Some(remote(1)))]);
    let outputs = Key::outputs(&inputs(serde_json::json!({})), &have);
    assert_eq!(outputs.access_key_id, Some(id(3)));
    assert_eq!(outputs.previous_access_key_id, Some(id(1)));
    assert_eq!(outputs.access_key_ids, [id(3), id(1)]);
    assert_eq!(outputs.secret.unwrap().generation, 3);
    assert_eq!(outputs.previous.unwrap().generation, 1);
}

#[test]
fn a_name_that_names_no_secret() {
    let odd = inputs(serde_json::json!({"name": "media of the shop"}));
    let error = Managed::<Key>::validate(&odd).unwrap_err();
    assert_eq!(error.pointer(), Some("/secretName"));
    let named = serde_json::json!({"name": "media of the shop", "secretName": "media"});
    assert!(Managed::<Key>::validate(&inputs(named)).is_ok());
}

#[test]
fn whose_it_is() {
    use nixops4_provider_sdk::Ownership;
    let theirs = Mark::new(Owner::try_from("other".to_owned()).unwrap(), Key::TYPE);
    let marked = |mark: &Mark| Ownership::Marked(mark.clone());
    assert!(matches!(
        whole(&[1]).observed(&mark()).ownership,
        Ownership::Marked(_)
    ));
    // Any part that is somebody else's makes all of it theirs.
    let mut have = whole(&[2, 1]);
    have.held[1].remote.as_mut().unwrap().title = Title::read("media");
    assert_eq!(have.observed(&mark()).ownership, Ownership::Unmarked);
    let mut have = whole(&[1]);
    have.kept.as_mut().unwrap().mark = theirs.clone();
    assert_eq!(have.observed(&mark()).ownership, marked(&theirs));
    // The newest is what says whether it is retained: its mark is written last.
    let retained = mark().retained_now();
    let mut have = whole(&[2, 1]);
    have.kept.as_mut().unwrap().mark = retained.clone();
    have.held[1].remote.as_mut().unwrap().title.mark = Some(retained.clone());
    let Ownership::Marked(seen) = have.observed(&mark()).ownership else {
        panic!("it is marked");
    };
    assert_eq!(seen.retained_since, None);
}
