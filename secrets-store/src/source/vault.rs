//! HashiCorp Vault and OpenBao, the KV engine of version 2, over HTTP.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use reqwest::StatusCode;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, Visitor};
use url::Url;
use zeroize::Zeroizing;

use super::Obtained;
use crate::error::Invalid;
use crate::file::{self, FileProblem, Privacy};
use crate::http;
use crate::name::SecretName;

/// An answer is read up to this size, in bytes.
const MAX_BYTES: usize = 1 << 20;

/// A KV engine on a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Vault {
    server: Url,
    /// Path of the engine, such as `secret`.
    mount: String,
    namespace: Option<String>,
    token_file: Option<PathBuf>,
    ca: Option<PathBuf>,
}

/// Where the token was taken from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TokenFrom {
    /// A file.
    File(PathBuf),
    /// An environment variable.
    Variable(&'static str),
}

impl fmt::Display for TokenFrom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "the file {}", path.display()),
            Self::Variable(name) => f.write_str(name),
        }
    }
}

/// Why Vault does not give a secret.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Problem {
    /// No token anywhere.
    #[error(
        "there is no token for the secrets in {server}; set BAO_TOKEN or VAULT_TOKEN, or name its \
         file with `?token-file=` in the address, or log in (`bao login`)"
    )]
    NoToken {
        /// The server.
        server: String,
    },
    /// The token's file cannot be used.
    #[error("unable to read the token for {server} in {}: {problem}", path.display())]
    TokenFile {
        /// The server.
        server: String,
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        problem: FileProblem,
    },
    /// The token is expired, revoked or made up.
    #[error(
        "the token in {from} is not valid on {server}: it expired, was revoked, or belongs to \
         another server or namespace; get a new one (`bao login`)"
    )]
    TokenInvalid {
        /// The server.
        server: String,
        /// Where it came from.
        from: TokenFrom,
    },
    /// The token may not read it.
    #[error(
        "the token in {from} may not read {path} on {server}; give it a policy with the capability \
         `read` on that path"
    )]
    Forbidden {
        /// The server.
        server: String,
        /// Where the token came from.
        from: TokenFrom,
        /// The API's path.
        path: String,
    },
    /// There is no such secret, or version, or it was deleted.
    #[error(
        "{path} is not on {server}{why}; check the name, the engine's path in the address (KV \
         version 2) and the namespace: a secret that is obtained is never made"
    )]
    Missing {
        /// The server.
        server: String,
        /// The API's path.
        path: String,
        /// What else is known, such as that it was deleted.
        why: &'static str,
    },
    /// The secret has other fields.
    #[error("{path} on {server} has {}; {hint}", listed(fields))]
    Field {
        /// The server.
        server: String,
        /// The API's path.
        path: String,
        /// The names of its fields.
        fields: Vec<String>,
        /// What to do.
        hint: &'static str,
    },
    /// The server is sealed.
    #[error("{server} is sealed; unseal it (`bao operator unseal`), then try again")]
    Sealed {
        /// The server.
        server: String,
    },
    /// It cannot be reached, or is not able to answer.
    #[error("unable to read from {server}: {reason}; {hint}")]
    Unreachable {
        /// The server.
        server: String,
        /// Why not.
        reason: String,
        /// What to do.
        hint: &'static str,
        /// Whether it may pass.
        passing: bool,
    },
    /// What it answers is no answer of Vault.
    #[error("{server} does not answer as Vault does ({reason}); check the address")]
    Odd {
        /// The server.
        server: String,
        /// What is odd.
        reason: String,
    },
}

impl Problem {
    pub(super) fn is_retryable(&self) -> bool {
        matches!(self, Self::Unreachable { passing: true, .. })
    }

    pub(super) fn is_missing(&self) -> bool {
        matches!(self, Self::Missing { .. } | Self::Field { .. })
    }
}

fn listed(fields: &[String]) -> String {
    if fields.is_empty() {
        return "no fields".to_owned();
    }
    format!("the fields {}", fields.join(", "))
}

