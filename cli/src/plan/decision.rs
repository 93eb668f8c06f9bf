//! What is to be done with one resource. Pure: from what the expression wants,
//! what is recorded, and what the provider says.

use std::collections::BTreeMap;

use nixops4_protocol::Object;
use nixops4_protocol::message::{Action as Planned, Change, PlanResourceResponse, PlannedValue};
use nixops4_protocol::state::RecordedResource;
use serde_json::Value;

use super::difference;
use crate::eval::Member;
use crate::member::MemberPath;
use crate::report::Action;

/// What the provider is asked to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Work {
    /// Nothing.
    Nothing,
    /// `createResourceRequest`
    Create,
    /// `updateResourceRequest`
    Update,
}

/// What is to be done with a resource.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Decision {
    /// How it is shown.
    pub(crate) action: Action,
    pub(crate) work: Work,
    /// What names the resource on its server; null if the provider didn't say.
    pub(crate) identity: Value,
    pub(crate) changes: Vec<Change>,
    /// The outputs that are certain now.
    pub(crate) outputs: Object,
    /// Pointers of the changes that only set what is the default anyway.
    pub(crate) at_default: Vec<String>,
    /// What the reader should know beside the changes.
    pub(crate) note: Option<&'static str>,
}

impl Decision {
    /// Whether nothing is to be done and `outputs` are all its outputs.
    pub(crate) fn is_settled(&self) -> bool {
        self.work == Work::Nothing && self.action == Action::None
    }
}

/// Why a recorded resource can't become this member.
pub(crate) fn type_change(member: &Member, recorded: &RecordedResource) -> Option<String> {
    (recorded.r#type != member.kind).then(|| {
        format!(
            "Resource type change is not supported: '{}' is recorded as {}, and the expression \
             makes it a {}. Give the new one another name; what is recorded under the old name \
             stays as it is",
            member.path, recorded.r#type, member.kind
        )
    })
}

/// Decides without the provider's help: by comparing with what is recorded.
pub(crate) fn compare(member: &Member, recorded: Option<&RecordedResource>) -> Decision {
    let is_stateful = member.state.is_some();
    let nothing = Object::new();
    let before = recorded.map_or(&nothing, |recorded| &recorded.input_properties);
    let changes = difference::changes(before, member);
    let (action, work, note) = match recorded {
        None if !is_stateful => (
            Action::Ensure,
            Work::Create,
            Some("it has no state, so it is made sure of at each apply"),
        ),
        None => (Action::Create, Work::Create, None),
        Some(recorded) if member.is_known() && recorded.input_properties == member.inputs => {
            (Action::None, Work::Nothing, None)
        }
        Some(_) => (
            Action::Update,
            Work::Update,
            Some("compared with its record alone: what a change does to its users is not known"),
        ),
    };
    let settled = action == Action::None;
    Decision {
        action,
        work,
        identity: Value::Null,
        changes: if settled { Vec::new() } else { changes },
        outputs: match recorded {
            Some(recorded) if settled => recorded.output_properties.clone(),
            _ => Object::new(),
        },
        at_default: Vec::new(),
        note,
    }
}

/// Decides by what the provider planned.
pub(crate) fn from_plan(
    member: &Member,
    recorded: Option<&RecordedResource>,
    plan: PlanResourceResponse,
) -> Decision {
    let is_stateful = member.state.is_some();
    let to_write = if recorded.is_some() {
        Work::Update
    } else {
        Work::Create
    };
    let mut outputs = plan.output_properties;
    let mut changes = plan.changes;
    let (action, work, note) = match plan.action {
        Planned::Create => (Action::Create, to_write, None),
        Planned::Update => (Action::Update, to_write, None),
        Planned::Replace => (Action::Replace, to_write, None),
        Planned::Refuse => (Action::Refuse, Work::Nothing, None),
        Planned::None if !member.is_known() => {
            changes = unknown_inputs(member, recorded);
            (
                Action::Update,
                to_write,
                Some("it is as wanted as far as its inputs are known"),
            )
        }
        Planned::None if !is_stateful => {
            if plan.unknown_outputs.is_empty() {
                (Action::None, Work::Nothing, None)
            } else {
                (
                    Action::Ensure,
                    Work::Create,
                    Some("it is as wanted; only apply tells its outputs"),
                )
            }
        }
        Planned::None => match recorded {
            None => (
                Action::Record,
                Work::Create,
                Some("it is there as wanted, and will be recorded"),
            ),
            Some(recorded) if is_recorded(member, recorded, &outputs) => {
                outputs.clone_from(&recorded.output_properties);
                (Action::None, Work::Nothing, None)
            }
            Some(recorded) => {
                changes = difference::changes(&recorded.input_properties, member);
                (
                    Action::Record,
                    Work::Update,
                    Some("it is there as wanted; only its record changes"),
                )
            }
        },
    };
    Decision {
        action,
        work,
        identity: plan.identity,
        changes,
        outputs,
        at_default: Vec::new(),
        note,
    }
}

