//! What carries our mark on a server and is in no state: left behind by a kill
//! between making and recording, or by a lost state.
//!
//! A server's list says what names a thing, not by which inputs it is reached.
//! Those are found by example: a member of the same kind shows which input holds
//! which part of its name, and the provider itself confirms the guess.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::stream::{self, StreamExt as _};
use nixops4_protocol::Object;
use nixops4_protocol::client::ProviderCommand;
use nixops4_protocol::describe::KindDescription;
use nixops4_protocol::message::{
    ListResourcesRequest, ListedResource, ReadResourceRequest, Request, RequestName, Response,
};
use nixops4_protocol::state::{Extension, RecordedResource};
use serde_json::Value;

use super::gc::Live;
use super::guess::{SHARED, guesses, is_named};
use super::servers::Servers;
use super::target::{self, Target};
use super::{Recorded, provider};
use crate::eval::Member;
use crate::member::MemberPath;
use crate::providers;
use crate::report::Orphan;
use crate::session::Session;

/// How a mark says that its thing was taken out of service.
const RETAINED: &str = " retained-since=";

/// What was found.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) targets: Vec<Target>,
    pub(super) retained: Vec<Orphan>,
    pub(super) notes: Vec<String>,
}

impl Found {
    fn retain(&mut self, example: &Example, thing: ListedResource) {
        self.retained.push(Orphan {
            r#type: example.kind.clone(),
            identity: thing.identity,
            mark: thing.mark,
        });
    }
}

/// Where to look: a provider, a kind, and the inputs that say where.
pub(super) type Place = (ProviderCommand, String, String);

/// A member or record that shows where to look, and how such things are named.
pub(super) struct Example {
    path: MemberPath,
    provider: ProviderCommand,
    extension: Extension,
    kind: String,
    inputs: Object,
}

/// What is known of the things of one kind, wherever they are.
#[derive(Default)]
struct Kind {
    /// What names those that are recorded or wanted.
    known: Vec<Value>,
    /// One of which nobody can say what it is, and why.
    nameless: Option<(MemberPath, String)>,
    /// What was found and may be that one.
    doubtful: Vec<String>,
}

impl Kind {
    fn has(&self, thing: &Value) -> bool {
        self.known.iter().any(|named| is_named(thing, named))
    }
}

/// Searches every place that a member or a record of this deployment is at.
pub(super) async fn find(
    session: &Session,
    live: &[Live],
    recorded: &Recorded,
    servers: &Servers,
) -> Found {
    let mut found = Found::default();
    let mut places = BTreeMap::<Place, Vec<Example>>::new();
    for example in examples(live, recorded, servers) {
        places.entry(example.place()).or_default().push(example);
    }
    let mut listing = BTreeMap::new();
    for place in places.keys() {
        if let Some(described) = lists(session, &place.0, &place.1).await {
            listing.insert(place.clone(), described);
        }
    }
    // One place may show what is wanted at another, so that all are known first.
    let mut kinds = BTreeMap::<String, Kind>::new();
    for (_, kind, _) in listing.keys() {
        kinds.entry(kind.clone()).or_default();
    }
    name_all(session, live, &places, servers, &mut kinds).await;
    for (place, described) in &listing {
        let examples = &places[place];
        let (Some(first), Some(kind)) = (examples.first(), kinds.get_mut(&place.1)) else {
            continue;
        };
        match list(session, first).await {
            Err(reason) => found.notes.push(format!(
                "it could not be searched for {} that is in no state: {reason}",
                first.kind
            )),
            Ok(listed) => {
                for thing in listed {
                    if kind.has(&thing.identity) {
                        continue;
                    }
                    if is_retained(&thing.mark) {
                        found.retain(first, thing);
                    } else if kind.nameless.is_some() {
                        kind.doubtful.push(thing.identity.to_string());
                    } else {
                        orphan(session, described, examples, &thing, &mut found).await;
                    }
                }
            }
        }
    }
    for (
        kind,
        Kind {
            nameless, doubtful, ..
        },
    ) in kinds
    {
        if let (Some((path, reason)), false) = (nameless, doubtful.is_empty()) {
            found.notes.push(format!(
                "{kind} {} carries our mark, and may be '{path}', of which nobody can say what it \
                 is, so that no {kind} is collected from a server: put that right and collect \
                 again: {reason}",
                doubtful.join(", ")
            ));
        }
    }
    found
}

