//! What a resource kind is: a few typed structs and a handful of functions.
//!
//! `diff`, `outputs` and `identity` are pure. Only `observe`, `apply`, `delete`,
//! `retain`, `write_mark` and `list` reach a server.

use std::fmt;

use nixops4_protocol::Object;
use nixops4_protocol::describe::StateNeed;
use nixops4_protocol::message::{Effect, PlannedValue};
use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::context::Context;
use crate::error::{Error, Result, shortened};
use crate::mark::Mark;

/// One kind of thing that a provider manages.
///
/// `owner`, `adopt`, `deletionPolicy` and `protect` are inputs of every kind; the engine
/// takes them, and a kind's own [`Inputs`](Self::Inputs) doesn't list them.
/// Inputs and outputs are camelCase, deny unknown fields, and document each
/// field with its unit and default; the doc comment of `Inputs` describes the
/// kind.
pub trait ResourceKind: 'static {
    /// Resource type on the wire: the provider's name, `_`, the kind's.
    const TYPE: &'static str;
    /// Whether the result has to be recorded.
    const STATE: StateNeed = StateNeed::Optional;
    /// What happens at destroy unless the author says otherwise:
    /// [`DeletionPolicy::Retain`] wherever data would be lost.
    const DELETION_POLICY: DeletionPolicy;
    /// Names of the inputs without which the thing can't be looked for. While
    /// one of them isn't known, or one that has no default, a plan looks for
    /// nothing.
    const LOCATED_BY: &'static [&'static str];
    /// Names of the outputs that no change in place touches, such as the
    /// server's own identifiers: a plan to change the thing passes them on.
    const LASTING: &'static [&'static str] = &[];
    /// Names of the outputs that change by themselves, such as how full something
    /// is: that they differ from the record is no reason to write it anew.
    const FLUCTUATING: &'static [&'static str] = &[];
    /// Whether [`list`](Self::list) does something.
    const LISTS: bool = false;
    /// Whether [`foresee_removal`](Self::foresee_removal) does something.
    const FORESEES_REMOVAL: bool = false;

    /// What the author says.
    type Inputs: DeserializeOwned + JsonSchema;
    /// What the expression can read afterwards. Never a secret.
    type Outputs: Serialize + JsonSchema;
    /// What was recorded, `{inputs, outputs}`. Read leniently: the record of an
    /// older version must always parse.
    type Prior: DeserializeOwned;
    /// What names the thing on its server, from the inputs alone. `Display` is
    /// how errors name it, such as `role "app" on db:5432`.
    type Identity: Serialize + fmt::Display;
    /// The remote thing, normalised so that it can be compared with the inputs.
    type Facts;
    /// One step.
    type Change: fmt::Debug;

    /// Checks what the types of the inputs can't. Not asked by a plan while
    /// an input isn't known.
    fn validate(inputs: &Self::Inputs) -> Result<()> {
        let _ = inputs;
        Ok(())
    }

    /// What names the thing, from the inputs.
    fn identity(inputs: &Self::Inputs) -> Self::Identity;

    /// What names the thing, from what was recorded.
    fn recorded_identity(prior: &Self::Prior) -> Result<Self::Identity>;

    /// The steps from what is there to what is wanted. Nothing is there: one
    /// step at the root that creates it. Whoever does all of the steps finds
    /// nothing to do afterwards, but for steps that say why that can't be seen.
    ///
    /// A plan leaves out the steps whose `path` is an input that isn't known
    /// yet, which looks unset here: a step depends on the input at its path and
    /// on those in [`LOCATED_BY`](Self::LOCATED_BY), on no other.
    fn diff(want: &Self::Inputs, have: Option<&Self::Facts>) -> Vec<Step<Self::Change>>;

    /// The outputs of the thing as observed.
    fn outputs(inputs: &Self::Inputs, facts: &Self::Facts) -> Self::Outputs;

    /// The outputs that are certain before the inputs are applied, by name.
    ///
    /// An optional input that isn't known yet looks unset here: say nothing of
    /// an output that depends on an unset one. While an input that isn't known
    /// has a default other than null, this isn't asked.
    fn predict(inputs: &Self::Inputs) -> Object {
        let _ = inputs;
        Object::new()
    }

    /// Looks for the thing, by `prior` first where it records what the server
    /// itself calls it. Changes nothing.
    fn observe(
        cx: &Context,
        inputs: &Self::Inputs,
        prior: Option<&Self::Prior>,
    ) -> impl Future<Output = Result<Option<Observed<Self::Facts>>>>;

    /// What creating the thing would fail at as things are now, each as it would fail
    /// with. Only what is there is judged: what is missing may be made by then.
    /// Changes nothing; asked by a plan alone.
    fn foresee_creation(
        cx: &Context,
        inputs: &Self::Inputs,
    ) -> impl Future<Output = Result<Vec<Error>>> {
        let _ = (cx, inputs);
        std::future::ready(Ok(Vec::new()))
    }

    /// Does one step of the [`diff`](Self::diff). A step that creates the thing
    /// gives it [`Context::mark`] at once, in one with creating it.
    fn apply(
        cx: &Context,
        inputs: &Self::Inputs,
        change: Self::Change,
    ) -> impl Future<Output = Result<()>>;

    /// Writes the mark on the thing, in place of the one that is there. It comes
    /// before all steps: the thing is as `facts` say, so name it by them and not
    /// by `inputs`, to which it may only be renamed afterwards.
    fn write_mark(
        cx: &Context,
        inputs: &Self::Inputs,
        facts: &Self::Facts,
        mark: &Mark,
    ) -> impl Future<Output = Result<()>>;

    /// Looks for the thing by what was recorded of it. Changes nothing.
    fn observe_recorded(
        cx: &Context,
        prior: &Self::Prior,
    ) -> impl Future<Output = Result<Option<Observed<Self::Facts>>>>;

    /// What destroy has to do with this thing: a kind can turn `Delete` into
    /// `Retain` where something retained would be lost, or refuse.
    fn deletion(facts: &Self::Facts, policy: DeletionPolicy) -> Result<DeletionPolicy> {
        let _ = facts;
        Ok(policy)
    }

    /// What stands in the way of removing the thing with this policy as things are
    /// now, or goes along with it, and what to do about each. Changes nothing; asked by
    /// a plan alone.
    fn foresee_removal(
        cx: &Context,
        prior: &Self::Prior,
        facts: &Self::Facts,
        policy: DeletionPolicy,
    ) -> impl Future<Output = Result<Vec<Error>>> {
        let _ = (cx, prior, facts, policy);
        std::future::ready(Ok(Vec::new()))
    }

    /// Removes the thing.
    fn delete(
        cx: &Context,
        prior: &Self::Prior,
        facts: &Self::Facts,
    ) -> impl Future<Output = Result<()>>;

    /// Takes the thing out of service, keeps its data, and writes `mark`; the
    /// mark last, because a thing that carries it counts as retained.
    fn retain(
        cx: &Context,
        prior: &Self::Prior,
        facts: &Self::Facts,
        mark: &Mark,
    ) -> impl Future<Output = Result<()>>;

    /// Finds what carries the owner's mark on the server that the inputs name.
    fn list(cx: &Context, inputs: &Self::Inputs) -> impl Future<Output = Result<Vec<Found>>> {
        let _ = (cx, inputs);
        std::future::ready(Ok(Vec::new()))
    }
}

