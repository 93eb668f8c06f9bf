//! A secret in a file of its own. It knows no store.

use std::fs::File;
use std::io::{self, Read as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;

use rustix::fs::OFlags;
use secrecy::SecretString;
use zeroize::Zeroizing;

use crate::trust::{self, Untrusted};

/// What is in there can be read by everybody on the machine.
const NIX_STORE: &str = "/nix/store";
/// A file is read up to this size, in bytes.
const MAX_BYTES: u64 = 1 << 20;

/// Who may be able to read the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Privacy {
    /// Whoever its owner lets.
    Any,
    /// Its owner and its group; its group may not write it.
    Refused,
}

/// Why a file gives no secret. Says nothing of what is in it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FileProblem {
    /// It cannot be read.
    #[error("{0}")]
    Unreadable(io::Error),
    /// It is in the Nix store.
    #[error("it is in the Nix store, which everybody can read")]
    InNixStore,
    /// A folder, a pipe, a device.
    #[error("it is not a regular file")]
    NotAFile,
    /// Others may read or write it.
    #[error(
        "others than its owner and group can get at it (mode {mode:04o}); run `chmod 600` on it"
    )]
    OpenToOthers {
        /// Its permission bits.
        mode: u32,
    },
    /// Others could have written it, or put another in its place.
    #[error("{0}")]
    Untrusted(Untrusted),
    /// Too long.
    #[error("it is larger than any secret ({MAX_BYTES} bytes)")]
    TooLong,
    /// Not UTF-8.
    #[error("it is not text in UTF-8")]
    NotText,
    /// Nothing in it.
    #[error("it is empty")]
    Empty,
}

/// Reads the secret in a regular file outside the Nix store, without the line end
/// at its end.
pub fn read(path: &Path, open_to_others: Privacy) -> Result<SecretString, FileProblem> {
    let real = if path.starts_with(NIX_STORE) {
        path.to_owned()
    } else {
        path.canonicalize().map_err(FileProblem::Unreadable)?
    };
    if real.starts_with(NIX_STORE) {
        return Err(FileProblem::InNixStore);
    }
    // Opening a pipe or a terminal would wait for somebody to write.
    let file = File::options()
        .read(true)
        .custom_flags(OFlags::NONBLOCK.bits().cast_signed())
        .open(&real)
        .map_err(FileProblem::Unreadable)?;
    // Asked of the open file, so that it is the same one that is read.
    let metadata = file.metadata().map_err(FileProblem::Unreadable)?;
    if !metadata.is_file() {
        return Err(FileProblem::NotAFile);
    }
    if open_to_others == Privacy::Refused && metadata.mode() & 0o027 != 0 {
        return Err(FileProblem::OpenToOthers {
            mode: metadata.mode() & 0o777,
        });
    }
    // What the user who called sudo owns is let through here: who reads it warns.
    trust::check(path).map_err(FileProblem::Untrusted)?;
    let room = usize::try_from(metadata.len().min(MAX_BYTES)).unwrap_or_default();
    from_reader(file, room)
}

/// Reads a secret from wherever it comes from, such as stdin, without the line
/// end at its end. `room` is how many bytes are expected.
pub fn from_reader(reader: impl io::Read, room: usize) -> Result<SecretString, FileProblem> {
    // Room for all of it at once: a buffer that grows leaves copies behind.
    let mut bytes = Zeroizing::new(Vec::with_capacity(room + 64));
    reader
        .take(MAX_BYTES + 1)
        .read_to_end(&mut bytes)
        .map_err(FileProblem::Unreadable)?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(FileProblem::TooLong);
    }
    // The bytes that aren't UTF-8 are part of the secret: the error can't show them.
    let text = std::str::from_utf8(&bytes).map_err(|_| FileProblem::NotText)?;
    let text = text.strip_suffix('\n').unwrap_or(text);
    let text = text.strip_suffix('\r').unwrap_or(text);
    if text.is_empty() {
        return Err(FileProblem::Empty);
    }
    Ok(SecretString::from(text))
}
