//! `plan` and `drift`, shown.

use nixops4_resources_engine::{self as engine, Outcome, Session, Signals};

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
