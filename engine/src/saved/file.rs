//! The file itself: whom it must belong to, and how it is written.

use std::fs::{File, Permissions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use nixops4_file_trust::{self as trust, Untrusted};
use serde::Deserialize;

use crate::report::saved::{FORMAT, SavedPlan, VERSION};

/// How much of what moved is told.
const TOLD: usize = 20;

/// Why a saved plan is not applied, or not saved.
#[derive(Debug, thiserror::Error)]
pub enum SavedError {
    /// There is no such file, or none that can be read.
    #[error("cannot read the plan {}: {error}", file.display())]
    Read {
        /// Which file.
        file: PathBuf,
        /// Why not.
        error: io::Error,
    },
    /// It can't be written.
    #[error("cannot save the plan as {}: {error}", file.display())]
    Write {
        /// Which file.
        file: PathBuf,
        /// Why not.
        error: io::Error,
    },
    /// Somebody else could have written it.
    #[error(
        "the plan {} was not applied: {error}\nhint: a plan says what is done to servers, so that \
         nobody else may write it",
        file.display()
    )]
    Untrusted {
        /// Which file.
        file: PathBuf,
        /// Who could.
        error: Untrusted,
    },
    /// It is something else.
    #[error(
        "{} is no plan that `nixops4-resources plan --out` saved: {reason}",
        file.display()
    )]
    NoPlan {
        /// Which file.
        file: PathBuf,
        /// How that is known.
        reason: String,
    },
    /// Another version made it.
    #[error(
        "the plan {} was saved by nixops4-resources {theirs}, and this is {}: another version may \
         mean something else by it\nhint: plan again with this one",
        file.display(),
        VERSION
    )]
    Version {
        /// Which file.
        file: PathBuf,
        /// That version.
        theirs: String,
    },
    /// It is of something else.
    #[error(
        "nothing was applied: the plan is of the deployment {}, and this is {}\nhint: say which \
         deployment with --file",
        planned.display(),
        here.display()
    )]
    Another {
        /// Of which deployment it is.
        planned: PathBuf,
        /// Which one is looked at.
        here: PathBuf,
    },
    /// It is not what would be done now.
    #[error(
        "nothing was applied, because what the plan goes by moved on since it was made \
         ({made}):\n{}\nhint: {}",
        list(moved),
        if *is_done {
            "nothing is left to be done; delete the plan"
        } else {
            "`nixops4-resources plan --out FILE` makes a new plan"
        }
    )]
    Moved {
        /// When the plan was made.
        made: String,
        /// What moved, one each; one may have several lines.
        moved: Vec<String>,
        /// Whether nothing is left to be done.
        is_done: bool,
    },
    /// It can't be applied as it is.
    #[error(
        "no plan was saved, because it could not be applied as it is\nhint: put right what is \
         refused or failed, and plan again"
    )]
    NotSaved,
}

fn list(moved: &[String]) -> String {
    let told = moved.iter().take(TOLD);
    let mut lines: Vec<String> = told
        .map(|told| format!("  {}", told.replace('\n', "\n    ")))
        .collect();
    if moved.len() > TOLD {
        lines.push(format!("  and {} more", moved.len() - TOLD));
    }
    lines.join("\n")
}

/// What any version writes.
#[derive(Deserialize)]
struct Head {
    format: u32,
    version: String,
}

impl SavedPlan {
    /// Reads a plan, if nobody else can have written it; with a warning of who can, after
    /// all: who became root by `sudo`.
    pub fn read(file: &Path) -> Result<(Self, Option<String>), SavedError> {
        let reading = |error| SavedError::Read {
            file: file.to_owned(),
            error,
        };
        let mut opened = File::open(file).map_err(reading)?;
        let metadata = opened.metadata().map_err(reading)?;
        let no_plan = |reason: String| SavedError::NoPlan {
            file: file.to_owned(),
            reason,
        };
        if !metadata.is_file() {
            return Err(no_plan("it is no regular file".to_owned()));
        }
        let tolerated = trust::check(file).map_err(|error| SavedError::Untrusted {
            file: file.to_owned(),
            error,
        })?;
        let mut json = Vec::new();
        opened.read_to_end(&mut json).map_err(reading)?;
        let head: Head =
            serde_json::from_slice(&json).map_err(|error| no_plan(error.to_string()))?;
        if head.format != FORMAT || head.version != VERSION {
            return Err(SavedError::Version {
                file: file.to_owned(),
                theirs: head.version,
            });
        }
        let plan = serde_json::from_slice(&json).map_err(|error| no_plan(error.to_string()))?;
        Ok((plan, tolerated.map(|tolerated| tolerated.to_string())))
    }

    /// Writes it, whole or not at all, and for this user alone.
    pub fn write(&self, file: &Path) -> Result<(), SavedError> {
        let writing = |error| SavedError::Write {
            file: file.to_owned(),
            error,
        };
        let folder = match file.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            _ => Path::new("."),
        };
        let json = serde_json::to_vec_pretty(self).map_err(|error| writing(error.into()))?;
        if file.symlink_metadata().is_ok_and(|there| !there.is_file()) {
            let error = io::Error::other("something is there that is no regular file");
            return Err(writing(error));
        }
        let mut scratch = tempfile::Builder::new()
            .permissions(Permissions::from_mode(0o600))
            .tempfile_in(folder)
            .map_err(writing)?;
        scratch.write_all(&json).map_err(writing)?;
        scratch.as_file().sync_all().map_err(writing)?;
        scratch
            .persist(file)
            .map_err(|error| writing(error.error))?;
        Ok(())
    }
}
