//! When something is asked again, and how often.
//!
//! A provider tries for itself as long as it makes sense, so that what it answers
//! is final, and so is silence beyond the time limit. What is asked again is what
//! nobody answered: a process that could not be started for want of memory or
//! the like, and one that ended without an answer, if its kind says that the
//! request finds what is done already.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use nixops4_protocol::client::ClientError;
use nixops4_protocol::describe::KindDescription;
use nixops4_protocol::message::{Request, RequestName};
use rustix::io::Errno;

use crate::member::MemberPath;

/// How long to wait before each further attempt.
const PAUSES: [Duration; 2] = [Duration::from_millis(500), Duration::from_secs(2)];
/// What passes by itself when somebody else's processes end.
const PASSING: [Errno; 5] = [
    Errno::AGAIN,
    Errno::NOMEM,
    Errno::TXTBSY,
    Errno::MFILE,
    Errno::NFILE,
];

/// Something is about to be asked again.
#[derive(Debug)]
pub(crate) struct Retry<'a> {
    /// For which member.
    pub(crate) path: &'a MemberPath,
    /// Why.
    pub(crate) error: &'a ClientError,
    /// The attempt that follows; the first was 1.
    pub(crate) attempt: usize,
    /// How many there are at most.
    pub(crate) of: usize,
}

type Tell = Arc<dyn Fn(&Retry<'_>)>;

/// How often something is asked again, and who is told.
#[derive(Clone)]
pub(crate) struct Retries {
    tell: Tell,
    stopped: Arc<AtomicBool>,
}

impl Retries {
    pub(crate) fn new(tell: Tell) -> Self {
        Self {
            tell,
            stopped: Arc::default(),
        }
    }

    /// Nothing is asked again any more: somebody wants to go.
    pub(crate) fn stop(&self) {
        self.stopped.store(true, Ordering::Relaxed);
    }

    /// Waits before attempt `attempt + 1`; false if there is to be none.
    pub(crate) async fn pause(
        &self,
        path: &MemberPath,
        attempt: usize,
        error: &ClientError,
    ) -> bool {
        let is_stopped = || self.stopped.load(Ordering::Relaxed);
        let Some(pause) = PAUSES.get(attempt - 1).filter(|_| !is_stopped()) else {
            return false;
        };
        // What ended a provider may have been a Ctrl-C, which reaches us, too.
        tokio::time::sleep(*pause).await;
        if is_stopped() {
            return false;
        }
        (self.tell)(&Retry {
            path,
            error,
            attempt: attempt + 1,
            of: PAUSES.len() + 1,
        });
        true
    }
}

/// Whether nobody answered.
pub(crate) fn is_unanswered(error: &ClientError) -> bool {
    matches!(error, ClientError::Spawn { .. } | ClientError::Gone { .. })
}

/// Whether a request that got this error may be sent again.
pub(crate) fn may_be_repeated(
    error: &ClientError,
    request: &Request,
    kind: Option<&KindDescription>,
) -> bool {
    match error {
        ClientError::Spawn { source, .. } => {
            let errno = Errno::from_io_error(source);
            errno.is_some_and(|errno| PASSING.contains(&errno))
        }
        ClientError::Gone { .. } => {
            let name = request.name();
            let changes_nothing = matches!(
                name,
                RequestName::Plan
                    | RequestName::PlanDestroy
                    | RequestName::Read
                    | RequestName::List
                    | RequestName::StateRead
            );
            changes_nothing || kind.is_some_and(|kind| kind.repeatable.contains(&name))
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use nixops4_protocol::Object;
    use nixops4_protocol::client::ClientError;
    use nixops4_protocol::describe::KindDescription;
    use nixops4_protocol::message::{CreateResourceRequest, ReadResourceRequest, Request};
    use serde_json::json;

    use super::may_be_repeated;

    fn kind(repeatable: &serde_json::Value) -> KindDescription {
        serde_json::from_value(json!({
            "description": "", "state": "optional", "requests": [], "repeatable": repeatable,
            "inputs": {}, "outputs": {},
        }))
        .unwrap()
    }

    #[test]
    fn only_what_nobody_answered_and_what_says_so_is_asked_again() {
        let create = Request::Create(CreateResourceRequest {
            r#type: "t".to_owned(),
            input_properties: Object::new(),
            is_stateful: true,
        });
        let read = Request::Read(ReadResourceRequest {
            r#type: "t".to_owned(),
            input_properties: Object::new(),
            resource: None,
        });
        let gone = || ClientError::Gone {
            how: "ended".to_owned(),
            stderr: Vec::new(),
        };
        let spawn = |source| ClientError::Spawn {
            executable: "x".into(),
            source,
        };
        let says_so = kind(&json!(["createResourceRequest"]));
        let silent = kind(&json!([]));
        for (error, request, kind, expected) in [
            (gone(), &create, Some(&says_so), true),
            (gone(), &create, Some(&silent), false),
            (gone(), &create, None, false),
            (gone(), &read, None, true),
            (
                ClientError::Refused("no".to_owned()),
                &create,
                Some(&says_so),
                false,
            ),
            (ClientError::Spent, &create, Some(&says_so), false),
            (spawn(io::Error::from_raw_os_error(11)), &create, None, true),
            (
                spawn(io::ErrorKind::NotFound.into()),
                &create,
                Some(&says_so),
                false,
            ),
        ] {
            assert_eq!(may_be_repeated(&error, request, kind), expected, "{error}");
        }
    }
}
