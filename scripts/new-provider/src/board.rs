//! The server: a board with notes on it.
//!
//! A board is a folder with a file for each note, so that this provider works before
//! it has a server. Put the client of the real one here. It must not know what the
//! kinds make of its answers.

use std::fs::{self, File, Permissions};
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use nixops4_provider_sdk::reach::{Place, ReachInputs};
use nixops4_provider_sdk::{Context, Error, ExposeSecret as _, Result, Retry, SecretRef};
use schemars::JsonSchema;
use serde::Deserialize;
use tempfile::NamedTempFile;

/// The file in which a board has its token.
const TOKEN: &str = ".token";

/// How to reach a board.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Connection {
    /// Path of the board's folder.
    pub(crate) folder: PathBuf,
    /// The token that the board asks for, by reference.
    pub(crate) token: SecretRef,
}

impl Connection {
    /// Opens the board, if the token is the right one.
    pub(crate) async fn open(&self, cx: &Context) -> Result<Board<'_>> {
        let token = cx.secret(&self.token, "/connection/token").await?;
        let wanted = fs::read_to_string(self.folder.join(TOKEN)).map_err(|error| {
            Error::input("/connection/folder", "unable to read the board's token")
                .because(error)
                .hint(format!("give the folder of a board: it has a file {TOKEN}"))
        })?;
        if wanted.trim_end() != token.expose_secret() {
            let refused = Error::input("/connection/token", "the board refuses this token");
            return Err(refused.hint("give the token that the board has"));
        }
        Ok(Board {
            folder: &self.folder,
        })
    }
}

/// The inputs that say which board, the same for every kind.
#[derive(Debug, Deserialize)]
pub(crate) struct Reach {
    pub(crate) connection: Connection,
}

impl ReachInputs for Reach {
    const NAMES: &'static [&'static str] = &["connection"];
    /// A server that tells its own identifier is a [`Place::Server`].
    const TO: Place = Place::NamelessServer;
}

/// A board that can be read and written.
pub(crate) struct Board<'a> {
    folder: &'a Path,
}

/// What stands on the board under a name.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    /// Whose it is.
    pub(crate) comment: String,
    pub(crate) text: String,
    /// Whether everybody can read it.
    pub(crate) is_public: bool,
}

impl Board<'_> {
    /// What stands there, if anything does.
    pub(crate) fn read(&self, name: &str) -> Result<Option<Entry>> {
        let read = || {
            let mut file = File::open(self.path(name))?;
            let mut content = String::new();
            file.read_to_string(&mut content)?;
            Ok::<_, io::Error>((content, file.metadata()?.permissions().mode()))
        };
        match read() {
            Ok((content, mode)) => {
                let (comment, text) = content.split_once('\n').unwrap_or(("", &content));
                Ok(Some(Entry {
                    comment: comment.to_owned(),
                    text: text.trim_end_matches('\n').to_owned(),
                    is_public: mode & 0o004 != 0,
                }))
            }
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => {
                Err(Error::new(format!("unable to read the note {name:?}")).because(error))
            }
        }
    }

    /// The names of all notes.
    pub(crate) fn names(&self) -> Result<Vec<String>> {
        let unreadable =
            |error| Error::input("/connection/folder", "unable to list the board").because(error);
        let mut names = Vec::new();
        for file in fs::read_dir(self.folder).map_err(unreadable)? {
            let file = file.map_err(unreadable)?.file_name();
            let name = file.to_str().and_then(|file| file.strip_suffix(".note"));
            names.extend(name.map(ToOwned::to_owned));
        }
        Ok(names)
    }

    /// Puts up a note that isn't there. If somebody else was quicker, the engine looks
    /// again.
    pub(crate) fn create(&self, name: &str, entry: &Entry) -> Result<()> {
        let staged = self.stage(entry)?;
        match staged.persist_noclobber(self.path(name)) {
            Ok(_) => Ok(()),
            Err(error) if error.error.kind() == ErrorKind::AlreadyExists => {
                let taken = Error::input("/name", format!("there is a note {name:?} already"));
                Err(taken.retry(Retry::UntilDeadline))
            }
            Err(error) => Err(unwritable(error.error)),
        }
    }

    /// Writes a note anew that is there.
    pub(crate) fn replace(&self, name: &str, entry: &Entry) -> Result<()> {
        let staged = self.stage(entry)?;
        let replaced = staged.persist(self.path(name));
        replaced.map(drop).map_err(|error| unwritable(error.error))
    }

    /// Takes a note down, if it is there.
    pub(crate) fn remove(&self, name: &str) -> Result<()> {
        match fs::remove_file(self.path(name)) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(unwritable(error)),
            _ => Ok(()),
        }
    }

    /// Writes everything under another name: a note is there wholly or not at all.
    fn stage(&self, entry: &Entry) -> Result<NamedTempFile> {
        let mode = if entry.is_public { 0o644 } else { 0o600 };
        let write = || {
            let mut file = NamedTempFile::new_in(self.folder)?;
            write!(file, "{}\n{}\n", entry.comment, entry.text)?;
            file.as_file()
                .set_permissions(Permissions::from_mode(mode))?;
            Ok::<_, io::Error>(file)
        };
        write().map_err(unwritable)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.join(format!("{name}.note"))
    }
}

fn unwritable(error: io::Error) -> Error {
    Error::input("/connection/folder", "unable to write to the board")
        .because(error)
        .hint("let this process write to the folder")
}
