//! Opening one state resource, at one place.

use std::rc::Rc;

use nixops4_protocol::client::ClientError;
use nixops4_protocol::message::{
    CreateResourceRequest, ReadResourceRequest, Request, RequestName, Response,
};

use super::OpenMode;
use crate::records::{Absent, Location, Opened, RecordsError, StateBackend};
use crate::session::Session;

pub(super) async fn open(
    session: &Session,
    location: &Location,
    mode: OpenMode,
) -> Result<Opened, RecordsError> {
    let providers = &session.providers;
    let command = session
        .provider(&location.executable, &location.args)
        .await
        .map_err(|reason| RecordsError::Distrusted {
            path: location.label.clone(),
            reason,
        })?;
    let reading = |source| RecordsError::Read {
        path: location.label.clone(),
        source,
    };
    let mut opened = Opened {
        backend: StateBackend::new(location, Rc::clone(providers), command.clone()),
        outputs: None,
        note: None,
        reason: None,
    };
    let description = match mode {
        // What is wrong with a provider is told when it is asked to make the place.
        OpenMode::CreateIfMissing => providers.describe(&command).await.unwrap_or_default(),
        OpenMode::Read | OpenMode::Write => providers.describe(&command).await.map_err(reading)?,
    };
    let offers = |request| {
        let kind = description
            .as_ref()
            .and_then(|description| description.kinds.get(&location.kind));
        kind.is_some_and(|kind| kind.offers(request))
    };
    let can_look = offers(RequestName::Read);
    opened.backend.tells_history = offers(RequestName::StateHistory);
    if mode == OpenMode::CreateIfMissing {
        let request = Request::Create(CreateResourceRequest {
            r#type: location.kind.clone(),
            input_properties: location.inputs.clone(),
            is_stateful: false,
        });
        let creating = |source| RecordsError::Create {
            path: location.label.clone(),
            source,
        };
        match providers.ask(&command, &location.label, &request).await {
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
            r#type: location.kind.clone(),
            input_properties: location.inputs.clone(),
            resource: None,
        });
        match providers
            .ask(&command, &location.label, &request)
            .await
            .map_err(reading)?
        {
            Response::Read(answer) if answer.present => {
                opened.outputs = Some(answer.output_properties.unwrap_or_default());
            }
            Response::Read(_) if mode == OpenMode::Write => {
                return Err(RecordsError::Absent(Absent::new(location, None)));
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
        .backend
        .resource
        .output_properties
        .clone_from(&opened.outputs);
    match opened.backend.start().await {
        // Of v0 alone, whoever can be read is there; its outputs stay unknown.
        Ok(()) => Ok(opened),
        Err(ClientError::Refused(message)) if mode == OpenMode::Read && !can_look => {
            let reason = message.lines().next().unwrap_or_default();
            opened.note = Some(format!(
                "the state backend '{}' could not be read, and is taken as empty: {reason}",
                location.label,
            ));
            opened.reason = Some(reason.to_owned());
            Ok(opened)
        }
        Err(source) => Err(reading(source)),
    }
}
