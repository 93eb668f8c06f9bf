use proptest::collection::{btree_map, btree_set};
use proptest::prelude::*;
use proptest::sample::select;
use serde::de::IntoDeserializer as _;
use serde::de::value::{Error as ValueError, StrDeserializer};

use super::Privilege as P;
use super::*;

fn name(text: &str) -> Name {
    Name::try_from(text.to_owned()).unwrap()
}

/// `"SELECT*/owner"`: like an access list of psql, with words.
fn entry(text: &str) -> Entry {
    let (word, grantor) = text.split_once('/').unwrap();
    let (word, grantable) = word
        .strip_suffix('*')
        .map_or((word, false), |word| (word, true));
    let privilege = Privilege::from_catalog(word).unwrap();
    Entry {
        grantor: name(grantor),
        privilege,
        grantable,
    }
}

fn describe(difference: &Difference) -> String {
    let words = |all: &BTreeSet<P>| {
        all.iter()
            .map(|one| one.keyword())
            .collect::<Vec<_>>()
            .join(",")
    };
    let mut parts = Vec::new();
    for (grantor, all) in &difference.revoke {
        parts.push(format!("-{}/{grantor}", words(all)));
    }
    for (grantor, all) in &difference.revoke_option {
        parts.push(format!("-*{}/{grantor}", words(all)));
    }
    if !difference.grant.is_empty() {
        parts.push(format!("+{}", words(&difference.grant)));
    }
    parts.join(" ")
}

fn demand(privileges: &[P], grantable: bool, mode: Mode) -> Demand {
    Demand {
        privileges: privileges.iter().copied().collect(),
        grantable,
        mode,
    }
}

#[test]
fn differences() {
    use Mode::{Additive, Authoritative};
    for (wanted, grantable, mode, have, expected) in [
        (&[P::Select][..], false, Authoritative, &[][..], "+SELECT"),
        (&[P::Select], false, Authoritative, &["SELECT/o"], ""),
        (&[P::Select], false, Authoritative, &["SELECT/g"], ""),
        (
            &[P::Select],
            false,
            Authoritative,
            &["SELECT/g", "SELECT/o"],
            "",
        ),
        (
            &[P::Select],
            false,
            Authoritative,
            &["SELECT/o", "INSERT/o", "INSERT/g"],
            "-INSERT/g -INSERT/o",
        ),
        (
            &[P::Select],
            false,
            Authoritative,
            &["SELECT*/o", "SELECT/g"],
            "-*SELECT/o",
        ),
        (&[P::Select], true, Authoritative, &["SELECT/o"], "+SELECT"),
        (
            &[P::Select],
            true,
            Authoritative,
            &["SELECT/o", "SELECT*/g"],
            "",
        ),
        (
            &[],
            false,
            Authoritative,
            &["SELECT/o", "INSERT*/g"],
            "-INSERT/g -SELECT/o",
        ),
        (
            &[P::Select],
            false,
            Additive,
            &["SELECT*/o", "INSERT/g"],
            "",
        ),
        (
            &[P::Select, P::Update],
            true,
            Additive,
            &["SELECT/o", "UPDATE*/g"],
            "+SELECT",
        ),
    ] {
        let have: Vec<_> = have.iter().map(|text| entry(text)).collect();
        let got = difference(&demand(wanted, grantable, mode), &have);
        assert_eq!(
            describe(&got),
            expected,
            "{wanted:?} {grantable} {mode:?} {have:?}"
        );
    }
}

#[test]
fn withdrawals_and_shrinkages() {
    let have: Vec<_> = ["SELECT*/o", "INSERT/o", "SELECT/g"]
        .into_iter()
        .map(entry)
        .collect();
    let only = BTreeSet::from([P::Select]);
    assert_eq!(
        describe(&withdrawal(None, None, &have)),
        "-SELECT/g -SELECT,INSERT/o"
    );
    assert_eq!(
        describe(&withdrawal(Some(&only), None, &have)),
        "-SELECT/g -SELECT/o"
    );
    assert_eq!(
        describe(&withdrawal(None, Some(&name("o")), &have)),
        "-SELECT/g"
    );
    let shrink = |before: &[P], now: &[P], option| {
        let before = demand(before, true, Mode::Additive);
        describe(&shrinkage(
            &before,
            &demand(now, option, Mode::Additive),
            &have,
        ))
    };
    assert_eq!(
        shrink(&[P::Select, P::Insert], &[P::Select], true),
        "-INSERT/o"
    );
    assert_eq!(shrink(&[P::Select], &[P::Select], false), "-*SELECT/o");
    assert_eq!(shrink(&[P::Update], &[], false), "");
}

#[test]
fn all_is_what_the_kind_has_on_the_version() {
    let all = BTreeSet::from([P::All]);
    let count = |class: Class, version| class.expand(&all, version).unwrap().len();
    assert_eq!((count(Class::Table, 16), count(Class::Table, 17)), (7, 8));
    assert_eq!(
        (count(Class::Database, 15), count(Class::Column, 18)),
        (3, 4)
    );
    let expand = |class: Class, one, version| class.expand(&BTreeSet::from([one]), version);
    assert_eq!(expand(Class::Table, P::Maintain, 16), Err(P::Maintain));
    assert_eq!(
        expand(Class::Table, P::Maintain, 17),
        Ok(BTreeSet::from([P::Maintain]))
    );
    assert_eq!(expand(Class::Schema, P::Select, 18), Err(P::Select));
    assert!(
        Class::Schema
            .expand(&BTreeSet::from([P::All, P::Connect]), 18)
            .is_err()
    );
}

