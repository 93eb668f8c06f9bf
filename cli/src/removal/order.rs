//! In which order things go: what uses another goes before it. Pure.
//!
//! Where the edges are recorded, they decide. Where they are not, as in a state
//! that upstream wrote, an input that equals a recorded output is taken for one,
//! and what a server refuses is tried again when something else is gone. Secrets
//! go last, because others may need them to go.

use std::collections::{BTreeMap, BTreeSet};

use crate::member::MemberPath;

/// A resource that is to go.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Node {
    /// What it was made from, as recorded; absent where nobody knows.
    pub(crate) uses: Option<BTreeSet<MemberPath>>,
    /// What it was probably made from.
    pub(crate) seems_to_use: BTreeSet<MemberPath>,
    /// Whether it keeps a secret.
    pub(crate) is_secret: bool,
}

/// How far a removal is.
#[derive(Debug)]
pub(crate) struct Order {
    nodes: BTreeMap<MemberPath, Node>,
    waiting: BTreeSet<MemberPath>,
    running: BTreeSet<MemberPath>,
    /// What failed, and how many were gone then.
    failed: BTreeMap<MemberPath, (String, usize)>,
    gone: usize,
    stopping: bool,
}

/// What was not removed.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Rest {
    pub(crate) failed: Vec<(MemberPath, String)>,
    /// What was not tried, and why.
    pub(crate) skipped: Vec<(MemberPath, String)>,
}

impl Order {
    pub(crate) fn new(nodes: BTreeMap<MemberPath, Node>) -> Self {
        Self {
            waiting: nodes.keys().cloned().collect(),
            nodes,
            running: BTreeSet::new(),
            failed: BTreeMap::new(),
            gone: 0,
            stopping: false,
        }
    }

    /// What to remove now, at most `room`; taken for begun.
    pub(crate) fn next(&mut self, room: usize) -> Vec<MemberPath> {
        if self.stopping {
            return Vec::new();
        }
        let mut ready = self.ready(true);
        if ready.is_empty() && self.running.is_empty() {
            // What only seems to be in the way is not waited for any longer.
            ready = self.ready(false);
        }
        if ready.is_empty() && self.running.is_empty() {
            self.try_again();
            ready = self.ready(false);
        }
        ready.truncate(room);
        for path in &ready {
            self.waiting.remove(path);
            self.running.insert(path.clone());
        }
        ready
    }

    /// It is gone.
    pub(crate) fn gone(&mut self, path: &MemberPath) {
        self.running.remove(path);
        self.gone += 1;
    }

    /// It is not.
    pub(crate) fn failed(&mut self, path: &MemberPath, error: String) {
        self.running.remove(path);
        self.failed.insert(path.clone(), (error, self.gone));
    }

    /// Nothing new is begun any more.
    pub(crate) fn stop(&mut self) {
        self.stopping = true;
    }

    pub(crate) fn is_stopping(&self) -> bool {
        self.stopping
    }

    pub(crate) fn running(&self) -> impl Iterator<Item = &MemberPath> {
        self.running.iter()
    }

    /// Whether a failure may be undone by removing something else first.
    pub(crate) fn may_be_tried_again(&self, path: &MemberPath) -> bool {
        !self.stopping
            && self.has_unknown_edges()
            && (!self.waiting.is_empty() || !self.running.is_empty() || self.was_one_gone(path))
    }

    /// What is left at the end.
    pub(crate) fn rest(&self) -> Rest {
        let skipped = self
            .waiting
            .iter()
            .map(|path| (path.clone(), self.reason(path)))
            .collect();
        Rest {
            failed: self
                .failed
                .iter()
                .map(|(path, (error, _))| (path.clone(), error.clone()))
                .collect(),
            skipped,
        }
    }

    fn reason(&self, path: &MemberPath) -> String {
        if self.stopping {
            return "the command ended before its turn".to_owned();
        }
        let users: Vec<String> = self
            .users(path, false)
            .map(|user| format!("'{user}'"))
            .collect();
        if users.is_empty() {
            "secrets go last, and something that may need it is still there".to_owned()
        } else {
            format!("{} still uses it", users.join(", "))
        }
    }

