//! The command line of `state`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use crate::member::MemberPath;

/// Arguments of state.
#[derive(Debug, Args)]
pub(crate) struct State {
    /// Where the state is, if not where the expression says:
    /// `sqlite:FILE#DEPLOYMENT`, `file:FILE#DEPLOYMENT`, JSON
    /// `{"type": ..., "inputs": {...}}`, or @ and a file with that JSON.
    #[arg(long = "state", global = true, value_name = "LOCATION")]
    pub(crate) location: Option<String>,
    /// Only the state that this member keeps.
    #[arg(long, global = true, value_name = "PATH")]
    pub(crate) kept_by: Option<MemberPath>,
    #[command(subcommand)]
    pub(crate) what: What,
}

/// What to do with the state.
#[derive(Debug, Subcommand)]
pub(crate) enum What {
    /// List what is recorded.
    List {
        /// Only these members, and what is below them.
        #[arg(value_name = "PATH")]
        paths: Vec<MemberPath>,
    },
    /// Show what is recorded of one resource. Secrets are never recorded, only
    /// references to them.
    Show {
        /// The resource.
        #[arg(value_name = "PATH")]
        path: MemberPath,
    },
    /// Give what is recorded another name, without touching the thing itself.
    ///
    /// Rename the member in the expression, then this, then apply: nothing is
    /// made anew. A composite is moved with all that is in it.
    Mv {
        /// The old name.
        #[arg(value_name = "FROM")]
        from: MemberPath,
        /// The new name.
        #[arg(value_name = "TO")]
        to: MemberPath,
    },
    /// Forget what is recorded, and leave the things themselves as they are.
    ///
    /// Nobody looks after them from then on. To remove them, use destroy.
    Rm {
        /// These members, and what is below them.
        #[arg(value_name = "PATH", required = true)]
        paths: Vec<MemberPath>,
        /// Do not ask.
        #[arg(short, long)]
        yes: bool,
    },
    /// List every change with when, who and what, the oldest first.
    History {
        /// Only of these members, and what is below them.
        #[arg(value_name = "PATH")]
        paths: Vec<MemberPath>,
        /// Only the last ones.
        #[arg(long, value_name = "N")]
        last: Option<usize>,
    },
    /// Check that the state is whole: that its events can be read, follow one
    /// another, and add up to what is recorded.
    Verify,
    /// Write the state down, or copy it to another place.
    ///
    /// Without --to it prints a state file as NixOps4's own provider keeps it,
    /// with all events, which `state import` and that provider read.
    Export {
        /// Copy it to this member's place, or to a LOCATION as for --state;
        /// nothing may be recorded there.
        #[arg(long, value_name = "PATH or LOCATION")]
        to: Option<String>,
        /// Print only what is recorded now, not how it came to be.
        #[arg(long, conflicts_with = "to")]
        document: bool,
    },
    /// Read a state that was exported, or NixOps4's own state file, into this one;
    /// nothing may be recorded there yet.
    Import {
        /// The file, or - for stdin.
        #[arg(value_name = "FILE")]
        exported: PathBuf,
    },
}
