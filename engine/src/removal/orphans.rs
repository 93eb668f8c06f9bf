//! What carries our mark on a server and is in no state: left behind by a kill
//! between making and recording, or by a lost state.
//!
//! A list says of each thing what names it and by which inputs. With those that say
//! where the list is from, they lead to it.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::stream::{self, StreamExt as _};
use nixops4_protocol::Object;
use nixops4_protocol::mark::Mark;
use nixops4_protocol::message::{
    ListResourcesRequest, ListResourcesResponse, ListedResource, ReadResourceRequest, Request,
    RequestName, Response,
};
use nixops4_protocol::state::RecordedResource;
use serde_json::Value;

use super::Recorded;
use super::examples::{Example, Place, examples, in_all_stores, nobody, of_all_kinds};
use super::live::Live;
use super::servers::Servers;
use super::target::{self, Target};
use crate::member::MemberPath;
use crate::report::Orphan;
use crate::session::Session;

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

    /// Whether what `thing` lacks a name for is called in `named` as what is recorded or
    /// wanted.
    fn shares(&self, thing: &Value, named: &Value) -> bool {
        let parts = named.as_object().into_iter().flatten();
        let mut guessed = parts.filter(|(part, _)| thing.get(part).is_none_or(Value::is_null));
        guessed.any(|(part, value)| {
            self.known
                .iter()
                .any(|known| known.get(part) == Some(value))
        })
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
    found
        .notes
        .extend(in_all_stores(session, &mut examples).err());
    of_all_kinds(&mut examples);
    let mut places = BTreeMap::<Place, Vec<Example>>::new();
    for example in examples {
        places.entry(example.place()).or_default().push(example);
    }
    // One place may show what is wanted at another, so that all are known first.
    let mut search = Search::default();
    let mut kinds = BTreeMap::<String, Kind>::new();
    for example in places.values().filter_map(|examples| examples.first()) {
        if lists(example) {
            kinds.entry(example.kind.clone()).or_default();
        } else if is_early(example) {
            search.unshown.insert(example.kind.clone());
        }
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
    for examples in places.values() {
        // If there is a thing, it comes first.
        let Some(example) = examples.first().filter(|example| lists(example)) else {
            continue;
        };
        let Some(kind) = kinds.get_mut(&example.kind) else {
            continue;
        };
        let listed = match list(session, example, &example.at).await {
            Ok(listed) => listed,
            Err(reason) => {
                found.notes.push(format!(
                    "it could not be searched for {} that is in no state: {reason}",
                    example.kind
                ));
                continue;
            }
        };
        for unseen in listed.unseen {
            let kinds = search.unseen.entry((unseen.place, unseen.reason));
            kinds.or_default().insert(example.kind.clone());
        }
        for thing in listed.resources {
            // Several addresses and stores may lead to the same server.
            let is_new = search
                .seen
                .insert((example.kind.clone(), thing.identity.to_string()));
            if !is_new || kind.has(&thing.identity) {
                continue;
            }
            match Mark::find_in(&thing.mark) {
                Some(mark) if mark.retained_since.is_some() => found.retain(example, thing),
                _ if kind.nameless.is_some() => kind.doubtful.push(thing.identity.to_string()),
                mark => match orphan(session, example, kind, &thing, mark).await {
                    Ok(target) => found.targets.push(target),
                    Err(why) => found.notes.push(format!(
                        "{} {} carries our mark and is in no state, {why}",
                        example.kind, thing.identity
                    )),
                },
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
    /// The kinds whose providers don't say how a thing is named.
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
                "it was not searched for {}: the provider is of an early version and does not say \
                 which inputs name what it lists; install a newer one",
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
    for example in places.values().flatten().filter(|example| example.is_thing) {
        let Some(described) = example.described() else {
            continue;
        };
        if !kinds.contains_key(&example.kind) {
            continue;
        }
        let spelled = servers.spelled(&described.contract(), &example.inputs);
        let is_planned = usize::from(is_planned(example));
        to_ask.extend(spelled.into_iter().skip(is_planned).map(|it| (example, it)));
    }
    let mut named: Vec<_> = stream::iter(to_ask)
        .map(async |(example, inputs)| (example, identity(session, example, inputs).await))
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

/// Whether it can be asked for everything that carries our mark.
fn offers_list(example: &Example) -> bool {
    let kind = example.described();
    kind.is_some_and(|kind| kind.offers(RequestName::List))
}

/// Whether a list says by which inputs each thing is named.
fn lists(example: &Example) -> bool {
    let kind = example.described();
    offers_list(example) && kind.is_some_and(|kind| kind.contract.is_some())
}

fn is_early(example: &Example) -> bool {
    offers_list(example) && !lists(example)
}

/// What names a thing on its server, as it is reached by `inputs`; why nobody can say, if
/// nobody can.
async fn identity(session: &Session, example: &Example, inputs: Object) -> Result<Value, String> {
    let request = Request::Read(ReadResourceRequest {
        r#type: example.kind.clone(),
        input_properties: inputs,
        resource: None,
    });
    match ask(session, example, &request).await? {
        Response::Read(answer) if answer.identity.is_null() => {
            Err("its provider does not say what names it".to_owned())
        }
        Response::Read(answer) => Ok(answer.identity),
        _ => Err(OTHERWISE.to_owned()),
    }
}

/// What was retired before, at the place of an example, as far as its provider lists that.
pub(super) async fn retained(session: &Session, example: &Example) -> BTreeSet<String> {
    if !offers_list(example) {
        return BTreeSet::new();
    }
    let listed = list(session, example, &example.inputs).await;
    let things = listed.map(|listed| listed.resources).unwrap_or_default();
    let is_retained = |thing: &ListedResource| {
        Mark::find_in(&thing.mark).is_some_and(|mark| mark.retained_since.is_some())
    };
    things
        .into_iter()
        .filter(is_retained)
        .map(|thing| thing.identity.to_string())
        .collect()
}

const OTHERWISE: &str = "the provider answered something else than it was asked";

async fn list(
    session: &Session,
    example: &Example,
    inputs: &Object,
) -> Result<ListResourcesResponse, String> {
    let request = Request::List(ListResourcesRequest {
        r#type: example.kind.clone(),
        input_properties: inputs.clone(),
    });
    match ask(session, example, &request).await? {
        Response::List(answer) => Ok(answer),
        _ => Err(OTHERWISE.to_owned()),
    }
}

async fn ask(session: &Session, example: &Example, request: &Request) -> Result<Response, String> {
    let answer = session
        .providers
        .ask(&example.provider, &nobody(&example.kind), request)
        .await;
    answer.map_err(|error| error.to_string())
}

/// What would be removed with the thing; why it is left alone, if it is.
async fn orphan(
    session: &Session,
    example: &Example,
    kind: &Kind,
    thing: &ListedResource,
    mark: Option<Mark>,
) -> Result<Target, &'static str> {
    let Some(mark) = mark else {
        return Err("and the mark can't be read: a newer version may have written it");
    };
    if mark.resource_type.is_none() && !example.is_thing {
        // A mark of an early version doesn't say of which kind its thing is.
        return Err(
            "and no member or record there is of that kind: unless it is part of one of another \
             kind, declare it, apply, and remove it again",
        );
    }
    let Some(names) = &thing.inputs else {
        return Err(
            "and its provider does not say which inputs name it: declare it, apply, and remove it \
             again",
        );
    };
    let mut inputs = example.at.clone();
    inputs.extend(names.clone());
    // What was made by halves lacks a name, and its inputs lead to more than is there.
    let is_whole = thing.identity.as_object().is_none_or(|parts| {
        let mut parts = parts.values();
        !parts.any(Value::is_null)
    });
    if !is_whole {
        let leads_to = identity(session, example, inputs.clone()).await;
        if !leads_to.is_ok_and(|other| {
            is_named(&thing.identity, &other) && !kind.shares(&thing.identity, &other)
        }) {
            return Err(
                "and is only a part of what it was: what else its inputs lead to is wanted or \
                 recorded; remove it by hand",
            );
        }
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
    if target.note.is_none() {
        target.note = Some("it carries our mark and is in no state".to_owned());
    }
    Ok(target)
}

/// Whether `named` names what was found, as far as that has a name: of what was made
/// by halves a part is missing, which is null.
fn is_named(found: &Value, named: &Value) -> bool {
    let (Some(found), Some(named)) = (found.as_object(), named.as_object()) else {
        return found == named;
    };
    found
        .iter()
        .all(|(part, value)| value.is_null() || named.get(part) == Some(value))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{Kind, is_named};

    #[test]
    fn a_half_is_told_from_what_is_wanted() {
        let half = json!({ "server": "s", "role": "app", "database": null });
        let whole = json!({ "server": "s", "role": "app", "database": "app" });
        assert!(is_named(&half, &whole) && !is_named(&whole, &half));
        for (known, has, shares) in [
            (
                json!({ "server": "s", "role": "other", "database": "other" }),
                false,
                false,
            ),
            (
                json!({ "server": "s", "role": "other", "database": "app" }),
                false,
                true,
            ),
            (whole.clone(), true, true),
        ] {
            let kind = Kind {
                known: vec![known.clone()],
                ..Kind::default()
            };
            assert_eq!(kind.has(&half), has, "{known}");
            assert_eq!(kind.shares(&half, &whole), shares, "{known}");
        }
    }
}
