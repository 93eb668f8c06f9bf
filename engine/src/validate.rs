//! Checks a deployment as far as nobody has to be asked for that: no server, no state and
//! no secret. Providers only say what they take.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::stream::{self, StreamExt as _};
use nixops4_protocol::describe::KindDescription;
use nixops4_protocol::message::RequestName;
use serde_json::Value;

use crate::dependencies::{self, Dependencies};
use crate::eval::named::canonical;
use crate::eval::{Evaluation, Member};
use crate::failure::Failure;
use crate::member::MemberPath;
use crate::plan::planner;
use crate::plan::report::unknown_members;
use crate::report::FORMAT;
use crate::report::graph::{Problem, Unchecked, ValidationReport};
use crate::schema::Fault;
use crate::session::Session;
use crate::signals::Signals;

/// Checks every member by what its provider says that it takes, and how members go
/// together.
///
/// Evaluates the expression; asks no server, and reads neither a state nor a secret. What
/// is made from outputs is passed over. Fails if the expression can't be evaluated, or if
/// it is interrupted.
pub async fn validate(
    session: &Session,
    signals: &mut Signals,
) -> Result<ValidationReport, Failure> {
    let report = signals.race(check(session)).await??;
    let _ = signals.race(session.providers.close()).await;
    Ok(report)
}

async fn check(session: &Session) -> Result<ValidationReport, Failure> {
    let dependencies = dependencies::of_expression(session).await?;
    let evaluation = &dependencies.evaluation;
    let mut problems: BTreeSet<Problem> = stream::iter(evaluation.members.values())
        .map(async |member| (member, planner::check(session, member).await))
        .buffer_unordered(session.parallel)
        .flat_map(|(member, checked)| stream::iter(of_inputs(member, checked.err())))
        .collect()
        .await;
    problems.extend(of_states(&dependencies));
    problems.extend(of_outputs(&dependencies));
    problems.extend(of_circles(&dependencies));
    problems.extend(of_duplicates(&dependencies));
    let unchecked = evaluation.members.values().flat_map(|member| {
        let unknown = member.unknown.iter();
        unknown.map(|(field, waits_for)| Unchecked {
            path: member.path.clone(),
            field: field.clone(),
            waits_for: waits_for.iter().cloned().collect(),
        })
    });
    Ok(ValidationReport {
        format: FORMAT,
        file: session.file.to_string_lossy().into_owned(),
        valid: problems.is_empty(),
        members: evaluation.members.len(),
        problems: problems.into_iter().collect(),
        unchecked: unchecked.collect(),
        unknown_members: evaluation.structures.iter().map(unknown_members).collect(),
        notes: dependencies.notes,
    })
}

/// What is wrong with a member by itself.
fn of_inputs(member: &Member, faults: Option<Vec<Fault>>) -> Vec<Problem> {
    let faults = faults.into_iter().flatten();
    faults
        .map(|fault| Problem {
            path: member.path.clone(),
            field: fault.field,
            message: fault.message,
        })
        .collect()
}

fn problem(path: &MemberPath, message: String) -> Problem {
    Problem {
        path: path.clone(),
        field: None,
        message,
    }
}

/// Members whose state is kept by nobody, or by something that keeps none.
fn of_states(dependencies: &Dependencies) -> Vec<Problem> {
    let evaluation = &dependencies.evaluation;
    let mut problems = Vec::new();
    for member in evaluation.members.values() {
        let Some(state) = &member.state else { continue };
        let Some(backend) = evaluation.members.get(state) else {
            if !is_unknown(evaluation, state) {
                let message = format!("its state is '{state}', and there is no such member");
                problems.push(problem(&member.path, message));
            }
            continue;
        };
        if backend.state.is_some() {
            let message = format!(
                "its state is '{state}', which names a state itself: set the state of '{state}' \
                 to null"
            );
            problems.push(problem(&member.path, message));
        }
        let keeps_none = dependencies
            .kind(backend)
            .is_some_and(|kind| !kind.offers(RequestName::StateRead));
        if keeps_none {
            let message = format!(
                "its state is '{state}', a {}, which keeps none",
                backend.kind
            );
            problems.push(problem(&member.path, message));
        }
    }
    problems
}

