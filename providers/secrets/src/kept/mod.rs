//! Kinds whose things are secrets in a store: what they have in common.
//!
//! A thing is a secret by its name, and each of its generations one value with a
//! public part. The newest is the one in use. Another generation is made when
//! the author asks for a higher number, when somebody asked for it by hand, when
//! it is too old, or when the kind finds that it doesn't fit any more. A value
//! that is there is never changed.

mod inputs;
mod lookup;
mod steps;

use std::fmt;
use std::marker::PhantomData;

use nixops4_provider_sdk::secret::{StoredSecret, remember, store, store_error};
use nixops4_provider_sdk::{
    Context, DeletionPolicy, Error, Found, Mark, Observed, Prior, ResourceKind, Result, Retry,
    SecretString, StateNeed, Step,
};
use nixops4_secrets_store::{Generation, NewSecret, SecretName, Store};
use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

pub(crate) use inputs::{Place, defaults, kept_inputs};
pub(crate) use lookup::{Current, Facts};
pub(crate) use steps::{Misfit, Remedy};

/// What one kind does differently.
pub(crate) trait Keeps: 'static {
    /// As [`ResourceKind::TYPE`].
    const TYPE: &'static str;
    /// As [`ResourceKind::STATE`].
    const STATE: StateNeed = StateNeed::Required;
    /// As [`ResourceKind::DELETION_POLICY`].
    const DELETION_POLICY: DeletionPolicy = DeletionPolicy::Retain;
    /// As [`ResourceKind::LOCATED_BY`], with what [`sources`](Self::sources) are
    /// found by.
    const LOCATED_BY: &'static [&'static str] = &["store", "name", "generation"];
    /// Whether a value that was recorded and is gone may be made anew, because
    /// it follows from others. Otherwise whoever uses it would be locked out.
    const FOLLOWS: bool = false;
    /// Whether the value itself may be seen: it is part of the outputs.
    const OPEN: bool = false;

    /// As [`ResourceKind::Inputs`].
    type Inputs: Place + DeserializeOwned + JsonSchema;
    /// As [`ResourceKind::Outputs`].
    type Outputs: Serialize + JsonSchema;
    /// What is public of a value. Read leniently: what an older version wrote
    /// must always parse.
    type Public: Serialize + DeserializeOwned + Clone + fmt::Debug;
    /// What was found out about the values that this one follows from.
    type Sources: Clone + fmt::Debug + Default;

    /// As [`ResourceKind::validate`].
    fn validate(inputs: &Self::Inputs) -> Result<()>;

    /// Looks at the values that this one follows from.
    async fn sources(
        cx: &Context,
        inputs: &Self::Inputs,
        facts: &Facts<Self::Public, Self::Sources>,
    ) -> Result<Self::Sources> {
        let _ = (cx, inputs, facts);
        Ok(Self::Sources::default())
    }

    /// In what the value in use doesn't fit the inputs.
    fn misfits(
        inputs: &Self::Inputs,
        current: &Current<Self::Public>,
        sources: &Self::Sources,
        now: OffsetDateTime,
    ) -> Vec<Misfit> {
        let _ = (inputs, current, sources, now);
        Vec::new()
    }

    /// Makes a value.
    async fn make(
        making: &mut Making<'_, Self::Public>,
        inputs: &Self::Inputs,
    ) -> Result<New<Self::Public>>;

    /// As [`ResourceKind::outputs`].
    fn outputs(
        inputs: &Self::Inputs,
        secret: References<Self::Public>,
        public: &Self::Public,
    ) -> Self::Outputs;
}

/// A value that was just made.
pub(crate) struct New<P> {
    pub(crate) value: SecretString,
    pub(crate) public: P,
}

/// What making a value can look at.
pub(crate) struct Making<'a, P> {
    pub(crate) cx: &'a Context,
    /// The value in use, if there is one.
    pub(crate) current: Option<Current<P>>,
    /// Whether a new key is wanted even where the old one could go on.
    pub(crate) afresh: bool,
    name: &'a SecretName,
    store: &'a mut Store,
}

impl<P> Making<'_, P> {
    /// The value in use itself.
    pub(crate) async fn current_value(&mut self) -> Result<Option<SecretString>> {
        let Some(current) = &self.current else {
            return Ok(None);
        };
        let value = self
            .store
            .reveal(self.name, current.generation, Some(&current.id))
            .await
            .map_err(|error| store_error(&error, "/name"))?;
        remember(&value);
        Ok(Some(value))
    }
}

