//! Words as a shell takes them, for commands that somebody may copy. Pure.

/// A word that a shell takes for `text`, whatever is in it.
pub(crate) fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

/// The same, without quotes where a shell needs none.
pub(crate) fn word(text: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | '/');
    if !text.is_empty() && text.chars().all(is_plain) {
        text.to_owned()
    } else {
        quoted(text)
    }
}

/// Several words, as [`split`] takes them apart.
pub(crate) fn joined<'a>(words: impl IntoIterator<Item = &'a str>) -> String {
    let words: Vec<String> = words.into_iter().map(word).collect();
    words.join(" ")
}

/// The words of a line, if it is one and has any.
pub(crate) fn split(line: &str) -> Option<Vec<String>> {
    shlex::split(line).filter(|words| !words.is_empty())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{joined, split, word};

    proptest! {
        #[test]
        fn what_is_joined_is_split(words in prop::collection::vec(any::<String>(), 1..5)) {
            let line = joined(words.iter().map(String::as_str));
            prop_assert_eq!(split(&line), Some(words));
        }
    }

    #[test]
    fn what_a_shell_would_read_otherwise_is_quoted() {
        for (text, written) in [
            ("web.db-1_a", "web.db-1_a"),
            ("zone.\"example.org\"", "'zone.\"example.org\"'"),
            ("a'b", r"'a'\''b'"),
            ("$(x) y", "'$(x) y'"),
            ("/run/a-b_c", "/run/a-b_c"),
            ("", "''"),
        ] {
            assert_eq!(word(text), written);
        }
    }
}
