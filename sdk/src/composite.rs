//! Composites: kinds that are made of two others and are one thing to whoever declares
//! them, such as a tenant: a login, and what it logs in to.
//!
//! The two halves have an order. The first lets somebody in, so it is made first, retired
//! first, so that nobody who was sent off comes back, and deleted last. A [`Composite`]
//! says how its inputs and its record are those of the halves, and [`Composed`] makes it a
//! [`ResourceKind`], through what every kind offers. This module must not know what the
//! halves are.

use std::fmt;
use std::marker::PhantomData;

use nixops4_protocol::Object;
use schemars::JsonSchema;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::context::Context;
use crate::error::{Error, Result};
use crate::kind::{DeletionPolicy, Found, Observed, ResourceKind, Step};
use crate::mark::Mark;
use crate::ownership::Ownership;
use crate::reach::ReachInputs;

/// A kind that is made of two others. What has the same name as in [`ResourceKind`] means
/// the same.
pub trait Composite: Sized + 'static {
    /// Resource type on the wire.
    const TYPE: &'static str;
    /// What happens at destroy unless the author says otherwise.
    const DELETION_POLICY: DeletionPolicy;
    /// Names of the inputs without which the halves can't be looked for.
    const IDENTITY_INPUTS: &'static [&'static str];
    /// Whether a half holds secrets that others may need.
    const HOLDS_SECRETS: bool = Self::First::HOLDS_SECRETS || Self::Second::HOLDS_SECRETS;
    /// Former names of inputs, each with today's name.
    const FORMER_INPUTS: &'static [(&'static str, &'static str)] = &[];
    /// Names of the outputs that no change in place touches.
    const STABLE_OUTPUTS: &'static [&'static str] = &[];
    /// Whether [`list`](Self::list) does something.
    const LISTS: bool = false;

    /// The half that lets somebody in.
    type First: ResourceKind;
    /// The half that they come in to.
    type Second: ResourceKind;
    /// A step that is about both halves; `Infallible` where there is none.
    type Link: fmt::Debug;

    /// The inputs that say where both are.
    type Reach: ReachInputs;
    /// What the author says.
    type Inputs: DeserializeOwned + JsonSchema;
    /// What the expression can read afterwards.
    type Outputs: Serialize + JsonSchema;
    /// What was recorded, read leniently.
    type Prior: DeserializeOwned;
    /// What names the two on their server.
    type Identity: Serialize + fmt::Display;

    /// Checks what neither the types of the inputs nor the halves can.
    fn validate(inputs: &Self::Inputs) -> Result<()> {
        let _ = inputs;
        Ok(())
    }

    /// What names the two, from the inputs.
    fn identity(inputs: &Self::Inputs) -> Self::Identity;

    /// What names the two, from what was recorded.
    fn recorded_identity(prior: &Self::Prior) -> Result<Self::Identity>;

    /// The inputs of the halves.
    fn inputs(inputs: &Self::Inputs) -> Result<InputsOf<Self>>;

    /// The record, as the records of the halves.
    fn priors(prior: &Self::Prior) -> Result<PriorsOf<Self>>;

    /// Pointer to the input that the first half has at `pointer`.
    fn first_pointer(inputs: &Self::Inputs, pointer: &str) -> String;

    /// Pointer to the input that the second half has at `pointer`.
    fn second_pointer(inputs: &Self::Inputs, pointer: &str) -> String;

    /// Whether the second half's step at `pointer` of its inputs comes along with what is
    /// done to the first.
    fn follows(have: &FactsOf<Self>, pointer: &str) -> bool {
        let _ = (have, pointer);
        false
    }

    /// The steps about both halves, done after those of each. Neither half is there:
    /// the steps that are due once both are made.
    fn links(want: &Self::Inputs, have: Option<&FactsOf<Self>>) -> Vec<Step<Self::Link>> {
        let _ = (want, have);
        Vec::new()
    }

    /// Does one step about both halves.
    fn link(
        cx: &Context,
        inputs: &Self::Inputs,
        link: Self::Link,
    ) -> impl Future<Output = Result<()>>;

    /// The outputs of the two as observed.
    fn outputs(inputs: &Self::Inputs, facts: &FactsOf<Self>) -> Self::Outputs;

    /// The outputs that are certain before the inputs are applied.
    fn predict(inputs: &Self::Inputs) -> Object {
        let _ = inputs;
        Object::new()
    }

    /// Removes both, the second half first: what refuses to go keeps who may come in.
    fn delete(
        cx: &Context,
        prior: &Self::Prior,
        facts: &FactsOf<Self>,
    ) -> impl Future<Output = Result<()>> {
        async {
            let priors = Self::priors(prior)?;
            if let Some(second) = &facts.second {
                Self::Second::delete(cx, &priors.second, &second.facts).await?;
                cx.failpoint("composite:second-deleted");
            }
            match &facts.first {
                Some(first) => Self::First::delete(cx, &priors.first, &first.facts).await,
                None => Ok(()),
            }
        }
    }

    /// Finds what carries the deployment's mark, as far as one half of it is there.
    fn list(cx: &Context, at: &Self::Reach) -> impl Future<Output = Result<Vec<Found>>> {
        let _ = (cx, at);
        std::future::ready(Ok(Vec::new()))
    }
}

