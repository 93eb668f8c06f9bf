//! What the store tells of a secret, without its values, and the pure decision
//! of what asking for a generation means. It knows nothing of databases.

use std::fmt;

use secrecy::SecretString;
use time::OffsetDateTime;

use crate::error::{Error, Invalid};
use crate::name::{Generation, SecretId, SecretName, check_label};
use crate::succession::Fingerprint;

/// How many generations are kept beside the newest, if nothing else is said.
const KEEP: u32 = 2;
/// Longest public part, in bytes. A chain of certificates has a few thousand.
const MAX_PUBLIC_PART: usize = 1 << 20;

/// A secret, without its values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its name.
    pub name: SecretName,
    /// The deployment that it belongs to.
    pub owner: String,
    /// What made it, such as `secrets_password`.
    pub kind: String,
    /// When its first value was made, to the second.
    pub created_at: OffsetDateTime,
    /// Its values, oldest first; at least one.
    pub generations: Vec<Version>,
    /// Set while it is out of use, but kept.
    pub retained: Option<Retained>,
    /// Set from when somebody asked for a new value until it is made.
    pub rotation: Option<Rotation>,
    /// The key that its store began with, once the store has vouched for the rest:
    /// what a reference says of the store.
    pub store_key: Option<Fingerprint>,
}

impl Entry {
    /// The value of the highest generation.
    #[must_use]
    pub fn newest(&self) -> Option<&Version> {
        self.generations.last()
    }

    /// The value of one generation.
    #[must_use]
    pub fn version(&self, generation: Generation) -> Option<&Version> {
        self.generations
            .iter()
            .find(|version| version.generation == generation)
    }
}

/// One value of a secret, without the value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Version {
    /// Its generation.
    pub generation: Generation,
    /// Its random id, to be recorded in a reference.
    pub id: SecretId,
    /// When it was made, to the second.
    pub created_at: OffsetDateTime,
    /// What everybody may know of it, such as a public key, as text (JSON by
    /// convention). It is authenticated, but not encrypted.
    pub public_part: Option<String>,
}

/// Who asked for a new value, and when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rotation {
    /// The person, as `user@host`.
    pub by: String,
    /// When, to the second.
    pub since: OffsetDateTime,
}

/// Who took a secret out of use, and when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Retained {
    /// The owner or person.
    pub by: String,
    /// When, to the second.
    pub since: OffsetDateTime,
}

/// What a secret is declared as.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewSecret {
    /// The deployment that it belongs to.
    pub owner: String,
    /// What makes it, such as `secrets_password`.
    pub kind: String,
    /// How many generations are kept beside the newest; the others are deleted
    /// when a new one is made.
    pub keep: u32,
}

impl NewSecret {
    /// Keeps two generations beside the newest.
    #[must_use]
    pub fn new(owner: impl Into<String>, kind: impl Into<String>) -> Self {
        Self {
            owner: owner.into(),
            kind: kind.into(),
            keep: KEEP,
        }
    }

    /// Keeps that many generations beside the newest.
    #[must_use]
    pub fn keep(self, keep: u32) -> Self {
        Self { keep, ..self }
    }

    pub(crate) fn check(&self) -> Result<(), Invalid> {
        check_label("owner", &self.owner)?;
        check_label("kind", &self.kind)
    }
}

/// A value that was just made, to be kept.
#[derive(Clone)]
pub struct Made {
    pub(crate) value: SecretString,
    pub(crate) public_part: Option<String>,
}

impl Made {
    /// A value of which nothing is public.
    #[must_use]
    pub fn new(value: SecretString) -> Self {
        Self {
            value,
            public_part: None,
        }
    }

    /// With a public part: text of up to 1 MiB without NUL, JSON by convention.
    #[must_use]
    pub fn public_part(self, text: impl Into<String>) -> Self {
        Self {
            public_part: Some(text.into()),
            ..self
        }
    }

    pub(crate) fn check(&self) -> Result<(), Invalid> {
        let problem = match &self.public_part {
            Some(text) if text.len() > MAX_PUBLIC_PART => {
                format!("it has {} bytes, more than 1 MiB", text.len())
            }
            Some(text) if text.contains('\0') => "it has a NUL character".to_owned(),
            _ => return Ok(()),
        };
        Err(Invalid::PublicPart { problem })
    }
}

impl From<SecretString> for Made {
    fn from(value: SecretString) -> Self {
        Self::new(value)
    }
}

impl fmt::Debug for Made {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Made")
            .field("public_part", &self.public_part)
            .finish_non_exhaustive()
    }
}

/// What became of asking for a generation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ensured {
    /// The value that is stored now.
    pub version: Version,
    /// Whether this call made it.
    pub created: bool,
    /// Whether this call took the secret back into use.
    pub restored: bool,
}

/// What has to be done so that a generation is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Need {
    /// It is there. `restore`: but the secret is marked as retained.
    Nothing { version: Version, restore: bool },
    /// A value, and the secret itself where there is none.
    Value { first: bool, restore: bool },
}

