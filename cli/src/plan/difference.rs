//! The difference between what is recorded and what is wanted, for providers
//! that cannot plan themselves. Pure.

use nixops4_protocol::Object;
use nixops4_protocol::message::{Change, Effect, PlannedValue};
use serde_json::Value;

use crate::eval::Member;

/// The changes from `before` to what a member wants, field by field; sets are
/// compared inside, everything else as a whole.
pub(crate) fn changes(before: &Object, member: &Member) -> Vec<Change> {
    let mut changes = Vec::new();
    if member.unknown.contains_key("") {
        changes.push(change(
            "",
            PlannedValue::Known(Value::Object(before.clone())),
            PlannedValue::Unknown,
        ));
        return changes;
    }
    compare("", before, &member.inputs, member, &mut changes);
    changes
}

fn compare(
    pointer: &str,
    before: &Object,
    after: &Object,
    member: &Member,
    changes: &mut Vec<Change>,
) {
    let gone = before.keys().filter(|name| !after.contains_key(*name));
    for name in after.keys().chain(gone) {
        let here = format!("{pointer}/{}", name.replace('~', "~0").replace('/', "~1"));
        let old = before.get(name).unwrap_or(&Value::Null);
        let new = after.get(name).unwrap_or(&Value::Null);
        match (old, new) {
            _ if member.unknown.contains_key(&here) => {
                changes.push(change(
                    &here,
                    PlannedValue::Known(old.clone()),
                    PlannedValue::Unknown,
                ));
            }
            (Value::Object(old), Value::Object(new)) => {
                compare(&here, old, new, member, changes);
            }
            (_, Value::Object(new)) if old.is_null() && has_unknown(member, &here) => {
                compare(&here, &Object::new(), new, member, changes);
            }
            _ if has_unknown(member, &here) => changes.push(change(
                &here,
                PlannedValue::Known(old.clone()),
                PlannedValue::Unknown,
            )),
            _ if old == new => {}
            _ => changes.push(change(
                &here,
                PlannedValue::Known(old.clone()),
                PlannedValue::Known(new.clone()),
            )),
        }
    }
}

fn has_unknown(member: &Member, pointer: &str) -> bool {
    member.unknown.keys().any(|unknown| {
        unknown
            .strip_prefix(pointer)
            .is_some_and(|rest| rest.starts_with('/'))
    })
}

fn change(path: &str, before: PlannedValue, after: PlannedValue) -> Change {
    Change {
        path: path.to_owned(),
        before,
        after,
        effect: Effect::InPlace,
        note: None,
    }
}

#[cfg(test)]
mod tests {
    use nixops4_protocol::message::PlannedValue;
    use serde_json::{Value, json};

    use super::changes;
    use crate::schema::member;

    #[test]
    fn only_what_differs_is_a_change() {
        let unknown = "?";
        for (before, after, unknowns, expected) in [
            (json!({}), json!({}), &[][..], vec![]),
            (json!({"a": 1}), json!({"a": 1}), &[], vec![]),
            (
                json!({"a": 1}),
                json!({"a": 2}),
                &[],
                vec![("/a", json!(1), json!(2))],
            ),
            (
                json!({}),
                json!({"a": 2}),
                &[],
                vec![("/a", json!(null), json!(2))],
            ),
            (
                json!({"a": 1}),
                json!({}),
                &[],
                vec![("/a", json!(1), json!(null))],
            ),
            (
                json!({"a": {"b": 1, "c": 1}}),
                json!({"a": {"b": 1, "c": 2}}),
                &[],
                vec![("/a/c", json!(1), json!(2))],
            ),
            (
                json!({"a": [1]}),
                json!({"a": [1, null]}),
                &["/a/1"],
                vec![("/a", json!([1]), json!(unknown))],
            ),
            (
                json!({"a/b": 1}),
                json!({"a/b": null}),
                &["/a~1b"],
                vec![("/a~1b", json!(1), json!(unknown))],
            ),
            (
                json!({}),
                json!({"a": {"b": null, "c": 1}}),
                &["/a/b"],
                vec![
                    ("/a/b", json!(null), json!(unknown)),
                    ("/a/c", json!(null), json!(1)),
                ],
            ),
            (
                json!({"a": 1}),
                json!({}),
                &[""],
                vec![("", json!({"a": 1}), json!(unknown))],
            ),
        ] {
            let before = before.as_object().unwrap();
            let found: Vec<(String, Value, Value)> = changes(before, &member(after, unknowns))
                .into_iter()
                .map(|change| (change.path, plain(change.before), plain(change.after)))
                .collect();
            let expected: Vec<_> = expected
                .into_iter()
                .map(|(path, before, after)| (path.to_owned(), before, after))
                .collect();
            assert_eq!(found, expected);
        }
    }

    fn plain(value: PlannedValue) -> Value {
        match value {
            PlannedValue::Known(value) => value,
            PlannedValue::Unknown => json!("?"),
            PlannedValue::Sensitive => json!("secret"),
        }
    }
}
