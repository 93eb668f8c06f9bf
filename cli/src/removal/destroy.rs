//! `destroy`: everything, or what is named, with the expression or without it.
//!
//! The expression also leads to what no state has.

use super::servers::Servers;
use super::target::{self, Target};
use super::{Aside, Manner, remove, unrecorded};
use crate::apply::Signals;
use crate::commands::Ending;
use crate::eval::{EvalError, Evaluation};
use crate::failure::Failure;
use crate::member::MemberPath;
use crate::plan::survey;
use crate::records::{Opening, Records};
use crate::session::Session;
use crate::whereabouts;

/// What is to be destroyed, and how.
#[derive(Debug, Default)]
pub(crate) struct Wanted<'a> {
    /// Everything at or below these; everything at all if there are none.
    pub(crate) paths: &'a [MemberPath],
    /// Where the state is, if the expression is not asked.
    pub(crate) from_state: Option<&'a str>,
    /// Only records are removed.
    pub(crate) forget: bool,
    /// Nobody is asked.
    pub(crate) yes: bool,
}

/// Destroys what is recorded, and what the expression leads to beside that.
pub(crate) async fn destroy(
    session: &Session,
    wanted: &Wanted<'_>,
    signals: &mut Signals,
) -> Result<Ending, Failure> {
    let records = signals.race(open(session, wanted)).await??;
    let result = destroy_from(session, wanted, &records, signals).await;
    session.close(&records, signals).await;
    result
}

async fn open(session: &Session, wanted: &Wanted<'_>) -> Result<Records, Failure> {
    let opened = whereabouts::open(session, wanted.from_state, Opening::Change).await;
    match opened {
        Err(Failure::Eval(error @ (EvalError::File { .. } | EvalError::NoRoot))) => {
            Err(Failure::NoExpression {
                error: Box::new(error),
                remembered: whereabouts::remembered(session)
                    .iter()
                    .map(ToString::to_string)
                    .collect(),
            })
        }
        other => other,
    }
}

async fn destroy_from(
    session: &Session,
    wanted: &Wanted<'_>,
    records: &Records,
    signals: &mut Signals,
) -> Result<Ending, Failure> {
    let is_chosen = |path: &MemberPath| {
        wanted.paths.is_empty() || wanted.paths.iter().any(|of| path.is_within(of))
    };
    let recorded = super::recorded(records);
    let mut aside = Aside {
        notes: records.notes().to_vec(),
        ..Aside::default()
    };
    let evaluation = if wanted.from_state.is_some() {
        None
    } else {
        signals
            .race(evaluated(session, records, &mut aside))
            .await?
    };
    let servers = evaluation
        .as_ref()
        .map(|evaluation| Servers::new(evaluation, records))
        .unwrap_or_default();
    let mut targets: Vec<Target> = Vec::new();
    for (path, (keeper, resource)) in recorded.into_iter().filter(|(path, _)| is_chosen(path)) {
        let resource = servers.reach(&resource);
        let target = target::target(session, path, Some(keeper), resource, wanted.forget);
        let target = signals.race(target).await?;
        let is_gone = |evaluation: &Evaluation| !evaluation.members.contains_key(&target.path);
        targets.push(if evaluation.as_ref().is_some_and(is_gone) {
            target.without_member()
        } else {
            target
        });
    }
    if let Some(evaluation) = evaluation {
        aside.notes.extend(stays(&evaluation, &targets));
        if !wanted.forget {
            let mut chosen = evaluation;
            chosen.members.retain(|path, _| is_chosen(path));
            let finding = unrecorded::find(session, &chosen, records);
            let found = signals.race(finding).await?;
            targets.extend(found.targets);
            aside.notes.extend(found.notes);
        }
    }
    for path in wanted.paths {
        if !targets.iter().any(|found| found.path.is_within(path)) {
            return Err(Failure::NotRecorded(path.clone()));
        }
    }
    let manner = Manner {
        yes: wanted.yes,
        event: "destroy",
        leaves: false,
    };
    remove(session, targets, aside, records, manner, signals).await
}

/// What the expression says, as far as what is recorded goes. What is recorded can
/// be destroyed without.
async fn evaluated(session: &Session, records: &Records, aside: &mut Aside) -> Option<Evaluation> {
    match survey::evaluate_as_recorded(session, records).await {
        Ok(evaluation) => Some(evaluation),
        Err(error) => {
            aside.notes.push(format!(
                "members that are not recorded, such as those without state, are left alone, \
                 because the expression could not be evaluated: {error}"
            ));
            None
        }
    }
}

/// What whoever has the expression should know.
fn stays(evaluation: &Evaluation, targets: &[Target]) -> Option<String> {
    let stays: Vec<String> = targets
        .iter()
        .filter(|target| evaluation.members.contains_key(&target.path))
        .map(|target| target.path.to_string())
        .collect();
    (!stays.is_empty()).then(|| {
        format!(
            "the next apply makes again what the expression still has: {}",
            stays.join(", ")
        )
    })
}
