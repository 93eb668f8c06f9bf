//! State that no member names, because what is recorded in it may be all that is left
//! of those who did.

use nixops4_protocol::message::RequestName;

use super::{OpenMode, open_at, open_if_used};
use crate::eval::{Evaluation, Member};
use crate::failure::Failure;
use crate::memory;
use crate::providers;
use crate::records::{Location, Records};
use crate::session::Session;

/// Opens [`Source::Unnamed`](super::Source::Unnamed).
pub(super) async fn open(
    session: &Session,
    evaluation: &Evaluation,
    mode: OpenMode,
    records: &mut Records,
) -> Result<bool, Failure> {
    let mut opened = false;
    for member in evaluation.members() {
        let is_open = records.is_open(&member.path);
        if is_open || !member.is_known() || !may_keep_state(session, member).await {
            continue;
        }
        session.evaluator.realise(&member.input_paths).await?;
        let location = member.into();
        opened |= if mode == OpenMode::Write {
            open_if_used(session, &location, records).await?
        } else {
            open_at(session, &location, mode, records).await?;
            true
        };
    }
    for location in memory::states(session) {
        if !has_left(&location, evaluation) || records.is_open(&location.label) {
            continue;
        }
        match open_if_used(session, &location, records).await {
            Ok(is_used) => opened |= is_used,
            Err(error) => records.lose(location, &error),
        }
    }
    Ok(opened)
}

/// Whether a member is a state resource, whoever names it.
pub(super) async fn may_keep_state(session: &Session, member: &Member) -> bool {
    if member.state.is_some() {
        return false;
    }
    let realised = session.evaluator.realise(&member.provider_paths).await;
    let command = providers::command(&member.executable, &member.args);
    let (Ok(()), Ok(Some(description))) = (realised, session.providers.describe(&command).await)
    else {
        return false;
    };
    let kind = description.kinds.get(&member.kind);
    kind.is_some_and(|kind| kind.offers(RequestName::StateRead))
}

/// Whether the expression lacks a state that it had, under any name.
pub(super) fn has_left(location: &Location, evaluation: &Evaluation) -> bool {
    let label = &location.label;
    let is_same =
        |member: &Member| member.kind == location.kind && member.inputs == location.inputs;
    !evaluation.members.contains_key(label)
        && !evaluation.members().any(is_same)
        && !evaluation
            .structures
            .iter()
            .any(|structure| label.is_within(&structure.path))
}
