//! What a user reads when something fails: what, why, where, and what to do next.

use std::fmt;

/// How much of each line of an answer is said, in characters.
const LONGEST_LINE: usize = 4000;

/// The result of everything that a kind does.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Whether trying the same again may help.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retry {
    /// No: somebody has to change something first.
    Never,
    /// For some seconds: the server may be starting again.
    Briefly,
    /// Until the deadline: the server is busy, or somebody was quicker.
    UntilDeadline,
}

/// A failure, written for whoever runs the deployment. Never holds a secret.
#[derive(Debug, Clone)]
pub struct Error {
    summary: String,
    cause: Option<String>,
    hint: Option<String>,
    pointer: Option<String>,
    retry: Retry,
    code: Option<Box<str>>,
}

impl Error {
    /// A failure in one sentence, lower case, without a full stop: "unable to
    /// ACTION THING".
    pub fn new(summary: impl Into<String>) -> Self {
        Self {
            summary: summary.into(),
            cause: None,
            hint: None,
            pointer: None,
            retry: Retry::Never,
            code: None,
        }
    }

    /// What an input has to be, said of the input at `pointer`.
    pub fn input(pointer: impl Into<String>, summary: impl Into<String>) -> Self {
        Self::new(summary).at(pointer)
    }

    /// Why it failed, in the server's or the library's own words.
    #[must_use]
    pub fn because(mut self, cause: impl fmt::Display) -> Self {
        self.cause = Some(cause.to_string());
        self
    }

    /// The server's own code for what failed, such as an SQLSTATE. It is not shown: a
    /// kind judges by it, because the words of a server are in any language.
    #[must_use]
    pub fn coded(mut self, code: &str) -> Self {
        self.code = Some(code.into());
        self
    }

    /// The server's own code for what failed, if it gave one.
    #[must_use]
    pub fn code(&self) -> Option<&str> {
        self.code.as_deref()
    }

    /// What to do next.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// The input that is to blame, as a JSON pointer.
    #[must_use]
    pub fn at(mut self, pointer: impl Into<String>) -> Self {
        self.pointer = Some(pointer.into());
        self
    }

    /// The input that is to blame, unless another one is already, such as the
    /// connection.
    #[must_use]
    pub fn at_unless_said(mut self, pointer: impl Into<String>) -> Self {
        self.pointer.get_or_insert_with(|| pointer.into());
        self
    }

    /// With the pointer that `place` gives for the one it has, if it has one: for an
    /// input that is called otherwise where it comes from.
    #[must_use]
    pub fn placed(mut self, place: impl FnOnce(&str) -> String) -> Self {
        self.pointer = self.pointer.map(|pointer| place(&pointer));
        self
    }

    /// Puts `prefix` before the pointer, for an input that is part of another.
    #[must_use]
    pub fn within(mut self, prefix: &str) -> Self {
        self.pointer = Some(format!("{prefix}{}", self.pointer.unwrap_or_default()));
        self
    }

    /// Whether trying again may help; it is [`Retry::Never`] unless said.
    #[must_use]
    pub fn retry(mut self, retry: Retry) -> Self {
        self.retry = retry;
        self
    }

    /// Whether trying again may help.
    #[must_use]
    pub fn may_retry(&self) -> Retry {
        self.retry
    }

    /// The failure in one sentence, without cause, hint and pointer.
    #[must_use]
    pub fn summary(&self) -> &str {
        &self.summary
    }

    /// The input that is to blame, if one is.
    #[must_use]
    pub fn pointer(&self) -> Option<&str> {
        self.pointer.as_deref()
    }

    /// Without its hint, for an error that is the cause of another.
    pub(crate) fn without_hint(self) -> Self {
        Self { hint: None, ..self }
    }

    /// Without its pointer, for a place that shows it by itself.
    pub(crate) fn without_pointer(self) -> Self {
        Self {
            pointer: None,
            ..self
        }
    }
}

/// The beginning of a text, in characters: what comes from outside can be as
/// long as a request.
pub(crate) fn shortened(text: &str, limit: usize) -> String {
    match text.char_indices().nth(limit) {
        None => text.to_owned(),
        Some((end, _)) => format!("{}...", &text[..end]),
    }
}

/// A message as whoever asked can print it: parts of the request may stand in it, and
/// nothing in it steers a terminal or is endless.
pub(crate) fn plain(message: &str) -> String {
    let lines = message.lines().map(|line| {
        let line = shortened(line, LONGEST_LINE);
        line.replace(steers, "\u{fffd}")
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// Whether a terminal obeys it: a control, or what turns the direction of writing.
fn steers(character: char) -> bool {
    (character.is_control() && character != '\t')
        || matches!(character,
            '\u{61c}' | '\u{200e}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2066}'..='\u{2069}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

impl fmt::Display for Error {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(pointer) = &self.pointer {
            write!(out, "{pointer}: ")?;
        }
        out.write_str(&self.summary)?;
        if let Some(cause) = &self.cause {
            write!(out, ": {cause}")?;
        }
        if let Some(hint) = &self.hint {
            write!(out, "\nhint: {hint}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Error {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_where_why_and_what_next() {
        let error = Error::input("/file", "unable to read it").because("no such file");
        let error = error.hint("make it").within("/password");
        assert_eq!(
            error.to_string(),
            "/password/file: unable to read it: no such file\nhint: make it"
        );
        assert_eq!(error.may_retry(), Retry::Never);
        assert_eq!(
            error.without_hint().without_pointer().to_string(),
            "unable to read it: no such file"
        );
        assert_eq!(Error::new("x").within("/a").to_string(), "/a: x");
    }

    #[test]
    fn a_long_text_is_cut_between_characters() {
        assert_eq!(shortened("ééé", 3), "ééé");
        assert_eq!(shortened("éééé", 3), "ééé...");
    }

    #[test]
    fn an_error_steers_no_terminal_and_has_an_end() {
        for (message, said) in [
            ("/a: wrong\nhint: right", "/a: wrong\nhint: right"),
            (
                "/\u{1b}[2J: \u{9b}\u{202e}\r\nhint: b",
                "/\u{fffd}[2J: \u{fffd}\u{fffd}\nhint: b",
            ),
            ("", ""),
        ] {
            assert_eq!(plain(message), said);
        }
        let long = format!("/a: {}\nhint: less", "x".repeat(1 << 20));
        let said = plain(&long);
        assert!(said.len() < 2 * LONGEST_LINE, "{}", said.len());
        assert!(said.ends_with("...\nhint: less"));
    }
}
