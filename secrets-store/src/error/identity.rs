//! What is wrong with an identity file.

use std::io;

use super::Invalid;
use crate::trust::Untrusted;

/// What is wrong with an identity file.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum IdentityProblem {
    /// No such file.
    #[error(
        "it does not exist; make one with `nixops4-resources-secrets keygen FILE`, or name an existing one"
    )]
    Missing,
    /// It cannot be read.
    #[error("{0}; make it readable for this user")]
    Unreadable(io::Error),
    /// It is there already, and a new one was to be made.
    #[error("it exists already, and is left alone; name a new file, or use this one")]
    Exists,
    /// It cannot be written.
    #[error("{0}; name a file in a folder that this user can write to")]
    Unwritable(io::Error),
    /// A directory.
    #[error("it is a directory; name the file in it")]
    Directory,
    /// Others may read or write it.
    #[error("others than its owner can get at it (mode {mode:04o}); run `chmod 600` on it")]
    OpenToOthers {
        /// Its permission bits.
        mode: u32,
    },
    /// Longer than any identity file.
    #[error("it has more than 1 MiB; name an age identity file or an OpenSSH private key")]
    TooLong,
    /// Not UTF-8.
    #[error("it is not text; name an age identity file or an OpenSSH private key")]
    NotText,
    /// Nothing but comments.
    #[error("there is no identity in it; it needs a line AGE-SECRET-KEY-1...")]
    Empty,
    /// A line that is nothing known.
    #[error(
        "line {line_number} is not an age identity; each line is AGE-SECRET-KEY-1... or a comment"
    )]
    NotAnIdentity {
        /// Counted from 1.
        line_number: usize,
    },
    /// A public key.
    #[error("line {line_number} is a public key; name the file with the private key")]
    PublicKey {
        /// Counted from 1.
        line_number: usize,
    },
    /// An identity that needs a plugin.
    #[error(
        "line {line_number} is an identity of an age plugin, which cannot be used without a \
         person; use an X25519 identity or an SSH key"
    )]
    Plugin {
        /// Counted from 1.
        line_number: usize,
    },
    /// Protected by a passphrase.
    #[error(
        "it is encrypted with a passphrase, which nobody can type in here; decrypt it with \
         `age --decrypt` to a file of mode 600"
    )]
    EncryptedAge,
    /// Protected by a passphrase.
    #[error(
        "it is an SSH key with a passphrase, which nobody can type in here; use a key without one \
         (`ssh-keygen -p` takes it away), or an age identity"
    )]
    EncryptedSsh,
    /// ECDSA, DSA, or kept in hardware.
    #[error("it is an SSH key of type {kind:?}, which age cannot use; use ssh-ed25519 or ssh-rsa")]
    SshType {
        /// The key's type.
        kind: String,
    },
    /// Another format, or damaged.
    #[error(
        "it is not an intact OpenSSH private key; convert it with `ssh-keygen -p`, or use an age \
         identity"
    )]
    NotOpenSsh,
    /// Others could have written it.
    #[error("{0}")]
    Untrusted(Untrusted),
    /// Its public key is refused.
    #[error("{0}")]
    Unusable(Invalid),
}
