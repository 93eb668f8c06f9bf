//! From a request to its answer, for one kind whose types are known.
//!
//! It reads no line and writes none.

use std::cell::OnceCell;
use std::marker::PhantomData;
use std::rc::Rc;

use futures_util::future::{FutureExt as _, LocalBoxFuture};
use nixops4_protocol::describe::{KindDescription, StateNeed};
use nixops4_protocol::message::{
    CreateResourceResponse, DestroyResourceResponse, ExtantResource, ListResourcesResponse,
    PlanDestroyResponse, ReadResourceResponse, Request, Response, StateResourceEventResponse,
    StateResourceHistoryResponse, UpdateResourceResponse,
};
use serde::{Serialize, Serializer};
use serde_json::Value;

use crate::context::Context;
use crate::error::{Error, Result};
use crate::inputs::{self, Parsed};
use crate::kind::{DeletionPolicy, ResourceKind};
use crate::plan::{self, Known};
use crate::provider::Surroundings;
use crate::retry::retrying;
use crate::schema::{self, Shape};
use crate::state_kind::StateKind;
use crate::{check, engine};

/// What is answered.
pub(crate) enum Answer {
    Response(Response),
    /// A [`Response::StateRead`], of a document that whoever keeps it needs, too.
    State(Rc<Value>),
}

impl From<Response> for Answer {
    fn from(response: Response) -> Self {
        Self::Response(response)
    }
}

impl Serialize for Answer {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct StateRead<'a> {
            state: &'a Value,
        }
        #[derive(Serialize)]
        enum Borrowed<'a> {
            #[serde(rename = "stateResourceReadResponse")]
            StateRead(StateRead<'a>),
        }
        match self {
            Self::Response(response) => response.serialize(serializer),
            Self::State(state) => Borrowed::StateRead(StateRead { state }).serialize(serializer),
        }
    }
}

/// A kind whose types are erased.
pub(crate) trait AnyKind {
    fn describe(&self) -> KindDescription;

    /// What is wrong with it, as a kind of this provider.
    fn problems(&self, provider: &str) -> Vec<String>;

    fn handle<'a>(
        &'a self,
        at: &'a Surroundings,
        request: Request,
    ) -> LocalBoxFuture<'a, Result<Answer>>;
}

/// A kind of things.
pub(crate) struct Managed<K> {
    shape: OnceCell<Shape>,
    kind: PhantomData<K>,
}

impl<K> Managed<K> {
    pub(crate) fn new() -> Self {
        let shape = OnceCell::new();
        Self {
            shape,
            kind: PhantomData,
        }
    }
}

impl<K: ResourceKind> AnyKind for Managed<K> {
    fn describe(&self) -> KindDescription {
        schema::describe::<K>()
    }

    fn problems(&self, provider: &str) -> Vec<String> {
        check::managed::<K>(provider)
    }

    fn handle<'a>(
        &'a self,
        at: &'a Surroundings,
        request: Request,
    ) -> LocalBoxFuture<'a, Result<Answer>> {
        answer::<K>(at, request, &self.shape)
            .map(|answer| answer.map(Answer::from))
            .boxed_local()
    }
}

async fn answer<K: ResourceKind>(
    at: &Surroundings,
    request: Request,
    shape: &OnceCell<Shape>,
) -> Result<Response> {
    let parse = |properties| -> Result<(Context, Parsed<K::Inputs>)> {
        let wanted = inputs::parse::<K>(properties)?;
        Ok((at.context(wanted.common.owner.clone(), K::TYPE), wanted))
    };
    match request {
        Request::Create(request) => {
            if K::STATE == StateNeed::Required && !request.is_stateful {
                return Err(
                    Error::new(format!("a resource of type {} needs state", K::TYPE))
                        .hint("set `state` on this member, such as `state = members.state`"),
                );
            }
            let (cx, wanted) = parse(&request.input_properties)?;
            let output_properties = engine::ensure::<K>(&cx, &wanted, None).await?;
            Ok(Response::Create(CreateResourceResponse {
                output_properties,
            }))
        }
        Request::Update(request) => {
            let (cx, wanted) = parse(&request.input_properties)?;
            let output_properties =
                engine::ensure::<K>(&cx, &wanted, Some(&request.resource)).await?;
            Ok(Response::Update(UpdateResourceResponse {
                output_properties,
            }))
        }
        Request::Destroy(request) => {
            let (cx, policy) = removal::<K>(at, &request.resource)?;
            engine::destroy::<K>(&cx, &request.resource, policy).await?;
            Ok(Response::Destroy(DestroyResourceResponse {}))
        }
        Request::PlanDestroy(request) if K::FORESEES_REMOVAL => {
            let (cx, policy) = removal::<K>(at, &request.resource)?;
            let warnings = engine::plan_destroy::<K>(&cx, &request.resource, policy).await?;
            Ok(Response::PlanDestroy(PlanDestroyResponse { warnings }))
        }
        Request::Plan(request) => {
            let shape = shape.get_or_init(Shape::of::<K>);
            let known = Known::new(&request, shape)?;
            let recorded = request.resource.as_ref();
            if known.hides::<K>(shape) {
                return Ok(Response::Plan(plan::unseen(&known, recorded, shape)?));
            }
            let (cx, wanted) = if known.is_complete() {
                parse(&known.properties)?
            } else {
                let wanted = inputs::parse_types::<K>(&known.properties)?;
                (at.context(wanted.common.owner.clone(), K::TYPE), wanted)
            };
            let planned = plan::plan::<K>(&cx, &wanted, &known, recorded, shape).await?;
            Ok(Response::Plan(planned))
        }
        Request::Read(request) => {
            let (cx, wanted) = parse(&request.input_properties)?;
            let outputs = engine::read::<K>(&cx, &wanted, request.resource.as_ref()).await?;
            Ok(Response::Read(ReadResourceResponse {
                identity: engine::identity::<K>(&wanted.inputs)?,
                present: outputs.is_some(),
                output_properties: outputs,
            }))
        }
        Request::List(request) if K::LISTS => {
            let (cx, wanted) = parse(&request.input_properties)?;
            let resources = engine::list::<K>(&cx, &wanted).await?;
            let unseen = cx.take_unseen();
            Ok(Response::List(ListResourcesResponse { resources, unseen }))
        }
        Request::PlanDestroy(_)
        | Request::List(_)
        | Request::StateRead(_)
        | Request::StateEvent(_)
        | Request::StateHistory(_) => Err(does_not_answer(K::TYPE)),
    }
}

