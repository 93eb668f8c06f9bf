//! A moment, as an author writes it and as Garage keeps it: to the millisecond.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use time::format_description::well_known::Rfc3339;
use time::{OffsetDateTime, UtcOffset};

/// A moment by RFC 3339, such as `2027-01-31T12:00:00Z`.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String", extend("format" = "date-time"))]
pub(crate) struct Moment(OffsetDateTime);

impl Moment {
    pub(crate) fn time(self) -> OffsetDateTime {
        self.0
    }
}

impl From<OffsetDateTime> for Moment {
    fn from(time: OffsetDateTime) -> Self {
        let time = time.to_offset(UtcOffset::UTC);
        Self(time.replace_millisecond(time.millisecond()).unwrap_or(time))
    }
}

impl TryFrom<String> for Moment {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let parsed = OffsetDateTime::parse(&text, &Rfc3339).map_err(|_| {
            let shown: String = text.chars().take(40).collect();
            format!("{shown:?} is no moment; write it like 2027-01-31T12:00:00Z")
        })?;
        // What Garage counts begins there.
        if parsed < OffsetDateTime::UNIX_EPOCH {
            return Err("a moment before 1970 can't be kept".to_owned());
        }
        Ok(parsed.into())
    }
}

impl fmt::Display for Moment {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0.format(&Rfc3339).map_err(|_| fmt::Error)?)
    }
}

impl From<Moment> for String {
    fn from(moment: Moment) -> Self {
        moment.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn to_the_millisecond_in_utc() {
        let moment = |text: &str| Moment::try_from(text.to_owned());
        for (text, shown) in [
            ("2027-01-31T12:00:00Z", "2027-01-31T12:00:00Z"),
            ("2027-01-31T12:00:00+02:00", "2027-01-31T10:00:00Z"),
            ("2027-01-31T12:00:00.1239Z", "2027-01-31T12:00:00.123Z"),
        ] {
            assert_eq!(moment(text).unwrap().to_string(), shown);
        }
        for text in [
            "",
            "2027-01-31",
            "tomorrow",
            "2027-01-31 12:00",
            "1969-01-01T00:00:00Z",
        ] {
            assert!(moment(text).is_err(), "{text}");
        }
    }
}
