//! The kind `secrets_password`.

use nixops4_provider_sdk::{Error, Result};

use crate::characters::{Recipe, Wanted};
use crate::kept::{Keeps, Making, New, References, SecretOutputs, defaults, kept_inputs};

kept_inputs!(rotating
/// A random password. It is made once for each generation, kept encrypted in a
/// secrets store, and never printed: other resources are given its `secret`
/// output, a reference.
struct Inputs {
    /// How many characters it has, 8 to 1024. This and what follows matter when
    /// a generation is made, and change none that is there.
    #[serde(default = "default_length")]
    #[schemars(range(min = 8, max = 1024))]
    length: u32,
    /// Whether it has lower case letters, a to z.
    #[serde(default = "defaults::yes")]
    lower: bool,
    /// Whether it has upper case letters, A to Z.
    #[serde(default = "defaults::yes")]
    upper: bool,
    /// Whether it has digits.
    #[serde(default = "defaults::yes")]
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
});

/// See [`Inputs`].
pub(crate) struct Password;

impl Keeps for Password {
    const TYPE: &'static str = "secrets_password";

    type Inputs = Inputs;
    type Outputs = SecretOutputs;
    type Public = ();
    type Sources = ();

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

    async fn make(_: &mut Making<'_, ()>, inputs: &Inputs) -> Result<New<()>> {
        Ok(New {
            value: recipe(inputs)?.make(),
            public: (),
        })
    }

    fn outputs(_: &Inputs, secret: References<()>, (): &()) -> SecretOutputs {
        secret.into()
    }
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

fn default_length() -> u32 {
    32
}

fn default_symbols() -> String {
    "-._~+=".to_owned()
}
