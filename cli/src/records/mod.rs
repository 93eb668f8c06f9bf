//! What is recorded of the deployment, through the resources that keep it.
//!
//! Knows state documents and the requests that read and extend them.

mod absent;
mod keeper;
mod location;
mod opening;
mod turn;

use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use nixops4_protocol::Object;
use nixops4_protocol::client::ClientError;
use nixops4_protocol::state::{self, RecordedResource, StateError};
use tokio::sync::Mutex;

use crate::eval::Member;
use crate::member::MemberPath;
use crate::session::Session;
use crate::trust::Distrust;

pub(crate) use absent::Absent;
pub(crate) use keeper::Keeper;
pub(crate) use location::Location;
pub(crate) use turn::is_of_a_turn;

/// How long a state provider may take to end.
const CLOSE_PATIENCE: Duration = Duration::from_secs(30);

/// Why state can't be read or written.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RecordsError {
    /// A state resource could not be made.
    #[error("cannot make the state resource '{path}': {source}")]
    Create {
        path: MemberPath,
        source: ClientError,
    },
    /// Its provider is not started.
    #[error("cannot open the state that '{path}' keeps: {reason}")]
    Distrusted { path: MemberPath, reason: Distrust },
    /// State could not be read.
    #[error("cannot read the state that '{path}' keeps: {source}")]
    Read {
        path: MemberPath,
        source: ClientError,
    },
    /// An event could not be written.
    #[error("cannot write into the state that '{path}' keeps: {source}")]
    Write {
        path: MemberPath,
        source: ClientError,
    },
    /// Somebody else was quicker to begin, or nobody can write.
    #[error("nothing was applied: cannot write into the state that '{path}' keeps: {source}")]
    Begin {
        path: MemberPath,
        source: ClientError,
    },
    /// Somebody else has begun, and not ended.
    #[error(
        "nothing was applied: {writer} is applying what this would change, since {time}, and records \
         it in the state that '{path}' keeps\nhint: wait until they are done, then apply again; who \
         was killed is no longer waited for, on another machine after a minute"
    )]
    AtWork {
        path: MemberPath,
        writer: String,
        time: String,
    },
    /// Its process was lost, and somebody else was quicker.
    #[error(
        "cannot write into the state that '{path}' keeps: its process ended without an answer, and \
         the same was changed by somebody else meanwhile; `nixops4-resources state history` shows \
         by whom"
    )]
    Overtaken { path: MemberPath },
    /// What was read is not a state.
    #[error("cannot use the state that '{path}' keeps: {source}")]
    Document {
        path: MemberPath,
        source: StateError,
    },
    /// A patch of ours does not fit the document.
    #[error("cannot follow the state that '{path}' keeps: {source}")]
    Mirror {
        path: MemberPath,
        source: state::ApplyError,
    },
    /// There is no state to look at or to change.
    #[error("{0}")]
    Absent(Absent),
    /// A provider that only knows v0.
    #[error(
        "the state that '{path}' keeps has no history that anybody can read: its provider does not \
         tell any (`nixops4-resources-state` does; it reads NixOps4's own state files, too: --state \
         file:FILE#DEPLOYMENT)"
    )]
    NoHistory { path: MemberPath },
    /// Something can't be renamed.
    #[error("cannot rename '{from}' to '{to}': {source}")]
    Rename {
        from: MemberPath,
        to: MemberPath,
        source: state::RenameError,
    },
}

/// How a state resource is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Opening {
    /// Nothing is changed: state that isn't there yet is empty, and whoever goes by
    /// what is recorded refuses it ([`Records::refuse_absent`]).
    Look,
    /// It is to be changed, so it has to be there.
    Change,
    /// The place is made if it isn't there, as upstream does at each apply.
    Make,
}

/// What one state resource has recorded.
type Entries = BTreeMap<MemberPath, Arc<RecordedResource>>;

/// Everything that is recorded, as it was when it was read.
#[derive(Clone, Default)]
pub(crate) struct Records {
    keepers: BTreeMap<MemberPath, Rc<Mutex<Keeper>>>,
    locations: BTreeMap<MemberPath, Location>,
    entries: BTreeMap<MemberPath, Entries>,
    /// The outputs of the state resources themselves.
    outputs: BTreeMap<MemberPath, Object>,
    /// The state resources that aren't there yet.
    absent: Vec<Absent>,
    /// Where something may be recorded that could not be read.
    lost: Vec<Location>,
    /// What the reader should know.
    notes: Vec<String>,
}

