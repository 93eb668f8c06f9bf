//! What is recorded of the deployment, through the resources that keep it.
//!
//! Knows state documents and the requests that read and extend them.

mod absent;
mod entry;
mod location;
mod places;
mod state_backend;
mod turn;

use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use nixops4_protocol::client::ClientError;
use nixops4_protocol::state::{self, StateError};
use tokio::sync::Mutex;

use crate::eval::Member;
use crate::member::{MemberPath, Outputs};
use crate::trust::distrust::Distrust;

pub(crate) use absent::Absent;
pub(crate) use entry::Entry;
pub(crate) use location::Location;
pub use location::LocationError;
pub(crate) use state_backend::StateBackend;
pub(crate) use turn::is_of_a_turn;

/// How long a state provider may take to end.
const CLOSE_PATIENCE: Duration = Duration::from_secs(30);

/// Why state can't be read or written.
#[derive(Debug, thiserror::Error)]
pub enum RecordsError {
    /// A state resource could not be made.
    #[error("cannot make the state resource '{path}': {source}")]
    Create {
        /// The state resource.
        path: MemberPath,
        /// Why.
        source: ClientError,
    },
    /// Its provider is not started.
    #[error("cannot open the state backend '{path}': {reason}")]
    Distrusted {
        /// The state resource.
        path: MemberPath,
        /// Why not.
        reason: Distrust,
    },
    /// State could not be read.
    #[error("cannot read the state backend '{path}': {source}")]
    Read {
        /// The state resource.
        path: MemberPath,
        /// Why.
        source: ClientError,
    },
    /// An event could not be written.
    #[error("cannot write to the state backend '{path}': {source}")]
    Write {
        /// The state resource.
        path: MemberPath,
        /// Why.
        source: ClientError,
    },
    /// Somebody else was quicker to begin, or nobody can write.
    #[error("nothing was applied: cannot write to the state backend '{path}': {source}")]
    Begin {
        /// The state resource.
        path: MemberPath,
        /// Why.
        source: ClientError,
    },
    /// Somebody else has begun, and not ended.
    #[error(
        "nothing was applied: {writer} is applying what this would change, since {time}, and records \
         it in the state backend '{path}'\nhint: wait until they are done, then apply again; who \
         was killed is no longer waited for, on another machine after a minute"
    )]
    AtWork {
        /// The state resource.
        path: MemberPath,
        /// Who is at work.
        writer: String,
        /// Since when.
        time: String,
    },
    /// Its process was lost, and somebody else was quicker.
    #[error(
        "cannot write to the state backend '{path}': its process ended without an answer, and \
         the same was changed by somebody else meanwhile; `nixops4-resources state history` shows \
         by whom"
    )]
    Overtaken {
        /// The state resource.
        path: MemberPath,
    },
    /// What was read is not a state.
    #[error("cannot use the state backend '{path}': {source}")]
    Document {
        /// The state resource.
        path: MemberPath,
        /// Why.
        source: StateError,
    },
    /// A patch of ours does not fit the document.
    #[error("cannot follow the state backend '{path}': {source}")]
    Mirror {
        /// The state resource.
        path: MemberPath,
        /// Why.
        source: state::ApplyError,
    },
    /// There is no state to look at or to change.
    #[error("{0}")]
    Absent(Absent),
    /// A provider that only knows v0.
    #[error(
        "the state backend '{path}' has no history: its provider does not \
         keep one that can be read (`nixops4-resources-state` does; it reads NixOps4's own state files, too: --state \
         file:FILE#DEPLOYMENT)"
    )]
    NoHistory {
        /// The state resource.
        path: MemberPath,
    },
    /// Something can't be renamed.
    #[error("cannot rename '{from}' to '{to}': {source}")]
    Rename {
        /// The old name.
        from: MemberPath,
        /// The new name.
        to: MemberPath,
        /// Why.
        source: state::RenameError,
    },
}

/// A state resource that was opened.
pub(crate) struct Opened {
    pub(crate) backend: StateBackend,
    pub(crate) outputs: Option<nixops4_protocol::Object>,
    pub(crate) note: Option<String>,
    /// Why it could not be read, if it is taken as empty for that.
    pub(crate) reason: Option<String>,
}

/// What one state resource has recorded.
type Entries = BTreeMap<MemberPath, Entry>;

/// Everything that is recorded, as it was when it was read.
#[derive(Clone, Default)]
pub(crate) struct Records {
    backends: BTreeMap<MemberPath, Rc<Mutex<StateBackend>>>,
    locations: BTreeMap<MemberPath, Location>,
    entries: BTreeMap<MemberPath, Entries>,
    /// The outputs of the state resources themselves.
    outputs: BTreeMap<MemberPath, Outputs>,
    /// The state resources that aren't there yet.
    absent: Vec<Absent>,
    /// Where something may be recorded that could not be read.
    lost: Vec<Location>,
    /// What the reader should know.
    notes: Vec<String>,
}

