//! Opening a state resource.

use std::rc::Rc;

use super::{Absent, Keeper, Location, Opening, RecordsError};
use crate::session::Session;
use nixops4_protocol::Object;
use nixops4_protocol::client::ClientError;
use nixops4_protocol::message::{
    CreateResourceRequest, ReadResourceRequest, Request, RequestName, Response,
};

pub(super) struct Opened {
    pub(super) keeper: Keeper,
    pub(super) outputs: Option<Object>,
    pub(super) note: Option<String>,
    /// Why it could not be read, if it is taken as empty for that.
    pub(super) reason: Option<String>,
}

pub(super) async fn open(
    session: &Session,
    location: &Location,
    opening: Opening,
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
        keeper: Keeper::new(location, Rc::clone(providers), command.clone()),
        outputs: None,
        note: None,
        reason: None,
    };
    let description = match opening {
        // What is wrong with a provider is told when it is asked to make the place.
        Opening::Make => providers.describe(&command).await.unwrap_or_default(),
        Opening::Look | Opening::Change => providers.describe(&command).await.map_err(reading)?,
    };
    let offers = |request| {
        let kind = description
            .as_ref()
            .and_then(|description| description.kinds.get(&location.kind));
        kind.is_some_and(|kind| kind.offers(request))
    };
    let can_look = offers(RequestName::Read);
    opened.keeper.tells_history = offers(RequestName::StateHistory);
    if opening == Opening::Make {
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
            Response::Read(_) if opening == Opening::Change => {
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
        .keeper
        .resource
        .output_properties
        .clone_from(&opened.outputs);
    match opened.keeper.start().await {
        // Of v0 alone, whoever can be read is there; its outputs stay unknown.
        Ok(()) => Ok(opened),
        Err(ClientError::Refused(message)) if opening == Opening::Look && !can_look => {
            let reason = message.lines().next().unwrap_or_default();
            opened.note = Some(format!(
                "the state that '{}' keeps could not be read, and is taken as empty: {reason}",
                location.label,
            ));
            opened.reason = Some(reason.to_owned());
            Ok(opened)
        }
        Err(source) => Err(reading(source)),
    }
}
