//! The kind `secrets_wireguard_key`.

use nixops4_provider_sdk::Result;
use nixops4_provider_sdk::secret::StoredSecret;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::kept::{Keeps, Making, New, References, kept_inputs};
use crate::making::wireguard;

kept_inputs!(rotating
/// A `WireGuard` key. The private key is made once for each generation and kept in
/// a secrets store, as `wg genkey` writes it; the public key is an output.
struct Inputs {});

/// What an expression can read of a `WireGuard` key.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Outputs {
    /// The reference to the private key.
    secret: StoredSecret,
    /// The reference to the private key before, while it is kept.
    previous: Option<StoredSecret>,
    /// The public key, as `wg pubkey` writes it.
    public_key: String,
    /// The public key before, while it is kept.
    previous_public_key: Option<String>,
}

/// What is public of a `WireGuard` key.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Public {
    public_key: String,
}

/// See [`Inputs`].
pub(crate) struct WireguardKey;

impl Keeps for WireguardKey {
    const TYPE: &'static str = "secrets_wireguard_key";

    type Inputs = Inputs;
    type Outputs = Outputs;
    type Public = Public;
    type Sources = ();

    fn validate(_: &Inputs) -> Result<()> {
        Ok(())
    }

    async fn make(_: &mut Making<'_, Public>, _: &Inputs) -> Result<New<Public>> {
        let made = wireguard::make();
        Ok(New {
            value: made.private,
            public: Public {
                public_key: made.public,
            },
        })
    }

    fn outputs(_: &Inputs, secret: References<Public>, public: &Public) -> Outputs {
        Outputs {
            secret: secret.secret,
            previous: secret.previous,
            previous_public_key: secret.older.first().map(|older| older.public_key.clone()),
            public_key: public.public_key.clone(),
        }
    }
}
