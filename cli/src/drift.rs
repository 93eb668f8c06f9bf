//! How reality differs from what is recorded: every record is planned against
//! its own inputs. Evaluates nothing unless a record leads to a provider or a server that
//! only the expression can vouch for, and changes nothing.

use std::sync::Arc;

use futures_util::stream::{self, StreamExt as _};
use nixops4_protocol::client::ClientError;
use nixops4_protocol::message::{
    Action, Change, ExtantResource, PlanResourceRequest, PlanResourceResponse, PlannedValue,
    Request, RequestName, Response,
};
use nixops4_protocol::state::RecordedResource;

use crate::apply::Signals;
use crate::commands::Ending;
use crate::failure::Failure;
use crate::member::MemberPath;
use crate::plan::survey;
use crate::records::{Opening, RecordsError};
use crate::report::{Drift, DriftReport, FORMAT, Finding, StateAt, Unseen};
use crate::session::Session;
use crate::whereabouts;

/// What came of looking at one resource.
enum Seen {
    AsRecorded,
    Drifted(Finding),
    Unchecked(String),
    Failed(String),
}

/// Looks at everything that is recorded, or at what stands at or below `paths`.
pub(crate) async fn drift(
    session: &Session,
    location: Option<&str>,
    paths: &[MemberPath],
    signals: &mut Signals,
) -> Result<Ending, Failure> {
    let report = signals.race(look(session, location, paths)).await??;
    session.ui.drift(&report);
    // Everything is told.
    let _ = signals.race(session.providers.close()).await;
    Ok(if !report.failed.is_empty() {
        Ending::Failed
    } else if report.findings.is_empty() {
        Ending::Done
    } else {
        Ending::Pending
    })
}

async fn look(
    session: &Session,
    location: Option<&str>,
    paths: &[MemberPath],
) -> Result<DriftReport, Failure> {
    let is_remembered = location.is_none() && whereabouts::startable(session).is_some();
    let records = whereabouts::open_without_evaluating(session, location, Opening::Look).await?;
    if let Some(absent) = records.absent().first().cloned() {
        let absent = if is_remembered {
            absent.remembered()
        } else {
            absent
        };
        return Err(RecordsError::Absent(absent).into());
    }
    let recorded: Vec<(MemberPath, Arc<RecordedResource>)> = records
        .all()
        .map(|(_, path, recorded)| (path.clone(), Arc::clone(recorded)))
        .collect();
    for path in paths {
        if !recorded.iter().any(|(found, _)| found.is_within(path)) {
            return Err(Failure::NotRecorded(path.clone()));
        }
    }
    let wanted: Vec<_> = recorded
        .into_iter()
        .filter(|(path, _)| paths.is_empty() || paths.iter().any(|of| path.is_within(of)))
        .collect();
    let mut notes = records.notes().to_vec();
    if (wanted.iter()).any(|(_, recorded)| session.trusts(recorded).is_err())
        && let Err(error) = survey::evaluate_as_recorded(session, &records).await
    {
        notes.push(format!(
            "the expression could not be asked which providers and servers it names: {error}"
        ));
    }
    let mut seen: Vec<_> = stream::iter(wanted)
        .map(async |(path, recorded)| {
            let seen = look_at(session, &path, &recorded).await;
            (path, recorded, seen)
        })
        .buffer_unordered(session.parallel)
        .collect()
        .await;
    seen.sort_by(|(a, ..), (b, ..)| a.cmp(b));
    let mut report = DriftReport {
        format: FORMAT,
        states: records
            .locations()
            .map(|location| StateAt {
                state: location.label.clone(),
                location: location.told(),
            })
            .collect(),
        remembered: is_remembered,
        notes,
        ..DriftReport::default()
    };
    for (path, recorded, seen) in seen {
        let unseen = |reason| Unseen {
            path,
            r#type: recorded.r#type.clone(),
            reason,
        };
        match seen {
            Seen::AsRecorded => report.unchanged += 1,
            Seen::Drifted(finding) => report.findings.push(finding),
            Seen::Unchecked(reason) => report.unchecked.push(unseen(reason)),
            Seen::Failed(reason) => report.failed.push(unseen(reason)),
        }
    }
    records.close().await;
    Ok(report)
}

async fn look_at(session: &Session, path: &MemberPath, recorded: &RecordedResource) -> Seen {
    let provider = match session.provider_of(recorded).await {
        Ok(provider) => provider,
        Err(distrust) => return Seen::Failed(distrust.to_string()),
    };
    let description = match session.providers.describe(&provider).await {
        Ok(description) => description,
        Err(error) => return Seen::Failed(error.to_string()),
    };
    let can_plan = description
        .as_ref()
        .and_then(|description| description.kinds.get(&recorded.r#type))
        .is_some_and(|kind| kind.offers(RequestName::Plan));
    if !can_plan {
        return Seen::Unchecked("its provider cannot compare it with reality".to_owned());
    }
    let request = Request::Plan(PlanResourceRequest {
        r#type: recorded.r#type.clone(),
        input_properties: recorded.input_properties.clone(),
        unknown_inputs: Vec::new(),
        resource: Some(ExtantResource::from(recorded.clone())),
    });
    match session.providers.ask(&provider, path, &request).await {
        Ok(Response::Plan(plan)) => judge(path, recorded, plan),
        Ok(_) => Seen::Failed(
            ClientError::Mismatch {
                request: "nixops4-resources/planResourceRequest",
            }
            .to_string(),
        ),
        Err(error) => Seen::Failed(error.to_string()),
    }
}

fn judge(path: &MemberPath, recorded: &RecordedResource, plan: PlanResourceResponse) -> Seen {
    // Two secrets look the same here, and are a change all the same.
    let is_real = |change: &Change| {
        change.before != change.after
            || change.before == PlannedValue::Sensitive
            || change.note.is_some()
    };
    let finding = |drift, changes, note| {
        Seen::Drifted(Finding {
            path: path.clone(),
            r#type: recorded.r#type.clone(),
            drift,
            changes,
            note,
        })
    };
    match plan.action {
        Action::None => Seen::AsRecorded,
        // Every input would be listed, and says no more than that.
        Action::Create => finding(Drift::Gone, Vec::new(), None),
        Action::Update | Action::Replace => {
            let mut changes = plan.changes;
            changes.retain(is_real);
            finding(Drift::Changed, changes, None)
        }
        Action::Refuse => {
            let notes: Vec<&str> = plan
                .changes
                .iter()
                .filter_map(|change| change.note.as_deref())
                .collect();
            let note = (!notes.is_empty()).then(|| notes.join("\n"));
            finding(Drift::Foreign, Vec::new(), note)
        }
    }
}
