//! Where orphans are looked for: every place that a member or a record shows, with every
//! kind that its provider lists, and every secrets store that anybody names.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use nixops4_protocol::Object;
use nixops4_protocol::client::ProviderCommand;
use nixops4_protocol::describe::{Description, KindDescription, Reach};
use nixops4_protocol::message::RequestName;
use nixops4_protocol::state::Extension;
use serde_json::Value;

use super::Recorded;
use super::live::Live;
use super::servers::Servers;
use crate::eval::Member;
use crate::eval::named::canonical;
use crate::member::MemberPath;
use crate::providers;
use crate::session::Session;

/// Where to look: a provider, a kind, and the inputs that say where.
pub(super) type Place = (ProviderCommand, String, String);

/// Something that shows where to look.
#[derive(Clone)]
pub(super) struct Example {
    pub(super) path: MemberPath,
    pub(super) provider: ProviderCommand,
    pub(super) extension: Extension,
    pub(super) kind: String,
    pub(super) inputs: Object,
    /// Those of the inputs that say where it is and whose, and not which one.
    pub(super) at: Object,
    /// Whether such a thing is wanted or recorded there; otherwise something else shows
    /// the place.
    pub(super) is_thing: bool,
    description: Arc<Description>,
}

impl Example {
    /// `None` if nobody says what such a thing is.
    fn new(
        (path, kind, inputs): (MemberPath, String, Object),
        (provider, extension): (ProviderCommand, Extension),
        description: Option<Arc<Description>>,
    ) -> Option<Self> {
        let description = description?;
        let at = at(description.kinds.get(&kind)?, &inputs);
        Some(Self {
            path,
            provider,
            extension,
            kind,
            inputs,
            at,
            is_thing: true,
            description,
        })
    }

    pub(super) async fn of_member(session: &Session, member: &Member) -> Option<Self> {
        let provider = providers::command(&member.executable, &member.args);
        let extension = Extension {
            executable: member.executable.clone(),
            args: member.args.clone(),
            ..Extension::default()
        };
        let description = session.providers.describe(&provider).await.ok().flatten();
        let thing = (
            member.path.clone(),
            member.kind.clone(),
            member.inputs.clone(),
        );
        Self::new(thing, (provider, extension), description)
    }

    /// What its provider says of its kind. There always is one.
    pub(super) fn described(&self) -> Option<&KindDescription> {
        self.description.kinds.get(&self.kind)
    }

    pub(super) fn place(&self) -> Place {
        (self.provider.clone(), self.kind.clone(), self.written())
    }

    /// Where it is, as text.
    fn written(&self) -> String {
        canonical(&Value::Object(self.at.clone()))
    }

    /// A place that is shown by it, where other things may be.
    fn showing(&self, kind: &str, at: Object) -> Self {
        Self {
            path: nobody(kind),
            kind: kind.to_owned(),
            inputs: at.clone(),
            at,
            is_thing: false,
            ..self.clone()
        }
    }

    /// The input that names the store that it is in, if it is in one.
    fn store_input(&self) -> Option<String> {
        match &self.described()?.contract().reach {
            Reach::SecretsStore { input } => Some(input.clone()),
            _ => None,
        }
    }
}

/// Those of the inputs that say where a thing is, and whose. What is not set is as its
/// kind sets it.
fn at(kind: &KindDescription, inputs: &Object) -> Object {
    let contract = kind.contract();
    let mut at = contract.reaching(inputs);
    for name in contract.reach.inputs() {
        let properties = kind.inputs.get("properties");
        let default = properties.and_then(|properties| properties.get(name)?.get("default"));
        if let Some(default) = default.filter(|it| !it.is_null() && !at.contains_key(name)) {
            at.insert(name.clone(), default.clone());
        }
    }
    if let (Some(name), Some(deployment)) =
        (&contract.deployment_input, contract.deployment(inputs))
    {
        at.insert(name.clone(), deployment.clone());
    }
    at
}

/// What may not be asked for, and why.
pub(super) type Distrusted = (MemberPath, String, String);

pub(super) async fn examples(
    session: &Session,
    live: &[Live],
    recorded: &Recorded,
    servers: &Servers,
) -> (Vec<Example>, Vec<Distrusted>) {
    let mut examples = Vec::new();
    for live in live.iter().filter(|live| live.member.is_known()) {
        examples.extend(Example::of_member(session, &live.member).await);
    }
    let mut distrusted = Vec::new();
    for (path, (_, recorded)) in recorded {
        let reached = servers.reach(session, recorded).await;
        let kind = recorded.r#type.clone();
        match session.provider_of(&reached).await {
            Ok(provider) => {
                let description = session.providers.describe(&provider).await.ok().flatten();
                let extension = recorded.extension.clone().unwrap_or_default();
                let thing = (path.clone(), kind, reached.input_properties);
                examples.extend(Example::new(thing, (provider, extension), description));
            }
            Err(reason) => distrusted.push((path.clone(), kind, reason.to_string())),
        }
    }
    (examples, distrusted)
}

/// Adds for each kind of secret the stores that `NIXOPS4_SECRETS_STORES` names and no
/// member or record does.
pub(super) fn in_all_stores(session: &Session, examples: &mut Vec<Example>) -> Result<(), String> {
    // The stores that are shown of each kind, and one of it.
    let mut shown =
        BTreeMap::<(ProviderCommand, String), (Example, String, BTreeSet<String>)>::new();
    for example in examples.iter() {
        let Some(input) = example.store_input() else {
            continue;
        };
        let kind = (example.provider.clone(), example.kind.clone());
        let store = example.at.get(&input).and_then(Value::as_str);
        let (_, _, stores) = shown
            .entry(kind)
            .or_insert_with(|| (example.clone(), input.clone(), BTreeSet::new()));
        stores.extend(store.map(str::to_owned));
    }
    if shown.is_empty() {
        return Ok(());
    }
    let stores = (session.secret_stores)()
        .map_err(|error| format!("which other secrets stores there are is not known: {error}"))?;
    for (example, input, shown) in shown.into_values() {
        for store in stores.iter().filter(|store| !shown.contains(*store)) {
            let mut at = example.at.clone();
            at.insert(input.clone(), store.as_str().into());
            examples.push(example.showing(&example.kind, at));
        }
    }
    Ok(())
}

/// Adds, for each place, the kinds that its provider lists, that are reached alike, and
/// that no member or record there is of.
pub(super) fn of_all_kinds(examples: &mut Vec<Example>) {
    let mut places = BTreeMap::<(ProviderCommand, String), (Example, BTreeSet<String>)>::new();
    for example in examples.iter() {
        let place = (example.provider.clone(), example.written());
        let (_, kinds) = places
            .entry(place)
            .or_insert_with(|| (example.clone(), BTreeSet::new()));
        kinds.insert(example.kind.clone());
    }
    for (example, shown) in places.into_values() {
        let Some(contract) = example.described().map(KindDescription::contract) else {
            continue;
        };
        for (kind, described) in &example.description.kinds {
            let other = described.contract();
            if !shown.contains(kind)
                && described.offers(RequestName::List)
                && other.reach.inputs() == contract.reach.inputs()
                && other.deployment_input == contract.deployment_input
            {
                examples.push(example.showing(kind, example.at.clone()));
            }
        }
    }
}

/// Who asks for what no member is known to be.
pub(super) fn nobody(kind: &str) -> MemberPath {
    MemberPath(vec![kind.to_owned()])
}
