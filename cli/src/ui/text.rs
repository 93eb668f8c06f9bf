//! Words, values and colours. Pure.
//!
//! What others say may be anything. Its first line stands behind words of ours, and
//! every further line begins where none of ours does ([`LATER`]), so that nothing that a
//! provider or a server says looks like something that this command says.

use std::fmt::Write as _;

use anstyle::{AnsiColor, Style};
use nixops4_protocol::message::{Effect, PlannedValue};
use serde_json::Value;

use crate::report::Action;

/// What the later lines of others begin with: no line of ours is set in as far.
pub(crate) const LATER: &str = "        ";

/// Colours text, or does not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Paint {
    /// Whether colours are wanted.
    pub(crate) colour: bool,
}

impl Paint {
    /// `text` in a style.
    pub(crate) fn with(self, style: Style, text: &str) -> String {
        if self.colour && !text.is_empty() {
            format!("{style}{text}{style:#}")
        } else {
            text.to_owned()
        }
    }

    /// What matters less.
    pub(crate) fn dim(self, text: &str) -> String {
        self.with(Style::new().dimmed(), text)
    }

    /// What matters more.
    pub(crate) fn bold(self, text: &str) -> String {
        self.with(Style::new().bold(), text)
    }

    /// What went well.
    pub(crate) fn good(self, text: &str) -> String {
        self.with(colour(AnsiColor::Green), text)
    }

    /// What needs attention.
    pub(crate) fn warn(self, text: &str) -> String {
        self.with(colour(AnsiColor::Yellow), text)
    }

    /// What went wrong.
    pub(crate) fn bad(self, text: &str) -> String {
        self.with(colour(AnsiColor::Red).bold(), text)
    }
}

fn colour(colour: AnsiColor) -> Style {
    Style::new().fg_color(Some(colour.into()))
}

/// The mark of an action, at most three characters.
pub(crate) fn symbol(action: Action, paint: Paint) -> String {
    match action {
        Action::None => paint.dim("="),
        Action::Create => paint.good("+"),
        Action::Update => paint.warn("~"),
        Action::Record | Action::Ensure => paint.dim("~"),
        Action::Replace => paint.bad("-/+"),
        Action::Refuse | Action::Unknown => paint.bad("!"),
        Action::Later => paint.warn("?"),
    }
}

/// A JSON pointer as people write paths: `/a/b/0` is `a.b[0]`. What others called
/// their fields is made harmless.
pub(crate) fn field(pointer: &str) -> String {
    let mut text = String::new();
    for token in pointer.split('/').skip(1) {
        let token = token.replace("~1", "/").replace("~0", "~");
        if !text.is_empty() && token.bytes().all(|byte| byte.is_ascii_digit()) {
            text.push('[');
            text.push_str(&token);
            text.push(']');
        } else {
            if !text.is_empty() {
                text.push('.');
            }
            text.push_str(&line(&token));
        }
    }
    if text.is_empty() {
        "(inputs)".to_owned()
    } else {
        text
    }
}

/// A value on one line, cut to `room` characters, with nothing in it that steers a
/// terminal.
pub(crate) fn value(value: &PlannedValue, room: usize, paint: Paint) -> String {
    match value {
        PlannedValue::Known(Value::Null) => paint.dim("(none)"),
        PlannedValue::Known(value) => cut(&escaped(&value.to_string()), room),
        PlannedValue::Unknown => paint.dim("(known after apply)"),
        PlannedValue::Sensitive => paint.dim("(sensitive)"),
    }
}

/// At most `room` characters of a text, and what is left out is marked.
pub(crate) fn cut(text: &str, room: usize) -> String {
    let room = room.max(8);
    if text.chars().count() <= room {
        return text.to_owned();
    }
    let kept: String = text.chars().take(room - 1).collect();
    format!("{kept}…")
}

/// What an effect means for whoever uses the resource.
pub(crate) fn effect(effect: Effect) -> Option<&'static str> {
    match effect {
        Effect::InPlace => None,
        Effect::Disruptive => Some("interrupts whoever uses it"),
        Effect::Replace => Some("only by making it anew, which loses what it holds"),
    }
}

/// Text that others wrote, without what would steer a terminal.
pub(crate) fn harmless(text: &str) -> String {
    let is_meant = |c| matches!(c, '\t' | '\n');
    text.chars()
        .map(|c| match c {
            c if steers(c) && !is_meant(c) => '\u{fffd}',
            c => c,
        })
        .collect()
}

/// The same on one line.
pub(crate) fn line(text: &str) -> String {
    let replaced = |c| if steers(c) { '\u{fffd}' } else { c };
    text.chars().map(replaced).collect()
}

/// Text in quotes as JSON has it, which says all of it and steers nothing.
pub(crate) fn quoted(text: &str) -> String {
    escaped(&Value::from(text).to_string())
}

/// JSON that says the same and steers nothing: what would is only ever in a string of
/// it, where it can be written as its number. What Unicode calls a line end goes, too.
pub(crate) fn escaped(json: &str) -> String {
    let mut escaped = String::with_capacity(json.len());
    for c in json.chars() {
        if steers(c) && c != '\n' {
            let mut units = [0; 2];
            for unit in c.encode_utf16(&mut units) {
                let _ = write!(escaped, "\\u{unit:04x}");
            }
        } else {
            escaped.push(c);
        }
    }
    escaped
}

