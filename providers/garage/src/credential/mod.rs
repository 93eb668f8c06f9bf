//! Keys and admin tokens: what both have in common.
//!
//! Either is a secret in a store, and each value of it a thing on the server, whose
//! id is what is public of the value. So the store says what there has to be, and
//! decides between those who come at once. The newest value is the one in use;
//! those before it stay in use until there are too many. Of how a value is made,
//! and of what is set on a thing beside its name and its end, this knows nothing.

mod facts;
mod inputs;
mod making;
mod remote;
mod steps;

use std::fmt;
use std::marker::PhantomData;

use nixops4_provider_sdk::{
    Context, DeletionPolicy, Error, Found, Mark, Object, Observed, Prior, ResourceKind, Result,
    SecretString, StateNeed, Step,
};
use schemars::JsonSchema;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::cluster::Cluster;
use crate::title::{Name, Title};

pub(crate) use facts::{Facts, Held, Public};
pub(crate) use inputs::{
    Identity, Place, PriorInputs, PriorOutputs, Wanted, credential_inputs, defaults,
};
pub(crate) use making::{Making, Stage};
pub(crate) use remote::{Expiry, Remote};
pub(crate) use steps::{Change, What, refused};

/// What one kind does differently.
pub(crate) trait Credential: Sized + 'static {
    /// As [`ResourceKind::TYPE`].
    const TYPE: &'static str;
    /// As [`ResourceKind::LOCATED_BY`].
    const LOCATED_BY: &'static [&'static str];
    /// As [`ResourceKind::LASTING`].
    const LASTING: &'static [&'static str];
    /// What people call such a thing.
    const CALLED: &'static str;
    /// What the names of its secrets begin with, unless the author says otherwise.
    const SECRETS: &'static str;
    /// Whether a value is in the store before the server has the thing: then
    /// that it isn't there doesn't mean that somebody has deleted it.
    const STORED_FIRST: bool;
    /// Why the value of a thing can't be had from the server, if it can't.
    const UNREADABLE: Option<&'static str>;

    /// What the server calls one thing.
    type Id: Clone + PartialEq + fmt::Display + fmt::Debug + Serialize + DeserializeOwned;
    /// What a thing has beside a name and an end.
    type More: Clone + fmt::Debug;
    /// As [`ResourceKind::Inputs`].
    type Inputs: Wanted + DeserializeOwned + JsonSchema;
    /// As [`ResourceKind::Outputs`].
    type Outputs: Serialize + JsonSchema;

    /// As [`ResourceKind::validate`], beside what is common.
    fn validate(inputs: &Self::Inputs) -> Result<()>;

    /// The thing that is meant where there is no value in the store.
    fn given(inputs: &Self::Inputs) -> Option<&Self::Id>;

    /// The steps beside those that are common.
    fn difference(want: &Self::Inputs, have: &Facts<Self>) -> Vec<Step<What>>;

    /// As [`ResourceKind::outputs`].
    fn outputs(inputs: &Self::Inputs, facts: &Facts<Self>) -> Self::Outputs;

    /// A thing; `None` if the server says that there is none.
    async fn by_id(cx: &Context, cluster: &Cluster, id: &Self::Id) -> Result<Option<Remote<Self>>>;

    /// The same as the last look at all of them showed it, if they were looked at
    /// within a moment; `Some(None)`: there was none. Kinds of which there are few
    /// are never looked at so.
    async fn seen_by_id(_: &Context, _: &Cluster, _id: &Self::Id) -> Option<Option<Remote<Self>>> {
        None
    }

    /// The same of the only thing that is called so.
    async fn seen(_: &Context, _: &Cluster, _name: &Name) -> Option<Option<Remote<Self>>> {
        None
    }

    /// Every thing, by its name.
    async fn all(cx: &Context, cluster: &Cluster) -> Result<Vec<(Self::Id, Title)>>;

    /// The value of a thing that is there.
    async fn value(
        cx: &Context,
        cluster: &Cluster,
        inputs: &Self::Inputs,
        id: &Self::Id,
    ) -> Result<SecretString>;

    /// Makes sure that the store has a value of this generation, or a later one
    /// if its id can't be used, and the server the thing to it.
    async fn make(
        making: &Making<'_, Self>,
        generation: nixops4_secrets_store::Generation,
    ) -> Result<Stage>;

    /// Gives an unfinished thing what it has of another one.
    async fn complete(cx: &Context, cluster: &Cluster, from: &str, to: &Self::Id) -> Result<()>;

    /// Sets name and end of a thing, and with `inputs` all else that they say.
    async fn update(
        cx: &Context,
        cluster: &Cluster,
        id: &Self::Id,
        title: &Title,
        expiry: Expiry,
        inputs: Option<&Self::Inputs>,
    ) -> Result<()>;

    /// Deletes a thing. What is gone already is no error.
    async fn delete(cx: &Context, cluster: &Cluster, id: &Self::Id) -> Result<()>;
}