/// Whose what was recorded is, and what happens to it; refuses what is protected.
fn removal<K: ResourceKind>(
    at: &Surroundings,
    resource: &ExtantResource,
) -> Result<(Context, Option<DeletionPolicy>)> {
    let common = engine::recorded_common(resource)?;
    let owner = common.owner.ok_or_else(|| {
        Error::new("the record has no `owner`, so nobody can tell whose this is")
            .hint("remove the thing by hand, and forget it in the state")
    })?;
    if common.protect {
        return Err(
            Error::input("/protect", "it is protected, so it is not destroyed")
                .hint("set `protect = false`, apply, and then destroy it"),
        );
    }
    Ok((at.context(owner, K::TYPE), common.deletion_policy))
}

/// A kind that keeps state.
pub(crate) struct Keeping<K>(PhantomData<K>);

impl<K> Keeping<K> {
    pub(crate) fn new() -> Self {
        Self(PhantomData)
    }
}

impl<K: StateKind> AnyKind for Keeping<K> {
    fn describe(&self) -> KindDescription {
        schema::describe_state::<K>()
    }

    fn problems(&self, provider: &str) -> Vec<String> {
        check::keeping::<K>(provider)
    }

    fn handle<'a>(
        &'a self,
        at: &'a Surroundings,
        request: Request,
    ) -> LocalBoxFuture<'a, Result<Answer>> {
        answer_state::<K>(at, request).boxed_local()
    }
}

async fn answer_state<K: StateKind>(at: &Surroundings, request: Request) -> Result<Answer> {
    let parse = |properties| -> Result<(Context, K::Inputs)> {
        let inputs = inputs::read::<K::Inputs>(properties)?;
        Ok((at.context(K::deployment(&inputs).clone(), K::TYPE), inputs))
    };
    let to_object = |outputs: K::Outputs| match serde_json::to_value(outputs) {
        Ok(Value::Object(outputs)) => Ok(outputs),
        _ => Err(Error::new(
            "the outputs are not an object; this is a bug in the provider",
        )),
    };
    let response = match request {
        Request::Create(request) => {
            let (cx, inputs) = parse(&request.input_properties)?;
            let output_properties =
                to_object(retrying(&cx, async || K::create(&cx, &inputs).await).await?)?;
            Response::Create(CreateResourceResponse { output_properties })
        }
        Request::Read(request) => {
            let (cx, inputs) = parse(&request.input_properties)?;
            let outputs = retrying(&cx, async || K::find(&cx, &inputs).await)
                .await?
                .map(to_object)
                .transpose()?;
            Response::Read(ReadResourceResponse {
                identity: Value::Null,
                present: outputs.is_some(),
                output_properties: outputs,
            })
        }
        Request::StateRead(request) => {
            let (cx, inputs) = parse(&request.resource.input_properties)?;
            let state = retrying(&cx, async || K::read(&cx, &inputs).await).await?;
            if !state.is_object() {
                return Err(Error::new("the recorded state is not an object"));
            }
            return Ok(Answer::State(state));
        }
        Request::StateHistory(request) => {
            let (cx, inputs) = parse(&request.resource.input_properties)?;
            let limit = request.limit.unwrap_or(u64::MAX);
            let read = async || K::history(&cx, &inputs, request.since, limit).await;
            let (events, length) = retrying(&cx, read).await?;
            Response::StateHistory(StateResourceHistoryResponse { events, length })
        }
        Request::StateEvent(event) => {
            let (cx, inputs) = parse(&event.resource.input_properties)?;
            // Never tried again: whether an event was appended can be unknown.
            K::append(&cx, &inputs, event).await?;
            Response::StateEvent(StateResourceEventResponse {})
        }
        Request::Update(_)
        | Request::Destroy(_)
        | Request::Plan(_)
        | Request::PlanDestroy(_)
        | Request::List(_) => return Err(does_not_answer(K::TYPE)),
    };
    Ok(response.into())
}

fn does_not_answer(resource_type: &str) -> Error {
    Error::new(format!(
        "resources of type {resource_type} don't answer this request"
    ))
    .hint("run this executable with the argument `describe` to see what they answer")
}
