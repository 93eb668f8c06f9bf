//! Where a store is: `sqlite:/absolute/path`, optionally `?mode=ro`. It opens
//! nothing. An address may hold a password, so errors never repeat one that is
//! not understood.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use percent_encoding::{AsciiSet, CONTROLS, percent_decode_str, utf8_percent_encode};

use crate::error::Invalid;

/// What must be escaped for the path to be read back.
const IN_PATH: AsciiSet = CONTROLS.add(b'%').add(b'?').add(b'#').add(b' ');

/// The address of a store: `sqlite:/var/lib/deploy/secrets.db`.
///
/// The path is absolute, because a provider's working directory is whoever's
/// called it; `?`, `#`, `%` in it are written `%3F`, `%23`, `%25`. With
/// `?mode=ro` the store is only read.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct StoreUrl {
    path: PathBuf,
    read_only: bool,
}

impl StoreUrl {
    /// The database file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether the store is only read (`?mode=ro`).
    #[must_use]
    pub fn is_read_only(&self) -> bool {
        self.read_only
    }
}

impl FromStr for StoreUrl {
    type Err = Invalid;

    fn from_str(url: &str) -> Result<Self, Invalid> {
        let refuse = |problem: String| Invalid::Url { problem };
        let Some((scheme, rest)) = url.split_once(':') else {
            return Err(refuse("it has no scheme".into()));
        };
        if scheme != "sqlite" {
            // What stands before the first colon may be anything, a token too.
            let known = ["postgres", "postgresql", "mysql", "file", "http", "https"];
            return Err(refuse(match known.iter().find(|k| **k == scheme) {
                Some(scheme) => format!("a store of scheme {scheme:?} is not supported"),
                None => "its scheme is not supported".into(),
            }));
        }
        let (path, parameters) = rest.split_once('?').unwrap_or((rest, ""));
        let path = path.strip_prefix("//").unwrap_or(path);
        if path.contains(":memory:") {
            return Err(refuse("a store in memory forgets its secrets".into()));
        }
        let path = percent_decode_str(path)
            .decode_utf8()
            .map_err(|_| refuse("its path is not UTF-8".into()))?;
        if !path.starts_with('/') {
            return Err(refuse("its path is not absolute".into()));
        }
        if path.ends_with('/') || path.contains('\0') {
            return Err(refuse("its path does not name a file".into()));
        }
        let read_only = match parameters {
            "" | "mode=rw" => false,
            "mode=ro" => true,
            _ => return Err(refuse("it has parameters other than mode=ro".into())),
        };
        Ok(Self {
            path: PathBuf::from(path.into_owned()),
            read_only,
        })
    }
}

impl fmt::Display for StoreUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.path.to_string_lossy();
        write!(f, "sqlite:{}", utf8_percent_encode(&path, &IN_PATH))?;
        f.write_str(if self.read_only { "?mode=ro" } else { "" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_understood() {
        for (url, path, read_only) in [
            (
                "sqlite:/var/lib/x/secrets.db",
                "/var/lib/x/secrets.db",
                false,
            ),
            ("sqlite:///var/x.db", "/var/x.db", false),
            ("sqlite:/x.db?mode=ro", "/x.db", true),
            ("sqlite:/x.db?mode=rw", "/x.db", false),
            ("sqlite:/a%3Fb%20c.db", "/a?b c.db", false),
        ] {
            let parsed: StoreUrl = url.parse().unwrap();
            assert_eq!(parsed.path(), Path::new(path), "{url}");
            assert_eq!(parsed.is_read_only(), read_only, "{url}");
            assert_eq!(parsed.to_string().parse::<StoreUrl>().unwrap(), parsed);
        }
    }

    #[test]
    fn anything_else_is_refused_with_what_is_supported() {
        for (url, says) in [
            ("", "no scheme"),
            ("/var/lib/x.db", "no scheme"),
            (
                "postgres://me:canary-9@db/x",
                "\"postgres\" is not supported",
            ),
            ("canary-9://x", "scheme is not supported"),
            ("sqlite:secrets.db", "not absolute"),
            ("sqlite://secrets.db", "not absolute"),
            ("sqlite::memory:", "in memory"),
            ("sqlite:/dir/", "name a file"),
            ("sqlite:", "not absolute"),
            ("sqlite:/a%00b", "name a file"),
            ("sqlite:/a%ff", "not UTF-8"),
            ("sqlite:/x.db?key=canary-9", "parameters other than mode=ro"),
        ] {
            let error = url.parse::<StoreUrl>().unwrap_err().to_string();
            assert!(error.contains(says), "{url}: {error}");
            assert!(error.contains("sqlite:/absolute/path"), "{url}: {error}");
            assert!(!error.contains("canary-9"), "{error}");
        }
    }
}
