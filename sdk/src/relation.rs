//! Relations: kinds of things that have no place for a mark, such as memberships and
//! permissions.
//!
//! A relation is between two other things, and it is there or it isn't. So it belongs to
//! nobody, is compared value by value, and can't be retained: destroying ends it. A
//! [`Relation`] answers only what is left to ask, and [`Related`] makes it a
//! [`ResourceKind`]. This module must not know what is related.
//!
//! # A whole relation
//!
//! A symbolic link: where it is and what it leads to. [`Provider::relation`] adds it.
//!
//! ```no_run
//! use nixops4_provider_sdk::*;
//! use schemars::JsonSchema;
//! use serde::{Deserialize, Serialize};
//! use std::{fmt, fs, io, os::unix};
//!
//! /// A symbolic link.
//! #[derive(Deserialize, JsonSchema)]
//! #[serde(rename_all = "camelCase", deny_unknown_fields)]
//! struct Inputs {
//!     /// Path of the link; its folder has to be there.
//!     path: String,
//!     /// What it leads to.
//!     target: String,
//! }
//!
//! /// What an expression can read of it.
//! #[derive(Serialize, JsonSchema)]
//! #[serde(rename_all = "camelCase")]
//! struct Outputs {
//!     /// What it leads to.
//!     target: String,
//! }
//!
//! #[derive(Serialize)]
//! struct Identity(String);
//!
//! impl fmt::Display for Identity {
//!     fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
//!         write!(out, "link {}", self.0)
//!     }
//! }
//!
//! struct Link;
//!
//! impl Relation for Link {
//!     const TYPE: &'static str = "files_link";
//!     const IDENTITY_INPUTS: &'static [&'static str] = &["path"];
//!     const CREATE: () = ();
//!     type Reach = reach::Here;
//!     type Inputs = Inputs;
//!     type Outputs = Outputs;
//!     type Prior = Prior<RecordedInputs<Inputs>, Object>;
//!     type Identity = Identity;
//!     type Facts = String; // what it leads to
//!     type Change = (); // there is but one: make the link
//!
//!     fn identity(inputs: &Inputs) -> Identity {
//!         Identity(inputs.path.clone())
//!     }
//!     fn recorded_identity(prior: &Self::Prior) -> Result<Identity> {
//!         Ok(Self::identity(&prior.inputs))
//!     }
//!     fn diff(want: &Inputs, have: &String) -> Vec<Step<()>> {
//!         Step::unless_same("/target", have, &want.target, ()).into_iter().collect()
//!     }
//!     fn outputs(_: &Inputs, target: &String) -> Outputs {
//!         Outputs { target: target.clone() }
//!     }
//!     fn predict(inputs: &Inputs) -> Object {
//!         Object::new().with("target", inputs.target.as_str())
//!     }
//!     async fn observe(
//!         _: &Context,
//!         inputs: &Inputs,
//!         _: Option<&Self::Prior>,
//!     ) -> Result<Option<String>> {
//!         look(&inputs.path)
//!     }
//!     async fn apply(_: &Context, inputs: &Inputs, (): ()) -> Result<()> {
//!         remove(&inputs.path)?;
//!         unix::fs::symlink(&inputs.target, &inputs.path)
//!             .map_err(|error| Error::input("/path", "unable to make the link").because(error))
//!     }
//!     async fn observe_recorded(_: &Context, prior: &Self::Prior) -> Result<Option<String>> {
//!         look(&prior.inputs.path)
//!     }
//!     async fn delete(_: &Context, prior: &Self::Prior, _: &String) -> Result<()> {
//!         remove(&prior.inputs.path)
//!     }
//! }
//!
//! fn look(path: &str) -> Result<Option<String>> {
//!     match fs::read_link(path) {
//!         Ok(target) => Ok(Some(target.display().to_string())),
//!         Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
//!         Err(error) => Err(Error::input("/path", "this is no link").because(error)),
//!     }
//! }
//!
//! fn remove(path: &str) -> Result<()> {
//!     match fs::remove_file(path) {
//!         Err(error) if error.kind() != io::ErrorKind::NotFound => {
//!             Err(Error::input("/path", "unable to remove the link").because(error))
//!         }
//!         _ => Ok(()),
//!     }
//! }
//!
//! # fn main() -> std::process::ExitCode {
//! Provider::new("files", "Links files.", "1.0").relation::<Link>().run()
//! # }
//! ```
//!
//! [`Provider::relation`]: crate::Provider::relation

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
use crate::reach::ReachInputs;

/// A kind of relations. What has the same name as in [`ResourceKind`] means the same.
pub trait Relation: 'static {
    /// Resource type on the wire.
    const TYPE: &'static str;
    /// Names of the inputs without which the relation can't be looked for.
    const IDENTITY_INPUTS: &'static [&'static str];
    /// Whether the relation holds secrets that others may need.
    const HOLDS_SECRETS: bool = false;
    /// Former names of inputs, each with today's name.
    const FORMER_INPUTS: &'static [(&'static str, &'static str)] = &[];
    /// Names of the outputs that no change in place touches.
    const STABLE_OUTPUTS: &'static [&'static str] = &[];
    /// The step that makes the relation where there is none.
    const CREATE: Self::Change;

    /// The inputs that say where such relations are.
    type Reach: ReachInputs;
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
    const HOLDS_SECRETS: bool = R::HOLDS_SECRETS;
    const FORMER_INPUTS: &'static [(&'static str, &'static str)] = R::FORMER_INPUTS;
    const STABLE_OUTPUTS: &'static [&'static str] = R::STABLE_OUTPUTS;

    type Reach = R::Reach;
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
            format!(
                "{name} can't be retained: a relation holds no data, and is either there or not"
            ),
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
