//! A script's statements, told apart as `psql` does it.

/// The statements between the semicolons that stand in no text, name, comment or
/// brackets; blank ones are left out. A function's body has to be quoted.
pub(super) fn statements(script: &str) -> Vec<&str> {
    let bytes = script.as_bytes();
    let (mut all, mut start, mut at, mut depth) = (Vec::new(), 0, 0, 0_usize);
    while at < bytes.len() {
        let rest = &script[at..];
        at += match bytes[at] {
            b'\'' if is_escaping(&script[start..at]) => quoted(rest, true),
            b'\'' | b'"' => quoted(rest, false),
            b'-' if rest.starts_with("--") => rest.find('\n').unwrap_or(rest.len()),
            b'/' if rest.starts_with("/*") => comment(rest),
            b'$' if !ends_in_name(&script[start..at]) => dollars(rest),
            b'(' => {
                depth += 1;
                1
            }
            b')' => {
                depth = depth.saturating_sub(1);
                1
            }
            b';' if depth == 0 => {
                all.push(&script[start..at]);
                start = at + 1;
                1
            }
            _ => rest.chars().next().map_or(1, char::len_utf8),
        };
    }
    all.push(&script[start..]);
    all.retain(|statement| !statement.trim().is_empty());
    all
}

fn ends_in_name(before: &str) -> bool {
    before.ends_with(|last: char| last.is_alphanumeric() || last == '_' || last == '$')
}

/// Whether a text after this is one of `E'...'`.
fn is_escaping(before: &str) -> bool {
    before
        .strip_suffix(['e', 'E'])
        .is_some_and(|before| !ends_in_name(before))
}

/// The length of what begins with a quote. A doubled one ends a text and begins
/// another, which comes to the same.
fn quoted(text: &str, escapes: bool) -> usize {
    let bytes = text.as_bytes();
    let mut at = 1;
    while at < bytes.len() {
        match bytes[at] {
            b'\\' if escapes => at += 2,
            byte if byte == bytes[0] && escapes && bytes.get(at + 1) == Some(&byte) => at += 2,
            byte if byte == bytes[0] => return at + 1,
            _ => at += 1,
        }
    }
    bytes.len()
}

/// The length of a comment, with those in it.
fn comment(text: &str) -> usize {
    let bytes = text.as_bytes();
    let (mut at, mut depth) = (0, 0);
    while at < bytes.len() {
        match bytes.get(at..at + 2) {
            Some(b"/*") => (at, depth) = (at + 2, depth + 1),
            Some(b"*/") => (at, depth) = (at + 2, depth - 1),
            _ => at += 1,
        }
        if depth == 0 {
            break;
        }
    }
    at
}

/// The length of `$tag$...$tag$`, or of a lone dollar.
fn dollars(text: &str) -> usize {
    let Some(tag) = text[1..].find('$').map(|end| &text[..end + 2]) else {
        return 1;
    };
    let name = &tag[1..tag.len() - 1];
    if name.starts_with(|first: char| first.is_ascii_digit())
        || !name.chars().all(|one| one.is_alphanumeric() || one == '_')
    {
        return 1;
    }
    let end = text[tag.len()..].find(tag);
    end.map_or(text.len(), |end| end + 2 * tag.len())
}

#[cfg(test)]
mod tests {
    use super::statements;

    #[test]
    fn statements_are_told_apart() {
        for (script, expected) in [
            ("", &[][..]),
            (" ; ;\n", &[]),
            ("select 1", &["select 1"]),
            ("select 1; select 2;", &["select 1", " select 2"]),
            ("select ';'; x", &["select ';'", " x"]),
            ("select 'it''s;'; x", &["select 'it''s;'", " x"]),
            (r"select '\'; x", &[r"select '\'", " x"]),
            (r"select E'\';'; x", &[r"select E'\';'", " x"]),
            (r"select E'a''\';'; x", &[r"select E'a''\';'", " x"]),
            (r"select name'\'; x", &[r"select name'\'", " x"]),
            (r#"drop role "a;""b;"; x"#, &[r#"drop role "a;""b;""#, " x"]),
            ("select 1 -- ; '\n; x", &["select 1 -- ; '\n", " x"]),
            (
                "select /* ; /* ' */ ; */ 1; x",
                &["select /* ; /* ' */ ; */ 1", " x"],
            ),
            ("do $$ a; 'b $$; x", &["do $$ a; 'b $$", " x"]),
            ("do $é$ a; $$ b; $é$; x", &["do $é$ a; $$ b; $é$", " x"]),
            ("select a$b; c$b; x", &["select a$b", " c$b", " x"]),
            ("select $1; x", &["select $1", " x"]),
            ("rule (a; b); x", &["rule (a; b)", " x"]),
            ("select 'ü;é'; x", &["select 'ü;é'", " x"]),
            ("select 'open; x", &["select 'open; x"]),
        ] {
            assert_eq!(statements(script), expected, "{script:?}");
        }
    }
}
