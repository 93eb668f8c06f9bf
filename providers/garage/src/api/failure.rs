//! How Garage says no.

use nixops4_provider_sdk::Error;
use nixops4_provider_sdk::http::{Answer, Dialect, Refusal, StatusCode, Words};
use serde::Deserialize;

/// How the admin API speaks.
pub(crate) struct Garage;

impl Dialect for Garage {
    fn called(&self) -> &'static str {
        "Garage's admin API"
    }

    fn usual_place(&self) -> &'static str {
        "it is that of Garage 2.0 and newer, by default on port 3903; check the address"
    }

    fn words(&self, answer: &Answer) -> Option<Words> {
        #[derive(Deserialize)]
        struct Refused {
            code: String,
            message: String,
        }
        let Refused { code, message } = answer.json().ok()?;
        Some(Words::new(message).coded(code))
    }

    fn explain(&self, refusal: &Refusal, error: Error) -> Error {
        match refusal.status {
            StatusCode::FORBIDDEN | StatusCode::UNAUTHORIZED => error.hint(
                "see that it is a token of this cluster, that it hasn't expired, and that its scope \
                 has this endpoint (`garage admin-token info`)",
            ),
            _ => error,
        }
    }
}

/// What may be missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Absent {
    Bucket,
    Key,
    AdminToken,
}

impl Absent {
    /// Whether Garage itself says that there is no such thing. Nothing else means
    /// that: not a 404 of a proxy before it, not an error, and not silence.
    pub(crate) fn is_said_by(self, refusal: &Refusal) -> bool {
        let code = match self {
            Self::Bucket => "NoSuchBucket",
            Self::Key => "NoSuchAccessKey",
            Self::AdminToken => "NoSuchAdminToken",
        };
        refusal.status == StatusCode::NOT_FOUND && refusal.is(code)
    }
}
