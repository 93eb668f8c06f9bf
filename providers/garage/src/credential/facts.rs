//! A secret and the things on the server that go with its values.

use std::collections::BTreeMap;

use nixops4_provider_sdk::kept::{self, Kept, KeptValue};
use nixops4_provider_sdk::secret::StoredSecret;
use nixops4_provider_sdk::{
    Context, Error, Found, Mark, Object, Observed, Ownership, Prior, Result,
};
use nixops4_secrets_store::{Entry, Generation};
use serde::{Deserialize, Serialize};

use super::inputs::{Place, PriorInputs, PriorOutputs, Wanted};
use super::{Credential, Identity, Remote};
use crate::cluster::Cluster;
use crate::connection::Connection;
use crate::title::Name;

/// Where errors about the secret point.
pub(super) const SECRET: &str = "/secretName";

/// What is public of a value.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Public<I> {
    pub(crate) id: I,
}

/// One value, and the thing that goes with it.
pub(crate) struct Held<C: Credential> {
    pub(crate) value: KeptValue<Public<C::Id>>,
    /// None: the server has none.
    pub(crate) remote: Option<Remote<C>>,
}

impl<C: Credential> Held<C> {
    pub(crate) fn id(&self) -> &C::Id {
        &self.value.public.id
    }

    pub(crate) fn generation(&self) -> Generation {
        self.value.generation
    }
}

/// All that is there of a key or token.
pub(crate) struct Facts<C: Credential> {
    pub(crate) place: Place,
    /// What the store has.
    pub(crate) kept: Option<Kept<Public<C::Id>>>,
    /// Each value that the store has, newest first.
    pub(crate) held: Vec<Held<C>>,
    /// The thing that is meant, if the store has no value.
    pub(crate) loose: Option<Remote<C>>,
    /// Whether that is ours all the same.
    pub(crate) is_managed: bool,
    /// Whether the newest was there when it was recorded.
    pub(crate) was_there: bool,
    pub(crate) region: String,
    pub(crate) s3_endpoint: Option<String>,
    pub(crate) system_identifier: String,
}

impl<C: Credential> Facts<C> {
    /// What is on the server, the newest first.
    pub(crate) fn alive(&self) -> impl DoubleEndedIterator<Item = &Remote<C>> {
        let held = self.held.iter().filter_map(|held| held.remote.as_ref());
        self.loose.iter().chain(held)
    }

    /// The value in use.
    pub(crate) fn newest(&self) -> Option<&Held<C>> {
        self.held.first()
    }

    /// The values before it that are in use, newest first.
    pub(crate) fn older(&self) -> impl Iterator<Item = &Held<C>> {
        let older = self.held.iter().skip(1);
        older.filter(|held| held.remote.is_some())
    }

    pub(crate) fn reference(&self, held: &Held<C>) -> Option<StoredSecret> {
        Some(self.kept.as_ref()?.reference(&held.value))
    }

    /// The id of the one in use.
    pub(crate) fn id(&self) -> Option<&C::Id> {
        let newest = self.newest().map(Held::id);
        newest.or(self.loose.as_ref().map(|remote| &remote.id))
    }

    /// The end of the one in use.
    pub(crate) fn expiration(&self) -> Option<crate::moment::Moment> {
        self.alive().next().and_then(|remote| remote.expiration)
    }

    /// With whose it is: somebody else's if any part of it is.
    pub(crate) fn observed(mut self, ours: &Mark) -> Observed<Self> {
        let loose = self.loose.as_ref().map(|remote| &remote.title);
        // What is taken over is marked before its value is in the store.
        self.is_managed = loose.is_some_and(|title| title.is_of(ours) && title.making.is_none());
        let of_store = self.kept.as_ref().map(|kept| kept.mark.clone());
        let mut marks: Vec<_> = self
            .alive()
            .map(|remote| remote.title.ownership())
            .chain(of_store.map(Ownership::Marked))
            .collect();
        let is_foreign = |whose: &Ownership| match whose {
            Ownership::Marked(mark) => !mark.is_of_same(ours),
            _ => true,
        };
        // Otherwise the newest says it: its mark is what is written last.
        let at = marks.iter().position(is_foreign).unwrap_or_default();
        let ownership = if marks.is_empty() {
            Ownership::Unmarked
        } else {
            marks.swap_remove(at)
        };
        Observed {
            facts: self,
            ownership,
        }
    }
}

