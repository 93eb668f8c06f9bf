//! Taking resolved secrets out of everything that this process says.
//!
//! The last line of defence: nothing is meant to carry one in the first place.
//! It knows no references.

use std::cmp::Reverse;
use std::sync::{Mutex, PoisonError};

use secrecy::{ExposeSecret as _, SecretString};
use zeroize::Zeroizing;

/// Shorter values would turn up in ordinary text.
const MIN_REDACTED: usize = 6;

/// Every value that this process has resolved, in all its spellings. Longer ones come first, so that a value
/// that begins with another one isn't left with its end showing.
static RESOLVED: Mutex<Vec<SecretString>> = Mutex::new(Vec::new());

/// Makes sure that a value shows up in nothing that this process says.
pub fn remember(value: &SecretString) {
    let text = value.expose_secret();
    if text.len() < MIN_REDACTED {
        return;
    }
    let mut resolved = RESOLVED.lock().unwrap_or_else(PoisonError::into_inner);
    for form in spellings(text) {
        let known = |known: &SecretString| known.expose_secret() == form.expose_secret();
        if !resolved.iter().any(known) {
            resolved.push(form);
        }
    }
    resolved.sort_by_key(|form| Reverse(form.expose_secret().len()));
}

/// How a value can be written: quoted up to twice, as where an error that holds
/// it in quotes gets into a log of JSON.
fn spellings(text: &str) -> Vec<SecretString> {
    let quoted = quotings(text);
    let twice = quoted
        .iter()
        .flat_map(|form| quotings(form.expose_secret()));
    let mut forms: Vec<_> = twice.collect();
    forms.extend(quoted);
    forms.push(SecretString::from(text));
    forms
}

/// A text as JSON and as Rust write it, without the quotes around it.
fn quotings(text: &str) -> [SecretString; 2] {
    let json = serde_json::to_string(text).unwrap_or_default();
    [json, format!("{text:?}")].map(|quoted| {
        let quoted = Zeroizing::new(quoted);
        let inner = quoted
            .strip_prefix('"')
            .and_then(|rest| rest.strip_suffix('"'));
        SecretString::from(inner.unwrap_or(text))
    })
}

/// Replaces every value that this process has resolved.
#[must_use]
pub fn redact(text: &str) -> String {
    let resolved = RESOLVED.lock().unwrap_or_else(PoisonError::into_inner);
    resolved.iter().fold(text.to_owned(), |text, value| {
        if text.contains(value.expose_secret()) {
            text.replace(value.expose_secret(), "(secret)")
        } else {
            text
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    // One test: the values are the process's.
    #[test]
    fn every_spelling_is_taken_out() {
        let secret = "line \"one\"\n\\two\u{e9}";
        for value in ["abc", "redaction-test", "redaction-test-longer", secret] {
            remember(&SecretString::from(value));
        }
        let json = serde_json::json!({ "m": secret }).to_string();
        let debug = format!("{secret:?}");
        let both = serde_json::json!({ "m": debug }).to_string();
        for (text, redacted) in [
            ("abc: redaction-test!", "abc: (secret)!"),
            ("redaction-test-longer", "(secret)"),
            (secret, "(secret)"),
            (&json, r#"{"m":"(secret)"}"#),
            (&debug, r#""(secret)""#),
            (&both, r#"{"m":"\"(secret)\""}"#),
        ] {
            assert_eq!(redact(text), redacted);
        }
    }
}
