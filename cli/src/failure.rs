//! Why the command as a whole failed.

use std::collections::BTreeSet;

use crate::eval::EvalError;
use crate::member::{MemberPath, OutputRef};
use crate::records::RecordsError;

/// Something about one member that its author has to change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Problem {
    pub(crate) path: MemberPath,
    pub(crate) message: String,
}

/// Why the command failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// The expression.
    #[error(transparent)]
    Eval(#[from] EvalError),
    /// The state.
    #[error(transparent)]
    Records(#[from] RecordsError),
    /// What has to be changed before anything is applied.
    #[error("{}", list(.0))]
    Problems(Vec<Problem>),
    /// What providers refuse to do.
    #[error("nothing was applied, because this is refused:\n{}", list(.0))]
    Refused(Vec<Problem>),
    /// A state that is not a member.
    #[error("the state of {} is '{path}', and there is no such member", names(by))]
    NoSuchState {
        path: MemberPath,
        by: Vec<MemberPath>,
    },
    /// A state resource that names a state.
    #[error("the state resource '{path}' names a state itself ('{state}'): set its state to null")]
    StateOfState { path: MemberPath, state: MemberPath },
    /// The survey went on and on.
    #[error("the deployment does not settle: what members want depends on each other in circles")]
    Unstable,
    /// Members that wait for each other.
    #[error("nothing can go on, as members wait for each other:\n{}", circle(.0))]
    Circle(Vec<(MemberPath, BTreeSet<OutputRef>)>),
    /// Bad use of the command.
    #[error("{0}")]
    Usage(String),
    /// A provider's answer to a single request.
    #[error("{0}")]
    Provider(String),
    /// A store of secrets.
    #[error(transparent)]
    Secrets(#[from] nixops4_secrets_store::Error),
    /// A secret that is not shown or kept like that.
    #[error("{0}")]
    SecretRefused(String),
    /// Something could not be read or written.
    #[error("{0}: {1}")]
    Io(String, #[source] std::io::Error),
    /// Ctrl-C.
    #[error("interrupted")]
    Interrupted,
}

fn list(problems: &[Problem]) -> String {
    let mut lines = Vec::new();
    for problem in problems {
        let mut message = problem.message.lines();
        lines.push(format!(
            "{}: {}",
            problem.path,
            message.next().unwrap_or_default()
        ));
        lines.extend(message.map(|line| format!("  {line}")));
    }
    lines.join("\n")
}

fn names(paths: &[MemberPath]) -> String {
    let names: Vec<String> = paths.iter().map(|path| format!("'{path}'")).collect();
    names.join(", ")
}

fn circle(left: &[(MemberPath, BTreeSet<OutputRef>)]) -> String {
    let lines: Vec<String> = left
        .iter()
        .map(|(path, waits_for)| {
            let waits: Vec<String> = waits_for.iter().map(ToString::to_string).collect();
            format!("  {path} waits for {}", waits.join(", "))
        })
        .collect();
    lines.join("\n")
}
