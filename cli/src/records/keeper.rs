//! An open state resource: what it holds, and what is appended to it.

use std::rc::Rc;

use json_patch::{Patch, PatchOperation};
use nixops4_protocol::client::{ClientError, ProviderCommand};
use nixops4_protocol::message::{
    ExtantResource, HistoryEvent, Request, Response, StateResourceEvent,
    StateResourceHistoryRequest, StateResourceReadRequest,
};
use nixops4_protocol::state::{self, RecordedResource};
use serde_json::Value;

use super::turn::{self, Search, Turn};
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
    /// The apply that has begun here and not ended.
    turn: Option<Turn>,
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
            turn: None,
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
            patch: changes,
        });
        let mut attempt = 1;
        loop {
            let error = match self.ask(&request).await {
                Ok(Response::StateEvent(_)) => break,
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
            if self.is_written(changes_of(&request)).await? {
                return Ok(());
            }
            attempt += 1;
        }
        match request {
            Request::StateEvent(event) => self.follow(event.patch),
            _ => Ok(()),
        }
    }

    async fn ask(&mut self, request: &Request) -> Result<Response, ClientError> {
        match &mut self.process {
            Some(process) => process.ask(request, self.providers.limit()).await,
            None => Err(ClientError::Spent),
        }
    }

    fn follow(&mut self, changes: Patch) -> Result<(), RecordsError> {
        state::apply(&mut self.document, changes).map_err(|source| RecordsError::Mirror {
            path: self.path.clone(),
            source,
        })
    }

    /// Reads the state anew and finds changes in it, or what was there before
    /// them; what is neither is somebody else's, and remembered as that.
    async fn is_written(&mut self, changes: &[PatchOperation]) -> Result<bool, RecordsError> {
        let before = self.document.clone();
        self.start().await.map_err(|source| RecordsError::Read {
            path: self.path.clone(),
            source,
        })?;
        let now = std::mem::replace(&mut self.document, before.clone());
        self.follow(Patch(changes.to_vec()))?;
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

    /// The events.
    pub(crate) async fn history(&mut self) -> Result<Vec<HistoryEvent>, RecordsError> {
        let mut events = Vec::new();
        self.each_event(0, |event| events.push(event)).await?;
        Ok(events)
    }

    /// Hands over the events from index `since` on, one after the other: all together
    /// may be large.
    pub(crate) async fn each_event(
        &mut self,
        since: u64,
        mut take: impl FnMut(HistoryEvent),
    ) -> Result<(), RecordsError> {
        if self.process.is_none() {
            return Ok(());
        }
        let mut since = since;
        loop {
            let (events, length) = self.some_events(since, HISTORY_AT_ONCE).await?;
            since += events.len() as u64;
            let is_last = events.is_empty() || since >= length;
            events.into_iter().for_each(&mut take);
            if is_last {
                return Ok(());
            }
        }
    }

    /// Some of the events, and how many there are in all.
    async fn some_events(
        &mut self,
        since: u64,
        limit: u64,
    ) -> Result<(Vec<HistoryEvent>, u64), RecordsError> {
        if !self.tells_history {
            return Err(RecordsError::NoHistory {
                path: self.path.clone(),
            });
        }
        let request = Request::StateHistory(StateResourceHistoryRequest {
            resource: self.resource.clone(),
            since,
            limit: Some(limit),
        });
        let answer = match self.ask(&request).await {
            Ok(Response::StateHistory(answer)) => Ok((answer.events, answer.length)),
            Ok(_) => Err(ClientError::Mismatch {
                request: "nixops4-resources/stateResourceHistoryRequest",
            }),
            Err(error) => Err(error),
        };
        answer.map_err(|source| RecordsError::Read {
            path: self.path.clone(),
            source,
        })
    }

    /// Says that an apply begins that changes these members. Fails if another is at
    /// work on one of them, or was quicker to say so.
    pub(crate) async fn begin(&mut self, members: &[&MemberPath]) -> Result<(), RecordsError> {
        // Who tells no history does not look who else changes something, either.
        if members.is_empty() || !self.tells_history || self.turn.is_some() {
            return Ok(());
        }
        let here = Turn::of_this_process();
        let touch = |path: &&MemberPath| state::touch(&self.document, path.names()).0;
        let touched: Vec<PatchOperation> = members.iter().flat_map(touch).collect();
        // None of them, which may be large.
        let (_, length) = self.some_events(u64::MAX, 1).await?;
        let mut search = Search::default();
        let since = length.saturating_sub(turn::LAST);
        self.each_event(since, |event| search.see(&event)).await?;
        let now = time::OffsetDateTime::now_utc();
        if let Some(other) = search.at_work_on(&touched, &here, now) {
            return Err(RecordsError::AtWork {
                path: self.path.clone(),
                writer: other.writer,
                time: other.time,
            });
        }
        let patch = here.patch(touched);
        match self.append(turn::BEGIN, patch).await {
            Ok(()) => {
                self.turn = Some(here);
                Ok(())
            }
            Err(RecordsError::Write { path, source }) => Err(RecordsError::Begin { path, source }),
            Err(error) => Err(error),
        }
    }

    /// Says that it has ended. Who can't be told finds out.
    pub(crate) async fn end(&mut self) {
        if let Some(turn) = self.turn.take() {
            let _ = self.append(turn::END, turn.patch([])).await;
        }
    }

    pub(super) async fn close(&mut self) {
        if let Some(process) = self.process.take() {
            process.close(CLOSE_PATIENCE).await;
        }
    }
}

/// What an event changes.
fn changes_of(request: &Request) -> &[PatchOperation] {
    match request {
        Request::StateEvent(event) => &event.patch,
        _ => &[],
    }
}

/// Where a patch changes something.
pub(super) fn places(patch: &[PatchOperation]) -> impl Iterator<Item = &str> {
    patch.iter().map(|operation| operation.path().as_str())
}

/// Whether a patch changes one of these places, something in it, or what it is in.
pub(super) fn concerns(patch: &[PatchOperation], others: &[String]) -> bool {
    let is_in = |place: &str, other: &str| {
        let rest = place.strip_prefix(other);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    places(patch).any(|place| {
        let mut others = others.iter();
        others.any(|other| is_in(place, other) || is_in(other, place))
    })
}
