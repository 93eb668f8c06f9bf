//! A deployment that is made up and edited at random.

use std::collections::{BTreeMap, BTreeSet};

use rand::RngExt as _;
use rand::rngs::StdRng;
use serde_json::{Value, json};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Password,
    Role,
    Database,
    Tenant,
    Membership,
}

impl Kind {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Password => "password",
            Self::Role => "role",
            Self::Database => "database",
            Self::Tenant => "tenant",
            Self::Membership => "membership",
        }
    }
}

/// A member of the deployment.
#[derive(Debug, Clone)]
pub(super) struct Node {
    pub(super) kind: Kind,
    /// The name of what it makes; a membership has none.
    pub(super) thing: String,
    /// The member whose output it uses: a password, a database's owner, or who
    /// becomes a member.
    pub(super) uses: Option<String>,
    /// Of a membership.
    pub(super) group: Option<String>,
    /// The generation of a password, or else a limit of connections.
    pub(super) value: u64,
    pub(super) retain: bool,
}

/// What is there and can be told apart: kind and name, as `database shop`.
pub(super) type Thing = String;

#[derive(Debug, Default)]
pub(super) struct Model {
    pub(super) members: BTreeMap<String, Node>,
    pub(super) made: u64,
    /// Everything that an apply which succeeded has made, and what it is known
    /// by for as long as it is there.
    pub(super) known: BTreeMap<Thing, String>,
    /// What was known when its member left, and stays.
    pub(super) retained: BTreeSet<Thing>,
}

impl Model {
    pub(super) fn json(&self) -> Value {
        let members = self.members.iter().map(|(name, node)| {
            let entry = json!({
                "kind": node.kind.name(), "thing": node.thing, "uses": node.uses,
                "group": node.group, "value": node.value, "retain": node.retain,
            });
            (name.clone(), entry)
        });
        Value::Object(members.collect())
    }

    pub(super) fn of(&self, kind: Kind, random: &mut StdRng) -> Option<String> {
        let all: Vec<_> = self
            .members
            .iter()
            .filter(|(_, it)| it.kind == kind)
            .collect();
        let at = (!all.is_empty()).then(|| random.random_range(0..all.len()))?;
        Some(all[at].0.clone())
    }

    pub(super) fn any(&self, random: &mut StdRng) -> Option<String> {
        let at = random.random_range(0..self.members.len().max(1));
        self.members.keys().nth(at).cloned()
    }

    /// Edits it; what was renamed from and to what is given.
    pub(super) fn edit(&mut self, random: &mut StdRng) -> Option<(String, String)> {
        match (random.random_range(0..10), self.any(random)) {
            (0..=1, Some(name)) => self.remove(&name, random),
            (2..=3, Some(name)) => {
                let role = self.of(Kind::Role, random);
                let node = self.members.get_mut(&name).expect("it is there");
                match node.kind {
                    Kind::Password => node.value += 1,
                    Kind::Database if random.random() => node.uses = role,
                    _ => node.value = random.random_range(1..50),
                }
            }
            (4, Some(name)) => {
                let node = self.members.remove(&name).expect("it is there");
                self.made += 1;
                let new = format!("n{}", self.made);
                for other in self.members.values_mut() {
                    for used in [&mut other.uses, &mut other.group] {
                        if used.as_ref() == Some(&name) {
                            *used = Some(new.clone());
                        }
                    }
                }
                self.members.insert(new.clone(), node);
                return Some((name, new));
            }
            _ => self.add(random),
        }
        None
    }

    pub(super) fn add(&mut self, random: &mut StdRng) {
        self.made += 1;
        let number = self.made;
        let mut node = Node {
            kind: Kind::Role,
            thing: format!("t{number}"),
            uses: None,
            group: None,
            value: random.random_range(1..50),
            retain: random.random_ratio(1, 3),
        };
        let role = self.of(Kind::Role, random);
        match (random.random_range(0..10), role) {
            (0..=1, _) => {
                node.kind = Kind::Password;
                node.value = 1;
            }
            (2, _) => {
                node.kind = Kind::Tenant;
                node.uses = self.of(Kind::Password, random);
            }
            (3..=4, Some(role)) => {
                node.kind = Kind::Database;
                node.uses = Some(role);
            }
            (5..=6, Some(role)) => {
                let group = self.of(Kind::Role, random).expect("there is one");
                let number = |name: &str| self.members[name].thing[1..].parse::<u64>();
                let pair = (number(&role).expect("it"), number(&group).expect("it"));
                let is_there = |other: &Node| {
                    other.uses.as_ref() == Some(&role) && other.group.as_ref() == Some(&group)
                };
                // The newer in the older, so that there is no circle.
                if pair.0 <= pair.1 || self.members.values().any(is_there) {
                    return;
                }
                node.kind = Kind::Membership;
                (node.uses, node.group) = (Some(role), Some(group));
                node.retain = false;
            }
            _ => node.uses = self.of(Kind::Password, random),
        }
        self.members.insert(format!("m{number}"), node);
    }

    pub(super) fn remove(&mut self, name: &str, random: &mut StdRng) {
        let node = self.members.remove(name).expect("it is there");
        if node.retain {
            let things = things(&node);
            let known = things.filter(|thing| self.known.contains_key(thing));
            self.retained.extend(known);
        }
        let heir = self.of(Kind::Role, random);
        let users: Vec<String> = self
            .members
            .iter()
            .filter(|(_, it)| [&it.uses, &it.group].contains(&&Some(name.to_owned())))
            .map(|(user, _)| user.clone())
            .collect();
        for user in users {
            let using = self.members.get_mut(&user).expect("it is there");
            match (using.kind, &heir) {
                (Kind::Role | Kind::Tenant, _) => using.uses = None,
                (Kind::Database, Some(heir)) => using.uses = Some(heir.clone()),
                _ => self.remove(&user, random),
            }
        }
    }

    pub(super) fn wanted(&self) -> BTreeSet<Thing> {
        self.members.values().flat_map(things).collect()
    }
}

/// What a member makes.
pub(super) fn things(node: &Node) -> impl Iterator<Item = Thing> {
    let kinds: &[&str] = match node.kind {
        Kind::Password => &["secret"],
        Kind::Role => &["role"],
        Kind::Database => &["database"],
        Kind::Tenant => &["role", "database"],
        Kind::Membership => &[],
    };
    let name = node.thing.clone();
    kinds.iter().map(move |kind| format!("{kind} {name}"))
}