/// What a KV engine answers.
#[derive(Deserialize)]
struct Answer {
    data: Option<Kept>,
}

#[derive(Deserialize)]
struct Kept {
    /// Null for a version that was deleted.
    data: Option<BTreeMap<String, Field>>,
    metadata: Option<Metadata>,
}

#[derive(Deserialize)]
struct Metadata {
    version: u32,
}

/// A text, or something else.
enum Field {
    Text(SecretString),
    Other,
}

impl<'de> Deserialize<'de> for Field {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;
        impl<'de> Visitor<'de> for Text {
            type Value = Field;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a field")
            }
            fn visit_str<E>(self, text: &str) -> Result<Field, E> {
                Ok(Field::Text(SecretString::from(text)))
            }
            fn visit_string<E>(self, text: String) -> Result<Field, E> {
                Ok(Field::Text(SecretString::from(text)))
            }
            fn visit_bool<E>(self, _: bool) -> Result<Field, E> {
                Ok(Field::Other)
            }
            fn visit_i64<E>(self, _: i64) -> Result<Field, E> {
                Ok(Field::Other)
            }
            fn visit_u64<E>(self, _: u64) -> Result<Field, E> {
                Ok(Field::Other)
            }
            fn visit_f64<E>(self, _: f64) -> Result<Field, E> {
                Ok(Field::Other)
            }
            fn visit_unit<E>(self) -> Result<Field, E> {
                Ok(Field::Other)
            }
            fn visit_seq<A: serde::de::SeqAccess<'de>>(
                self,
                mut seq: A,
            ) -> Result<Field, A::Error> {
                while seq.next_element::<IgnoredAny>()?.is_some() {}
                Ok(Field::Other)
            }
            fn visit_map<A: serde::de::MapAccess<'de>>(
                self,
                mut map: A,
            ) -> Result<Field, A::Error> {
                while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
                Ok(Field::Other)
            }
        }
        deserializer.deserialize_any(Text)
    }
}

impl Vault {
    /// Reads an address without its `vault:`.
    pub(super) fn parse(url: &str) -> Result<Self, Invalid> {
        let refuse = |problem: &str| Invalid::Source {
            problem: problem.into(),
        };
        let mut server = Url::parse(url).map_err(|_| refuse("what follows vault: is not a URL"))?;
        let is_loopback = match server.host() {
            Some(url::Host::Domain(name)) => name == "localhost",
            Some(url::Host::Ipv4(address)) => address.is_loopback(),
            Some(url::Host::Ipv6(address)) => address.is_loopback(),
            None => false,
        };
        match server.scheme() {
            "https" => {}
            "http" if is_loopback => {}
            "http" => {
                return Err(refuse(
                    "it would send the token over the network in clear; write vault:https://",
                ));
            }
            _ => return Err(refuse("it is not like vault:https://server:8200/secret")),
        }
        if !server.username().is_empty() || server.password().is_some() {
            return Err(refuse(
                "it holds a credential, which belongs into a file or BAO_TOKEN",
            ));
        }
        let mount = server.path().trim_matches('/').to_owned();
        if mount.is_empty() {
            return Err(refuse("it does not name the KV engine, such as /secret"));
        }
        let (mut namespace, mut token_file, mut ca) = (None, None, None);
        for (key, value) in server.query_pairs() {
            match &*key {
                "namespace" => namespace = Some(value.into_owned()),
                "token-file" => token_file = Some(PathBuf::from(value.into_owned())),
                "ca" => ca = Some(PathBuf::from(value.into_owned())),
                _ => {
                    return Err(refuse(
                        "it has a parameter that is none of namespace, token-file and ca",
                    ));
                }
            }
        }
        if [&token_file, &ca]
            .into_iter()
            .flatten()
            .any(|path| !path.is_absolute())
        {
            return Err(refuse("the path of token-file or ca is not absolute"));
        }
        server.set_path("");
        server.set_query(None);
        server.set_fragment(None);
        Ok(Self {
            server,
            mount,
            namespace: namespace.or_else(|| variable(&["BAO_NAMESPACE", "VAULT_NAMESPACE"])),
            token_file,
            ca: ca.or_else(|| variable(&["BAO_CACERT", "VAULT_CACERT"]).map(PathBuf::from)),
        })
    }

