//! Ask a server by HTTP: the one place that builds an HTTP client.
//!
//! TLS is rustls with `ring`, and the server is always verified. No redirect is
//! followed. A request has a limit of time, and an answer one of size. What is sent and
//! what comes back is for those who use this: it must not know any server's API, nor
//! what a user is told of a failure.

mod failure;
mod trust;

#[cfg(test)]
mod tests;

use std::fmt;
use std::io;
use std::time::Duration;

use reqwest::redirect::Policy;
use zeroize::Zeroizing;

pub use failure::{Failure, causes};
pub use reqwest::header;
pub use reqwest::{Method, StatusCode};
pub use trust::{Fingerprint, Trust};
pub use url::Url;

use header::HeaderMap;

/// To reach the server.
const CONNECT: Duration = Duration::from_secs(10);
/// How long an idle connection is kept. Some servers close theirs after 5 s, and a
/// request that is sent at that moment is lost.
const IDLE: Duration = Duration::from_secs(4);

/// A client of one server, with the connections that it keeps open.
#[derive(Debug, Clone)]
pub struct Client(reqwest::Client);

/// One request, ready to be sent. Its body may hold a secret: it has no `Debug`.
#[derive(Clone)]
pub struct Request {
    /// `GET`, `POST`, ...
    pub method: Method,
    /// The whole address.
    pub url: Url,
    /// Headers; mark those that hold a secret as sensitive.
    pub headers: HeaderMap,
    /// The body.
    pub body: Vec<u8>,
    /// How long it may take until the answer is whole.
    pub limit: Duration,
    /// How large the body of the answer may be, in bytes.
    pub most: usize,
}

/// What a server answered.
pub struct Answer {
    /// Its status.
    pub status: StatusCode,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body. It may hold a secret, and is overwritten when it is dropped.
    pub body: Zeroizing<Vec<u8>>,
}

/// Shows no body, and of headers only the names: either may hold a secret.
impl fmt::Debug for Answer {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Answer")
            .field("status", &self.status)
            .field("headers", &self.headers.keys().collect::<Vec<_>>())
            .field("bytes", &self.body.len())
            .finish()
    }
}

impl Client {
    /// A client of `server` that trusts it by `trust`.
    pub fn new(server: &Url, trust: &Trust) -> io::Result<Self> {
        let client = reqwest::Client::builder()
            .tls_backend_preconfigured(trust.configuration(server)?)
            // It would take the credentials along.
            .redirect(Policy::none())
            .connect_timeout(CONNECT)
            .pool_idle_timeout(IDLE)
            .user_agent(concat!("nixops4-resources/", env!("CARGO_PKG_VERSION")))
            .build();
        client.map(Self).map_err(io::Error::other)
    }

    /// Sends a request. No failure means that nothing was done: the server may have done
    /// it, and the answer been lost.
    pub async fn send(&self, request: Request) -> Result<Answer, Failure> {
        let Request { limit, most, .. } = request;
        let failed = |error| Failure::of(error, limit);
        let sent = self
            .0
            .request(request.method, request.url)
            .headers(request.headers)
            .body(request.body)
            .timeout(limit)
            .send();
        let mut answer = sent.await.map_err(failed)?;
        let mut body = Zeroizing::new(Vec::new());
        while let Some(chunk) = answer.chunk().await.map_err(failed)? {
            if body.len() + chunk.len() > most {
                return Err(Failure::TooLarge { most });
            }
            append(&mut body, &chunk);
        }
        Ok(Answer {
            status: answer.status(),
            headers: std::mem::take(answer.headers_mut()),
            body,
        })
    }
}

/// Appends, and leaves nothing of a secret in the memory that was too small.
fn append(body: &mut Zeroizing<Vec<u8>>, chunk: &[u8]) {
    let needed = body.len() + chunk.len();
    if body.capacity() < needed {
        let mut larger = Vec::with_capacity(needed.max(2 * body.capacity()));
        larger.extend_from_slice(body);
        *body = Zeroizing::new(larger);
    }
    body.extend_from_slice(chunk);
}
