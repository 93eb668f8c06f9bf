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
use crate::making::seal::{Recipients, pointer};
use crate::making::sops;

kept_inputs!(renewing
/// Secrets encrypted to machines, by their SSH host keys or age keys. The
/// ciphertext may stand in the Nix store: agenix or sops-nix installs it. It stays
/// the same while the secrets, the recipients and the format do.
struct Inputs {
    /// The secrets to encrypt, by the name that they have in `files`, or as a key
    /// in `sops`: there, slashes make a path.
    secrets: BTreeMap<String, SecretRef>,
    /// Who can decrypt all of them: age public keys (`age1...`) and SSH public
    /// keys (`ssh-ed25519 ...`; or `ssh-rsa ...`, for age files), such as a
    /// machine's host key.
    recipients: Vec<String>,
    /// What they are encrypted as: `age` makes a file of each, for agenix, and
    /// `sops` one file of all, for sops-nix.
    #[serde(default)]
    format: Format,
});

/// See [`Inputs::format`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
enum Format {
    #[default]
    Age,
    Sops,
}

/// What an expression can read of sealed secrets.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Outputs {
    /// Ciphertext by name: age files in ASCII armour. None with the format `sops`.
    files: BTreeMap<String, String>,
    /// The ciphertext of all of them in one file of sops: JSON, which sops-nix reads
    /// as YAML too. Only with the format `sops`.
    sops: Option<String>,
}

/// What is public of sealed secrets.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Public {
    files: BTreeMap<String, String>,
    /// In place of `files`, where the format is `sops`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    sops: Option<Sops>,
    recipients: Vec<String>,
    /// The references that name one value for good.
    sources: BTreeMap<String, StoredSecret>,
}

/// A file of sops, and what is in it by name.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Sops {
    names: BTreeSet<String>,
    file: String,
}

impl Public {
    fn format(&self) -> Format {
        match self.sops {
            None => Format::Age,
            Some(_) => Format::Sops,
        }
    }

    /// What the secrets in it are called.
    fn names(&self) -> BTreeSet<&String> {
        match &self.sops {
            None => self.files.keys().collect(),
            Some(sops) => sops.names.iter().collect(),
        }
    }
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
        let recipients = Recipients::read(&inputs.recipients)?;
        if inputs.format == Format::Sops {
            sops::check(inputs.secrets.keys())?;
            recipients.as_age()?;
        }
        Ok(())
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
        let names = there.names();
        let is_sealed = |(name, _): &(&String, &SecretRef)| names.contains(*name);
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
        let (before, after) = (there.names(), inputs.secrets.keys().collect());
        if before == after {
            let (before, after) = ("another value", "this value");
            let another = |name| Misfit::new(pointer(name), before, after, Remedy::Renew);
            misfits.extend(others.iter().map(|name| another(name)));
        } else {
            let (before, after) = (json!(before), json!(after));
            misfits.push(Misfit::new("/secrets", before, after, Remedy::Renew));
        }
        if there.format() != inputs.format {
            misfits.push(Misfit::new(
                "/format",
                json!(there.format()),
                json!(inputs.format),
                Remedy::Renew,
            ));
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
            sops: None,
            recipients: recipients.canonical(),
            sources: BTreeMap::new(),
        };
        let mut values = BTreeMap::new();
        for (name, reference) in &inputs.secrets {
            let value = making.cx.secret(reference, &pointer(name)).await?;
            digests.digests.insert(name.clone(), digests.digest(&value));
            values.insert(name.clone(), value);
            if let SecretRef::Stored(stored) = reference {
                public.sources.insert(name.clone(), stored.clone());
            }
        }
        match inputs.format {
            Format::Age => {
                for (name, value) in &values {
                    public.files.insert(name.clone(), recipients.seal(value)?);
                }
            }
            Format::Sops => {
                let file = sops::seal(&recipients, &values, OffsetDateTime::now_utc())?;
                let names = values.into_keys().collect();
                public.sops = Some(Sops { names, file });
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
            sops: public.sops.as_ref().map(|sops| sops.file.clone()),
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

#[cfg(test)]
mod tests {
    use nixops4_secrets_store::Generation;

    use super::*;
    use crate::making::age_key;

    fn inputs(recipient: &str, format: Option<&str>) -> Inputs {
        let mut inputs = json!({
            "name": "web", "secrets": {"db": {"file": "/run/keys/db"}}, "recipients": [recipient],
        });
        if let Some(format) = format {
            inputs["format"] = json!(format);
        }
        serde_json::from_value(inputs).unwrap()
    }

    #[test]
    fn what_was_sealed_before_there_were_formats_stays() {
        let recipient = age_key::make().public;
        let recorded = json!({
            "files": {"db": "-----BEGIN AGE ENCRYPTED FILE-----"},
            "recipients": [recipient],
            "sources": {},
        });
        let public: Public = serde_json::from_value(recorded.clone()).unwrap();
        // Nor does an older version find anything new in it.
        assert_eq!(json!(public), recorded);
        let current = Current {
            generation: Generation::FIRST,
            id: "8f3c0000-0000-4000-8000-000000000000".parse().unwrap(),
            created_at: OffsetDateTime::UNIX_EPOCH,
            public,
        };
        for (format, paths) in [
            (None, &[][..]),
            (Some("age"), &[]),
            (Some("sops"), &["/format"]),
        ] {
            let misfits = Sealed::misfits(
                &inputs(&recipient, format),
                &current,
                &BTreeSet::new(),
                OffsetDateTime::now_utc(),
            );
            let found: Vec<_> = misfits.iter().map(|misfit| misfit.path.as_str()).collect();
            assert_eq!(found, paths, "{format:?}");
        }
    }
}
