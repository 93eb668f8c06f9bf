//! `destroy`: everything, or what is named, with the expression or without it.
//!
//! The expression also leads to what no state has.

use super::servers::Servers;
use super::target::{self, Target};
use super::{Findings, RemovalOptions, remove, unrecorded};
use crate::as_recorded;
use crate::backend::{self, OpenMode, Source};
use crate::eval::{EvalError, Evaluation};
use crate::failure::Failure;
use crate::member::MemberPath;
use crate::memory;
use crate::outcome::Outcome;
use crate::records::Records;
use crate::session::Session;
use crate::signals::Signals;

/// What is to be destroyed, and how.
#[derive(Debug, Default)]
pub struct Wanted<'a> {
    /// Everything at or below these; everything at all if there are none.
    pub paths: &'a [MemberPath],
    /// Where the state is, if the expression is not asked.
    pub from_state: Option<&'a str>,
    /// Only records are removed.
    pub forget: bool,
    /// Nobody is asked.
    pub yes: bool,
}

/// Removes what is recorded, everything or what is chosen, and what the expression leads
/// to beside that.
///
/// The frontend is told what would go, asked unless `yes` is set, and told how it went.
/// What uses something goes before it. Nothing goes if one of them must not, such as
/// what is protected, or if something that stays uses it.
pub async fn destroy(
    session: &Session,
    wanted: &Wanted<'_>,
    signals: &mut Signals,
) -> Result<Outcome, Failure> {
    let records = signals.race(open(session, wanted)).await??;
    let result = destroy_from(session, wanted, &records, signals).await;
    session.close(&records, signals).await;
    result
}

async fn open(session: &Session, wanted: &Wanted<'_>) -> Result<Records, Failure> {
    let given = wanted.from_state.map(|said| backend::given(session, said));
    let given = given.transpose()?;
    let source = Source::given_or_expression(given.as_ref());
    let mut records = Records::default();
    match backend::open(session, source, OpenMode::Write, &mut records).await {
        Err(Failure::Eval(error @ (EvalError::File { .. } | EvalError::NoRoot))) => {
            Err(Failure::NoExpression {
                error: Box::new(error),
                remembered: memory::states(session)
                    .iter()
                    .map(ToString::to_string)
                    .collect(),
            })
        }
        Err(failure) => Err(failure),
        Ok(_) => Ok(records),
    }
}

async fn destroy_from(
    session: &Session,
    wanted: &Wanted<'_>,
    records: &Records,
    signals: &mut Signals,
) -> Result<Outcome, Failure> {
    let is_chosen = |path: &MemberPath| {
        wanted.paths.is_empty() || wanted.paths.iter().any(|of| path.is_within(of))
    };
    let recorded = super::recorded(records);
    let mut findings = Findings {
        notes: records.notes().to_vec(),
        ..Findings::default()
    };
    let evaluation = if wanted.from_state.is_some() {
        None
    } else {
        signals
            .race(evaluated(session, records, &mut findings))
            .await?
    };
    let servers = match &evaluation {
        Some(evaluation) if !wanted.forget => {
            let servers = Servers::new(session, evaluation, records);
            signals.race(servers).await?
        }
        _ => Servers::default(),
    };
    let mut targets: Vec<Target> = Vec::new();
    for (path, (backend, resource)) in recorded.into_iter().filter(|(path, _)| is_chosen(path)) {
        let target = async {
            let resource = servers.reach(session, &resource).await;
            target::target(session, path, Some(backend), resource, wanted.forget).await
        };
        let target = signals.race(target).await?;
        let is_gone = |evaluation: &Evaluation| !evaluation.members.contains_key(&target.path);
        targets.push(if evaluation.as_ref().is_some_and(is_gone) {
            target.without_member()
        } else {
            target
        });
    }
    if let Some(evaluation) = evaluation {
        findings.notes.extend(stays(&evaluation, &targets));
        if !wanted.forget {
            let mut chosen = evaluation;
            chosen.members.retain(|path, _| is_chosen(path));
            let finding = unrecorded::find(session, &chosen, records);
            let found = signals.race(finding).await?;
            targets.extend(found.targets);
            findings.notes.extend(found.notes);
        }
    }
    for path in wanted.paths {
        if !targets.iter().any(|found| found.path.is_within(path)) {
            return Err(Failure::NotRecorded(path.clone()));
        }
    }
    let options = RemovalOptions {
        yes: wanted.yes,
        event: "destroy",
        leaves: false,
    };
    remove(session, targets, findings, records, options, signals).await
}

/// What the expression says, as far as what is recorded goes. What is recorded can
/// be destroyed without.
async fn evaluated(
    session: &Session,
    records: &Records,
    findings: &mut Findings,
) -> Option<Evaluation> {
    match as_recorded::evaluate(session, records).await {
        Ok(evaluation) => Some(evaluation),
        Err(error) => {
            findings.notes.push(format!(
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
