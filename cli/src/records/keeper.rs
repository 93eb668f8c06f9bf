//! An open state resource: what it holds, and what is appended to it.

use std::time::Duration;

use json_patch::Patch;
use nixops4_protocol::client::Provider;
use nixops4_protocol::message::{
    ExtantResource, HistoryEvent, StateResourceEvent, StateResourceHistoryRequest,
};
use nixops4_protocol::state::{self, RecordedResource};
use serde_json::Value;

use super::{CLOSE_PATIENCE, Location, RecordsError};
use crate::member::MemberPath;

/// How we name ourselves in the state's events.
const VERSION: &str = concat!("nixops4-resources ", env!("CARGO_PKG_VERSION"));
/// How many events of a history are asked for at once: an answer is one line.
const HISTORY_AT_ONCE: u64 = 200;

/// An open state resource.
pub(crate) struct Keeper {
    pub(super) path: MemberPath,
    pub(super) resource: ExtantResource,
    /// Absent if the place isn't there yet.
    pub(super) process: Option<Provider>,
    /// The state as it stands after what we recorded.
    pub(super) document: Value,
    /// Whether its provider tells the events that it came from.
    pub(super) tells_history: bool,
    limit: Duration,
}

impl Keeper {
    pub(super) fn new(location: &Location, limit: Duration) -> Self {
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
            limit,
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

    /// Appends an event, now.
    pub(crate) async fn append(&mut self, event: &str, changes: Patch) -> Result<(), RecordsError> {
        let process = self.process.as_mut().ok_or_else(|| RecordsError::Absent {
            path: self.path.clone(),
        })?;
        let message = StateResourceEvent {
            resource: self.resource.clone(),
            event: event.to_owned(),
            nixops_version: VERSION.to_owned(),
            patch: changes.clone(),
        };
        process
            .state_event(message, self.limit)
            .await
            .map_err(|source| RecordsError::Write {
                path: self.path.clone(),
                source,
            })?;
        json_patch::patch(&mut self.document, &changes).map_err(|source| RecordsError::Mirror {
            path: self.path.clone(),
            source,
        })
    }

    /// The events from index `since` on.
    pub(crate) async fn history(&mut self, since: u64) -> Result<Vec<HistoryEvent>, RecordsError> {
        let path = self.path.clone();
        let Some(process) = &mut self.process else {
            return Ok(Vec::new());
        };
        if !self.tells_history {
            return Err(RecordsError::NoHistory { path });
        }
        let mut events = Vec::new();
        let mut since = since;
        loop {
            let request = StateResourceHistoryRequest {
                resource: self.resource.clone(),
                since,
                limit: Some(HISTORY_AT_ONCE),
            };
            let answer = process
                .state_history(request, self.limit)
                .await
                .map_err(|source| RecordsError::Read {
                    path: path.clone(),
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
            // Each event was answered; how it ends changes nothing any more.
            let _ = process.close(CLOSE_PATIENCE).await;
        }
    }
}
