//! The private keys that open a store, read from a file: an age identity file or
//! an unencrypted OpenSSH private key. It knows nothing of stores, and shows a
//! private key to nobody.

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use age::secrecy::ExposeSecret;
use age::ssh::UnsupportedKey;
use zeroize::Zeroizing;

use crate::error::{Error, IdentityProblem};
use crate::notice::Notice;
use crate::recipient::Recipient;
use crate::trust;

/// Longest identity file, in bytes. A private key has a few thousand.
const MAX_BYTES: usize = 1 << 20;

/// What is added to the name of an identity file for the stores that it knows.
const KNOWN_STORES: &str = "known-stores";

/// The private keys of one identity file. Cheap to clone.
#[derive(Clone)]
pub struct Identities(Arc<Inner>);

struct Inner {
    source: PathBuf,
    known_stores: PathBuf,
    /// What to say of the file.
    notice: Option<Notice>,
    keys: Vec<Key>,
    recipients: Vec<Recipient>,
}

enum Key {
    Age(age::x25519::Identity),
    Ssh(Box<age::ssh::Identity>),
}

impl Identities {
    /// Reads an identity file. It must belong to its owner alone (`chmod 600`), and
    /// nobody else may be able to put another in its place ([`trust`]).
    ///
    /// The stores that it knows are listed beside it, in a file of its name with
    /// `.known-stores` at the end.
    pub fn from_file(path: impl AsRef<Path>) -> Result<Self, Error> {
        let path = path.as_ref();
        Self::with_known_stores(path, path.with_added_extension(KNOWN_STORES))
    }

    /// The same, with another file for the stores that it knows.
    pub fn with_known_stores(
        path: impl AsRef<Path>,
        known_stores: impl AsRef<Path>,
    ) -> Result<Self, Error> {
        let path = path.as_ref();
        read(path)
            .and_then(|(text, notice)| Ok((parse(&text)?, notice)))
            .map(|((keys, recipients), notice)| {
                Self(Arc::new(Inner {
                    source: path.to_owned(),
                    known_stores: known_stores.as_ref().to_owned(),
                    notice,
                    keys,
                    recipients,
                }))
            })
            .map_err(|problem| Error::Identity {
                path: path.to_owned(),
                problem,
            })
    }

    /// Makes an age identity and writes it to a new file, mode 0600. An existing
    /// file is left alone and is an error: whatever it opens would be lost.
    pub fn generate(path: impl AsRef<Path>) -> Result<Self, Error> {
        let path = path.as_ref();
        // Before anything is written: the folder too has to be this user's.
        trust::check(path).map_err(|problem| Error::Identity {
            path: path.to_owned(),
            problem: IdentityProblem::Untrusted(problem),
        })?;
        write_new(path).map_err(|source| Error::Identity {
            path: path.to_owned(),
            problem: match source.kind() {
                io::ErrorKind::AlreadyExists => IdentityProblem::Exists,
                _ => IdentityProblem::Unwritable(source),
            },
        })?;
        Self::from_file(path)
    }

    /// The file they were read from.
    #[must_use]
    pub fn source(&self) -> &Path {
        &self.0.source
    }

    /// The file in which it is noted which stores they know.
    #[must_use]
    pub fn known_stores(&self) -> &Path {
        &self.0.known_stores
    }

    /// What somebody should hear who uses them.
    #[must_use]
    pub fn notice(&self) -> Option<&Notice> {
        self.0.notice.as_ref()
    }

    /// Their public keys, at least one.
    #[must_use]
    pub fn recipients(&self) -> &[Recipient] {
        &self.0.recipients
    }

    pub(crate) fn keys(&self) -> impl Iterator<Item = &dyn age::Identity> {
        self.0.keys.iter().map(|key| match key {
            Key::Age(key) => key as &dyn age::Identity,
            Key::Ssh(key) => key.as_ref(),
        })
    }
}

impl fmt::Debug for Identities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identities")
            .field("source", &self.0.source)
            .field("recipients", &self.0.recipients)
            .finish_non_exhaustive()
    }
}

fn write_new(path: &Path) -> io::Result<()> {
    let key = age::x25519::Identity::generate();
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?;
    writeln!(file, "# public key: {}", key.to_public())?;
    writeln!(file, "{}", key.to_string().expose_secret())?;
    file.sync_all()
}

