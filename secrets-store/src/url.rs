//! Where a store is: `sqlite:/absolute/path` or `postgresql://user@host/database`,
//! optionally `?mode=ro`. It opens nothing. An address may hold a password, so
//! errors never repeat one that is not understood.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use nixops4_postgresql_client::Method;
use percent_encoding::{AsciiSet, CONTROLS, percent_decode_str, utf8_percent_encode};
use url::Url;

use crate::error::Invalid;

/// What must be escaped for the path to be read back.
const IN_PATH: AsciiSet = CONTROLS.add(b'%').add(b'?').add(b'#').add(b' ');

/// What the server may ask for, as libpq has it.
pub(crate) const REQUIRE_AUTH: &str = "require_auth";

/// What libpq understands too, and is no secret.
const POSTGRES_PARAMETERS: &[&str] = &[
    "application_name",
    "dbname",
    "host",
    "options",
    "port",
    REQUIRE_AUTH,
    "sslcert",
    "sslkey",
    "sslmode",
    "sslrootcert",
    "user",
];

/// The address of a store: `sqlite:/var/lib/deploy/secrets.db`, or
/// `postgresql://deploy@db.example/secrets`.
///
/// A path is absolute, because a provider's working directory is whoever's
/// called it; `?`, `#`, `%` in it are written `%3F`, `%23`, `%25`. An address of
/// PostgreSQL is as libpq has it, but never holds a password: that comes from
/// `PGPASSWORD` or a password file (`PGPASSFILE`, `~/.pgpass`). With `?mode=ro`
/// the store is only read, and reads are not recorded in it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct StoreUrl {
    place: Place,
    read_only: bool,
}

/// Which database, and where.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Place {
    Sqlite(PathBuf),
    /// Without our own parameter.
    Postgres(Box<Url>),
}

impl StoreUrl {
    /// The database file of a SQLite store.
    #[must_use]
    pub fn path(&self) -> Option<&Path> {
        match &self.place {
            Place::Sqlite(path) => Some(path),
            Place::Postgres(_) => None,
        }
    }

    /// Whether the store is only read (`?mode=ro`).
    #[must_use]
    pub fn is_read_only(&self) -> bool {
        self.read_only
    }

    /// Where it is, without how it is opened: what a store is known by.
    pub(crate) fn address(&self) -> String {
        let anyhow = Self {
            read_only: false,
            ..self.clone()
        };
        anyhow.to_string()
    }

    pub(crate) fn place(&self) -> &Place {
        &self.place
    }
}

fn refuse(problem: impl Into<String>) -> Invalid {
    Invalid::Url {
        problem: problem.into(),
    }
}

impl FromStr for StoreUrl {
    type Err = Invalid;

    fn from_str(url: &str) -> Result<Self, Invalid> {
        let Some((scheme, rest)) = url.split_once(':') else {
            return Err(refuse("it has no scheme"));
        };
        match scheme {
            "sqlite" => sqlite(rest),
            "postgres" | "postgresql" => postgres(url),
            "file" | "env" | "vault" => Err(refuse(format!(
                "secrets can be obtained from a {scheme:?} address, but not kept there"
            ))),
            // What stands before the first colon may be anything, a token too.
            _ => Err(refuse(
                match ["mysql", "http", "https"].iter().find(|k| **k == scheme) {
                    Some(scheme) => format!("a store of scheme {scheme:?} is not supported"),
                    None => "its scheme is not supported".into(),
                },
            )),
        }
    }
}

fn mode(value: &str) -> Result<bool, Invalid> {
    match value {
        "ro" => Ok(true),
        "rw" => Ok(false),
        _ => Err(refuse("its mode is neither ro nor rw")),
    }
}

fn sqlite(rest: &str) -> Result<StoreUrl, Invalid> {
    let (path, parameters) = rest.split_once('?').unwrap_or((rest, ""));
    let path = path.strip_prefix("//").unwrap_or(path);
    if path.contains(":memory:") {
        return Err(refuse("a store in memory forgets its secrets"));
    }
    let path = percent_decode_str(path)
        .decode_utf8()
        .map_err(|_| refuse("its path is not UTF-8"))?;
    if !path.starts_with('/') {
        return Err(refuse("its path is not absolute"));
    }
    if path.ends_with('/') || path.contains('\0') {
        return Err(refuse("its path does not name a file"));
    }
    let read_only = match parameters.strip_prefix("mode=") {
        Some(value) => mode(value)?,
        None if parameters.is_empty() => false,
        None => return Err(refuse("it has parameters other than mode=ro")),
    };
    Ok(StoreUrl {
        place: Place::Sqlite(PathBuf::from(path.into_owned())),
        read_only,
    })
}

