//! Everything that can go wrong, said in plain words: what, why, what to do
//! next. No message or `Debug` holds a value, a ciphertext or a private key.

use std::path::PathBuf;

use crate::name::{Generation, SecretId, SecretName};
use crate::succession::Fingerprint;
use crate::trust::Untrusted;

mod identity;
mod invalid;
mod known;

pub use identity::IdentityProblem;
pub use invalid::Invalid;
pub use known::KnownStoresProblem;

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

    /// Others could have written the store's file, or put another in its place.
    #[error("the secrets store {store} is not used: {problem}")]
    Untrusted {
        /// Address of the store.
        store: String,
        /// What is open to whom.
        #[source]
        problem: Untrusted,
    },

    /// The file with the stores that are known cannot be used.
    #[error("unable to use the list of known secrets stores {}: {problem}", path.display())]
    KnownStores {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        problem: KnownStoresProblem,
    },

    /// Another store stands where one is known, or a key that doesn't follow from
    /// those that are known.
    #[error(
        "the secrets store at {store} is not the one that is known here: its key is {found}, and \
         that of the store known since {since} is {known}; whoever can write there may have put \
         another in its place, and nothing of it was believed\nhint: find out who changed it; \
         `nixops4-resources secret trust` shows both, and accepts this one with `--accept \
         FINGERPRINT` once somebody who knows the store has confirmed it"
    )]
    AnotherStore {
        /// Address of the store.
        store: String,
        /// The key that is there.
        found: Fingerprint,
        /// The key that was there last.
        known: Fingerprint,
        /// Since when the store is known.
        since: String,
    },

    /// A copy of the store from before its recipients changed.
    #[error(
        "the secrets store at {store} is an older copy of the one that is known here: its key {found} \
         was replaced by {known} when its recipients changed; whoever was removed then could open \
         it again, and nothing of it was believed\nhint: restore a newer one, if this was not on \
         purpose; `nixops4-resources secret trust` shows both, and accepts the older one with \
         `--accept FINGERPRINT`; then see who its recipients are"
    )]
    OlderStore {
        /// Address of the store.
        store: String,
        /// The key that is there.
        found: Fingerprint,
        /// The key that came later.
        known: Fingerprint,
    },

    /// A reference was made in another store.
    #[error(
        "the secrets store at {store} is not the one that the reference was made in: that began with \
         the key {expected}, and this one with {found}; nothing of it was believed\nhint: see that \
         NIXOPS4_SECRETS_STORES leads to the right store; if this one has taken the other's place \
         on purpose, forget in the state what was made in the other, and apply"
    )]
    OtherRoot {
        /// Address of the store.
        store: String,
        /// The key that the reference names.
        expected: Fingerprint,
        /// The key that the store began with.
        found: Fingerprint,
    },

    /// A store that is known is not there, and would be made anew.
    #[error(
        "the secrets store {store} is gone: it is known here since {since}, and an empty one would \
         hold none of its secrets\nhint: restore it from a backup, or correct its address; to begin \
         anew on purpose, forget it with `nixops4-resources secret trust --forget`"
    )]
    StoreGone {
        /// Address of the store.
        store: String,
        /// Since when it is known.
        since: String,
    },

    /// The key that was to be accepted is not the store's.
    #[error(
        "the secrets store at {store} has the key {found}, and not {given}; nothing was accepted"
    )]
    NotAccepted {
        /// Address of the store.
        store: String,
        /// The key that is there.
        found: Fingerprint,
        /// The key that was given.
        given: Fingerprint,
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
         directory writable for this user (or let the role write, if it is PostgreSQL), or take \
         `mode=ro` out of the address"
    )]
    ReadOnly {
        /// Address of the store.
        store: String,
        /// What was tried.
        action: &'static str,
    },

    /// The server follows another one, and can't be written.
    #[error(
        "the secrets store {store} is on a standby (a server in recovery), which can only be read; \
         point its address at the primary, or put `mode=ro` into it to read without a record"
    )]
    Standby {
        /// Address of the store.
        store: String,
    },

    /// The database failed in another way.
    #[error("unable to {action} in the secrets store {store}: {reason}")]
    Database {
        /// Address of the store.
        store: String,
        /// What was tried.
        action: &'static str,
        /// What the database says. Not its error itself, whose details can repeat
        /// a row.
        reason: String,
    },

    /// The server has no room, or is starting. The same call may succeed later.
    #[error(
        "unable to {action} in the secrets store {store}: {reason}; try again, and see what keeps \
         the server busy if that goes on"
    )]
    Busy {
        /// Address of the store.
        store: String,
        /// What was tried.
        action: &'static str,
        /// What the server says.
        reason: String,
    },

    /// A secret could not be shown to have been read.
    #[error(
        "unable to record that secret {name} is read from the secrets store {store}, so that it is \
         not read: {reason}; make the store writable for this user, or put `?mode=ro` at the end \
         of its address to read it without a record, such as a backup"
    )]
    Unrecorded {
        /// Address of the store.
        store: String,
        /// The secret.
        name: SecretName,
        /// Why not.
        reason: &'static str,
    },

    /// What stands beside the values of a secret was changed: its owner, its kind,
    /// a time, a public part, or which generations there are.
    #[error(
        "what the secrets store {store} says of secret {name} was changed by somebody who cannot \
         open the store; find out who can write to it and restore it from a backup"
    )]
    Altered {
        /// Address of the store.
        store: String,
        /// The secret.
        name: SecretName,
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

    /// A recipient that has to stay.
    #[error("unable to remove the recipient {recipient} of the secrets store {store}: {reason}")]
    RecipientNeeded {
        /// Address of the store.
        store: String,
        /// The public key.
        recipient: String,
        /// Why, and what to do.
        reason: &'static str,
    },

    /// Not a recipient, and was to be removed.
    #[error(
        "{recipient} is no recipient of the secrets store {store}; `nixops4-resources secret \
         recipients list` says who is"
    )]
    NoSuchRecipient {
        /// Address of the store.
        store: String,
        /// The public key.
        recipient: String,
    },

    /// The variable that says where stores are, or the one that names the identity
    /// file, is not as it has to be.
    #[error("{0}")]
    Environment(String),

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
        matches!(self, Self::Locked { .. } | Self::Busy { .. })
    }
}
