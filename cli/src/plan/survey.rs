//! Finds out what apply would do: evaluates, reads what is recorded, asks the
//! providers, and again until nothing changes. Changes nothing itself, but for
//! the places that keep state when it is the beginning of an apply.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::stream::{self, StreamExt as _};
use nixops4_protocol::Object;

use super::judge::{self, Judgement};
use super::{scope, unnamed};
use crate::eval::{EvalError, Evaluation, Known, Look, Member, Structure};
use crate::failure::{Failure, Problem};
use crate::member::{MemberPath, OutputRef};
use crate::records::{Opening, Records};
use crate::session::Session;
use crate::whereabouts;

/// How often the foreseen outputs of what will change are carried on to those
/// that use them, for display.
const FORESIGHT: usize = 12;

/// What is known before anything is applied.
pub(crate) struct Survey {
    /// By the outputs that are certain.
    pub(crate) evaluation: Evaluation,
    /// What is to be done, by the same.
    pub(crate) judgements: BTreeMap<MemberPath, Judgement>,
    /// The outputs of everything that need not be touched.
    pub(crate) settled: BTreeMap<MemberPath, Object>,
    /// What is recorded.
    pub(crate) records: Records,
    /// Whether the state was only looked at, and may not be there to be written.
    pub(crate) only_looked: bool,
    /// What the reader is shown: the same, with the outputs that are foreseen.
    pub(crate) foreseen: Vec<(Member, Judgement)>,
    /// Places whose members stay unknown, even so.
    pub(crate) structures: Vec<Structure>,
}

/// Remembers what was decided about which inputs.
#[derive(Default)]
struct Judge {
    cache: BTreeMap<MemberPath, (Member, Judgement)>,
}

impl Judge {
    async fn all(
        &mut self,
        session: &Session,
        evaluation: &Evaluation,
        records: &Records,
        keepers: &BTreeSet<MemberPath>,
    ) -> Result<BTreeMap<MemberPath, Judgement>, Failure> {
        let mut judgements = BTreeMap::new();
        let mut to_ask = Vec::new();
        let scope = scope::scope(evaluation, &session.targets);
        let is_wanted = |path: &MemberPath| scope.as_ref().is_none_or(|scope| scope.contains(path));
        for (path, member) in &evaluation.members {
            if !is_wanted(path) {
                continue;
            }
            match self.cache.get(path) {
                _ if records.is_open(path) => {}
                _ if keepers.contains(path) => {
                    judgements.insert(path.clone(), Judgement::Later);
                }
                Some((seen, judgement))
                    if seen == member && !matches!(judgement, Judgement::Later) =>
                {
                    judgements.insert(path.clone(), judgement.clone());
                }
                _ => to_ask.push(member),
            }
        }
        let asked: Vec<_> = stream::iter(to_ask)
            .map(async |member| (member, judge::judge(session, member, records).await))
            .buffer_unordered(session.parallel)
            .collect()
            .await;
        let mut problems = Vec::new();
        for (member, judged) in asked {
            match judged {
                Ok(judgement) => {
                    self.cache
                        .insert(member.path.clone(), (member.clone(), judgement.clone()));
                    judgements.insert(member.path.clone(), judgement);
                }
                Err(judge::Error::Problems(messages)) => {
                    problems.extend(messages.into_iter().map(|message| Problem {
                        path: member.path.clone(),
                        message,
                    }));
                }
                Err(judge::Error::Eval(error)) => return Err(error.into()),
            }
        }
        if problems.is_empty() {
            Ok(judgements)
        } else {
            problems.sort_by(|a, b| a.path.cmp(&b.path));
            Err(Failure::Problems(problems))
        }
    }
}

/// Outputs that a member is believed to have.
type Assumed = BTreeMap<MemberPath, Object>;

/// What a survey begins with.
struct Beginning {
    records: Records,
    /// With what is assumed, if that was evaluated already.
    evaluation: Option<Evaluation>,
    assumed: Assumed,
    only_looked: bool,
}

