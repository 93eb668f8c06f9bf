//! What a value is called: name, generation and id, each parsed once, at the
//! edge. Also the rule for the short texts beside it (owner, kind, who did it).
//! It knows nothing of what is stored under a name.

use std::fmt;
use std::num::NonZeroU32;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::error::Invalid;

/// Longest name, owner, kind or person, in characters.
const MAX_CHARS: usize = 200;

/// The name of a secret, such as `mastodon/db`.
///
/// 1 to 200 of `A-Z a-z 0-9 . _ / @ + -`, in segments between slashes; no
/// segment is empty, `.` or `..`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct SecretName(String);

impl SecretName {
    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for SecretName {
    type Error = Invalid;

    fn try_from(name: String) -> Result<Self, Invalid> {
        let refuse = |problem: &str| Invalid::Name {
            problem: problem.into(),
        };
        if name.is_empty() {
            return Err(refuse("it is empty"));
        }
        if let Some(odd) = name
            .chars()
            .find(|c| !(c.is_ascii_alphanumeric() || "._/@+-".contains(*c)))
        {
            return Err(refuse(&format!("it has the character {odd:?}")));
        }
        if name.len() > MAX_CHARS {
            return Err(refuse(&format!("it has {} characters", name.len())));
        }
        for segment in name.split('/') {
            match segment {
                "" => return Err(refuse("a part between slashes is empty")),
                "." | ".." => return Err(refuse(&format!("a part between slashes is {segment}"))),
                _ => {}
            }
        }
        Ok(Self(name))
    }
}

impl FromStr for SecretName {
    type Err = Invalid;

    fn from_str(name: &str) -> Result<Self, Invalid> {
        name.to_owned().try_into()
    }
}

impl From<SecretName> for String {
    fn from(name: SecretName) -> Self {
        name.0
    }
}

impl fmt::Display for SecretName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Which value of a secret: 1, and one more for each rotation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "u32", into = "u32")]
pub struct Generation(NonZeroU32);

impl Generation {
    /// The first one, 1.
    pub const FIRST: Self = Self(NonZeroU32::MIN);

    /// The number.
    #[must_use]
    pub fn get(self) -> u32 {
        self.0.get()
    }
}

impl TryFrom<u32> for Generation {
    type Error = Invalid;

    fn try_from(number: u32) -> Result<Self, Invalid> {
        NonZeroU32::new(number).map(Self).ok_or(Invalid::Generation)
    }
}

impl From<Generation> for u32 {
    fn from(generation: Generation) -> Self {
        generation.get()
    }
}

impl fmt::Display for Generation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The random id (`UUIDv4`) of one value. A value that is made anew, even under
/// the same name and generation, has another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct SecretId(Uuid);

impl SecretId {
    pub(crate) fn random() -> Self {
        Self(Uuid::new_v4())
    }
}

impl FromStr for SecretId {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        Uuid::try_parse(text)
            .ok()
            .filter(|uuid| uuid.get_version_num() == 4 && uuid.to_string() == text)
            .map(Self)
            .ok_or(Invalid::Id)
    }
}

impl TryFrom<String> for SecretId {
    type Error = Invalid;

    fn try_from(text: String) -> Result<Self, Invalid> {
        text.parse()
    }
}

impl From<SecretId> for String {
    fn from(id: SecretId) -> Self {
        id.to_string()
    }
}

impl fmt::Display for SecretId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Checks one of the short texts kept beside a secret: `what` is "owner",
/// "kind" or the like.
pub(crate) fn check_label(what: &'static str, text: &str) -> Result<(), Invalid> {
    let problem = if text.trim().is_empty() {
        "it is empty".to_owned()
    } else if text.chars().count() > MAX_CHARS {
        format!("it has {} characters", text.chars().count())
    } else if let Some(odd) = text.chars().find(|c| c.is_control()) {
        format!("it has the control character {odd:?}")
    } else {
        return Ok(());
    };
    Err(Invalid::Label { what, problem })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn names_are_checked() {
        let long = "x".repeat(201);
        for (given, says) in [
            ("", "it is empty"),
            ("a b", "the character ' '"),
            ("gr\u{fc}n", "the character 'ü'"),
            ("a\nb", r"the character '\n'"),
            ("/a", "a part between slashes is empty"),
            ("a/", "a part between slashes is empty"),
            ("a//b", "a part between slashes is empty"),
            ("a/./b", "a part between slashes is ."),
            ("..", "a part between slashes is .."),
            (long.as_str(), "it has 201 characters"),
        ] {
            let error = given.parse::<SecretName>().unwrap_err().to_string();
            assert!(error.contains(says), "{given:?}: {error}");
            assert!(error.contains("give 1 to 200"), "{given:?}: {error}");
        }
        for good in [
            "a",
            "mastodon/db",
            "a...b",
            "x@host+1_2-3.pem",
            &long[..200],
        ] {
            assert_eq!(good.parse::<SecretName>().unwrap().as_str(), good);
        }
    }

    #[test]
    fn generations_start_at_one() {
        assert!(Generation::try_from(0).is_err());
        assert_eq!(Generation::try_from(1).unwrap(), Generation::FIRST);
        assert_eq!(Generation::try_from(u32::MAX).unwrap().get(), u32::MAX);
        assert!(serde_json::from_str::<Generation>("0").is_err());
        assert_eq!(serde_json::to_string(&Generation::FIRST).unwrap(), "1");
    }

    #[test]
    fn ids_are_canonical_random_uuids() {
        let id = SecretId::random();
        assert_eq!(id.to_string().parse::<SecretId>().unwrap(), id);
        for bad in [
            "",
            "8f3c",
            "00000000-0000-0000-0000-000000000000",
            &id.to_string().to_uppercase(),
            &id.to_string().replace('-', ""),
        ] {
            // An id of digits alone reads the same in capitals.
            if bad != id.to_string() {
                assert!(bad.parse::<SecretId>().is_err(), "{bad}");
            }
        }
    }

    #[test]
    fn labels_are_checked() {
        assert!(check_label("owner", "production").is_ok());
        for (bad, says) in [
            (" ".to_owned(), "empty"),
            ("a\u{1b}[31m".to_owned(), "control"),
            ("x".repeat(201), "201 characters"),
        ] {
            let error = check_label("owner", &bad).unwrap_err().to_string();
            assert!(error.contains("owner") && error.contains(says), "{error}");
        }
    }

    proptest! {
        #[test]
        fn whatever_parses_keeps_the_rule(text in ".{0,220}") {
            if let Ok(name) = text.parse::<SecretName>() {
                prop_assert_eq!(name.as_str(), &text);
                prop_assert!((1..=200).contains(&text.len()));
                prop_assert!(text.split('/').all(|part| !["", ".", ".."].contains(&part)));
            }
        }

        #[test]
        fn well_formed_names_parse_and_survive_json(
            name in "[A-Za-z0-9_@+-]{1,20}(/[A-Za-z0-9._@+-]{0,20}[A-Za-z0-9]){0,5}",
        ) {
            let parsed: SecretName = name.parse().unwrap();
            let json = serde_json::to_string(&parsed).unwrap();
            prop_assert_eq!(serde_json::from_str::<SecretName>(&json).unwrap(), parsed);
        }
    }
}
