//! State that no member names, because what is recorded in it may be all that is left
//! of those who did.

use nixops4_protocol::message::RequestName;

use crate::eval::{Evaluation, Member};
use crate::failure::Failure;
use crate::providers;
use crate::records::{Location, Opening, Records};
use crate::session::Session;
use crate::whereabouts;

/// Opens the state resources that nobody names, and those that left the expression
/// after the last apply, if something is recorded in them. Says whether there were
/// any. `evaluation` is of everything.
pub(crate) async fn open(
    session: &Session,
    evaluation: &Evaluation,
    records: &mut Records,
    opening: Opening,
) -> Result<bool, Failure> {
    let mut opened = false;
    for member in evaluation.members.values() {
        let is_open = records.is_open(&member.path);
        if is_open || !member.is_known() || !may_keep_state(session, member).await {
            continue;
        }
        session.evaluator.realise(&member.input_paths).await?;
        let location = member.into();
        opened |= if opening == Opening::Change {
            records.open_if_used(session, &location).await?
        } else {
            records.open(session, &location, opening).await?;
            true
        };
    }
    for location in whereabouts::remembered(session) {
        if !has_left(&location, evaluation) || records.is_open(&location.label) {
            continue;
        }
        match records.open_if_used(session, &location).await {
            Ok(is_used) => opened |= is_used,
            Err(error) => records.lose(location, &error),
        }
    }
    Ok(opened)
}

/// Whether a member is a state resource, whoever names it.
pub(crate) async fn may_keep_state(session: &Session, member: &Member) -> bool {
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
pub(crate) fn has_left(location: &Location, evaluation: &Evaluation) -> bool {
    let label = &location.label;
    let is_same =
        |member: &Member| member.kind == location.kind && member.inputs == location.inputs;
    !evaluation.members.contains_key(label)
        && !evaluation.members.values().any(is_same)
        && !evaluation
            .structures
            .iter()
            .any(|structure| label.is_within(&structure.path))
}
