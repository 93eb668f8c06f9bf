//! One request to one provider.

use std::io::Read as _;
use std::sync::Arc;

use nixops4_protocol::Object;
use nixops4_protocol::message::{
    CreateResourceRequest, DestroyResourceRequest, ExtantResource, ListResourcesRequest,
    PlanDestroyRequest, PlanResourceRequest, ReadResourceRequest, Request, RequestName, Response,
    StateResourceReadRequest, UpdateResourceRequest,
};
use serde::Deserialize;
use serde_json::Value;

use crate::args::{Call, CallRequest};
use crate::executables;
use crate::failure::Failure;
use crate::providers;
use crate::session;
use crate::ui::Ui;

/// What `--recorded` holds.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Recorded {
    r#type: Option<String>,
    inputs: Object,
    #[serde(default)]
    outputs: Option<Object>,
}

/// Asks, and prints the answer.
pub(crate) async fn call(
    call: &Call,
    timeout: std::time::Duration,
    ui: &Arc<Ui>,
) -> Result<(), Failure> {
    let request = request(call)?;
    let executable = call
        .provider
        .clone()
        .unwrap_or_else(|| executables::provider_of(&call.kind));
    let command = providers::command(&executable, &[]);
    let providers = session::providers(ui, timeout);
    let to_failure =
        |error: nixops4_protocol::client::ClientError| Failure::Provider(error.to_string());
    let name = request.name();
    if !is_v0(name) {
        let description = providers.describe(&command).await.map_err(to_failure)?;
        let Some(description) = description else {
            return Err(Failure::Provider(format!(
                "the provider {executable} knows the protocol's v0 alone, which has no {}",
                name.wire()
            )));
        };
        let kind = providers::kind(&description, &call.kind).map_err(Failure::Provider)?;
        if !kind.offers(name) {
            return Err(Failure::Provider(format!(
                "{} does not answer {}",
                call.kind,
                name.wire()
            )));
        }
    }
    let answer = providers
        .ask_once(&command, &call.kind, &request)
        .await
        .map_err(to_failure)?;
    let answer = match answer {
        Response::Create(answer) => Value::Object(answer.output_properties),
        Response::Update(answer) => Value::Object(answer.output_properties),
        Response::StateRead(answer) => Value::Object(answer.state),
        Response::Destroy(_) | Response::StateEvent(_) => Value::Object(Object::new()),
        Response::StateHistory(answer) => json(&answer)?,
        Response::Plan(answer) => json(&answer)?,
        Response::PlanDestroy(answer) => json(&answer)?,
        Response::Read(answer) => json(&answer)?,
        Response::List(answer) => json(&answer.resources)?,
        Response::Error(answer) => return Err(Failure::Provider(answer.message)),
    };
    ui.json(&answer, true);
    Ok(())
}

fn json(answer: &impl serde::Serialize) -> Result<Value, Failure> {
    serde_json::to_value(answer).map_err(|error| Failure::Provider(error.to_string()))
}

fn is_v0(name: RequestName) -> bool {
    matches!(
        name,
        RequestName::Create
            | RequestName::Update
            | RequestName::StateRead
            | RequestName::StateEvent
    )
}

fn request(call: &Call) -> Result<Request, Failure> {
    let kind = || call.kind.clone();
    let inputs = || {
        let text = call
            .inputs
            .as_deref()
            .ok_or_else(|| needs(call, "--inputs"))?;
        object("--inputs", text)
    };
    Ok(match call.request {
        CallRequest::Create => Request::Create(CreateResourceRequest {
            r#type: kind(),
            input_properties: inputs()?,
            is_stateful: !call.stateless,
        }),
        CallRequest::Update => Request::Update(UpdateResourceRequest {
            resource: recorded(call)?.ok_or_else(|| needs(call, "--recorded"))?,
            input_properties: inputs()?,
        }),
        CallRequest::Destroy => Request::Destroy(DestroyResourceRequest {
            resource: recorded(call)?.ok_or_else(|| needs(call, "--recorded"))?,
        }),
        CallRequest::PlanDestroy => Request::PlanDestroy(PlanDestroyRequest {
            resource: recorded(call)?.ok_or_else(|| needs(call, "--recorded"))?,
        }),
        CallRequest::Plan => Request::Plan(PlanResourceRequest {
            r#type: kind(),
            input_properties: inputs()?,
            unknown_inputs: Vec::new(),
            resource: recorded(call)?,
        }),
        CallRequest::Read => Request::Read(ReadResourceRequest {
            r#type: kind(),
            input_properties: inputs()?,
            resource: recorded(call)?,
        }),
        CallRequest::List => Request::List(ListResourcesRequest {
            r#type: kind(),
            input_properties: inputs()?,
        }),
        CallRequest::StateRead => Request::StateRead(StateResourceReadRequest {
            resource: match recorded(call)? {
                Some(resource) => resource,
                None => ExtantResource {
                    r#type: kind(),
                    input_properties: inputs()?,
                    output_properties: None,
                },
            },
        }),
    })
}

fn needs(call: &Call, option: &str) -> Failure {
    let request = clap::ValueEnum::to_possible_value(&call.request)
        .map(|value| value.get_name().to_owned())
        .unwrap_or_default();
    Failure::Usage(format!("call {request} needs {option}"))
}

fn recorded(call: &Call) -> Result<Option<ExtantResource>, Failure> {
    let Some(text) = call.recorded.as_deref() else {
        return Ok(None);
    };
    let recorded: Recorded = serde_json::from_value(Value::Object(object("--recorded", text)?))
        .map_err(|error| {
            Failure::Usage(format!(
                "--recorded has to be {{\"inputs\": {{...}}, \"outputs\": {{...}}}}: {error}"
            ))
        })?;
    Ok(Some(ExtantResource {
        r#type: recorded.r#type.unwrap_or_else(|| call.kind.clone()),
        input_properties: recorded.inputs,
        output_properties: recorded.outputs,
    }))
}

/// A JSON object: given as it is, in a file, or on stdin.
fn object(option: &str, text: &str) -> Result<Object, Failure> {
    let json = if text.trim_start().starts_with('{') {
        text.to_owned()
    } else if text == "-" {
        let mut json = String::new();
        std::io::stdin()
            .read_to_string(&mut json)
            .map_err(|error| Failure::Io(format!("cannot read {option} from stdin"), error))?;
        json
    } else {
        std::fs::read_to_string(text)
            .map_err(|error| Failure::Io(format!("cannot read {option} from {text}"), error))?
    };
    serde_json::from_str(&json).map_err(|error| {
        Failure::Usage(format!(
            "{option} is not a JSON object (line {}, column {})",
            error.line(),
            error.column()
        ))
    })
}