/// Finds out what names everything that is wanted or recorded, of these kinds.
async fn name_all(
    session: &Session,
    live: &[Live],
    places: &BTreeMap<Place, Vec<Example>>,
    servers: &Servers,
    kinds: &mut BTreeMap<String, Kind>,
) {
    let mut planned = BTreeMap::new();
    for live in live {
        let Some(kind) = kinds.get_mut(&live.member.kind) else {
            continue;
        };
        if !live.identity.is_null() {
            kind.known.push(live.identity.clone());
            planned.insert(&live.member.path, live);
        } else if !live.member.is_known() {
            let reason = "its inputs are not known yet".to_owned();
            kind.nameless
                .get_or_insert((live.member.path.clone(), reason));
        }
    }
    let is_planned = |example: &Example| {
        let live = planned.get(&example.path);
        live.is_some_and(|live| {
            live.member.kind == example.kind && live.member.inputs == example.inputs
        })
    };
    let mut to_ask = Vec::new();
    let examples = places.values().flatten();
    for example in examples.filter(|example| kinds.contains_key(&example.kind)) {
        let spelled = servers.spelled(&example.inputs);
        let is_planned = usize::from(is_planned(example));
        to_ask.extend(spelled.into_iter().skip(is_planned).map(|it| (example, it)));
    }
    let mut named: Vec<_> = stream::iter(to_ask)
        .map(async |(example, inputs)| (example, example.identity(session, &inputs).await))
        .buffer_unordered(session.parallel)
        .collect()
        .await;
    named.sort_by(|(a, _), (b, _)| a.path.cmp(&b.path));
    for (example, identity) in named {
        let Some(kind) = kinds.get_mut(&example.kind) else {
            continue;
        };
        match identity {
            Ok(identity) => kind.known.push(identity),
            Err(reason) => {
                kind.nameless.get_or_insert((example.path.clone(), reason));
            }
        }
    }
}

/// A kind that can be asked for everything that carries our mark. A provider that
/// can't say what it is is asked for nothing: what it would have to remove is refused
/// for that reason.
async fn lists(
    session: &Session,
    provider: &ProviderCommand,
    kind: &str,
) -> Option<KindDescription> {
    let description = session.providers.describe(provider).await.ok().flatten()?;
    let kind = description.kinds.get(kind)?;
    kind.offers(RequestName::List).then(|| kind.clone())
}

fn examples<'a>(
    live: &'a [Live],
    recorded: &'a Recorded,
    servers: &'a Servers,
) -> impl Iterator<Item = Example> + use<'a> {
    let members = live
        .iter()
        .map(|live| &live.member)
        .filter(|member| member.is_known())
        .map(Example::from);
    let records = recorded.iter().map(|(path, (_, recorded))| Example {
        path: path.clone(),
        provider: provider(recorded),
        extension: recorded.extension.clone().unwrap_or_default(),
        kind: recorded.r#type.clone(),
        inputs: servers.reach(recorded).input_properties,
    });
    members.chain(records)
}

impl Example {
    pub(super) fn place(&self) -> Place {
        (
            self.provider.clone(),
            self.kind.clone(),
            shared(&self.inputs).to_string(),
        )
    }

    /// What names it on its server, as it is reached by `inputs`; why nobody can say, if
    /// nobody can.
    async fn identity(&self, session: &Session, inputs: &Object) -> Result<Value, String> {
        match read_identity(session, self, inputs).await? {
            Value::Null => Err("its provider does not say what names it".to_owned()),
            identity => Ok(identity),
        }
    }
}

