//! What is not well formed: a name, an address, a public key.

/// What is not well formed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Invalid {
    /// Not the address of a store.
    #[error(
        "not the address of a secrets store: {problem}; supported are a SQLite file, \
         `sqlite:/absolute/path`, and PostgreSQL, `postgresql://user@host/database`, each with \
         `?mode=ro` to only read it"
    )]
    Url {
        /// What is wrong.
        problem: String,
    },
    /// Not the name of a secret.
    #[error(
        "not the name of a secret: {problem}; give 1 to 200 of the characters A-Z a-z 0-9 . _ / @ \
         + - such as mastodon/db"
    )]
    Name {
        /// What is wrong.
        problem: String,
    },
    /// Not a generation.
    #[error("a generation is a number from 1 up, raised by one to rotate; 0 is none")]
    Generation,
    /// Not the key of a store.
    #[error(
        "not the key of a secrets store: give SHA256: and 43 characters, as `nixops4-resources \
         secret trust` shows them"
    )]
    Fingerprint,
    /// Not the id of a value.
    #[error("not the id of a secret's value: give the random UUID that was recorded for it")]
    Id,
    /// Not an owner, a kind or the like.
    #[error("not a valid {what}: {problem}; give 1 to 200 characters on one line")]
    Label {
        /// Which text.
        what: &'static str,
        /// What is wrong.
        problem: String,
    },
    /// Not the address of a place to obtain secrets from.
    #[error(
        "not an address to obtain secrets from: {problem}; supported are file:/folder, \
         env:PREFIX_ and vault:https://server:8200/engine"
    )]
    Source {
        /// What is wrong.
        problem: String,
    },
    /// Not a public part of a secret.
    #[error("not a public part that can be kept: {problem}")]
    PublicPart {
        /// What is wrong.
        problem: String,
    },
    /// Not a public key that values can be encrypted to.
    #[error(
        "not a recipient: {problem}; give a public key: age1..., ssh-ed25519 ... or ssh-rsa ..."
    )]
    Recipient {
        /// What is wrong.
        problem: String,
    },
}
