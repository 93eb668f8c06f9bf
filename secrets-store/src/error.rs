//! Everything that can go wrong, said in plain words: what, why, what to do
//! next. No message or `Debug` holds a value, a ciphertext or a private key.

use std::io;
use std::path::PathBuf;

use crate::name::{Generation, SecretId, SecretName};

/// Why the store could not do what was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A name, address or the like is not well formed.
    #[error(transparent)]
    Invalid(#[from] Invalid),

    /// The identity file cannot be used.
    #[error("unable to use the identity file {}: {problem}", path.display())]
    Identity {
        /// The identity file.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        problem: IdentityProblem,
    },

    /// None of the identities is a recipient of the store.
    #[error(
        "none of the keys in the identity file {} ({ours}) is a recipient of the secrets store \
         {store} (recipients: {recipients}); use the identity file of a recipient, or the store \
         that belongs to this one",
        identity.display()
    )]
    WrongIdentity {
        /// Address of the store.
        store: String,
        /// The identity file.
        identity: PathBuf,
        /// Our public keys.
        ours: String,
        /// The public keys that the store lists.
        recipients: String,
    },

    /// There is no such file.
    #[error(
        "the secrets store {store} does not exist; check its address, or make a secret in it first"
    )]
    StoreMissing {
        /// Address of the store.
        store: String,
    },

    /// The file or its directory cannot be reached, made or opened.
    #[error("unable to {action} the secrets store {store}: {reason}; {hint}")]
    Unreachable {
        /// Address of the store.
        store: String,
        /// What was tried: "create" or "open".
        action: &'static str,
        /// Why it failed.
        reason: String,
        /// What to do.
        hint: &'static str,
    },

    /// The database is something else, or empty.
    #[error(
        "{store} is not a secrets store: {reason}; check the address, or restore it from a backup \
         if it was a store"
    )]
    NotAStore {
        /// Address of the store.
        store: String,
        /// What it is instead.
        reason: &'static str,
    },

    /// The store was written by a newer version of this program.
    #[error(
        "the secrets store {store} has schema version {found}, and this program knows {known} at \
         most; use a newer nixops4-resources"
    )]
    NewerSchema {
        /// Address of the store.
        store: String,
        /// Its schema version.
        found: i64,
        /// The newest that is known here.
        known: i64,
    },

    /// The database is damaged.
    #[error(
        "the secrets store {store} is damaged: {reason}; nothing was changed, restore it from a \
         backup"
    )]
    Damaged {
        /// Address of the store.
        store: String,
        /// What was found.
        reason: String,
    },

    /// The store's key or its list of recipients was changed by somebody without
    /// the store's key.
    #[error(
        "the secrets store {store} was tampered with: {reason}; nothing was encrypted to it, find \
         out who can write to it and restore it from a backup"
    )]
    StoreTampered {
        /// Address of the store.
        store: String,
        /// What was found.
        reason: String,
    },

    /// One value was altered, moved or made up.
    #[error(
        "secret {name} generation {generation} in the secrets store {store} was tampered with or \
         is damaged: {reason}; find out who can write to the store and restore it from a backup, \
         or rotate the secret by raising its generation"
    )]
    Tampered {
        /// Address of the store.
        store: String,
        /// The secret.
        name: SecretName,
        /// Its generation.
        generation: Generation,
        /// What was found.
        reason: String,
    },

    /// Somebody else is writing. The same call may succeed later.
    #[error(
        "the secrets store {store} is locked by another process; try again, and see who holds it \
         if that goes on"
    )]
    Locked {
        /// Address of the store.
        store: String,
    },

    /// The store cannot be written.
    #[error(
        "unable to {action} in the secrets store {store}: it is read-only; make the file and its \
         directory writable for this user, or take `mode=ro` out of the address"
    )]
    ReadOnly {
        /// Address of the store.
        store: String,
        /// What was tried.
        action: &'static str,
    },

    /// The database failed in another way.
    #[error("unable to {action} in the secrets store {store}: {source}")]
    Database {
        /// Address of the store.
        store: String,
        /// What was tried.
        action: &'static str,
        /// What the database says.
        source: sqlx::Error,
    },

    /// There is no such secret or generation.
    #[error(
        "secret {name} generation {generation} is not in the secrets store {store} ({there_is}); \
         check the name and the store; a recorded secret that is lost comes back from a backup, or \
         is made anew by raising its generation"
    )]
    Missing {
        /// Address of the store.
        store: String,
        /// The secret.
        name: SecretName,
        /// The generation that was asked for.
        generation: Generation,
        /// What is stored under the name.
        there_is: String,
    },

    /// There is no secret of this name.
    #[error("there is no secret {name} in the secrets store {store}; check the name and the store")]
    NoSuchSecret {
        /// Address of the store.
        store: String,
        /// The secret.
        name: SecretName,
    },

    /// The value behind a reference is not the one that was recorded.
    #[error(
        "secret {name} generation {generation} in the secrets store {store} was made anew: the \
         reference names the value {expected}, the store holds {found}; restore the store that \
         holds the recorded value, or apply again where the secret is declared so that the \
         reference follows"
    )]
    MadeAnew {
        /// Address of the store.
        store: String,
        /// The secret.
        name: SecretName,
        /// Its generation.
        generation: Generation,
        /// The id in the reference.
        expected: SecretId,
        /// The id in the store.
        found: SecretId,
    },

    /// The name belongs to another owner.
    #[error(
        "secret {name} belongs to {owner:?}, not to {wanted:?}; choose another name, or adopt it \
         if that owner has given it up"
    )]
    Foreign {
        /// The secret.
        name: SecretName,
        /// Whose it is.
        owner: String,
        /// Who asked.
        wanted: String,
    },

    /// The name is a secret of another kind.
    #[error(
        "secret {name} is a {kind}, not a {wanted}; choose another name, or delete the {kind} \
         first"
    )]
    OtherKind {
        /// The secret.
        name: SecretName,
        /// Its kind.
        kind: String,
        /// The kind that was asked for.
        wanted: String,
    },

    /// A generation below the newest that was never made, or is no longer kept.
    #[error(
        "secret {name} has no generation {generation} and is at {newest} already; a generation \
         only goes up: ask for {newest}, or a higher one to rotate"
    )]
    GenerationTooOld {
        /// The secret.
        name: SecretName,
        /// The generation that was asked for.
        generation: Generation,
        /// The newest there is.
        newest: Generation,
    },

    /// A value could not be encrypted.
    #[error("unable to encrypt to the recipients of the secrets store {store}: {reason}")]
    Encrypt {
        /// Address of the store.
        store: String,
        /// What the library says.
        reason: String,
    },
}

