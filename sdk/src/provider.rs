//! A provider: its kinds, with their types erased, and `main`.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::marker::PhantomData;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use futures_util::future::{FutureExt as _, LocalBoxFuture};
use nixops4_protocol::describe::{Description, KindDescription, StateNeed};
use nixops4_protocol::message::{
    CreateResourceResponse, DestroyResourceResponse, ListResourcesResponse, ReadResourceResponse,
    Request, Response, StateResourceEventResponse, StateResourceReadResponse,
    UpdateResourceResponse,
};
use serde_json::Value;

use crate::context::{Context, Sessions};
use crate::error::{Error, Result};
use crate::inputs::{self, Parsed};
use crate::kind::{Owner, ResourceKind};
use crate::plan::{self, Known};
use crate::state_kind::StateKind;
use crate::{engine, schema, serve};

/// An executable that manages some kinds of things.
pub struct Provider {
    name: &'static str,
    description: &'static str,
    version: &'static str,
    kinds: BTreeMap<&'static str, Box<dyn AnyKind>>,
    ignores_interrupts: bool,
}

/// What a request is handled with, beside its kind.
pub(crate) struct Surroundings {
    pub(crate) time: Duration,
    pub(crate) interrupted: Arc<AtomicBool>,
    pub(crate) sessions: Sessions,
}

impl Surroundings {
    fn context(&self, owner: Owner) -> Context {
        let deadline = Instant::now() + self.time;
        Context::new(owner, deadline, Arc::clone(&self.interrupted), self.sessions.clone())
    }
}

impl Provider {
    /// A provider called `name`, the first part of each of its resource types.
    #[must_use]
    pub fn new(name: &'static str, description: &'static str, version: &'static str) -> Self {
        let kinds = BTreeMap::new();
        Self { name, description, version, kinds, ignores_interrupts: false }
    }

    /// Adds a kind.
    #[must_use]
    pub fn kind<K: ResourceKind>(mut self) -> Self {
        self.kinds.insert(K::TYPE, Box::new(Managed::<K>(PhantomData)));
        self
    }

    /// Adds a kind that keeps state. Such a provider ignores SIGINT: whoever
    /// writes state ends it by closing its stdin, and would lose an event
    /// otherwise.
    #[must_use]
    pub fn state_kind<K: StateKind>(mut self) -> Self {
        self.kinds.insert(K::TYPE, Box::new(Keeping::<K>(PhantomData)));
        self.ignores_interrupts = true;
        self
    }

    /// What the provider says of itself, as committed: without its version.
    #[must_use]
    pub fn describe(&self) -> Description {
        Description {
            name: self.name.to_owned(),
            version: None,
            description: self.description.to_owned(),
            executable: format!("nixops4-resources-{}", self.name),
            kinds: self
                .kinds
                .iter()
                .map(|(name, kind)| ((*name).to_owned(), kind.describe()))
                .collect(),
        }
    }

    /// `main`: answers requests on stdin until its end, or one of the arguments
    /// `describe` and `--version`.
    #[must_use]
    pub fn run(self) -> ExitCode {
        let arguments: Vec<_> = std::env::args().skip(1).collect();
        match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
            [] => serve::serve(&self),
            ["describe"] => {
                let description =
                    Description { version: Some(self.version.to_owned()), ..self.describe() };
                print(&serde_json::to_string(&description).unwrap_or_default())
            }
            ["--version"] => print(&format!("nixops4-resources-{} {}", self.name, self.version)),
            _ => {
                let usage = format!(
                    "usage: nixops4-resources-{} [describe | --version]\n{}\nWithout an argument it \
                     answers the NixOps4 resource provider protocol on stdin and stdout; to try it \
                     by hand use `nixops4-resources call`.",
                    self.name, self.description
                );
                // With stderr gone there is nobody to tell.
                let _ = writeln!(std::io::stderr(), "{usage}");
                ExitCode::from(64)
            }
        }
    }

    pub(crate) fn ignores_interrupts(&self) -> bool {
        self.ignores_interrupts
    }

    pub(crate) async fn handle(&self, at: &Surroundings, request: Request) -> Result<Response> {
        let wanted = request.resource_type();
        let Some(kind) = self.kinds.get(wanted) else {
            let known: Vec<_> = self.kinds.keys().copied().collect();
            return Err(Error::new(format!("this provider has no resource type {wanted:?}"))
                .hint(format!("it has {}", known.join(", "))));
        };
        kind.handle(at, request).await
    }
}

fn print(text: &str) -> ExitCode {
    match writeln!(std::io::stdout(), "{text}") {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

/// A kind whose types are erased.
trait AnyKind {
    fn describe(&self) -> KindDescription;

    fn handle<'a>(
        &'a self,
        at: &'a Surroundings,
        request: Request,
    ) -> LocalBoxFuture<'a, Result<Response>>;
}

struct Managed<K>(PhantomData<K>);

impl<K: ResourceKind> AnyKind for Managed<K> {
    fn describe(&self) -> KindDescription {
        schema::describe::<K>()
    }

    fn handle<'a>(
        &'a self,
        at: &'a Surroundings,
        request: Request,
    ) -> LocalBoxFuture<'a, Result<Response>> {
        answer::<K>(at, request).boxed_local()
    }
}

