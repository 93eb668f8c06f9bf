//! `state`: what is recorded, looked at, renamed, forgotten, checked and moved.
//!
//! Knows records and their events; it asks no provider but those that keep state.

pub(crate) mod args;
mod change;
pub(crate) mod error;
mod history;
mod look;
mod touched;
mod transfer;
mod verify;

use std::rc::Rc;
use std::sync::Arc;

use tokio::sync::Mutex;

use crate::backend::{self, OpenMode, Source};
use crate::ending::Ending;
use crate::failure::Failure;
use crate::member::MemberPath;
use crate::records::{Keeper, Records};
use crate::session::Session;
use args::{State, What};
use error::StateError;
use transfer::Given;

/// Does what was asked.
pub(crate) async fn run(session: &Session, arguments: &State) -> Result<Ending, Failure> {
    let mode = match &arguments.what {
        What::Mv { .. } | What::Rm { .. } => OpenMode::Write,
        What::Import { .. } => OpenMode::CreateIfMissing,
        _ => OpenMode::Read,
    };
    // Before anything is made for it.
    let given = match &arguments.what {
        What::Import { exported } => Some(transfer::given(exported)?),
        _ => None,
    };
    let location = arguments.location.as_deref();
    let location = location
        .map(|said| backend::given(session, said))
        .transpose()?;
    let source = Source::given_or_expression(location.as_ref());
    let mut records = Records::default();
    backend::open(session, source, mode, &mut records).await?;
    let done = dispatch(session, arguments, &records, given).await;
    records.close().await;
    session.providers.close().await;
    done
}

async fn dispatch(
    session: &Session,
    arguments: &State,
    records: &Records,
    given: Option<Given>,
) -> Result<Ending, Failure> {
    let ui = &session.ui;
    let kept_by = arguments.kept_by.as_ref();
    let keepers = match kept_by {
        Some(path) if records.is_open(path) => vec![path.clone()],
        Some(path) => {
            return Err(StateError::NoKeeper {
                path: path.clone(),
                keepers: records.open_paths().cloned().collect(),
            }
            .into());
        }
        None => records.open_paths().cloned().collect(),
    };
    records.refuse_absent(|path| keepers.contains(path))?;
    for note in records.notes() {
        ui.said("note", note);
    }
    let chosen = Chosen { records, keepers };
    match &arguments.what {
        What::List { paths } => look::list(ui, &chosen, paths),
        What::Show { path } => look::show(ui, &chosen, path),
        What::Mv { from, to } => change::mv(ui, &chosen, from, to).await,
        What::Rm { paths, yes } => change::rm(ui, &chosen, paths, *yes).await,
        What::History { paths, last } => history::history(ui, &chosen, paths, *last).await,
        What::Verify => verify::verify(ui, &chosen).await,
        What::Export { to, document } => {
            transfer::export(session, &chosen, to.as_deref(), *document).await
        }
        What::Import { .. } => match given {
            Some(given) => transfer::import(ui, &chosen, given).await,
            None => Ok(Ending::Done),
        },
    }
}

/// The states that are meant.
struct Chosen<'a> {
    records: &'a Records,
    keepers: Vec<MemberPath>,
}

impl Chosen<'_> {
    /// The only one.
    fn one(&self) -> Result<(&MemberPath, Rc<Mutex<Keeper>>), StateError> {
        match &self.keepers[..] {
            [] => Err(StateError::None),
            [path] => self
                .records
                .keeper(path)
                .map(|keeper| (path, keeper))
                .ok_or(StateError::None),
            several => Err(StateError::Several(several.to_vec())),
        }
    }

    /// The one that has something at or below `path` recorded.
    fn that_has(&self, path: &MemberPath) -> Result<(&MemberPath, Rc<Mutex<Keeper>>), StateError> {
        let mut having = self.keepers.iter().filter(|keeper| {
            self.recorded()
                .any(|(other, recorded, _)| other == *keeper && recorded.is_within(path))
        });
        let Some(first) = having.next() else {
            return Err(StateError::NotRecorded(path.clone()));
        };
        let others: Vec<MemberPath> = having.cloned().collect();
        if !others.is_empty() {
            let all = std::iter::once(first.clone()).chain(others);
            return Err(StateError::Several(all.collect()));
        }
        let keeper = self.records.keeper(first).ok_or(StateError::None)?;
        Ok((first, keeper))
    }

    /// All that they have recorded.
    fn recorded(
        &self,
    ) -> impl Iterator<
        Item = (
            &MemberPath,
            &MemberPath,
            &Arc<nixops4_protocol::state::RecordedResource>,
        ),
    > {
        self.records
            .all()
            .filter(|(keeper, _, _)| self.keepers.contains(keeper))
    }
}
