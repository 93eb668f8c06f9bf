//! Until when a password is good.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// A time to the second: RFC 3339, such as `2030-12-31T23:59:59Z`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String", extend("format" = "date-time"))]
pub(crate) struct Expiry(OffsetDateTime);

impl Expiry {
    /// Of seconds since 1970.
    pub(crate) fn of_seconds(seconds: i64) -> Option<Self> {
        OffsetDateTime::from_unix_timestamp(seconds).ok().map(Self)
    }

    /// Whether it is over.
    pub(crate) fn is_over(self) -> bool {
        self.0 <= OffsetDateTime::now_utc()
    }
}

impl TryFrom<String> for Expiry {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        // What PostgreSQL takes beside this (`tomorrow`) is another time each day.
        let time = OffsetDateTime::parse(&text, &Rfc3339).map_err(|error| {
            format!("{text:?} is no time ({error}); write one like \"2030-12-31T23:59:59Z\"")
        })?;
        let seconds = time.unix_timestamp();
        Self::of_seconds(seconds)
            .filter(|expiry| expiry.0 == time && time.year() > 0)
            .ok_or_else(|| format!("{text:?} has to be a whole second after the year 0"))
    }
}

impl fmt::Display for Expiry {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0.format(&Rfc3339).map_err(|_| fmt::Error)?)
    }
}

impl From<Expiry> for String {
    fn from(expiry: Expiry) -> Self {
        expiry.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times() {
        for (text, normal) in [
            ("2030-12-31T23:59:59Z", Some("2030-12-31T23:59:59Z")),
            ("2030-01-01T01:00:00+02:00", Some("2029-12-31T23:00:00Z")),
            ("2030-12-31", None),
            ("tomorrow", None),
            ("infinity", None),
            ("", None),
            ("2030-12-31T23:59:59.5Z", None),
            ("0000-01-01T00:00:00Z", None),
        ] {
            let found = Expiry::try_from(text.to_owned())
                .ok()
                .map(|expiry| expiry.to_string());
            assert_eq!(found.as_deref(), normal, "{text}");
        }
    }
}
