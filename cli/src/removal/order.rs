//! In which order things go: what uses another goes before it. Pure.
//!
//! Where the edges are recorded, they decide. Where they may not be all, as in a
//! state that upstream wrote, an input that equals a recorded output is taken for
//! one. What a server refuses is tried again when something else is gone, because
//! a number or a derivation does not tell what it was made from. Secrets go last,
//! because others may need them to go.

use std::collections::{BTreeMap, BTreeSet};

use crate::member::MemberPath;

/// A resource that is to go.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Node {
    /// What it was made from, as recorded.
    pub(crate) uses: BTreeSet<MemberPath>,
    /// Whether that may not be all.
    pub(crate) is_incomplete: bool,
    /// What it was probably made from.
    pub(crate) seems_to_use: BTreeSet<MemberPath>,
    /// Whether it keeps a secret.
    pub(crate) is_secret: bool,
}

/// How many of those that are still there use something.
#[derive(Debug, Clone, Copy, Default)]
struct Users {
    certain: usize,
    guessed: usize,
}

/// How far a removal is.
#[derive(Debug)]
pub(crate) struct Order {
    nodes: BTreeMap<MemberPath, Node>,
    users: BTreeMap<MemberPath, Users>,
    waiting: BTreeSet<MemberPath>,
    /// Of what waits, what nobody uses, as far as anybody knows or guesses.
    free: BTreeSet<MemberPath>,
    /// Of what waits, what nobody is known to use, and somebody seems to.
    doubtful: BTreeSet<MemberPath>,
    /// What runs, and how many were gone when it began.
    running: BTreeMap<MemberPath, usize>,
    /// What failed, and how many were gone when it began.
    failed: BTreeMap<MemberPath, (String, usize)>,
    gone: usize,
    /// How many of what waits or runs are no secrets.
    others: usize,
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
        let mut users = BTreeMap::<MemberPath, Users>::new();
        for (path, node) in &nodes {
            for used in node.uses.iter().filter(|used| *used != path) {
                users.entry(used.clone()).or_default().certain += 1;
            }
            for used in node.guesses(path) {
                users.entry(used.clone()).or_default().guessed += 1;
            }
        }
        let mut order = Self {
            users,
            waiting: BTreeSet::new(),
            free: BTreeSet::new(),
            doubtful: BTreeSet::new(),
            running: BTreeMap::new(),
            failed: BTreeMap::new(),
            gone: 0,
            others: 0,
            stopping: false,
            nodes,
        };
        let all: Vec<MemberPath> = order.nodes.keys().cloned().collect();
        for path in all {
            order.wait(path);
        }
        order
    }

    fn wait(&mut self, path: MemberPath) {
        if !self.is_secret(&path) {
            self.others += 1;
        }
        self.sort(&path);
        self.waiting.insert(path);
    }

    /// Puts what waits where it belongs now.
    fn sort(&mut self, path: &MemberPath) {
        let users = self.users.get(path).copied().unwrap_or_default();
        self.doubtful.remove(path);
        match (users.certain, users.guessed) {
            (0, 0) => {
                self.free.insert(path.clone());
            }
            (0, _) => {
                self.doubtful.insert(path.clone());
            }
            _ => {}
        }
    }

    /// What to remove now, at most `room`; taken for begun.
    pub(crate) fn next(&mut self, room: usize) -> Vec<MemberPath> {
        if self.stopping {
            return Vec::new();
        }
        let mut ready = self.ready(room, false);
        if ready.is_empty() && self.running.is_empty() {
            // What only seems to be in the way is not waited for any longer.
            ready = self.ready(room, true);
        }
        if ready.is_empty() && self.running.is_empty() && self.try_again() {
            ready = self.ready(room, true);
        }
        for path in &ready {
            self.waiting.remove(path);
            self.free.remove(path);
            self.doubtful.remove(path);
            self.running.insert(path.clone(), self.gone);
        }
        ready
    }

    /// It is gone.
    pub(crate) fn gone(&mut self, path: &MemberPath) {
        self.ended(path);
        self.gone += 1;
        let Some(node) = self.nodes.get(path).cloned() else {
            return;
        };
        for (used, is_guess) in node.all(path) {
            if let Some(users) = self.users.get_mut(used) {
                let count = if is_guess {
                    &mut users.guessed
                } else {
                    &mut users.certain
                };
                *count = count.saturating_sub(1);
            }
            if self.waiting.contains(used) {
                self.sort(used);
            }
        }
    }

    /// It is not.
    pub(crate) fn failed(&mut self, path: &MemberPath, error: String) {
        let gone_then = self.ended(path).unwrap_or(self.gone);
        self.failed.insert(path.clone(), (error, gone_then));
    }

    fn ended(&mut self, path: &MemberPath) -> Option<usize> {
        let begun = self.running.remove(path);
        if begun.is_some() && !self.is_secret(path) {
            self.others -= 1;
        }
        begun
    }

    /// Nothing new is begun any more.
    pub(crate) fn stop(&mut self) {
        self.stopping = true;
    }

    pub(crate) fn is_stopping(&self) -> bool {
        self.stopping
    }

    pub(crate) fn running(&self) -> impl Iterator<Item = &MemberPath> {
        self.running.keys()
    }

    /// Whether a failure may be undone by removing something else first.
    pub(crate) fn may_be_tried_again(&self, path: &MemberPath) -> bool {
        let may_others_go = !self.running.is_empty() || self.waiting.iter().any(|it| it != path);
        !self.stopping && (may_others_go || self.was_one_gone(path))
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
        let still_there = self.waiting.iter().chain(self.failed.keys());
        let users: Vec<String> = still_there
            .filter(|other| *other != path && self.nodes[*other].uses.contains(path))
            .map(|user| format!("'{user}'"))
            .collect();
        if users.is_empty() {
            "secrets go last, and something that may need it is still there".to_owned()
        } else {
            format!("{} still uses it", users.join(", "))
        }
    }

    fn ready(&self, room: usize, with_doubtful: bool) -> Vec<MemberPath> {
        // What failed and does not say all that it uses may use any of them.
        let may_secrets_go = self.others == 0
            && !self
                .failed
                .keys()
                .any(|path| !self.is_secret(path) && self.nodes[path].is_incomplete);
        let doubtful = with_doubtful.then_some(&self.doubtful);
        self.free
            .iter()
            .chain(doubtful.into_iter().flatten())
            .filter(|path| may_secrets_go || !self.is_secret(path))
            .take(room)
            .cloned()
            .collect()
    }

    fn is_secret(&self, path: &MemberPath) -> bool {
        self.nodes.get(path).is_some_and(|node| node.is_secret)
    }

    fn was_one_gone(&self, path: &MemberPath) -> bool {
        self.failed
            .get(path)
            .is_some_and(|(_, gone_then)| self.gone > *gone_then)
    }

    /// What failed is tried again once others are gone.
    fn try_again(&mut self) -> bool {
        let again: Vec<MemberPath> = self
            .failed
            .keys()
            .filter(|path| self.was_one_gone(path))
            .cloned()
            .collect();
        for path in &again {
            self.failed.remove(path);
            self.wait(path.clone());
        }
        !again.is_empty()
    }
}

