//! What is recorded, looked at, renamed, forgotten, checked and moved.
//!
//! Knows records and their events; it asks no provider but those that keep state.

mod change;
pub(crate) mod error;
mod history;
mod look;
mod touched;
mod transfer;
mod verify;

use std::rc::Rc;

use tokio::sync::Mutex;

use crate::backend::{self, OpenMode, Source};
use crate::failure::Failure;
use crate::member::MemberPath;
use crate::records::{Entry, Records, StateBackend};
use crate::session::Session;

pub use error::StateError;
pub use transfer::{Copied, ExportedEvent, Given};

/// What the states of a deployment are opened for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// They are only looked at.
    Look,
    /// They are changed, and have to be there.
    Change,
    /// Something is put in, and they are made if they aren't there.
    Fill,
}

/// The states of a deployment, or the one that was chosen, open.
pub struct States {
    records: Records,
    backends: Vec<MemberPath>,
}

impl States {
    /// Opens the state at `location`, else those that the expression has; of these only
    /// the one that the member `of` keeps, if one is given.
    ///
    /// Fails if there is none, if nobody can say where it is, or if it can't be read.
    pub async fn open(
        session: &Session,
        location: Option<&str>,
        of: Option<&MemberPath>,
        purpose: Purpose,
    ) -> Result<Self, Failure> {
        let location = location.map(|said| backend::given(session, said));
        let location = location.transpose()?;
        let source = Source::given_or_expression(location.as_ref());
        let mode = match purpose {
            Purpose::Look => OpenMode::Read,
            Purpose::Change => OpenMode::Write,
            Purpose::Fill => OpenMode::CreateIfMissing,
        };
        let mut records = Records::default();
        backend::open(session, source, mode, &mut records).await?;
        let open = records.open_paths().cloned().collect();
        let chosen = match of {
            Some(path) if records.is_open(path) => Ok(vec![path.clone()]),
            Some(path) => Err(StateError::NoBackend {
                path: path.clone(),
                backends: open,
            }
            .into()),
            None => Ok(open),
        };
        let there = chosen.and_then(|backends| {
            records.refuse_absent(|path| backends.contains(path))?;
            Ok(backends)
        });
        match there {
            Ok(backends) => Ok(Self { records, backends }),
            Err(failure) => {
                records.close().await;
                Err(failure)
            }
        }
    }

    /// What the reader should know of how they were found.
    #[must_use]
    pub fn notes(&self) -> &[String] {
        self.records.notes()
    }

    /// Whether there is more than one.
    #[must_use]
    pub fn are_several(&self) -> bool {
        self.backends.len() > 1
    }

    /// Lets the processes end that keep them.
    pub async fn close(&self) {
        self.records.close().await;
    }

    /// The only one.
    fn one(&self) -> Result<(&MemberPath, Rc<Mutex<StateBackend>>), StateError> {
        match &self.backends[..] {
            [] => Err(StateError::None),
            [path] => self
                .records
                .backend(path)
                .map(|backend| (path, backend))
                .ok_or(StateError::None),
            several => Err(StateError::Several(several.to_vec())),
        }
    }

    /// The one that has something at or below `path` recorded.
    fn that_has(
        &self,
        path: &MemberPath,
    ) -> Result<(&MemberPath, Rc<Mutex<StateBackend>>), StateError> {
        let mut having = self.backends.iter().filter(|backend| {
            self.recorded()
                .any(|(other, recorded, _)| other == *backend && recorded.is_within(path))
        });
        let Some(first) = having.next() else {
            return Err(StateError::NotRecorded(path.clone()));
        };
        let others: Vec<MemberPath> = having.cloned().collect();
        if !others.is_empty() {
            let all = std::iter::once(first.clone()).chain(others);
            return Err(StateError::Several(all.collect()));
        }
        let backend = self.records.backend(first).ok_or(StateError::None)?;
        Ok((first, backend))
    }

    /// All that they have recorded.
    fn recorded(&self) -> impl Iterator<Item = (&MemberPath, &MemberPath, &Entry)> {
        self.records
            .all()
            .filter(|(backend, _, _)| self.backends.contains(backend))
    }
}
