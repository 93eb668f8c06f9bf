//! Identifiers and literals: the one place that quotes anything.

use std::fmt;

use crate::name::Name;

/// A name as an identifier: always quoted, so that no name is a keyword.
pub(crate) struct Ident<'a>(pub(crate) &'a Name);

impl fmt::Display for Ident<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "\"{}\"", self.0.as_str().replace('"', "\"\""))
    }
}

/// Text as a string literal that reads the same whatever
/// `standard_conforming_strings` is set to. NUL can't be part of one.
pub(crate) struct Literal<'a>(pub(crate) &'a str);

impl fmt::Display for Literal<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let quoted = self.0.replace('\'', "''");
        if quoted.contains('\\') {
            write!(out, " E'{}'", quoted.replace('\\', "\\\\"))
        } else {
            write!(out, "'{quoted}'")
        }
    }
}

#[cfg(test)]
mod tests;