fn read(path: &Path) -> Result<(Zeroizing<String>, Option<Notice>), IdentityProblem> {
    let file = File::open(path).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => IdentityProblem::Missing,
        _ => IdentityProblem::Unreadable(error),
    })?;
    let metadata = file.metadata().map_err(IdentityProblem::Unreadable)?;
    if metadata.is_dir() {
        return Err(IdentityProblem::Directory);
    }
    // Asked of the open file, so that it is the same one that is read. A pipe or
    // a device has no mode worth checking.
    if metadata.is_file() && metadata.mode() & 0o077 != 0 {
        return Err(IdentityProblem::OpenToOthers {
            mode: metadata.mode() & 0o777,
        });
    }
    let notice = trust::check(path).map_err(IdentityProblem::Untrusted)?;
    // Room for all of it at once: a buffer that grows leaves copies behind.
    let mut bytes = Zeroizing::new(Vec::with_capacity(
        usize::try_from(metadata.len()).map_or(MAX_BYTES, |n| n.min(MAX_BYTES)) + 64,
    ));
    file.take(MAX_BYTES as u64 + 1)
        .read_to_end(&mut bytes)
        .map_err(IdentityProblem::Unreadable)?;
    if bytes.len() > MAX_BYTES {
        return Err(IdentityProblem::TooLong);
    }
    match std::str::from_utf8(&bytes) {
        Ok(text) => Ok((
            Zeroizing::new(text.to_owned()),
            notice.map(Notice::Tolerated),
        )),
        Err(_) => Err(IdentityProblem::NotText),
    }
}

fn parse(text: &str) -> Result<(Vec<Key>, Vec<Recipient>), IdentityProblem> {
    let start = text.trim_start();
    if start.starts_with("age-encryption.org/v1")
        || start.starts_with("-----BEGIN AGE ENCRYPTED FILE-----")
    {
        return Err(IdentityProblem::EncryptedAge);
    }
    if start.starts_with("-----BEGIN ") {
        return parse_ssh(start);
    }
    parse_age(text)
}

fn parse_age(text: &str) -> Result<(Vec<Key>, Vec<Recipient>), IdentityProblem> {
    let mut keys = Vec::new();
    let mut recipients: Vec<Recipient> = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let Ok(key) = line.parse::<age::x25519::Identity>() else {
            let line_number = index + 1;
            return Err(if line.starts_with("AGE-PLUGIN-") {
                IdentityProblem::Plugin { line_number }
            } else if line.parse::<Recipient>().is_ok() {
                IdentityProblem::PublicKey { line_number }
            } else {
                IdentityProblem::NotAnIdentity { line_number }
            });
        };
        let recipient = public(&key.to_public().to_string())?;
        if !recipients.contains(&recipient) {
            keys.push(Key::Age(key));
            recipients.push(recipient);
        }
    }
    if keys.is_empty() {
        return Err(IdentityProblem::Empty);
    }
    Ok((keys, recipients))
}

fn parse_ssh(text: &str) -> Result<(Vec<Key>, Vec<Recipient>), IdentityProblem> {
    // The library's own messages are not passed on: they are made for a terminal.
    let key = age::ssh::Identity::from_buffer(text.as_bytes(), None)
        .map_err(|_| IdentityProblem::NotOpenSsh)?;
    match &key {
        age::ssh::Identity::Unencrypted(_) => {}
        age::ssh::Identity::Encrypted(_)
        | age::ssh::Identity::Unsupported(
            UnsupportedKey::EncryptedPem | UnsupportedKey::EncryptedSsh(_),
        ) => return Err(IdentityProblem::EncryptedSsh),
        age::ssh::Identity::Unsupported(
            UnsupportedKey::Hardware(kind) | UnsupportedKey::Type(kind),
        ) => return Err(IdentityProblem::SshType { kind: kind.clone() }),
    }
    let public_key = age::ssh::Recipient::try_from(key.clone())
        .map_err(|_| IdentityProblem::NotOpenSsh)?
        .to_string();
    let recipient = public(&public_key)?;
    Ok((vec![Key::Ssh(Box::new(key))], vec![recipient]))
}

/// Through the same door as a key from the store, so that both are spelt alike
/// and held to the same rule.
fn public(text: &str) -> Result<Recipient, IdentityProblem> {
    text.parse().map_err(IdentityProblem::Unusable)
}

/// For the unit tests of those who need some identity.
#[cfg(test)]
pub(crate) fn generated() -> Identities {
    let key = age::x25519::Identity::generate();
    let text = Zeroizing::new(key.to_string().expose_secret().to_owned());
    let (keys, recipients) = parse(&text).unwrap();
    Identities(Arc::new(Inner {
        source: "/test/age.key".into(),
        known_stores: std::env::temp_dir().join(uuid::Uuid::new_v4().to_string()),
        notice: None,
        keys,
        recipients,
    }))
}
