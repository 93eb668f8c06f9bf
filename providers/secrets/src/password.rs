//! The kind `secrets_password`.

use std::fmt;

use nixops4_provider_sdk::secret::{StoredSecret, existing_store, remember, store, store_error};
use nixops4_provider_sdk::{
    Context, DeletionPolicy, Effect, Error, Mark, Observed, Owner, Ownership, Prior, ResourceKind,
    Result, Retry, StateNeed, Step, Value,
};
use nixops4_secrets_store::{Entry, Generation, NewSecret, SecretName, Store, Version};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::characters::{Recipe, Wanted};

/// A random password. It is made once for each generation, kept encrypted in a
/// secrets store, and never printed: other resources are given its `secret`
/// output, a reference.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "four classes of characters, each used or not"
)]
pub(crate) struct Inputs {
    /// Logical name of the store; `NIXOPS4_SECRETS_STORES` says where it is.
    #[serde(default = "main_store")]
    store: String,
    /// Name of the secret in the store, such as `mastodon/db`.
    #[schemars(with = "String")]
    name: SecretName,
    /// Which value is wanted, counted from 1. Raising it makes a new one, and
    /// keeps the old.
    #[serde(default = "first_generation")]
    #[schemars(with = "u32", range(min = 1))]
    generation: Generation,
    /// How many characters it has, 8 to 1024. This and what follows matter when
    /// a generation is made, and change none that is there.
    #[serde(default = "default_length")]
    #[schemars(range(min = 8, max = 1024))]
    length: u32,
    /// Whether it has lower case letters, a to z.
    #[serde(default = "yes")]
    lower: bool,
    /// Whether it has upper case letters, A to Z.
    #[serde(default = "yes")]
    upper: bool,
    /// Whether it has digits.
    #[serde(default = "yes")]
    digits: bool,
    /// Whether it has symbols.
    #[serde(default)]
    symbols: bool,
    /// How many lower case letters it has at least.
    #[serde(default)]
    min_lower: u32,
    /// How many upper case letters it has at least.
    #[serde(default)]
    min_upper: u32,
    /// How many digits it has at least.
    #[serde(default)]
    min_digits: u32,
    /// How many symbols it has at least.
    #[serde(default)]
    min_symbols: u32,
    /// The symbols to choose from; none of the default needs quoting in a shell
    /// or a URL.
    #[serde(default = "default_symbols")]
    symbol_set: String,
}

/// What an expression can read of a password.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Outputs {
    /// The reference to give to other resources.
    secret: StoredSecret,
}

/// What is still of use of a record.
#[derive(Debug, Deserialize)]
pub(crate) struct PriorInputs {
    #[serde(default = "main_store")]
    store: String,
    name: SecretName,
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
    store: String,
    secret: String,
}

impl fmt::Display for Identity {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "secret {:?} in store {:?}", self.secret, self.store)
    }
}

/// A secret as the store has it.
#[derive(Debug, Clone)]
pub(crate) struct Facts {
    store: String,
    name: SecretName,
    newest: Option<Generation>,
    /// The generation that is wanted, if it is there.
    version: Option<Version>,
}

/// One step.
#[derive(Debug, Clone)]
pub(crate) enum Change {
    /// Makes the value of the wanted generation.
    Make,
    /// What can't be changed in place: the engine refuses it before this.
    Refused,
}

/// See [`Inputs`].
pub(crate) struct Password;

