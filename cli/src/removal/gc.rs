//! `gc`: what is recorded and no longer in the expression goes; with `orphans`,
//! also what carries our mark on a server and is in no state.
//!
//! Nothing goes unless the whole expression is known, and nothing that another
//! member still wants, under whatever name.

use std::collections::BTreeMap;

use futures_util::stream::{self, StreamExt as _};
use nixops4_protocol::Object;
use nixops4_protocol::message::{
    ExtantResource, ReadResourceRequest, Request, RequestName, Response,
};
use serde_json::Value;

use super::servers::Servers;
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
use crate::shell;

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
    let surveying = survey::survey(session, Opening::Change);
    let survey = signals.race(surveying).await??;
    let result = collect(session, wanted, &survey, signals).await;
    session.close(&survey.records, signals).await;
    result
}

async fn collect(
    session: &Session,
    wanted: &Wanted<'_>,
    survey: &Survey,
    signals: &mut Signals,
) -> Result<Ending, Failure> {
    let (targets, aside) = signals.race(examine(session, wanted, survey)).await??;
    let manner = Manner {
        yes: wanted.yes,
        event: "gc",
        leaves: true,
    };
    remove(session, targets, aside, &survey.records, manner, signals).await
}

/// What is to go, and what was found beside that.
async fn examine(
    session: &Session,
    wanted: &Wanted<'_>,
    survey: &Survey,
) -> Result<(Vec<Target>, Aside), Failure> {
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
    let mut servers = Servers::new(&survey.evaluation, &survey.records);
    for (member, judgement) in &survey.foreseen {
        if let Judgement::Decided(decision) = judgement {
            servers.learn(member, &decision.outputs);
        }
    }
    let index = Index::new(&live);
    let chosen = abandoned.into_iter().filter(|gone| {
        wanted.paths.is_empty() || wanted.paths.iter().any(|of| gone.path.is_within(of))
    });
    // What is recorded in two states is meant as it is in this one.
    let in_its_state: BTreeMap<_, _> = survey
        .records
        .all()
        .map(|(keeper, path, resource)| ((keeper, path), resource))
        .collect();
    let gone = chosen.filter_map(|gone| {
        let resource = *in_its_state.get(&(&gone.state, &gone.path))?;
        Some((resource, gone))
    });
    let mut looked: Vec<_> = stream::iter(gone)
        .map(async |(resource, gone)| {
            let (path, keeper) = (gone.path.clone(), Some(gone.state.clone()));
            let resource = servers.reach(resource);
            let target = target::target(session, path, keeper, resource, wanted.forget).await;
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
                aside.notes.push(advice(&gone.path, &gone.state, other));
                aside.renamed.push(Renamed {
                    from: gone.path,
                    to: other.member.path.clone(),
                    r#type: gone.r#type,
                });
                continue;
            }
            // It stays anyway, and that is why.
            Err(_) if target.fate == Fate::Refuse => {}
            Err(reason) => {
                target.fate = Fate::Refuse;
                target.note = Some(reason);
                target.is_unclear = true;
            }
        }
        targets.push(target);
    }
    if wanted.orphans {
        let found = orphans::find(session, &live, &recorded, &servers).await;
        targets.extend(found.targets);
        aside.retained = found.retained;
        aside.notes.extend(found.notes);
    }
    Ok((targets, aside))
}

fn advice(from: &MemberPath, keeper: &MemberPath, to: &Live) -> String {
    let to_path = &to.member.path;
    let words = [from, to_path].map(|path| shell::word(&path.to_string()));
    let [from_word, to_word] = &words;
    if from == to_path {
        return format!(
            "'{from}' is recorded in '{keeper}', too, where the expression no longer keeps it; it \
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
    let spelled = servers.spelled(&target.recorded.input_properties);
    for inputs in &spelled {
        if let Some(live) = alike.by_inputs.get(&in_order(inputs)) {
            return Ok(Some(live));
        }
    }
    if target.fate == Fate::Forget {
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