/// Opens the state. If it is where it was at the last apply, one evaluation tells
/// that and everything else; otherwise a first one tells where the state is.
async fn begin(session: &Session, opening: Opening) -> Result<Beginning, Failure> {
    if let Some(records) = whereabouts::reopen(session).await {
        let all = all_outputs(&records);
        // A mistake in the expression is told by the evaluation below.
        if let Ok(evaluation) = evaluate_as_recorded(session, &records).await
            && whereabouts::is_where_it_was(&evaluation, &records)
        {
            let assumed = recorded_outputs(&evaluation, &records);
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
                only_looked: opening == Opening::Make,
            });
        }
        records.close().await;
    }
    let mut records = Records::default();
    let first = session
        .evaluator
        .evaluate(Look::States, &Known::default())
        .await?;
    open_keepers(session, &first, &mut records, opening).await?;
    Ok(Beginning {
        assumed: recorded_outputs(&first, &records),
        records,
        evaluation: None,
        only_looked: false,
    })
}

/// Opens the state again, to write into it. Its provider refuses what others have
/// changed since it was read, which is only now, so that what they changed since
/// the survey read it is refused here, as [`Failure::Overtaken`].
pub(crate) async fn open_to_write(session: &Session, survey: &mut Survey) -> Result<(), Failure> {
    if !survey.only_looked {
        return Ok(());
    }
    survey.records.close().await;
    let mut records = Records::default();
    let opening = Opening::Make;
    open_keepers(session, &survey.evaluation, &mut records, opening).await?;
    unnamed::open(session, &survey.evaluation, &mut records, opening).await?;
    if !records.are_as(&survey.records).await {
        records.close().await;
        return Err(Failure::Overtaken);
    }
    survey.records = records;
    survey.only_looked = false;
    Ok(())
}