/// Outputs that are used, and that nobody gives.
fn of_outputs(dependencies: &Dependencies) -> Vec<Problem> {
    let evaluation = &dependencies.evaluation;
    let mut problems = Vec::new();
    for (path, outputs) in &dependencies.edges {
        for wanted in outputs {
            let Some(member) = evaluation.members.get(&wanted.path) else {
                continue;
            };
            let Some(kind) = dependencies.kind(member) else {
                continue;
            };
            let properties = kind.outputs.get("properties").and_then(Value::as_object);
            let is_given = properties.is_none_or(|all| all.contains_key(&wanted.output));
            if !is_given {
                let names = properties.into_iter().flatten();
                let names: Vec<&str> = names.map(|(name, _)| name.as_str()).collect();
                let message = format!(
                    "uses {wanted}, which a {} does not have; it has {}",
                    member.kind,
                    names.join(", ")
                );
                problems.push(problem(path, message));
            }
        }
    }
    problems
}

fn of_circles(dependencies: &Dependencies) -> impl Iterator<Item = Problem> {
    dependencies.circles().into_iter().map(|circle| {
        let all = circle.iter().chain(circle.first());
        let names: Vec<String> = all.map(|path| format!("'{path}'")).collect();
        let message = match circle.len() {
            1 => "uses its own output, which is known only once it is applied".to_owned(),
            _ => format!("members wait for each other: {}", names.join(" -> ")),
        };
        problem(&circle[0], message)
    })
}

/// Members that are the same thing, as far as their inputs tell. Only a server tells of
/// others, such as those behind two addresses of it, and `plan` asks it.
fn of_duplicates(dependencies: &Dependencies) -> Vec<Problem> {
    let mut same: BTreeMap<_, Vec<&MemberPath>> = BTreeMap::new();
    for member in dependencies.evaluation.members.values() {
        if let Some(inputs) = leading(dependencies, member) {
            let what = (&member.kind, inputs);
            same.entry(what).or_default().push(&member.path);
        }
    }
    let same = same.into_iter().filter(|(_, paths)| paths.len() > 1);
    same.map(|((kind, _), paths)| {
        let names: Vec<String> = paths.iter().map(|path| format!("'{path}'")).collect();
        let message = format!(
            "{} are the same {kind}: give one of them another name, or remove it",
            names.join(" and ")
        );
        problem(paths[0], message)
    })
    .collect()
}

/// The inputs that lead to a thing, if they are known: those of which its provider says
/// so, or else all of them.
fn leading(dependencies: &Dependencies, member: &Member) -> Option<String> {
    let contract = dependencies.kind(member).map(KindDescription::contract);
    let contract = contract.filter(|it| !it.naming_inputs.is_empty());
    let leads = |name: &str| {
        contract.as_ref().is_none_or(|contract| {
            let mut leading = contract
                .reach
                .inputs()
                .iter()
                .chain(&contract.naming_inputs);
            leading.any(|input| input == name)
        })
    };
    let top = |pointer: &str| pointer.split('/').nth(1).map(str::to_owned);
    let mut unknown = member.unknown.keys();
    if unknown.any(|pointer| top(pointer).is_none_or(|name| leads(&name))) {
        return None;
    }
    let mut inputs = member.inputs.clone();
    inputs.retain(|name, _| leads(name));
    Some(canonical(&Value::Object(inputs)))
}

/// Whether something may stand there once more is known.
fn is_unknown(evaluation: &Evaluation, path: &MemberPath) -> bool {
    let mut structures = evaluation.structures.iter();
    structures.any(|structure| path.is_within(&structure.path))
}
