//! Who is told what happens and is asked: whatever uses this engine implements it, such
//! as a terminal or a panel.

use std::io;

use futures_util::future::LocalBoxFuture;

use crate::report::{Event, RemovalReport};

/// Takes what a command tells while it works, and answers its questions.
///
/// Nothing that is told depends on who listens, so that an implementation may drop what
/// it has no use for. All of it may have been written by others: what is shown on a
/// terminal has to go through [`text`](crate::text).
pub trait Frontend: Send + Sync {
    /// Something happened in a plan, an apply, an import or a removal.
    fn event(&self, event: &Event);

    /// A line for whoever watches: what Nix (`nix`) or the provider of a member (its
    /// path) said on stderr, or a remark of the engine's own (`note`). A member that is
    /// called like one of these words stands in quotes.
    fn said(&self, who: &str, line: &str);

    /// Asks before something is removed. The report was told before, as
    /// [`Event::Removal`]. Fails if the answer could not be read.
    ///
    /// The future is dropped if the user stops the command before there is an answer.
    fn confirm<'a>(&'a self, removal: &'a RemovalReport) -> LocalBoxFuture<'a, io::Result<Answer>>;
}

/// What came of a question.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// It is to be done.
    Yes,
    /// It is not.
    No,
    /// There is nobody to ask, so that it is not done.
    Nobody,
}
