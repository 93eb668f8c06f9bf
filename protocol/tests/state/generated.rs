//! The same of documents and resources that nobody thought of.

use nixops4_protocol::Object;
use nixops4_protocol::state::{
    Dependency, Extension, RecordedResource, check, forget, record, resource, resources,
};
use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::apply;

/// Few names, so that paths meet.
fn name() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => proptest::sample::select(vec!["a", "b", "a/b", "~0", "a.b", ""]).prop_map(str::to_owned),
        1 => any::<String>(),
    ]
}

fn properties() -> impl Strategy<Value = Object> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        any::<String>().prop_map(Value::from),
    ];
    vec((any::<String>(), leaf), 0..3).prop_map(|fields| fields.into_iter().collect())
}

fn any_recorded() -> impl Strategy<Value = RecordedResource> {
    let dependency = (
        vec(any::<String>(), 1..3),
        proptest::option::of(any::<String>()),
    )
        .prop_map(|(path, output)| Dependency { path, output });
    let extension = (
        any::<String>(),
        vec(any::<String>(), 0..3),
        proptest::option::of(vec(dependency, 0..3)),
        any::<bool>(),
        properties(),
    )
        .prop_map(|(executable, args, depends_on, provisional, mut others)| {
            let ours = ["executable", "args", "dependsOn", "provisional"];
            others.retain(|key, _| !ours.contains(&key.as_str()));
            Extension {
                executable,
                args,
                depends_on,
                provisional,
                others,
            }
        });
    let known = [
        "type",
        "input_properties",
        "inputProperties",
        "output_properties",
        "outputProperties",
        "nixops4-resources",
    ];
    (
        any::<String>(),
        properties(),
        properties(),
        proptest::option::of(extension),
        properties(),
    )
        .prop_map(
            move |(r#type, input_properties, output_properties, extension, mut others)| {
                others.retain(|key, _| !known.contains(&key.as_str()));
                RecordedResource {
                    r#type,
                    input_properties,
                    output_properties,
                    extension,
                    others,
                }
            },
        )
}

/// A composite, with either key, both or none, and keys of others.
fn composite() -> impl Strategy<Value = Value> {
    let entries = || {
        proptest::option::of(btree_map(name(), any_recorded(), 0..3).prop_map(|entries| {
            let entries = entries
                .into_iter()
                .map(|(name, entry)| (name, json!(entry)));
            Value::Object(entries.collect())
        }))
    };
    let build = |resources: Option<Value>, deployments: Option<Value>, other: bool| {
        let mut composite = Object::new();
        composite.extend(resources.map(|found| ("resources".to_owned(), found)));
        composite.extend(deployments.map(|found| ("deployments".to_owned(), found)));
        composite.extend(other.then(|| ("other".to_owned(), json!([1]))));
        Value::Object(composite)
    };
    let leaf = (entries(), any::<bool>()).prop_map(move |(found, other)| build(found, None, other));
    leaf.prop_recursive(3, 12, 3, move |inner| {
        let nested = btree_map(name(), inner, 0..3)
            .prop_map(|nested| Value::Object(nested.into_iter().collect()));
        (entries(), proptest::option::of(nested), any::<bool>())
            .prop_map(move |(found, nested, other)| build(found, nested, other))
    })
}

fn state() -> impl Strategy<Value = Value> {
    composite().prop_map(|mut state| {
        state["_type"] = json!("nixopsState");
        state
    })
}

/// Every value that is no object, with where it stands; and every empty object.
fn leaves(value: &Value, at: &str, into: &mut Vec<(String, Value)>) {
    match value {
        Value::Object(object) if !object.is_empty() => {
            for (key, value) in object {
                leaves(value, &format!("{at}/{key:?}"), into);
            }
        }
        other => into.push((at.to_owned(), other.clone())),
    }
}

proptest! {
    #[test]
    fn what_is_recorded_is_read_back_and_nothing_else_changes(
        state in state(),
        path in vec(name(), 1..5),
        recorded in any_recorded(),
    ) {
        check(&state).unwrap();
        let mut before = resources(&state).unwrap();
        let after = apply(&state, &record(&state, &path, &recorded));
        check(&after).unwrap();
        prop_assert_eq!(resource(&after, &path).unwrap(), Some(recorded));

        // The same resources as before, and this one.
        before.retain(|(found, _)| *found != path);
        let mut rest = resources(&after).unwrap();
        let count = rest.len();
        rest.retain(|(found, _)| *found != path);
        prop_assert_eq!(count, rest.len() + 1);
        prop_assert_eq!(&rest, &before);

        // Whatever else the document holds is still there.
        let forgotten = apply(&after, &forget(&path));
        prop_assert_eq!(resource(&forgotten, &path).unwrap(), None);
        // Removing an entry may move its neighbours.
        let by_path = |found: &(Vec<String>, RecordedResource)| found.0.clone();
        let mut rest = resources(&forgotten).unwrap();
        rest.sort_by_key(by_path);
        before.sort_by_key(by_path);
        prop_assert_eq!(&rest, &before);
        let had = resource(&state, &path).unwrap().is_some();
        let base = if had { apply(&state, &forget(&path)) } else { state };
        let (mut old, mut new) = (Vec::new(), Vec::new());
        leaves(&base, "", &mut old);
        leaves(&forgotten, "", &mut new);
        // Only empty containers may have come, or gained what is empty.
        for leaf in &old {
            prop_assert!(new.contains(leaf) || leaf.1 == json!({}), "lost {leaf:?}");
        }
        for leaf in &new {
            prop_assert!(old.contains(leaf) || leaf.1 == json!({}), "gained {leaf:?}");
        }
    }

    /// As upstream makes its patches: from the difference of two documents.
    #[test]
    fn the_patch_of_a_difference_leads_to_the_same_state(
        state in state(),
        path in vec(name(), 1..4),
        recorded in any_recorded(),
    ) {
        let after = apply(&state, &record(&state, &path, &recorded));
        prop_assert_eq!(apply(&state, &json_patch::diff(&state, &after)), after);
    }
}
