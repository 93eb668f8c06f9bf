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
mod tests {
    use super::*;

    #[test]
    fn identifiers() {
        for (name, quoted) in [
            ("app", r#""app""#),
            ("App", r#""App""#),
            ("select", r#""select""#),
            (r#"a"b"#, r#""a""b""#),
            (
                r#"x"; DROP ROLE postgres; --"#,
                r#""x""; DROP ROLE postgres; --""#,
            ),
        ] {
            let name = Name::try_from(name.to_owned()).unwrap();
            assert_eq!(Ident(&name).to_string(), quoted);
        }
    }

    #[test]
    fn literals() {
        for (text, quoted) in [
            ("", "''"),
            ("it's", "'it''s'"),
            (r"a\'b", r" E'a\\''b'"),
            ("$$", "'$$'"),
            ("a\nb", "'a\nb'"),
        ] {
            assert_eq!(Literal(text).to_string(), quoted);
        }
    }
}
