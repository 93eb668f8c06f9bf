//! Why something can't be done with the state, as the user names parts of it.

use nixops4_protocol::state::StateError as DocumentError;

use crate::member::MemberPath;

/// Why something can't be done with the state.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// There is nothing under that name.
    #[error("nothing is recorded at '{0}'; `nixops4-resources state list` shows what is")]
    NotRecorded(MemberPath),
    /// More than one state, and nobody said which.
    #[error(
        "this deployment has several state backends, {}: choose one with --state-member PATH",
        names(.0)
    )]
    Several(Vec<MemberPath>),
    /// No state at all.
    #[error("this deployment has no state backend")]
    None,
    /// The member keeps no state.
    #[error("'{path}' is no state backend of this deployment; there are {}", names(.backends))]
    NoBackend {
        /// The member.
        path: MemberPath,
        /// Those that do.
        backends: Vec<MemberPath>,
    },
    /// The root has no name.
    #[error("'{0}' can't be renamed or forgotten as a whole; name members")]
    Root(MemberPath),
    /// The place to copy to has something in it.
    #[error(
        "the state backend '{path}' already has {number} resources recorded; nothing was \
         changed. Give a place with nothing in it, or forget what is in it with `state rm`"
    )]
    NotEmpty {
        /// The state resource.
        path: MemberPath,
        /// How many resources are recorded there.
        number: usize,
    },
    /// What was given to be imported is no state.
    #[error("{file} can't be imported: {reason}; nothing was changed")]
    NoState {
        /// What was given.
        file: String,
        /// Why it is none.
        reason: String,
    },
    /// It stops short of being understood.
    #[error("cannot use the state: {0}")]
    Document(#[from] DocumentError),
}

fn names(paths: &[MemberPath]) -> String {
    let names: Vec<String> = paths.iter().map(|path| format!("'{path}'")).collect();
    if names.is_empty() {
        "none".to_owned()
    } else {
        names.join(", ")
    }
}
