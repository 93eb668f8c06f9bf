//! Why there is no answer, judged by types and never by the words of an error.

use std::error::Error;
use std::io;
use std::time::Duration;

/// Why there is no answer. No message holds an address, a header or a body.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum Failure {
    /// Nobody listens there, or the name leads nowhere.
    #[error("{0}")]
    Unreachable(String),
    /// The server's certificate is not trusted.
    #[error("{0}")]
    Untrusted(String),
    /// What listens there does not do TLS, or none of the same kind.
    #[error("{0}")]
    Tls(String),
    /// It accepted the request, and did not answer in time.
    #[error("no answer within {} s", limit.as_secs().max(1))]
    TimedOut {
        /// The time that it had.
        limit: Duration,
    },
    /// The connection ended before the answer was whole.
    #[error("{0}")]
    BrokenOff(String),
    /// The answer is larger than was allowed.
    #[error("the answer has more than {most} bytes")]
    TooLarge {
        /// How many bytes it was allowed.
        most: usize,
    },
}

impl Failure {
    pub(crate) fn of(error: reqwest::Error, limit: Duration) -> Self {
        // A signed address is a credential.
        let error = error.without_url();
        let text = causes(&error);
        match tls_error(&error) {
            Some(rustls::Error::InvalidCertificate(_) | rustls::Error::NoCertificatesPresented) => {
                Self::Untrusted(text)
            }
            Some(_) => Self::Tls(text),
            None if error.is_connect() => Self::Unreachable(text),
            None if error.is_timeout() => Self::TimedOut { limit },
            None => Self::BrokenOff(text),
        }
    }

    /// Whether the same may succeed in a moment.
    #[must_use]
    pub fn may_pass(&self) -> bool {
        matches!(
            self,
            Self::Unreachable(_) | Self::TimedOut { .. } | Self::BrokenOff(_)
        )
    }
}

/// What TLS says, if an error comes from there. An error of IO does not give the one
/// that it was made of as its source.
fn tls_error<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a rustls::Error> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref() {
            return Some(found);
        }
        let inner = error
            .downcast_ref::<io::Error>()
            .and_then(io::Error::get_ref);
        next = match inner {
            Some(inner) => Some(inner),
            None => error.source(),
        };
    }
    None
}

/// An error with what caused it: the reason is the last one.
#[must_use]
pub fn causes(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        source = cause.source();
    }
    text
}
