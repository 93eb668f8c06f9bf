//! Sizes, in bytes or with a unit.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{self, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A number of bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Bytes(pub(crate) u64);

/// Each unit with its size; the ones of powers of two first, to be shown by.
const UNITS: [(&str, u64); 10] = [
    ("TiB", 1 << 40),
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("TB", 1_000_000_000_000),
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("kB", 1_000),
    ("KB", 1_000),
    ("B", 1),
];

const FORM: &str = "write a whole number of bytes, or a number with a unit, such as \"50GiB\" or \
                    \"1.5 TB\" (B, kB, MB, GB, TB; KiB, MiB, GiB, TiB)";

impl Bytes {
    /// Reads `50GiB`, `1.5 TB`, `1024`.
    fn parse(text: &str) -> Result<Self, String> {
        let shown: String = text.chars().take(40).collect();
        let refuse = |problem: &str| Err(format!("{shown:?} is no size: {problem}; {FORM}"));
        let text = text.trim();
        let digits = text
            .find(|c: char| !c.is_ascii_digit() && c != '.')
            .unwrap_or(text.len());
        let (number, unit) = text.split_at(digits);
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        let is_number = |text: &str| !text.is_empty() && text.chars().all(|c| c.is_ascii_digit());
        if !is_number(whole) || (number.contains('.') && !is_number(fraction)) {
            return refuse("it does not begin with a number");
        }
        let unit = match unit.trim_start() {
            "" => 1,
            unit => match UNITS.iter().find(|(name, _)| *name == unit) {
                Some((_, size)) => *size,
                None => return refuse(&format!("there is no unit {unit:?}")),
            },
        };
        let exact = || {
            let scale = 10_u128.checked_pow(u32::try_from(fraction.len()).ok()?)?;
            let digits = format!("{whole}{fraction}").parse::<u128>().ok()?;
            let bytes = digits.checked_mul(u128::from(unit))?;
            (bytes % scale == 0).then_some(bytes / scale)
        };
        match exact().map(u64::try_from) {
            Some(Ok(bytes)) => Ok(Self(bytes)),
            Some(Err(_)) => refuse("it is too large"),
            None => refuse("it is no whole number of bytes"),
        }
    }
}

/// In the largest unit of which it is a whole number.
impl fmt::Display for Bytes {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fits = |(_, size): &&(&str, u64)| self.0 >= *size && self.0.is_multiple_of(*size);
        match UNITS.iter().find(fits) {
            Some((unit, size)) => write!(out, "{}{unit}", self.0 / size),
            None => write!(out, "{}B", self.0),
        }
    }
}

impl Serialize for Bytes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Size;
        impl Visitor<'_> for Size {
            type Value = Bytes;

            fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(out, "a size; {FORM}")
            }

            fn visit_u64<E: de::Error>(self, bytes: u64) -> Result<Bytes, E> {
                Ok(Bytes(bytes))
            }

            fn visit_i64<E: de::Error>(self, bytes: i64) -> Result<Bytes, E> {
                u64::try_from(bytes)
                    .map(Bytes)
                    .map_err(|_| E::custom(format!("a size can't be negative; {FORM}")))
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Bytes, E> {
                Bytes::parse(text).map_err(E::custom)
            }
        }
        deserializer.deserialize_any(Size)
    }
}

impl JsonSchema for Bytes {
    fn schema_name() -> Cow<'static, str> {
        "Bytes".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": ["integer", "string"],
            "minimum": 0,
            "pattern": r"^\s*[0-9]+(\.[0-9]+)?\s*(([KMGT]i|[kKMGT])?B)?\s*$",
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn read_with_and_without_a_unit() {
        for (text, bytes) in [
            ("0", 0),
            ("1024", 1024),
            ("50GiB", 50 << 30),
            ("1.5 TB", 1_500_000_000_000),
            ("1.5KiB", 1536),
            ("7 kB", 7000),
        ] {
            assert_eq!(Bytes::parse(text), Ok(Bytes(bytes)), "{text}");
        }
        for (text, problem) in [
            ("", "begin with a number"),
            ("GiB", "begin with a number"),
            ("5.GiB", "begin with a number"),
            (".5GiB", "begin with a number"),
            ("1.2.3GB", "begin with a number"),
            ("5 GIB", "no unit \"GIB\""),
            ("5 gigabytes", "no unit"),
            ("-5GiB", "begin with a number"),
            ("0.3B", "no whole number of bytes"),
            ("99999999TiB", "too large"),
            (
                "1.00000000000000000000000000000000000000001TB",
                "no whole number",
            ),
        ] {
            let error = Bytes::parse(text).unwrap_err();
            assert!(error.contains(problem), "{text}: {error}");
        }
    }

    #[test]
    fn a_json_number_counts_bytes() {
        let read = |text: &str| serde_json::from_str::<Bytes>(text);
        assert_eq!(read("5").unwrap(), Bytes(5));
        assert_eq!(read("\"5kB\"").unwrap(), Bytes(5000));
        assert!(read("-5").unwrap_err().to_string().contains("negative"));
        assert!(read("1.5").unwrap_err().to_string().contains("a size"));
    }

    proptest! {
        #[test]
        fn what_is_shown_reads_the_same(bytes: u64) {
            let shown = Bytes(bytes).to_string();
            prop_assert_eq!(Bytes::parse(&shown), Ok(Bytes(bytes)), "{}", shown);
        }
    }
}
