//! `gc`: what is recorded and no longer in the expression goes; with `orphans`,
//! also what carries our mark on a server and is in no state.
//!
//! Nothing goes unless the whole expression is known, and nothing that another
//! member still wants, under whatever name.

use std::collections::BTreeMap;

use nixops4_protocol::message::{
    ExtantResource, ReadResourceRequest, Request, RequestName, Response,
};
use nixops4_protocol::state::RecordedResource;
use serde_json::Value;

use super::target::{self, Target};
use super::{Aside, Manner, orphans, remove};
use crate::apply::Signals;
use crate::commands::Ending;
use crate::eval::Member;
use crate::failure::Failure;
use crate::member::MemberPath;
use crate::plan::judge::Judgement;
use crate::plan::report;
use crate::plan::survey::{self, Survey};
use crate::records::Opening;
use crate::report::{Fate, Renamed};
use crate::session::Session;

/// The input that says where a server is, by which its resources are reached.
const CONNECTION: &str = "connection";
/// The output by which a server is known, whatever its address.
const SERVER: &str = "systemIdentifier";

/// What is to be collected, and how.
#[derive(Debug, Default)]
pub(crate) struct Wanted<'a> {
    /// Only what is at or below these, if there are any.
    pub(crate) paths: &'a [MemberPath],
    /// Servers are searched for what is in no state.
    pub(crate) orphans: bool,
    /// Only records are removed.
    pub(crate) forget: bool,
    /// Nobody is asked.
    pub(crate) yes: bool,
}

/// A member that the expression has.
pub(super) struct Live {
    pub(super) member: Member,
    /// What names it on its server; null if nobody can say.
    pub(super) identity: Value,
    pub(super) is_recorded: bool,
}

/// Collects.
pub(crate) async fn gc(
    session: &Session,
    wanted: &Wanted<'_>,
    signals: &mut Signals,
) -> Result<Ending, Failure> {
    let survey = tokio::select! {
        survey = survey::survey(session, Opening::Change) => survey?,
        () = signals.next() => return Err(Failure::Interrupted),
    };
    let result = collect(session, wanted, &survey, signals).await;
    survey.records.close().await;
    session.providers.close().await;
    result
}

async fn collect(
    session: &Session,
    wanted: &Wanted<'_>,
    survey: &Survey,
    signals: &mut Signals,
) -> Result<Ending, Failure> {
    complete(survey)?;
    let live = live(survey);
    let abandoned = report::abandoned(survey.evaluation.members.values(), &[], &survey.records);
    for path in wanted.paths {
        if !abandoned.iter().any(|gone| gone.path.is_within(path)) {
            return Err(Failure::NotAbandoned(path.clone()));
        }
    }
    let recorded = super::recorded(&survey.records);
    let mut aside = Aside {
        notes: survey.records.notes().to_vec(),
        ..Aside::default()
    };
    let mut targets = Vec::new();
    for gone in abandoned {
        if !wanted.paths.is_empty() && !wanted.paths.iter().any(|of| gone.path.is_within(of)) {
            continue;
        }
        let Some((keeper, resource)) = recorded.get(&gone.path) else {
            continue;
        };
        let resource = reached_as_now(resource, survey);
        let mut target = target::target(
            session,
            gone.path.clone(),
            Some(keeper.clone()),
            resource,
            wanted.forget,
        )
        .await;
        match still_wanted(session, &target, &live).await {
            Ok(None) => {}
            Ok(Some(other)) => {
                aside.notes.push(advice(&gone.path, keeper, other));
                aside.renamed.push(Renamed {
                    from: gone.path,
                    to: other.member.path.clone(),
                    r#type: gone.r#type,
                });
                continue;
            }
            Err(reason) => {
                target.fate = Fate::Refuse;
                target.note = Some(reason);
            }
        }
        targets.push(target);
    }
    if wanted.orphans {
        let found = orphans::find(session, &live, &recorded).await;
        targets.extend(found.targets);
        aside.retained = found.retained;
        aside.notes.extend(found.notes);
    }
    let manner = Manner {
        yes: wanted.yes,
        event: "gc",
    };
    remove(session, targets, aside, &survey.records, manner, signals).await
}

fn advice(from: &MemberPath, keeper: &MemberPath, to: &Live) -> String {
    let to_path = &to.member.path;
    if from == to_path {
        return format!(
            "'{from}' is recorded in '{keeper}', too, where the expression no longer keeps it; it \
             is left alone"
        );
    }
    if to.is_recorded {
        format!(
            "'{from}' is the same thing as '{to_path}', which is recorded too: `nixops4-resources \
             state rm {from}` forgets the old name"
        )
    } else {
        format!(
            "'{from}' is called '{to_path}' now: `nixops4-resources state mv {from} {to_path}` \
             keeps it"
        )
    }
}

