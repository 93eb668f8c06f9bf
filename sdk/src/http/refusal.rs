//! How servers say no, and what that means to the user: one table by status, and what
//! each server has to add.

use nixops4_http_client::StatusCode;
use nixops4_http_client::header::LOCATION;

use super::answer::Answer;
use crate::error::{Error, Result, Retry, shortened};

/// How much is shown of what a server says, in characters.
const SHOWN: usize = 1000;

/// How one server speaks.
pub trait Dialect: Sync {
    /// What errors call it, such as `the API of the shop`.
    fn called(&self) -> &'static str;

    /// Where it is usually found, for who has reached something else.
    fn usual_place(&self) -> &'static str {
        "check the address"
    }

    /// Whether an answer is a refusal: its status says so, unless the server says it
    /// otherwise.
    fn refuses(&self, answer: &Answer) -> bool {
        !answer.status().is_success()
    }

    /// Its own words in a refusal. `None`: such an answer comes from something else, such
    /// as a proxy before it.
    fn words(&self, answer: &Answer) -> Option<Words>;

    /// Whether an answer means that the session is over, so that it is worth logging in
    /// again.
    fn ends_session(&self, answer: &Answer) -> bool {
        answer.status() == StatusCode::UNAUTHORIZED
    }

    /// What a refusal means. `error` is what its status means everywhere; say more, or
    /// something else.
    fn explain(&self, refusal: &Refusal, error: Error) -> Error {
        let _ = refusal;
        error
    }
}

/// What a server says with a refusal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Words {
    /// For people.
    pub message: String,
    /// For programs, such as `NoSuchBucket`.
    pub code: Option<String>,
}

impl Words {
    /// Words without a code.
    pub fn new(message: impl AsRef<str>) -> Self {
        Self {
            message: shortened(message.as_ref().trim(), SHOWN),
            code: None,
        }
    }

    /// Adds the code.
    #[must_use]
    pub fn coded(self, code: impl Into<String>) -> Self {
        Self {
            code: Some(code.into()),
            ..self
        }
    }
}

/// The server understood a request, and says no.
#[derive(Debug, Clone)]
pub struct Refusal {
    /// The status of its answer.
    pub status: StatusCode,
    /// What it says.
    pub words: Words,
    /// What errors call the request.
    pub(super) request: String,
    /// What it means.
    pub(super) error: Error,
}

impl Refusal {
    /// Whether it has this code.
    #[must_use]
    pub fn is(&self, code: &str) -> bool {
        self.words.code.as_deref() == Some(code)
    }

    /// Whether the request itself is at fault, so that another one may be granted: not
    /// the credential, and not a server that is busy or unwell.
    #[must_use]
    pub fn blames_request(&self) -> bool {
        let status = self.status;
        status.is_client_error() && !matches!(status.as_u16(), 401 | 403 | 408 | 429)
    }

    /// The request, without what may be secret in it, such as `GET /v1/zones`.
    #[must_use]
    pub fn request(&self) -> &str {
        &self.request
    }
}

/// Why a request came to nothing.
#[derive(Debug, Clone)]
pub enum Failure {
    /// The server understood it, and says no.
    Refused(Box<Refusal>),
    /// There is no answer, or none of that server.
    Failed(Error),
}

impl Failure {
    /// What becomes of an answer that is a refusal, to test a [`Dialect`] with.
    #[must_use]
    pub fn made_of(answer: &Answer, dialect: &dyn Dialect) -> Self {
        let refused = Refused {
            answer,
            server: "the server",
            doing: None,
            at: "/connection/endpoint",
            credential_at: Some("/connection/token"),
        };
        refused.failure(dialect)
    }

    /// The refusal, if it is one.
    #[must_use]
    pub fn refusal(&self) -> Option<&Refusal> {
        match self {
            Self::Refused(refusal) => Some(refusal),
            Self::Failed(_) => None,
        }
    }

    /// What it means to the user.
    #[must_use]
    pub fn error(&self) -> &Error {
        match self {
            Self::Refused(refusal) => &refusal.error,
            Self::Failed(error) => error,
        }
    }

    /// Whether the server refused with this code.
    #[must_use]
    pub fn is(&self, code: &str) -> bool {
        self.refusal().is_some_and(|refusal| refusal.is(code))
    }
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Refused(refusal) => refusal.error,
            Failure::Failed(error) => error,
        }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

/// What a refused request is about.
pub(super) struct Refused<'a> {
    pub(super) answer: &'a Answer,
    /// The server, as errors name it.
    pub(super) server: &'a str,
    /// What fails.
    pub(super) doing: Option<&'a str>,
    /// Where the server's address stands in the inputs, and where the credential.
    pub(super) at: &'a str,
    pub(super) credential_at: Option<&'a str>,
}