/// The changes that set something for the first time, and to its default in the
/// JSON Schema of the inputs.
pub(crate) fn at_default(changes: &[Change], schema: &Object) -> Vec<String> {
    let default = |change: &Change| {
        let name = change.path.strip_prefix('/')?;
        schema.get("properties")?.get(name)?.get("default")
    };
    let nothing = PlannedValue::Known(Value::Null);
    changes
        .iter()
        .filter(|change| change.before == nothing && change.note.is_none())
        .filter(|change| match (&change.after, default(change)) {
            (PlannedValue::Known(value), Some(default)) => value == default,
            _ => false,
        })
        .map(|change| change.path.clone())
        .collect()
}

/// Whether the record already says what is there.
fn is_recorded(member: &Member, recorded: &RecordedResource, outputs: &Object) -> bool {
    recorded.input_properties == member.inputs
        && outputs.iter().all(|(name, value)| {
            recorded.output_properties.get(name).unwrap_or(&Value::Null) == value
        })
}

fn unknown_inputs(member: &Member, recorded: Option<&RecordedResource>) -> Vec<Change> {
    let nothing = Object::new();
    let before = recorded.map_or(&nothing, |recorded| &recorded.input_properties);
    difference::changes(before, member)
        .into_iter()
        .filter(|change| change.after == PlannedValue::Unknown)
        .collect()
}

/// Why a planned resource will not be touched, in the provider's words.
pub(crate) fn refusal(decision: &Decision) -> String {
    let reasons: Vec<String> = decision
        .changes
        .iter()
        .filter_map(|change| {
            let note = change.note.as_deref()?;
            Some(if change.path.is_empty() {
                note.to_owned()
            } else {
                format!("{}: {note}", change.path)
            })
        })
        .collect();
    if !reasons.is_empty() {
        return reasons.join("\n");
    }
    let replaced: Vec<&str> = decision
        .changes
        .iter()
        .filter(|change| change.effect == nixops4_protocol::message::Effect::Replace)
        .map(|change| change.path.as_str())
        .collect();
    if replaced.is_empty() {
        "the provider refuses it, and does not say why".to_owned()
    } else {
        format!(
            "{} cannot be changed without making it anew, which would lose what it holds",
            replaced.join(", ")
        )
    }
}

/// Members that mean the same thing: type, identity, and who they are.
pub(crate) fn duplicates<'a>(
    decisions: impl IntoIterator<Item = (&'a MemberPath, &'a str, &'a Decision)>,
) -> Vec<(String, Value, Vec<MemberPath>)> {
    let mut same = BTreeMap::<(String, String), (Value, Vec<MemberPath>)>::new();
    for (path, kind, decision) in decisions {
        if decision.identity.is_null() {
            continue;
        }
        same.entry((kind.to_owned(), decision.identity.to_string()))
            .or_insert_with(|| (decision.identity.clone(), Vec::new()))
            .1
            .push(path.clone());
    }
    same.into_iter()
        .filter(|(_, (_, members))| members.len() > 1)
        .map(|((kind, _), (identity, members))| (kind, identity, members))
        .collect()
}

#[cfg(test)]
mod tests;
