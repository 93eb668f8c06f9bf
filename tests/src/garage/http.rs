//! Requests to a server of Garage's, and what it answers.

use std::fmt;
use std::time::Duration;

use ureq::http::{HeaderMap, Request};
use ureq::{Agent, AsSendBody};

/// How long a request may take: far more than any does.
const TIMEOUT: Duration = Duration::from_mins(1);

/// What was answered.
#[derive(Debug)]
pub struct Response {
    /// The status.
    pub status: u16,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Vec<u8>,
}

impl Response {
    /// A header, empty if there is none.
    #[must_use]
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| {
            value.to_str().expect("a header in visible characters")
        })
    }

    /// The body as text.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// That a request was not done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The status; 0 if there was no answer at all.
    pub status: u16,
    /// What Garage calls it: `NoSuchBucket`.
    pub code: String,
    /// What it says.
    pub message: String,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}: {}", self.status, self.code, self.message)
    }
}

impl Refusal {
    pub(super) fn no_answer(error: &ureq::Error) -> Self {
        Self {
            status: 0,
            code: String::new(),
            message: error.to_string(),
        }
    }
}

/// A client that follows nothing, takes every status for an answer, and knows no
/// proxy of the environment's.
pub(super) fn agent() -> Agent {
    Agent::config_builder()
        .http_status_as_error(false)
        .max_redirects(0)
        .proxy(None)
        .timeout_global(Some(TIMEOUT))
        // A node that was started again remembers no connection.
        .max_idle_connections(0)
        .build()
        .into()
}

pub(super) fn run(
    agent: &Agent,
    request: Request<impl AsSendBody>,
) -> Result<Response, ureq::Error> {
    let (parts, mut body) = agent.run(request)?.into_parts();
    Ok(Response {
        status: parts.status.as_u16(),
        headers: parts.headers,
        body: body.read_to_vec()?,
    })
}
