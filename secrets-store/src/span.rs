//! Lengths of time as an author writes them: `90d`. It knows no clock.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

const UNITS: [(char, u64); 6] = [
    ('s', 1),
    ('m', 60),
    ('h', 3600),
    ('d', 86_400),
    ('w', 7 * 86_400),
    ('y', 365 * 86_400),
];
/// A thousand years, in seconds: longer than any calendar that we write in.
const MOST: u64 = 1000 * 365 * 86_400;

/// A length of time, at least a second: a number and one of s, m, h, d, w and y
/// (365 days).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
#[cfg_attr(
    feature = "schemas",
    derive(schemars::JsonSchema),
    schemars(with = "String", extend("pattern" = "^[0-9]+[smhdwy]$"))
)]
pub struct Span(u64);

impl Span {
    /// So many days.
    #[must_use]
    pub const fn days(days: u64) -> Self {
        Self(days * 86_400)
    }

    /// Its length in seconds.
    #[must_use]
    pub fn seconds(self) -> u64 {
        self.0
    }

    /// The same as a duration.
    #[must_use]
    pub fn duration(self) -> time::Duration {
        // At most a thousand years.
        time::Duration::seconds(self.0.cast_signed())
    }

    /// A third of it, and a second at least.
    #[must_use]
    pub fn third(self) -> Self {
        Self((self.0 / 3).max(1))
    }
}

impl FromStr for Span {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parse = || {
            let (unit, factor) = UNITS.iter().find(|(unit, _)| text.ends_with(*unit))?;
            let number = text.strip_suffix(*unit)?;
            if !number.bytes().all(|byte| byte.is_ascii_digit()) {
                return None;
            }
            let seconds = number.parse::<u64>().ok()?.checked_mul(*factor)?;
            (1..=MOST).contains(&seconds).then_some(Self(seconds))
        };
        parse().ok_or_else(|| {
            "this is no length of time; write a number and one of s, m, h, d, w and y, such as \
             \"90d\", at least a second and at most a thousand years"
                .to_owned()
        })
    }
}

impl TryFrom<String> for Span {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Span> for String {
    fn from(span: Span) -> Self {
        span.to_string()
    }
}

impl fmt::Display for Span {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fits = |(_, factor): &&(char, u64)| self.0.is_multiple_of(*factor);
        let (unit, factor) = UNITS.iter().rev().find(fits).unwrap_or(&('s', 1));
        write!(out, "{}{unit}", self.0 / factor)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_a_length_of_time() {
        for (text, seconds) in [
            ("1s", 1),
            ("90d", 7_776_000),
            ("2w", 1_209_600),
            ("1y", 31_536_000),
        ] {
            assert_eq!(text.parse::<Span>().unwrap().seconds(), seconds);
        }
        for text in [
            "",
            "d",
            "0d",
            "-1d",
            "1.5h",
            "+1d",
            "90",
            "90 d",
            "1M",
            "1001y",
            "99999999999999999999s",
        ] {
            let error = text.parse::<Span>().unwrap_err();
            assert!(error.contains("such as \"90d\""), "{text}: {error}");
        }
    }

    proptest! {
        #[test]
        fn round_trip(seconds in 1..=MOST) {
            prop_assert_eq!(Span(seconds).to_string().parse(), Ok(Span(seconds)));
        }
    }
}