/// The references to give to others.
pub(crate) struct References<P> {
    /// The value in use.
    pub(crate) secret: StoredSecret,
    /// The value before, while it is kept.
    pub(crate) previous: Option<StoredSecret>,
    /// What is public of the values before that are kept, newest first.
    pub(crate) older: Vec<P>,
}

/// What an expression can read of a secret of which nothing is public.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct SecretOutputs {
    /// The reference to give to other resources.
    secret: StoredSecret,
    /// The reference to the value before, while it is kept: for whoever has to
    /// accept both until everybody has moved to the new one.
    previous: Option<StoredSecret>,
}

impl<P> From<References<P>> for SecretOutputs {
    fn from(references: References<P>) -> Self {
        Self {
            secret: references.secret,
            previous: references.previous,
        }
    }
}

/// What is still of use of a record.
#[derive(Debug, Deserialize)]
pub(crate) struct PriorInputs {
    #[serde(default = "defaults::store")]
    pub(crate) store: String,
    pub(crate) name: SecretName,
}

/// What is still of use of a record.
#[derive(Debug, Deserialize)]
pub(crate) struct PriorOutputs {
    #[serde(default)]
    secret: Option<StoredSecret>,
}

/// A secret in a store.
#[derive(Debug, Serialize)]
pub(crate) struct Identity {
    pub(crate) store: String,
    pub(crate) secret: String,
}

impl fmt::Display for Identity {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "secret {:?} in store {:?}", self.secret, self.store)
    }
}

/// One step.
#[derive(Debug, Clone)]
pub(crate) enum Change {
    /// Makes the value of this generation.
    Make {
        generation: Generation,
        afresh: bool,
    },
    /// What can't be changed in place: the engine refuses it before this.
    Refused,
}

/// The kind that keeps what `K` makes.
pub(crate) struct Kept<K>(PhantomData<K>);