/// What a status means.
struct Meaning {
    blame: Blame,
    retry: Retry,
    hint: &'static str,
}

/// Which input is to blame.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Blame {
    Credential,
    Server,
    /// That is the kind's to say.
    Unsaid,
}

impl Meaning {
    /// The one table of what a status means.
    fn of(answer: &Answer) -> Self {
        use Blame::{Credential, Server, Unsaid};
        use Retry::{Briefly, Never, UntilDeadline};
        let pause = answer.retry_after();
        let (blame, retry, hint) = match answer.status().as_u16() {
            401 => (
                Credential,
                Never,
                "the server does not accept this credential: see that the reference leads to the \
                 right one, and that it has not expired",
            ),
            403 => (
                Credential,
                Never,
                "this credential is not allowed to do that: give it the right to, or use another \
                 one",
            ),
            404 | 410 => (Unsaid, Never, "see that what the inputs name is there"),
            // Looking again shows what somebody else has done meanwhile.
            409 => (
                Unsaid,
                Briefly,
                "something there is in the way; see what, and apply again",
            ),
            412 => (
                Unsaid,
                UntilDeadline,
                "somebody else keeps changing it; see who",
            ),
            423 => (
                Unsaid,
                UntilDeadline,
                "it stayed locked until the time was over; see who holds the lock",
            ),
            429 => (
                Server,
                UntilDeadline,
                "the server stayed busy until the time was over; apply again later",
            ),
            // It says itself when it will be back.
            503 if pause.is_some() => (
                Server,
                UntilDeadline,
                "the server is not ready; apply again when it is",
            ),
            408 | 500.. => (
                Server,
                Briefly,
                "see the server's log; what was done stays, and applying again goes on",
            ),
            300..=399 => (
                Server,
                Never,
                "no redirect is followed; give the address to which it leads",
            ),
            _ => (
                Unsaid,
                Never,
                "the server does not take these values; see what it says of them",
            ),
        };
        let retry = match (retry, pause) {
            (UntilDeadline, Some(seconds)) => Retry::After(seconds),
            (retry, _) => retry,
        };
        Self { blame, retry, hint }
    }
}

impl Refused<'_> {
    /// What it means, in the words of this server if it has some.
    pub(super) fn failure(&self, dialect: &dyn Dialect) -> Failure {
        let Self { answer, server, .. } = *self;
        let status = answer.status();
        let Meaning { blame, retry, hint } = Meaning::of(answer);
        let words = dialect.words(answer);
        let said = match &words {
            Some(words) if words.message.is_empty() => "without a word".to_owned(),
            Some(words) => words.message.clone(),
            None => answer.shown(),
        };
        let said = match leads_to(answer) {
            Some(place) => format!("{said} (it leads to {place})"),
            None => said,
        };
        // Whoever is busy or unwell, and whoever asks who that is, may be a proxy.
        if words.is_none() && blame == Blame::Unsaid && retry == Retry::Never {
            let odd = format!(
                "{server} does not answer {} as {} does",
                answer.request,
                dialect.called()
            );
            let error = Error::input(self.at, odd).because(format!("{status}: {said}"));
            return Failure::Failed(error.hint(dialect.usual_place()));
        }
        let answered = format!("{server} answers {} with {status}", answer.request);
        let error = match self.doing {
            Some(doing) => Error::new(doing).because(format!("{answered}: {said}")),
            None => Error::new(answered).because(said),
        };
        let error = error.hint(hint).retry(retry);
        let error = match blame {
            Blame::Credential => error.at(self.credential_at.unwrap_or(self.at)),
            Blame::Server => error.at(self.at),
            Blame::Unsaid => error,
        };
        let Some(words) = words else {
            return Failure::Failed(error.at_unless_said(self.at));
        };
        let error = match &words.code {
            Some(code) => error.coded(code),
            None => error,
        };
        let mut refusal = Refusal {
            status,
            words,
            request: answer.request.clone(),
            error: error.clone(),
        };
        refusal.error = dialect.explain(&refusal, error);
        Failure::Refused(Box::new(refusal))
    }
}

/// Where a redirect leads, without what may be secret in it.
fn leads_to(answer: &Answer) -> Option<String> {
    let place = answer
        .header(LOCATION)
        .filter(|_| answer.status().is_redirection())?;
    let end = place.find(['?', '#']).unwrap_or(place.len());
    Some(place[..end].to_owned())
}

/// What is there; `None` if the refusal means that it is not, as `is_absent` judges.
pub fn found<A>(
    answer: Result<A, Failure>,
    is_absent: impl FnOnce(&Refusal) -> bool,
) -> Result<Option<A>, Failure> {
    match answer {
        Ok(found) => Ok(Some(found)),
        Err(Failure::Refused(refusal)) if is_absent(&refusal) => Ok(None),
        Err(failure) => Err(failure),
    }
}
