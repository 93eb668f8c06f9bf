//! HTTP to the server of a kind.
//!
//! It sends what a kind has built and gives back what came, whatever its status:
//! what an answer means is the kind's to say. It must not know any server's API.

use std::path::Path;
use std::time::Duration;

use nixops4_secrets_store::http;
pub use nixops4_secrets_store::http::reqwest::header::{self, HeaderMap, HeaderName, HeaderValue};
pub use nixops4_secrets_store::http::reqwest::{Method, StatusCode};
use secrecy::{ExposeSecret as _, SecretString};
pub use url::Url;

use crate::context::Context;
use crate::error::{Error, Result, Retry};

/// An answer is read up to this size, in bytes.
const MAX_BYTES: usize = 64 << 20;
/// How long one request may take unless it says so itself.
const REQUEST: Duration = Duration::from_secs(30);

/// A client of one server, with the connections that it keeps open.
#[derive(Debug, Clone)]
pub struct HttpClient {
    client: http::reqwest::Client,
    server: Url,
    pointer: &'static str,
}

/// One request, ready to be sent.
#[derive(Debug, Clone)]
pub struct HttpRequest {
    /// `GET`, `POST`, ...
    pub method: Method,
    /// The whole address. It is shown in no error: a signed one is a credential.
    pub url: Url,
    /// Headers; mark what is secret as sensitive, as [`bearer`] does.
    pub headers: HeaderMap,
    /// The body.
    pub body: Vec<u8>,
    /// How long it may take; 30 s if nothing is said.
    pub limit: Option<Duration>,
}

impl HttpRequest {
    /// A request without headers and body.
    #[must_use]
    pub fn new(method: Method, url: Url) -> Self {
        Self {
            method,
            url,
            headers: HeaderMap::new(),
            body: Vec::new(),
            limit: None,
        }
    }
}

/// What a server answered.
#[derive(Debug, Clone)]
pub struct HttpAnswer {
    /// Its status.
    pub status: StatusCode,
    /// Its body, up to 64 MiB.
    pub body: Vec<u8>,
}

/// `Authorization: Bearer TOKEN`. `pointer` is where the token's reference stands.
pub fn bearer(token: &SecretString, pointer: &str) -> Result<HeaderValue> {
    let text = format!("Bearer {}", token.expose_secret());
    let mut value = HeaderValue::from_str(&text).map_err(|_| {
        Error::input(pointer, "the token has characters that none has")
            .hint("see that its reference leads to the token alone, on one line")
    })?;
    value.set_sensitive(true);
    Ok(value)
}

impl HttpClient {
    /// A client of `server`, which the input at `pointer` names. It trusts the
    /// authorities in a file of PEM, given with the pointer of its input, or else
    /// those that the system trusts.
    pub fn new(server: Url, pointer: &'static str, ca_file: Option<(&Path, &str)>) -> Result<Self> {
        let client =
            http::client(&server, ca_file.map(|(path, _)| path)).map_err(
                |error| match ca_file {
                    Some((_, at)) => Error::input(at, "unable to read the authorities to trust")
                        .because(error)
                        .hint("give a file of certificates in PEM that this process can read"),
                    None => Error::input(pointer, "unable to set up TLS").because(error),
                },
            )?;
        Ok(Self {
            client,
            server,
            pointer,
        })
    }

    /// The server, as errors name it.
    #[must_use]
    pub fn server(&self) -> &Url {
        &self.server
    }

    /// Sends a request. That nothing came back doesn't mean that nothing was done:
    /// such an error may be retried, beginning with a look at what is there.
    pub async fn send(&self, cx: &Context, request: HttpRequest) -> Result<HttpAnswer> {
        let limit = request.limit.unwrap_or(REQUEST).min(cx.time_left());
        let sent = self
            .client
            .request(request.method, request.url)
            .headers(request.headers)
            .body(request.body)
            .timeout(limit)
            .send()
            .await;
        let mut answer = sent.map_err(|error| self.failed(error, limit))?;
        let status = answer.status();
        let mut body = Vec::new();
        while let Some(chunk) = answer
            .chunk()
            .await
            .map_err(|error| self.failed(error, limit))?
        {
            if body.len() + chunk.len() > MAX_BYTES {
                let mib = MAX_BYTES >> 20;
                return Err(self.error(format!("{} answers with more than {mib} MiB", self.server)));
            }
            body.extend_from_slice(&chunk);
        }
        Ok(HttpAnswer { status, body })
    }

    /// A failure of this server.
    pub fn error(&self, summary: impl Into<String>) -> Error {
        Error::input(self.pointer, summary)
    }

    fn failed(&self, error: http::reqwest::Error, limit: Duration) -> Error {
        let server = &self.server;
        if error.is_timeout() && !error.is_connect() {
            return self
                .error(format!(
                    "{server} gave no answer within {} s",
                    limit.as_secs().max(1)
                ))
                .hint("it accepts connections; see its log for what keeps it from answering")
                .retry(Retry::Briefly);
        }
        let connecting = error.is_connect();
        let cause = http::causes(&error.without_url());
        if cause.contains("certificate") || cause.contains("handshake") {
            return self
                .error(format!("unable to trust {server}"))
                .because(cause)
                .hint(
                    "name the authority's certificate in caFile, and the server as its own \
                     certificate does",
                );
        }
        let (summary, hint) = if connecting {
            (
                format!("unable to reach {server}"),
                "see that the address is right and that the server runs",
            )
        } else {
            (
                format!("{server} broke off before its answer was whole"),
                "it may be restarting; apply again when it is back",
            )
        };
        self.error(summary)
            .because(cause)
            .hint(hint)
            .retry(Retry::Briefly)
    }
}

/// Reads the address of a server: `http` or `https`, without a credential, a query
/// or a fragment.
pub fn parse_server(text: &str) -> Result<Url, String> {
    const FORM: &str = "write it like https://garage.example:3903";
    let url = Url::parse(text).map_err(|error| format!("this is no URL ({error}); {FORM}"))?;
    if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
        return Err(format!("this is no address of an HTTP server; {FORM}"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(format!("an address holds no credential; {FORM}"));
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(format!("an address has no query and no fragment; {FORM}"));
    }
    Ok(url)
}

/// The address of something below a server's own.
#[must_use]
pub fn below(server: &Url, path: &str) -> Url {
    let mut url = server.clone();
    let base = server.path().trim_end_matches('/');
    url.set_path(&format!("{base}/{path}"));
    url
}

#[cfg(test)]
mod tests;