/// What was recorded of a resource, for a kind to read as its `Prior`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Prior<I, O> {
    /// What of the inputs is still of use.
    pub inputs: I,
    /// What of the outputs is still of use.
    pub outputs: O,
}

/// A thing that is there.
#[derive(Debug, Clone)]
pub struct Observed<F> {
    /// What it is like.
    pub facts: F,
    /// Whose it is.
    pub ownership: Ownership,
}

/// Whose a thing is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ownership {
    /// It carries a mark of this suite.
    Marked(Mark),
    /// Whose it is, is certain; but the mark that it carries is gone or another, or
    /// nothing vouches for it yet that its user can't change. It is written again.
    Defaced(Mark),
    /// It could carry a mark and doesn't.
    Unmarked,
    /// Such things have no place for a mark; they are compared value by value.
    Relation,
}

impl Ownership {
    /// What a comment on the thing says of its owner.
    #[must_use]
    pub fn from_comment(comment: Option<&str>) -> Self {
        comment
            .and_then(Mark::find_in)
            .map_or(Self::Unmarked, Self::Marked)
    }

    /// What the mark says that a thing carries, where its user can change that, beside
    /// its witness: a second copy that the user can't change, and which decides.
    ///
    /// `shown` is the mark that it carries. Without a witness, as things have none that
    /// an earlier version made, it decides, and `has_place` says whether a witness can
    /// be written. With neither, it is ours if the record leads to this very thing:
    /// then `recorded` is our mark.
    #[must_use]
    pub fn witnessed(
        shown: Option<Mark>,
        witness: Option<Mark>,
        has_place: bool,
        recorded: Option<Mark>,
    ) -> Self {
        match (witness, shown) {
            (Some(witness), Some(shown)) if witness == shown => Self::Marked(witness),
            (Some(witness), _) => Self::Defaced(witness),
            (None, Some(shown)) if has_place => Self::Defaced(shown),
            (None, Some(shown)) => Self::Marked(shown),
            (None, None) => recorded.map_or(Self::Unmarked, Self::Defaced),
        }
    }

    /// The mark that decides.
    #[must_use]
    pub fn mark(&self) -> Option<&Mark> {
        match self {
            Self::Marked(mark) | Self::Defaced(mark) => Some(mark),
            Self::Unmarked | Self::Relation => None,
        }
    }

