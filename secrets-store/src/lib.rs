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
//! let what = NewSecret { owner: "production".into(), kind: "secrets_password".into() };
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
//! - Who can *read* the database learns names, owners, kinds, times, the length
//!   of each value and the recipients' public keys; never a value.
//! - Who can *write* it, but holds no identity, can delete, or put back an older
//!   copy of the whole; a value that was altered, moved to another name,
//!   generation or id, or made up is refused on reading, and so is a list of
//!   recipients that was tampered with. For that the store has a key of its own,
//!   itself encrypted to the recipients, which authenticates both: age alone lets
//!   anybody encrypt to a public key. Owner, kind and times are not authenticated.
//! - Who holds a recipient's identity can read and write all of it.

mod entry;
mod error;
mod identity;
mod keyring;
mod name;
mod recipient;
mod rows;
mod schema;
mod seal;
mod sqlite;
mod store;
mod url;

pub use entry::{Ensured, Entry, NewSecret, Retained, Version};
pub use error::{Error, IdentityProblem, Invalid};
pub use identity::Identities;
pub use name::{Generation, SecretId, SecretName};
pub use recipient::Recipient;
pub use secrecy::{ExposeSecret, SecretString};
pub use store::{OpenOptions, Store};
pub use url::StoreUrl;