/// One of each half.
#[derive(Debug, Clone)]
pub struct Halves<A, B> {
    /// That of the first half.
    pub first: A,
    /// That of the second.
    pub second: B,
}

/// The inputs of both halves.
pub type InputsOf<C> = Halves<
    <<C as Composite>::First as ResourceKind>::Inputs,
    <<C as Composite>::Second as ResourceKind>::Inputs,
>;

/// The records of both halves.
pub type PriorsOf<C> = Halves<
    <<C as Composite>::First as ResourceKind>::Prior,
    <<C as Composite>::Second as ResourceKind>::Prior,
>;

/// Both halves, as far as they are there.
pub type FactsOf<C> = Halves<
    Option<Half<<<C as Composite>::First as ResourceKind>::Facts>>,
    Option<Half<<<C as Composite>::Second as ResourceKind>::Facts>>,
>;

/// One half, as it was found.
#[derive(Debug, Clone)]
pub struct Half<F> {
    /// What it is like.
    pub facts: F,
    /// Whether it is out of service with its data kept.
    pub is_retained: bool,
}

impl<F> From<Observed<F>> for Half<F> {
    fn from(seen: Observed<F>) -> Self {
        Self {
            is_retained: seen.ownership.is_retained(),
            facts: seen.facts,
        }
    }
}

/// One step.
#[derive(Debug)]
pub enum Change<A, B, L> {
    /// Makes both.
    Create,
    /// A step of the first half.
    First(A),
    /// A step of the second half.
    Second(B),
    /// A step about both.
    Link(L),
}

/// The [`ResourceKind`] of a [`Composite`].
pub struct Composed<C>(PhantomData<C>);

