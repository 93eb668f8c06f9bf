//! Names of buckets.

use std::fmt;
use std::net::IpAddr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A name of a bucket, by Garage's rules: 3 to 63 lower-case letters, digits, `.`
/// and `-`, beginning and ending with a letter or digit.
#[derive(
    Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(try_from = "String")]
#[schemars(extend(
    "pattern" = "^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$",
    "minLength" = 3,
    "maxLength" = 63
))]
pub(crate) struct BucketName(String);

impl BucketName {
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for BucketName {
    type Error = String;

    fn try_from(name: String) -> Result<Self, String> {
        let shown: String = name.chars().take(80).collect();
        let refuse = |problem: &str| Err(format!("{shown:?} can't name a bucket: {problem}"));
        let fits = |c: char| matches!(c, 'a'..='z' | '0'..='9' | '.' | '-');
        let ends = |c: char| matches!(c, 'a'..='z' | '0'..='9');
        if !(3..=63).contains(&name.len()) {
            return refuse("a name has 3 to 63 characters");
        }
        if !name.chars().all(fits) {
            return refuse("a name has lower-case letters, digits, . and - alone");
        }
        if !name.starts_with(ends) || !name.ends_with(ends) {
            return refuse("a name begins and ends with a letter or digit");
        }
        if name.parse::<IpAddr>().is_ok() {
            return refuse("it is an IP address");
        }
        if name.starts_with("xn--") || name.contains(".xn--") {
            return refuse("Garage takes no punycode (xn--)");
        }
        if name.ends_with("-s3alias") {
            return refuse("a name can't end with -s3alias");
        }
        Ok(Self(name))
    }
}

impl fmt::Display for BucketName {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds() {
        let name = |text: &str| BucketName::try_from(text.to_owned());
        for good in ["abc", "a.b", "media.example.org", &"x".repeat(63)] {
            assert!(name(good).is_ok(), "{good}");
        }
        for (bad, problem) in [
            ("ab", "3 to 63"),
            (&*"x".repeat(64), "3 to 63"),
            ("Media", "lower-case"),
            ("a_b", "lower-case"),
            ("-abc", "begins and ends"),
            ("abc.", "begins and ends"),
            ("10.0.0.1", "IP address"),
            ("xn--abc", "punycode"),
            ("a.xn--abc", "punycode"),
            ("abc-s3alias", "-s3alias"),
        ] {
            assert!(name(bad).unwrap_err().contains(problem), "{bad}");
        }
    }
}