#[test]
fn words_round_trip() {
    for privilege in Privilege::SINGLE {
        assert_eq!(
            Privilege::from_catalog(privilege.keyword()),
            Some(privilege)
        );
        let text: StrDeserializer<'_, ValueError> = privilege.keyword().into_deserializer();
        assert_eq!(Privilege::deserialize(text), Ok(privilege));
    }
    assert_eq!(Privilege::from_catalog("ALL"), None);
}

/// The role's part of an access list, as the server keeps it: for each
/// grantor one item.
type Model = BTreeMap<(Name, Privilege), bool>;

fn entries(model: &Model) -> Vec<Entry> {
    let entry = |((grantor, privilege), grantable): (&(Name, Privilege), &bool)| Entry {
        grantor: grantor.clone(),
        privilege: *privilege,
        grantable: *grantable,
    };
    model.iter().map(entry).collect()
}

/// GRANT by the owner, and REVOKE by each grantor.
fn apply(model: &mut Model, difference: &Difference, grantable: bool) {
    let each = |all: &ByGrantor| {
        let pairs = |(grantor, all): (&Name, &BTreeSet<P>)| {
            all.iter()
                .map(|one| (grantor.clone(), *one))
                .collect::<Vec<_>>()
        };
        all.iter().flat_map(pairs).collect::<Vec<_>>()
    };
    for key in each(&difference.revoke) {
        assert!(
            model.remove(&key).is_some(),
            "what isn't there is not revoked"
        );
    }
    for key in each(&difference.revoke_option) {
        let option = model
            .get_mut(&key)
            .expect("what isn't there is not revoked");
        assert!(
            std::mem::take(option),
            "a grant option that isn't there is not revoked"
        );
    }
    for privilege in &difference.grant {
        *model.entry((name("owner"), *privilege)).or_default() |= grantable;
    }
}

fn model() -> impl Strategy<Value = Model> {
    let grantor = select(vec!["owner", "g", "h"]).prop_map(name);
    btree_map(
        (grantor, select(P::SINGLE[..4].to_vec())),
        any::<bool>(),
        0..10,
    )
}

fn demands() -> impl Strategy<Value = Demand> {
    let mode = select(vec![Mode::Authoritative, Mode::Additive]);
    (
        btree_set(select(P::SINGLE[..4].to_vec()), 0..4),
        any::<bool>(),
        mode,
    )
        .prop_map(|(privileges, grantable, mode)| Demand {
            privileges,
            grantable,
            mode,
        })
}

proptest! {
    #[test]
    fn applying_the_difference_leaves_none(before in model(), demand in demands()) {
        let mut after = before.clone();
        apply(&mut after, &difference(&demand, &entries(&before)), demand.grantable);
        let left = difference(&demand, &entries(&after));
        prop_assert!(left.is_empty(), "{left:?}");

        let has: BTreeSet<_> = after.keys().map(|(_, privilege)| *privilege).collect();
        prop_assert!(demand.privileges.is_subset(&has));
        match demand.mode {
            Mode::Authoritative => {
                prop_assert_eq!(&has, &demand.privileges);
                prop_assert!(demand.grantable || !after.values().any(|option| *option));
            }
            Mode::Additive => for (key, option) in &before {
                prop_assert!(after.get(key).is_some_and(|now| *now >= *option));
            }
        }
        if demand.grantable {
            for one in &demand.privileges {
                prop_assert!(after.iter().any(|((_, p), option)| p == one && *option));
            }
        }
    }

    #[test]
    fn a_withdrawal_takes_just_what_is_meant(before in model(), demand in demands()) {
        let only = (demand.mode == Mode::Additive).then_some(&demand.privileges);
        let mut after = before.clone();
        apply(&mut after, &withdrawal(only, None, &entries(&before)), false);
        for key in before.keys() {
            let meant = only.is_none_or(|only| only.contains(&key.1));
            prop_assert_eq!(after.contains_key(key), !meant);
        }
    }

    #[test]
    fn growing_and_shrinking_again_is_no_change(
        demand in demands(), more in btree_set(select(P::SINGLE[..4].to_vec()), 0..4),
    ) {
        let demand = Demand { mode: Mode::Additive, ..demand };
        let wider = Demand { privileges: &demand.privileges | &more, ..demand.clone() };
        let mut model = Model::new();
        apply(&mut model, &difference(&demand, &[]), demand.grantable);
        let narrow = model.clone();
        let grown = difference(&wider, &entries(&model));
        apply(&mut model, &grown, demand.grantable);
        let shrunk = shrinkage(&wider, &demand, &entries(&model));
        apply(&mut model, &shrunk, false);
        prop_assert_eq!(model, narrow);
    }
}