impl<C: Composite> ResourceKind for Composed<C> {
    const TYPE: &'static str = C::TYPE;
    const DELETION_POLICY: DeletionPolicy = C::DELETION_POLICY;
    const IDENTITY_INPUTS: &'static [&'static str] = C::IDENTITY_INPUTS;
    const HOLDS_SECRETS: bool = C::HOLDS_SECRETS;
    const FORMER_INPUTS: &'static [(&'static str, &'static str)] = C::FORMER_INPUTS;
    const STABLE_OUTPUTS: &'static [&'static str] = C::STABLE_OUTPUTS;
    const LISTS: bool = C::LISTS;
    const FORESEES_REMOVAL: bool = C::First::FORESEES_REMOVAL || C::Second::FORESEES_REMOVAL;

    type Reach = C::Reach;
    type Inputs = C::Inputs;
    type Outputs = C::Outputs;
    type Prior = C::Prior;
    type Identity = C::Identity;
    type Facts = FactsOf<C>;
    type Change =
        Change<<C::First as ResourceKind>::Change, <C::Second as ResourceKind>::Change, C::Link>;

    fn validate(inputs: &C::Inputs) -> Result<()> {
        C::validate(inputs)?;
        let halves = C::inputs(inputs)?;
        C::First::validate(&halves.first).map_err(|error| of_first::<C>(error, inputs))?;
        C::Second::validate(&halves.second).map_err(|error| of_second::<C>(error, inputs))
    }

    fn identity(inputs: &C::Inputs) -> C::Identity {
        C::identity(inputs)
    }

    fn recorded_identity(prior: &C::Prior) -> Result<C::Identity> {
        C::recorded_identity(prior)
    }

    fn diff(want: &C::Inputs, have: Option<&FactsOf<C>>) -> Vec<Step<Self::Change>> {
        let Some(have) = have else {
            return vec![Step::create(Change::Create)];
        };
        // Validation has read the same already.
        let Ok(halves) = C::inputs(want) else {
            return Vec::new();
        };
        let first = have.first.as_ref().map(|half| &half.facts);
        let second = have.second.as_ref().map(|half| &half.facts);
        let of_first = C::First::diff(&halves.first, first)
            .into_iter()
            .map(|step| step.of_whole(|path| C::first_pointer(want, path), Change::First));
        let of_second = C::Second::diff(&halves.second, second)
            .into_iter()
            .filter(|step| !C::follows(have, &step.path))
            .map(|step| step.of_whole(|path| C::second_pointer(want, path), Change::Second));
        let of_both = C::links(want, Some(have))
            .into_iter()
            .map(|step| step.of_whole(str::to_owned, Change::Link));
        of_first.chain(of_second).chain(of_both).collect()
    }

    fn outputs(inputs: &C::Inputs, facts: &FactsOf<C>) -> C::Outputs {
        C::outputs(inputs, facts)
    }

    fn predict(inputs: &C::Inputs) -> Object {
        C::predict(inputs)
    }

    async fn observe(
        cx: &Context,
        inputs: &C::Inputs,
        prior: Option<&C::Prior>,
    ) -> Result<Option<Observed<FactsOf<C>>>> {
        let halves = C::inputs(inputs)?;
        let priors = prior.map(C::priors).transpose()?;
        let prior = priors.as_ref().map(|priors| &priors.first);
        let first = C::First::observe(cx, &halves.first, prior).await;
        let first = first.map_err(|error| of_first::<C>(error, inputs))?;
        let prior = priors.as_ref().map(|priors| &priors.second);
        let second = C::Second::observe(cx, &halves.second, prior).await;
        let second = second.map_err(|error| of_second::<C>(error, inputs))?;
        Ok(put_together(first, second, &cx.mark(), Phase::Declared))
    }

    async fn foresee_creation(cx: &Context, inputs: &C::Inputs) -> Result<Vec<Error>> {
        let halves = C::inputs(inputs)?;
        let of_first = C::First::foresee_creation(cx, &halves.first).await?;
        let of_first = of_first
            .into_iter()
            .map(|error| self::of_first::<C>(error, inputs));
        let of_second = C::Second::foresee_creation(cx, &halves.second).await?;
        let of_second = of_second
            .into_iter()
            .map(|error| self::of_second::<C>(error, inputs));
        Ok(of_first.chain(of_second).collect())
    }

    async fn apply(cx: &Context, inputs: &C::Inputs, change: Self::Change) -> Result<()> {
        let halves = C::inputs(inputs)?;
        let first = async |change| {
            let done = C::First::apply(cx, &halves.first, change).await;
            done.map_err(|error| of_first::<C>(error, inputs))
        };
        let second = async |change| {
            let done = C::Second::apply(cx, &halves.second, change).await;
            done.map_err(|error| of_second::<C>(error, inputs))
        };
        match change {
            Change::Create => {
                for step in C::First::diff(&halves.first, None) {
                    first(step.change).await?;
                }
                cx.failpoint("composite:first-made");
                for step in C::Second::diff(&halves.second, None) {
                    second(step.change).await?;
                }
                cx.failpoint("composite:second-made");
                for step in C::links(inputs, None) {
                    C::link(cx, inputs, step.change).await?;
                }
                Ok(())
            }
            Change::First(change) => first(change).await,
            Change::Second(change) => second(change).await,
            Change::Link(link) => C::link(cx, inputs, link).await,
        }
    }

    async fn write_mark(
        cx: &Context,
        inputs: &C::Inputs,
        facts: &FactsOf<C>,
        mark: &Mark,
    ) -> Result<()> {
        let halves = C::inputs(inputs)?;
        if let Some(first) = &facts.first {
            C::First::write_mark(cx, &halves.first, &first.facts, mark).await?;
        }
        cx.failpoint("composite:first-marked");
        if let Some(second) = &facts.second {
            C::Second::write_mark(cx, &halves.second, &second.facts, mark).await?;
        }
        Ok(())
    }

    async fn observe_recorded(
        cx: &Context,
        prior: &C::Prior,
    ) -> Result<Option<Observed<FactsOf<C>>>> {
        let priors = C::priors(prior)?;
        let first = C::First::observe_recorded(cx, &priors.first).await?;
        let second = C::Second::observe_recorded(cx, &priors.second).await?;
        Ok(put_together(first, second, &cx.mark(), Phase::Destroyed))
    }

    fn deletion(facts: &FactsOf<C>, policy: DeletionPolicy) -> Result<DeletionPolicy> {
        // What the first holds is the second's to say, and that goes before it.
        match &facts.second {
            Some(second) => C::Second::deletion(&second.facts, policy),
            None => Ok(policy),
        }
    }

    async fn foresee_removal(
        cx: &Context,
        prior: &C::Prior,
        facts: &FactsOf<C>,
        policy: DeletionPolicy,
    ) -> Result<Vec<Error>> {
        let priors = C::priors(prior)?;
        let mut foreseen = Vec::new();
        if let Some(second) = &facts.second {
            foreseen =
                C::Second::foresee_removal(cx, &priors.second, &second.facts, policy).await?;
        }
        if let Some(first) = &facts.first {
            let more = C::First::foresee_removal(cx, &priors.first, &first.facts, policy).await?;
            foreseen.extend(more);
        }
        Ok(foreseen)
    }

    async fn delete(cx: &Context, prior: &C::Prior, facts: &FactsOf<C>) -> Result<()> {
        C::delete(cx, prior, facts).await
    }

    async fn retain(cx: &Context, prior: &C::Prior, facts: &FactsOf<C>, mark: &Mark) -> Result<()> {
        let priors = C::priors(prior)?;
        if let Some(first) = facts.first.as_ref().filter(|half| !half.is_retained) {
            C::First::retain(cx, &priors.first, &first.facts, mark).await?;
            cx.failpoint("composite:first-retained");
        }
        if let Some(second) = facts.second.as_ref().filter(|half| !half.is_retained) {
            C::Second::retain(cx, &priors.second, &second.facts, mark).await?;
        }
        Ok(())
    }

    async fn list(cx: &Context, at: &C::Reach) -> Result<Vec<Found>> {
        C::list(cx, at).await
    }
}

