//! How Garage says no.

use nixops4_provider_sdk::http::StatusCode;
use serde::Deserialize;

/// An answer that is no success.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) status: StatusCode,
    /// Such as `NoSuchBucket`; `None` where the answer isn't one of Garage's.
    pub(crate) code: Option<String>,
    /// Its own words, or the beginning of whatever was answered.
    pub(crate) message: String,
}

/// What may be missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Absent {
    Bucket,
    Key,
    AdminToken,
}

#[derive(Deserialize)]
struct Body {
    code: String,
    message: String,
}

/// How much of an answer that isn't Garage's is shown, in characters.
const SHOWN: usize = 200;

impl Refusal {
    /// Reads the body of an answer whose status is an error.
    pub(crate) fn read(status: StatusCode, body: &[u8]) -> Self {
        if let Ok(Body { code, message }) = serde_json::from_slice(body) {
            return Self {
                status,
                code: Some(code),
                message: message.trim().to_owned(),
            };
        }
        let text = String::from_utf8_lossy(body);
        let shown: String = text.trim().chars().take(SHOWN).collect();
        Self {
            status,
            code: None,
            message: if shown.is_empty() {
                "without a word".to_owned()
            } else {
                shown
            },
        }
    }

    /// Whether Garage itself says that there is no such thing. Nothing else means
    /// that: not a 404 of a proxy before it, not an error, and not silence.
    pub(crate) fn says_absent(&self, what: Absent) -> bool {
        let code = match what {
            Absent::Bucket => "NoSuchBucket",
            Absent::Key => "NoSuchAccessKey",
            Absent::AdminToken => "NoSuchAdminToken",
        };
        self.status == StatusCode::NOT_FOUND && self.code.as_deref() == Some(code)
    }

    /// Whether it has this code.
    pub(crate) fn is(&self, code: &str) -> bool {
        self.code.as_deref() == Some(code)
    }
}
