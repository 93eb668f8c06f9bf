//! Words as a shell takes them, for commands that somebody may copy. Pure.

/// A word that a shell takes for `text`, whatever is in it.
pub(crate) fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

/// The same, without quotes where a shell needs none.
pub(crate) fn word(text: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    if !text.is_empty() && text.chars().all(is_plain) {
        text.to_owned()
    } else {
        quoted(text)
    }
}

#[cfg(test)]
mod tests {
    use super::word;

    #[test]
    fn what_a_shell_would_read_otherwise_is_quoted() {
        for (text, written) in [
            ("web.db-1_a", "web.db-1_a"),
            ("zone.\"example.org\"", "'zone.\"example.org\"'"),
            ("a'b", r"'a'\''b'"),
            ("$(x) y", "'$(x) y'"),
            ("", "''"),
        ] {
            assert_eq!(word(text), written);
        }
    }
}
