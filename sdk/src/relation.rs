//! Relations: kinds of things that have no place for a mark, such as memberships and
//! permissions.
//!
//! A relation is between two other things, and it is there or it isn't. So it belongs to
//! nobody, is compared value by value, and can't be retained: destroying ends it. A
//! [`Relation`] answers only what is left to ask, and [`Related`] makes it a
//! [`ResourceKind`]. This module must not know what is related.

use std::fmt;
use std::marker::PhantomData;

use nixops4_protocol::Object;
use schemars::JsonSchema;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::context::Context;
use crate::error::{Error, Result};
use crate::kind::{DeletionPolicy, Observed, ResourceKind, Step};
use crate::mark::Mark;
use crate::ownership::Ownership;

/// A kind of relations. What has the same name as in [`ResourceKind`] means the same.
pub trait Relation: 'static {
    /// Resource type on the wire.
    const TYPE: &'static str;
    /// Names of the inputs without which the relation can't be looked for.
    const IDENTITY_INPUTS: &'static [&'static str];
    /// Names of the outputs that no change in place touches.
    const STABLE_OUTPUTS: &'static [&'static str] = &[];
    /// The step that makes the relation where there is none.
    const CREATE: Self::Change;

    /// What the author says.
    type Inputs: DeserializeOwned + JsonSchema;
    /// What the expression can read afterwards.
    type Outputs: Serialize + JsonSchema;
    /// What was recorded, read leniently.
    type Prior: DeserializeOwned;
    /// What names the relation on its server.
    type Identity: Serialize + fmt::Display;
    /// The relation as the server has it.
    type Facts;
    /// One step.
    type Change: fmt::Debug;

    /// Checks what the types of the inputs can't.
    fn validate(inputs: &Self::Inputs) -> Result<()> {
        let _ = inputs;
        Ok(())
    }

    /// What names the relation, from the inputs.
    fn identity(inputs: &Self::Inputs) -> Self::Identity;

    /// What names the relation, from what was recorded.
    fn recorded_identity(prior: &Self::Prior) -> Result<Self::Identity>;

    /// The steps from the relation that is there to the one that is wanted.
    fn diff(want: &Self::Inputs, have: &Self::Facts) -> Vec<Step<Self::Change>>;

    /// The outputs of the relation as observed.
    fn outputs(inputs: &Self::Inputs, facts: &Self::Facts) -> Self::Outputs;

    /// The outputs that are certain before the inputs are applied.
    fn predict(inputs: &Self::Inputs) -> Object {
        let _ = inputs;
        Object::new()
    }

    /// Looks for the relation, and for the recorded one if that is another. Changes nothing.
    fn observe(
        cx: &Context,
        inputs: &Self::Inputs,
        prior: Option<&Self::Prior>,
    ) -> impl Future<Output = Result<Option<Self::Facts>>>;

    /// Does one step.
    fn apply(
        cx: &Context,
        inputs: &Self::Inputs,
        change: Self::Change,
    ) -> impl Future<Output = Result<()>>;

    /// Looks for the relation by what was recorded of it. Changes nothing.
    fn observe_recorded(
        cx: &Context,
        prior: &Self::Prior,
    ) -> impl Future<Output = Result<Option<Self::Facts>>>;

    /// Ends the relation.
    fn delete(
        cx: &Context,
        prior: &Self::Prior,
        facts: &Self::Facts,
    ) -> impl Future<Output = Result<()>>;
}

/// The [`ResourceKind`] of a [`Relation`].
pub struct Related<R>(PhantomData<R>);

impl<R: Relation> ResourceKind for Related<R> {
    const TYPE: &'static str = R::TYPE;
    const DELETION_POLICY: DeletionPolicy = DeletionPolicy::Delete;
    const IDENTITY_INPUTS: &'static [&'static str] = R::IDENTITY_INPUTS;
    const STABLE_OUTPUTS: &'static [&'static str] = R::STABLE_OUTPUTS;

    type Inputs = R::Inputs;
    type Outputs = R::Outputs;
    type Prior = R::Prior;
    type Identity = R::Identity;
    type Facts = R::Facts;
    type Change = R::Change;

    fn validate(inputs: &R::Inputs) -> Result<()> {
        R::validate(inputs)
    }

    fn identity(inputs: &R::Inputs) -> R::Identity {
        R::identity(inputs)
    }

    fn recorded_identity(prior: &R::Prior) -> Result<R::Identity> {
        R::recorded_identity(prior)
    }

    fn diff(want: &R::Inputs, have: Option<&R::Facts>) -> Vec<Step<R::Change>> {
        match have {
            None => vec![Step::create(R::CREATE)],
            Some(have) => R::diff(want, have),
        }
    }

    fn outputs(inputs: &R::Inputs, facts: &R::Facts) -> R::Outputs {
        R::outputs(inputs, facts)
    }

    fn predict(inputs: &R::Inputs) -> Object {
        R::predict(inputs)
    }

    async fn observe(
        cx: &Context,
        inputs: &R::Inputs,
        prior: Option<&R::Prior>,
    ) -> Result<Option<Observed<R::Facts>>> {
        Ok(R::observe(cx, inputs, prior).await?.map(unmarkable))
    }

    async fn apply(cx: &Context, inputs: &R::Inputs, change: R::Change) -> Result<()> {
        R::apply(cx, inputs, change).await
    }

    async fn write_mark(_: &Context, inputs: &R::Inputs, _: &R::Facts, _: &Mark) -> Result<()> {
        // The engine asks no `Unmarkable` for this.
        let name = R::identity(inputs);
        Err(Error::new(format!("{name} has no place for a mark")))
    }

    async fn observe_recorded(
        cx: &Context,
        prior: &R::Prior,
    ) -> Result<Option<Observed<R::Facts>>> {
        Ok(R::observe_recorded(cx, prior).await?.map(unmarkable))
    }

    async fn delete(cx: &Context, prior: &R::Prior, facts: &R::Facts) -> Result<()> {
        R::delete(cx, prior, facts).await
    }

    async fn retain(_: &Context, prior: &R::Prior, _: &R::Facts, _: &Mark) -> Result<()> {
        let name = R::recorded_identity(prior)?;
        Err(Error::input(
            "/deletionPolicy",
            format!("{name} can't be retained: it holds no data, and is either there or not"),
        )
        .hint(
            "set deletionPolicy = \"delete\" and apply, then destroy; or only forget it in the \
             state, and it stays",
        ))
    }
}

fn unmarkable<F>(facts: F) -> Observed<F> {
    Observed {
        facts,
        ownership: Ownership::Unmarkable,
    }
}
