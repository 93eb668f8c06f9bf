//! How a server may let us in. It decides; `login` does it.

use serde::{Deserialize, Serialize};

use std::fmt;

/// What a server may ask of a client to let it in, as libpq's `require_auth`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schemas", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Method {
    /// A proof that one knows the password, with which the server proves that it
    /// knows it too.
    #[serde(rename = "scram-sha-256")]
    ScramSha256,
    /// A hash of the password. Who listens can find out a weak password, and log in
    /// by what PostgreSQL keeps of it.
    Md5,
    /// The password in clear.
    Password,
    /// Nothing: `trust`, `peer`, or a certificate.
    None,
}

impl Method {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::ScramSha256, Self::Md5, Self::Password, Self::None];

    /// A list of them as libpq takes it: `scram-sha-256,none`.
    #[must_use]
    pub fn parse_list(text: &str) -> Option<Vec<Self>> {
        let method = |name: &str| Self::ALL.into_iter().find(|method| method.name() == name);
        text.split(',').map(|name| method(name.trim())).collect()
    }

    /// As libpq calls it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::ScramSha256 => "scram-sha-256",
            Self::Md5 => "md5",
            Self::Password => "password",
            Self::None => "none",
        }
    }
}

impl fmt::Display for Method {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.name())
    }
}

/// What we know of whom we talk to when it asks.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Standing {
    /// Whether there is a password that could go astray.
    pub(crate) has_password: bool,
    /// Whether it is known who is at the other end: by a certificate that was
    /// verified, or as nobody else can listen on a unix socket.
    pub(crate) is_known: bool,
}

/// Whether a server may ask for this. Without a list of what it may, it proves by
/// SCRAM that it knows the password, or we know by other means who it is.
pub(crate) fn may_ask(asked: Method, listed: Option<&[Method]>, standing: Standing) -> bool {
    match listed {
        Some(listed) => listed.contains(&asked),
        None => asked == Method::ScramSha256 || standing.is_known || !standing.has_password,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists() {
        let two = vec![Method::ScramSha256, Method::None];
        assert_eq!(Method::parse_list("scram-sha-256, none"), Some(two));
        for text in ["", "!password", "gss", "scram-sha-256,"] {
            assert_eq!(Method::parse_list(text), None, "{text}");
        }
    }

    #[test]
    fn the_rule() {
        use Method::{Md5, None as Nothing, Password, ScramSha256};
        let old = [Md5, Password, Nothing];
        for (has_password, is_known, other_than_scram) in [
            (true, false, false),
            (true, true, true),
            (false, false, true),
            (false, true, true),
        ] {
            let standing = Standing {
                has_password,
                is_known,
            };
            assert!(may_ask(ScramSha256, None, standing));
            for asked in old {
                assert_eq!(may_ask(asked, None, standing), other_than_scram, "{asked}");
                // A list is the whole of it.
                assert!(may_ask(asked, Some(&old), standing));
                assert!(!may_ask(asked, Some(&[ScramSha256]), standing));
            }
            assert!(!may_ask(ScramSha256, Some(&old), standing));
        }
    }
}
