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

/// Texts as an array, or NULL.
pub(crate) struct Literals<'a, T>(pub(crate) Option<&'a [T]>);

impl<T: AsRef<str>> fmt::Display for Literals<'_, T> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(texts) = self.0 else {
            return out.write_str("NULL");
        };
        out.write_str("ARRAY[")?;
        for (position, text) in texts.iter().enumerate() {
            let comma = if position == 0 { "" } else { ", " };
            write!(out, "{comma}{}", Literal(text.as_ref()))?;
        }
        out.write_str("]::text[]")
    }
}

#[cfg(test)]
mod tests;
