//! Finds out what apply would do: evaluates, reads what is recorded, asks the
//! providers, and again until nothing changes. Changes nothing itself, but for
//! the places that keep state when it is the beginning of an apply.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use futures_util::stream::{self, StreamExt as _};

use super::planner::{self, PlannedAction};
use super::scope;
use crate::as_recorded;
use crate::backend::{self, OpenMode, Source};
use crate::eval::{Evaluation, Known, Look, Member, Structure};
use crate::failure::{Failure, Problem};
use crate::member::{MemberPath, OutputRef, Outputs};
use crate::memory;
use crate::names;
use crate::records::Records;
use crate::session::Session;

/// How often the propagated outputs of what will change are carried on to those
/// that use them, for display.
const PROPAGATIONS: usize = 12;

/// What is known before anything is applied.
pub(crate) struct Refreshed {
    /// By the outputs that are certain.
    pub(crate) evaluation: Evaluation,
    /// What is to be done, by the same.
    pub(crate) planned_actions: BTreeMap<MemberPath, PlannedAction>,
    /// The outputs of everything that need not be touched.
    pub(crate) settled: BTreeMap<MemberPath, Outputs>,
    /// What is recorded.
    pub(crate) records: Records,
    /// Whether the state was only looked at, and may not be there to be written.
    pub(crate) only_looked: bool,
    /// What the reader is shown: the same, with the outputs that are propagated.
    pub(crate) propagated: Vec<(Arc<Member>, PlannedAction)>,
    /// Places whose members stay unknown, even so.
    pub(crate) structures: Vec<Structure>,
}

/// Remembers what was decided about which inputs.
#[derive(Default)]
struct Planner {
    cache: BTreeMap<MemberPath, (Arc<Member>, PlannedAction)>,
}

impl Planner {
    async fn all(
        &mut self,
        session: &Session,
        evaluation: &Evaluation,
        records: &Records,
        backends: &BTreeSet<MemberPath>,
    ) -> Result<BTreeMap<MemberPath, PlannedAction>, Failure> {
        let mut planned_actions = BTreeMap::new();
        let mut to_ask = Vec::new();
        let scope = scope::scope(evaluation, &session.targets);
        let is_wanted = |path: &MemberPath| scope.as_ref().is_none_or(|scope| scope.contains(path));
        for (path, member) in &evaluation.members {
            if !is_wanted(path) {
                continue;
            }
            match self.cache.get(path) {
                _ if records.is_open(path) => {}
                _ if backends.contains(path) => {
                    planned_actions.insert(path.clone(), PlannedAction::Later);
                }
                Some((seen, planned_action))
                    if seen == member && !matches!(planned_action, PlannedAction::Later) =>
                {
                    planned_actions.insert(path.clone(), planned_action.clone());
                }
                _ => to_ask.push(member),
            }
        }
        let asked: Vec<_> = stream::iter(to_ask)
            .map(async |member| (member, planner::plan_member(session, member, records).await))
            .buffer_unordered(session.parallel)
            .collect()
            .await;
        let mut problems = Vec::new();
        for (member, planned) in asked {
            match planned {
                Ok(planned_action) => {
                    self.cache.insert(
                        member.path.clone(),
                        (Arc::clone(member), planned_action.clone()),
                    );
                    planned_actions.insert(member.path.clone(), planned_action);
                }
                Err(planner::Error::Problems(messages)) => {
                    problems.extend(messages.into_iter().map(|message| Problem {
                        path: member.path.clone(),
                        message,
                    }));
                }
                Err(planner::Error::Eval(error)) => return Err(error.into()),
            }
        }
        if problems.is_empty() {
            Ok(planned_actions)
        } else {
            problems.sort_by(|a, b| a.path.cmp(&b.path));
            Err(Failure::Problems(problems))
        }
    }
}

/// Outputs that a member is believed to have.
type Assumed = BTreeMap<MemberPath, Outputs>;

/// What a refresh begins with.
struct Beginning {
    records: Records,
    /// With what is assumed, if that was evaluated already.
    evaluation: Option<Evaluation>,
    assumed: Assumed,
    only_looked: bool,
}

