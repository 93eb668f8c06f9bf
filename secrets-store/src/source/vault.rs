//! HashiCorp Vault and OpenBao, the KV engine of version 2, over HTTP.

mod address;
mod answer;
mod problem;

use std::path::{Path, PathBuf};

use reqwest::StatusCode;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use url::Url;
use zeroize::Zeroizing;

use super::Obtained;
use crate::file::{self, Privacy};
use crate::http;
use crate::name::SecretName;
use address::variable;
use answer::Unpicked;
pub(super) use problem::Problem;
pub use problem::TokenFrom;

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

impl Vault {
    pub(super) async fn obtain(
        &self,
        name: &SecretName,
        field: Option<&str>,
        version: Option<u32>,
    ) -> Result<Obtained, Problem> {
        let (token, from) = self.token()?;
        let path = format!("v1/{}/data/{name}", self.mount);
        let mut url = self.url(&path)?;
        let client = http::client(&url, self.ca.as_deref()).map_err(|error| {
            self.unreachable(
                error.to_string(),
                "check the file of the authorities",
                false,
            )
        })?;
        let headers = self.headers(&token)?;
        if let Some(version) = version {
            url.query_pairs_mut()
                .append_pair("version", &version.to_string());
        }
        let (status, body) = self.get(&client, url, headers.clone()).await?;
        match status {
            StatusCode::OK => answer::pick(&body, field).map_err(|unpicked| match unpicked {
                Unpicked::Odd => {
                    self.odd("its answer is not one of a KV engine of version 2".into())
                }
                Unpicked::Field { fields, hint } => Problem::Field {
                    server: self.server.to_string(),
                    path,
                    fields,
                    hint,
                },
            }),
            StatusCode::NOT_FOUND => Err(Problem::Missing {
                server: self.server.to_string(),
                why: if answer::is_of_a_deleted_version(&body) {
                    ": that version was deleted"
                } else {
                    ""
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
