//! What a deployment expression says, given the outputs that are known.
//!
//! One evaluation is one run of Nix. This module knows the expression's contract
//! and nothing of providers, plans or state.

mod edges;
mod failure;
pub(crate) mod named;
mod nix;
mod output;
mod root;
mod scratch;
mod store;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, MutexGuard, OnceLock, PoisonError};

use nixops4_protocol::Object;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::sync::Mutex;

use crate::member::{MemberPath, OutputRef};

pub(crate) use failure::EvalError;
use named::Named;
#[cfg(test)]
pub(crate) use nix::Answer;
use nix::Nix;
pub(crate) use nix::{Driver, Request};
pub(crate) use output::Mark;
pub(crate) use root::Root;

/// Takes what Nix and the author's own traces say on stderr, line by line.
pub(crate) type Notes = Arc<dyn Fn(&str) + Send + Sync>;

/// How many places are looked at one by one to find the author's own mistake.
const PLACES_LOOKED_AT: usize = 16;

/// What is in a deployment, as far as it is known.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Evaluation {
    /// The resources whose provider, type and state are known.
    pub(crate) members: BTreeMap<MemberPath, Member>,
    /// The places whose very members depend on outputs that are not known.
    pub(crate) structures: Vec<Structure>,
}

/// A resource.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Member {
    pub(crate) path: MemberPath,
    /// The provider, as the expression names it.
    pub(crate) executable: String,
    pub(crate) args: Vec<String>,
    /// Resource type on the wire.
    pub(crate) kind: String,
    /// The state resource that keeps what is recorded of it.
    pub(crate) state: Option<MemberPath>,
    /// The inputs, null where they are not known.
    pub(crate) inputs: Object,
    /// JSON pointers to what is not known, each with the outputs that it waits
    /// for as far as Nix could tell.
    pub(crate) unknown: BTreeMap<String, BTreeSet<OutputRef>>,
    /// What the Nix store must hold before the provider is started.
    pub(crate) provider_paths: Vec<String>,
    /// What the Nix store must hold before the inputs are used.
    pub(crate) input_paths: Vec<String>,
}

impl Member {
    /// Whether all inputs are known.
    pub(crate) fn is_known(&self) -> bool {
        self.unknown.is_empty()
    }

    /// The outputs that it waits for.
    pub(crate) fn waits_for(&self) -> impl Iterator<Item = &OutputRef> {
        self.unknown.values().flatten()
    }
}

/// Members that are not known before something else is applied.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Structure {
    pub(crate) path: MemberPath,
    pub(crate) part: Part,
    pub(crate) waits_for: BTreeSet<OutputRef>,
}

/// What of a member is not known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Part {
    /// The names of its members.
    Members,
    /// What it is.
    Member,
    /// The provider, type or state of a resource.
    Resource,
    /// The inputs of a resource.
    Inputs,
}

impl Part {
    fn name(self) -> &'static str {
        match self {
            Self::Members => "members",
            Self::Member => "member",
            Self::Resource => "resource",
            Self::Inputs => "inputs",
        }
    }
}

/// The outputs that an evaluation may use.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub(crate) struct Known {
    #[serde(skip_serializing_if = "Option::is_none")]
    outputs: Option<Object>,
    complete: bool,
    /// Outputs whose strings get a context, each with its number.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    marks: BTreeMap<String, usize>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    members: BTreeMap<String, Known>,
}

impl Known {
    /// Adds the outputs of a member. If they are `complete`, an output that is
    /// missing is an error, and not one that comes later.
    pub(crate) fn add(&mut self, path: &MemberPath, outputs: Object, complete: bool) {
        let here = self.at(path);
        here.outputs = Some(outputs);
        here.complete = complete;
    }

    fn at(&mut self, path: &MemberPath) -> &mut Self {
        let mut here = self;
        for name in path.names() {
            here = here.members.entry(name.clone()).or_default();
        }
        here
    }
}

/// How much of a deployment is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Look {
    /// Inputs only of those that keep others' state: quick.
    States,
    /// Everything.
    All,
}

/// A place whose true error is asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Place {
    path: MemberPath,
    part: &'static str,
    pointer: Vec<String>,
}

/// Evaluates one deployment, again and again.
pub(crate) struct Evaluator {
    /// As named by the user.
    named: Option<PathBuf>,
    root: OnceLock<Root>,
    driver: Box<dyn Driver>,
    /// Whether this Nix remembers what failed, so that a missing output is only
    /// heard of once, however many places want it.
    remembers_failures: AtomicBool,
    /// What the expression has named so far.
    said: std::sync::Mutex<Named>,
    /// Store paths that were made in this run.
    realised: Mutex<BTreeSet<String>>,
}