    pub(super) async fn obtain(
        &self,
        name: &SecretName,
        field: Option<&str>,
        version: Option<u32>,
    ) -> Result<Obtained, Problem> {
        let (token, from) = self.token()?;
        let client = http::client(self.ca.as_deref()).map_err(|error| {
            self.unreachable(
                error.to_string(),
                "check the file of the authorities",
                false,
            )
        })?;
        let headers = self.headers(&token)?;
        let path = format!("v1/{}/data/{name}", self.mount);
        let mut url = self.url(&path)?;
        if let Some(version) = version {
            url.query_pairs_mut()
                .append_pair("version", &version.to_string());
        }
        let (status, body) = self.get(&client, url, headers.clone()).await?;
        match status {
            StatusCode::OK => self.pick(&path, &body, field),
            StatusCode::NOT_FOUND => Err(Problem::Missing {
                server: self.server.to_string(),
                // A version that was deleted is told with its metadata.
                why: match serde_json::from_slice::<Answer>(&body) {
                    Ok(Answer { data: Some(_) }) => ": that version was deleted",
                    _ => "",
                },
                path,
            }),
            StatusCode::FORBIDDEN => {
                // It says the same of a bad token and of a good one without a policy.
                let own = self.url("v1/auth/token/lookup-self")?;
                let (status, _) = self.get(&client, own, headers).await?;
                let server = self.server.to_string();
                Err(if status == StatusCode::FORBIDDEN {
                    Problem::TokenInvalid { server, from }
                } else {
                    Problem::Forbidden { server, from, path }
                })
            }
            status => Err(self.refused(status, &body)),
        }
    }

    /// The token, and where it came from.
    fn token(&self) -> Result<(SecretString, TokenFrom), Problem> {
        if let Some(path) = &self.token_file {
            return self.token_in(path);
        }
        for name in ["BAO_TOKEN", "VAULT_TOKEN"] {
            if let Some(token) = variable(&[name]) {
                return Ok((SecretString::from(token), TokenFrom::Variable(name)));
            }
        }
        let left_by_login = std::env::home_dir()
            .map(|home| home.join(".vault-token"))
            .filter(|path| path.exists());
        match left_by_login {
            Some(path) => self.token_in(&path),
            None => Err(Problem::NoToken {
                server: self.server.to_string(),
            }),
        }
    }

    fn token_in(&self, path: &Path) -> Result<(SecretString, TokenFrom), Problem> {
        let token = file::read(path, Privacy::Refused).map_err(|problem| Problem::TokenFile {
            server: self.server.to_string(),
            path: path.to_owned(),
            problem,
        })?;
        Ok((token, TokenFrom::File(path.to_owned())))
    }

    fn headers(&self, token: &SecretString) -> Result<HeaderMap, Problem> {
        let header = |text: &str, what: &str| {
            HeaderValue::from_str(text).map_err(|_| {
                let reason = format!("the {what} has characters that none has");
                self.unreachable(reason, "check where it comes from", false)
            })
        };
        let mut token = header(token.expose_secret(), "token")?;
        token.set_sensitive(true);
        let mut headers = HeaderMap::new();
        headers.insert(HeaderName::from_static("x-vault-token"), token);
        headers.insert(
            HeaderName::from_static("x-vault-request"),
            HeaderValue::from_static("true"),
        );
        if let Some(namespace) = &self.namespace {
            let namespace = header(namespace, "namespace")?;
            headers.insert(HeaderName::from_static("x-vault-namespace"), namespace);
        }
        Ok(headers)
    }

    fn url(&self, path: &str) -> Result<Url, Problem> {
        self.server
            .join(path)
            .map_err(|error| self.unreachable(error.to_string(), "check the address", false))
    }