impl Node {
    /// What it seems to use beside what it is known to.
    fn guesses<'a>(&'a self, path: &'a MemberPath) -> impl Iterator<Item = &'a MemberPath> {
        let guesses = self.seems_to_use.iter();
        guesses.filter(move |used| *used != path && !self.uses.contains(*used))
    }

    /// What it uses, and whether that is a guess.
    fn all<'a>(&'a self, path: &'a MemberPath) -> impl Iterator<Item = (&'a MemberPath, bool)> {
        let known = self.uses.iter().filter(move |used| *used != path);
        let known = known.map(|used| (used, false));
        known.chain(self.guesses(path).map(|used| (used, true)))
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
                        uses: others.collect(),
                        is_secret,
                        ..Node::default()
                    }
                } else {
                    Node {
                        is_incomplete: true,
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
            // And with edges, which may not tell of a number.
            (&["a", "b"], &[("a", &["b"])], &["a b", "a"], &[]),
            // But not where nothing else is gone.
            (&["a", "b>a"], &[("b", &["a"])], &["b"], &["a", "b"]),
            (&["a", "b"], &[("a", &["a"])], &["a b", "a"], &["a"]),
            // What is used by a failure stays.
            (
                &["a", "b>a", "c"],
                &[("b", &["b"])],
                &["b c", "b"],
                &["a", "b"],
            ),
            (&["*s", "b?"], &[("b", &["b"])], &["b"], &["b", "s"]),
            (&["*s", "b>"], &[("b", &["b"])], &["b", "s", "b"], &["b"]),
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