/// Surveys the deployment.
pub(crate) async fn survey(session: &Session, opening: Opening) -> Result<Survey, Failure> {
    let Beginning {
        mut records,
        mut evaluation,
        mut assumed,
        only_looked,
    } = begin(session, opening).await?;
    let mut judge = Judge::default();
    let mut changed = BTreeSet::new();
    let mut rounds = 0;
    let (evaluation, judgements) = loop {
        let evaluation = if let Some(evaluation) = evaluation.take() {
            evaluation
        } else {
            let known = known(&assumed, &records);
            session.evaluator.evaluate(Look::All, &known).await?
        };
        let keepers = keepers(&evaluation);
        let judgements = judge.all(session, &evaluation, &records, &keepers).await?;
        for (path, judgement) in &judgements {
            let is_known = evaluation.members[path].is_known();
            if is_known && !judgement.is_settled() && !matches!(judgement, Judgement::Later) {
                changed.insert(path.clone());
            }
        }
        let mut settled = settled(&evaluation, &judgements);
        settled.retain(|path, _| !changed.contains(path));
        // What is not a target is believed to be as recorded.
        if let Some(scope) = scope::scope(&evaluation, &session.targets) {
            let others = assumed.iter().filter(|(path, _)| !scope.contains(*path));
            settled.extend(others.map(|(path, outputs)| (path.clone(), outputs.clone())));
        }
        let is_stable = settled == assumed;
        assumed = settled;
        if is_stable
            && !open_keepers(session, &evaluation, &mut records, opening).await?
            && !unnamed::open(session, &evaluation, &mut records, opening).await?
        {
            break (evaluation, judgements);
        }
        if is_stable {
            assumed.extend(
                recorded_outputs(&evaluation, &records)
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
        whereabouts::remember(session, &evaluation, &records);
    }
    let (foreseen, structures) = foresee(
        session,
        &mut judge,
        &evaluation,
        &judgements,
        &assumed,
        &records,
    )
    .await?;
    Ok(Survey {
        evaluation,
        judgements,
        settled: assumed,
        records,
        only_looked,
        foreseen,
        structures,
    })
}

/// The resources that others name as their state.
pub(crate) fn keepers(evaluation: &Evaluation) -> BTreeSet<MemberPath> {
    evaluation
        .members
        .values()
        .filter_map(|member| member.state.clone())
        .collect()
}

/// Opens the state resources whose inputs are known; says whether there were any.
pub(crate) async fn open_keepers(
    session: &Session,
    evaluation: &Evaluation,
    records: &mut Records,
    opening: Opening,
) -> Result<bool, Failure> {
    let mut opened = false;
    for path in keepers(evaluation) {
        if records.is_open(&path) {
            continue;
        }
        let Some(member) = evaluation.members.get(&path) else {
            if evaluation
                .structures
                .iter()
                .any(|structure| path.is_within(&structure.path))
            {
                continue;
            }
            return Err(Failure::NoSuchState {
                by: evaluation
                    .members
                    .values()
                    .filter(|member| member.state.as_ref() == Some(&path))
                    .map(|member| member.path.clone())
                    .collect(),
                path,
            });
        };
        if let Some(state) = &member.state {
            return Err(Failure::StateOfState {
                path,
                state: state.clone(),
            });
        }
        if !member.is_known() {
            continue;
        }
        session.evaluator.realise(&member.provider_paths).await?;
        session.evaluator.realise(&member.input_paths).await?;
        judge::check(session, member).await.map_err(|messages| {
            Failure::Problems(
                messages
                    .into_iter()
                    .map(|message| Problem {
                        path: member.path.clone(),
                        message,
                    })
                    .collect(),
            )
        })?;
        records.open(session, &member.into(), opening).await?;
        opened = true;
    }
    Ok(opened)
}

/// What the expression says if everything is as it is recorded.
pub(crate) async fn evaluate_as_recorded(
    session: &Session,
    records: &Records,
) -> Result<Evaluation, EvalError> {
    let all = all_outputs(records);
    let known = known(&all, records);
    session.evaluator.evaluate(Look::All, &known).await
}

/// The outputs of everything that is recorded, whoever keeps it.
fn all_outputs(records: &Records) -> Assumed {
    let all = records.all();
    all.map(|(_, path, recorded)| (path.clone(), recorded.output_properties.clone()))
        .collect()
}

/// What the records say of members, before anybody was asked. What stands in an
/// unknown place is taken from wherever it is recorded.
pub(crate) fn recorded_outputs(
    evaluation: &Evaluation,
    records: &Records,
) -> BTreeMap<MemberPath, Object> {
    let mut outputs = BTreeMap::new();
    for (keeper, path, recorded) in records.all() {
        let is_its_state = match evaluation.members.get(path) {
            Some(member) => member.state.as_ref() == Some(keeper),
            None => evaluation
                .structures
                .iter()
                .any(|structure| path.is_within(&structure.path)),
        };
        if is_its_state {
            outputs.insert(path.clone(), recorded.output_properties.clone());
        }
    }
    outputs
}

pub(crate) fn known(settled: &BTreeMap<MemberPath, Object>, records: &Records) -> Known {
    let mut known = Known::default();
    for (path, outputs) in settled.iter().chain(records.outputs()) {
        // A record may be older than an output that its provider has by now.
        known.add(path, outputs.clone(), false);
    }
    known
}

fn settled(
    evaluation: &Evaluation,
    judgements: &BTreeMap<MemberPath, Judgement>,
) -> BTreeMap<MemberPath, Object> {
    judgements
        .iter()
        .filter(|(path, _)| evaluation.members[*path].is_known())
        .filter_map(|(path, judgement)| match judgement {
            Judgement::Decided(decision) if decision.is_settled() => {
                Some((path.clone(), decision.outputs.clone()))
            }
            _ => None,
        })
        .collect()
}

/// Carries the outputs that providers foresee on to those that use them. What
/// comes out is shown and nothing more.
async fn foresee(
    session: &Session,
    judge: &mut Judge,
    evaluation: &Evaluation,
    judgements: &BTreeMap<MemberPath, Judgement>,
    settled: &BTreeMap<MemberPath, Object>,
    records: &Records,
) -> Result<(Vec<(Member, Judgement)>, Vec<Structure>), Failure> {
    let mut evaluation = evaluation.clone();
    let mut judgements = judgements.clone();
    let mut used = BTreeMap::new();
    for _ in 0..FORESIGHT {
        let foreseen: BTreeMap<MemberPath, Object> = judgements
            .iter()
            .filter(|(path, _)| !settled.contains_key(*path))
            .filter_map(|(path, judgement)| match judgement {
                Judgement::Decided(decision) if !decision.outputs.is_empty() => {
                    Some((path.clone(), decision.outputs.clone()))
                }
                _ => None,
            })
            .collect();
        if foreseen == used || !somebody_waits_for(&evaluation, &foreseen) {
            break;
        }
        let mut known = known(settled, records);
        for (path, outputs) in &foreseen {
            known.add(path, outputs.clone(), false);
        }
        used = foreseen;
        evaluation = session.evaluator.evaluate(Look::All, &known).await?;
        let keepers = keepers(&evaluation);
        judgements = judge.all(session, &evaluation, records, &keepers).await?;
    }
    let structures = evaluation.structures;
    let shown = evaluation
        .members
        .into_iter()
        .filter_map(|(path, member)| Some((member, judgements.remove(&path)?)))
        .collect();
    Ok((shown, structures))
}

fn somebody_waits_for(evaluation: &Evaluation, outputs: &BTreeMap<MemberPath, Object>) -> bool {
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