fn of_first<C: Composite>(error: Error, inputs: &C::Inputs) -> Error {
    error.placed(|pointer| C::first_pointer(inputs, pointer))
}

fn of_second<C: Composite>(error: Error, inputs: &C::Inputs) -> Error {
    error.placed(|pointer| C::second_pointer(inputs, pointer))
}

/// What is to be done with the two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Both are to be in service: one that is retained has to be restored.
    Declared,
    /// Both are to be retired: one that is in service has to go on.
    Destroyed,
}

/// The two, as far as they are there, and whose they are; `None` where neither is.
#[expect(
    clippy::type_complexity,
    reason = "the two halves, each if it is there"
)]
fn put_together<A, B>(
    first: Option<Observed<A>>,
    second: Option<Observed<B>>,
    mark: &Mark,
    phase: Phase,
) -> Option<Observed<Halves<Option<Half<A>>, Option<Half<B>>>>> {
    let ownership = match (&first, &second) {
        (Some(first), Some(second)) => {
            deciding(&first.ownership, &second.ownership, mark, phase).clone()
        }
        (Some(first), None) => first.ownership.clone(),
        (None, Some(second)) => second.ownership.clone(),
        (None, None) => return None,
    };
    let (first, second) = (first.map(Half::from), second.map(Half::from));
    let facts = Halves { first, second };
    Some(Observed { facts, ownership })
}

/// The ownership that decides for the two. A foreign one does, whatever the other is; then
/// one about which something has to be done.
fn deciding<'a>(
    one: &'a Ownership,
    other: &'a Ownership,
    mark: &Mark,
    phase: Phase,
) -> &'a Ownership {
    let weight = |whose: &Ownership| {
        let decides = match phase {
            Phase::Declared => whose.is_retained(),
            Phase::Destroyed => !whose.is_retained(),
        };
        let defaced = matches!(whose, Ownership::Defaced(_));
        (!whose.is_of_same(mark), decides, defaced)
    };
    if weight(one) >= weight(other) {
        one
    } else {
        other
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mark::DeploymentName;

    #[test]
    fn which_half_decides() {
        let mark = |name: &str| {
            let deployment = DeploymentName::try_from(name.to_owned()).unwrap();
            Mark::new(deployment, "postgresql_tenant")
        };
        let ours = Ownership::Marked(mark("me"));
        let kept = Ownership::Marked(mark("me").retained_now());
        let theirs = Ownership::Marked(mark("them"));
        let nobodys = Ownership::Unmarked;
        let defaced = Ownership::Defaced(mark("me"));
        for (one, other, declared, destroyed) in [
            (&ours, &ours, &ours, &ours),
            (&ours, &kept, &kept, &ours),
            (&kept, &kept, &kept, &kept),
            (&ours, &theirs, &theirs, &theirs),
            (&kept, &theirs, &theirs, &theirs),
            (&kept, &nobodys, &nobodys, &nobodys),
            (&ours, &defaced, &defaced, &defaced),
            (&kept, &defaced, &kept, &defaced),
            (&theirs, &defaced, &theirs, &theirs),
        ] {
            for (one, other) in [(one, other), (other, one)] {
                let decides = |phase| deciding(one, other, &mark("me"), phase);
                assert_eq!(decides(Phase::Declared), declared);
                assert_eq!(decides(Phase::Destroyed), destroyed);
            }
        }
    }
}