impl Records {
    /// Opens one more state resource and reads it.
    pub(crate) async fn open(
        &mut self,
        session: &Session,
        location: &Location,
        opening: Opening,
    ) -> Result<(), RecordsError> {
        let opened = opening::open(session, location, opening).await?;
        let path = location.label.clone();
        let document_error = |source| RecordsError::Document {
            path: path.clone(),
            source,
        };
        state::check(opened.keeper.document()).map_err(document_error)?;
        let entries = state::resources(opened.keeper.document())
            .map_err(document_error)?
            .into_iter()
            .map(|(path, resource)| (MemberPath(path), Arc::new(resource)))
            .collect();
        self.entries.insert(path.clone(), entries);
        self.notes.extend(opened.note);
        if !opened.keeper.is_there() {
            self.absent.push(Absent::new(location, opened.reason));
        }
        if let Some(outputs) = opened.outputs {
            self.outputs.insert(path.clone(), outputs);
        }
        self.locations.insert(path.clone(), location.clone());
        self.keepers
            .insert(path, Rc::new(Mutex::new(opened.keeper)));
        Ok(())
    }

    /// Whether the same is recorded here as there, in every state that either has.
    pub(crate) async fn are_as(&self, other: &Self) -> bool {
        if !self.keepers.keys().eq(other.keepers.keys()) {
            return false;
        }
        for (one, other) in self.keepers.values().zip(other.keepers.values()) {
            if one.lock().await.document() != other.lock().await.document() {
                return false;
            }
        }
        true
    }

    /// The same, if it is there and something is recorded in it; says whether it is.
    pub(crate) async fn open_if_used(
        &mut self,
        session: &Session,
        location: &Location,
    ) -> Result<bool, RecordsError> {
        let mut alone = Self::default();
        alone.open(session, location, Opening::Look).await?;
        if alone.all().next().is_none() {
            alone.close().await;
            return Ok(false);
        }
        self.keepers.append(&mut alone.keepers);
        self.locations.append(&mut alone.locations);
        self.entries.append(&mut alone.entries);
        self.outputs.append(&mut alone.outputs);
        self.notes.append(&mut alone.notes);
        Ok(true)
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
        self.keepers.contains_key(path)
    }

    /// The state resources that are open.
    pub(crate) fn open_paths(&self) -> impl Iterator<Item = &MemberPath> {
        self.keepers.keys()
    }

    /// Where they are.
    pub(crate) fn locations(&self) -> impl Iterator<Item = &Location> {
        self.locations.values()
    }

    /// The state resource that records this.
    pub(crate) fn keeper(&self, path: &MemberPath) -> Option<Rc<Mutex<Keeper>>> {
        self.keepers.get(path).cloned()
    }

    /// What is recorded of a member.
    pub(crate) fn of(&self, member: &Member) -> Option<&Arc<RecordedResource>> {
        self.entries.get(member.state.as_ref()?)?.get(&member.path)
    }

    /// Everything that is recorded: by which state resource, of which member.
    pub(crate) fn all(
        &self,
    ) -> impl Iterator<Item = (&MemberPath, &MemberPath, &Arc<RecordedResource>)> {
        self.entries.iter().flat_map(|(keeper, entries)| {
            entries
                .iter()
                .map(move |(path, recorded)| (keeper, path, recorded))
        })
    }

    /// The outputs of the open state resources.
    pub(crate) fn outputs(&self) -> &BTreeMap<MemberPath, Object> {
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
            if let Some(keeper) = self.keepers.get(state) {
                keeper.lock().await.begin(&members).await?;
            }
        }
        Ok(())
    }

    /// Says that it has ended.
    pub(crate) async fn end(&self) {
        for keeper in self.keepers.values() {
            keeper.lock().await.end().await;
        }
    }

    /// Lets the state providers end.
    pub(crate) async fn close(&self) {
        for keeper in self.keepers.values() {
            keeper.lock().await.close().await;
        }
    }
}
