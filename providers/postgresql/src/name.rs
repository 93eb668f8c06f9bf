//! Names that PostgreSQL takes whole.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// `NAMEDATALEN - 1`: the server cuts longer names with only a notice.
const MAX_BYTES: usize = 63;

/// A name of a role or database: 1 to 63 bytes in UTF-8, without NUL. It is
/// taken as it stands: `App` and `app` are two names.
#[derive(
    Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(try_from = "String")]
#[schemars(extend("minLength" = 1, "maxLength" = 63))]
pub(crate) struct Name(String);

impl Name {
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    /// A name that stands in the server's catalog.
    pub(crate) fn of_server(name: String) -> nixops4_provider_sdk::Result<Self> {
        Self::try_from(name).map_err(nixops4_provider_sdk::Error::new)
    }
}

impl TryFrom<String> for Name {
    type Error = String;

    fn try_from(name: String) -> Result<Self, String> {
        if name.is_empty() {
            return Err("a name can't be empty".to_owned());
        }
        if name.contains('\0') {
            return Err("a name can't have a NUL character in it".to_owned());
        }
        if name.len() > MAX_BYTES {
            return Err(format!(
                "a name of {} bytes is one that PostgreSQL would cut after {MAX_BYTES}; choose a \
                 shorter name",
                name.len()
            ));
        }
        Ok(Self(name))
    }
}

impl fmt::Display for Name {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds() {
        let name = |text: &str| Name::try_from(text.to_owned());
        assert!(name(&"x".repeat(63)).is_ok());
        assert!(name(&"ü".repeat(31)).is_ok());
        for (text, problem) in [
            (String::new(), "empty"),
            ("a\0b".to_owned(), "NUL"),
            ("x".repeat(64), "64 bytes"),
            ("ü".repeat(32), "64 bytes"),
        ] {
            assert!(name(&text).unwrap_err().contains(problem));
        }
    }
}