    async fn get(
        &self,
        client: &reqwest::Client,
        url: Url,
        headers: HeaderMap,
    ) -> Result<(StatusCode, Zeroizing<Vec<u8>>), Problem> {
        let failed = |error: reqwest::Error| {
            let passing = error.is_timeout();
            let reason = http::causes(&error.without_url());
            self.unreachable(
                reason,
                "check the address, that the server runs, and its certificate (`?ca=`)",
                passing,
            )
        };
        let mut answer = client
            .get(url)
            .headers(headers)
            .send()
            .await
            .map_err(failed)?;
        let status = answer.status();
        let mut body = Zeroizing::new(Vec::with_capacity(MAX_BYTES));
        while let Some(chunk) = answer.chunk().await.map_err(failed)? {
            if body.len() + chunk.len() > MAX_BYTES {
                return Err(self.odd("its answer has more than 1 MiB".into()));
            }
            body.extend_from_slice(&chunk);
        }
        Ok((status, body))
    }

    /// Takes the field out of an answer.
    fn pick(&self, path: &str, body: &[u8], field: Option<&str>) -> Result<Obtained, Problem> {
        // What does not parse may hold the secret: nothing of it is repeated.
        let odd = || self.odd("its answer is not one of a KV engine of version 2".into());
        let answer: Answer = serde_json::from_slice(body).map_err(|_| odd())?;
        let kept = answer.data.ok_or_else(odd)?;
        let version = kept.metadata.ok_or_else(odd)?.version;
        let mut fields = kept.data.unwrap_or_default();
        let refuse = |fields: &BTreeMap<String, Field>, hint| Problem::Field {
            server: self.server.to_string(),
            path: path.to_owned(),
            fields: fields.keys().cloned().collect(),
            hint,
        };
        let wanted = match field {
            Some(field) => field.to_owned(),
            None if fields.len() == 1 => fields.keys().next().cloned().unwrap_or_default(),
            None => return Err(refuse(&fields, "say which field is meant")),
        };
        match fields.remove(&wanted) {
            Some(Field::Text(value)) if !value.expose_secret().is_empty() => Ok(Obtained {
                value,
                version: Some(version),
            }),
            Some(found) => {
                let hint = match found {
                    Field::Text(_) => "the one that is meant is empty",
                    Field::Other => "the one that is meant is not text",
                };
                fields.insert(wanted, found);
                Err(refuse(&fields, hint))
            }
            None => Err(refuse(&fields, "the one that is meant is not among them")),
        }
    }

    /// The error for a status that says something of the server.
    fn refused(&self, status: StatusCode, body: &[u8]) -> Problem {
        #[derive(Deserialize)]
        struct Errors {
            errors: Vec<String>,
        }
        let errors =
            serde_json::from_slice::<Errors>(body).map_or_else(|_| Vec::new(), |e| e.errors);
        if status == StatusCode::SERVICE_UNAVAILABLE && errors.iter().any(|e| e.contains("sealed"))
        {
            return Problem::Sealed {
                server: self.server.to_string(),
            };
        }
        let reason = format!("it answers {status}");
        if status == StatusCode::TOO_MANY_REQUESTS || status.is_server_error() {
            return self.unreachable(reason, "try again, and see its log if that goes on", true);
        }
        if status.is_redirection() {
            return self.unreachable(
                reason,
                "give the address of the active server, which it leads to",
                false,
            );
        }
        self.odd(reason)
    }

    fn unreachable(&self, reason: String, hint: &'static str, passing: bool) -> Problem {
        Problem::Unreachable {
            server: self.server.to_string(),
            reason,
            hint,
            passing,
        }
    }

    fn odd(&self, reason: String) -> Problem {
        Problem::Odd {
            server: self.server.to_string(),
            reason,
        }
    }
}

fn variable(names: &[&str]) -> Option<String> {
    names
        .iter()
        .filter_map(|name| std::env::var(name).ok())
        .find(|value| !value.is_empty())
}
