//! Whom values are encrypted to: public keys, age's own (X25519) and SSH's
//! (Ed25519, RSA). It knows nothing of the store that lists them.

use std::fmt;
use std::str::FromStr;

use age::ssh::ParseRecipientKeyError;

use crate::error::Invalid;

/// A public key that values are encrypted to: `age1...`, `ssh-ed25519 ...` or
/// `ssh-rsa ...` (2048 to 4096 bits). An SSH key's comment is dropped.
#[derive(Clone)]
pub struct Recipient {
    /// The one spelling by which keys are compared and kept.
    text: String,
    key: Key,
}

#[derive(Clone)]
enum Key {
    Age(age::x25519::Recipient),
    Ssh(Box<age::ssh::Recipient>),
}

impl Recipient {
    /// The key as text, without a comment.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    pub(crate) fn key(&self) -> &dyn age::Recipient {
        match &self.key {
            Key::Age(key) => key,
            Key::Ssh(key) => key.as_ref(),
        }
    }
}

impl FromStr for Recipient {
    type Err = Invalid;

    fn from_str(given: &str) -> Result<Self, Invalid> {
        let refuse = |problem: String| Invalid::Recipient { problem };
        let given = given.trim();
        if let Ok(key) = given.parse::<age::x25519::Recipient>() {
            return Ok(Self {
                text: key.to_string(),
                key: Key::Age(key),
            });
        }
        if given.to_ascii_uppercase().starts_with("AGE-SECRET-KEY-") {
            return Err(refuse("it is a private key".into()));
        }
        match given.parse::<age::ssh::Recipient>() {
            Ok(key) => Ok(Self {
                text: key.to_string(),
                key: Key::Ssh(Box::new(key)),
            }),
            Err(ParseRecipientKeyError::RsaModulusTooSmall) => {
                Err(refuse("its RSA key has fewer than 2048 bits".into()))
            }
            Err(ParseRecipientKeyError::RsaModulusTooLarge) => {
                Err(refuse("its RSA key has more than 4096 bits".into()))
            }
            Err(ParseRecipientKeyError::Unsupported(kind)) => {
                Err(refuse(format!("SSH keys of type {kind:?} cannot be used")))
            }
            Err(_) => Err(refuse("it is no public key of age or SSH".into())),
        }
    }
}

impl PartialEq for Recipient {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for Recipient {}

impl fmt::Display for Recipient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for Recipient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Recipient({})", self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SSH: &str =
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHsKLqeplhpW+uObz5dvMgjz1OxfM/XXUB+VHtZ6isGN";

    #[test]
    fn keys_are_normalised() {
        let age = age::x25519::Identity::generate().to_public().to_string();
        assert_eq!(age.parse::<Recipient>().unwrap().as_str(), age);
        assert_eq!(
            format!(" {age}\n").parse::<Recipient>().unwrap().as_str(),
            age
        );
        let commented: Recipient = format!("{SSH} alice@rust").parse().unwrap();
        assert_eq!(commented, SSH.parse().unwrap());
        assert_eq!(commented.to_string(), SSH);
    }

    #[test]
    fn other_keys_are_refused() {
        let ecdsa = "ecdsa-sha2-nistp256 AAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAAAIbmlzdHAyNTYAAABBBHFliOyIZs1gxGF3fmDxFykQhE88wy6AKDGFBfn0R6ZuvRmENABZQa9+pj9hMki+LX0qDJbmHTiWDbYv/cmFt/Q=";
        for (given, says) in [
            ("", "no public key"),
            ("age1nonsense", "no public key"),
            (ecdsa, "\"ecdsa-sha2-nistp256\" cannot be used"),
            ("AGE-SECRET-KEY-1CANARY", "private key"),
        ] {
            let error = given.parse::<Recipient>().unwrap_err().to_string();
            assert!(error.contains(says), "{error}");
            assert!(!error.contains("CANARY"), "{error}");
        }
    }
}
