//! `import`: records a thing that is there already, without changing it, and
//! shows what apply would do with it then.

use std::time::Instant;

use nixops4_protocol::client::ClientError;
use nixops4_protocol::message::{ReadResourceRequest, Request, RequestName, Response};
use nixops4_protocol::state::{Extension, RecordedResource};

use crate::apply::Signals;
use crate::commands::Ending;
use crate::eval::Member;
use crate::failure::Failure;
use crate::member::MemberPath;
use crate::plan::decision;
use crate::plan::judge::{self, Judgement};
use crate::plan::report;
use crate::plan::survey::{self, Survey};
use crate::providers;
use crate::records::Opening;
use crate::report::{Action, Event, Operation};
use crate::session::Session;

/// Imports the members at or below `paths` that are not recorded yet.
pub(crate) async fn import(
    session: &mut Session,
    paths: &[MemberPath],
    signals: &mut Signals,
) -> Result<Ending, Failure> {
    session.targets = paths.to_vec();
    let ending = signals.race(from_survey(session, paths)).await.flatten();
    session.providers.close().await;
    ending
}

async fn from_survey(session: &Session, paths: &[MemberPath]) -> Result<Ending, Failure> {
    let mut survey = survey::survey(session, Opening::Make).await?;
    let members = chosen(&survey, paths)?;
    for member in &members {
        if let Some(Judgement::Decided(decision)) = survey.judgements.get(&member.path)
            && decision.action == Action::Refuse
        {
            return Err(Failure::Import {
                path: member.path.clone(),
                reason: decision::refusal(decision),
            });
        }
    }
    // All of it is looked at before any of it is recorded.
    let mut found = Vec::new();
    for member in members {
        let recorded = look(session, &member)
            .await
            .map_err(|reason| Failure::Import {
                path: member.path.clone(),
                reason,
            })?;
        found.push((member, recorded));
    }
    survey::open_to_write(session, &mut survey).await?;
    for (member, recorded) in &found {
        record(session, &survey, member, recorded).await?;
    }
    survey.records.close().await;
    let survey = survey::survey(session, Opening::Look).await?;
    let plan = report::report(&session.file.to_string_lossy(), &survey);
    session.ui.event(&Event::Plan { plan: plan.clone() });
    survey.records.close().await;
    let is_refused = plan
        .resources
        .iter()
        .any(|resource| matches!(resource.action, Action::Refuse | Action::Unknown));
    Ok(if is_refused {
        Ending::Failed
    } else {
        Ending::Done
    })
}

/// The members that are meant, all of which can be imported.
fn chosen(survey: &Survey, paths: &[MemberPath]) -> Result<Vec<Member>, Failure> {
    let fails = |path: &MemberPath, reason: &str| {
        Err(Failure::Import {
            path: path.clone(),
            reason: reason.to_owned(),
        })
    };
    let mut chosen = Vec::new();
    for member in survey.evaluation.members.values() {
        let Some(path) = paths.iter().find(|path| member.path.is_within(path)) else {
            continue;
        };
        if survey.records.of(member).is_some() {
            // Below a path that was named, the rest may be new.
            if *path == member.path {
                return fails(path, "it is recorded already");
            }
            continue;
        }
        if member.state.is_none() {
            return fails(&member.path, "it has no state to be recorded in");
        }
        let waits: Vec<String> = member.waits_for().map(ToString::to_string).collect();
        if !member.is_known() {
            let reason = format!(
                "its inputs wait for {}; import or apply that first",
                if waits.is_empty() {
                    "something that is not applied yet".to_owned()
                } else {
                    waits.join(", ")
                }
            );
            return fails(&member.path, &reason);
        }
        chosen.push(member.clone());
    }
    match (chosen.is_empty(), paths.first()) {
        (true, Some(path)) => fails(path, "all of it is recorded already"),
        _ => Ok(chosen),
    }
}

/// Reads what is there.
async fn look(session: &Session, member: &Member) -> Result<RecordedResource, String> {
    let kind = judge::check(session, member)
        .await
        .map_err(|problems| problems.join("\n"))?;
    if !kind.is_some_and(|kind| kind.description.offers(RequestName::Read)) {
        return Err(format!(
            "the provider of {} cannot read what is there",
            member.kind
        ));
    }
    for paths in [&member.provider_paths, &member.input_paths] {
        let realised = session.evaluator.realise(paths).await;
        realised.map_err(|error| error.to_string())?;
    }
    let request = Request::Read(ReadResourceRequest {
        r#type: member.kind.clone(),
        input_properties: member.inputs.clone(),
        resource: None,
    });
    let command = providers::command(&member.executable, &member.args);
    let answer = session
        .providers
        .ask(&command, &member.path, &request)
        .await;
    match answer {
        Ok(Response::Read(answer)) if answer.present => Ok(RecordedResource {
            r#type: member.kind.clone(),
            input_properties: member.inputs.clone(),
            output_properties: answer.output_properties.unwrap_or_default(),
            extension: Some(Extension {
                executable: member.executable.clone(),
                args: member.args.clone(),
                ..Extension::default()
            }),
            others: nixops4_protocol::Object::new(),
        }),
        Ok(Response::Read(answer)) => Err(format!(
            "there is no such {} ({}); apply would make it",
            member.kind, answer.identity
        )),
        Ok(_) => Err(ClientError::Mismatch {
            request: "nixops4-resources/readResourceRequest",
        }
        .to_string()),
        Err(error) => Err(error.to_string()),
    }
}

async fn record(
    session: &Session,
    survey: &Survey,
    member: &Member,
    recorded: &RecordedResource,
) -> Result<(), Failure> {
    let begun = Instant::now();
    let keeper = member
        .state
        .as_ref()
        .and_then(|state| survey.records.keeper(state))
        .ok_or_else(|| Failure::Import {
            path: member.path.clone(),
            reason: "its state could not be opened".to_owned(),
        })?;
    let mut keeper = keeper.lock().await;
    keeper.record(&member.path, "import", recorded).await?;
    session.ui.event(&Event::Finished {
        path: member.path.clone(),
        r#type: member.kind.clone(),
        operation: Operation::Import,
        seconds: begun.elapsed().as_secs_f64(),
    });
    Ok(())
}