impl From<&Member> for Example {
    fn from(member: &Member) -> Self {
        Self {
            path: member.path.clone(),
            provider: providers::command(&member.executable, &member.args),
            extension: Extension {
                executable: member.executable.clone(),
                args: member.args.clone(),
                ..Extension::default()
            },
            kind: member.kind.clone(),
            inputs: member.inputs.clone(),
        }
    }
}

/// What was taken out of service before, at the place of an example, as far as its
/// provider lists that.
pub(super) async fn retained(session: &Session, example: &Example) -> BTreeSet<String> {
    let description = session.providers.describe(&example.provider).await;
    let offers = description.ok().flatten().is_some_and(|description| {
        let kind = description.kinds.get(&example.kind);
        kind.is_some_and(|kind| kind.offers(RequestName::List))
    });
    if !offers {
        return BTreeSet::new();
    }
    let listed = list(session, example).await.unwrap_or_default().into_iter();
    listed
        .filter(|thing| is_retained(&thing.mark))
        .map(|thing| thing.identity.to_string())
        .collect()
}

/// The part of an example's inputs that says where, and not which one.
fn shared(inputs: &Object) -> Value {
    let shared = SHARED.into_iter().filter_map(|name| {
        let value = inputs.get(name)?;
        Some((name.to_owned(), value.clone()))
    });
    Value::Object(shared.collect())
}

fn is_retained(mark: &str) -> bool {
    mark.contains(RETAINED)
}

/// Who asks for what no member is known to be.
fn nobody(kind: &str) -> MemberPath {
    MemberPath(vec![kind.to_owned()])
}

async fn list(session: &Session, example: &Example) -> Result<Vec<ListedResource>, String> {
    let request = Request::List(ListResourcesRequest {
        r#type: example.kind.clone(),
        input_properties: example.inputs.clone(),
    });
    match session
        .providers
        .ask(&example.provider, &nobody(&example.kind), &request)
        .await
    {
        Ok(Response::List(answer)) => Ok(answer.resources),
        Ok(_) => Err("the provider answered something else than it was asked".to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

async fn read_identity(
    session: &Session,
    example: &Example,
    inputs: &Object,
) -> Result<Value, String> {
    let request = Request::Read(ReadResourceRequest {
        r#type: example.kind.clone(),
        input_properties: inputs.clone(),
        resource: None,
    });
    match session
        .providers
        .ask(&example.provider, &nobody(&example.kind), &request)
        .await
    {
        Ok(Response::Read(answer)) => Ok(answer.identity),
        Ok(_) => Err("the provider answered something else than it was asked".to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

async fn orphan(
    session: &Session,
    described: &KindDescription,
    examples: &[Example],
    thing: &ListedResource,
    found: &mut Found,
) {
    let Some(first) = examples.first() else {
        return;
    };
    for example in examples {
        let Ok(named) = read_identity(session, example, &example.inputs).await else {
            continue;
        };
        for inputs in guesses(described, &example.inputs, &named, &thing.identity) {
            let named = read_identity(session, example, &inputs).await;
            if !named.is_ok_and(|named| is_named(&thing.identity, &named)) {
                continue;
            }
            let recorded = RecordedResource {
                r#type: example.kind.clone(),
                input_properties: inputs,
                output_properties: Object::new(),
                extension: Some(example.extension.clone()),
                others: Object::new(),
            };
            let path = MemberPath(vec![format!("{} {}", example.kind, thing.identity)]);
            let mut target = target::target(session, path, None, recorded, false).await;
            target.note = Some(match target.note {
                Some(note) => note,
                None => "it carries our mark and is in no state".to_owned(),
            });
            found.targets.push(target);
            return;
        }
    }
    found.notes.push(format!(
        "{} {} carries our mark and is in no state, and nothing shows by which inputs it is \
         reached: declare it, apply, and remove it again",
        first.kind, thing.identity
    ));
}
