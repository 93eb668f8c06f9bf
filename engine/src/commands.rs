//! `plan` and `apply`, from the refresh to the outcome.

use crate::backend::OpenMode;
use crate::failure::{Failure, Problem};
use crate::outcome::Outcome;
use crate::plan::decision;
use crate::plan::planner::PlannedAction;
use crate::plan::refresh::{self, Refreshed};
use crate::plan::report;
use crate::report::saved::SavedPlan;
use crate::report::{Action, Event, PlanReport};
use crate::saved::approved::Approved;
use crate::session::Session;
use crate::signals::Signals;

/// How often an apply looks anew because somebody else records something between
/// its looking and its writing.
const REFRESHES: u32 = 3;

/// What apply would do, as [`plan()`] finds it.
#[derive(Debug)]
pub struct Plan {
    /// For people and machines.
    pub report: PlanReport,
    /// Why apply would refuse the deployment as a whole, if it would.
    refused: Option<Failure>,
}

impl Plan {
    /// How planning ended: whether something is pending, or could not be found out.
    /// Fails if apply would refuse the deployment as a whole, because two members are
    /// the same thing.
    pub fn outcome(self) -> Result<Outcome, Failure> {
        if let Some(refused) = self.refused {
            return Err(refused);
        }
        let plan = &self.report;
        Ok(if plan.counts.refuse + plan.counts.failed > 0 {
            Outcome::Failed
        } else if plan.is_pending() {
            Outcome::Pending
        } else {
            Outcome::Done
        })
    }
}

/// Finds out what apply would do, and changes nothing.
///
/// Evaluates the expression, reads the state, and asks the provider of each member
/// unless [`refresh`](crate::Settings::refresh) is off. What a provider could not say is
/// in the report. Fails if the expression, an input or the state can't be used, and if
/// it is interrupted.
pub async fn plan(session: &Session, signals: &mut Signals) -> Result<Plan, Failure> {
    let refreshed = refresh(session, OpenMode::Read, signals).await?;
    let report = report::report(&session.file.to_string_lossy(), &refreshed);
    session.close(&refreshed.records, signals).await;
    Ok(Plan {
        report,
        refused: refuse_duplicates(&refreshed).err(),
    })
}

/// Finds out the same, and what [`apply_saved`] needs to do exactly that.
///
/// Fails, too, if apply would refuse something, or a provider could not say what it would
/// do: such a plan can't be applied as it is.
pub async fn plan_to_save(
    session: &Session,
    signals: &mut Signals,
) -> Result<(Plan, Option<SavedPlan>), Failure> {
    let refreshed = refresh(session, OpenMode::Read, signals).await?;
    let report = report::report(&session.file.to_string_lossy(), &refreshed);
    let saving = SavedPlan::of(session, &refreshed, report.clone());
    let saved = signals.race(saving).await?;
    session.close(&refreshed.records, signals).await;
    let refused = refuse_duplicates(&refreshed).err();
    let can_be_applied = refused.is_none() && report.counts.refuse + report.counts.failed == 0;
    let plan = Plan { report, refused };
    Ok((plan, if can_be_applied { Some(saved?) } else { None }))
}

/// Does what a saved plan shows, and no more.
///
/// Plans anew first, and fails with [`SavedError::Moved`](crate::SavedError::Moved) if
/// anything differs, before anything is done. What only becomes known meanwhile is done
/// where the plan said so; a member that would be touched otherwise fails. The frontend is
/// told the same as by [`apply()`].
pub async fn apply_saved(
    session: &mut Session,
    saved: SavedPlan,
    signals: &mut Signals,
) -> Result<Outcome, Failure> {
    session.targets = saved.targets().to_vec();
    let mut refreshed = refresh(session, OpenMode::Read, signals).await?;
    let plan = report::report(&session.file.to_string_lossy(), &refreshed);
    let comparing = async {
        let now = SavedPlan::of(session, &refreshed, plan.clone()).await?;
        saved.compare(&now, &refreshed.records).await?;
        Ok::<_, Failure>(())
    };
    let compared = signals.race(comparing).await;
    if let Err(failure) = compared.unwrap_or_else(|interrupted| Err(interrupted.into())) {
        session.close(&refreshed.records, signals).await;
        return Err(failure);
    }
    session.approved = Some(Approved::from(saved));
    if refreshed.records.absent().is_empty() {
        refreshed.only_looked = true;
    } else {
        // The plan shows that they are made; what they are is known only then.
        session.close(&refreshed.records, signals).await;
        refreshed = refresh(session, OpenMode::CreateIfMissing, signals).await?;
    }
    if plan.has_work() {
        let beginning = async {
            refresh::open_to_write(session, &mut refreshed).await?;
            crate::apply::begin(session, &refreshed).await
        };
        signals.race(beginning).await??;
    }
    session.ui.event(&Event::Plan { plan });
    carry_out(session, refreshed, signals).await
}

/// Creates or updates resources to match the deployment file.
///
/// The frontend is told the plan, then each resource as it begins and ends, and a
/// [`Summary`](crate::report::Summary) last. Each result is recorded at once, so that
/// the next apply goes on where this one ended. The first interruption lets what runs
/// finish, the second ends it. Fails if nothing could be begun; what failed from then on
/// is told, and the outcome says so.
pub async fn apply(session: &Session, signals: &mut Signals) -> Result<Outcome, Failure> {
    let mut attempt = 1;
    let refreshed = loop {
        let mut refreshed = refresh(session, OpenMode::CreateIfMissing, signals).await?;
        let plan = report::report(&session.file.to_string_lossy(), &refreshed);
        let planned = || refuse_duplicates(&refreshed).and_then(|()| refuse_refusals(&plan));
        let opened = match planned() {
            Ok(()) if plan.has_work() => {
                let beginning = async {
                    refresh::open_to_write(session, &mut refreshed).await?;
                    crate::apply::begin(session, &refreshed).await
                };
                signals
                    .race(beginning)
                    .await
                    .unwrap_or_else(|interrupted| Err(interrupted.into()))
            }
            refused => refused,
        };
        // What was decided goes by what is no longer recorded.
        if matches!(opened, Err(Failure::Overtaken)) && attempt < REFRESHES {
            attempt += 1;
            continue;
        }
        session.ui.event(&Event::Plan { plan });
        opened?;
        break refreshed;
    };
    carry_out(session, refreshed, signals).await
}

/// Applies what was found, and says how it ended.
async fn carry_out(
    session: &Session,
    refreshed: Refreshed,
    signals: &mut Signals,
) -> Result<Outcome, Failure> {
    let summary = crate::apply::apply(session, refreshed, signals).await?;
    // Everything is recorded.
    let _ = signals.race(session.providers.close()).await;
    for skip in &summary.skipped {
        session.ui.event(&Event::Skipped {
            path: skip.path.clone(),
            reason: skip.reason.clone(),
        });
    }
    let outcome = if summary.success {
        Outcome::Done
    } else {
        Outcome::Failed
    };
    session.ui.event(&Event::Summary(summary));
    Ok(outcome)
}

async fn refresh(
    session: &Session,
    mode: OpenMode,
    signals: &mut Signals,
) -> Result<Refreshed, Failure> {
    signals.race(refresh::refresh(session, mode)).await?
}

/// Two members that are the same thing would undo each other's work.
fn refuse_duplicates(refreshed: &Refreshed) -> Result<(), Failure> {
    let decided = refreshed
        .propagated
        .iter()
        .filter_map(|(member, planned_action)| {
            let PlannedAction::Decided(decision) = planned_action else {
                return None;
            };
            Some((&member.path, member.kind.as_str(), &**decision))
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
