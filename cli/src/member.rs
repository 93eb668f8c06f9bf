//! Where a member of a deployment stands, and how that is written for people.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The names that lead from the root to a member.
#[derive(
    Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(transparent)]
pub struct MemberPath(pub Vec<String>);

impl MemberPath {
    /// The names, outermost first.
    #[must_use]
    pub fn names(&self) -> &[String] {
        &self.0
    }

    /// Whether this is `other` or stands below it.
    #[must_use]
    pub fn is_within(&self, other: &Self) -> bool {
        self.0.starts_with(&other.0)
    }
}

/// With dots, quoted where Nix would quote; the root is `(root)`.
impl fmt::Display for MemberPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("(root)");
        }
        for (index, name) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str(".")?;
            }
            if is_plain(name) {
                f.write_str(name)?;
            } else {
                write!(f, "{name:?}")?;
            }
        }
        Ok(())
    }
}

fn is_plain(name: &str) -> bool {
    let mut characters = name.chars();
    characters
        .next()
        .is_some_and(|first| first.is_alphabetic() || first == '_')
        && characters.all(|c| c.is_alphanumeric() || matches!(c, '_' | '-' | '\''))
}

/// An output of a member.
#[derive(
    Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
pub struct OutputRef {
    /// Which member.
    pub path: MemberPath,
    /// Which of its outputs.
    pub output: String,
}

impl fmt::Display for OutputRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.path, self.output)
    }
}

#[cfg(test)]
mod tests {
    use super::MemberPath;

    #[test]
    fn paths_are_written_as_nix_would() {
        for (names, written) in [
            (&[][..], "(root)"),
            (&["db"], "db"),
            (&["web", "db-1"], "web.db-1"),
            (&["zone", "example.org"], "zone.\"example.org\""),
            (&["1"], "\"1\""),
        ] {
            let path = MemberPath(names.iter().map(|&name| name.to_owned()).collect());
            assert_eq!(path.to_string(), written);
        }
    }
}
