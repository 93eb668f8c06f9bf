//! The engine of `nixops4-resources`: evaluates, plans, applies and removes NixOps4
//! deployments, and looks after their state, with the Nix and the providers that are
//! installed.
//!
//! It has no terminal, no command line and no secrets: who uses it, such as the command
//! of this suite or a panel, gives it a [`Frontend`] that is told what happens and is
//! asked, and [`Signals`] by which the user stops it. What is told is in [`report`].
//!
//! Everything begins with a [`Session`] on a deployment. It is worked on in one task of a
//! `tokio` runtime, which may be shared with others.
//!
//! ```
//! use std::sync::Arc;
//!
//! use futures_util::FutureExt as _;
//! use futures_util::future::LocalBoxFuture;
//! use nixops4_resources_engine::report::{Event, RemovalReport};
//! use nixops4_resources_engine::{Answer, Failure, Frontend, Session, Settings, Signals};
//!
//! /// Shows nothing, and lets nothing be removed.
//! struct Silent;
//!
//! impl Frontend for Silent {
//!     fn event(&self, _: &Event) {}
//!     fn said(&self, _: &str, _: &str) {}
//!     fn confirm<'a>(&'a self, _: &'a RemovalReport) -> LocalBoxFuture<'a, std::io::Result<Answer>> {
//!         async { Ok(Answer::Nobody) }.boxed_local()
//!     }
//! }
//!
//! # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
//! let settings = Settings {
//!     file: Some("deployments/shop.nix".into()),
//!     ..Settings::default()
//! };
//! let session = Session::new(settings, Arc::new(Silent));
//! let planned = nixops4_resources_engine::plan(&session, &mut Signals::never()).await;
//! match planned {
//!     Ok(plan) => println!("{} to create", plan.report.counts.create),
//!     Err(failure @ Failure::Eval(_)) => println!("cannot be evaluated: {failure}"),
//!     Err(failure) => println!("cannot be planned: {failure}"),
//! }
//! # Ok::<_, std::io::Error>(())
//! # })?;
//! # Ok::<_, std::io::Error>(())
//! ```

mod apply;
mod as_recorded;
mod backend;
mod commands;
mod dependencies;
mod drift;
mod eval;
pub mod executables;
mod failure;
mod frontend;
mod import;
pub mod member;
mod memory;
#[cfg(test)]
mod model;
mod names;
mod outcome;
mod outputs;
mod plan;
pub mod providers;
mod records;
mod removal;
pub mod report;
mod saved;
mod schema;
mod session;
pub mod shell;
mod signals;
pub mod state;
pub mod text;
mod trust;
mod validate;

pub use commands::{Plan, apply, apply_saved, plan, plan_to_save};
pub use dependencies::graph;
pub use drift::drift;
pub use eval::EvalError;
pub use failure::{Failure, Problem};
pub use frontend::{Answer, Frontend};
pub use import::import;
pub use member::{MemberPath, OutputRef};
pub use memory::folder::of_this_user as memory_of_this_user;
pub use names::Names;
pub use outcome::Outcome;
pub use outputs::outputs;
pub use outputs::select::{OutputsError, plain};
pub use records::{LocationError, RecordsError};
pub use removal::destroy::{Wanted as Destroy, destroy};
pub use removal::gc::{Wanted as Gc, gc};
pub use saved::file::SavedError;
pub use session::{Session, Settings, providers as providers_of_this_machine};
pub use signals::{Interrupted, Signals};
pub use trust::distrust::Distrust;
pub use trust::granted::Allowed;
pub use validate::validate;