    /// Those that are still there and use it.
    fn users<'a>(
        &'a self,
        path: &'a MemberPath,
        with_guesses: bool,
    ) -> impl Iterator<Item = &'a MemberPath> {
        self.still_there().filter(move |other| {
            *other != path
                && self.nodes.get(*other).is_some_and(|node| {
                    node.uses.as_ref().is_some_and(|uses| uses.contains(path))
                        || (with_guesses && node.seems_to_use.contains(path))
                })
        })
    }

    fn still_there(&self) -> impl Iterator<Item = &MemberPath> {
        self.waiting
            .iter()
            .chain(&self.running)
            .chain(self.failed.keys())
    }

    fn ready(&self, with_guesses: bool) -> Vec<MemberPath> {
        let mut used = BTreeSet::new();
        for other in self.still_there() {
            let Some(node) = self.nodes.get(other) else {
                continue;
            };
            let guesses = with_guesses.then_some(&node.seems_to_use);
            let edges = node.uses.iter().chain(guesses).flatten();
            used.extend(edges.filter(|path| *path != other));
        }
        let others_are_gone = !self
            .waiting
            .iter()
            .chain(&self.running)
            .any(|path| !self.is_secret(path));
        // What failed and does not say what it uses may use any of them.
        let nobody_knows = self
            .failed
            .keys()
            .any(|path| !self.is_secret(path) && self.nodes[path].uses.is_none());
        self.waiting
            .iter()
            .filter(|path| !used.contains(*path))
            .filter(|path| !self.is_secret(path) || (others_are_gone && !nobody_knows))
            .cloned()
            .collect()
    }

    fn is_secret(&self, path: &MemberPath) -> bool {
        self.nodes.get(path).is_some_and(|node| node.is_secret)
    }

    fn has_unknown_edges(&self) -> bool {
        self.nodes.values().any(|node| node.uses.is_none())
    }

    fn was_one_gone(&self, path: &MemberPath) -> bool {
        self.failed
            .get(path)
            .is_some_and(|(_, gone_then)| self.gone > *gone_then)
    }

    /// Where edges are missing, what failed is tried again once others are gone.
    fn try_again(&mut self) {
        if !self.has_unknown_edges() {
            return;
        }
        let again: Vec<MemberPath> = self
            .failed
            .keys()
            .filter(|path| self.was_one_gone(path))
            .cloned()
            .collect();
        for path in again {
            self.failed.remove(&path);
            self.waiting.insert(path);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::{Node, Order};
    use crate::member::MemberPath;

    fn path(name: &str) -> MemberPath {
        MemberPath(vec![name.to_owned()])
    }

    /// `name>used,used` with known edges, `name?guess` without, `*name` a secret.
    fn order(nodes: &[&str]) -> Order {
        let nodes: BTreeMap<MemberPath, Node> = nodes
            .iter()
            .map(|text| {
                let is_secret = text.starts_with('*');
                let text = text.trim_start_matches('*');
                let (name, rest, is_known) = match (text.split_once('>'), text.split_once('?')) {
                    (Some((name, rest)), _) => (name, rest, true),
                    (_, Some((name, rest))) => (name, rest, false),
                    _ => (text, "", true),
                };
                let others = rest.split(',').filter(|n| !n.is_empty()).map(path);
                let node = if is_known {
                    Node {
                        uses: Some(others.collect()),
                        is_secret,
                        ..Node::default()
                    }
                } else {
                    Node {
                        seems_to_use: others.collect(),
                        is_secret,
                        ..Node::default()
                    }
                };
                (path(name), node)
            })
            .collect();
        Order::new(nodes)
    }

    /// Runs to the end; what is refused is refused while any of those is there.
    fn run(mut order: Order, refused: &[(&str, &[&str])]) -> (Vec<String>, Vec<String>) {
        let mut there: Vec<MemberPath> = order.nodes.keys().cloned().collect();
        let mut log = Vec::new();
        loop {
            let batch = order.next(10);
            if batch.is_empty() {
                break;
            }
            let names: Vec<String> = batch.iter().map(ToString::to_string).collect();
            log.push(names.join(" "));
            for going in batch {
                let is_refused = refused.iter().any(|(name, by)| {
                    *name == going.to_string() && by.iter().any(|by| there.contains(&path(by)))
                });
                if is_refused {
                    order.failed(&going, "in use".to_owned());
                } else {
                    there.retain(|other| *other != going);
                    order.gone(&going);
                }
            }
        }
        let left = there.iter().map(ToString::to_string).collect();
        (log, left)
    }

    #[test]
    fn users_go_before_what_they_use_and_secrets_last() {
        for (nodes, refused, log, left) in [
            (
                &["a", "b>a", "c>b"][..],
                &[][..],
                &["c", "b", "a"][..],
                &[][..],
            ),
            (&["a", "b"], &[], &["a b"], &[]),
            // A secret that nobody is known to use still waits.
            (&["*s", "b", "c>b"], &[], &["c", "b", "s"], &[]),
            (&["a", "b?a"], &[], &["b", "a"], &[]),
            // A guess in a circle is given up.
            (&["a?b", "b?a"], &[], &["a b"], &[]),
            // Without edges what is refused is tried again.
            (&["a?", "b?"], &[("a", &["b"][..])], &["a b", "a"], &[]),
            // With edges it is not.
            (&["a", "b"], &[("a", &["b"])], &["a b"], &["a"]),
            // What is used by a failure stays.
            (&["a", "b>a", "c"], &[("b", &["b"])], &["b c"], &["a", "b"]),
            (&["*s", "b?"], &[("b", &["b"])], &["b"], &["b", "s"]),
            (&["*s", "b>"], &[("b", &["b"])], &["b", "s"], &["b"]),
            (&["*s", "b>s"], &[("b", &["b"])], &["b"], &["b", "s"]),
        ] {
            assert_eq!(
                run(order(nodes), refused),
                (
                    log.iter().map(ToString::to_string).collect(),
                    left.iter().map(ToString::to_string).collect()
                ),
                "{nodes:?}"
            );
        }
    }

    #[test]
    fn what_is_left_says_why() {
        let mut order = order(&["a", "b>a", "*s>"]);
        assert_eq!(order.next(10), [path("b")]);
        order.failed(&path("b"), "no".to_owned());
        // The secret is known not to be needed.
        assert_eq!(order.next(10), []);
        let rest = order.rest();
        assert_eq!(rest.failed, [(path("b"), "no".to_owned())]);
        assert_eq!(
            rest.skipped,
            [
                (path("a"), "'b' still uses it".to_owned()),
                (
                    path("s"),
                    "secrets go last, and something that may need it is still there".to_owned()
                )
            ]
        );
    }
}