/// Decides what asking for `generation` means, given what is stored.
pub(crate) fn decide(
    have: Option<&Entry>,
    name: &SecretName,
    generation: Generation,
    want: &NewSecret,
) -> Result<Need, Error> {
    let Some(entry) = have else {
        return Ok(Need::Value {
            first: true,
            restore: false,
        });
    };
    if entry.owner != want.owner {
        return Err(Error::Foreign {
            name: name.clone(),
            owner: entry.owner.clone(),
            wanted: want.owner.clone(),
        });
    }
    if entry.kind != want.kind {
        return Err(Error::OtherKind {
            name: name.clone(),
            kind: entry.kind.clone(),
            wanted: want.kind.clone(),
        });
    }
    let restore = entry.retained.is_some();
    if let Some(version) = entry.version(generation) {
        return Ok(Need::Nothing {
            version: version.clone(),
            restore,
        });
    }
    match entry.newest() {
        Some(newest) if generation < newest.generation => Err(Error::GenerationTooOld {
            name: name.clone(),
            generation,
            newest: newest.generation,
        }),
        _ => Ok(Need::Value {
            first: false,
            restore,
        }),
    }
}

/// Which generations go when a new one is made: all but the `keep` highest that
/// were there.
pub(crate) fn outlived(have: &[Version], keep: u32) -> &[Version] {
    let keep = usize::try_from(keep).unwrap_or(usize::MAX);
    &have[..have.len().saturating_sub(keep)]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn generation(number: u32) -> Generation {
        Generation::try_from(number).unwrap()
    }

    fn entry(generations: &[u32], retained: bool) -> Entry {
        let now = OffsetDateTime::UNIX_EPOCH;
        Entry {
            name: "app/db".parse().unwrap(),
            owner: "prod".into(),
            kind: "secrets_password".into(),
            created_at: now,
            generations: generations
                .iter()
                .map(|number| Version {
                    generation: generation(*number),
                    id: SecretId::random(),
                    created_at: now,
                    public_part: None,
                })
                .collect(),
            retained: retained.then(|| Retained {
                by: "prod".into(),
                since: now,
            }),
            rotation: None,
            store_key: None,
        }
    }

    fn ask(have: Option<&Entry>, number: u32, owner: &str, kind: &str) -> Result<Need, Error> {
        let want = NewSecret::new(owner, kind);
        decide(have, &"app/db".parse().unwrap(), generation(number), &want)
    }

    #[test]
    fn what_is_needed() {
        let password = "secrets_password";
        let need = |first, restore| Need::Value { first, restore };
        let two = entry(&[1, 2], false);
        let kept = entry(&[2, 4], true);
        assert_eq!(ask(None, 7, "prod", password).unwrap(), need(true, false));
        assert_eq!(
            ask(Some(&two), 2, "prod", password).unwrap(),
            Need::Nothing {
                version: two.generations[1].clone(),
                restore: false
            }
        );
        assert_eq!(
            ask(Some(&two), 3, "prod", password).unwrap(),
            need(false, false)
        );
        assert_eq!(
            ask(Some(&kept), 2, "prod", password).unwrap(),
            Need::Nothing {
                version: kept.generations[0].clone(),
                restore: true
            }
        );
        assert_eq!(
            ask(Some(&kept), 9, "prod", password).unwrap(),
            need(false, true)
        );
    }

    #[test]
    fn the_lowest_generations_go_first() {
        let have = entry(&[1, 2, 5], false).generations;
        for (keep, gone) in [(0, 3), (1, 2), (2, 1), (3, 0), (u32::MAX, 0)] {
            assert_eq!(outlived(&have, keep), &have[..gone]);
        }
    }

    #[test]
    fn public_parts_are_checked() {
        let made = |text: &str| Made::new(SecretString::from("canary-1")).public_part(text);
        assert!(made("{}").check().is_ok());
        for text in ["a\0b".to_owned(), "x".repeat(MAX_PUBLIC_PART + 1)] {
            assert!(matches!(
                made(&text).check(),
                Err(Invalid::PublicPart { .. })
            ));
        }
        let shown = format!("{:?}", made("{}"));
        assert!(!shown.contains("canary-1"), "{shown}");
    }

    #[test]
    fn what_is_refused() {
        let kept = entry(&[2, 4], true);
        for (number, owner, kind, says) in [
            (
                2,
                "test",
                "secrets_password",
                "belongs to \"prod\", not to \"test\"",
            ),
            (
                2,
                "prod",
                "secrets_token",
                "is a secrets_password, not a secrets_token",
            ),
            (
                3,
                "prod",
                "secrets_password",
                "no generation 3 and is at 4 already",
            ),
            (
                1,
                "prod",
                "secrets_password",
                "no generation 1 and is at 4 already",
            ),
        ] {
            let error = ask(Some(&kept), number, owner, kind)
                .unwrap_err()
                .to_string();
            assert!(error.contains(says), "{error}");
        }
    }
}
