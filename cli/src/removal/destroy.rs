//! `destroy`: everything, or what is named, with the expression or without it.

use super::target::{self, Target};
use super::{Aside, Manner, remove};
use crate::apply::Signals;
use crate::commands::Ending;
use crate::eval::{EvalError, Known, Look};
use crate::failure::Failure;
use crate::member::MemberPath;
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

/// Destroys what is recorded.
pub(crate) async fn destroy(
    session: &Session,
    wanted: &Wanted<'_>,
    signals: &mut Signals,
) -> Result<Ending, Failure> {
    let records = tokio::select! {
        records = open(session, wanted) => records?,
        () = signals.next() => return Err(Failure::Interrupted),
    };
    let result = destroy_from(session, wanted, &records, signals).await;
    records.close().await;
    session.providers.close().await;
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
    let recorded = super::recorded(records);
    for path in wanted.paths {
        if !recorded.keys().any(|found| found.is_within(path)) {
            return Err(Failure::NotRecorded(path.clone()));
        }
    }
    let chosen = recorded.into_iter().filter(|(path, _)| {
        wanted.paths.is_empty() || wanted.paths.iter().any(|of| path.is_within(of))
    });
    let mut targets: Vec<Target> = Vec::new();
    for (path, (keeper, resource)) in chosen {
        let target = target::target(
            session,
            path,
            Some(keeper),
            (*resource).clone(),
            wanted.forget,
        );
        targets.push(target.await);
    }
    let mut aside = Aside::default();
    if wanted.from_state.is_none() {
        aside.notes = notes(session, &targets).await?;
    }
    let manner = Manner {
        yes: wanted.yes,
        event: "destroy",
    };
    remove(session, targets, aside, records, manner, signals).await
}

/// What whoever has the expression should know.
async fn notes(session: &Session, targets: &[Target]) -> Result<Vec<String>, Failure> {
    let evaluation = session
        .evaluator
        .evaluate(Look::States, &Known::default())
        .await?;
    let names = |paths: Vec<&MemberPath>| {
        let names: Vec<String> = paths.into_iter().map(ToString::to_string).collect();
        names.join(", ")
    };
    let mut notes = Vec::new();
    let stays: Vec<&MemberPath> = targets
        .iter()
        .map(|target| &target.path)
        .filter(|path| evaluation.members.contains_key(*path))
        .collect();
    if !stays.is_empty() {
        notes.push(format!(
            "the next apply makes again what the expression still has: {}",
            names(stays)
        ));
    }
    Ok(notes)
}