/// The kind of `C`.
pub(crate) struct Managed<C>(PhantomData<C>);

impl<C: Credential> ResourceKind for Managed<C> {
    const TYPE: &'static str = C::TYPE;
    const STATE: StateNeed = StateNeed::Optional;
    // It holds no data; but it is gone for good, and so is its id.
    const DELETION_POLICY: DeletionPolicy = DeletionPolicy::Delete;
    const LOCATED_BY: &'static [&'static str] = C::LOCATED_BY;
    const LASTING: &'static [&'static str] = C::LASTING;
    const LISTS: bool = true;

    type Inputs = C::Inputs;
    type Outputs = C::Outputs;
    type Prior = Prior<PriorInputs, PriorOutputs>;
    type Identity = Identity;
    type Facts = Facts<C>;
    type Change = Change;

    fn validate(inputs: &C::Inputs) -> Result<()> {
        Place::of::<C>(inputs)?;
        C::validate(inputs)
    }

    fn identity(inputs: &C::Inputs) -> Identity {
        Identity::new::<C>(inputs.connection(), inputs.name())
    }

    fn recorded_identity(prior: &Self::Prior) -> Result<Identity> {
        Ok(Identity::new::<C>(
            &prior.inputs.connection,
            &prior.inputs.name,
        ))
    }

    fn diff(want: &C::Inputs, have: Option<&Facts<C>>) -> Vec<Step<Change>> {
        match have {
            Some(have) => steps::difference(want, have),
            None => match Place::of::<C>(want) {
                Ok(place) => vec![Step::create(Change {
                    place,
                    what: What::Make(want.generation()),
                })],
                // It was validated before.
                Err(_) => Vec::new(),
            },
        }
    }

    fn outputs(inputs: &C::Inputs, facts: &Facts<C>) -> C::Outputs {
        C::outputs(inputs, facts)
    }

    fn predict(inputs: &C::Inputs) -> Object {
        let mut outputs = Object::new();
        outputs.insert("name".to_owned(), inputs.name().as_str().into());
        outputs
    }

    async fn observe(
        cx: &Context,
        inputs: &C::Inputs,
        prior: Option<&Self::Prior>,
    ) -> Result<Option<Observed<Facts<C>>>> {
        let found = facts::wanted::<C>(cx, inputs, prior).await?;
        Ok(found.map(|facts| facts.observed(&cx.mark())))
    }

    async fn apply(cx: &Context, inputs: &C::Inputs, change: Change) -> Result<()> {
        making::apply::<C>(cx, inputs, change).await
    }

    async fn write_mark(
        cx: &Context,
        inputs: &C::Inputs,
        facts: &Facts<C>,
        mark: &Mark,
    ) -> Result<()> {
        let cluster = Cluster::of(cx, inputs.connection(), None).await?;
        making::take(cx, &cluster, facts, mark).await
    }

    async fn observe_recorded(
        cx: &Context,
        prior: &Self::Prior,
    ) -> Result<Option<Observed<Facts<C>>>> {
        let found = facts::recorded::<C>(cx, prior).await?;
        Ok(found.map(|facts| facts.observed(&cx.mark())))
    }

    async fn delete(cx: &Context, prior: &Self::Prior, facts: &Facts<C>) -> Result<()> {
        let cluster = Cluster::of(cx, &prior.inputs.connection, None).await?;
        making::delete(cx, &cluster, facts).await
    }

    async fn retain(
        cx: &Context,
        prior: &Self::Prior,
        facts: &Facts<C>,
        mark: &Mark,
    ) -> Result<()> {
        let cluster = Cluster::of(cx, &prior.inputs.connection, None).await?;
        making::retire(cx, &cluster, facts, mark).await
    }

    async fn list(cx: &Context, inputs: &C::Inputs) -> Result<Vec<Found>> {
        facts::list::<C>(cx, inputs.connection()).await
    }
}

/// What isn't ours any more is left alone.
fn refuse_foreign<C: Credential>(remote: &Remote<C>, ours: &Mark) -> Result<()> {
    if remote.title.is_of(ours) {
        return Ok(());
    }
    Err(Error::new(format!(
        "{} {} is not changed, because it carries no mark of {:?} any more: it is called {:?}",
        C::CALLED,
        remote.id,
        ours.owner.as_str(),
        remote.title.to_string()
    ))
    .hint("see who else changes it, then apply again"))
}
