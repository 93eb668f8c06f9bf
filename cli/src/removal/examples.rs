//! Where orphans are looked for: every place that a member or a record shows, with every
//! kind that its provider lists, and every secrets store that anybody names.

use std::collections::{BTreeMap, BTreeSet};

use nixops4_protocol::Object;
use nixops4_protocol::client::ProviderCommand;
use nixops4_protocol::describe::KindDescription;
use nixops4_protocol::message::RequestName;
use nixops4_protocol::state::Extension;
use serde_json::{Value, json};

use super::Recorded;
use super::gc::Live;
use super::guess::SHARED;
use super::servers::Servers;
use crate::eval::Member;
use crate::eval::named::CONNECTION;
use crate::member::MemberPath;
use crate::providers;
use crate::session::Session;

/// The input that names the store that a secret is in.
const STORE: &str = "store";

/// Where to look: a provider, a kind, and the inputs that say where.
pub(super) type Place = (ProviderCommand, String, String);

/// A member or record that shows where to look, and how such things are named.
#[derive(Clone)]
pub(super) struct Example {
    pub(super) path: MemberPath,
    pub(super) provider: ProviderCommand,
    pub(super) extension: Extension,
    pub(super) kind: String,
    pub(super) inputs: Object,
    pub(super) source: Source,
}

/// Where an example comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Source {
    /// Such a thing is wanted or recorded.
    Thing,
    /// Such a thing is wanted or recorded in another store.
    OtherStore,
    /// A thing of another kind shows where to look, and nothing how this kind is named.
    OtherKind,
}

impl Example {
    pub(super) fn place(&self) -> Place {
        (
            self.provider.clone(),
            self.kind.clone(),
            shared(&self.inputs).to_string(),
        )
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
            source: Source::Thing,
        }
    }
}

/// What may not be asked for, and why.
pub(super) type Distrusted = (MemberPath, String, String);

pub(super) async fn examples(
    session: &Session,
    live: &[Live],
    recorded: &Recorded,
    servers: &Servers,
) -> (Vec<Example>, Vec<Distrusted>) {
    let members = live
        .iter()
        .map(|live| &live.member)
        .filter(|member| member.is_known());
    let mut examples: Vec<Example> = members.map(Example::from).collect();
    let mut distrusted = Vec::new();
    for (path, (_, recorded)) in recorded {
        let reached = servers.reach(recorded);
        let kind = recorded.r#type.clone();
        match session.provider_of(&reached).await {
            Ok(provider) => examples.push(Example {
                path: path.clone(),
                provider,
                extension: recorded.extension.clone().unwrap_or_default(),
                kind,
                inputs: reached.input_properties,
                source: Source::Thing,
            }),
            Err(reason) => distrusted.push((path.clone(), kind, reason.to_string())),
        }
    }
    (examples, distrusted)
}

/// Adds for each kind of secret the stores that `NIXOPS4_SECRETS_STORES` names and no
/// member or record does.
pub(super) async fn in_all_stores(
    session: &Session,
    examples: &mut Vec<Example>,
) -> Result<(), String> {
    // The stores that are shown of each kind, and one of it.
    let mut shown = BTreeMap::<(ProviderCommand, String), (Example, BTreeSet<String>)>::new();
    for example in examples.iter() {
        if let Some(store) = store(session, example).await {
            let kind = (example.provider.clone(), example.kind.clone());
            let (_, stores) = shown
                .entry(kind)
                .or_insert_with(|| (example.clone(), BTreeSet::new()));
            stores.insert(store);
        }
    }
    if shown.is_empty() {
        return Ok(());
    }
    let stores = nixops4_secrets_store::environment::stores();
    let stores = stores
        .map_err(|error| format!("which other secrets stores there are is not known: {error}"))?;
    for (example, shown) in shown.into_values() {
        for store in stores.iter().filter(|store| !shown.contains(*store)) {
            let mut other = example.clone();
            other.inputs.insert(STORE.to_owned(), store.as_str().into());
            other.source = Source::OtherStore;
            examples.push(other);
        }
    }
    Ok(())
}

/// The store that a thing is in; what is on a server only keeps something in one.
async fn store(session: &Session, example: &Example) -> Option<String> {
    let description = session.providers.describe(&example.provider).await;
    let description = description.ok().flatten()?;
    let inputs = &description.kinds.get(&example.kind)?.inputs;
    let properties = inputs.get("properties")?.as_object()?;
    let property = properties.get(STORE)?;
    if properties.contains_key(CONNECTION) {
        return None;
    }
    let said = example.inputs.get(STORE).filter(|it| !it.is_null());
    said.or(property.get("default"))?
        .as_str()
        .map(str::to_owned)
}

/// Adds, for each place, the kinds that its provider lists and that no member or record
/// there is of.
pub(super) async fn of_all_kinds(session: &Session, examples: &mut Vec<Example>) {
    let mut places = BTreeMap::<(ProviderCommand, String), (Example, BTreeSet<String>)>::new();
    for example in examples.iter() {
        let (provider, kind, shared) = example.place();
        let place = places.entry((provider, shared));
        let (_, kinds) = place.or_insert_with(|| (example.clone(), BTreeSet::new()));
        kinds.insert(kind);
    }
    for (example, shown) in places.into_values() {
        let Ok(Some(description)) = session.providers.describe(&example.provider).await else {
            continue;
        };
        for (kind, described) in &description.kinds {
            if shown.contains(kind) || !described.offers(RequestName::List) {
                continue;
            }
            if let Some(inputs) = inputs_to_list(described, &example.inputs) {
                examples.push(Example {
                    path: nobody(kind),
                    kind: kind.clone(),
                    inputs,
                    source: Source::OtherKind,
                    ..example.clone()
                });
            }
        }
    }
}

/// Inputs that say where to list a kind, after those of another kind: what it needs
/// beside is made up, because a list does not go by it. `None` if it is reached in
/// another way.
fn inputs_to_list(described: &KindDescription, inputs: &Object) -> Option<Object> {
    let properties = described.inputs.get("properties")?.as_object()?;
    let made_up = |name: &str| match properties.get(name).and_then(|it| it.get("type")?.as_str()) {
        Some("array") => json!([]),
        Some("object") => json!({}),
        _ => json!("x"),
    };
    let Value::Object(mut listing) = shared(inputs) else {
        return None;
    };
    if !listing.keys().all(|name| properties.contains_key(name)) {
        return None;
    }
    let required = described.inputs.get("required").and_then(Value::as_array);
    for name in required.into_iter().flatten().filter_map(Value::as_str) {
        if !listing.contains_key(name) {
            listing.insert(name.to_owned(), made_up(name));
        }
    }
    Some(listing)
}

/// The part of an example's inputs that says where, and not which one.
fn shared(inputs: &Object) -> Value {
    let store = is_in_a_store(inputs).then_some(STORE);
    let shared = SHARED.into_iter().chain(store).filter_map(|name| {
        let value = inputs.get(name)?;
        Some((name.to_owned(), value.clone()))
    });
    Value::Object(shared.collect())
}

/// Whether a store is where a thing is; what is on a server only keeps something there.
fn is_in_a_store(inputs: &Object) -> bool {
    let is_said = |name: &str| inputs.get(name).is_some_and(|value| !value.is_null());
    is_said(STORE) && !is_said(CONNECTION)
}

/// Who asks for what no member is known to be.
pub(super) fn nobody(kind: &str) -> MemberPath {
    MemberPath(vec![kind.to_owned()])
}