    /// Whether it is this owner's, and as the same type.
    #[must_use]
    pub fn is_of_same(&self, mark: &Mark) -> bool {
        self.mark().is_some_and(|own| own.is_of_same(mark))
    }

    /// Whether it is out of service with its data kept.
    #[must_use]
    pub fn is_retained(&self) -> bool {
        self.mark()
            .is_some_and(|mark| mark.retained_since.is_some())
    }
}

/// One step of a difference.
#[derive(Debug, Clone)]
pub struct Step<C> {
    /// JSON pointer to the input that asks for it; empty for the whole thing.
    pub path: String,
    /// What is there.
    pub before: PlannedValue,
    /// What is wanted.
    pub after: PlannedValue,
    /// What it does to whoever uses the thing.
    pub effect: Effect,
    /// Why the step may still be due after it was done: nothing can tell that it
    /// was, or the server lags.
    pub unverifiable: Option<&'static str>,
    /// What the reader should know.
    pub note: Option<String>,
    /// What to do.
    pub change: C,
}

impl<C> Step<C> {
    /// The step that makes the whole thing.
    pub fn create(change: C) -> Self {
        Self {
            path: String::new(),
            before: Value::known(()),
            after: PlannedValue::Unknown,
            effect: Effect::InPlace,
            unverifiable: None,
            note: None,
            change,
        }
    }

    /// A step that changes one field in place.
    pub fn set(path: &str, before: PlannedValue, after: PlannedValue, change: C) -> Self {
        Self {
            path: path.to_owned(),
            before,
            after,
            ..Self::create(change)
        }
    }

    /// The step that changes one field in place, unless it is as it is wanted.
    pub fn unless_same<T: PartialEq + Serialize>(
        path: &str,
        have: T,
        want: T,
        change: C,
    ) -> Option<Self> {
        let differs = have != want;
        differs.then(|| Self::set(path, Value::known(have), Value::known(want), change))
    }

    /// Says what the step does to whoever uses the thing.
    #[must_use]
    pub fn effect(self, effect: Effect) -> Self {
        Self { effect, ..self }
    }

    /// Adds what the reader should know.
    #[must_use]
    pub fn note(self, note: impl Into<String>) -> Self {
        Self {
            note: Some(note.into()),
            ..self
        }
    }

    /// The same step of a kind that is made of this one: `path` says where that one
    /// has what this one has there.
    pub fn of_whole<D>(
        self,
        path: impl FnOnce(&str) -> String,
        change: impl FnOnce(C) -> D,
    ) -> Step<D> {
        Step {
            path: path(&self.path),
            before: self.before,
            after: self.after,
            effect: self.effect,
            unverifiable: self.unverifiable,
            note: self.note,
            change: change(self.change),
        }
    }

    /// Says why nothing can tell afterwards whether it was done.
    #[must_use]
    pub fn unverifiable(self, reason: &'static str) -> Self {
        Self {
            unverifiable: Some(reason),
            ..self
        }
    }
}

/// Makes values for plans.
pub struct Value;

impl Value {
    /// A value that may be shown.
    pub fn known(value: impl Serialize) -> PlannedValue {
        // A value that JSON can't carry can't be shown either.
        serde_json::to_value(value).map_or(PlannedValue::Unknown, PlannedValue::Known)
    }

    /// A secret, or a fact about one.
    #[must_use]
    pub fn sensitive() -> PlannedValue {
        PlannedValue::Sensitive
    }
}

/// One thing that carries the owner's mark.
#[derive(Debug, Clone)]
pub struct Found {
    /// What names it on its server.
    pub identity: serde_json::Value,
    /// Its mark.
    pub mark: Mark,
    /// Further facts: size, age, ...
    pub facts: Object,
}

/// The deployment that a thing belongs to: 1 to 64 letters, digits and `. _ / -`,
/// beginning with a letter or digit.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String")]
#[schemars(extend("pattern" = "^[A-Za-z0-9][A-Za-z0-9._/-]{0,63}$"))]
pub struct Owner(String);

impl Owner {
    /// The name itself.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for Owner {
    type Error = String;

    fn try_from(name: String) -> Result<Self, String> {
        let fits = |c: char| c.is_ascii_alphanumeric() || "._/-".contains(c);
        let begins = name.starts_with(|c: char| c.is_ascii_alphanumeric());
        if begins && name.len() <= 64 && name.chars().all(fits) {
            return Ok(Self(name));
        }
        let name = shortened(&name, 100);
        Err(format!(
            "{name:?} can't be an owner: use 1 to 64 letters, digits and . _ / -, beginning with a \
             letter or digit"
        ))
    }
}

impl fmt::Display for Owner {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

/// What destroy does with a thing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum DeletionPolicy {
    /// Take it out of service and keep its data. The same owner takes it back
    /// by declaring it again.
    Retain,
    /// Remove it with all that it holds.
    Delete,
}
