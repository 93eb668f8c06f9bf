//! The comment on a thing: our mark on a line of its own, and other people's
//! text beside it.

use nixops4_provider_sdk::{Error, Mark, Result};

/// The text beside the mark, with plain line breaks and none at its end.
pub(crate) fn text(comment: &str) -> String {
    let lines: Vec<_> = comment
        .lines()
        .filter(|line| Mark::find_in(line).is_none())
        .collect();
    lines.join("\n").trim_end_matches('\n').to_owned()
}

/// The comment with this mark in place of the one that it has; the other lines
/// stay as they are.
pub(crate) fn with_mark(comment: Option<&str>, mark: &Mark) -> String {
    let text = text(comment.unwrap_or_default());
    if text.is_empty() {
        mark.to_string()
    } else {
        format!("{text}\n{mark}")
    }
}

/// Refuses a text that can't stand beside a mark.
pub(crate) fn validate(comment: Option<&str>) -> Result<()> {
    let Some(comment) = comment else {
        return Ok(());
    };
    if comment.contains('\0') {
        return Err(Error::input(
            "/comment",
            "a comment can't have a NUL character in it",
        ));
    }
    if Mark::find_in(comment).is_some() {
        return Err(
            Error::input("/comment", "a line of the comment is a mark of ownership")
                .hint("leave that line out; the mark is written by itself"),
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use nixops4_provider_sdk::Owner;

    use super::*;

    #[test]
    fn text_and_mark() {
        let mark = Mark::new(
            Owner::try_from("demo".to_owned()).unwrap(),
            "postgresql_role",
        );
        let line = mark.to_string();
        assert_eq!(with_mark(None, &mark), line);
        for (before, beside) in [
            (String::new(), ""),
            (line.clone(), ""),
            ("the mail server's".to_owned(), "the mail server's"),
            (format!("one\r\n{line}\ntwo\n\n"), "one\ntwo"),
            (format!("{line}\n\n"), ""),
        ] {
            assert_eq!(text(&before), beside);
            let after = with_mark(Some(&before), &mark);
            assert_eq!(text(&after), beside);
            assert_eq!(Mark::find_in(&after), Some(mark.clone()));
        }
    }

    #[test]
    fn what_is_refused() {
        validate(Some("it's\nfine")).unwrap();
        let line = Mark::new(
            Owner::try_from("demo".to_owned()).unwrap(),
            "postgresql_role",
        );
        for (comment, problem) in [(format!("a\n{line}"), "mark"), ("a\0".to_owned(), "NUL")] {
            assert!(
                validate(Some(&comment))
                    .unwrap_err()
                    .to_string()
                    .contains(problem)
            );
        }
    }
}