/// Opens the state. If it is where it was at the last apply, one evaluation tells
/// that and everything else; otherwise a first one tells where the state is.
async fn begin(session: &Session, mode: OpenMode) -> Result<Beginning, Failure> {
    if let Some(records) = reopen(session).await {
        let all = as_recorded::all_outputs(&records);
        // A mistake in the expression is told by the evaluation below.
        if let Ok(evaluation) = as_recorded::evaluate(session, &records).await
            && backend::is_current(&evaluation, &records)
        {
            let assumed = as_recorded::outputs(&evaluation, &records);
            // What another state has recorded of a member is not known of it.
            let is_assumed = |path: &MemberPath| {
                assumed.contains_key(path) || !evaluation.members.contains_key(path)
            };
            // Nor is it clear which of two is right.
            let is_fit = all.len() == records.all().count() && all.keys().all(is_assumed);
            return Ok(Beginning {
                assumed,
                records,
                evaluation: is_fit.then_some(evaluation),
                only_looked: mode == OpenMode::CreateIfMissing,
            });
        }
        records.close().await;
    }
    let mut records = Records::default();
    let first = session
        .evaluator
        .evaluate(Look::States, &Known::default())
        .await?;
    backend::open(session, Source::Named(&first), mode, &mut records).await?;
    Ok(Beginning {
        assumed: as_recorded::outputs(&first, &records),
        records,
        evaluation: None,
        only_looked: false,
    })
}

/// Opens the state where it was at the last apply, if all of it is still there.
async fn reopen(session: &Session) -> Option<Records> {
    let mut records = Records::default();
    let opened = backend::open(session, Source::Remembered, OpenMode::Read, &mut records).await;
    // Why not is told when it is opened where the expression says.
    if opened.ok()? && records.absent().is_empty() {
        Some(records)
    } else {
        records.close().await;
        None
    }
}

/// Opens the state again, to write into it. Its provider refuses what others have
/// changed since it was read, which is only now, so that what they changed since
/// the refresh read it is refused here, as [`Failure::Overtaken`].
pub(crate) async fn open_to_write(
    session: &Session,
    refreshed: &mut Refreshed,
) -> Result<(), Failure> {
    if !refreshed.only_looked {
        return Ok(());
    }
    refreshed.records.close().await;
    let mut records = Records::default();
    for source in [Source::Named, Source::Unnamed] {
        let source = source(&refreshed.evaluation);
        backend::open(session, source, OpenMode::CreateIfMissing, &mut records).await?;
    }
    if !records.are_as(&refreshed.records).await {
        records.close().await;
        return Err(Failure::Overtaken);
    }
    refreshed.records = records;
    refreshed.only_looked = false;
    Ok(())
}

/// Refreshes the deployment.
pub(crate) async fn refresh(session: &Session, mode: OpenMode) -> Result<Refreshed, Failure> {
    let Beginning {
        mut records,
        mut evaluation,
        mut assumed,
        only_looked,
    } = begin(session, mode).await?;
    let mut planner = Planner::default();
    let mut changed = BTreeSet::new();
    let mut rounds = 0;
    let (evaluation, planned_actions) = loop {
        let evaluation = if let Some(evaluation) = evaluation.take() {
            evaluation
        } else {
            let known = as_recorded::known(&assumed, &records);
            session.evaluator.evaluate(Look::All, &known).await?
        };
        let backends = evaluation.state_members();
        let planned_actions = planner
            .all(session, &evaluation, &records, &backends)
            .await?;
        for (path, planned_action) in &planned_actions {
            let is_known = evaluation.members[path].is_known();
            if is_known
                && !planned_action.is_settled()
                && !matches!(planned_action, PlannedAction::Later)
            {
                changed.insert(path.clone());
            }
        }
        let mut settled = settled(&evaluation, &planned_actions);
        settled.retain(|path, _| !changed.contains(path));
        // What is not a target is believed to be as recorded.
        if let Some(scope) = scope::scope(&evaluation, &session.targets) {
            let others = assumed.iter().filter(|(path, _)| !scope.contains(*path));
            settled.extend(others.map(|(path, outputs)| (path.clone(), outputs.clone())));
        }
        let is_stable = settled == assumed;
        assumed = settled;
        if is_stable
            && !backend::open(session, Source::Named(&evaluation), mode, &mut records).await?
            && !backend::open(session, Source::Unnamed(&evaluation), mode, &mut records).await?
        {
            break (evaluation, planned_actions);
        }
        if is_stable {
            assumed.extend(
                as_recorded::outputs(&evaluation, &records)
                    .into_iter()
                    .filter(|(path, _)| !changed.contains(path)),
            );
        }
        rounds += 1;
        if rounds > evaluation.members.len() + 8 {
            return Err(Failure::Unstable);
        }
    };
    if let Some(target) = scope::misses(&evaluation, &session.targets) {
        let members = evaluation.members.keys().cloned().collect();
        return Err(Failure::NoSuchMember {
            path: target.clone(),
            members,
        });
    }
    if records.absent().is_empty() {
        memory::remember(session, &evaluation, &records);
    }
    names::remember(session, &evaluation, &records, &assumed);
    let (propagated, structures) = propagate(
        session,
        &mut planner,
        &evaluation,
        &planned_actions,
        &assumed,
        &records,
    )
    .await?;
    Ok(Refreshed {
        evaluation,
        planned_actions,
        settled: assumed,
        records,
        only_looked,
        propagated,
        structures,
    })
}

