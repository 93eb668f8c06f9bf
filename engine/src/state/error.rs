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
        /// The member.
        path: MemberPath,
        /// Those that do.
        keepers: Vec<MemberPath>,
    },
    /// The root has no name.
    #[error("'{0}' can't be renamed or forgotten as a whole; name members")]
    Root(MemberPath),
    /// The place to copy to has something in it.
    #[error(
        "the state that '{path}' keeps has {number} resources recorded in it already; nothing was \
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
