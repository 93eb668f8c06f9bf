//! The stores that an identity knows: beside the identity's file there is one with a
//! line for each address, with the keys by which the store there is recognised. As
//! ssh has it with `known_hosts`. It knows nothing of databases.
//!
//! ```text
//! ADDRESS SINCE KEY...
//! ```
//!
//! The keys are fingerprints, the oldest first. The last is the one that is accepted,
//! or one that follows it; the first never changes, and is what references carry.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{LazyLock, Mutex, PoisonError};
use std::time::{Duration, Instant};

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::error::{Error, KnownStoresProblem};
use crate::succession::Fingerprint;
use crate::trust;
use crate::url::StoreUrl;

const HEAD: &str = "# Secrets stores that the identity beside this file knows, as `nixops4-resources \
                    secret trust` shows them: address, since when, keys.\n";
/// How long others may keep the file locked.
const PATIENCE: Duration = Duration::from_secs(5);
const PAUSE: Duration = Duration::from_millis(5);

/// A store that is known at an address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Known {
    /// Where, without how it is opened.
    pub address: String,
    /// Since when, to the second.
    pub since: OffsetDateTime,
    /// Its keys, the oldest first: the last is the one that it had.
    keys: Vec<Fingerprint>,
}

impl Known {
    /// The store at an address, by its keys. There has to be one.
    pub(crate) fn new(url: &StoreUrl, since: OffsetDateTime, keys: &[Fingerprint]) -> Self {
        Self {
            address: url.address(),
            since,
            keys: keys.to_vec(),
        }
    }

    /// All its keys, the oldest first.
    #[must_use]
    pub fn keys(&self) -> &[Fingerprint] {
        &self.keys
    }

    /// The key that it had when it was seen last.
    pub(crate) fn last(&self) -> Option<&Fingerprint> {
        self.keys.last()
    }

    fn line(&self) -> String {
        let since = self.since.format(&Rfc3339).unwrap_or_default();
        let mut line = format!("{} {since}", self.address);
        for key in &self.keys {
            // Writing to a string does not fail.
            let _ = write!(line, " {key}");
        }
        line.push('\n');
        line
    }

    fn parse(line: &str) -> Option<Self> {
        let mut words = line.split_whitespace();
        let (address, since) = (words.next()?, words.next()?);
        let keys = words.map(str::parse).collect::<Result<Vec<_>, _>>().ok()?;
        Some(Self {
            address: address.to_owned(),
            since: OffsetDateTime::parse(since, &Rfc3339).ok()?,
            keys,
        })
        .filter(|known| !known.keys.is_empty())
    }
}

/// What couldn't be written, for as long as this process lives.
static UNWRITTEN: LazyLock<Mutex<HashMap<PathBuf, Vec<Known>>>> = LazyLock::new(Mutex::default);

fn unwritten<T>(of: &Path, look: impl FnOnce(&mut Vec<Known>) -> T) -> T {
    let mut all = UNWRITTEN.lock().unwrap_or_else(PoisonError::into_inner);
    look(all.entry(of.to_owned()).or_default())
}

/// Every store that is known, by the file and by this process. A file that isn't
/// there knows none.
pub(crate) fn all(file: &Path) -> Result<Vec<Known>, Error> {
    let mut known = read(file).map_err(|problem| refuse(file, problem))?;
    unwritten(file, |unwritten| {
        for one in unwritten {
            put(&mut known, one.clone());
        }
    });
    Ok(known)
}

/// Keeps others from noting anything, as long as it lives.
pub(crate) struct Held {
    locked: File,
}

/// Keeps others from noting anything; none where nobody can.
pub(crate) async fn hold(file: &Path) -> Option<Held> {
    let locked = locked(&followed(file)).await.ok()?;
    Some(Held { locked })
}

/// Notes a store, instead of what was known at its address. Returns whether it was
/// not noted like that already. What can't be written is known to this process alone,
/// and the error says why.
pub(crate) async fn note(file: &Path, known: &Known, held: Option<Held>) -> io::Result<bool> {
    let written = change(file, held, |all| {
        let is_noted = |one: &Known| one.address == known.address && one.keys == known.keys;
        let is_new = !all.iter().any(is_noted);
        put(all, known.clone());
        is_new
    })
    .await;
    if written.is_err() {
        unwritten(file, |unwritten| put(unwritten, known.clone()));
    }
    written
}

/// Forgets what is known at an address. Returns whether anything was.
pub(crate) async fn forget(file: &Path, address: &str) -> Result<bool, Error> {
    let drop = |all: &mut Vec<Known>| {
        let before = all.len();
        all.retain(|known| known.address != address);
        all.len() < before
    };
    let was_noted = unwritten(file, drop);
    if !all(file)?.iter().any(|known| known.address == address) {
        return Ok(was_noted);
    }
    let was_written = change(file, None, drop)
        .await
        .map_err(|error| refuse(file, KnownStoresProblem::Io(error)))?;
    Ok(was_noted || was_written)
}

fn refuse(file: &Path, problem: KnownStoresProblem) -> Error {
    Error::KnownStores {
        path: file.to_owned(),
        problem,
    }
}

fn put(all: &mut Vec<Known>, new: Known) {
    match all.iter_mut().find(|known| known.address == new.address) {
        Some(known) => *known = new,
        None => all.push(new),
    }
}

