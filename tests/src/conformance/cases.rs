//! What the fixtures of several servers write down alike.

use serde_json::{Value, json};

use super::{Bad, Field, Verdict};

/// A string as one.
///
/// # Panics
///
/// If it is none.
#[must_use]
pub fn text(value: &Value) -> String {
    let text = value.as_str().unwrap_or_else(|| panic!("no text: {value}"));
    text.to_owned()
}

/// What can be changed, from a table.
#[must_use]
pub fn fields<const N: usize>(table: [(&'static str, Value, Verdict); N]) -> Vec<Field> {
    let field = |(pointer, value, verdict)| Field {
        pointer,
        value,
        verdict,
    };
    table.map(field).into()
}

/// Inputs that are wrong at one place.
#[must_use]
pub fn wrong(pointer: &'static str, value: Value, words: &[&'static str]) -> Bad {
    Bad {
        patch: vec![(pointer, value)],
        pointer,
        words: words.to_vec(),
    }
}

/// Inputs that are wrong somewhere else than where they are patched.
#[must_use]
pub fn wrong_at(
    place: &'static str,
    value: Value,
    pointer: &'static str,
    words: &[&'static str],
) -> Bad {
    Bad {
        patch: vec![(place, value)],
        pointer,
        words: words.to_vec(),
    }
}

/// What can be wrong with the connection to a server that is asked by HTTP.
#[must_use]
pub fn bad_http_connections() -> Vec<Bad> {
    let endpoint = "/connection/endpoint";
    vec![
        wrong("/connection", Value::Null, &["missing field"]),
        wrong(endpoint, Value::Null, &["missing field"]),
        wrong(endpoint, json!("127.0.0.1:3903"), &["http"]),
        wrong(endpoint, json!("ftp://127.0.0.1"), &["http"]),
        wrong(endpoint, json!("http://127.0.0.1:1"), &["hint: "]),
        wrong("/connection/nonsense", json!(1), &["unknown field"]),
        wrong("/connection/token", Value::Null, &["missing field"]),
        wrong(
            "/connection/token",
            json!({}),
            &["has either `file`, or `env`"],
        ),
        wrong_at(
            "/connection/token",
            json!({"file": "/nonexistent"}),
            "/connection/token/file",
            &[
                "unable to read the secret",
                "No such file",
                "hint: give the path",
            ],
        ),
        wrong_at(
            "/connection/token",
            json!({"env": "UNSET"}),
            "/connection/token/env",
            &["UNSET is not set", "hint: set it"],
        ),
    ]
}
