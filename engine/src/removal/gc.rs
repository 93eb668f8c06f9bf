//! `gc`: what is recorded and no longer in the expression goes; with `orphans`,
//! also what carries our mark on a server and is in no state.
//!
//! Nothing goes unless the whole expression is known, and nothing that another
//! member still wants, under whatever name.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures_util::stream::{self, StreamExt as _};
use nixops4_protocol::Object;
use nixops4_protocol::message::{
    ExtantResource, ReadResourceRequest, Request, RequestName, Response,
};
use serde_json::Value;

use super::live::Live;
use super::servers::Servers;
use super::target::{self, Target};
use super::{Findings, RemovalOptions, orphans, remove};
use crate::backend::OpenMode;
use crate::failure::Failure;
use crate::member::MemberPath;
use crate::outcome::Outcome;
use crate::plan::planner::PlannedAction;
use crate::plan::refresh::{self, Refreshed};
use crate::plan::report;
use crate::report::{RemovalAction, Renamed};
use crate::session::Session;
use crate::shell;
use crate::signals::Signals;

/// What is to be collected, and how.
#[derive(Debug, Default)]
pub struct Wanted<'a> {
    /// Only what is at or below these, if there are any.
    pub paths: &'a [MemberPath],
    /// Servers are searched for what is in no state.
    pub orphans: bool,
    /// Only records are removed.
    pub forget: bool,
    /// Nobody is asked.
    pub yes: bool,
}

/// Removes what is recorded and no longer in the expression.
///
/// The frontend is told what would go, asked unless `yes` is set, and told how it went.
/// Nothing that a member still describes under another name goes, and what must not go
/// is left alone with what it uses. Fails if the deployment is not wholly known before
/// it is applied.
pub async fn gc(
    session: &Session,
    wanted: &Wanted<'_>,
    signals: &mut Signals,
) -> Result<Outcome, Failure> {
    let refreshing = refresh::refresh(session, OpenMode::Write);
    let refreshed = signals.race(refreshing).await??;
    let result = collect(session, wanted, &refreshed, signals).await;
    session.close(&refreshed.records, signals).await;
    result
}

async fn collect(
    session: &Session,
    wanted: &Wanted<'_>,
    refreshed: &Refreshed,
    signals: &mut Signals,
) -> Result<Outcome, Failure> {
    let (targets, findings) = signals.race(examine(session, wanted, refreshed)).await??;
    let options = RemovalOptions {
        yes: wanted.yes,
        event: "gc",
        leaves: true,
    };
    remove(
        session,
        targets,
        findings,
        &refreshed.records,
        options,
        signals,
    )
    .await
}

/// What is to go, and what was found beside that.
async fn examine(
    session: &Session,
    wanted: &Wanted<'_>,
    refreshed: &Refreshed,
) -> Result<(Vec<Target>, Findings), Failure> {
    complete(refreshed)?;
    let live = live(refreshed);
    let abandoned = report::abandoned(refreshed.evaluation.members(), &[], &refreshed.records);
    for path in wanted.paths {
        if !abandoned.iter().any(|gone| gone.path.is_within(path)) {
            return Err(Failure::NotAbandoned(path.clone()));
        }
    }
    let recorded = super::recorded(&refreshed.records);
    let mut findings = Findings {
        notes: refreshed.records.notes().to_vec(),
        ..Findings::default()
    };
    let mut servers = Servers::default();
    // Where only records go, no provider has to be there.
    if !wanted.forget {
        servers = Servers::new(session, &refreshed.evaluation, &refreshed.records).await;
        for (member, planned_action) in &refreshed.propagated {
            if let PlannedAction::Decided(decision) = planned_action {
                servers.learn(session, member, &decision.outputs).await;
            }
        }
    }
    let index = Index::new(&live);
    let chosen = abandoned.into_iter().filter(|gone| {
        wanted.paths.is_empty() || wanted.paths.iter().any(|of| gone.path.is_within(of))
    });
    // What is recorded in two states is meant as it is in this one.
    let in_its_state: BTreeMap<_, _> = refreshed
        .records
        .all()
        .map(|(backend, path, resource)| ((backend, path), resource))
        .collect();
    let gone = chosen.filter_map(|gone| {
        let resource = *in_its_state.get(&(&gone.state, &gone.path))?;
        Some((resource, gone))
    });
    let mut looked: Vec<_> = stream::iter(gone)
        .map(async |(resource, gone)| {
            let (path, backend) = (gone.path.clone(), Some(gone.state.clone()));
            let resource = servers.reach(session, &resource.resource()).await;
            let target = target::target(session, path, backend, resource, wanted.forget).await;
            let target = target.without_member();
            let still_wanted = still_wanted(session, &target, &index, &servers).await;
            (gone, target, still_wanted)
        })
        .buffer_unordered(session.parallel)
        .collect()
        .await;
    looked.sort_by(|(a, ..), (b, ..)| a.path.cmp(&b.path));
    let mut targets = Vec::new();
    for (gone, mut target, still_wanted) in looked {
        match still_wanted {
            Ok(None) => {}
            Ok(Some(other)) => {
                findings.notes.push(advice(&gone.path, &gone.state, other));
                findings.renamed.push(Renamed {
                    from: gone.path,
                    to: other.member.path.clone(),
                    r#type: gone.r#type,
                });
                continue;
            }
            // It stays anyway, and that is why.
            Err(_) if target.action == RemovalAction::Refuse => {}
            Err(reason) => {
                target.action = RemovalAction::Refuse;
                target.note = Some(reason);
                target.is_unclear = true;
            }
        }
        targets.push(target);
    }
    if wanted.orphans {
        let found = orphans::find(session, &live, &recorded, &servers).await;
        targets.extend(found.targets);
        findings.retained = found.retained;
        findings.notes.extend(found.notes);
    }
    Ok((targets, findings))
}