fn postgres(text: &str) -> Result<StoreUrl, Invalid> {
    let mut url = Url::parse(text).map_err(|_| refuse("it is not a URL"))?;
    if !text.contains("://") || url.fragment().is_some() {
        return Err(refuse("it is not like postgresql://user@host/database"));
    }
    let parameters: Vec<(String, String)> = url.query_pairs().into_owned().collect();
    let has = |name: &str| parameters.iter().any(|(key, _)| key == name);
    if url.password().is_some() || has("password") {
        return Err(refuse(
            "it holds a password, which belongs into a password file (PGPASSFILE, or ~/.pgpass \
             of mode 600) or into PGPASSWORD",
        ));
    }
    if url.path().trim_start_matches('/').is_empty() && !has("dbname") {
        return Err(refuse("it names no database"));
    }
    let mut read_only = false;
    let mut kept = Vec::new();
    for (key, value) in parameters {
        match key.as_str() {
            "mode" => read_only = mode(&value)?,
            REQUIRE_AUTH if Method::parse_list(&value).is_none() => {
                return Err(refuse(format!(
                    "its require_auth is no list of {}",
                    Method::ALL.map(Method::name).join(", ")
                )));
            }
            known if POSTGRES_PARAMETERS.contains(&known) => kept.push((key, value)),
            _ => {
                return Err(refuse(format!(
                    "it has a parameter that is none of mode, {}",
                    POSTGRES_PARAMETERS.join(", ")
                )));
            }
        }
    }
    url.set_query(None);
    if !kept.is_empty() {
        url.query_pairs_mut().extend_pairs(kept);
    }
    Ok(StoreUrl {
        place: Place::Postgres(Box::new(url)),
        read_only,
    })
}

impl fmt::Display for StoreUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut separator = '?';
        match &self.place {
            Place::Sqlite(path) => {
                let path = path.to_string_lossy();
                write!(f, "sqlite:{}", utf8_percent_encode(&path, &IN_PATH))?;
            }
            Place::Postgres(url) => {
                f.write_str(url.as_str())?;
                if url.query().is_some() {
                    separator = '&';
                }
            }
        }
        if self.read_only {
            write!(f, "{separator}mode=ro")?;
        }
        Ok(())
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
            assert_eq!(parsed.path(), Some(Path::new(path)), "{url}");
            assert_eq!(parsed.is_read_only(), read_only, "{url}");
            assert_eq!(parsed.to_string().parse::<StoreUrl>().unwrap(), parsed);
        }
    }

    #[test]
    fn addresses_of_servers_are_understood() {
        for (url, shown, read_only) in [
            ("postgres://me@db/x", "postgres://me@db/x", false),
            ("postgresql:///x", "postgresql:///x", false),
            (
                "postgresql://db/x?require_auth=md5",
                "postgresql://db/x?require_auth=md5",
                false,
            ),
            (
                "postgresql://db:5433/x?mode=ro",
                "postgresql://db:5433/x?mode=ro",
                true,
            ),
            (
                "postgresql://me@db/x?mode=ro&sslmode=require&host=/run/pg",
                "postgresql://me@db/x?sslmode=require&host=%2Frun%2Fpg&mode=ro",
                true,
            ),
        ] {
            let parsed: StoreUrl = url.parse().unwrap();
            assert_eq!(parsed.to_string(), shown);
            assert_eq!(parsed.is_read_only(), read_only, "{url}");
            assert_eq!(parsed.path(), None);
            assert_eq!(shown.parse::<StoreUrl>().unwrap(), parsed);
        }
    }

    #[test]
    fn anything_else_is_refused_with_what_is_supported() {
        for (url, says) in [
            ("", "no scheme"),
            ("/var/lib/x.db", "no scheme"),
            (
                "postgres://me:canary-9@db/x",
                "holds a password, which belongs into a password file",
            ),
            ("postgresql://me@db/x?password=canary-9", "holds a password"),
            ("postgresql://me@db/", "names no database"),
            ("postgresql:me@db/x", "not like postgresql://"),
            (
                "postgresql://me@db/x?canary-9=1",
                "a parameter that is none of",
            ),
            ("postgresql://me@db/x?mode=canary-9", "neither ro nor rw"),
            (
                "postgresql://me@db/x?require_auth=md5,canary-9",
                "no list of scram-sha-256, md5, password, none",
            ),
            ("postgresql://me@[canary-9/x", "not a URL"),
            ("mysql://canary-9@x/y", "\"mysql\" is not supported"),
            (
                "vault:https://x/canary-9",
                "obtained from a \"vault\" address",
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
