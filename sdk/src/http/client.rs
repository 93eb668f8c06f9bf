//! Sends requests, with who asks, and says what became of them.

use std::fmt;
use std::rc::Rc;
use std::time::Duration;

use nixops4_http_client::header::HeaderMap;
use nixops4_http_client::{self as http, Trust, Url};

use super::answer::{Answer, Readable};
use super::authentication::{Authentication, Kept, Numbered, Sessions, Way};
use super::inputs::Endpoint;
use super::refusal::{Dialect, Failure, Refusal, Refused, found};
use super::request::{Parts, Request};
use crate::context::Context;
use crate::error::{Error, Result, Retry};

/// An answer is read up to this size, in bytes.
const MOST: usize = 64 << 20;
/// How long one request may take unless it says so itself.
const REQUEST: Duration = Duration::from_secs(30);

/// Who talks to a server in what way.
#[derive(Clone)]
pub struct Client {
    http: http::Client,
    server: Url,
    dialect: &'static dyn Dialect,
    authentication: Authentication,
    at: &'static str,
    trust_at: &'static str,
}

impl fmt::Debug for Client {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "client of {}: {:?}", self.server, self.authentication)
    }
}

/// What a client is made of.
pub struct Builder {
    server: Url,
    dialect: &'static dyn Dialect,
    authentication: Authentication,
    trust: Trust,
    at: &'static str,
    trust_at: &'static str,
}

impl Builder {
    /// By what the server is recognised, and which input says so.
    #[must_use]
    pub fn trust(self, trust: Trust, at: &'static str) -> Self {
        Self {
            trust,
            trust_at: at,
            ..self
        }
    }

    /// Who the client is to the server.
    #[must_use]
    pub fn authentication(self, authentication: Authentication) -> Self {
        Self {
            authentication,
            ..self
        }
    }

    /// Which input names the server; `/connection/endpoint` if nothing is said.
    #[must_use]
    pub fn at(self, at: &'static str) -> Self {
        Self { at, ..self }
    }

    /// The client, for a server of which this process has the slot already.
    pub fn build(self) -> Result<Client> {
        let http = http::Client::new(&self.server, &self.trust)
            .map_err(|error| Error::input(self.at, "unable to set up TLS").because(error))?;
        Ok(Client {
            http,
            server: self.server,
            dialect: self.dialect,
            authentication: self.authentication,
            at: self.at,
            trust_at: self.trust_at,
        })
    }

    /// The client, once this process has a slot for the server. Secrets were resolved
    /// before: nobody queues behind them.
    pub async fn connect(self, cx: &Context) -> Result<Client> {
        let server = shown(&self.server);
        cx.slot(&format!("{} {server}", self.dialect.called()))
            .await?;
        self.build()
    }
}

/// An address without the slash that it ends with.
fn shown(url: &Url) -> &str {
    url.as_str().trim_end_matches('/')
}

impl Client {
    /// A client of a server that speaks so: without a credential, and by the authorities
    /// that the system trusts, unless more is said.
    #[must_use]
    pub fn of(endpoint: &Endpoint, dialect: &'static dyn Dialect) -> Builder {
        Builder {
            server: endpoint.url().clone(),
            dialect,
            authentication: Authentication::nobody(),
            trust: Trust::System,
            at: "/connection/endpoint",
            trust_at: "/connection/tls",
        }
    }

    /// The server, as errors name it.
    #[must_use]
    pub fn server(&self) -> &str {
        shown(&self.server)
    }

    /// A failure of this server.
    pub fn error(&self, summary: impl Into<String>) -> Error {
        Error::input(self.at, summary)
    }

    /// Sends a request, and gives the answer.
    pub async fn call<A: Readable>(&self, cx: &Context, request: Request<A>) -> Result<A, Failure> {
        let answer = self.send(cx, &request.parts).await?;
        if self.dialect.refuses(&answer) {
            return Err(self.refused(&answer, request.parts.doing.as_deref()));
        }
        A::read(answer).map_err(|error| {
            let error = match &request.parts.doing {
                Some(doing) => Error::new(doing).because(error),
                None => error,
            };
            Failure::Failed(error.at(self.at))
        })
    }

    /// Asks for something; `None` if it is not there, as `is_absent` reads it from a
    /// refusal. A status alone says little: a proxy answers 404, too.
    pub async fn find<A: Readable>(
        &self,
        cx: &Context,
        request: Request<A>,
        is_absent: impl FnOnce(&Refusal) -> bool,
    ) -> Result<Option<A>, Failure> {
        found(self.call(cx, request).await, is_absent)
    }

