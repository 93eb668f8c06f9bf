//! Destroying: what goes, in which order, and doing it.

pub(crate) mod destroy;
mod examples;
mod foresee;
pub(crate) mod gc;
mod guess;
mod leave;
mod order;
mod orphans;
mod run;
mod servers;
mod target;
mod unrecorded;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use nixops4_protocol::state::{Extension, RecordedResource};
use serde_json::Value;

use crate::apply::Signals;
use crate::commands::Ending;
use crate::failure::{Failure, Problem};
use crate::member::MemberPath;
use crate::records::Records;
use crate::report::{Event, FORMAT, Fate, Removal, RemovalReport, Summary};
use crate::session::Session;
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
        .map(|(keeper, path, recorded)| (path.clone(), (keeper.clone(), Arc::clone(recorded))))
        .collect()
}

/// What was found beside the targets.
#[derive(Debug, Default)]
pub(crate) struct Aside {
    pub(crate) renamed: Vec<crate::report::Renamed>,
    pub(crate) retained: Vec<crate::report::Orphan>,
    pub(crate) notes: Vec<String>,
}

/// How a removal is done.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Manner {
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
    mut aside: Aside,
    records: &Records,
    manner: Manner,
    signals: &mut Signals,
) -> Result<Ending, Failure> {
    let recorded = recorded(records);
    // Of what is recorded under two names, the old one says what it was made from
    // when it was still called that.
    let outdated: BTreeSet<MemberPath> = aside
        .renamed
        .iter()
        .filter(|renamed| recorded.contains_key(&renamed.to))
        .map(|renamed| renamed.from.clone())
        .collect();
    let mut unclear = Vec::new();
    let targets = if manner.leaves {
        let (going, left) = leave::leave(targets, &recorded, &outdated);
        for (target, reason) in left {
            if target.is_unclear {
                unclear.push(target.failure(reason));
            } else {
                let path = &target.path;
                aside
                    .notes
                    .push(format!("'{path}' is left alone: {reason}"));
            }
        }
        going
    } else {
        targets
    };
    let mut warnings = signals.race(foresee::warnings(session, &targets)).await?;
    let resources = targets.iter().map(|target| Removal {
        warnings: warnings.remove(&target.path).unwrap_or_default(),
        ..target.report()
    });
    let report = RemovalReport {
        format: FORMAT,
        resources: resources.collect(),
        renamed: aside.renamed,
        retained: aside.retained,
        notes: aside.notes,
    };
    session.ui.event(&Event::Removal {
        plan: report.clone(),
    });
    refuse(&targets, &recorded, &outdated)?;
    if targets.is_empty() {
        return Ok(end(session, Summary::default(), unclear));
    }
    if !manner.yes {
        session.ui.confirm(&question(&report), signals).await?;
    }
    let nodes = nodes(&targets, &recorded);
    let summary = run::run(session, targets, nodes, records, manner.event, signals).await;
    Ok(end(session, summary, unclear))
}

/// Says how it ended. What nobody could look at has failed.
fn end(session: &Session, mut summary: Summary, unclear: Vec<crate::report::Failure>) -> Ending {
    summary.failed.extend(unclear);
    summary.success =
        summary.failed.is_empty() && summary.skipped.is_empty() && !summary.interrupted;
    let ending = if summary.success {
        Ending::Done
    } else {
        Ending::Failed
    };
    session.ui.event(&Event::Summary(summary));
    ending
}

fn question(report: &RemovalReport) -> String {
    let parts: Vec<String> = [
        (Fate::Delete, "delete"),
        (Fate::Retain, "take out of service"),
        (Fate::Forget, "forget"),
    ]
    .into_iter()
    .map(|(fate, what)| (report.count(fate), what))
    .filter(|(number, _)| *number > 0)
    .map(|(number, what)| format!("{what} {number}"))
    .collect();
    format!("Really {}? Type yes: ", parts.join(" and "))
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
        .filter(|target| target.fate == Fate::Refuse)
        .map(|target| Problem {
            path: target.path.clone(),
            message: target.note.clone().unwrap_or_default(),
        })
        .collect();
    for target in targets.iter().filter(|target| target.keeper.is_some()) {
        if let Some(users) = users_that_stay.get(&target.path) {
            problems.push(Problem {
                path: target.path.clone(),
                message: format!(
                    "{} {} made from it and would stay: destroy that too, or change it first and \
                     apply",
                    users.join(", "),
                    if users.len() == 1 { "was" } else { "were" }
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

/// What stays and was made from something, by what that is.
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

/// What a resource was made from, if that was recorded.
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
    let unrecorded = targets.iter().filter(|target| target.keeper.is_none());
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
                is_secret: target.recorded.r#type.starts_with("secrets_"),
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