async fn answer<K: ResourceKind>(at: &Surroundings, request: Request) -> Result<Response> {
    let parse = |properties| -> Result<(Context, Parsed<K::Inputs>)> {
        let wanted = inputs::parse::<K>(properties)?;
        Ok((at.context(wanted.common.owner.clone()), wanted))
    };
    match request {
        Request::Create(request) => {
            if K::STATE == StateNeed::Required && !request.is_stateful {
                return Err(Error::new(format!("a resource of type {} needs state", K::TYPE))
                    .hint("set `state` on this member, such as `state = members.state`"));
            }
            let (cx, wanted) = parse(&request.input_properties)?;
            let output_properties = engine::ensure::<K>(&cx, &wanted, None).await?;
            Ok(Response::Create(CreateResourceResponse { output_properties }))
        }
        Request::Update(request) => {
            let (cx, wanted) = parse(&request.input_properties)?;
            let output_properties =
                engine::ensure::<K>(&cx, &wanted, Some(&request.resource)).await?;
            Ok(Response::Update(UpdateResourceResponse { output_properties }))
        }
        Request::Destroy(request) => {
            let common = engine::recorded_common(&request.resource)?;
            let owner = common.owner.ok_or_else(|| {
                Error::new("the record has no `owner`, so nobody can tell whose this is")
                    .hint("remove the thing by hand, and forget it in the state")
            })?;
            let cx = at.context(owner);
            engine::destroy::<K>(&cx, &request.resource, common.deletion_policy).await?;
            Ok(Response::Destroy(DestroyResourceResponse {}))
        }
        Request::Plan(request) => {
            let known = Known::new(&request);
            if known.hides::<K>() {
                return Ok(Response::Plan(plan::unseen::<K>(&known, request.resource.is_some())));
            }
            let (cx, wanted) = parse(&known.properties)?;
            Ok(Response::Plan(plan::plan::<K>(&cx, &wanted, &known, &request).await?))
        }
        Request::Read(request) => {
            let (cx, wanted) = parse(&request.input_properties)?;
            let outputs = engine::read::<K>(&cx, &wanted, request.resource.as_ref()).await?;
            Ok(Response::Read(ReadResourceResponse {
                identity: serde_json::to_value(K::identity(&wanted.inputs)).unwrap_or_default(),
                present: outputs.is_some(),
                output_properties: outputs,
            }))
        }
        Request::List(request) if K::LISTS => {
            let (cx, wanted) = parse(&request.input_properties)?;
            let resources = engine::list::<K>(&cx, &wanted).await?;
            Ok(Response::List(ListResourcesResponse { resources }))
        }
        Request::List(_) | Request::StateRead(_) | Request::StateEvent(_) => {
            Err(does_not_answer(K::TYPE))
        }
    }
}

struct Keeping<K>(PhantomData<K>);

impl<K: StateKind> AnyKind for Keeping<K> {
    fn describe(&self) -> KindDescription {
        schema::describe_state::<K>()
    }

    fn handle<'a>(
        &'a self,
        at: &'a Surroundings,
        request: Request,
    ) -> LocalBoxFuture<'a, Result<Response>> {
        answer_state::<K>(at, request).boxed_local()
    }
}

async fn answer_state<K: StateKind>(at: &Surroundings, request: Request) -> Result<Response> {
    let parse = |properties: &_| -> Result<(Context, K::Inputs)> {
        let inputs = inputs::read::<K::Inputs>(inputs::without_nulls(properties))?;
        Ok((at.context(K::deployment(&inputs).clone()), inputs))
    };
    let to_object = |outputs: K::Outputs| match serde_json::to_value(outputs) {
        Ok(Value::Object(outputs)) => Ok(outputs),
        _ => Err(Error::new("the outputs are not an object; this is a bug in the provider")),
    };
    match request {
        Request::Create(request) => {
            let (cx, inputs) = parse(&request.input_properties)?;
            let output_properties = to_object(K::create(&cx, &inputs).await?)?;
            Ok(Response::Create(CreateResourceResponse { output_properties }))
        }
        Request::Read(request) => {
            let (cx, inputs) = parse(&request.input_properties)?;
            let outputs = K::find(&cx, &inputs).await?.map(to_object).transpose()?;
            Ok(Response::Read(ReadResourceResponse {
                identity: Value::Null,
                present: outputs.is_some(),
                output_properties: outputs,
            }))
        }
        Request::StateRead(request) => {
            let (cx, inputs) = parse(&request.resource.input_properties)?;
            match K::read(&cx, &inputs).await? {
                Value::Object(state) => {
                    Ok(Response::StateRead(StateResourceReadResponse { state }))
                }
                _ => Err(Error::new("the recorded state is not an object")),
            }
        }
        Request::StateEvent(event) => {
            let (cx, inputs) = parse(&event.resource.input_properties)?;
            K::append(&cx, &inputs, &event).await?;
            Ok(Response::StateEvent(StateResourceEventResponse {}))
        }
        Request::Update(_) | Request::Destroy(_) | Request::Plan(_) | Request::List(_) => {
            Err(does_not_answer(K::TYPE))
        }
    }
}

fn does_not_answer(resource_type: &str) -> Error {
    Error::new(format!("resources of type {resource_type} don't answer this request"))
        .hint("run this executable with the argument `describe` to see what they answer")
}
