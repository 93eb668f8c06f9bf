//! Whom a file must belong to, so that nobody else can have written what is in it:
//! the one rule, for identities, stores, credentials, states and whatever else
//! decides what is done.
//!
//! - The file belongs to this user or to root, and neither its group nor others may
//!   write it. A group of which its owner is the only member doesn't count.
//! - The same holds for every folder above it, up to the root, as `sshd` has it with
//!   `StrictModes`: who may write there can put another file in its place. In a folder
//!   with the sticky bit, such as `/tmp`, nobody can do that to files of somebody
//!   else's, so that it may be open to all.
//! - A symbolic link is judged by its own owner and folder, and then by what it leads
//!   to.
//! - What isn't there was written by nobody. The folders that are there are judged.
//! - Under `sudo`, what belongs to the user who called it is used, with a warning.
//!
//! It reads nothing but the user database, and knows not what a file is for.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::{Component, Path, PathBuf};

use crate::person;

const STICKY: u32 = 0o1000;
const GROUP_MAY_WRITE: u32 = 0o020;
const OTHERS_MAY_WRITE: u32 = 0o002;
/// As many links as Linux follows.
const MOST_LINKS: u32 = 40;
const ROOT: u32 = 0;

/// Why a file is not to be trusted. It ends with what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Untrusted {
    /// It, a folder above it or a link to it belongs to somebody else.
    #[error(
        "{} belongs to {owner}, and neither to this user ({us}) nor to root, so that somebody else \
         could have written what is in it; `chown` it, or use a file of this user's in a folder of \
         this user's",
        path.display()
    )]
    Foreign {
        /// What belongs to them.
        path: PathBuf,
        /// Who that is.
        owner: String,
        /// Who this process is.
        us: String,
    },
    /// It or a folder above it can be written by others.
    #[error(
        "{} can be written by {by} (mode {mode:04o}), so that somebody else could have changed \
         what is in it; run `chmod go-w {}`",
        path.display(),
        path.display()
    )]
    Writable {
        /// What they can write.
        path: PathBuf,
        /// "its group" or the like.
        by: &'static str,
        /// Its permission bits.
        mode: u32,
    },
    /// It cannot be looked at.
    #[error("unable to see whom {} belongs to: {error}", path.display())]
    Unreadable {
        /// What could not be looked at.
        path: PathBuf,
        /// Why not.
        error: io::Error,
    },
}

/// What is used although it belongs to somebody else than this user or root: the one
/// who became root by `sudo`. To be shown as a warning.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tolerated {
    /// The first thing on the way that belongs to them.
    pub path: PathBuf,
    /// Who that is.
    pub owner: String,
}

impl fmt::Display for Tolerated {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            out,
            "{} belongs to {}, who called sudo, and is used all the same: what runs as root goes \
             by what {} can write",
            self.path.display(),
            self.owner,
            self.owner
        )
    }
}

/// Judges a file or folder and all folders above it, by the rule that is at the head
/// of this module. What is open to the user who called `sudo` is given back, to warn
/// of.
///
/// Nobody but its owner, root and whoever is trusted here can change what was found
/// before it is opened.
pub fn check(path: &Path) -> Result<Option<Tolerated>, Untrusted> {
    Judge::of_this_process().check(path)
}

/// Who is trusted.
struct Judge {
    us: u32,
    /// Who called `sudo`.
    caller: Option<u32>,
    /// Whom files seem to belong to whose owner has no number here: in a container,
    /// the folders of the machine around it.
    unmapped: Option<u32>,
}

/// What is being judged.
#[derive(Clone, Copy, PartialEq, Eq)]
enum What {
    Link,
    Folder,
    File,
}

impl Judge {
    fn of_this_process() -> Self {
        let us = rustix::process::geteuid().as_raw();
        let number = |text: String| text.trim().parse::<u32>().ok();
        let caller = || std::env::var("SUDO_UID").ok().and_then(number);
        let is_mapped = |map: String| map.split_whitespace().eq(["0", "0", "4294967295"]);
        let unmapped = fs::read_to_string("/proc/self/uid_map")
            .is_ok_and(|map| !is_mapped(map))
            .then(|| fs::read_to_string("/proc/sys/kernel/overflowuid").ok())
            .flatten()
            .and_then(number);
        Self {
            us,
            caller: (us == ROOT).then(caller).flatten(),
            unmapped,
        }
    }

