//! What the store tells of a secret, without its values, and the pure decision
//! of what asking for a generation means. It knows nothing of databases.

use time::OffsetDateTime;

use crate::error::{Error, Invalid};
use crate::name::{Generation, SecretId, SecretName, check_label};

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
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Version {
    /// Its generation.
    pub generation: Generation,
    /// Its random id, to be recorded in a reference.
    pub id: SecretId,
    /// When it was made, to the second.
    pub created_at: OffsetDateTime,
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
}

impl NewSecret {
    pub(crate) fn check(&self) -> Result<(), Invalid> {
        check_label("owner", &self.owner)?;
        check_label("kind", &self.kind)
    }
}

/// What became of asking for a generation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ensured {
    /// The value that is stored now.
    pub version: Version,
    /// Whether this call made it.
    pub created: bool,
    /// Whether this call took the secret back into use.
    pub restored: bool,
}

/// What has to be done so that a generation is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
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
            version: *version,
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
                })
                .collect(),
            retained: retained.then(|| Retained {
                by: "prod".into(),
                since: now,
            }),
        }
    }

    fn ask(have: Option<&Entry>, number: u32, owner: &str, kind: &str) -> Result<Need, Error> {
        let want = NewSecret {
            owner: owner.into(),
            kind: kind.into(),
        };
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
                version: two.generations[1],
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
                version: kept.generations[0],
                restore: true
            }
        );
        assert_eq!(
            ask(Some(&kept), 9, "prod", password).unwrap(),
            need(false, true)
        );
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
