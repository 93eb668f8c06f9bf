//! Recorded outputs.

pub(crate) mod select;

use crate::backend;
use crate::failure::Failure;
use crate::member::MemberPath;
use crate::report::FORMAT;
use crate::report::graph::OutputsReport;
use crate::session::Session;
use crate::signals::Signals;

/// The outputs that `wanted` names, as they are recorded: those of a member, of all below
/// it, one output, or a part of one; all there are without a name.
///
/// The state is where `location` says, else where it was at the last apply, else where the
/// expression says. Fails if there is no state, or nothing of that name.
pub async fn outputs(
    session: &Session,
    wanted: Option<&MemberPath>,
    location: Option<&str>,
    signals: &mut Signals,
) -> Result<OutputsReport, Failure> {
    let reading = backend::recorded(session, location);
    let (records, _) = signals.race(reading).await??;
    let recorded = records.all();
    let recorded = recorded.map(|(_, path, recorded)| (path, &**recorded.outputs()));
    let found = select::select(recorded, wanted);
    for note in records.notes() {
        session.ui.said("note", note);
    }
    session.close(&records, signals).await;
    Ok(OutputsReport {
        format: FORMAT,
        outputs: found?,
    })
}