impl Error {
    /// Whether the same call may succeed a little later, with nothing changed.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        matches!(self, Self::Locked { .. })
    }
}

/// What is not well formed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Invalid {
    /// Not the address of a store.
    #[error(
        "not the address of a secrets store: {problem}; supported is a SQLite file, \
         `sqlite:/absolute/path`, with `?mode=ro` to only read it"
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
    /// Not a public key that values can be encrypted to.
    #[error(
        "not a recipient: {problem}; give a public key: age1..., ssh-ed25519 ... or ssh-rsa ..."
    )]
    Recipient {
        /// What is wrong.
        problem: String,
    },
}

/// What is wrong with an identity file.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum IdentityProblem {
    /// No such file.
    #[error(
        "it does not exist; make one with `nixops4-resources-secrets keygen FILE`, or name an existing one"
    )]
    Missing,
    /// It cannot be read.
    #[error("{0}; make it readable for this user")]
    Unreadable(io::Error),
    /// It is there already, and a new one was to be made.
    #[error("it exists already, and is left alone; name a new file, or use this one")]
    Exists,
    /// It cannot be written.
    #[error("{0}; name a file in a folder that this user can write to")]
    Unwritable(io::Error),
    /// A directory.
    #[error("it is a directory; name the file in it")]
    Directory,
    /// Others may read or write it.
    #[error("others than its owner can get at it (mode {mode:04o}); run `chmod 600` on it")]
    OpenToOthers {
        /// Its permission bits.
        mode: u32,
    },
    /// Longer than any identity file.
    #[error("it has more than 1 MiB; name an age identity file or an OpenSSH private key")]
    TooLong,
    /// Not UTF-8.
    #[error("it is not text; name an age identity file or an OpenSSH private key")]
    NotText,
    /// Nothing but comments.
    #[error("there is no identity in it; it needs a line AGE-SECRET-KEY-1...")]
    Empty,
    /// A line that is nothing known.
    #[error(
        "line {line_number} is not an age identity; each line is AGE-SECRET-KEY-1... or a comment"
    )]
    NotAnIdentity {
        /// Counted from 1.
        line_number: usize,
    },
    /// A public key.
    #[error("line {line_number} is a public key; name the file with the private key")]
    PublicKey {
        /// Counted from 1.
        line_number: usize,
    },
    /// An identity that needs a plugin.
    #[error(
        "line {line_number} is an identity of an age plugin, which cannot be used without a \
         person; use an X25519 identity or an SSH key"
    )]
    Plugin {
        /// Counted from 1.
        line_number: usize,
    },
    /// Protected by a passphrase.
    #[error(
        "it is encrypted with a passphrase, which nobody can type in here; decrypt it with \
         `age --decrypt` to a file of mode 600"
    )]
    EncryptedAge,
    /// Protected by a passphrase.
    #[error(
        "it is an SSH key with a passphrase, which nobody can type in here; use a key without one \
         (`ssh-keygen -p` takes it away), or an age identity"
    )]
    EncryptedSsh,
    /// ECDSA, DSA, or kept in hardware.
    #[error("it is an SSH key of type {kind:?}, which age cannot use; use ssh-ed25519 or ssh-rsa")]
    SshType {
        /// The key's type.
        kind: String,
    },
    /// Another format, or damaged.
    #[error(
        "it is not an intact OpenSSH private key; convert it with `ssh-keygen -p`, or use an age \
         identity"
    )]
    NotOpenSsh,
    /// Its public key is refused.
    #[error("{0}")]
    Unusable(Invalid),
}