fn advice(from: &MemberPath, backend: &MemberPath, to: &Live) -> String {
    let to_path = &to.member.path;
    let words = [from, to_path].map(|path| shell::word(&path.to_string()));
    let [from_word, to_word] = &words;
    if from == to_path {
        return format!(
            "'{from}' is recorded in '{backend}', too, where the expression no longer keeps it; it \
             is left alone"
        );
    }
    if to.is_recorded {
        format!(
            "'{from}' is the same thing as '{to_path}', which is recorded too: `nixops4-resources \
             state rm {from_word}` forgets the old name"
        )
    } else {
        format!(
            "'{from}' is called '{to_path}' now: `nixops4-resources state mv {from_word} \
             {to_word}` \
             keeps it"
        )
    }
}

/// Nobody knows what is no longer wanted before everything wanted is known.
fn complete(refreshed: &Refreshed) -> Result<(), Failure> {
    let structures = refreshed
        .evaluation
        .structures
        .iter()
        .map(|structure| (structure.path.clone(), structure.waits_for.clone()));
    let later = refreshed
        .planned_actions
        .iter()
        .filter(|(_, planned_action)| matches!(planned_action, PlannedAction::Later))
        .map(|(path, _)| (path.clone(), std::collections::BTreeSet::new()));
    let unknown: Vec<_> = structures.chain(later).collect();
    if unknown.is_empty() {
        Ok(())
    } else {
        Err(Failure::Incomplete(unknown))
    }
}

fn live(refreshed: &Refreshed) -> Vec<Live> {
    refreshed
        .propagated
        .iter()
        .map(|(member, planned_action)| Live {
            identity: match planned_action {
                PlannedAction::Decided(decision) => decision.identity.clone(),
                _ => Value::Null,
            },
            is_recorded: refreshed.records.of(member).is_some(),
            member: Arc::clone(member),
        })
        .collect()
}

/// The live members, by what makes them the same thing as another.
struct Index<'a> {
    kinds: BTreeMap<&'a str, Alike<'a>>,
}

/// Those of one kind.
#[derive(Default)]
struct Alike<'a> {
    by_inputs: BTreeMap<String, &'a Live>,
    by_identity: BTreeMap<String, &'a Live>,
    /// One of which nobody can say what it is.
    nameless: Option<&'a Live>,
}

impl<'a> Index<'a> {
    fn new(live: &'a [Live]) -> Self {
        let mut kinds = BTreeMap::<&str, Alike<'_>>::new();
        for live in live {
            let alike = kinds.entry(live.member.kind.as_str()).or_default();
            if live.member.is_known() {
                let inputs = in_order(&live.member.inputs);
                alike.by_inputs.entry(inputs).or_insert(live);
            }
            if live.identity.is_null() {
                alike.nameless.get_or_insert(live);
            } else {
                let identity = live.identity.to_string();
                alike.by_identity.entry(identity).or_insert(live);
            }
        }
        Self { kinds }
    }
}

/// Inputs as text, the same whatever the order of their names.
fn in_order(inputs: &Object) -> String {
    let sorted: BTreeMap<&String, &Value> = inputs.iter().collect();
    serde_json::json!(sorted).to_string()
}

/// The member that is the same thing; why that can't be told, if it can't.
async fn still_wanted<'a>(
    session: &Session,
    target: &Target,
    index: &Index<'a>,
    servers: &Servers,
) -> Result<Option<&'a Live>, String> {
    let Some(alike) = index.kinds.get(target.recorded.r#type.as_str()) else {
        return Ok(None);
    };
    let inputs = &target.recorded.input_properties;
    let spelled = match &target.contract {
        Some(contract) => servers.spelled(contract, inputs),
        None => vec![inputs.clone()],
    };
    for inputs in &spelled {
        if let Some(live) = alike.by_inputs.get(&in_order(inputs)) {
            return Ok(Some(live));
        }
    }
    if target.action == RemovalAction::Forget {
        return Ok(None);
    }
    for inputs in spelled {
        let identity = identity(session, target, inputs).await?;
        if identity.is_null() {
            return Ok(None);
        }
        if let Some(live) = alike.by_identity.get(&identity.to_string()) {
            return Ok(Some(live));
        }
    }
    match alike.nameless {
        None => Ok(None),
        Some(live) => Err(format!(
            "it may be the same thing as '{}', of which nobody can say yet what it is: apply that \
             first",
            live.member.path
        )),
    }
}

/// What names it on its server, in its provider's words, as it is reached by `inputs`.
async fn identity(session: &Session, target: &Target, inputs: Object) -> Result<Value, String> {
    let Some(provider) = &target.provider else {
        return Err(target.note.clone().unwrap_or_default());
    };
    let description = session
        .providers
        .describe(provider)
        .await
        .map_err(|error| error.to_string())?;
    let can_read = description
        .as_ref()
        .and_then(|description| description.kinds.get(&target.recorded.r#type))
        .is_some_and(|kind| kind.offers(RequestName::Read));
    if !can_read {
        return Ok(Value::Null);
    }
    let mut resource = ExtantResource::from(target.recorded.clone());
    resource.input_properties.clone_from(&inputs);
    let request = Request::Read(ReadResourceRequest {
        r#type: target.recorded.r#type.clone(),
        input_properties: inputs,
        resource: Some(resource),
    });
    match session
        .providers
        .ask(provider, &target.path, &request)
        .await
    {
        Ok(Response::Read(answer)) => Ok(answer.identity),
        Ok(_) => Err("its provider answered something else than it was asked".to_owned()),
        Err(error) => Err(format!("it cannot be looked at: {error}")),
    }
}
