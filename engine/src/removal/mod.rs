//! Destroying: what goes, in which order, and doing it.

pub(crate) mod destroy;
mod examples;

pub(crate) mod gc;
mod leave;
mod live;
mod order;
mod orphans;
mod run;
mod servers;
mod target;
mod unrecorded;
mod warnings;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use nixops4_protocol::state::{Extension, RecordedResource};
use serde_json::Value;

use crate::failure::{Failure, Problem};
use crate::frontend::Answer;
use crate::member::MemberPath;
use crate::outcome::Outcome;
use crate::records::Records;
use crate::report::{Event, FORMAT, Removal, RemovalAction, RemovalReport, Summary};
use crate::session::Session;
use crate::signals::Signals;
use order::Node;
use target::Target;

/// The shortest text that an edge is guessed from.
const TELLING: usize = 2;

/// Everything that is recorded, by its place.
pub(crate) type Recorded = BTreeMap<MemberPath, (MemberPath, Arc<RecordedResource>)>;

/// Everything that is recorded: the state resource, and what it says.
pub(crate) fn recorded(records: &Records) -> Recorded {
    records
        .all()
        .map(|(backend, path, recorded)| {
            (
                path.clone(),
                (backend.clone(), Arc::new(recorded.resource())),
            )
        })
        .collect()
}

/// What was found beside the targets.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    pub(crate) renamed: Vec<crate::report::Renamed>,
    pub(crate) retained: Vec<crate::report::Orphan>,
    pub(crate) notes: Vec<String>,
}

/// How a removal is done.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RemovalOptions {
    /// Nobody is asked.
    pub(crate) yes: bool,
    /// How the state's history calls it.
    pub(crate) event: &'static str,
    /// What must not go is left alone with what it uses, and the rest goes;
    /// otherwise nothing does.
    pub(crate) leaves: bool,
}

/// Shows what would go, asks, and does it.
pub(crate) async fn remove(
    session: &Session,
    targets: Vec<Target>,
    mut findings: Findings,
    records: &Records,
    options: RemovalOptions,
    signals: &mut Signals,
) -> Result<Outcome, Failure> {
    let recorded = recorded(records);
    // Of what is recorded under two names, the old one tells the dependencies
    // that it had when it was still called that.
    let outdated: BTreeSet<MemberPath> = findings
        .renamed
        .iter()
        .filter(|renamed| recorded.contains_key(&renamed.to))
        .map(|renamed| renamed.from.clone())
        .collect();
    let mut unclear = Vec::new();
    let targets = if options.leaves {
        let (going, left) = leave::leave(targets, &recorded, &outdated);
        for (target, reason) in left {
            if target.is_unclear {
                unclear.push(target.failure(reason));
            } else {
                let path = &target.path;
                findings
                    .notes
                    .push(format!("'{path}' is left alone: {reason}"));
            }
        }
        going
    } else {
        targets
    };
    let mut warnings = signals.race(warnings::warnings(session, &targets)).await?;
    let resources = targets.iter().map(|target| Removal {
        warnings: warnings.remove(&target.path).unwrap_or_default(),
        ..target.report()
    });
    let report = RemovalReport {
        format: FORMAT,
        resources: resources.collect(),
        renamed: findings.renamed,
        retained: findings.retained,
        notes: findings.notes,
    };
    session.ui.event(&Event::Removal {
        plan: report.clone(),
    });
    refuse(&targets, &recorded, &outdated)?;
    if targets.is_empty() {
        return Ok(end(session, Summary::default(), unclear));
    }
    if !options.yes {
        confirm(session, &report, signals).await?;
    }
    let nodes = nodes(&targets, &recorded);
    let summary = run::run(session, targets, nodes, records, options.event, signals).await;
    Ok(end(session, summary, unclear))
}

/// Says how it ended. What nobody could look at has failed.
fn end(session: &Session, mut summary: Summary, unclear: Vec<crate::report::Failure>) -> Outcome {
    summary.failed.extend(unclear);
    summary.success =
        summary.failed.is_empty() && summary.skipped.is_empty() && !summary.interrupted;
    let outcome = if summary.success {
        Outcome::Done
    } else {
        Outcome::Failed
    };
    session.ui.event(&Event::Summary(summary));
    outcome
}

