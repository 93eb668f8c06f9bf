//! The encrypted store in which deployment secrets are kept, addressed by
//! reference: a name, a generation and the random id of one value.
//!
//! It knows nothing of providers, of the protocol or of how a secret is made.
//!
//! ```no_run
//! # async fn example() -> Result<(), nixops4_secrets_store::Error> {
//! use nixops4_secrets_store::{Generation, Identities, NewSecret, SecretString, Store};
//!
//! let identities = Identities::from_file("/root/age.key")?;
//! let url = "sqlite:/var/lib/deploy/secrets.db".parse()?;
//! let mut store = Store::open_or_create(&url, &identities).await?;
//!
//! let name = "mastodon/db".parse()?;
//! let what = NewSecret::new("production", "secrets_password");
//! let made = store
//!     .ensure(&name, Generation::FIRST, &what, || SecretString::from("correct horse"))
//!     .await?;
//! let id = made.version.id;
//! let value = store.reveal(&name, Generation::FIRST, Some(&id)).await?;
//! # drop(value); Ok(()) }
//! ```
//!
//! # What is protected from whom
//!
//! - Who can *read* the database learns names, owners, kinds, times, public
//!   parts, the length of each value, the recipients' public keys and the record
//!   of who did what; never a value.
//! - Who can *write* it, but holds no identity, can delete, or put back an older
//!   copy of a secret from since the recipients changed last. What was altered,
//!   moved to another name, generation or id, or made up is refused on reading: a
//!   value, its owner, kind, times and public part, which generations there are,
//!   and the list of recipients. For that the store has a key of its own, itself
//!   encrypted to the recipients, which authenticates them: age alone lets anybody
//!   encrypt to a public key. The record of who did what is not authenticated: with
//!   PostgreSQL, let the roles only add to it (`REVOKE UPDATE, DELETE ON audit`),
//!   and prune it as another.
//! - They can make a whole store of their own, with another key. So an identity
//!   *knows* the stores that it has opened by their keys, in a file beside it, and a
//!   reference to a secret says with which key its store began. Whichever key is
//!   there has to be the known one or follow it: with each change of the recipients
//!   the store gets another key, and the old one signs it. The first use, without a
//!   reference, believes what it finds, and there is a [`Notice`].
//! - Who holds a recipient's identity can read and write all of it. A recipient
//!   that was removed can still read older copies, and have another key follow one
//!   that they had: who knows a later one is not fooled.
//!
//! # The record
//!
//! Every change and every read of a value is recorded, in the transaction of the
//! change, or before the value is handed out; what can't be recorded isn't done.
//! A store that turns out to be read-only is therefore refused when a value is
//! read, or who wants to read unseen would only have to write-protect the file.
//! `?mode=ro` at the end of the address is how to say that this is meant, such as
//! for a backup: then values are read, and no record is left.

mod audit;
pub mod clock;
mod database;
mod entry;
pub mod environment;
mod error;
mod failpoint;
pub mod file;
#[cfg(feature = "http")]
pub mod http;
mod identity;
mod keyring;
mod known;
mod memory;
mod name;
mod notice;
mod person;
mod recipient;
mod recognition;
mod rows;
mod schema;
mod seal;
#[cfg(feature = "sources")]
pub mod source;
mod span;
mod store;
mod succession;
pub mod trust;
mod url;

pub use audit::{Action, Record};
pub use entry::{Ensured, Entry, Made, NewSecret, Retained, Rotation, Version};
pub use error::{Error, IdentityProblem, Invalid, KnownStoresProblem};
pub use identity::Identities;
pub use known::Known;
pub use memory::forbid_core_dumps;
pub use name::{Generation, SecretId, SecretName};
pub use notice::Notice;
pub use recipient::Recipient;
pub use recognition::Recognition;
pub use secrecy::{ExposeSecret, SecretString};
pub use span::Span;
pub use store::{Inspection, ListedRecipient, OpenOptions, Store};
pub use succession::Fingerprint;
pub use url::StoreUrl;