/// What is there of what is wanted.
pub(super) async fn wanted<C: Credential>(
    cx: &Context,
    inputs: &C::Inputs,
    prior: Option<&Prior<PriorInputs, PriorOutputs>>,
) -> Result<Option<Facts<C>>> {
    let node = prior.and_then(|prior| prior.outputs.system_identifier.as_deref());
    let place = match prior {
        Some(prior) => Place::recorded::<C>(&prior.inputs, &prior.outputs)?,
        None => Place::of::<C>(inputs)?,
    };
    let recorded = prior.and_then(|prior| prior.outputs.secret.as_ref());
    let entry = entry(cx, &place, recorded).await?;
    if let Some(recorded) = recorded {
        kept::refuse_lost(recorded, entry.as_ref(), SECRET)?;
    }
    let cluster = Cluster::of(cx, inputs.connection(), node).await?;
    let mut facts = look::<C>(cx, &cluster, place, entry, node, Source::List).await?;
    if facts.kept.is_none() {
        facts.loose = loose(cx, &cluster, inputs).await?;
        let Some(entry) = made_since(cx, &facts).await? else {
            return Ok(facts.loose.is_some().then_some(facts));
        };
        let place = facts.place;
        facts = look::<C>(cx, &cluster, place, Some(entry), node, Source::Server).await?;
    }
    let recorded = prior.and_then(|prior| prior.outputs.id.as_deref());
    facts.was_there = facts
        .newest()
        .is_some_and(|newest| recorded == Some(newest.id().to_string().as_str()));
    if prior.is_none() {
        refuse_anothers(&facts, inputs.name())?;
    }
    Ok(Some(facts))
}

/// What the store has by now, if somebody has made the thing in between: its value is
/// in the store before the thing has its name.
async fn made_since<C: Credential>(cx: &Context, facts: &Facts<C>) -> Result<Option<Entry>> {
    let ours = cx.mark();
    let loose = facts.loose.as_ref();
    if !loose.is_some_and(|remote| remote.title.is_of(&ours)) {
        return Ok(None);
    }
    entry(cx, &facts.place, None).await
}

/// What is there of what was recorded.
pub(super) async fn recorded<C: Credential>(
    cx: &Context,
    prior: &Prior<PriorInputs, PriorOutputs>,
) -> Result<Option<Facts<C>>> {
    let node = prior.outputs.system_identifier.as_deref();
    let place = Place::recorded::<C>(&prior.inputs, &prior.outputs)?;
    let recorded = prior.outputs.secret.as_ref();
    let entry = entry(cx, &place, recorded).await?;
    let cluster = Cluster::of(cx, &prior.inputs.connection, node).await?;
    let mut facts = look::<C>(cx, &cluster, place, entry, node, Source::Server).await?;
    let name = &prior.inputs.name;
    let id = prior.outputs.id.clone();
    if facts.kept.is_some() {
        let mut alive = facts.alive();
        let is_it = alive.next().is_none_or(|on| on.title.name == name.as_str());
        drop(alive);
        if is_it || id.is_some() {
            return Ok(Some(facts));
        }
        // The secret was looked for by the name alone, and is one's that has another
        // name by now.
        facts.kept = None;
        facts.held.clear();
    }
    // Its value is gone, and nobody can use it; but it is there.
    facts.loose = match id.map(serde_json::Value::String) {
        Some(id) => match serde_json::from_value(id) {
            Ok(id) => C::by_id(cx, &cluster, &id).await?,
            Err(_) => None,
        },
        None => unrecorded(cx, &cluster, name).await?,
    };
    Ok(facts.loose.is_some().then_some(facts))
}

/// What carries our mark under this name where nothing was recorded that says which
/// one it is, nor where its secret is kept.
async fn unrecorded<C: Credential>(
    cx: &Context,
    cluster: &Cluster,
    name: &Name,
) -> Result<Option<Remote<C>>> {
    let ours = cx.mark();
    let all = C::all(cx, cluster).await?.into_iter();
    let ids: Vec<_> = all
        .filter(|(_, title)| title.is_named(name) && title.is_of(&ours))
        .map(|(id, _)| id)
        .collect();
    match ids.as_slice() {
        [] => Ok(None),
        [id] => C::by_id(cx, cluster, id).await,
        several => Err(Error::input(
            SECRET,
            format!(
                "{} {}s are called {:?}, and nothing says where their secret is kept: {}",
                several.len(),
                C::CALLED,
                name.as_str(),
                listed(several)
            ),
        )
        .hint(
            "declare it with the store and secretName that it was made with, apply, and remove it \
             again",
        )),
    }
}

fn listed(ids: &[impl ToString]) -> String {
    let ids: Vec<_> = ids.iter().map(ToString::to_string).collect();
    ids.join(", ")
}

/// What the store has at a place. It has to be the store in which it was recorded.
pub(super) async fn entry(
    cx: &Context,
    place: &Place,
    recorded: Option<&StoredSecret>,
) -> Result<Option<Entry>> {
    let kind = cx.resource_type();
    kept::entry(&place.store, &place.name, kind, recorded, SECRET).await
}

