//! The command line of `state`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use crate::candidates;
use crate::member::MemberPath;

/// Arguments of state.
#[derive(Debug, Args)]
pub(crate) struct State {
    /// Location of the state, if it is not where the deployment file says:
    /// `sqlite:FILE#DEPLOYMENT`, `file:FILE#DEPLOYMENT`, JSON
    /// `{"type": ..., "inputs": {...}}`, or @ and a file with that JSON.
    #[arg(long = "state", global = true, value_name = "LOCATION")]
    pub(crate) location: Option<String>,
    /// Only the state backend that is this member.
    #[arg(
        long = "state-member",
        alias = "kept-by",
        global = true,
        value_name = "PATH",
        add = candidates::members()
    )]
    pub(crate) member: Option<MemberPath>,
    #[command(subcommand)]
    pub(crate) what: What,
}

/// What to do with the state.
#[derive(Debug, Subcommand)]
pub(crate) enum What {
    /// List the recorded resources.
    List {
        /// Only these members and the members in them.
        #[arg(value_name = "PATH", add = candidates::members())]
        paths: Vec<MemberPath>,
    },
    /// Show the record of one resource. Secrets are never recorded, only references to
    /// them.
    Show {
        /// The resource.
        #[arg(value_name = "PATH", add = candidates::members())]
        path: MemberPath,
    },
    /// Rename a record, without changing the resource.
    ///
    /// Rename the member in the deployment file, run this, then apply: nothing is replaced.
    /// A composite is moved with everything in it.
    Mv {
        /// The old name.
        #[arg(value_name = "FROM", add = candidates::members())]
        from: MemberPath,
        /// The new name.
        #[arg(value_name = "TO", add = candidates::members())]
        to: MemberPath,
    },
    /// Remove records, and leave the resources as they are.
    ///
    /// The resources are no longer managed. To remove them, use destroy.
    Rm {
        /// These members and the members in them.
        #[arg(value_name = "PATH", required = true, add = candidates::members())]
        paths: Vec<MemberPath>,
        /// Do not ask for confirmation.
        #[arg(short, long)]
        yes: bool,
    },
    /// List all changes, oldest first: when, who and what.
    History {
        /// Only these members and the members in them.
        #[arg(value_name = "PATH", add = candidates::members())]
        paths: Vec<MemberPath>,
        /// Only the most recent N.
        #[arg(long, value_name = "N")]
        last: Option<usize>,
    },
    /// Check the integrity of the state: its events can be read, none is missing, and they
    /// add up to the recorded resources.
    Verify,
    /// Print the state, or copy it to another location.
    ///
    /// Without --to, prints all events in the format of NixOps4's own state file, which
    /// `state import` and NixOps4's provider read.
    Export {
        /// Copy the state to this member, or to a LOCATION as for --state. It must be empty.
        #[arg(long, value_name = "PATH or LOCATION")]
        to: Option<String>,
        /// Print only the recorded resources, without their history.
        #[arg(long, conflicts_with = "to")]
        document: bool,
    },
    /// Import an exported state, or NixOps4's own state file. The state must be empty.
    Import {
        /// The file, or - for stdin.
        #[arg(value_name = "FILE")]
        exported: PathBuf,
    },
}