    fn refused(&self, answer: &Answer, doing: Option<&str>) -> Failure {
        let refused = Refused {
            answer,
            server: self.server(),
            doing,
            at: self.at,
            credential_at: self.authentication.at.as_deref(),
        };
        refused.failure(self.dialect)
    }

    /// Sends a request as whoever this client is. A session that is over is renewed
    /// once.
    async fn send(&self, cx: &Context, request: &Parts) -> Result<Answer> {
        let credential = match &self.authentication.way {
            Way::Nobody => HeaderMap::new(),
            Way::Header(name, value) => HeaderMap::from_iter([(name.clone(), value.clone())]),
            Way::LogIn { key, .. } => {
                let kept = cx.session::<Sessions>().of(self.server.as_str(), *key);
                return self.send_in_session(cx, request, &kept).await;
            }
        };
        self.exchange(cx, request, credential).await
    }

    async fn send_in_session(
        &self,
        cx: &Context,
        request: &Parts,
        kept: &Rc<Kept>,
    ) -> Result<Answer> {
        let session = self.session(cx, kept, None).await?;
        let headers = session.session.headers(&request.method);
        let answer = self.exchange(cx, request, headers).await?;
        if !self.dialect.ends_session(&answer) {
            return Ok(answer);
        }
        let session = self.session(cx, kept, Some(&session)).await?;
        let headers = session.session.headers(&request.method);
        self.exchange(cx, request, headers).await
    }

    async fn session(
        &self,
        cx: &Context,
        kept: &Kept,
        over: Option<&Numbered>,
    ) -> Result<Numbered> {
        let Way::LogIn { log_in, .. } = &self.authentication.way else {
            return Err(self.error("this client has no way to log in"));
        };
        let anonymous = Self {
            authentication: Authentication {
                way: Way::Nobody,
                at: self.authentication.at.clone(),
            },
            ..self.clone()
        };
        kept.get(over, log_in.log_in(cx, &anonymous)).await
    }

    async fn exchange(
        &self,
        cx: &Context,
        request: &Parts,
        credential: HeaderMap,
    ) -> Result<Answer> {
        let url = request.url(&self.server).map_err(|problem| {
            self.error(format!("a request to {} can't be sent", self.server()))
                .because(problem)
        })?;
        let name = request.name(&url);
        let limit = request.limit.unwrap_or(REQUEST).min(cx.time_left());
        let mut headers = request.headers.clone();
        headers.extend(credential);
        let sent = self.http.send(http::Request {
            method: request.method.clone(),
            url: url.clone(),
            headers,
            body: request.body.clone(),
            limit,
            most: MOST,
        });
        let came = sent.await.map_err(|failure| self.failed(&failure))?;
        tracing::debug!(status = came.status.as_u16(), "{name}");
        Ok(Answer {
            came,
            request: name,
            url: Some(url),
        })
    }

    /// What it means that no answer came. It doesn't mean that nothing was done: such a
    /// request may be made again, beginning with a look at what is there.
    fn failed(&self, failure: &http::Failure) -> Error {
        let server = self.server();
        let trust = self.trust_at.trim_start_matches('/').replace('/', ".");
        let (summary, hint) = match failure {
            http::Failure::Unreachable(_) => (
                format!("unable to reach {server}"),
                "see that the address is right and that the server runs".to_owned(),
            ),
            http::Failure::TimedOut { limit } => {
                let seconds = limit.as_secs().max(1);
                let error = self.error(format!("{server} gave no answer within {seconds} s"));
                return error
                    .hint("it accepts connections; see its log for what keeps it from answering")
                    .retry(Retry::Briefly);
            }
            http::Failure::Untrusted(_) => (
                format!("unable to trust {server}"),
                format!(
                    "name the authority's certificate in {trust}, and the server as its own \
                     certificate does"
                ),
            ),
            http::Failure::Tls(_) => (
                format!("unable to begin TLS with {server}"),
                "see whether the address begins with http or https, and which port it names"
                    .to_owned(),
            ),
            http::Failure::TooLarge { .. } => {
                (format!("{server} answers with too much"), String::new())
            }
            _ => (
                format!("{server} broke off before its answer was whole"),
                "it may be restarting; apply again when it is back".to_owned(),
            ),
        };
        let retry = if failure.may_pass() {
            Retry::Briefly
        } else {
            Retry::Never
        };
        let error = self.error(summary).because(failure).retry(retry);
        if hint.is_empty() {
            error
        } else {
            error.hint(hint)
        }
    }
}