impl Evaluator {
    /// An evaluator of the file that is named, or of what is found. It need not
    /// be there before something is evaluated.
    pub(crate) fn new(named: Option<PathBuf>, show_trace: bool, notes: Notes) -> Self {
        Self::with(named, Box::new(Nix::new(show_trace, notes)))
    }

    /// An evaluator that asks this driver.
    pub(crate) fn with(named: Option<PathBuf>, driver: Box<dyn Driver>) -> Self {
        Self {
            named,
            root: OnceLock::new(),
            driver,
            remembers_failures: AtomicBool::new(false),
            said: std::sync::Mutex::default(),
            realised: Mutex::default(),
        }
    }

    /// Where the deployment is.
    pub(crate) fn root(&self) -> Result<&Root, EvalError> {
        if let Some(root) = self.root.get() {
            return Ok(root);
        }
        let found = Root::find(self.named.as_deref())?;
        Ok(self.root.get_or_init(|| found))
    }

    /// What stands for the deployment even if it isn't there.
    pub(crate) fn name(&self) -> &Path {
        self.named.as_deref().unwrap_or(Path::new(root::DEFAULT))
    }

    /// What the expression has named so far.
    pub(crate) fn named(&self) -> MutexGuard<'_, Named> {
        self.said.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Evaluates with these outputs. An author's own mistake that hides behind
    /// what is unknown is an error if it can be told from a missing output.
    pub(crate) async fn evaluate(
        &self,
        look: Look,
        known: &Known,
    ) -> Result<Evaluation, EvalError> {
        let look = match look {
            Look::States => "states",
            Look::All => "all",
        };
        let request = Request {
            root: self.root()?,
            mark: nix::MARK,
            known,
            catch: true,
            look,
            places: &[],
            edge: "",
            // What inputs refer to is built later.
            writes: true,
        };
        let (items, marks) = self.run(&request).await?;
        let evaluation = output::evaluation(items, &marks)?;
        self.named().learn(&evaluation);
        for place in output::unexplained(&evaluation) {
            if self.remembers_failures.load(Ordering::Relaxed) {
                break;
            }
            match self.explain(known, &place).await {
                Err(EvalError::Unknown) => self.remembers_failures.store(true, Ordering::Relaxed),
                result => result?,
            }
        }
        Ok(evaluation)
    }

    /// Fails with the author's own error if what keeps the unknown places from
    /// being known is one.
    pub(crate) async fn explain_stall(
        &self,
        known: &Known,
        evaluation: &Evaluation,
    ) -> Result<(), EvalError> {
        for place in output::places(evaluation).iter().take(PLACES_LOOKED_AT) {
            match self.explain(known, place).await {
                Err(EvalError::Unknown) => {}
                result => result?,
            }
        }
        Ok(())
    }

    /// Evaluates a place without catching anything.
    async fn explain(&self, known: &Known, place: &Place) -> Result<(), EvalError> {
        let request = Request {
            root: self.root()?,
            mark: nix::MARK,
            known,
            catch: false,
            look: "places",
            places: std::slice::from_ref(place),
            edge: "",
            writes: true,
        };
        self.driver.run(&request).await?;
        Ok(())
    }

    async fn run<Item: DeserializeOwned>(
        &self,
        request: &Request<'_>,
    ) -> Result<(Vec<Item>, Vec<Mark>), EvalError> {
        let answer = self.driver.run(request).await?;
        let items = serde_json::from_slice(&answer.items).map_err(EvalError::Answer)?;
        Ok((items, answer.marks))
    }

    /// Makes sure that the Nix store holds these paths, building what is not
    /// there yet.
    pub(crate) async fn realise(&self, paths: &[String]) -> Result<(), EvalError> {
        let mut realised = self.realised.lock().await;
        let missing: Vec<&String> = paths
            .iter()
            .filter(|path| !realised.contains(*path))
            .collect();
        if missing.is_empty() {
            return Ok(());
        }
        self.driver.realise(&missing).await?;
        realised.extend(missing.into_iter().cloned());
        Ok(())
    }
}

/// The inputs of a member as Nix gave them, if they are a set.
fn object(path: &MemberPath, value: Value) -> Result<Object, EvalError> {
    match value {
        Value::Object(object) => Ok(object),
        Value::Null => Ok(Object::new()),
        other => Err(EvalError::Inputs {
            path: path.clone(),
            found: match other {
                Value::Array(_) => "a list",
                Value::String(_) => "a string",
                Value::Number(_) => "a number",
                _ => "a boolean",
            },
        }),
    }
}

#[cfg(test)]
mod tests;