/// Nobody knows what is no longer wanted before everything wanted is known.
fn complete(survey: &Survey) -> Result<(), Failure> {
    let structures = survey
        .evaluation
        .structures
        .iter()
        .map(|structure| (structure.path.clone(), structure.waits_for.clone()));
    let later = survey
        .judgements
        .iter()
        .filter(|(_, judgement)| matches!(judgement, Judgement::Later))
        .map(|(path, _)| (path.clone(), std::collections::BTreeSet::new()));
    let unknown: Vec<_> = structures.chain(later).collect();
    if unknown.is_empty() {
        Ok(())
    } else {
        Err(Failure::Incomplete(unknown))
    }
}

fn live(survey: &Survey) -> Vec<Live> {
    survey
        .foreseen
        .iter()
        .map(|(member, judgement)| Live {
            identity: match judgement {
                Judgement::Decided(decision) => decision.identity.clone(),
                _ => Value::Null,
            },
            is_recorded: survey.records.of(member).is_some(),
            member: member.clone(),
        })
        .collect()
}

/// What was recorded, reached by the address that its server has now.
fn reached_as_now(resource: &RecordedResource, survey: &Survey) -> RecordedResource {
    let mut resource = resource.clone();
    let Some(server) = resource.output_properties.get(SERVER).cloned() else {
        return resource;
    };
    let recorded_at = resource.input_properties.get(CONNECTION);
    let mut connections = BTreeMap::new();
    for member in survey.evaluation.members.values() {
        let is_there = survey
            .records
            .of(member)
            .is_some_and(|recorded| recorded.output_properties.get(SERVER) == Some(&server));
        if let (true, Some(connection)) = (is_there, member.inputs.get(CONNECTION)) {
            connections.insert(connection.to_string(), connection.clone());
        }
    }
    let is_still_used =
        recorded_at.is_none_or(|connection| connections.contains_key(&connection.to_string()));
    if let (false, Some(connection)) = (is_still_used, connections.into_values().next()) {
        resource
            .input_properties
            .insert(CONNECTION.to_owned(), connection);
    }
    resource
}

/// The member that is the same thing; why that can't be told, if it can't.
async fn still_wanted<'a>(
    session: &Session,
    target: &Target,
    live: &'a [Live],
) -> Result<Option<&'a Live>, String> {
    let kind = &target.recorded.r#type;
    let alike: Vec<&Live> = live
        .iter()
        .filter(|live| live.member.kind == *kind)
        .collect();
    let same_inputs = alike.iter().find(|live| {
        live.member.is_known() && live.member.inputs == target.recorded.input_properties
    });
    if let Some(live) = same_inputs {
        return Ok(Some(live));
    }
    if alike.is_empty() || matches!(target.fate, Fate::Forget | Fate::Refuse) {
        return Ok(None);
    }
    let identity = identity(session, target).await?;
    if identity.is_null() {
        return Ok(None);
    }
    if let Some(live) = alike.iter().find(|live| live.identity == identity) {
        return Ok(Some(live));
    }
    match alike.iter().find(|live| live.identity.is_null()) {
        None => Ok(None),
        Some(live) => Err(format!(
            "it may be the same thing as '{}', of which nobody can say yet what it is: apply that \
             first",
            live.member.path
        )),
    }
}

/// What names it on its server, in its provider's words.
async fn identity(session: &Session, target: &Target) -> Result<Value, String> {
    let description = session
        .providers
        .describe(&target.provider)
        .await
        .map_err(|error| error.to_string())?;
    let can_read = description
        .as_ref()
        .and_then(|description| description.kinds.get(&target.recorded.r#type))
        .is_some_and(|kind| kind.offers(RequestName::Read));
    if !can_read {
        return Ok(Value::Null);
    }
    let request = Request::Read(ReadResourceRequest {
        r#type: target.recorded.r#type.clone(),
        input_properties: target.recorded.input_properties.clone(),
        resource: Some(ExtantResource::from(target.recorded.clone())),
    });
    match session
        .providers
        .ask(&target.provider, &target.path, &request)
        .await
    {
        Ok(Response::Read(answer)) => Ok(answer.identity),
        Ok(_) => Err("its provider answered something else than it was asked".to_owned()),
        Err(error) => Err(format!("it cannot be looked at: {error}")),
    }
}
