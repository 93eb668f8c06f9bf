//! Which members are looked at if not all are wanted. Pure.

use std::collections::BTreeSet;

use crate::eval::Evaluation;
use crate::member::MemberPath;

/// The members at or below the targets, and what these wait for; everything if
/// there is no target. What is recorded is not waited for, and not looked at.
pub(crate) fn scope(
    evaluation: &Evaluation,
    targets: &[MemberPath],
) -> Option<BTreeSet<MemberPath>> {
    if targets.is_empty() {
        return None;
    }
    let is_target = |path: &MemberPath| targets.iter().any(|target| path.is_within(target));
    let mut scope: BTreeSet<MemberPath> = evaluation
        .members
        .keys()
        .filter(|path| is_target(path))
        .cloned()
        .collect();
    let mut wanted: Vec<MemberPath> = scope.iter().cloned().collect();
    let unknown = evaluation
        .structures
        .iter()
        .filter(|structure| touches(&structure.path, targets))
        .flat_map(|structure| &structure.waits_for);
    wanted.extend(unknown.map(|output| output.path.clone()));
    while let Some(path) = wanted.pop() {
        let Some(member) = evaluation.members.get(&path) else {
            continue;
        };
        scope.insert(path);
        wanted.extend(
            member
                .waits_for()
                .map(|output| &output.path)
                .filter(|path| !scope.contains(*path))
                .cloned(),
        );
    }
    Some(scope)
}

/// Whether a place is at or below a target, or a target below it.
pub(crate) fn touches(path: &MemberPath, targets: &[MemberPath]) -> bool {
    targets.is_empty()
        || targets
            .iter()
            .any(|target| path.is_within(target) || target.is_within(path))
}

/// The targets that no member is at or below, nor can be.
pub(crate) fn misses<'a>(
    evaluation: &Evaluation,
    targets: &'a [MemberPath],
) -> Option<&'a MemberPath> {
    targets.iter().find(|target| {
        let is_there = evaluation.members.keys().any(|path| path.is_within(target));
        let may_be = evaluation
            .structures
            .iter()
            .any(|structure| touches(&structure.path, std::slice::from_ref(*target)));
        !is_there && !may_be
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use nixops4_protocol::Object;

    use super::{misses, scope};
    use crate::eval::{Evaluation, Member};
    use crate::member::{MemberPath, OutputRef};

    fn path(name: &str) -> MemberPath {
        name.parse().unwrap()
    }

    /// `name` or `name>waits,waits`.
    fn evaluation(members: &[&str]) -> Evaluation {
        let members: BTreeMap<MemberPath, Member> = members
            .iter()
            .map(|text| {
                let (name, waits) = text.split_once('>').unwrap_or((text, ""));
                let waits = waits.split(',').filter(|name| !name.is_empty());
                let unknown = waits.map(|name| {
                    let output = OutputRef {
                        path: path(name),
                        output: "o".to_owned(),
                    };
                    (format!("/{name}"), [output].into())
                });
                let member = Member {
                    path: path(name),
                    executable: String::new(),
                    args: Vec::new(),
                    kind: String::new(),
                    state: None,
                    inputs: Object::new(),
                    unknown: unknown.collect(),
                    provider_paths: Vec::new(),
                    input_paths: Vec::new(),
                };
                (path(name), member)
            })
            .collect();
        Evaluation {
            members,
            structures: Vec::new(),
        }
    }

    #[test]
    fn a_target_brings_what_it_waits_for() {
        let evaluation = evaluation(&["a>b", "b>c", "c", "d", "web.x>d", "web.y"]);
        for (targets, expected) in [
            (&[][..], None),
            (&["d"], Some(&["d"][..])),
            (&["a"], Some(&["a", "b", "c"])),
            (&["web"], Some(&["d", "web.x", "web.y"])),
            (&["web.y", "c"], Some(&["c", "web.y"])),
        ] {
            let targets: Vec<MemberPath> = targets.iter().map(|name| path(name)).collect();
            let expected = expected.map(|names| names.iter().map(|name| path(name)).collect());
            assert_eq!(scope(&evaluation, &targets), expected);
            assert_eq!(misses(&evaluation, &targets), None);
        }
        assert_eq!(misses(&evaluation, &[path("we")]), Some(&path("we")));
    }
}
