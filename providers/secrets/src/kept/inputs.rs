//! The inputs that every kept secret has. A macro, because serde can't flatten a
//! struct and refuse unknown fields at once.

use nixops4_secrets_store::{Generation, SecretName};

use nixops4_secrets_store::Span;

/// Where a secret is kept, and when another value is wanted.
pub(crate) trait Place {
    fn store(&self) -> &str;
    fn name(&self) -> &SecretName;
    fn generation(&self) -> Generation;
    fn keep_generations(&self) -> u32;
    fn rotate_after(&self) -> Option<Span>;
}

/// Defaults of the inputs.
pub(crate) mod defaults {
    use nixops4_secrets_store::Generation;

    pub(crate) fn store() -> String {
        "main".to_owned()
    }

    pub(crate) fn generation() -> Generation {
        Generation::FIRST
    }

    pub(crate) fn keep_generations() -> u32 {
        2
    }

    pub(crate) fn yes() -> bool {
        true
    }
}

/// Declares the inputs of a kind: `rotating` for values that are only made anew
/// on purpose or by age, `renewing` for those that follow from others or expire.
macro_rules! kept_inputs {
    (rotating $(#[$meta:meta])* struct $name:ident { $($fields:tt)* }) => {
        $crate::kept::kept_inputs!(@ $(#[$meta])* struct $name {
            /// After how long a new value is due, such as `90d` (units s, m, h, d,
            /// w, y). A plan shows when it is, and the next apply that looks at
            /// it makes the value; the one before stays readable. Unset: never.
            #[serde(default)]
            rotate_after: Option<nixops4_secrets_store::Span>,
            $($fields)*
        } |this| this.rotate_after);
    };
    (renewing $(#[$meta:meta])* struct $name:ident { $($fields:tt)* }) => {
        $crate::kept::kept_inputs!(@ $(#[$meta])* struct $name { $($fields)* } |_this| None);
    };
    (@ $(#[$meta:meta])* struct $name:ident { $($fields:tt)* } |$this:ident| $rotate:expr) => {
        $(#[$meta])*
        #[derive(Debug, serde::Deserialize, schemars::JsonSchema)]
        #[serde(rename_all = "camelCase", deny_unknown_fields)]
        pub(crate) struct $name {
            /// Logical name of the store; `NIXOPS4_SECRETS_STORES` says where it is.
            #[serde(default = "crate::kept::defaults::store")]
            store: String,
            /// Name of the secret in the store, such as `mastodon/db`.
            #[schemars(with = "String")]
            name: nixops4_secrets_store::SecretName,
            /// Which value is wanted at least, counted from 1. Raising it above
            /// the newest makes a new one, and keeps the old.
            #[serde(default = "crate::kept::defaults::generation")]
            #[schemars(with = "u32", range(min = 1))]
            generation: nixops4_secrets_store::Generation,
            /// How many older values are kept when a new one is made. They stay
            /// readable by reference.
            #[serde(default = "crate::kept::defaults::keep_generations")]
            keep_generations: u32,
            $($fields)*
        }

        impl $crate::kept::Place for $name {
            fn store(&self) -> &str {
                &self.store
            }
            fn name(&self) -> &nixops4_secrets_store::SecretName {
                &self.name
            }
            fn generation(&self) -> nixops4_secrets_store::Generation {
                self.generation
            }
            fn keep_generations(&self) -> u32 {
                self.keep_generations
            }
            fn rotate_after(&self) -> Option<nixops4_secrets_store::Span> {
                let $this = self;
                $rotate
            }
        }
    };
}

pub(crate) use kept_inputs;
