//! Text of others, made harmless: nothing in it steers a terminal. Pure.

use std::fmt::Write as _;

use serde_json::Value;

/// Text that others wrote, without what would steer a terminal.
#[must_use]
pub fn harmless(text: &str) -> String {
    let is_meant = |c| matches!(c, '\t' | '\n');
    text.chars()
        .map(|c| match c {
            c if steers(c) && !is_meant(c) => '\u{fffd}',
            c => c,
        })
        .collect()
}

/// The same on one line.
#[must_use]
pub fn line(text: &str) -> String {
    let replaced = |c| if steers(c) { '\u{fffd}' } else { c };
    text.chars().map(replaced).collect()
}

/// Text in quotes as JSON has it, which says all of it and steers nothing.
#[must_use]
pub fn quoted(text: &str) -> String {
    escaped(&Value::from(text).to_string())
}

/// JSON that says the same and steers nothing: what would is only ever in a string of
/// it, where it can be written as its number. What Unicode calls a line end goes, too.
#[must_use]
pub fn escaped(json: &str) -> String {
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
#[must_use]
pub fn steers(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{61c}' | '\u{200e}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2066}'..='\u{2069}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::{escaped, harmless, quoted, steers};

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
}
