//! `plan` and `apply`, from the survey to the exit code.

use crate::apply::{self, Signals};
use crate::failure::{Failure, Problem};
use crate::plan::decision;
use crate::plan::judge::Judgement;
use crate::plan::report;
use crate::plan::survey::{self, Survey};
use crate::records::Opening;
use crate::report::{Action, Event, PlanReport};
use crate::session::Session;

/// How often an apply looks anew because somebody else records something between
/// its looking and its writing.
const SURVEYS: u32 = 3;

/// How a command ended that did not fail altogether.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ending {
    /// Everything is as wanted.
    Done,
    /// Something failed, and was told.
    Failed,
    /// Changes are pending.
    Pending,
}

/// Shows what apply would do.
pub(crate) async fn plan(session: &Session, signals: &mut Signals) -> Result<Ending, Failure> {
    let survey = surveyed(session, Opening::Look, signals).await?;
    let plan = report::report(&session.file.to_string_lossy(), &survey);
    session.ui.plan(&plan);
    session.close(&survey.records, signals).await;
    refuse_duplicates(&survey)?;
    Ok(if plan.counts.refuse + plan.counts.failed > 0 {
        Ending::Failed
    } else if plan.is_pending() {
        Ending::Pending
    } else {
        Ending::Done
    })
}

/// Makes the deployment what its file says.
pub(crate) async fn apply(session: &Session, signals: &mut Signals) -> Result<Ending, Failure> {
    let mut attempt = 1;
    let survey = loop {
        let mut survey = surveyed(session, Opening::Make, signals).await?;
        let plan = report::report(&session.file.to_string_lossy(), &survey);
        let judged = || refuse_duplicates(&survey).and_then(|()| refuse_refusals(&plan));
        let opened = match judged() {
            Ok(()) if plan.has_work() => {
                let beginning = async {
                    survey::open_to_write(session, &mut survey).await?;
                    apply::begin(session, &survey).await
                };
                signals.race(beginning).await.flatten()
            }
            refused => refused,
        };
        // What was decided goes by what is no longer recorded.
        if matches!(opened, Err(Failure::Overtaken)) && attempt < SURVEYS {
            attempt += 1;
            continue;
        }
        session.ui.event(&Event::Plan { plan });
        opened?;
        break survey;
    };
    let summary = apply::apply(session, survey, signals).await?;
    // Everything is recorded.
    let _ = signals.race(session.providers.close()).await;
    for skip in &summary.skipped {
        session.ui.event(&Event::Skipped {
            path: skip.path.clone(),
            reason: skip.reason.clone(),
        });
    }
    let ending = if summary.success {
        Ending::Done
    } else {
        Ending::Failed
    };
    session.ui.event(&Event::Summary(summary));
    Ok(ending)
}

/// From now on Ctrl-C does not end the process by itself.
pub(crate) fn signals() -> Result<Signals, Failure> {
    Signals::new().map_err(|error| Failure::Io("cannot wait for signals".to_owned(), error))
}

async fn surveyed(
    session: &Session,
    opening: Opening,
    signals: &mut Signals,
) -> Result<Survey, Failure> {
    signals.race(survey::survey(session, opening)).await?
}

/// Two members that are the same thing would undo each other's work.
fn refuse_duplicates(survey: &Survey) -> Result<(), Failure> {
    let decided = survey.foreseen.iter().filter_map(|(member, judgement)| {
        let Judgement::Decided(decision) = judgement else {
            return None;
        };
        Some((&member.path, member.kind.as_str(), decision))
    });
    let problems: Vec<Problem> = decision::duplicates(decided)
        .into_iter()
        .filter_map(|(kind, identity, members)| {
            let names: Vec<String> = members.iter().map(|path| format!("'{path}'")).collect();
            Some(Problem {
                path: members.into_iter().next()?,
                message: format!(
                    "{} are the same {kind} ({identity}): give one of them another name, or \
                     remove it",
                    names.join(" and ")
                ),
            })
        })
        .collect();
    if problems.is_empty() {
        Ok(())
    } else {
        Err(Failure::Problems(problems))
    }
}

fn refuse_refusals(plan: &PlanReport) -> Result<(), Failure> {
    let problems: Vec<Problem> = plan
        .resources
        .iter()
        .filter(|resource| resource.action == Action::Refuse)
        .map(|resource| Problem {
            path: resource.path.clone(),
            message: resource.error.clone().unwrap_or_default(),
        })
        .collect();
    if problems.is_empty() {
        Ok(())
    } else {
        Err(Failure::Refused(problems))
    }
}