    fn check(&self, path: &Path) -> Result<Option<Tolerated>, Untrusted> {
        let unreadable = |path: &Path, error| Untrusted::Unreadable {
            path: path.to_owned(),
            error,
        };
        let whole = std::path::absolute(path).map_err(|error| unreadable(path, error))?;
        let mut tolerated = None;
        let mut links = 0;
        let mut at = PathBuf::new();
        // What is still ahead, the next one last.
        let mut ahead: Vec<OsString> = Vec::new();
        push(&mut ahead, &whole);
        while let Some(next) = ahead.pop() {
            match Path::new(&next).components().next() {
                Some(Component::RootDir) => at = PathBuf::from("/"),
                Some(Component::ParentDir) => {
                    at.pop();
                    continue;
                }
                Some(Component::Normal(name)) => at.push(name),
                _ => continue,
            }
            let found = match fs::symlink_metadata(&at) {
                Ok(found) => found,
                Err(error) if error.kind() == io::ErrorKind::NotFound => break,
                Err(error) => return Err(unreadable(&at, error)),
            };
            let what = match found.file_type() {
                kind if kind.is_symlink() => What::Link,
                kind if kind.is_dir() => What::Folder,
                _ => What::File,
            };
            let seen = self.judge(&at, what, &found)?;
            tolerated = tolerated.or(seen);
            if what == What::Link {
                links += 1;
                if links > MOST_LINKS {
                    return Err(unreadable(path, rustix::io::Errno::LOOP.into()));
                }
                let target = fs::read_link(&at).map_err(|error| unreadable(&at, error))?;
                at.pop();
                push(&mut ahead, &target);
            }
        }
        Ok(tolerated)
    }

    fn judge(
        &self,
        path: &Path,
        what: What,
        found: &Metadata,
    ) -> Result<Option<Tolerated>, Untrusted> {
        let owner = found.uid();
        let is_ours = owner == ROOT
            || owner == self.us
            || (what == What::Folder && self.unmapped == Some(owner));
        let is_callers = self.caller == Some(owner);
        if !is_ours && !is_callers {
            return Err(Untrusted::Foreign {
                path: path.to_owned(),
                owner: person::user(owner),
                us: person::user(self.us),
            });
        }
        // A link has no mode of its own, and into a device nobody writes what is read
        // from it.
        let is_device = found.file_type().is_char_device();
        let is_sticky = what == What::Folder && found.mode() & STICKY != 0;
        if what != What::Link && !is_device && !is_sticky {
            refuse_writable(path, found)?;
        }
        Ok((!is_ours).then(|| Tolerated {
            path: path.to_owned(),
            owner: person::user(owner),
        }))
    }
}

/// Adds the parts of a path to what is ahead.
fn push(ahead: &mut Vec<OsString>, path: &Path) {
    let parts = path.components().rev();
    ahead.extend(parts.map(|part| OsStr::to_owned(part.as_os_str())));
}

fn refuse_writable(path: &Path, found: &Metadata) -> Result<(), Untrusted> {
    let others = found.mode() & OTHERS_MAY_WRITE != 0;
    let group = found.mode() & GROUP_MAY_WRITE != 0
        // With an access control list, the group's bits are those of everybody in it.
        && (has_access_list(path) || !person::is_alone_in(found.uid(), found.gid()));
    if !group && !others {
        return Ok(());
    }
    Err(Untrusted::Writable {
        path: path.to_owned(),
        by: if others { "everybody" } else { "its group" },
        mode: found.mode() & 0o7777,
    })
}

fn has_access_list(path: &Path) -> bool {
    let mut none = [0_u8; 0];
    rustix::fs::getxattr(path, "system.posix_acl_access", &mut none).is_ok_and(|size| size > 0)
}

#[cfg(test)]
mod tests;