impl<K: Keeps> ResourceKind for Kept<K> {
    const TYPE: &'static str = K::TYPE;
    const STATE: StateNeed = K::STATE;
    const DELETION_POLICY: DeletionPolicy = K::DELETION_POLICY;
    const LOCATED_BY: &'static [&'static str] = K::LOCATED_BY;
    const LISTS: bool = true;

    type Inputs = K::Inputs;
    type Outputs = K::Outputs;
    type Prior = Prior<PriorInputs, PriorOutputs>;
    type Identity = Identity;
    type Facts = Facts<K::Public, K::Sources>;
    type Change = Change;

    fn validate(inputs: &K::Inputs) -> Result<()> {
        K::validate(inputs)
    }

    fn identity(inputs: &K::Inputs) -> Identity {
        Identity {
            store: inputs.store().to_owned(),
            secret: inputs.name().to_string(),
        }
    }

    fn recorded_identity(prior: &Self::Prior) -> Result<Identity> {
        Ok(Identity {
            store: prior.inputs.store.clone(),
            secret: prior.inputs.name.to_string(),
        })
    }

    fn diff(want: &K::Inputs, have: Option<&Self::Facts>) -> Vec<Step<Change>> {
        match have {
            None => vec![Step::create(Change::Make {
                generation: want.generation(),
                afresh: true,
            })],
            Some(have) => steps::difference::<K>(want, have),
        }
    }

    fn outputs(inputs: &K::Inputs, facts: &Self::Facts) -> K::Outputs {
        let reference = |version: &Current<K::Public>| StoredSecret {
            store: facts.store.clone(),
            name: facts.name.to_string(),
            generation: version.generation.get(),
            id: version.id.to_string(),
            store_key: facts.store_key.clone(),
        };
        let references = References {
            secret: reference(&facts.current),
            previous: facts.older.first().map(reference),
            older: facts
                .older
                .iter()
                .map(|older| older.public.clone())
                .collect(),
        };
        K::outputs(inputs, references, &facts.current.public)
    }

    async fn observe(
        cx: &Context,
        inputs: &K::Inputs,
        prior: Option<&Self::Prior>,
    ) -> Result<Option<Observed<Self::Facts>>> {
        let (store, name) = match prior {
            Some(prior) => (prior.inputs.store.as_str(), &prior.inputs.name),
            None => (inputs.store(), inputs.name()),
        };
        let recorded = prior.and_then(|prior| prior.outputs.secret.as_ref());
        let entry = lookup::entry::<K>(store, name, recorded).await?;
        if let (Some(recorded), false) = (recorded, K::FOLLOWS) {
            lookup::refuse_lost(recorded, entry.as_ref())?;
        }
        let Some(mut observed) = entry
            .map(|entry| lookup::observed::<K>(store, entry))
            .transpose()?
        else {
            return Ok(None);
        };
        observed.facts.sources = K::sources(cx, inputs, &observed.facts).await?;
        Ok(Some(observed))
    }

    async fn apply(cx: &Context, inputs: &K::Inputs, change: Change) -> Result<()> {
        match change {
            Change::Make { generation, afresh } => make::<K>(cx, inputs, generation, afresh).await,
            Change::Refused => Err(Error::new("a secret can't be changed in place")),
        }
    }

    async fn write_mark(cx: &Context, _: &K::Inputs, facts: &Self::Facts, _: &Mark) -> Result<()> {
        let mut store = store(&facts.store).await?;
        let explain = |error| store_error(&error, "/name");
        store
            .adopt(&facts.name, cx.owner().as_str())
            .await
            .map_err(explain)?;
        store.restore(&facts.name).await.map_err(explain)
    }

    async fn observe_recorded(
        _: &Context,
        prior: &Self::Prior,
    ) -> Result<Option<Observed<Self::Facts>>> {
        let store = &prior.inputs.store;
        let recorded = prior.outputs.secret.as_ref();
        let entry = lookup::entry::<K>(store, &prior.inputs.name, recorded).await?;
        entry
            .map(|entry| lookup::observed::<K>(store, entry))
            .transpose()
    }

    async fn delete(_: &Context, _: &Self::Prior, facts: &Self::Facts) -> Result<()> {
        let mut store = store(&facts.store).await?;
        let deleted = store.delete(&facts.name).await;
        deleted
            .map(drop)
            .map_err(|error| store_error(&error, "/name"))
    }

    async fn retain(cx: &Context, _: &Self::Prior, facts: &Self::Facts, _: &Mark) -> Result<()> {
        let mut store = store(&facts.store).await?;
        let retained = store.retain(&facts.name, cx.owner().as_str()).await;
        retained
            .map(drop)
            .map_err(|error| store_error(&error, "/name"))
    }

    async fn list(cx: &Context, inputs: &K::Inputs) -> Result<Vec<Found>> {
        lookup::list::<K>(cx, inputs.store()).await
    }
}

async fn make<K: Keeps>(
    cx: &Context,
    inputs: &K::Inputs,
    generation: Generation,
    afresh: bool,
) -> Result<()> {
    let new = NewSecret::new(cx.owner().as_str(), K::TYPE).keep(inputs.keep_generations());
    let name = inputs.name();
    let mut store = store(inputs.store()).await?;
    cx.failpoint("secret:opened");
    let explain = |error: nixops4_secrets_store::Error| match &error {
        // Somebody was quicker: whose it is shows when it is looked at again.
        nixops4_secrets_store::Error::Foreign { .. } => {
            store_error(&error, "/name").retry(Retry::UntilDeadline)
        }
        _ => store_error(&error, "/name"),
    };
    let entry = store.lookup(name).await.map_err(explain)?;
    if entry
        .as_ref()
        .is_some_and(|entry| entry.version(generation).is_some())
    {
        // An earlier step made it, or another process.
        return Ok(());
    }
    let current = entry
        .map(|entry| lookup::observed::<K>(inputs.store(), entry))
        .transpose()?;
    let mut making = Making {
        cx,
        current: current.map(|seen| seen.facts.current),
        afresh,
        name,
        store: &mut store,
    };
    let made = K::make(&mut making, inputs).await?;
    if !K::OPEN {
        remember(&made.value);
    }
    let public = serde_json::to_string(&made.public)
        .map_err(|error| Error::new("unable to write what is public of a secret").because(error))?;
    cx.failpoint("secret:made");
    let made = match public.as_str() {
        "null" => nixops4_secrets_store::Made::new(made.value),
        public => nixops4_secrets_store::Made::new(made.value).public_part(public),
    };
    let ensured = store.ensure(name, generation, &new, || made).await;
    cx.failpoint("secret:kept");
    ensured.map(drop).map_err(explain)
}