/// Who is asked what there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Source {
    /// The list of all, if there is one.
    List,
    /// The server, because something is about to be changed or deleted.
    Server,
}

/// What the server has of what the store has.
pub(super) async fn look<C: Credential>(
    cx: &Context,
    cluster: &Cluster,
    place: Place,
    entry: Option<Entry>,
    node: Option<&str>,
    source: Source,
) -> Result<Facts<C>> {
    let kept = entry
        .map(|entry| Kept::<Public<C::Id>>::read(&place.store, entry, SECRET))
        .transpose()?;
    let mut held = Vec::new();
    for value in kept.iter().flat_map(Kept::values) {
        let id = &value.public.id;
        let seen = match source {
            Source::List => C::seen_by_id(cx, cluster, id).await,
            Source::Server => None,
        };
        let remote = match seen {
            Some(seen) => seen,
            None => C::by_id(cx, cluster, id).await?,
        };
        let value = value.clone();
        held.push(Held { value, remote });
    }
    Ok(Facts {
        place,
        kept,
        held,
        loose: None,
        is_managed: false,
        was_there: false,
        region: cluster.region(),
        s3_endpoint: cluster.s3_endpoint(),
        system_identifier: cluster.known_by(node),
    })
}

/// What is meant where the store has no value: the thing whose id is given, or else
/// the one of this name.
async fn loose<C: Credential>(
    cx: &Context,
    cluster: &Cluster,
    inputs: &C::Inputs,
) -> Result<Option<Remote<C>>> {
    if let Some(id) = C::given(inputs) {
        return C::by_id(cx, cluster, id).await;
    }
    if let Some(seen) = C::seen(cx, cluster, inputs.name()).await {
        return Ok(seen);
    }
    let named = named::<C>(cx, cluster, inputs.name()).await?;
    match named.as_slice() {
        [] => Ok(None),
        [id] => C::by_id(cx, cluster, id).await,
        several => Err(shared::<C>(inputs.name(), several)),
    }
}

/// Everything that is called so.
pub(super) async fn named<C: Credential>(
    cx: &Context,
    cluster: &Cluster,
    name: &Name,
) -> Result<Vec<C::Id>> {
    let all = C::all(cx, cluster).await?;
    let named = all.into_iter().filter(|(_, title)| title.is_named(name));
    Ok(named.map(|(id, _)| id).collect())
}

fn shared<C: Credential>(name: &Name, ids: &[C::Id]) -> Error {
    let called = C::CALLED;
    let hint = match C::UNREADABLE {
        None => {
            "name the one that is meant in import.accessKeyId, rename the others, or choose \
                 another name"
        }
        Some(_) => "rename or delete them, or choose another name",
    };
    Error::input(
        "/name",
        format!(
            "{} {called}s are called {:?}: {}",
            ids.len(),
            name.as_str(),
            listed(ids)
        ),
    )
    .hint(hint)
}

/// Fails if the secret belongs to what is called otherwise: somebody else declares
/// that, who has renamed it since.
fn refuse_anothers<C: Credential>(facts: &Facts<C>, name: &Name) -> Result<()> {
    let Some(remote) = facts.alive().next() else {
        return Ok(());
    };
    if remote.title.name == name.as_str() {
        return Ok(());
    }
    Err(Error::input(
        SECRET,
        format!(
            "secret {:?} is that of {} {}, which is called {:?} and not {:?}",
            facts.place.name.as_str(),
            C::CALLED,
            remote.id,
            remote.title.name,
            name.as_str()
        ),
    )
    .hint(
        "for another one, set secretName; if that one is meant, declare it by its name first, or \
         import it into the state",
    ))
}

/// Everything that carries the owner's mark, by its name.
pub(super) async fn list<C: Credential>(cx: &Context, at: &Connection) -> Result<Vec<Found>> {
    let cluster = Cluster::of(cx, at, None).await?;
    let ours = cx.mark();
    let mut found: BTreeMap<String, (Mark, Vec<String>)> = BTreeMap::new();
    for (id, title) in C::all(cx, &cluster).await? {
        let Some(mark) = title.mark.clone().filter(|mark| mark.is_of_same(&ours)) else {
            continue;
        };
        let (_, ids) = found.entry(title.name).or_insert((mark, Vec::new()));
        ids.push(id.to_string());
    }
    let found = found.into_iter().map(|(name, (mark, ids))| {
        let name = Name::try_from(name).map_err(Error::new)?;
        let mut facts = Object::new();
        facts.insert("ids".to_owned(), ids.into());
        Ok(Found {
            identity: serde_json::to_value(Identity::new::<C>(at, &name)).unwrap_or_default(),
            mark,
            facts,
        })
    });
    found.collect()
}