impl ResourceKind for Password {
    const TYPE: &'static str = "secrets_password";
    // Without a record nobody could tell a value that was lost from one that was
    // never made.
    const STATE: StateNeed = StateNeed::Required;
    const DELETION_POLICY: DeletionPolicy = DeletionPolicy::Retain;
    const LOCATED_BY: &'static [&'static str] = &["store", "name", "generation"];

    type Inputs = Inputs;
    type Outputs = Outputs;
    type Prior = Prior<PriorInputs, PriorOutputs>;
    type Identity = Identity;
    type Facts = Facts;
    type Change = Change;

    fn validate(inputs: &Inputs) -> Result<()> {
        if !(8..=1024).contains(&inputs.length) {
            return Err(Error::input(
                "/length",
                format!(
                    "{} is no useful length; a password has 8 to 1024 characters",
                    inputs.length
                ),
            ));
        }
        recipe(inputs).map(drop)
    }

    fn identity(inputs: &Inputs) -> Identity {
        Identity {
            store: inputs.store.clone(),
            secret: inputs.name.to_string(),
        }
    }

    fn recorded_identity(prior: &Self::Prior) -> Result<Identity> {
        Ok(Identity {
            store: prior.inputs.store.clone(),
            secret: prior.inputs.name.to_string(),
        })
    }

    fn diff(want: &Inputs, have: Option<&Facts>) -> Vec<Step<Change>> {
        match have {
            None => vec![Step::create(Change::Make)],
            Some(have) => difference(want, have),
        }
    }

    fn outputs(inputs: &Inputs, facts: &Facts) -> Outputs {
        let id = facts
            .version
            .map(|version| version.id.to_string())
            .unwrap_or_default();
        Outputs {
            secret: StoredSecret {
                store: inputs.store.clone(),
                name: inputs.name.to_string(),
                generation: inputs.generation.get(),
                id,
            },
        }
    }

    async fn observe(
        _: &Context,
        inputs: &Inputs,
        prior: Option<&Self::Prior>,
    ) -> Result<Option<Observed<Facts>>> {
        let (store, name) = match prior {
            Some(prior) => (&prior.inputs.store, &prior.inputs.name),
            None => (&inputs.store, &inputs.name),
        };
        let entry = look_up(store, name).await?;
        if let Some(recorded) = prior.and_then(|prior| prior.outputs.secret.as_ref()) {
            refuse_lost(recorded, entry.as_ref())?;
        }
        entry
            .map(|entry| observed(store, entry, Some(inputs.generation)))
            .transpose()
    }

    async fn apply(cx: &Context, inputs: &Inputs, change: Change) -> Result<()> {
        match change {
            Change::Make => make(cx, inputs).await,
            Change::Refused => Err(Error::new("a secret can't be moved or renamed in place")),
        }
    }

    async fn write_mark(cx: &Context, _: &Inputs, facts: &Facts, _: &Mark) -> Result<()> {
        let mut store = store(&facts.store).await?;
        let explain = |error| store_error(&error, "/name");
        store
            .adopt(&facts.name, cx.owner().as_str())
            .await
            .map_err(explain)?;
        store.restore(&facts.name).await.map_err(explain)
    }

    async fn observe_recorded(_: &Context, prior: &Self::Prior) -> Result<Option<Observed<Facts>>> {
        let store = &prior.inputs.store;
        let entry = look_up(store, &prior.inputs.name).await?;
        entry.map(|entry| observed(store, entry, None)).transpose()
    }

    async fn delete(_: &Context, _: &Self::Prior, facts: &Facts) -> Result<()> {
        let mut store = store(&facts.store).await?;
        store
            .delete(&facts.name)
            .await
            .map_err(|error| store_error(&error, "/name"))?;
        Ok(())
    }

    async fn retain(cx: &Context, _: &Self::Prior, facts: &Facts, _: &Mark) -> Result<()> {
        let mut store = store(&facts.store).await?;
        let retained = store.retain(&facts.name, cx.owner().as_str()).await;
        retained
            .map(drop)
            .map_err(|error| store_error(&error, "/name"))
    }
}

fn difference(want: &Inputs, have: &Facts) -> Vec<Step<Change>> {
    let moved = [
        ("/store", have.store.as_str(), want.store.as_str()),
        ("/name", have.name.as_str(), want.name.as_str()),
    ];
    let mut steps: Vec<_> = moved
        .into_iter()
        .filter(|(_, have, want)| have != want)
        .map(|(path, have, want)| {
            Step::set(
                path,
                Value::known(have),
                Value::known(want),
                Change::Refused,
            )
            .effect(Effect::Replace)
            .note(
                "a secret stays where it was made, and whoever uses it would be locked out; \
                     declare a second one under the new name, move its users over, then remove \
                     this one; or set the input back",
            )
        })
        .collect();
    if steps.is_empty() && have.version.is_none() {
        let newest = have.newest.map(Generation::get);
        let wanted = want.generation.get();
        steps.push(Step::set(
            "/generation",
            Value::known(newest),
            Value::known(wanted),
            Change::Make,
        ));
    }
    steps
}

