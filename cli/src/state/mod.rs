//! `state`: what is recorded, looked at, renamed, forgotten, checked and moved.
//!
//! Knows records and their events; it asks no provider but those that keep state.

pub(crate) mod args;
mod change;
mod history;
mod look;
mod touched;
mod transfer;
mod verify;

use std::rc::Rc;
use std::sync::Arc;

use nixops4_protocol::state::StateError as DocumentError;
use tokio::sync::Mutex;

use crate::commands::Ending;
use crate::failure::Failure;
use crate::member::MemberPath;
use crate::records::{Keeper, Opening, Records};
use crate::session::Session;
use crate::whereabouts;
use args::{State, What};
use transfer::Given;

/// Why something can't be done with the state.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StateError {
    /// There is nothing under that name.
    #[error("nothing is recorded at '{0}'; `nixops4-resources state list` shows what is")]
    NotRecorded(MemberPath),
    /// More than one state, and nobody said which.
    #[error(
        "this deployment has several states, kept by {}: say which with --kept-by PATH",
        names(.0)
    )]
    Several(Vec<MemberPath>),
    /// No state at all.
    #[error("this deployment keeps no state")]
    None,
    /// The member keeps no state.
    #[error("'{path}' keeps no state of this deployment; {} do", names(.keepers))]
    NoKeeper {
        path: MemberPath,
        keepers: Vec<MemberPath>,
    },
    /// The root has no name.
    #[error("'{0}' can't be renamed or forgotten as a whole; name members")]
    Root(MemberPath),
    /// Nobody said yes.
    #[error("nothing was forgotten: {0}")]
    NotConfirmed(&'static str),
    /// The place to copy to has something in it.
    #[error(
        "the state that '{path}' keeps has {number} resources recorded in it already; nothing was \
         changed. Give a place with nothing in it, or forget what is in it with `state rm`"
    )]
    NotEmpty { path: MemberPath, number: usize },
    /// What was given to be imported is no state.
    #[error("{file} can't be imported: {reason}; nothing was changed")]
    NoState { file: String, reason: String },
    /// It stops short of being understood.
    #[error("cannot use the state: {0}")]
    Document(#[from] DocumentError),
}

/// Does what was asked.
pub(crate) async fn run(session: &Session, arguments: &State) -> Result<Ending, Failure> {
    let opening = match &arguments.what {
        What::Mv { .. } | What::Rm { .. } => Opening::Change,
        What::Import { .. } => Opening::Make,
        _ => Opening::Look,
    };
    // Before anything is made for it.
    let given = match &arguments.what {
        What::Import { exported } => Some(transfer::given(exported)?),
        _ => None,
    };
    let records = whereabouts::open(session, arguments.location.as_deref(), opening).await?;
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

fn names(paths: &[MemberPath]) -> String {
    let names: Vec<String> = paths.iter().map(|path| format!("'{path}'")).collect();
    if names.is_empty() {
        "none".to_owned()
    } else {
        names.join(", ")
    }
}
