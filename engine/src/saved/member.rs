//! A member that is to be touched, as hashes. Pure.

use std::collections::{BTreeMap, BTreeSet};

use nixops4_protocol::Object;
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use crate::eval::Member;
use crate::eval::named::canonical;
use crate::report::Action;
use crate::report::saved::SavedMember;

impl SavedMember {
    pub(super) fn of(member: &Member) -> Self {
        Self::with(member, member.unknown.keys().cloned().collect())
    }

    /// The same as `member`, if nothing of it is looked at where it was `unknown`.
    pub(super) fn with(member: &Member, unknown: BTreeSet<String>) -> Self {
        let mut inputs = Value::Object(member.inputs.clone());
        for pointer in &unknown {
            if let Some(value) = inputs.pointer_mut(pointer) {
                *value = Value::Null;
            }
        }
        let provider = std::iter::once(&member.executable).chain(&member.args);
        Self {
            path: member.path.clone(),
            provider: provider.cloned().collect(),
            state: member.state.clone(),
            inputs: match inputs {
                Value::Object(inputs) => fields(&inputs),
                _ => BTreeMap::new(),
            },
            unknown,
        }
    }

    /// What of it differs, as its author calls it.
    pub(super) fn differing(&self, other: &Self) -> Vec<String> {
        let mut differing = Vec::new();
        if self.provider != other.provider {
            differing.push("provider".to_owned());
        }
        if self.state != other.state {
            differing.push("state".to_owned());
        }
        let names: BTreeSet<&String> = self.inputs.keys().chain(other.inputs.keys()).collect();
        let is_moved = |name: &&&String| self.inputs.get(**name) != other.inputs.get(**name);
        let moved = names.iter().filter(is_moved);
        differing.extend(moved.map(|name| format!("/{}", escape(name))));
        let now_known = self.unknown.symmetric_difference(&other.unknown);
        differing.extend(now_known.cloned());
        differing.dedup();
        differing
    }
}

fn escape(token: &str) -> String {
    token.replace('~', "~0").replace('/', "~1")
}

/// The hash of each input that is there.
fn fields(inputs: &Object) -> BTreeMap<String, String> {
    let there = inputs.iter().filter(|(_, value)| !value.is_null());
    there
        .map(|(name, value)| (name.clone(), hash(value)))
        .collect()
}

/// The same for the same value, whatever the order of its fields.
pub(super) fn hash(value: &Value) -> String {
    hex::encode(Sha256::digest(canonical(value)))
}

/// An action as part of a sentence.
pub(super) fn words(action: Action) -> &'static str {
    match action {
        Action::None => "that nothing is to be done",
        Action::Create => "that it is created",
        Action::Update => "that it is updated",
        Action::Replace => "that it would be replaced",
        Action::Record => "that only its record changes",
        Action::Ensure => "that it is made sure of",
        Action::Refuse => "that it is refused",
        Action::Later => "that it is known only later",
        Action::Unknown => "that nobody can say",
    }
}
