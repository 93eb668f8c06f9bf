//! Where a mark stands on a server, and what else stands there.
//!
//! Not every server has comments. A mark stands in a [`Comment`], in the name of the thing
//! ([`MarkedName`]), or beside the thing, as one of the values that something of its own
//! has ([`Beside`]). A [`Carrier`] takes apart what the server keeps there, puts another
//! mark in the place of the one that is there, and leaves the text of others as it is.
//!
//! What a mark says is [`Mark`]'s. This module must not know any server.

use std::fmt;

use crate::error::{Error, Result};
use crate::mark::{Mark, PREFIX};
use crate::ownership::Ownership;

/// What a server keeps in the place where a mark can stand.
pub trait Carrier: Sized {
    /// As the server keeps it.
    type Kept: ToOwned + ?Sized;

    /// Takes it apart.
    fn read(kept: &Self::Kept) -> Self;

    /// Puts it together again.
    fn write(&self) -> <Self::Kept as ToOwned>::Owned;

    /// The mark. What only looks like one is the text of others.
    fn mark(&self) -> Option<&Mark>;

    /// The same with this mark in the place of the one that it has.
    #[must_use]
    fn with_mark(self, mark: Option<Mark>) -> Self;

    /// Whether what an author wants to have kept there could be taken for a mark.
    fn is_forged(wanted: &Self::Kept) -> bool;

    /// Whose the thing is.
    fn ownership(&self) -> Ownership {
        match self.mark() {
            Some(mark) => Ownership::Marked(mark.clone()),
            None => Ownership::Unmarked,
        }
    }

    /// Whether it is marked for the same deployment and resource type.
    fn is_of_same(&self, mark: &Mark) -> bool {
        self.mark().is_some_and(|own| own.is_of_same(mark))
    }
}

/// A comment or description: the mark is a line of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Comment {
    /// The other lines, with plain line breaks and none at the end.
    pub text: String,
    /// The mark.
    pub mark: Option<Mark>,
}

impl Comment {
    /// Takes apart the comment of a thing that may have none.
    #[must_use]
    pub fn of(comment: Option<&str>) -> Self {
        Self::read(comment.unwrap_or_default())
    }

    /// The comment with this mark in the place of the one that it has.
    #[must_use]
    pub fn marked(comment: Option<&str>, mark: &Mark) -> String {
        Self::of(comment).with_mark(Some(mark.clone())).write()
    }

    /// Refuses a text, the input at `/comment`, that can't stand beside a mark.
    pub fn validate(text: Option<&str>) -> Result<()> {
        let refuse = |problem: &str| Error::input("/comment", problem);
        match text {
            Some(text) if text.contains('\0') => {
                Err(refuse("a comment can't have a NUL character in it"))
            }
            Some(text) if Self::is_forged(text) => {
                Err(refuse("a line of the comment is a mark of ownership")
                    .hint("leave that line out; the mark is written by itself"))
            }
            _ => Ok(()),
        }
    }
}

impl Carrier for Comment {
    type Kept = str;

    fn read(comment: &str) -> Self {
        let is_mark = |line: &&str| Mark::find_in(line).is_some();
        let others: Vec<_> = comment.lines().filter(|line| !is_mark(line)).collect();
        Self {
            text: others.join("\n").trim_end_matches('\n').to_owned(),
            mark: Mark::find_in(comment),
        }
    }

    fn write(&self) -> String {
        match &self.mark {
            Some(mark) if self.text.is_empty() => mark.to_string(),
            Some(mark) => format!("{}\n{mark}", self.text),
            None => self.text.clone(),
        }
    }

    fn mark(&self) -> Option<&Mark> {
        self.mark.as_ref()
    }

    fn with_mark(self, mark: Option<Mark>) -> Self {
        Self { mark, ..self }
    }

    fn is_forged(wanted: &str) -> bool {
        Mark::find_in(wanted).is_some()
    }
}

/// A name with the mark in brackets behind it, for servers that take any text as a name
/// and have no other place: `NAME [MARK]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MarkedName {
    /// The name that its author gave it. Without a mark it is all of the text.
    pub name: String,
    /// The mark.
    pub mark: Option<Mark>,
    /// What a provider keeps behind the mark, such as `generation` and `3`.
    pub notes: Vec<(String, String)>,
}

impl MarkedName {
    /// What is noted under this name.
    #[must_use]
    pub fn note(&self, name: &str) -> Option<&str> {
        let mut notes = self.notes.iter();
        notes.find_map(|(own, value)| (own == name).then_some(value.as_str()))
    }

    fn marked(text: &str) -> Option<Self> {
        let (name, line) = text.strip_suffix(']')?.rsplit_once(" [")?;
        let (mark, notes) = Mark::read_line(line)?;
        Some(Self {
            name: name.to_owned(),
            mark: Some(mark),
            notes,
        })
    }
}

impl Carrier for MarkedName {
    type Kept = str;

    fn read(text: &str) -> Self {
        Self::marked(text).unwrap_or_else(|| Self {
            name: text.to_owned(),
            mark: None,
            notes: Vec::new(),
        })
    }

    fn write(&self) -> String {
        self.to_string()
    }

    fn mark(&self) -> Option<&Mark> {
        self.mark.as_ref()
    }

    fn with_mark(self, mark: Option<Mark>) -> Self {
        Self { mark, ..self }
    }

    fn is_forged(wanted: &str) -> bool {
        // Behind it stands ours, and the two would be read as one.
        wanted.contains(PREFIX)
    }
}

impl fmt::Display for MarkedName {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.name)?;
        let Some(mark) = &self.mark else {
            return Ok(());
        };
        write!(out, " [{mark}")?;
        for (name, value) in &self.notes {
            write!(out, " {name}={value}")?;
        }
        out.write_str("]")
    }
}

/// Values beside the thing, of which one is the mark: those of a TXT record under a name
/// that belongs to the thing's, or of an LDAP attribute that can have several.
///
/// They have no order. So two marks that differ are none, and the thing is foreign.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Beside {
    /// The values of others, in the order in which the server gave them.
    pub others: Vec<String>,
    /// The mark.
    pub mark: Option<Mark>,
}

impl Carrier for Beside {
    type Kept = [String];

    fn read(values: &[String]) -> Self {
        let mut marks = Vec::new();
        let mut others = Vec::new();
        for value in values {
            match Mark::read_line(value) {
                Some((mark, _)) if !marks.contains(&mark) => marks.push(mark),
                Some(_) => {}
                None => others.push(value.clone()),
            }
        }
        Self {
            others,
            mark: marks.pop().filter(|_| marks.is_empty()),
        }
    }

    fn write(&self) -> Vec<String> {
        let mark = self.mark.iter().map(Mark::to_string);
        self.others.iter().cloned().chain(mark).collect()
    }

    fn mark(&self) -> Option<&Mark> {
        self.mark.as_ref()
    }

    fn with_mark(self, mark: Option<Mark>) -> Self {
        Self { mark, ..self }
    }

    fn is_forged(wanted: &[String]) -> bool {
        wanted.iter().any(|value| Mark::find_in(value).is_some())
    }
}

#[cfg(test)]
mod tests;
