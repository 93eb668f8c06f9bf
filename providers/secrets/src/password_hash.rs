//! The kind `secrets_password_hash`.

use nixops4_provider_sdk::secret::StoredSecret;
use nixops4_provider_sdk::{Context, DeletionPolicy, Result, SecretRef};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;
use time::OffsetDateTime;

use crate::aside::aside;
use crate::kept::{Current, Facts, Keeps, Making, Misfit, New, References, Remedy, kept_inputs};
use crate::making::hash::{self, Algorithm};

kept_inputs!(renewing
/// The hash of a password, for whatever checks passwords and needs no more: a
/// `hashedPassword` of `NixOS`, a web server's users, a role of `PostgreSQL`. It
/// is made once, with a random salt, and stays until the password changes.
///
/// The hash is an output, so it stands in the state and in whatever it is put
/// into. Who reads it can try passwords: a long random one is safe, a short one
/// is not.
struct Inputs {
    /// The password.
    secret: SecretRef,
    /// How it is hashed.
    algorithm: Algorithm,
    /// How much work it is: for `bcrypt` the doublings, 10 to 18 (12 if unset);
    /// for `sha512crypt` the rounds, 5,000 to 10,000,000 (100,000 if unset); for
    /// `scramSha256` the iterations, 4,096 to 1,000,000 (4,096 if unset).
    #[serde(default)]
    cost: Option<u32>,
});

/// What an expression can read of a hash.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Outputs {
    /// The hash, with its algorithm, cost and salt.
    hash: String,
    /// The reference to the hash, for a resource that takes it as a secret.
    secret: StoredSecret,
}

/// What is public of a hash.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Public {
    hash: String,
    algorithm: Algorithm,
    cost: u32,
    /// The password's reference, if that names one value for good.
    source: Option<StoredSecret>,
}

/// See [`Inputs`].
pub(crate) struct PasswordHash;

impl Keeps for PasswordHash {
    const TYPE: &'static str = "secrets_password_hash";
    const DELETION_POLICY: DeletionPolicy = DeletionPolicy::Delete;
    const FOLLOWS: bool = true;
    const OPEN: bool = true;

    type Inputs = Inputs;
    type Outputs = Outputs;
    type Public = Public;
    /// Whether the password is another one.
    type Sources = bool;

    fn validate(inputs: &Inputs) -> Result<()> {
        inputs.algorithm.cost_of(inputs.cost).map(drop)
    }

    async fn sources(cx: &Context, inputs: &Inputs, facts: &Facts<Public, bool>) -> Result<bool> {
        let current = &facts.current;
        if stored(&inputs.secret).is_some_and(|now| Some(now) == current.public.source.as_ref()) {
            return Ok(false);
        }
        let password = cx.secret(&inputs.secret, "/secret").await?;
        let there = current.public.hash.clone();
        aside(cx, move |_| !hash::matches(&password, &there)).await
    }

    fn misfits(
        inputs: &Inputs,
        current: &Current<Public>,
        is_another: &bool,
        _: OffsetDateTime,
    ) -> Vec<Misfit> {
        let there = &current.public;
        let mut misfits = Vec::new();
        if *is_another {
            let (before, after) = ("hash of another password", "hash of this password");
            misfits.push(Misfit::new("/secret", before, after, Remedy::Renew));
        }
        if there.algorithm != inputs.algorithm {
            let (before, after) = (json!(there.algorithm), json!(inputs.algorithm));
            misfits.push(Misfit::new("/algorithm", before, after, Remedy::Renew));
        } else if let Ok(cost) = inputs.algorithm.cost_of(inputs.cost)
            && cost != there.cost
        {
            misfits.push(Misfit::new("/cost", there.cost, cost, Remedy::Renew));
        }
        misfits
    }

    async fn make(making: &mut Making<'_, Public>, inputs: &Inputs) -> Result<New<Public>> {
        let cost = inputs.algorithm.cost_of(inputs.cost)?;
        let password = making.cx.secret(&inputs.secret, "/secret").await?;
        let algorithm = inputs.algorithm;
        let hash = aside(making.cx, move |_| hash::make(algorithm, cost, &password)).await??;
        Ok(New {
            value: hash.clone().into(),
            public: Public {
                hash,
                algorithm: inputs.algorithm,
                cost,
                source: stored(&inputs.secret).cloned(),
            },
        })
    }

    fn outputs(_: &Inputs, secret: References<Public>, public: &Public) -> Outputs {
        Outputs {
            hash: public.hash.clone(),
            secret: secret.secret,
        }
    }
}

/// A reference that always means the same value.
fn stored(reference: &SecretRef) -> Option<&StoredSecret> {
    match reference {
        SecretRef::Stored(stored) => Some(stored),
        SecretRef::File(_) | SecretRef::Env(_) => None,
    }
}
