//! Write a NixOps4 resource provider.
//!
//! A provider is a list of kinds and one call, [`Provider::run`]. A kind is one
//! implementation of [`ResourceKind`]; the [engine] owns the order of
//! things: validate, observe, refuse, diff, apply, observe again. This crate
//! answers the protocol, resolves secret references, keeps marks of ownership,
//! retries what may be retried, and writes the schemas. It knows how to reach
//! servers of a kind, and nothing of what is on them.
//!
//! # A whole kind
//!
//! A file of one line, whose mark is a second one. A kind of its own is a module
//! of a provider's crate; the provider's `main` is the one below.
//!
//! ```no_run
//! use nixops4_provider_sdk::*;
//! use schemars::JsonSchema;
//! use serde::{Deserialize, Serialize};
//!
//! /// A file with one line of text.
//! #[derive(Deserialize, JsonSchema)]
//! #[serde(rename_all = "camelCase", deny_unknown_fields)]
//! struct Inputs {
//!     /// Path of the file; its folder has to be there.
//!     path: String,
//!     /// The line. Default: empty.
//!     #[serde(default)]
//!     text: String,
//! }
//!
//! /// What an expression can read of it.
//! #[derive(Serialize, JsonSchema)]
//! #[serde(rename_all = "camelCase")]
//! struct Outputs {
//!     /// Size of the text, in bytes.
//!     size: usize,
//! }
//!
//! /// What is still of use of a record. A field that was added later is optional.
//! #[derive(Deserialize)]
//! struct Recorded {
//!     path: String,
//! }
//!
//! #[derive(Serialize)]
//! struct Identity(String);
//!
//! impl std::fmt::Display for Identity {
//!     fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
//!         write!(out, "file {}", self.0)
//!     }
//! }
//!
//! struct Line;
//!
//! impl ResourceKind for Line {
//!     const TYPE: &'static str = "files_line";
//!     const DELETION_POLICY: DeletionPolicy = DeletionPolicy::Delete;
//!     const LOCATED_BY: &'static [&'static str] = &["path"];
//!     type Inputs = Inputs;
//!     type Outputs = Outputs;
//!     type Prior = Prior<Recorded, Object>;
//!     type Identity = Identity;
//!     type Facts = String; // the line
//!     type Change = (); // there is but one: write it
//!
//!     fn identity(inputs: &Inputs) -> Identity {
//!         Identity(inputs.path.clone())
//!     }
//!     fn recorded_identity(prior: &Self::Prior) -> Result<Identity> {
//!         Ok(Identity(prior.inputs.path.clone()))
//!     }
//!     fn diff(want: &Inputs, have: Option<&String>) -> Vec<Step<()>> {
//!         match have {
//!             None => vec![Step::create(())],
//!             Some(text) if *text == want.text => vec![],
//!             Some(text) => {
//!                 vec![Step::set("/text", Value::known(text), Value::known(&want.text), ())]
//!             }
//!         }
//!     }
//!     fn outputs(_: &Inputs, text: &String) -> Outputs {
//!         Outputs { size: text.len() }
//!     }
//!     async fn observe(
//!         _: &Context,
//!         inputs: &Inputs,
//!         _: Option<&Self::Prior>,
//!     ) -> Result<Option<Observed<String>>> {
//!         look(&inputs.path)
//!     }
//!     async fn apply(cx: &Context, inputs: &Inputs, (): ()) -> Result<()> {
//!         write(&inputs.path, &inputs.text, &cx.mark())
//!     }
//!     async fn write_mark(_: &Context, to: &Inputs, text: &String, mark: &Mark) -> Result<()> {
//!         write(&to.path, text, mark)
//!     }
//!     async fn observe_recorded(
//!         _: &Context,
//!         prior: &Self::Prior,
//!     ) -> Result<Option<Observed<String>>> {
//!         look(&prior.inputs.path)
//!     }
//!     async fn delete(_: &Context, prior: &Self::Prior, _: &String) -> Result<()> {
//!         std::fs::remove_file(&prior.inputs.path)
//!             .map_err(|error| Error::new("unable to remove the file").because(error))
//!     }
//!     async fn retain(_: &Context, prior: &Self::Prior, text: &String, mark: &Mark) -> Result<()> {
//!         write(&prior.inputs.path, text, mark)
//!     }
//! }
//!
//! fn look(path: &str) -> Result<Option<Observed<String>>> {
//!     match std::fs::read_to_string(path) {
//!         Ok(text) => {
//!             let (line, comment) = text.split_once('\n').unwrap_or((&text, ""));
//!             let ownership = Ownership::from_comment(Some(comment));
//!             Ok(Some(Observed { facts: line.to_owned(), ownership }))
//!         }
//!         Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
//!         Err(error) => Err(Error::input("/path", "unable to read the file").because(error)),
//!     }
//! }
//!
//! fn write(path: &str, text: &str, mark: &Mark) -> Result<()> {
//!     std::fs::write(path, format!("{text}\n{mark}\n")).map_err(|error| {
//!         Error::input("/path", "unable to write the file")
//!             .because(error)
//!             .hint("make its folder, and let this process write there")
//!     })
//! }
//!
//! fn main() -> std::process::ExitCode {
//!     Provider::new("files", "Writes files.", env!("CARGO_PKG_VERSION")).kind::<Line>().run()
//! }
//! ```

pub mod context;
pub mod engine;
pub mod error;
#[cfg(feature = "http")]
pub mod http;
pub mod kept;
pub mod kind;
pub mod mark;
pub mod pair;
#[cfg(feature = "postgresql")]
pub mod postgresql;
pub mod provider;
pub mod schema;
pub mod secret;
pub mod state_kind;
pub mod trusted;

mod answer;
mod check;
mod clock;
mod failpoint;
mod inputs;
mod logging;
#[cfg(test)]
mod model;
mod plan;
mod redaction;
mod retry;
mod serve;
mod slot;
mod typed;

pub use context::Context;
pub use error::{Error, Result, Retry};
pub use kind::{
    DeletionPolicy, Found, Observed, Owner, Ownership, Prior, ResourceKind, Step, Value,
};
pub use logging::progress;
pub use mark::Mark;
pub use nixops4_protocol::Object;
pub use nixops4_protocol::describe::StateNeed;
pub use nixops4_protocol::message::Effect;
pub use provider::Provider;
pub use secrecy::{ExposeSecret, SecretString};
pub use secret::SecretRef;
pub use slot::Alone;
pub use state_kind::StateKind;
