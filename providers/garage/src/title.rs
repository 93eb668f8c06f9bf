//! What a key or an admin token is called on the server: the name that its author
//! gave it and, in brackets behind it, the mark.
//!
//! Garage has no comments; but any text is a name there, from the request on that
//! makes the thing.

use std::fmt;

use nixops4_provider_sdk::{Mark, Ownership};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How a mark begins, wherever it stands.
const MARK: &str = "nixops4-resources:";

/// What is to be done with a thing that is taken over before its value is in the
/// store.
pub(crate) const ADOPTION: &str = "adoption";

/// Longest name, in characters: lists of keys show it in one column.
const MOST: usize = 100;

/// A name that an author can give: one line of 1 to 100 characters.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String")]
#[schemars(extend("minLength" = 1, "maxLength" = MOST))]
pub(crate) struct Name(String);

impl Name {
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for Name {
    type Error = String;

    fn try_from(name: String) -> Result<Self, String> {
        let shown: String = name.chars().take(80).collect();
        let refuse = |problem: &str| Err(format!("{shown:?} can't be a name: {problem}"));
        if !(1..=MOST).contains(&name.chars().count()) {
            return refuse("a name has 1 to 100 characters");
        }
        if name.chars().any(char::is_control) || name.trim() != name {
            return refuse("a name is one line, with no space at either end");
        }
        if name.contains(MARK) {
            return refuse("our own mark stands behind it");
        }
        Ok(Self(name))
    }
}

impl fmt::Display for Name {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

/// A name on the server, taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Title {
    pub(crate) name: String,
    pub(crate) mark: Option<Mark>,
    /// Which value of its secret it is, for people.
    pub(crate) generation: Option<u32>,
    /// It isn't finished yet; what is needed to go on.
    pub(crate) making: Option<String>,
}

impl Title {
    /// Takes a name apart. One without a mark is a name through and through.
    pub(crate) fn read(text: &str) -> Self {
        Self::marked(text).unwrap_or_else(|| Self {
            name: text.to_owned(),
            mark: None,
            generation: None,
            making: None,
        })
    }

    fn marked(text: &str) -> Option<Self> {
        let (name, line) = text.strip_suffix(']')?.rsplit_once(" [")?;
        let mark = Mark::find_in(line).filter(|_| line.lines().count() == 1)?;
        let field = |name: &str| {
            let mut fields = line.split_whitespace();
            fields.find_map(|field| field.strip_prefix(name)?.strip_prefix('='))
        };
        Some(Self {
            name: name.to_owned(),
            generation: field("generation").and_then(|number| number.parse().ok()),
            making: field("making").map(str::to_owned),
            mark: Some(mark),
        })
    }

    pub(crate) fn ownership(&self) -> Ownership {
        match &self.mark {
            Some(mark) => Ownership::Marked(mark.clone()),
            None => Ownership::Unmarked,
        }
    }

    /// Whether it is called what its author calls it: what isn't in the store yet
    /// has no name so far, unless it had one before.
    pub(crate) fn is_named(&self, name: &Name) -> bool {
        let making = self.making.as_deref();
        self.name == name.as_str() && making.is_none_or(|making| making == ADOPTION)
    }

    /// Whether it is marked as this one is.
    pub(crate) fn is_of(&self, mark: &Mark) -> bool {
        self.mark.as_ref().is_some_and(|own| own.is_of_same(mark))
    }

    /// Whether both are values of one secret: what is marked alike and called alike.
    pub(crate) fn is_kin(&self, other: &Self) -> bool {
        let marked = other.mark.as_ref().is_some_and(|mark| self.is_of(mark));
        marked && self.name == other.name
    }
}

impl fmt::Display for Title {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.name)?;
        let Some(mark) = &self.mark else {
            return Ok(());
        };
        write!(out, " [{mark}")?;
        if let Some(generation) = self.generation {
            write!(out, " generation={generation}")?;
        }
        if let Some(making) = &self.making {
            write!(out, " making={making}")?;
        }
        out.write_str("]")
    }
}

#[cfg(test)]
mod tests;