async fn confirm(
    session: &Session,
    report: &RemovalReport,
    signals: &mut Signals,
) -> Result<(), Failure> {
    let answer = signals.race(session.ui.confirm(report)).await?;
    let answer = answer.map_err(|error| Failure::Io("cannot read the answer".to_owned(), error))?;
    match answer {
        Answer::Yes => Ok(()),
        Answer::No => Err(Failure::NotConfirmed("the answer was not yes")),
        Answer::Nobody => Err(Failure::NotConfirmed(
            "there is nobody to ask; --yes does it without asking",
        )),
    }
}

/// Nothing goes if one of them must not, or something that stays uses it.
fn refuse(
    targets: &[Target],
    recorded: &Recorded,
    outdated: &BTreeSet<MemberPath>,
) -> Result<(), Failure> {
    let users_that_stay = users_that_stay(targets, recorded, outdated);
    let mut problems: Vec<Problem> = targets
        .iter()
        .filter(|target| target.action == RemovalAction::Refuse)
        .map(|target| Problem {
            path: target.path.clone(),
            message: target.note.clone().unwrap_or_default(),
        })
        .collect();
    for target in targets.iter().filter(|target| target.backend.is_some()) {
        if let Some(users) = users_that_stay.get(&target.path) {
            problems.push(Problem {
                path: target.path.clone(),
                message: format!(
                    "{} {} on it and would stay: destroy that too, or change it first and \
                     apply",
                    users.join(", "),
                    if users.len() == 1 {
                        "depends"
                    } else {
                        "depend"
                    }
                ),
            });
        }
    }
    if problems.is_empty() {
        Ok(())
    } else {
        Err(Failure::Forbidden(problems))
    }
}

/// What stays and depends on something, by what that is.
fn users_that_stay(
    targets: &[Target],
    recorded: &Recorded,
    outdated: &BTreeSet<MemberPath>,
) -> BTreeMap<MemberPath, Vec<String>> {
    let mut going: BTreeSet<&MemberPath> = outdated.iter().collect();
    going.extend(targets.iter().map(|target| &target.path));
    let mut users_that_stay = BTreeMap::<MemberPath, Vec<String>>::new();
    for (path, (_, other)) in recorded.iter().filter(|(path, _)| !going.contains(path)) {
        for used in uses(other).into_iter().flatten() {
            let users = users_that_stay.entry(used).or_default();
            users.push(format!("'{path}'"));
        }
    }
    users_that_stay
}

/// The dependencies of a resource, if they were recorded.
fn uses(recorded: &RecordedResource) -> Option<BTreeSet<MemberPath>> {
    let depends_on = recorded.extension.as_ref()?.depends_on.as_ref()?;
    Some(
        depends_on
            .iter()
            .map(|dependency| MemberPath(dependency.path.clone()))
            .collect(),
    )
}

fn nodes(targets: &[Target], recorded: &Recorded) -> BTreeMap<MemberPath, Node> {
    let mut known_texts = BTreeMap::<&str, BTreeSet<&MemberPath>>::new();
    let unrecorded = targets.iter().filter(|target| target.backend.is_none());
    let recorded = recorded
        .iter()
        .map(|(path, (_, resource))| (path, &**resource));
    for (path, resource) in recorded.chain(unrecorded.map(|it| (&it.path, &it.recorded))) {
        for value in resource.output_properties.values() {
            texts(value, &mut |text| {
                known_texts.entry(text).or_default().insert(path);
            });
        }
    }
    targets
        .iter()
        .map(|target| {
            let uses = uses(&target.recorded);
            let mut seems_to_use = BTreeSet::new();
            let extension = target.recorded.extension.as_ref();
            let is_incomplete = !extension.is_some_and(Extension::knows_all);
            if is_incomplete {
                for value in target.recorded.input_properties.values() {
                    texts(value, &mut |text| {
                        // Its own name in its own outputs says nothing.
                        let makers = known_texts.get(text).into_iter().flatten();
                        seems_to_use.extend(makers.map(|path| (*path).clone()));
                    });
                }
                seems_to_use.remove(&target.path);
            }
            let node = Node {
                is_incomplete,
                uses: uses.unwrap_or_default(),
                seems_to_use,
                is_secret: target.holds_secrets(),
            };
            (target.path.clone(), node)
        })
        .collect()
}

/// Every text in a value.
fn texts<'a>(value: &'a Value, take: &mut impl FnMut(&'a str)) {
    match value {
        Value::String(text) if text.len() >= TELLING => take(text),
        Value::Array(values) => values.iter().for_each(|value| texts(value, take)),
        Value::Object(fields) => fields.values().for_each(|value| texts(value, take)),
        _ => {}
    }
}
