//! Where a member of a deployment stands, and how that is written for people.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::ui::text;

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

/// With dots, and as JSON has it where Nix would quote; the root is `(root)`. What is
/// written is read again by [`FromStr`](std::str::FromStr), whatever the names are.
impl fmt::Display for MemberPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("(root)");
        }
        for (index, name) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str(".")?;
            }
            f.write_str(&written(name))?;
        }
        Ok(())
    }
}

/// A name, in quotes unless it is plain.
fn written(name: &str) -> String {
    if is_plain(name) {
        name.to_owned()
    } else {
        text::quoted(name)
    }
}

fn is_plain(name: &str) -> bool {
    let mut characters = name.chars();
    characters
        .next()
        .is_some_and(|first| first.is_alphabetic() || first == '_')
        && characters.all(|c| c.is_alphanumeric() || matches!(c, '_' | '-' | '\''))
}

/// Why something is no path of a member.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{} is no path of a member: {reason}; write names with dots, as web.db or zone.\"example.org\"",
    text::quoted(text)
)]
pub struct PathError {
    text: String,
    reason: &'static str,
}

/// What [`Display`](fmt::Display) writes.
impl std::str::FromStr for MemberPath {
    type Err = PathError;

    fn from_str(text: &str) -> Result<Self, PathError> {
        let error = |reason| PathError {
            text: text.to_owned(),
            reason,
        };
        let mut names = Vec::new();
        let mut rest = text;
        if rest == "(root)" {
            return Ok(Self::default());
        }
        loop {
            let is_quoted = rest.starts_with('"');
            let name = if is_quoted {
                let mut quoted = serde_json::Deserializer::from_str(rest).into_iter::<String>();
                let name = quoted
                    .next()
                    .and_then(Result::ok)
                    .ok_or_else(|| error("a quoted name in it does not end"))?;
                rest = &rest[quoted.byte_offset()..];
                name
            } else {
                let end = rest.find('.').unwrap_or(rest.len());
                let (name, after) = rest.split_at(end);
                rest = after;
                name.to_owned()
            };
            if name.is_empty() && !is_quoted {
                return Err(error("a name in it is empty"));
            }
            names.push(name);
            match rest.strip_prefix('.') {
                Some(after) => rest = after,
                None if rest.is_empty() => return Ok(Self(names)),
                None => return Err(error("something follows a quoted name without a dot")),
            }
        }
    }
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
        write!(f, "{}.{}", self.path, written(&self.output))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::MemberPath;
    use crate::shell;

    proptest! {
        #[test]
        fn what_is_written_is_read(names in prop::collection::vec(any::<String>(), 0..4)) {
            let path = MemberPath(names);
            let written = path.to_string();
            prop_assert_eq!(written.parse(), Ok(path.clone()));
            prop_assert!(!written.contains(char::is_control), "{}", written);
            // So is what a shell makes of it in a command that is printed.
            let words = shell::split(&shell::word(&written)).unwrap();
            prop_assert_eq!(&words, &vec![written]);
        }
    }

    #[test]
    fn paths_are_written_as_nix_would() {
        for (names, written) in [
            (&[][..], "(root)"),
            (&["db"], "db"),
            (&["web", "db-1"], "web.db-1"),
            (&["zone", "example.org"], "zone.\"example.org\""),
            (&["1"], "\"1\""),
            (&["(root)"], "\"(root)\""),
            (&["", "a\0\u{301}"], "\"\".\"a\\u0000\u{301}\""),
            (&["\u{202e}\u{85}\n"], "\"\\u202e\\u0085\\n\""),
        ] {
            let path = MemberPath(names.iter().map(|&name| name.to_owned()).collect());
            assert_eq!(path.to_string(), written);
            assert_eq!(written.parse(), Ok(path));
        }
    }

    #[test]
    fn what_is_no_path_says_so() {
        for (text, reason) in [
            ("", "is empty"),
            ("a..b", "is empty"),
            ("a.", "is empty"),
            ("a.\"b", "does not end"),
            ("\"a\"b", "without a dot"),
        ] {
            let error = text.parse::<MemberPath>().unwrap_err().to_string();
            assert!(error.contains(reason), "{error}");
        }
    }
}
