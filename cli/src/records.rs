//! What is recorded of the deployment, through the resources that keep it.
//!
//! Knows state documents and the requests that read and extend them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use nixops4_protocol::Object;
use nixops4_protocol::client::{ClientError, Provider};
use nixops4_protocol::message::{
    CreateResourceRequest, ExtantResource, ReadResourceRequest, Request, RequestName, Response,
    StateResourceEvent,
};
use nixops4_protocol::state::{self, RecordedResource, StateError};
use serde_json::Value;
use tokio::sync::Mutex;

use crate::eval::Member;
use crate::member::MemberPath;
use crate::providers::{self, Providers};

/// How we name ourselves in the state's events.
const VERSION: &str = concat!("nixops4-resources ", env!("CARGO_PKG_VERSION"));
/// How long a state provider may take to end.
const CLOSE_PATIENCE: Duration = Duration::from_secs(30);

/// Why state can't be read or written.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RecordsError {
    /// A state resource could not be made.
    #[error("cannot make the state resource '{path}': {source}")]
    Create {
        path: MemberPath,
        source: ClientError,
    },
    /// State could not be read.
    #[error("cannot read the state that '{path}' keeps: {source}")]
    Read {
        path: MemberPath,
        source: ClientError,
    },
    /// An event could not be written.
    #[error("cannot write into the state that '{path}' keeps: {source}")]
    Write {
        path: MemberPath,
        source: ClientError,
    },
    /// What was read is not a state.
    #[error("cannot use the state that '{path}' keeps: {source}")]
    Document {
        path: MemberPath,
        source: StateError,
    },
    /// A patch of ours does not fit the document.
    #[error("cannot follow the state that '{path}' keeps: {source}")]
    Mirror {
        path: MemberPath,
        source: json_patch::PatchError,
    },
}

/// How a state resource is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Opening {
    /// Nothing is changed: state that isn't there yet is empty.
    Look,
    /// The place is made if it isn't there, as upstream does at each apply.
    Make,
}

/// An open state resource.
pub(crate) struct Keeper {
    path: MemberPath,
    resource: ExtantResource,
    /// Absent if the place isn't there yet.
    process: Option<Provider>,
    /// The state as it stands after what we recorded.
    document: Value,
    limit: Duration,
}

