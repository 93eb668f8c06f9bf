//! The kind `secrets_token`.

use nixops4_provider_sdk::{Error, Result};

use crate::kept::{Keeps, Making, New, References, SecretOutputs, kept_inputs};
use crate::making::token::{self, Encoding};

kept_inputs!(rotating
/// A random token: a key for signing cookies, an API token, a UUID. It is made
/// once for each generation, and given to other resources by reference.
struct Inputs {
    /// How it is written: `hex`, `base64`, `base64url` (without padding) or
    /// `uuid`. This and `bytes` matter when a generation is made, and change
    /// none that is there.
    #[serde(default = "hex")]
    encoding: Encoding,
    /// How many random bytes it has, 16 to 1024. Of no meaning for a `uuid`.
    #[serde(default = "default_bytes")]
    #[schemars(range(min = 16, max = 1024))]
    bytes: u32,
});

/// See [`Inputs`].
pub(crate) struct Token;

impl Keeps for Token {
    const TYPE: &'static str = "secrets_token";

    type Inputs = Inputs;
    type Outputs = SecretOutputs;
    type Public = ();
    type Sources = ();

    fn validate(inputs: &Inputs) -> Result<()> {
        if (16..=1024).contains(&inputs.bytes) {
            return Ok(());
        }
        Err(Error::input(
            "/bytes",
            format!(
                "{} can't be used; a token has 16 to 1024 bytes",
                inputs.bytes
            ),
        ))
    }

    async fn make(_: &mut Making<'_, ()>, inputs: &Inputs) -> Result<New<()>> {
        Ok(New {
            value: token::make(inputs.encoding, inputs.bytes as usize),
            public: (),
        })
    }

    fn outputs(_: &Inputs, secret: References<()>, (): &()) -> SecretOutputs {
        secret.into()
    }
}

fn hex() -> Encoding {
    Encoding::Hex
}

fn default_bytes() -> u32 {
    32
}
