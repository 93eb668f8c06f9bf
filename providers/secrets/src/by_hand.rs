//! What a person does by hand before there is a store: `keygen`. The rest is
//! `nixops4-resources secret`.

use std::ffi::{OsStr, OsString};
use std::io::Write as _;
use std::process::ExitCode;

use lexopt::prelude::*;
use nixops4_provider_sdk::{Error, Result};
use nixops4_secrets_store::Identities;

const USAGE: &str = "\
usage: nixops4-resources-secrets keygen FILE

keygen  makes an identity that opens secrets stores, in a new file

Without arguments it is a provider. `nixops4-resources secret` looks after stores.";

/// A thing to do by hand.
pub(crate) enum Command {
    Keygen { file: OsString },
    Help,
}

impl Command {
    /// Reads the arguments; `None` if they are not for here.
    pub(crate) fn from_arguments(
        arguments: impl IntoIterator<Item = OsString>,
    ) -> Option<Result<Self, lexopt::Error>> {
        let mut parser = lexopt::Parser::from_args(arguments);
        match parser.next() {
            Ok(Some(Value(word))) if word == "keygen" => Some(Self::keygen(parser)),
            Ok(Some(Long("help") | Short('h'))) => Some(Ok(Self::Help)),
            _ => None,
        }
    }

    fn keygen(mut parser: lexopt::Parser) -> Result<Self, lexopt::Error> {
        let mut file = None;
        while let Some(argument) = parser.next()? {
            match argument {
                Value(path) if file.is_none() => file = Some(path),
                Long("help") => return Ok(Self::Help),
                other => return Err(other.unexpected()),
            }
        }
        Ok(Self::Keygen {
            file: file.ok_or("which file is missing")?,
        })
    }

    /// Does it; says on stderr what went wrong.
    pub(crate) fn run(self) -> ExitCode {
        let done = match self {
            Self::Keygen { file } => keygen(&file),
            Self::Help => print(USAGE),
        };
        match done {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => complain(&error.to_string()),
        }
    }
}

/// Says that the arguments are wrong, and what they are.
pub(crate) fn misused(error: &lexopt::Error) -> ExitCode {
    complain(&format!("{error}\n{USAGE}"));
    ExitCode::from(64)
}

fn keygen(file: &OsStr) -> Result<()> {
    let made = Identities::generate(file).map_err(|error| Error::new(error.to_string()))?;
    made.recipients()
        .iter()
        .try_for_each(|recipient| print(&format!("public key: {recipient}")))
}

fn print(text: &str) -> Result<()> {
    writeln!(std::io::stdout(), "{text}")
        .map_err(|error| Error::new("unable to print").because(error))
}

fn complain(message: &str) -> ExitCode {
    // With stderr gone there is nobody to tell.
    let _ = writeln!(std::io::stderr(), "nixops4-resources-secrets: {message}");
    ExitCode::FAILURE
}