impl Keeper {
    /// Records one resource, now.
    pub(crate) async fn record(
        &mut self,
        path: &MemberPath,
        event: &str,
        resource: &RecordedResource,
    ) -> Result<(), RecordsError> {
        let changes = state::record(&self.document, path.names(), resource);
        let process = self.process.as_mut().ok_or_else(|| RecordsError::Write {
            path: self.path.clone(),
            source: ClientError::Refused("it is not open".to_owned()),
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

    async fn close(&mut self) {
        if let Some(process) = self.process.take() {
            // Each event was answered; how it ends changes nothing any more.
            let _ = process.close(CLOSE_PATIENCE).await;
        }
    }
}

/// What one state resource has recorded.
type Entries = BTreeMap<MemberPath, Arc<RecordedResource>>;

/// Everything that is recorded, as it was when it was read.
#[derive(Clone, Default)]
pub(crate) struct Records {
    keepers: BTreeMap<MemberPath, Arc<Mutex<Keeper>>>,
    entries: BTreeMap<MemberPath, Entries>,
    /// The outputs of the state resources themselves.
    outputs: BTreeMap<MemberPath, Object>,
    /// The state resources that aren't there yet.
    absent: Vec<MemberPath>,
    /// What the reader should know.
    notes: Vec<String>,
}

impl Records {
    /// Opens one more state resource and reads it.
    pub(crate) async fn open(
        &mut self,
        providers: &Providers,
        member: &Member,
        opening: Opening,
    ) -> Result<(), RecordsError> {
        let opened = open(providers, member, opening).await?;
        let path = member.path.clone();
        let document_error = |source| RecordsError::Document {
            path: path.clone(),
            source,
        };
        state::check(&opened.keeper.document).map_err(document_error)?;
        let entries = state::resources(&opened.keeper.document)
            .map_err(document_error)?
            .into_iter()
            .map(|(path, resource)| (MemberPath(path), Arc::new(resource)))
            .collect();
        self.entries.insert(path.clone(), entries);
        self.notes.extend(opened.note);
        if opened.keeper.process.is_none() {
            self.absent.push(path.clone());
        }
        if let Some(outputs) = opened.outputs {
            self.outputs.insert(path.clone(), outputs);
        }
        self.keepers
            .insert(path, Arc::new(Mutex::new(opened.keeper)));
        Ok(())
    }

    /// Whether a state resource is open.
    pub(crate) fn is_open(&self, path: &MemberPath) -> bool {
        self.keepers.contains_key(path)
    }

    /// The state resources that are open.
    pub(crate) fn open_paths(&self) -> impl Iterator<Item = &MemberPath> {
        self.keepers.keys()
    }

    /// The state resource that records this.
    pub(crate) fn keeper(&self, path: &MemberPath) -> Option<Arc<Mutex<Keeper>>> {
        self.keepers.get(path).cloned()
    }

    /// What is recorded of a member.
    pub(crate) fn of(&self, member: &Member) -> Option<&Arc<RecordedResource>> {
        self.entries.get(member.state.as_ref()?)?.get(&member.path)
    }

    /// Everything that is recorded: by which state resource, of which member.
    pub(crate) fn all(
        &self,
    ) -> impl Iterator<Item = (&MemberPath, &MemberPath, &Arc<RecordedResource>)> {
        self.entries.iter().flat_map(|(keeper, entries)| {
            entries
                .iter()
                .map(move |(path, recorded)| (keeper, path, recorded))
        })
    }

    /// The outputs of the open state resources.
    pub(crate) fn outputs(&self) -> &BTreeMap<MemberPath, Object> {
        &self.outputs
    }

    /// The state resources that aren't there yet.
    pub(crate) fn absent(&self) -> &[MemberPath] {
        &self.absent
    }

    /// What the reader should know.
    pub(crate) fn notes(&self) -> &[String] {
        &self.notes
    }

    /// Lets the state providers end.
    pub(crate) async fn close(&self) {
        for keeper in self.keepers.values() {
            keeper.lock().await.close().await;
        }
    }
}

struct Opened {
    keeper: Keeper,
    outputs: Option<Object>,
    note: Option<String>,
}

async fn open(
    providers: &Providers,
    member: &Member,
    opening: Opening,
) -> Result<Opened, RecordsError> {
    let label = member.path.to_string();
    let command = providers::command(&member.executable, &member.args);
    let reading = |source| RecordsError::Read {
        path: member.path.clone(),
        source,
    };
    let mut opened = Opened {
        keeper: Keeper {
            path: member.path.clone(),
            resource: ExtantResource {
                r#type: member.kind.clone(),
                input_properties: member.inputs.clone(),
                output_properties: None,
            },
            process: None,
            document: state::empty(),
            limit: providers.limit(),
        },
        outputs: None,
        note: None,
    };
    let can_look = match opening {
        Opening::Make => false,
        Opening::Look => {
            let description = providers.describe(&command).await.map_err(reading)?;
            description
                .as_ref()
                .and_then(|description| description.kinds.get(&member.kind))
                .is_some_and(|kind| kind.offers(RequestName::Read))
        }
    };
    if opening == Opening::Make {
        let request = Request::Create(CreateResourceRequest {
            r#type: member.kind.clone(),
            input_properties: member.inputs.clone(),
            is_stateful: false,
        });
        let creating = |source| RecordsError::Create {
            path: member.path.clone(),
            source,
        };
        match providers.ask(&command, &label, &request).await {
            Ok(Response::Create(answer)) => opened.outputs = Some(answer.output_properties),
            Ok(_) => {
                return Err(creating(ClientError::Mismatch {
                    request: "createResourceRequest",
                }));
            }
            Err(source) => return Err(creating(source)),
        }
    } else if can_look {
        let request = Request::Read(ReadResourceRequest {
            r#type: member.kind.clone(),
            input_properties: member.inputs.clone(),
            resource: None,
        });
        match providers
            .ask(&command, &label, &request)
            .await
            .map_err(reading)?
        {
            Response::Read(answer) if answer.present => {
                opened.outputs = Some(answer.output_properties.unwrap_or_default());
            }
            Response::Read(_) => return Ok(opened),
            _ => {
                return Err(reading(ClientError::Mismatch {
                    request: "nixops4-resources/readResourceRequest",
                }));
            }
        }
    }
    opened
        .keeper
        .resource
        .output_properties
        .clone_from(&opened.outputs);
    let mut process = providers.spawn(&command, &label).map_err(reading)?;
    let read = process
        .state_read(opened.keeper.resource.clone(), providers.limit())
        .await;
    match read {
        Ok(document) => {
            opened.keeper.document = Value::Object(document);
            opened.keeper.process = Some(process);
            // Of v0 alone, whoever can be read is there; its outputs stay unknown.
            Ok(opened)
        }
        Err(ClientError::Refused(message)) if opening == Opening::Look && !can_look => {
            opened.note = Some(format!(
                "the state that '{}' keeps could not be read, and is taken as empty: {message}",
                member.path,
                message = message.lines().next().unwrap_or_default()
            ));
            let _ = process.close(CLOSE_PATIENCE).await;
            Ok(opened)
        }
        Err(source) => Err(reading(source)),
    }
}