fn read(file: &Path) -> Result<Vec<Known>, KnownStoresProblem> {
    let text = match fs::read_to_string(file) {
        Ok(text) => text,
        // Beside an identity that is no file of its own there can be none either.
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
            ) =>
        {
            return Ok(Vec::new());
        }
        Err(error) => return Err(KnownStoresProblem::Io(error)),
    };
    // What sudo lets through was warned of for the identity beside it.
    trust::check(file).map_err(KnownStoresProblem::Untrusted)?;
    let lines = text.lines().zip(1..);
    lines
        .filter(|(line, _)| !line.trim().is_empty() && !line.starts_with('#'))
        .map(|(line, number)| Known::parse(line).ok_or(KnownStoresProblem::Line { number }))
        .collect()
}

/// Changes the file, all or nothing, while nobody else does. `change` says whether
/// there is anything to write, and so does the result.
async fn change(
    file: &Path,
    held: Option<Held>,
    change: impl FnOnce(&mut Vec<Known>) -> bool,
) -> io::Result<bool> {
    let file = &followed(file);
    let _held = match held {
        Some(held) => held.locked,
        None => locked(file).await?,
    };
    let mut known = read(file).map_err(io::Error::other)?;
    if !change(&mut known) {
        return Ok(false);
    }
    let lines = known.iter().map(Known::line);
    let text: String = std::iter::once(HEAD.to_owned()).chain(lines).collect();
    let beside = file.with_added_extension("new");
    let written = write(&beside, &text).and_then(|()| fs::rename(&beside, file));
    if written.is_err() {
        // Nobody reads it, and the next one begins anew.
        let _ = fs::remove_file(&beside);
    }
    written.map(|()| true)
}

/// The file itself, where a link leads to it.
fn followed(file: &Path) -> PathBuf {
    fs::canonicalize(file).unwrap_or_else(|_| file.to_owned())
}

/// The lock is held: what is there was left by somebody who was killed.
fn write(path: &Path, text: &str) -> io::Result<()> {
    let removed = fs::remove_file(path);
    if let Err(error) = removed
        && error.kind() != io::ErrorKind::NotFound
    {
        return Err(error);
    }
    let mut new = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?;
    new.write_all(text.as_bytes())?;
    new.sync_all()
}

/// Locks the file, which is made if it isn't there, until the result is dropped.
async fn locked(file: &Path) -> io::Result<File> {
    let begun = Instant::now();
    loop {
        let opened = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(file)?;
        match opened.try_lock() {
            Ok(()) => {
                // Who had it before has put another file in its place.
                let is_it = |now: fs::Metadata| {
                    opened
                        .metadata()
                        .is_ok_and(|ours| (ours.dev(), ours.ino()) == (now.dev(), now.ino()))
                };
                if fs::metadata(file).is_ok_and(is_it) {
                    return Ok(opened);
                }
            }
            Err(TryLockError::Error(error)) => return Err(error),
            Err(TryLockError::WouldBlock) => {
                if begun.elapsed() >= PATIENCE {
                    return Err(io::Error::new(
                        io::ErrorKind::WouldBlock,
                        "another process keeps it locked",
                    ));
                }
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::succession::Signer;

    fn known(number: u8) -> Known {
        let url: StoreUrl = format!("sqlite:/{number}.db").parse().unwrap();
        let key = |seed| Signer::of(&[seed; 32]).public().fingerprint();
        let since = OffsetDateTime::from_unix_timestamp(1_800_000_000).unwrap();
        Known::new(&url, since, &[key(number), key(100 + number)])
    }

    #[tokio::test]
    async fn what_is_noted_is_known() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("identity.known-stores");
        assert_eq!(all(&file).unwrap(), []);
        for number in [1, 2, 1] {
            note(&file, &known(number), None).await.unwrap();
        }
        assert!(!note(&file, &known(2), None).await.unwrap());
        assert_eq!(all(&file).unwrap(), [known(1), known(2)]);
        assert_eq!(fs::metadata(&file).unwrap().mode() & 0o777, 0o600);
        assert!(forget(&file, &known(1).address).await.unwrap());
        assert!(!forget(&file, &known(1).address).await.unwrap());
        assert_eq!(all(&file).unwrap(), [known(2)]);
        // Nothing is left beside it.
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn nobody_loses_a_line() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("identity.known-stores");
        // Left by one that was killed.
        fs::write(folder.path().join("identity.known-stores.new"), "half").unwrap();
        let mut tasks = Vec::new();
        for number in 0..60 {
            let file = file.clone();
            tasks.push(tokio::spawn(async move {
                note(&file, &known(number), None).await.unwrap()
            }));
        }
        for task in tasks {
            assert!(task.await.unwrap());
        }
        let mut addresses: Vec<_> = all(&file).unwrap();
        assert_eq!(addresses.len(), 60);
        addresses.dedup_by(|a, b| a.address == b.address);
        assert_eq!(addresses.len(), 60);
    }

    #[test]
    fn what_is_not_understood_or_open_to_others_is_refused() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("known");
        let good = known(1).line();
        for line in [
            "sqlite:/x.db\n",
            "sqlite:/x.db 2026-11-29T00:00:00Z\n",
            "sqlite:/x.db 2026-11-29T00:00:00Z SHA256:x\n",
            &good[..good.len() - 9],
        ] {
            fs::write(&file, format!("# first\n\n{line}")).unwrap();
            let error = all(&file).unwrap_err().to_string();
            assert!(error.contains("line 3"), "{line}: {error}");
        }
        fs::write(&file, &good).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o666)).unwrap();
        let error = all(&file).unwrap_err().to_string();
        assert!(error.contains("can be written by everybody"), "{error}");
    }

    #[tokio::test]
    async fn what_cannot_be_written_is_known_to_the_process() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("no-folder/known");
        note(&file, &known(1), None).await.unwrap_err();
        assert_eq!(all(&file).unwrap(), [known(1)]);
        assert!(forget(&file, &known(1).address).await.unwrap());
        assert_eq!(all(&file).unwrap(), []);
    }
}
