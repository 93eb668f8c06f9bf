//! What the records give an evaluation.

use std::collections::BTreeMap;

use crate::eval::{EvalError, Evaluation, Known, Look};
use crate::member::{MemberPath, Outputs};
use crate::records::Records;
use crate::session::Session;

/// What the expression says if everything is as it is recorded.
pub(crate) async fn evaluate(
    session: &Session,
    records: &Records,
) -> Result<Evaluation, EvalError> {
    let all = all_outputs(records);
    let known = known(&all, records);
    session.evaluator.evaluate(Look::All, &known).await
}

/// The outputs of everything that is recorded, whoever keeps it.
pub(crate) fn all_outputs(records: &Records) -> BTreeMap<MemberPath, Outputs> {
    let all = records.all();
    all.map(|(_, path, recorded)| (path.clone(), recorded.outputs().clone()))
        .collect()
}

/// What the records say of members, before anybody was asked. What stands in an
/// unknown place is taken from wherever it is recorded.
pub(crate) fn outputs(evaluation: &Evaluation, records: &Records) -> BTreeMap<MemberPath, Outputs> {
    let mut outputs = BTreeMap::new();
    for (backend, path, recorded) in records.all() {
        let is_its_state = match evaluation.members.get(path) {
            Some(member) => member.state.as_ref() == Some(backend),
            None => evaluation
                .structures
                .iter()
                .any(|structure| path.is_within(&structure.path)),
        };
        if is_its_state {
            outputs.insert(path.clone(), recorded.outputs().clone());
        }
    }
    outputs
}

/// What an evaluation may use: these outputs, and those of the state resources.
pub(crate) fn known(settled: &BTreeMap<MemberPath, Outputs>, records: &Records) -> Known {
    let mut known = Known::default();
    for (path, outputs) in settled.iter().chain(records.outputs()) {
        // A record may be older than an output that its provider has by now.
        known.add(path, outputs.clone(), false);
    }
    known
}
