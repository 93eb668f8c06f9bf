//! What is left alone so that the rest can go: what must not go, and what that was
//! made from. Pure.

use std::collections::{BTreeMap, BTreeSet};

use super::target::Target;
use super::{Recorded, nodes, users_that_stay};
use crate::member::MemberPath;
use crate::report::Fate;

/// Takes the targets apart: what goes, and what is left alone, with the reason.
pub(super) fn leave(
    targets: Vec<Target>,
    recorded: &Recorded,
    outdated: &BTreeSet<MemberPath>,
) -> (Vec<Target>, Vec<(Target, String)>) {
    let nodes = nodes(&targets, recorded);
    let users = users_that_stay(&targets, recorded, outdated);
    let mut reasons = BTreeMap::<MemberPath, String>::new();
    let mut to_follow = Vec::new();
    for target in &targets {
        let reason = match users.get(&target.path) {
            _ if target.fate == Fate::Refuse => target.note.clone().unwrap_or_default(),
            Some(users) if target.keeper.is_some() => {
                let were = if users.len() == 1 { "was" } else { "were" };
                format!("{} {were} made from it and stays", users.join(", "))
            }
            _ => continue,
        };
        reasons.insert(target.path.clone(), reason);
        to_follow.push(&target.path);
    }
    while let Some(user) = to_follow.pop() {
        let node = &nodes[user];
        for target in &targets {
            let path = &target.path;
            let reason = if node.uses.contains(path) {
                format!("'{user}' was made from it and stays")
            } else if node.seems_to_use.contains(path) {
                format!("'{user}' seems to be made from it and stays")
            } else if node.is_incomplete && !node.is_secret && nodes[path].is_secret {
                format!("'{user}' stays and may need it")
            } else {
                continue;
            };
            if !reasons.contains_key(path) {
                reasons.insert(path.clone(), reason);
                to_follow.push(path);
            }
        }
    }
    let (left, going): (Vec<_>, Vec<_>) = targets
        .into_iter()
        .partition(|target| reasons.contains_key(&target.path));
    let with_reason = |target: Target| {
        let reason = reasons.remove(&target.path).unwrap_or_default();
        (target, reason)
    };
    (going, left.into_iter().map(with_reason).collect())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::sync::Arc;

    use serde_json::{Value, json};

    use super::{Recorded, Target, leave};
    use crate::member::MemberPath;
    use crate::report::Fate;

    fn path(name: &str) -> MemberPath {
        MemberPath(vec![name.to_owned()])
    }

    /// One that is made from `uses`, or nobody knows from what.
    fn target(name: &str, kind: &str, fate: Fate, uses: Option<&[&str]>) -> Target {
        let extension = uses.map(|uses| {
            let uses: Vec<Value> = uses
                .iter()
                .map(|used| json!({ "path": [used], "output": "out" }))
                .collect();
            json!({ "executable": "x", "dependsOn": uses })
        });
        let mut recorded = json!({ "type": kind, "input_properties": { "text": "of-a" },
            "output_properties": { "out": format!("of-{name}") } });
        if let Some(extension) = extension {
            recorded["nixops4-resources"] = extension;
        }
        Target {
            path: path(name),
            keeper: Some(path("state")),
            recorded: serde_json::from_value(recorded).unwrap(),
            provider: None,
            fate,
            note: (fate == Fate::Refuse).then(|| "no".to_owned()),
            is_unclear: false,
        }
    }

    #[test]
    fn what_stays_keeps_what_it_uses_and_no_more() {
        let one = |name: &str, uses: &[&str]| target(name, "t", Fate::Delete, Some(uses));
        for (kept, left) in [
            (
                target("kept", "t", Fate::Refuse, Some(&["b"])),
                &[
                    "a: 'b' was made from it and stays",
                    "b: 'kept' was made from it and stays",
                    "kept: no",
                ][..],
            ),
            // Of which nobody knows what it uses.
            (
                target("kept", "t", Fate::Refuse, None),
                &[
                    "a: 'kept' seems to be made from it and stays",
                    "kept: no",
                    "secret: 'kept' stays and may need it",
                ],
            ),
            (target("kept", "t", Fate::Delete, None), &[]),
        ] {
            let secret = target("secret", "secrets_t", Fate::Delete, Some(&[]));
            let targets = vec![
                one("a", &[]),
                one("b", &["a"]),
                one("c", &["b"]),
                kept,
                secret,
            ];
            let recorded: Recorded = targets
                .iter()
                .map(|it| {
                    (
                        it.path.clone(),
                        (path("state"), Arc::new(it.recorded.clone())),
                    )
                })
                .collect();
            let (going, kept) = leave(targets, &recorded, &BTreeSet::new());
            let kept: Vec<String> = kept
                .iter()
                .map(|(target, reason)| format!("{}: {reason}", target.path))
                .collect();
            assert_eq!(kept, left);
            assert_eq!(going.len() + kept.len(), 5);
        }
    }
}