fn settled(
    evaluation: &Evaluation,
    planned_actions: &BTreeMap<MemberPath, PlannedAction>,
) -> BTreeMap<MemberPath, Outputs> {
    planned_actions
        .iter()
        .filter(|(path, _)| evaluation.members[*path].is_known())
        .filter_map(|(path, planned_action)| match planned_action {
            PlannedAction::Decided(decision) if decision.is_settled() => {
                Some((path.clone(), decision.outputs.clone()))
            }
            _ => None,
        })
        .collect()
}

/// Carries the outputs that providers plan on to those that use them. What
/// comes out is shown and nothing more.
async fn propagate(
    session: &Session,
    planner: &mut Planner,
    evaluation: &Evaluation,
    planned_actions: &BTreeMap<MemberPath, PlannedAction>,
    settled: &BTreeMap<MemberPath, Outputs>,
    records: &Records,
) -> Result<(Vec<(Arc<Member>, PlannedAction)>, Vec<Structure>), Failure> {
    let mut evaluation = evaluation.clone();
    let mut planned_actions = planned_actions.clone();
    let mut used = BTreeMap::new();
    for _ in 0..PROPAGATIONS {
        let propagated: BTreeMap<MemberPath, Outputs> = planned_actions
            .iter()
            .filter(|(path, _)| !settled.contains_key(*path))
            .filter_map(|(path, planned_action)| match planned_action {
                PlannedAction::Decided(decision) if !decision.outputs.is_empty() => {
                    Some((path.clone(), decision.outputs.clone()))
                }
                _ => None,
            })
            .collect();
        if propagated == used || !somebody_waits_for(&evaluation, &propagated) {
            break;
        }
        let mut known = as_recorded::known(settled, records);
        for (path, outputs) in &propagated {
            known.add(path, outputs.clone(), false);
        }
        used = propagated;
        evaluation = session.evaluator.evaluate(Look::All, &known).await?;
        let backends = evaluation.state_members();
        planned_actions = planner
            .all(session, &evaluation, records, &backends)
            .await?;
    }
    let structures = evaluation.structures;
    let shown = evaluation
        .members
        .into_iter()
        .filter_map(|(path, member)| Some((member, planned_actions.remove(&path)?)))
        .collect();
    Ok((shown, structures))
}

fn somebody_waits_for(evaluation: &Evaluation, outputs: &BTreeMap<MemberPath, Outputs>) -> bool {
    let is_there = |wanted: &OutputRef| {
        outputs
            .get(&wanted.path)
            .is_some_and(|outputs| outputs.contains_key(&wanted.output))
    };
    let inputs = evaluation
        .members
        .values()
        .flat_map(|member| member.unknown.values());
    let structures = evaluation
        .structures
        .iter()
        .map(|structure| &structure.waits_for);
    inputs
        .chain(structures)
        .any(|waits_for| waits_for.is_empty() || waits_for.iter().any(is_there))
}
