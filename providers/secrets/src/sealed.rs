//! The kind `secrets_sealed`.

use std::collections::{BTreeMap, BTreeSet};

use nixops4_provider_sdk::secret::{StoredSecret, existing_store, store_error};
use nixops4_provider_sdk::{
    Context, DeletionPolicy, Error, ExposeSecret as _, Result, SecretRef, SecretString,
};
use rand::Rng as _;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;
use sha2::{Digest as _, Sha256};
use time::OffsetDateTime;

use crate::kept::{Current, Facts, Keeps, Making, Misfit, New, References, Remedy, kept_inputs};
use crate::making::seal::Recipients;

kept_inputs!(renewing
/// Secrets encrypted to machines, by their SSH host keys or age keys. The
/// ciphertext may stand in the Nix store: agenix installs it as a file. It stays
/// the same while the secrets and the recipients do.
struct Inputs {
    /// The secrets to encrypt, by the name that their ciphertext has in `files`.
    secrets: BTreeMap<String, SecretRef>,
    /// Who can decrypt all of them: age public keys (`age1...`) and SSH public
    /// keys (`ssh-ed25519 ...` or `ssh-rsa ...`), such as a machine's host key.
    recipients: Vec<String>,
});

/// What an expression can read of sealed secrets.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Outputs {
    /// Ciphertext by name: age files in ASCII armour.
    files: BTreeMap<String, String>,
}

/// What is public of sealed secrets.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Public {
    files: BTreeMap<String, String>,
    recipients: Vec<String>,
    /// The references that name one value for good.
    sources: BTreeMap<String, StoredSecret>,
}

/// What is kept secret of them: enough to see that a file or a variable holds
/// another value than it did.
#[derive(Serialize, Deserialize)]
struct Digests {
    salt: String,
    digests: BTreeMap<String, String>,
}

impl Digests {
    fn new() -> Self {
        let mut salt = [0; 32];
        rand::rng().fill_bytes(&mut salt);
        Self {
            salt: hex::encode(salt),
            digests: BTreeMap::new(),
        }
    }

    fn digest(&self, value: &SecretString) -> String {
        let mut digest = Sha256::new();
        digest.update(&self.salt);
        digest.update(value.expose_secret());
        hex::encode(digest.finalize())
    }
}

/// See [`Inputs`].
pub(crate) struct Sealed;

impl Keeps for Sealed {
    const TYPE: &'static str = "secrets_sealed";
    const DELETION_POLICY: DeletionPolicy = DeletionPolicy::Delete;
    const FOLLOWS: bool = true;

    type Inputs = Inputs;
    type Outputs = Outputs;
    type Public = Public;
    /// Names of the secrets whose value is another one.
    type Sources = BTreeSet<String>;

    fn validate(inputs: &Inputs) -> Result<()> {
        if inputs.secrets.is_empty() {
            return Err(Error::input("/secrets", "there is nothing to encrypt"));
        }
        Recipients::read(&inputs.recipients).map(drop)
    }

    async fn sources(
        cx: &Context,
        inputs: &Inputs,
        facts: &Facts<Public, BTreeSet<String>>,
    ) -> Result<BTreeSet<String>> {
        let there = &facts.current.public;
        let is_known = |(name, reference): &(&String, &SecretRef)| match reference {
            SecretRef::Stored(stored) => there.sources.get(*name) == Some(stored),
            SecretRef::File(_) | SecretRef::Env(_) => false,
        };
        let is_sealed = |(name, _): &(&String, &SecretRef)| there.files.contains_key(*name);
        let open: Vec<_> = inputs
            .secrets
            .iter()
            .filter(is_sealed)
            .filter(|secret| !is_known(secret))
            .collect();
        if open.is_empty() {
            return Ok(BTreeSet::new());
        }
        let digests = digests(facts).await?;
        let mut others = BTreeSet::new();
        for (name, reference) in open {
            let value = cx.secret(reference, &pointer(name)).await?;
            if digests.digests.get(name) != Some(&digests.digest(&value)) {
                others.insert(name.clone());
            }
        }
        Ok(others)
    }

    fn misfits(
        inputs: &Inputs,
        current: &Current<Public>,
        others: &BTreeSet<String>,
        _: OffsetDateTime,
    ) -> Vec<Misfit> {
        let there = &current.public;
        let mut misfits = Vec::new();
        let (before, after): (Vec<_>, Vec<_>) = (
            there.files.keys().collect(),
            inputs.secrets.keys().collect(),
        );
        if before == after {
            let (before, after) = ("another value", "this value");
            let another = |name| Misfit::new(pointer(name), before, after, Remedy::Renew);
            misfits.extend(others.iter().map(|name| another(name)));
        } else {
            let (before, after) = (json!(before), json!(after));
            misfits.push(Misfit::new("/secrets", before, after, Remedy::Renew));
        }
        let recipients = Recipients::read(&inputs.recipients).map(|them| them.canonical());
        if let Ok(recipients) = recipients
            && recipients != there.recipients
        {
            misfits.push(Misfit::new(
                "/recipients",
                json!(there.recipients),
                json!(recipients),
                Remedy::Renew,
            ));
        }
        misfits
    }

    async fn make(making: &mut Making<'_, Public>, inputs: &Inputs) -> Result<New<Public>> {
        let recipients = Recipients::read(&inputs.recipients)?;
        let mut digests = Digests::new();
        let mut public = Public {
            files: BTreeMap::new(),
            recipients: recipients.canonical(),
            sources: BTreeMap::new(),
        };
        for (name, reference) in &inputs.secrets {
            let value = making.cx.secret(reference, &pointer(name)).await?;
            digests.digests.insert(name.clone(), digests.digest(&value));
            public.files.insert(name.clone(), recipients.seal(&value)?);
            if let SecretRef::Stored(stored) = reference {
                public.sources.insert(name.clone(), stored.clone());
            }
        }
        let digests = serde_json::to_string(&digests)
            .map_err(|error| Error::new("unable to write digests").because(error))?;
        Ok(New {
            value: digests.into(),
            public,
        })
    }

    fn outputs(_: &Inputs, _: References<Public>, public: &Public) -> Outputs {
        Outputs {
            files: public.files.clone(),
        }
    }
}

async fn digests<S>(facts: &Facts<Public, S>) -> Result<Digests> {
    let gone = || Error::input("/store", "the store is gone while it is read");
    let mut store = existing_store(&facts.store).await?.ok_or_else(gone)?;
    let current = &facts.current;
    let value = store
        .reveal(&facts.name, current.generation, Some(&current.id))
        .await
        .map_err(|error| store_error(&error, "/name"))?;
    serde_json::from_str(value.expose_secret()).map_err(|_| {
        Error::input(
            "/name",
            "what is kept of these sealed secrets can't be read",
        )
        .hint("raise `generation` to have them sealed anew")
    })
}

fn pointer(name: &str) -> String {
    format!("/secrets/{}", name.replace('~', "~0").replace('/', "~1"))
}