/// Fails if a value that was recorded isn't there: a new one in its place would
/// lock out whoever uses it.
fn refuse_lost(recorded: &StoredSecret, entry: Option<&Entry>) -> Result<()> {
    let found = entry.and_then(|entry| {
        entry
            .generations
            .iter()
            .find(|version| version.generation.get() == recorded.generation)
    });
    let problem = match found {
        Some(version) if version.id.to_string() == recorded.id => return Ok(()),
        Some(version) => format!("the store has another value, {}, in its place", version.id),
        None => "the store has none such".to_owned(),
    };
    Err(Error::input(
        "/name",
        format!(
            "secret {:?} generation {} was recorded with the value {}: {problem}",
            recorded.name, recorded.generation, recorded.id
        ),
    )
    .hint(format!(
        "restore the store {:?} from a backup, or point it at the right file; to begin anew on \
         purpose, forget this member in the state",
        recorded.store
    )))
}

fn observed(store: &str, entry: Entry, wanted: Option<Generation>) -> Result<Observed<Facts>> {
    let owner = Owner::try_from(entry.owner.clone()).map_err(Error::new)?;
    let retained_since = entry.retained.as_ref().map(|retained| retained.since);
    let facts = Facts {
        store: store.to_owned(),
        newest: entry.newest().map(|version| version.generation),
        version: wanted.and_then(|generation| entry.version(generation).copied()),
        name: entry.name,
    };
    Ok(Observed {
        facts,
        ownership: Ownership::Marked(Mark {
            owner,
            resource_type: None,
            since: None,
            retained_since,
        }),
    })
}

async fn look_up(store: &str, name: &SecretName) -> Result<Option<Entry>> {
    let found: Option<Store> = existing_store(store).await?;
    let Some(mut store) = found else {
        return Ok(None);
    };
    let entry = store
        .lookup(name)
        .await
        .map_err(|error| store_error(&error, "/name"))?;
    match entry {
        Some(entry) if entry.kind != Password::TYPE => Err(Error::input(
            "/name",
            format!(
                "secret {:?} is a {}, not a {}",
                name.as_str(),
                entry.kind,
                Password::TYPE
            ),
        )
        .hint("choose another name")),
        entry => Ok(entry),
    }
}

async fn make(cx: &Context, inputs: &Inputs) -> Result<()> {
    let recipe = recipe(inputs)?;
    let new = NewSecret {
        owner: cx.owner().to_string(),
        kind: Password::TYPE.to_owned(),
    };
    let mut store = store(&inputs.store).await?;
    cx.failpoint("password:opened");
    let made = store
        .ensure(&inputs.name, inputs.generation, &new, || {
            let password = recipe.make();
            remember(&password);
            password
        })
        .await;
    made.map(drop).map_err(|error| match &error {
        // Somebody was quicker: whose it is shows when it is looked at again.
        nixops4_secrets_store::Error::Foreign { .. } => {
            store_error(&error, "/name").retry(Retry::UntilDeadline)
        }
        _ => store_error(&error, "/name"),
    })
}

fn recipe(inputs: &Inputs) -> Result<Recipe> {
    Recipe::new(
        inputs.length,
        &[
            Wanted::lower(inputs.lower, inputs.min_lower),
            Wanted::upper(inputs.upper, inputs.min_upper),
            Wanted::digits(inputs.digits, inputs.min_digits),
            Wanted::symbols(inputs.symbols, inputs.min_symbols, &inputs.symbol_set),
        ],
    )
}

fn main_store() -> String {
    "main".to_owned()
}

fn first_generation() -> Generation {
    Generation::FIRST
}

fn default_length() -> u32 {
    32
}

fn default_symbols() -> String {
    "-._~+=".to_owned()
}

fn yes() -> bool {
    true
}
