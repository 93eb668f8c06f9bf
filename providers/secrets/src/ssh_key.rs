//! The kind `secrets_ssh_key`.

use nixops4_provider_sdk::secret::StoredSecret;
use nixops4_provider_sdk::{Error, Result};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;
use time::OffsetDateTime;

use crate::aside::aside;
use crate::kept::{Current, Keeps, Making, Misfit, New, References, Remedy, kept_inputs};
use crate::making::ssh::{self, KeyType};

kept_inputs!(rotating
/// An SSH key, for hosts and for people, without a passphrase. The private key
/// is made once for each generation and kept in a secrets store, as `ssh-keygen`
/// writes it; the public key is an output.
struct Inputs {
    /// What kind of key. Of a key that is there it can only be changed together
    /// with `generation`.
    #[serde(default = "ed25519")]
    key_type: KeyType,
    /// What stands behind the key, such as `deploy@example.org`; at most 200
    /// characters. It matters when a generation is made.
    #[serde(default)]
    comment: String,
});

/// What an expression can read of an SSH key.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Outputs {
    /// The reference to the private key.
    secret: StoredSecret,
    /// The reference to the private key before, while it is kept.
    previous: Option<StoredSecret>,
    /// The public key in one line, as `authorized_keys` has it.
    public_key: String,
    /// The public key before, while it is kept: to be accepted until everybody
    /// has moved to the new one.
    previous_public_key: Option<String>,
    /// Fingerprint of the public key, as `ssh-keygen -l` shows it.
    fingerprint: String,
}

/// What is public of an SSH key.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[expect(
    clippy::struct_field_names,
    reason = "they are the names that stand in the store"
)]
pub(crate) struct Public {
    public_key: String,
    fingerprint: String,
    key_type: Option<KeyType>,
}

/// See [`Inputs`].
pub(crate) struct SshKey;

impl Keeps for SshKey {
    const TYPE: &'static str = "secrets_ssh_key";

    type Inputs = Inputs;
    type Outputs = Outputs;
    type Public = Public;
    type Sources = ();

    fn validate(inputs: &Inputs) -> Result<()> {
        if inputs.comment.chars().count() > 200 || inputs.comment.chars().any(char::is_control) {
            return Err(Error::input(
                "/comment",
                "this has to be one line of at most 200 characters",
            ));
        }
        Ok(())
    }

    fn misfits(
        inputs: &Inputs,
        current: &Current<Public>,
        (): &(),
        _: OffsetDateTime,
    ) -> Vec<Misfit> {
        match current.public.key_type {
            Some(there) if there != inputs.key_type => vec![Misfit::new(
                "/keyType",
                json!(there),
                json!(inputs.key_type),
                Remedy::Refuse,
            )],
            _ => Vec::new(),
        }
    }

    async fn make(making: &mut Making<'_, Public>, inputs: &Inputs) -> Result<New<Public>> {
        let (key_type, comment) = (inputs.key_type, inputs.comment.clone());
        let made = aside(making.cx, move |given_up| {
            ssh::make(key_type, &comment, &|| given_up.is_so())
        })
        .await??;
        Ok(New {
            value: made.private,
            public: Public {
                public_key: made.public,
                fingerprint: made.fingerprint,
                key_type: Some(inputs.key_type),
            },
        })
    }

    fn outputs(_: &Inputs, secret: References<Public>, public: &Public) -> Outputs {
        Outputs {
            secret: secret.secret,
            previous: secret.previous,
            previous_public_key: secret.older.first().map(|older| older.public_key.clone()),
            public_key: public.public_key.clone(),
            fingerprint: public.fingerprint.clone(),
        }
    }
}

fn ed25519() -> KeyType {
    KeyType::Ed25519
}
