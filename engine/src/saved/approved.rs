//! What may be done while a saved plan is applied: what it shows, and no more. Pure.

use std::collections::BTreeMap;

use nixops4_protocol::message::{Change, PlannedValue};

use super::member::words;
use crate::eval::Member;
use crate::member::MemberPath;
use crate::plan::decision::{Decision, Work};
use crate::report::saved::{SavedMember, SavedPlan};
use crate::report::{Action, PlannedResource};

/// What may be done: what a plan shows, and no more.
pub(crate) struct Approved {
    resources: BTreeMap<MemberPath, PlannedResource>,
    members: BTreeMap<MemberPath, SavedMember>,
    /// Where the plan knows no members.
    unknown: Vec<MemberPath>,
}

impl From<SavedPlan> for Approved {
    fn from(saved: SavedPlan) -> Self {
        let unknown = saved.plan.unknown_members.into_iter();
        let resources = saved.plan.resources.into_iter();
        let members = saved.members.into_iter();
        Self {
            unknown: unknown.map(|unknown| unknown.path).collect(),
            resources: resources.map(|it| (it.path.clone(), it)).collect(),
            members: members.map(|it| (it.path.clone(), it)).collect(),
        }
    }
}

impl Approved {
    /// Fails unless the plan shows what is about to be done with a member, or says that
    /// it is known only then.
    pub(crate) fn check(&self, member: &Member, decision: &Decision) -> Result<(), String> {
        if decision.work == Work::Nothing {
            return Ok(());
        }
        let path = &member.path;
        let refused = |what: &str| {
            Err(format!(
                "it was not touched, because the plan that is applied does not show this: {what}\n\
                 hint: look at it with `nixops4-resources plan`"
            ))
        };
        let Some(planned) = self.resources.get(path) else {
            return if self.unknown.iter().any(|place| path.is_within(place)) {
                Ok(())
            } else {
                refused("the plan does not have this member")
            };
        };
        if planned.action == Action::Later {
            return Ok(());
        }
        if planned.r#type != member.kind || !is_at_most(decision.action, planned.action) {
            return refused(&format!(
                "it says {}, and now {}",
                words(planned.action),
                words(decision.action)
            ));
        }
        let Some(saved) = self.members.get(path) else {
            return refused("it does not say what it would be touched with");
        };
        let here = SavedMember::with(member, saved.unknown.clone());
        let differing = if saved.unknown.contains("") {
            Vec::new()
        } else {
            saved.differing(&here)
        };
        if !differing.is_empty() {
            return refused(&format!("{} is not as planned", differing.join(", ")));
        }
        // What is made is made by its inputs, which are as planned.
        if decision.action == Action::Create {
            return Ok(());
        }
        let is_shown = |change: &Change| is_shown(change, &planned.changes);
        match decision.changes.iter().find(|change| !is_shown(change)) {
            Some(change) if change.path.is_empty() => refused("(inputs) changes otherwise"),
            Some(change) => refused(&format!("{} changes otherwise", change.path)),
            None => Ok(()),
        }
    }
}

/// Whether an action does no more than another.
fn is_at_most(now: Action, planned: Action) -> bool {
    let does = |action: Action| match action {
        Action::None => Some(0),
        Action::Record => Some(1),
        Action::Ensure => Some(2),
        _ => None,
    };
    match (does(now), does(planned)) {
        (Some(now), Some(planned)) => now <= planned,
        (Some(_), None) => true,
        (None, _) => now == planned,
    }
}

/// Whether a change is one of those that were planned, or in a place that was not known.
fn is_shown(change: &Change, planned: &[Change]) -> bool {
    let is_in = |inner: &str, outer: &str| {
        let rest = inner.strip_prefix(outer);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    planned.iter().any(|planned| {
        if planned.after == PlannedValue::Unknown {
            return is_in(&change.path, &planned.path) || is_in(&planned.path, &change.path);
        }
        let is_same_before =
            planned.before == PlannedValue::Unknown || change.before == planned.before;
        change.path == planned.path && change.after == planned.after && is_same_before
    })
}