/// Whether a terminal takes a character for more than something to show: the controls
/// of ASCII and of Latin 1, what changes the direction of writing, and line ends; tags
/// and annotations, which nobody sees.
fn steers(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{61c}' | '\u{200e}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2066}'..='\u{2069}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

/// Why something failed, in a provider's words: harmless, and without the stack
/// trace that some append.
pub(crate) fn reason(text: &str) -> String {
    let lines: Vec<&str> = text
        .lines()
        .take_while(|line| line.trim() != "Stack backtrace:")
        .collect();
    harmless(lines.join("\n").trim_end())
}

/// Text of others behind words of ours: harmless, and its later lines set in.
pub(crate) fn theirs(text: &str) -> String {
    indented(&harmless(text), LATER)
}

/// A text whose lines after the first are indented.
pub(crate) fn indented(text: &str, indent: &str) -> String {
    let mut lines = text.lines();
    let first = lines.next().unwrap_or_default().to_owned();
    lines.fold(first, |all, line| format!("{all}\n{indent}{line}"))
}

/// A number of things.
pub(crate) fn count(number: usize, one: &str, many: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { many })
}

/// A time that somebody waited.
pub(crate) fn seconds(seconds: f64) -> String {
    if seconds < 60.0 {
        return format!("{seconds:.1} s");
    }
    let minutes = (seconds / 60.0).floor();
    format!("{minutes:.0} min {:.0} s", seconds - minutes * 60.0)
}

#[cfg(test)]
mod tests {
    use nixops4_protocol::message::PlannedValue;
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::{
        LATER, Paint, cut, escaped, field, harmless, line, quoted, seconds, steers, theirs, value,
    };

    proptest! {
        #[test]
        fn what_is_escaped_is_the_same_json_and_steers_nothing(text in any::<String>()) {
            for json in [json!(text), json!({ &text: [&text, 1] })] {
                for written in [json.to_string(), serde_json::to_string_pretty(&json).unwrap()] {
                    let escaped = escaped(&written);
                    prop_assert!(!escaped.chars().any(|c| steers(c) && c != '\n'));
                    prop_assert_eq!(&serde_json::from_str::<Value>(&escaped).unwrap(), &json);
                }
            }
            prop_assert_eq!(serde_json::from_str::<String>(&quoted(&text)).unwrap(), text);
        }

        #[test]
        fn later_lines_begin_where_none_of_ours_does(text in "(?s).{0,80}") {
            let told = theirs(&text);
            prop_assert!(told.lines().skip(1).all(|line| line.starts_with(LATER)));
            prop_assert!(!told.chars().any(|c| steers(c) && c != '\n' && c != '\t'));
            prop_assert!(!line(&text).chars().any(steers));
        }
    }

    #[test]
    fn every_control_and_direction_is_escaped() {
        let hostile: String = (0..=0x9f_u32)
            .filter_map(char::from_u32)
            .filter(|c| c.is_control())
            .chain([
                '\u{61c}',
                '\u{200f}',
                '\u{202e}',
                '\u{2066}',
                '\u{2028}',
                '\u{e0041}',
            ])
            .collect();
        let written = quoted(&hostile);
        assert!(written.is_ascii(), "{written}");
        assert!(
            written.contains(r"\u0085") && written.contains(r"\u202e"),
            "{written}"
        );
        assert!(written.contains(r"\udb40\udc41"), "{written}");
        assert_eq!(harmless("a\u{202e}b\u{85}c\nd"), "a\u{fffd}b\u{fffd}c\nd");
        // What people write stays as it is.
        assert_eq!(harmless("äöü 日本 עברית 👩‍💻"), "äöü 日本 עברית 👩‍💻");
    }

    #[test]
    fn pointers_are_written_as_paths() {
        for (pointer, written) in [
            ("", "(inputs)"),
            ("/a", "a"),
            ("/a/b/0/c", "a.b[0].c"),
            ("/a~1b/~0", "a/b.~"),
            ("/0", "0"),
            ("/a\u{1b}[2J", "a\u{fffd}[2J"),
        ] {
            assert_eq!(field(pointer), written);
        }
    }

    #[test]
    fn long_text_is_cut_by_characters() {
        assert_eq!(cut("äöüäöüäöü", 8), "äöüäöüä…");
        assert_eq!(cut("short", 8), "short");
    }

    #[test]
    fn nothing_steers_the_terminal() {
        assert_eq!(harmless("a\u{1b}[2Jb\r"), "a\u{fffd}[2Jb\u{fffd}");
        let hostile = PlannedValue::Known(json!("\u{9b}2J\u{1b}c\u{7f}"));
        let plain = Paint { colour: false };
        let shown = value(&hostile, 80, plain);
        assert_eq!(shown, r#""\u009b2J\u001bc\u007f""#);
    }

    #[test]
    fn times_are_readable() {
        assert_eq!(seconds(0.04), "0.0 s");
        assert_eq!(seconds(61.0), "1 min 1 s");
    }
}
