//! An open state resource: what it holds, and what is appended to it.

use std::rc::Rc;

use json_patch::Patch;
use nixops4_protocol::client::{ClientError, ProviderCommand};
use nixops4_protocol::message::{
    ExtantResource, HistoryEvent, Request, Response, StateResourceEvent,
    StateResourceHistoryRequest, StateResourceReadRequest,
};
use nixops4_protocol::state::{self, RecordedResource};
use serde_json::Value;

use super::{Absent, CLOSE_PATIENCE, Location, RecordsError};
use crate::member::MemberPath;
use crate::providers::{Link, Providers, is_unanswered};

/// How we name ourselves in the state's events.
const VERSION: &str = concat!("nixops4-resources ", env!("CARGO_PKG_VERSION"));
/// How many events of a history are asked for at once: an answer is one line.
const HISTORY_AT_ONCE: u64 = 200;

/// An open state resource.
pub(crate) struct Keeper {
    pub(super) path: MemberPath,
    pub(super) resource: ExtantResource,
    /// Absent if the place isn't there yet.
    pub(super) process: Option<Box<dyn Link>>,
    /// The state as it stands after what we recorded.
    pub(super) document: Value,
    /// Whether its provider tells the events that it came from.
    pub(super) tells_history: bool,
    /// What is said where it isn't there.
    absent: Absent,
    /// What others changed before its process was lost and the next one read it:
    /// that one takes it for known, and whoever asks us to record does not know it.
    theirs: Vec<String>,
    providers: Rc<Providers>,
    command: ProviderCommand,
}

impl Keeper {
    pub(super) fn new(
        location: &Location,
        providers: Rc<Providers>,
        command: ProviderCommand,
    ) -> Self {
        Self {
            path: location.label.clone(),
            resource: ExtantResource {
                r#type: location.kind.clone(),
                input_properties: location.inputs.clone(),
                output_properties: None,
            },
            process: None,
            document: state::empty(),
            tells_history: false,
            absent: Absent::new(location, None),
            theirs: Vec::new(),
            providers,
            command,
        }
    }

    /// The state as it stands after what we recorded.
    pub(crate) fn document(&self) -> &Value {
        &self.document
    }

    /// Whether the place is there.
    pub(super) fn is_there(&self) -> bool {
        self.process.is_some()
    }

    /// Records one resource, now.
    pub(crate) async fn record(
        &mut self,
        path: &MemberPath,
        event: &str,
        resource: &RecordedResource,
    ) -> Result<(), RecordsError> {
        let changes = state::record(&self.document, path.names(), resource);
        self.append(event, changes).await
    }

    /// Forgets one resource, if it is recorded.
    pub(crate) async fn forget(
        &mut self,
        path: &MemberPath,
        event: &str,
    ) -> Result<(), RecordsError> {
        let recorded = state::resource(&self.document, path.names());
        if matches!(recorded, Ok(None)) {
            return Ok(());
        }
        self.append(event, state::forget(path.names())).await
    }

    /// Starts the process that keeps it, and reads it.
    pub(super) async fn start(&mut self) -> Result<(), ClientError> {
        let label = self.path.to_string();
        let mut process = self.providers.spawn(&self.command, &label)?;
        let request = Request::StateRead(StateResourceReadRequest {
            resource: self.resource.clone(),
        });
        match process.ask(&request, self.providers.limit()).await {
            Ok(Response::StateRead(answer)) => {
                self.document = Value::Object(answer.state);
                self.process = Some(process);
                Ok(())
            }
            Ok(_) => Err(ClientError::Mismatch {
                request: "stateResourceReadRequest",
            }),
            Err(error) => {
                process.close(CLOSE_PATIENCE).await;
                Err(error)
            }
        }
    }