impl Records {
    /// Adds a state resource, and what is recorded in it.
    pub(crate) fn add(
        &mut self,
        location: &Location,
        mut opened: Opened,
    ) -> Result<(), RecordsError> {
        let path = location.label.clone();
        let document_error = |source| RecordsError::Document {
            path: path.clone(),
            source,
        };
        state::check(opened.backend.document()).map_err(document_error)?;
        let entries = state::resources(opened.backend.document())
            .map_err(document_error)?
            .into_iter()
            .map(|(path, resource)| (MemberPath(path), Entry::new(resource)))
            .collect();
        opened.backend.fold();
        self.entries.insert(path.clone(), entries);
        self.notes.extend(opened.note);
        if !opened.backend.is_there() {
            self.absent.push(Absent::new(location, opened.reason));
        }
        if let Some(outputs) = opened.outputs {
            self.outputs.insert(path.clone(), outputs.into());
        }
        self.locations.insert(path.clone(), location.clone());
        self.backends
            .insert(path, Rc::new(Mutex::new(opened.backend)));
        Ok(())
    }

    /// Whether the same is recorded here as there, in every state that either has.
    pub(crate) async fn are_as(&self, other: &Self) -> bool {
        if !self.backends.keys().eq(other.backends.keys()) {
            return false;
        }
        for (one, other) in self.backends.values().zip(other.backends.values()) {
            if !one.lock().await.is_as(&*other.lock().await) {
                return false;
            }
        }
        true
    }

    /// Adds all that is open in `other`.
    pub(crate) fn append(&mut self, mut other: Self) {
        self.backends.append(&mut other.backends);
        self.locations.append(&mut other.locations);
        self.entries.append(&mut other.entries);
        self.outputs.append(&mut other.outputs);
        self.absent.append(&mut other.absent);
        self.lost.append(&mut other.lost);
        self.notes.append(&mut other.notes);
    }

    /// Notes that what is recorded somewhere is not known. The expression does not
    /// have that place any more, so that everything else goes on.
    pub(crate) fn lose(&mut self, location: Location, error: &RecordsError) {
        if self.lost.contains(&location) {
            return;
        }
        self.notes.push(format!(
            "'{}' left the expression, and what is recorded in {location} is left alone: {error}",
            location.label
        ));
        self.lost.push(location);
    }

    /// Where something may be recorded that could not be read.
    pub(crate) fn lost(&self) -> &[Location] {
        &self.lost
    }

    /// Whether anything is recorded in a state resource.
    pub(crate) fn is_used(&self, path: &MemberPath) -> bool {
        self.entries
            .get(path)
            .is_some_and(|entries| !entries.is_empty())
    }

    /// Whether a state resource is open.
    pub(crate) fn is_open(&self, path: &MemberPath) -> bool {
        self.backends.contains_key(path)
    }

    /// The state resources that are open.
    pub(crate) fn open_paths(&self) -> impl Iterator<Item = &MemberPath> {
        self.backends.keys()
    }

    /// Where they are.
    pub(crate) fn locations(&self) -> impl Iterator<Item = &Location> {
        self.locations.values()
    }

    /// The state resource that records this.
    pub(crate) fn backend(&self, path: &MemberPath) -> Option<Rc<Mutex<StateBackend>>> {
        self.backends.get(path).cloned()
    }

    /// What is recorded of a member.
    pub(crate) fn of(&self, member: &Member) -> Option<&Entry> {
        self.entries.get(member.state.as_ref()?)?.get(&member.path)
    }

    /// Everything that is recorded: by which state resource, of which member.
    pub(crate) fn all(&self) -> impl Iterator<Item = (&MemberPath, &MemberPath, &Entry)> {
        self.entries.iter().flat_map(|(backend, entries)| {
            entries
                .iter()
                .map(move |(path, recorded)| (backend, path, recorded))
        })
    }

    /// The outputs of the open state resources.
    pub(crate) fn outputs(&self) -> &BTreeMap<MemberPath, Outputs> {
        &self.outputs
    }

    /// The state resources that aren't there yet.
    pub(crate) fn absent(&self) -> &[Absent] {
        &self.absent
    }

    /// Fails if one of these state resources isn't there: what it has recorded is
    /// not known, rather than nothing.
    pub(crate) fn refuse_absent(
        &self,
        is_meant: impl Fn(&MemberPath) -> bool,
    ) -> Result<(), RecordsError> {
        match self.absent.iter().find(|absent| is_meant(&absent.path)) {
            Some(absent) => Err(RecordsError::Absent(absent.clone())),
            None => Ok(()),
        }
    }

    /// What the reader should know.
    pub(crate) fn notes(&self) -> &[String] {
        &self.notes
    }

    /// Adds to what the reader should know.
    pub(crate) fn note(&mut self, note: String) {
        self.notes.push(note);
    }

    /// Says in each state that an apply begins, and which members recorded there it
    /// changes.
    pub(crate) async fn begin<'a>(
        &self,
        members: impl IntoIterator<Item = &'a Member>,
    ) -> Result<(), RecordsError> {
        let mut by_state: BTreeMap<&MemberPath, Vec<&MemberPath>> = BTreeMap::new();
        for member in members {
            if let Some(state) = &member.state {
                by_state.entry(state).or_default().push(&member.path);
            }
        }
        for (state, members) in by_state {
            if let Some(backend) = self.backends.get(state) {
                backend.lock().await.begin(&members).await?;
            }
        }
        Ok(())
    }

    /// Says that it has ended.
    pub(crate) async fn end(&self) {
        for backend in self.backends.values() {
            backend.lock().await.end().await;
        }
    }

    /// Lets the state providers end.
    pub(crate) async fn close(&self) {
        for backend in self.backends.values() {
            backend.lock().await.close().await;
        }
    }
}
