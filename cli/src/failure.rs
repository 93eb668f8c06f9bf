//! Why the command as a whole failed.

use std::collections::BTreeSet;

use crate::eval::EvalError;
use crate::member::{MemberPath, OutputRef};
use crate::records::RecordsError;
use crate::shell;

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
    /// The state, as the user names parts of it.
    #[error(transparent)]
    State(#[from] crate::state::StateError),
    /// What has to be changed before anything is applied.
    #[error("{}", list(.0))]
    Problems(Vec<Problem>),
    /// What providers refuse to do.
    #[error("nothing was applied, because this is refused:\n{}", list(.0))]
    Refused(Vec<Problem>),
    /// What must not be destroyed.
    #[error("nothing was destroyed, because this is refused:\n{}", list(.0))]
    Forbidden(Vec<Problem>),
    /// Nobody said yes.
    #[error("nothing was destroyed: {0}")]
    NotConfirmed(&'static str),
    /// Nothing is recorded there.
    #[error("nothing is recorded at or below '{0}'; `nixops4-resources state list` shows what is")]
    NotRecorded(MemberPath),
    /// It is still in the expression, or was never recorded.
    #[error(
        "nothing at or below '{0}' was removed from the expression; `nixops4-resources plan` \
         lists what was"
    )]
    NotAbandoned(MemberPath),
    /// What is no longer wanted can't be told.
    #[error(
        "nothing was collected, because the deployment is not wholly known before it is applied; \
         apply first:\n{}",
        circle(.0)
    )]
    Incomplete(Vec<(MemberPath, BTreeSet<OutputRef>)>),
    /// The place of the state is an output of something.
    #[error(
        "nobody can say where the state is: {} on what is applied first; say so with \
         --from-state or --state, or apply",
        depends(.0)
    )]
    Whereabouts(Vec<MemberPath>),
    /// The expression is gone.
    #[error("{error}{}", from_state(remembered))]
    NoExpression {
        error: Box<EvalError>,
        remembered: Vec<String>,
    },
    /// Something that can't be imported.
    #[error("'{path}' was not imported: {reason}")]
    Import { path: MemberPath, reason: String },
    /// A path that no member is at.
    #[error("there is no member at or below '{path}'{}", suggestion(members))]
    NoSuchMember {
        path: MemberPath,
        members: Vec<MemberPath>,
    },
    /// A state that is not a member.
    #[error("the state of {} is '{path}', and there is no such member", names(by))]
    NoSuchState {
        path: MemberPath,
        by: Vec<MemberPath>,
    },
    /// A state resource that names a state.
    #[error("the state resource '{path}' names a state itself ('{state}'): set its state to null")]
    StateOfState { path: MemberPath, state: MemberPath },
    /// Somebody else recorded something between looking and writing.
    #[error(
        "nothing was done, because somebody else changed the state meanwhile; \
         `nixops4-resources state history` shows who. Run this again, which goes by what they \
         recorded"
    )]
    Overtaken,
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
    /// Nothing can be done by such a clock.
    #[error(transparent)]
    Clock(#[from] nixops4_secrets_store::clock::WrongClock),
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

fn depends(paths: &[MemberPath]) -> String {
    match paths {
        [] => "which members there are depends".to_owned(),
        paths => format!(
            "{} {}",
            names(paths),
            if paths.len() == 1 {
                "depends"
            } else {
                "depend"
            }
        ),
    }
}

fn from_state(remembered: &[String]) -> String {
    match remembered {
        [] => "\nif it is gone for good, destroy from the state alone with --from-state LOCATION, \
               such as sqlite:FILE#DEPLOYMENT"
            .to_owned(),
        places => format!(
            "\nif it is gone for good, destroy from the state alone; at the last apply that was\n{}",
            places
                .iter()
                .map(|place| format!("  --from-state {}", shell::quoted(place)))
                .collect::<Vec<_>>()
                .join("\n")
        ),
    }
}

fn suggestion(members: &[MemberPath]) -> String {
    match members {
        [] => String::new(),
        members => format!("; there are {}", names(members)),
    }
}

fn circle(left: &[(MemberPath, BTreeSet<OutputRef>)]) -> String {
    let lines: Vec<String> = left
        .iter()
        .map(|(path, waits_for)| {
            let waits: Vec<String> = waits_for.iter().map(ToString::to_string).collect();
            match waits[..] {
                [] => format!("  {path}"),
                _ => format!("  {path} waits for {}", waits.join(", ")),
            }
        })
        .collect();
    lines.join("\n")
}