    /// Appends an event, now. If the process that keeps the state is lost, a new
    /// one tells whether it was written, and it is written if it wasn't.
    pub(crate) async fn append(&mut self, event: &str, changes: Patch) -> Result<(), RecordsError> {
        if self.process.is_none() {
            return Err(RecordsError::Absent(self.absent.clone()));
        }
        if concerns(&changes, &self.theirs) {
            return Err(self.overtaken());
        }
        let request = Request::StateEvent(StateResourceEvent {
            resource: self.resource.clone(),
            event: event.to_owned(),
            nixops_version: VERSION.to_owned(),
            patch: changes.clone(),
        });
        let mut attempt = 1;
        loop {
            let error = match self.ask(&request).await {
                Ok(Response::StateEvent(_)) => return self.follow(&changes),
                Ok(_) => ClientError::Mismatch {
                    request: "stateResourceEvent",
                },
                Err(error) => error,
            };
            let retries = self.providers.retries();
            if !is_unanswered(&error) || !retries.pause(&self.path, attempt, &error).await {
                return Err(RecordsError::Write {
                    path: self.path.clone(),
                    source: error,
                });
            }
            if self.is_written(&changes).await? {
                return Ok(());
            }
            attempt += 1;
        }
    }

    async fn ask(&mut self, request: &Request) -> Result<Response, ClientError> {
        match &mut self.process {
            Some(process) => process.ask(request, self.providers.limit()).await,
            None => Err(ClientError::Spent),
        }
    }

    fn follow(&mut self, changes: &Patch) -> Result<(), RecordsError> {
        json_patch::patch(&mut self.document, changes).map_err(|source| RecordsError::Mirror {
            path: self.path.clone(),
            source,
        })
    }

    /// Reads the state anew and finds changes in it, or what was there before
    /// them; what is neither is somebody else's, and remembered as that.
    async fn is_written(&mut self, changes: &Patch) -> Result<bool, RecordsError> {
        let before = self.document.clone();
        self.start().await.map_err(|source| RecordsError::Read {
            path: self.path.clone(),
            source,
        })?;
        let now = std::mem::replace(&mut self.document, before.clone());
        self.follow(changes)?;
        let after = std::mem::replace(&mut self.document, now);
        for (is_written, expected) in [(true, after), (false, before)] {
            let theirs = json_patch::diff(&expected, &self.document);
            let theirs: Vec<String> = places(&theirs).map(str::to_owned).collect();
            if !concerns(changes, &theirs) {
                self.theirs.extend(theirs);
                return Ok(is_written);
            }
        }
        Err(self.overtaken())
    }

    fn overtaken(&self) -> RecordsError {
        RecordsError::Overtaken {
            path: self.path.clone(),
        }
    }

    /// The events from index `since` on.
    pub(crate) async fn history(&mut self, since: u64) -> Result<Vec<HistoryEvent>, RecordsError> {
        if self.process.is_none() {
            return Ok(Vec::new());
        }
        if !self.tells_history {
            return Err(RecordsError::NoHistory {
                path: self.path.clone(),
            });
        }
        let mut events = Vec::new();
        let mut since = since;
        loop {
            let request = Request::StateHistory(StateResourceHistoryRequest {
                resource: self.resource.clone(),
                since,
                limit: Some(HISTORY_AT_ONCE),
            });
            let answer = match self.ask(&request).await {
                Ok(Response::StateHistory(answer)) => Ok(answer),
                Ok(_) => Err(ClientError::Mismatch {
                    request: "nixops4-resources/stateResourceHistoryRequest",
                }),
                Err(error) => Err(error),
            };
            let answer = answer.map_err(|source| RecordsError::Read {
                path: self.path.clone(),
                source,
            })?;
            since += answer.events.len() as u64;
            let is_last = answer.events.is_empty() || since >= answer.length;
            events.extend(answer.events);
            if is_last {
                return Ok(events);
            }
        }
    }

    pub(super) async fn close(&mut self) {
        if let Some(process) = self.process.take() {
            process.close(CLOSE_PATIENCE).await;
        }
    }
}

/// Where a patch changes something.
fn places(patch: &Patch) -> impl Iterator<Item = &str> {
    patch.0.iter().map(|operation| operation.path().as_str())
}

/// Whether a patch changes one of these places, something in it, or what it is in.
fn concerns(patch: &Patch, others: &[String]) -> bool {
    let is_in = |place: &str, other: &str| {
        let rest = place.strip_prefix(other);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    places(patch).any(|place| {
        let mut others = others.iter();
        others.any(|other| is_in(place, other) || is_in(other, place))
    })
}
