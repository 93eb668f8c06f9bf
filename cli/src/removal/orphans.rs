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
    ListResourcesRequest, ListResourcesResponse, ListedResource, ReadResourceRequest, Request,
    RequestName, Response,
};
use nixops4_protocol::state::RecordedResource;
use serde_json::Value;

use super::Recorded;
use super::examples::{Example, Place, Source, examples, in_all_stores, nobody, of_all_kinds};
use super::gc::Live;
use super::guess::{guesses, is_named};
use super::servers::Servers;
use super::target::{self, Target};
use crate::member::MemberPath;
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

/// Searches every place that a member or a record of this deployment is at, for every
/// kind that its provider lists, and every secrets store that anybody names.
pub(super) async fn find(
    session: &Session,
    live: &[Live],
    recorded: &Recorded,
    servers: &Servers,
) -> Found {
    let mut found = Found::default();
    let (mut examples, distrusted) = examples(session, live, recorded, servers).await;
    let all_stores = in_all_stores(session, &mut examples).await;
    found.notes.extend(all_stores.err());
    of_all_kinds(session, &mut examples).await;
    let mut places = BTreeMap::<Place, Vec<Example>>::new();
    for example in examples {
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
    for (path, kind, reason) in distrusted {
        // Who looks for it is not asked, and nobody else knows what it is.
        let kind = kinds.entry(kind).or_default();
        kind.nameless.get_or_insert((path.clone(), reason.clone()));
        found.notes.push(format!(
            "where '{path}' is recorded to be, nothing was searched for: {reason}"
        ));
    }
    let mut search = Search::default();
    for (place, described) in &listing {
        let examples = &places[place];
        let (Some(first), Some(kind)) = (examples.first(), kinds.get_mut(&place.1)) else {
            continue;
        };
        let listed = match list(session, first).await {
            Ok(listed) => listed,
            Err(_) if first.source == Source::OtherKind => {
                search.unshown.insert(first.kind.clone());
                continue;
            }
            Err(reason) => {
                found.notes.push(format!(
                    "it could not be searched for {} that is in no state: {reason}",
                    first.kind
                ));
                continue;
            }
        };
        for unseen in listed.unseen {
            let kinds = search.unseen.entry((unseen.place, unseen.reason));
            kinds.or_default().insert(first.kind.clone());
        }
        for thing in listed.resources {
            // Several addresses and stores may lead to the same server.
            let is_new = search
                .seen
                .insert((place.1.clone(), thing.identity.to_string()));
            if !is_new || kind.has(&thing.identity) {
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
    found.notes.extend(search.notes());
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

/// What came of searching beside what was found.
#[derive(Default)]
struct Search {
    /// What was found already, under any address.
    seen: BTreeSet<(String, String)>,
    /// Where it could not be looked and why, and for which kinds.
    unseen: BTreeMap<(String, String), BTreeSet<String>>,
    /// The kinds that nobody could be asked for.
    unshown: BTreeSet<String>,
}

impl Search {
    /// What was not searched is told.
    fn notes(self) -> Vec<String> {
        let names = |kinds: BTreeSet<String>| kinds.into_iter().collect::<Vec<_>>().join(", ");
        let mut notes: Vec<String> = self
            .unseen
            .into_iter()
            .map(|((place, reason), kinds)| {
                format!(
                    "whether {place} has something that is in no state is not known (of {}): \
                     {reason}",
                    names(kinds)
                )
            })
            .collect();
        if !self.unshown.is_empty() {
            notes.push(format!(
                "it was not searched for {}, of which no member and no record shows how it is \
                 looked for",
                names(self.unshown)
            ));
        }
        notes
    }
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
    let is_thing = |example: &&Example| example.source == Source::Thing;
    for example in examples.filter(is_thing) {
        if !kinds.contains_key(&example.kind) {
            continue;
        }
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

impl Example {
    /// What names it on its server, as it is reached by `inputs`; why nobody can say, if
    /// nobody can.
    async fn identity(&self, session: &Session, inputs: &Object) -> Result<Value, String> {
        match read_identity(session, self, inputs).await? {
            Value::Null => Err("its provider does not say what names it".to_owned()),
            identity => Ok(identity),
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
    let listed = list(session, example).await.map(|listed| listed.resources);
    listed
        .unwrap_or_default()
        .into_iter()
        .filter(|thing| is_retained(&thing.mark))
        .map(|thing| thing.identity.to_string())
        .collect()
}

fn is_retained(mark: &str) -> bool {
    mark.contains(RETAINED)
}

async fn list(session: &Session, example: &Example) -> Result<ListResourcesResponse, String> {
    let request = Request::List(ListResourcesRequest {
        r#type: example.kind.clone(),
        input_properties: example.inputs.clone(),
    });
    match session
        .providers
        .ask(&example.provider, &nobody(&example.kind), &request)
        .await
    {
        Ok(Response::List(answer)) => Ok(answer),
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
    // A mark of an early version doesn't say of which kind its thing is, so that what
    // nobody declares of a kind is told of and left alone.
    let like_it = |example: &&Example| example.source != Source::OtherKind;
    for example in examples.iter().filter(like_it) {
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
    let (kind, identity) = (&first.kind, &thing.identity);
    found.notes.push(if first.source == Source::OtherKind {
        format!(
            "{kind} {identity} carries our mark, and no member or record there is of that kind: \
             unless it is part of one of another kind, declare it, apply, and remove it again"
        )
    } else {
        format!(
            "{kind} {identity} carries our mark and is in no state, and nothing shows by which \
             inputs it is reached: declare it, apply, and remove it again"
        )
    });
}
