//! What of a state a patch changes, in the words of members. Pure.

use std::collections::BTreeSet;

use json_patch::{Patch, PatchOperation};

use crate::member::MemberPath;
use crate::records::is_of_a_turn;

/// The members that a patch touches, each once; the root for the state as a
/// whole. The composites that were only made to put something in are left out.
pub(super) fn touched(patch: &Patch) -> Vec<MemberPath> {
    let mut all = BTreeSet::new();
    for operation in patch.iter() {
        if is_of_a_turn(operation.path().as_str()) {
            continue;
        }
        match operation {
            PatchOperation::Add(at) => all.insert(member(at.path.as_str())),
            PatchOperation::Remove(at) => all.insert(member(at.path.as_str())),
            PatchOperation::Replace(at) => all.insert(member(at.path.as_str())),
            PatchOperation::Move(at) => {
                all.insert(member(at.from.as_str()));
                all.insert(member(at.path.as_str()))
            }
            PatchOperation::Copy(at) => all.insert(member(at.path.as_str())),
            PatchOperation::Test(_) => false,
        };
    }
    let is_above = |path: &MemberPath, other: &MemberPath| path != other && other.is_within(path);
    all.iter()
        .filter(|path| !all.iter().any(|other| is_above(path, other)))
        .cloned()
        .collect()
}

/// The member that a place in a state document belongs to.
fn member(pointer: &str) -> MemberPath {
    let mut names = Vec::new();
    let mut tokens = pointer.split('/').skip(1);
    while let (Some(key), Some(name)) = (tokens.next(), tokens.next()) {
        names.push(name.replace("~1", "/").replace("~0", "~"));
        if key != "deployments" {
            break;
        }
    }
    MemberPath(names)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_a_patch_touches() {
        for (patch, expected) in [
            (json!([]), &[][..]),
            (json!([{"op": "add", "path": "", "value": {}}]), &["(root)"]),
            (
                json!([
                    {"op": "add", "path": "/deployments/mail", "value": {}},
                    {"op": "add", "path": "/deployments/mail/resources/role", "value": {}},
                ]),
                &["mail.role"],
            ),
            (
                json!([{"op": "replace", "path": "/deployments/a/deployments/b/resources/c/output_properties/id", "value": 1}]),
                &["a.b.c"],
            ),
            (
                json!([{"op": "move", "from": "/resources/x~1y", "path": "/resources/z"}]),
                &["\"x/y\"", "z"],
            ),
            (
                json!([{"op": "remove", "path": "/deployments/mail"}]),
                &["mail"],
            ),
            (
                json!([{"op": "test", "path": "/resources/a", "value": 1}]),
                &[],
            ),
        ] {
            let patch: Patch = serde_json::from_value(patch).unwrap();
            let paths: Vec<String> = touched(&patch).iter().map(ToString::to_string).collect();
            assert_eq!(paths, expected);
        }
    }
}
