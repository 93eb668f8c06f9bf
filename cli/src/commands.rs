//! `plan`, `apply FILE` and `drift`, shown.

use std::path::Path;

use nixops4_resources_engine::report::saved::SavedPlan;
use nixops4_resources_engine::{self as engine, Outcome, SavedError, Session, Signals};

use crate::args::Drift;
use crate::failure::Failure;
use crate::ui::Ui;

/// Shows what apply would do.
pub(crate) async fn plan(
    session: &Session,
    ui: &Ui,
    signals: &mut Signals,
) -> Result<Outcome, Failure> {
    let plan = engine::plan(session, signals).await?;
    ui.plan(&plan.report);
    Ok(plan.outcome()?)
}

/// The same, saved for [`apply_saved`] to do exactly that.
pub(crate) async fn plan_to(
    file: &Path,
    session: &Session,
    ui: &Ui,
    signals: &mut Signals,
) -> Result<Outcome, Failure> {
    let (plan, saved) = engine::plan_to_save(session, signals).await?;
    ui.plan(&plan.report);
    let outcome = plan.outcome()?;
    let saved = saved.ok_or(SavedError::NotSaved);
    saved
        .and_then(|saved| saved.write(file))
        .map_err(engine::Failure::from)?;
    ui.saved(file);
    Ok(outcome)
}

/// Does what a saved plan shows, and no more.
pub(crate) async fn apply_saved(
    file: &Path,
    session: &mut Session,
    ui: &Ui,
    signals: &mut Signals,
) -> Result<Outcome, Failure> {
    let (saved, warning) = SavedPlan::read(file).map_err(engine::Failure::from)?;
    if let Some(warning) = warning {
        ui.said("note", &warning);
    }
    Ok(engine::apply_saved(session, saved, signals).await?)
}

/// Shows how reality differs from what is recorded.
pub(crate) async fn drift(
    session: &Session,
    ui: &Ui,
    wanted: &Drift,
    signals: &mut Signals,
) -> Result<Outcome, Failure> {
    let report = engine::drift(session, wanted.state.as_deref(), &wanted.paths, signals).await?;
    ui.drift(&report);
    Ok(report.outcome())
}
