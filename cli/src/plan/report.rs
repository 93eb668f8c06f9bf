//! Puts a survey into the form that people and machines are shown. Pure.

use std::collections::{BTreeMap, BTreeSet};

use super::decision;
use super::judge::Judgement;
use super::survey::Survey;
use crate::eval::{Member, Part, Structure};
use crate::member::{MemberPath, OutputRef};
use crate::records::Records;
use crate::report::{
    Abandoned, Action, FORMAT, PlanCounts, PlanReport, PlannedResource, UnknownMembers, UnknownPart,
};

/// What the survey found, for its reader.
pub(crate) fn report(file: &str, survey: &Survey) -> PlanReport {
    let mut resources: Vec<PlannedResource> = survey
        .foreseen
        .iter()
        .map(|(member, judgement)| resource(member, judgement))
        .collect();
    resources.extend(new_states(survey));
    resources.sort_by(|a, b| a.path.cmp(&b.path));
    let counts = count(&resources);
    PlanReport {
        format: FORMAT,
        file: file.to_owned(),
        resources,
        unknown_members: survey.structures.iter().map(unknown_members).collect(),
        abandoned: abandoned(
            survey
                .evaluation
                .members
                .values()
                .chain(survey.foreseen.iter().map(|(member, _)| member)),
            &survey.structures,
            &survey.records,
        ),
        notes: survey.records.notes().to_vec(),
        counts,
    }
}

/// The state resources that apply would make.
fn new_states(survey: &Survey) -> impl Iterator<Item = PlannedResource> {
    let absent = survey.records.absent().iter();
    let absent: BTreeSet<&MemberPath> = absent.map(|absent| &absent.path).collect();
    absent
        .into_iter()
        .filter_map(|path| survey.evaluation.members.get(path))
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

fn resource(member: &Member, judgement: &Judgement) -> PlannedResource {
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
    match judgement {
        Judgement::Later => {
            planned.action = Action::Later;
            planned.note = member
                .state
                .as_ref()
                .map(|state| format!("known once its state, '{state}', is there"));
        }
        Judgement::Failed(error) => planned.error = Some(error.clone()),
        Judgement::Decided(decision) => {
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

fn unknown_members(structure: &Structure) -> UnknownMembers {
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
        .filter(|(keeper, path, _)| states.get(path) != Some(&Some(*keeper)))
        .filter(|(_, path, _)| {
            !structures
                .iter()
                .any(|structure| path.is_within(&structure.path))
        })
        .map(|(keeper, path, recorded)| Abandoned {
            path: path.clone(),
            r#type: recorded.r#type.clone(),
            state: keeper.clone(),
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
