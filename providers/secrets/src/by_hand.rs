//! What a person does with a store by hand: `keygen` and `show`.

use std::ffi::{OsStr, OsString};
use std::io::{IsTerminal as _, Write as _};
use std::process::ExitCode;

use lexopt::prelude::*;
use nixops4_provider_sdk::secret::existing_store;
use nixops4_provider_sdk::{Error, ExposeSecret as _, Result};
use nixops4_secrets_store::{Generation, Identities, SecretName};

const USAGE: &str = "\
usage: nixops4-resources-secrets keygen FILE
       nixops4-resources-secrets show NAME [--store STORE] [--generation N] [--on-terminal]

keygen  makes an identity that opens secrets stores, in a new file
show    prints a secret of a store on stdout; on a terminal only if told to

NIXOPS4_SECRETS_STORES says where the stores are (\"main=sqlite:/path/to/file\"),
NIXOPS4_SECRETS_IDENTITY names the file with the identity that opens them.";

/// A thing to do by hand.
pub(crate) enum Command {
    Keygen {
        file: OsString,
    },
    Show {
        name: String,
        store: String,
        generation: Option<u32>,
        on_terminal: bool,
    },
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
            Ok(Some(Value(word))) if word == "show" => Some(Self::show(parser)),
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

    fn show(mut parser: lexopt::Parser) -> Result<Self, lexopt::Error> {
        let mut name = None;
        let mut store = "main".to_owned();
        let mut generation = None;
        let mut on_terminal = false;
        while let Some(argument) = parser.next()? {
            match argument {
                Value(text) if name.is_none() => name = Some(text.string()?),
                Long("store") => store = parser.value()?.string()?,
                Long("generation") => generation = Some(parser.value()?.parse()?),
                Long("on-terminal") => on_terminal = true,
                Long("help") => return Ok(Self::Help),
                other => return Err(other.unexpected()),
            }
        }
        let name = name.ok_or("which secret is missing")?;
        Ok(Self::Show {
            name,
            store,
            generation,
            on_terminal,
        })
    }

    /// Does it; says on stderr what went wrong.
    pub(crate) fn run(self) -> ExitCode {
        let done = match self {
            Self::Keygen { file } => keygen(&file),
            Self::Show {
                name,
                store,
                generation,
                on_terminal,
            } => show(name, &store, generation, on_terminal),
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

fn show(name: String, store: &str, generation: Option<u32>, on_terminal: bool) -> Result<()> {
    if std::io::stdout().is_terminal() && !on_terminal {
        return Err(Error::new("a secret is not shown on a terminal")
            .hint("send it to a file or a program, or give --on-terminal"));
    }
    let name = SecretName::try_from(name).map_err(|error| Error::new(error.to_string()))?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Error::new("unable to start").because(error))?;
    let value = runtime.block_on(async {
        let opened = existing_store(store).await?;
        let mut opened = opened.ok_or_else(|| {
            Error::new(format!("there is no secrets store {store:?} yet"))
                .hint("apply a deployment that keeps a secret in it, or name another with --store")
        })?;
        let generation = match generation {
            Some(number) => {
                Generation::try_from(number).map_err(|error| Error::new(error.to_string()))?
            }
            None => newest(&mut opened, &name).await?,
        };
        let revealed = opened.reveal(&name, generation, None).await;
        revealed.map_err(|error| Error::new(error.to_string()))
    })?;
    print(value.expose_secret())
}

async fn newest(store: &mut nixops4_secrets_store::Store, name: &SecretName) -> Result<Generation> {
    let entry = store
        .lookup(name)
        .await
        .map_err(|error| Error::new(error.to_string()))?;
    let newest = entry.as_ref().and_then(|entry| entry.newest());
    newest.map(|version| version.generation).ok_or_else(|| {
        Error::new(format!("the store has no secret {:?}", name.as_str()))
            .hint("see that its name is right, and that --store names the right store")
    })
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
