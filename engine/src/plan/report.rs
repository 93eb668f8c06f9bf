//! Puts a refresh into the form that people and machines are shown. Pure.

use std::collections::{BTreeMap, BTreeSet};

use super::decision;
use super::planner::PlannedAction;
use super::refresh::Refreshed;
use crate::eval::{Member, Part, Structure};
use crate::member::{MemberPath, OutputRef};
use crate::records::Records;
use crate::report::{
    Abandoned, Action, FORMAT, PlanCounts, PlanReport, PlannedResource, UnknownMembers, UnknownPart,
};

/// What the refresh found, for its reader.
pub(crate) fn report(file: &str, refreshed: &Refreshed) -> PlanReport {
    let mut resources: Vec<PlannedResource> = refreshed
        .propagated
        .iter()
        .map(|(member, planned_action)| resource(member, planned_action))
        .collect();
    resources.extend(new_states(refreshed));
    resources.sort_by(|a, b| a.path.cmp(&b.path));
    let counts = count(&resources);
    PlanReport {
        format: FORMAT,
        file: file.to_owned(),
        resources,
        unknown_members: refreshed.structures.iter().map(unknown_members).collect(),
        abandoned: abandoned(
            refreshed
                .evaluation
                .members()
                .chain(refreshed.propagated.iter().map(|(member, _)| &**member)),
            &refreshed.structures,
            &refreshed.records,
        ),
        notes: refreshed.records.notes().to_vec(),
        counts,
    }
}

/// The state resources that apply would make.
fn new_states(refreshed: &Refreshed) -> impl Iterator<Item = PlannedResource> {
    let absent = refreshed.records.absent().iter();
    let absent: BTreeSet<&MemberPath> = absent.map(|absent| &absent.path).collect();
    absent
        .into_iter()
        .filter_map(|path| refreshed.evaluation.members.get(path))
        .map(|member| PlannedResource {
            path: member.path.clone(),
            r#type: member.kind.clone(),
            action: Action::Create,
            changes: super::difference::changes(&nixops4_protocol::Object::new(), member),
            at_default: Vec::new(),
            waits_for: Vec::new(),
            note: Some("keeps the state of the others".to_owned()),
            error: None,
        })
}

fn resource(member: &Member, planned_action: &PlannedAction) -> PlannedResource {
    let waits_for: BTreeSet<OutputRef> = member.waits_for().cloned().collect();
    let mut planned = PlannedResource {
        path: member.path.clone(),
        r#type: member.kind.clone(),
        action: Action::Unknown,
        changes: Vec::new(),
        at_default: Vec::new(),
        waits_for: waits_for.into_iter().collect(),
        note: None,
        error: None,
    };
    match planned_action {
        PlannedAction::Later => {
            planned.action = Action::Later;
            planned.note = member
                .state
                .as_ref()
                .map(|state| format!("known once its state, '{state}', is there"));
        }
        PlannedAction::Failed(error) => planned.error = Some(error.clone()),
        PlannedAction::Decided(decision) => {
            planned.action = decision.action;
            planned.note = decision.note.map(str::to_owned);
            if decision.action == Action::Refuse {
                planned.error = Some(decision::refusal(decision));
            }
            planned.changes.clone_from(&decision.changes);
            planned.at_default.clone_from(&decision.at_default);
        }
    }
    planned
}

/// A place whose members are not known, for its reader.
pub(crate) fn unknown_members(structure: &Structure) -> UnknownMembers {
    UnknownMembers {
        path: structure.path.clone(),
        part: match structure.part {
            Part::Members => UnknownPart::Members,
            Part::Member => UnknownPart::Member,
            Part::Resource | Part::Inputs => UnknownPart::Resource,
        },
        waits_for: structure.waits_for.iter().cloned().collect(),
    }
}

/// What is recorded and no longer in the expression. What may still be in an
/// unknown place is not.
pub(crate) fn abandoned<'a>(
    members: impl IntoIterator<Item = &'a Member>,
    structures: &[Structure],
    records: &Records,
) -> Vec<Abandoned> {
    let states: BTreeMap<&MemberPath, Option<&MemberPath>> = members
        .into_iter()
        .map(|member| (&member.path, member.state.as_ref()))
        .collect();
    records
        .all()
        .filter(|(backend, path, _)| states.get(path) != Some(&Some(*backend)))
        .filter(|(_, path, _)| {
            !structures
                .iter()
                .any(|structure| path.is_within(&structure.path))
        })
        .map(|(backend, path, recorded)| Abandoned {
            path: path.clone(),
            r#type: recorded.resource().r#type,
            state: backend.clone(),
        })
        .collect()
}

fn count(resources: &[PlannedResource]) -> PlanCounts {
    let mut counts = PlanCounts::default();
    for resource in resources {
        let counter = match resource.action {
            Action::None => &mut counts.unchanged,
            Action::Create => &mut counts.create,
            Action::Update => &mut counts.update,
            Action::Replace => &mut counts.replace,
            Action::Record => &mut counts.record,
            Action::Ensure => &mut counts.ensure,
            Action::Refuse => &mut counts.refuse,
            Action::Later => &mut counts.later,
            Action::Unknown => &mut counts.failed,
        };
        *counter += 1;
    }
    counts
}
