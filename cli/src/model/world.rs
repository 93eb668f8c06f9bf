//! A server with things, a place that keeps state, and the providers of both.
//!
//! Whatever somebody else does takes steps, and at each of them a command may be
//! killed or interrupted, and a provider may end, before or after it has done
//! what it was asked. What a provider was asked by a command that is killed may
//! still be done.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{FutureExt as _, LocalBoxFuture};
use futures_util::stream::{self, StreamExt as _};
use json_patch::Patch;
use nixops4_protocol::client::{ClientError, ProviderCommand};
use nixops4_protocol::describe::Description;
use nixops4_protocol::message::{Request, Response};
use nixops4_protocol::{Object, state};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use serde_json::{Value, json};
use tokio::sync::Notify;

use crate::apply::Signals;
use crate::providers::{self, Link, Source};
use crate::schema::Kind;

pub(super) const KIND: &str = "model_thing";
pub(super) const STATE_KIND: &str = "model_state";

/// A thing on the server.
#[derive(Debug, Clone)]
pub(super) struct Thing {
    pub(super) serial: String,
    number: u64,
    pub(super) content: Value,
    pub(super) retained: bool,
}

impl Thing {
    pub(super) fn output(&self, name: &str) -> Value {
        match name {
            "serial" => json!(self.serial),
            _ => json!(self.number),
        }
    }

    fn outputs(&self) -> Object {
        object(json!({ "serial": self.serial, "number": self.number, "content": self.content }))
    }
}

struct Inner {
    things: BTreeMap<String, Thing>,
    made: u64,
    /// The events, if the place was made, and what they come to.
    state: Option<Vec<Patch>>,
    document: Value,
    random: StdRng,
    /// Of a hundred requests, how many lose their provider or are refused.
    trouble: u32,
}

/// The world.
#[derive(Clone)]
pub(super) struct World(Rc<RefCell<Inner>>);

impl fmt::Display for World {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let things = self.things();
        write!(
            f,
            "there is {things:#?}, and recorded {:#}",
            self.document()
        )
    }
}

impl World {
    pub(super) fn new(seed: u64) -> Self {
        Self(Rc::new(RefCell::new(Inner {
            things: BTreeMap::new(),
            made: 0,
            state: None,
            document: state::empty(),
            random: StdRng::seed_from_u64(!seed),
            trouble: 0,
        })))
    }

    pub(super) fn things(&self) -> BTreeMap<String, Thing> {
        self.0.borrow().things.clone()
    }

    pub(super) fn document(&self) -> Value {
        self.0.borrow().document()
    }

    /// Nothing goes wrong any more.
    pub(super) fn calm(&self) {
        self.trouble(0);
    }

    /// So many of a hundred requests go wrong.
    pub(super) fn trouble(&self, of_a_hundred: u32) {
        self.0.borrow_mut().trouble = of_a_hundred;
    }

    fn below(&self, bound: u32) -> u32 {
        self.0.borrow_mut().random.random_range(0..bound)
    }

    fn is_troubled(&self) -> bool {
        let trouble = self.0.borrow().trouble;
        self.below(100) < trouble
    }
}

/// One run of the command, as the world sees it.
pub(super) struct Client {
    world: World,
    /// How many steps it takes before it is killed.
    life: Cell<Option<u64>>,
    /// How many before somebody presses Ctrl-C, and again.
    interrupted: Cell<Option<u64>>,
    death: Notify,
    interrupts: Notify,
}

impl Client {
    pub(super) fn new(world: &World, life: Option<u64>, interrupted: Option<u64>) -> Rc<Self> {
        Rc::new(Self {
            world: world.clone(),
            life: Cell::new(life),
            interrupted: Cell::new(interrupted),
            death: Notify::new(),
            interrupts: Notify::new(),
        })
    }

    /// How many resources it works on at once.
    pub(super) fn parallel(&self) -> usize {
        1 + self.world.below(6) as usize
    }

    /// When it is killed.
    pub(super) async fn killed(&self) {
        self.death.notified().await;
    }

    /// When somebody presses Ctrl-C.
    pub(super) fn signals(self: &Rc<Self>) -> Signals {
        let pressed = stream::unfold(Rc::clone(self), async |client| {
            client.interrupts.notified().await;
            Some(((), client))
        });
        Signals::from(pressed.boxed_local())
    }

    /// Something goes on, and others with it.
    pub(super) async fn step(&self) {
        match self.life.get() {
            Some(0) => {
                self.death.notify_one();
                std::future::pending::<()>().await;
            }
            life => self.life.set(life.map(|steps| steps - 1)),
        }
        match self.interrupted.get() {
            Some(0) => {
                self.interrupts.notify_one();
                let again = (self.world.below(3) == 0).then_some(1);
                self.interrupted.set(again);
            }
            interrupted => self.interrupted.set(interrupted.map(|steps| steps - 1)),
        }
        for _ in 0..self.world.below(3) {
            tokio::task::yield_now().await;
        }
    }
}

/// Starts the providers of the world.
pub(super) struct Servers(pub(super) Rc<Client>);

impl Source for Servers {
    fn describe<'a>(
        &'a self,
        _: &'a ProviderCommand,
        _: Duration,
    ) -> LocalBoxFuture<'a, Result<Option<Description>, ClientError>> {
        async { Ok(Some(DESCRIPTION.with(Description::clone))) }.boxed_local()
    }

    fn start(&self, _: &ProviderCommand, _: &str, _: bool) -> Result<Box<dyn Link>, ClientError> {
        Ok(Box::new(Process {
            client: Rc::clone(&self.0),
            seen: 0,
            is_spent: false,
        }))
    }
}

/// A provider.
struct Process {
    client: Rc<Client>,
    /// How many events of the state it has read or written.
    seen: usize,
    is_spent: bool,
}

/// What a provider was asked, until it is done. It may be done even if whoever
/// asked is no more.
struct Deed<'a> {
    world: World,
    request: &'a Request,
    seen: usize,
    is_open: bool,
}

impl Deed<'_> {
    fn done(&mut self) -> Result<Response, String> {
        self.is_open = false;
        self.world
            .0
            .borrow_mut()
            .answer(self.request, &mut self.seen)
    }
}

impl Drop for Deed<'_> {
    fn drop(&mut self) {
        if self.is_open && !std::thread::panicking() && self.world.below(2) == 0 {
            let _nobody_hears = self.done();
        }
    }
}

fn gone() -> ClientError {
    ClientError::Gone {
        how: "ended (signal: 9 (SIGKILL))".to_owned(),
        stderr: Vec::new(),
    }
}

impl Link for Process {
    fn set_label(&self, _: &str) {}

    fn ask<'a>(
        &'a mut self,
        request: &'a Request,
        _: Duration,
    ) -> LocalBoxFuture<'a, Result<Response, ClientError>> {
        async move {
            if std::mem::replace(&mut self.is_spent, true) {
                return Err(ClientError::Spent);
            }
            let world = &self.client.world;
            let misfortune = world.is_troubled().then(|| world.below(3));
            let mut deed = Deed {
                world: world.clone(),
                request,
                seen: self.seen,
                is_open: true,
            };
            self.client.step().await;
            if let Some(before @ (0 | 1)) = misfortune {
                deed.is_open = false;
                if before == 0 {
                    return Err(gone());
                }
                self.is_spent = false;
                return Err(ClientError::Refused("the server is on fire".to_owned()));
            }
            let answer = deed.done();
            self.seen = deed.seen;
            self.client.step().await;
            if misfortune.is_some() {
                return Err(gone());
            }
            self.is_spent = false;
            answer.map_err(ClientError::Refused)
        }
        .boxed_local()
    }

    fn close(self: Box<Self>, _: Duration) -> LocalBoxFuture<'static, ()> {
        async {}.boxed_local()
    }
}

impl Inner {
    fn document(&self) -> Value {
        self.document.clone()
    }

    fn answer(&mut self, request: &Request, seen: &mut usize) -> Result<Response, String> {
        let answer = match request {
            Request::Create(create) if create.r#type == STATE_KIND => {
                self.state.get_or_insert_default();
                json!({ "createResourceResponse": { "outputProperties": {} } })
            }
            Request::Read(read) if read.r#type == STATE_KIND => {
                let present = self.state.is_some();
                let outputs = present.then(Object::new);
                json!({ "nixops4-resources/readResourceResponse":
                    { "identity": null, "present": present, "outputProperties": outputs } })
            }
            Request::StateRead(_) => {
                *seen = self.state.as_ref().map_or(0, Vec::len);
                json!({ "stateResourceReadResponse": { "state": self.document() } })
            }
            Request::StateEvent(event) => {
                self.append(&event.patch, seen)?;
                json!({ "stateResourceEventResponse": {} })
            }
            Request::Create(create) => {
                let outputs = self.make(&create.input_properties);
                json!({ "createResourceResponse": { "outputProperties": outputs } })
            }
            Request::Update(update) => {
                let outputs = self.make(&update.input_properties);
                json!({ "updateResourceResponse": { "outputProperties": outputs } })
            }
            Request::Destroy(destroy) => {
                self.destroy(&destroy.resource.input_properties)?;
                json!({ "destroyResourceResponse": {} })
            }
            Request::Plan(plan) => {
                let is_unknown = plan.unknown_inputs.iter().any(|it| it == "/content");
                let planned = self.plan(&plan.input_properties, is_unknown);
                json!({ "nixops4-resources/planResourceResponse": planned })
            }
            Request::Read(read) => {
                let thing = self.things.get(name(&read.input_properties));
                json!({ "nixops4-resources/readResourceResponse": {
                    "identity": identity(&read.input_properties),
                    "present": thing.is_some(),
                    "outputProperties": thing.map(Thing::outputs),
                } })
            }
            Request::List(_) => {
                let listed: Vec<Value> = self.things.iter().map(listed).collect();
                json!({ "nixops4-resources/listResourcesResponse": { "resources": listed } })
            }
            Request::StateHistory(_) => return Err("nobody remembers".to_owned()),
        };
        Ok(serde_json::from_value(answer).unwrap())
    }

    /// Appends an event of somebody who has seen so many; refuses it where they
    /// have missed something.
    fn append(&mut self, patch: &Patch, seen: &mut usize) -> Result<(), String> {
        let events = self.state.as_mut().ok_or("there is no state")?;
        let places = |patch: &Patch| -> Vec<String> {
            let paths = patch.0.iter().map(json_patch::PatchOperation::path);
            paths.map(|path| format!("{path}/")).collect()
        };
        let mine = places(patch);
        let missed = events[(*seen).min(events.len())..].iter().flat_map(places);
        for theirs in missed {
            if mine
                .iter()
                .any(|mine| mine.starts_with(&theirs) || theirs.starts_with(mine))
            {
                return Err(format!("{theirs} was changed by somebody else"));
            }
        }
        json_patch::patch(&mut self.document, patch).map_err(|error| error.to_string())?;
        events.push(patch.clone());
        *seen = events.len();
        Ok(())
    }

    fn make(&mut self, inputs: &Object) -> Object {
        let made = &mut self.made;
        let thing = self
            .things
            .entry(name(inputs).to_owned())
            .or_insert_with(|| {
                *made += 1;
                Thing {
                    serial: format!("serial-{made}"),
                    number: 1000 + *made,
                    content: Value::Null,
                    retained: false,
                }
            });
        thing.content = inputs["content"].clone();
        thing.retained = false;
        thing.outputs()
    }

    fn destroy(&mut self, inputs: &Object) -> Result<(), String> {
        let Some(thing) = self.things.get(name(inputs)).cloned() else {
            return Ok(());
        };
        let outputs = [json!(thing.serial), json!(thing.number)];
        for (other, user) in &self.things {
            if !user.retained && outputs.contains(&user.content) {
                return Err(format!("{other} still uses it"));
            }
        }
        if inputs.get("deletionPolicy") == Some(&json!("retain")) {
            let retained = Thing {
                retained: true,
                ..thing
            };
            self.things.insert(name(inputs).to_owned(), retained);
        } else {
            self.things.remove(name(inputs));
        }
        Ok(())
    }

    fn plan(&self, inputs: &Object, is_unknown: bool) -> Value {
        let there = self.things.get(name(inputs));
        let before = there.map_or(Value::Null, |thing| thing.content.clone());
        let after = inputs["content"].clone();
        let is_same = before == after && there.is_some_and(|thing| !thing.retained);
        let mut changes = Vec::new();
        if is_unknown || !is_same {
            let after = if is_unknown {
                json!("unknown")
            } else {
                json!({ "known": after })
            };
            changes.push(json!({ "path": "/content", "before": { "known": before },
                "after": after, "effect": "inPlace" }));
        }
        let action = match (there, changes.is_empty()) {
            (None, _) => "create",
            (Some(_), true) => "none",
            (Some(_), false) => "update",
        };
        let mut outputs = there.map(Thing::outputs).unwrap_or_default();
        outputs.remove("content");
        if !is_unknown {
            outputs.insert("content".to_owned(), after);
        }
        let all = ["serial", "number", "content"].into_iter();
        let unknown: Vec<&str> = all.filter(|it| !outputs.contains_key(*it)).collect();
        json!({ "identity": identity(inputs), "action": action, "changes": changes,
            "outputProperties": outputs, "unknownOutputs": unknown })
    }
}

fn name(inputs: &Object) -> &str {
    inputs["name"].as_str().unwrap()
}

fn identity(inputs: &Object) -> Value {
    json!({ "name": inputs["name"] })
}

fn listed((name, thing): (&String, &Thing)) -> Value {
    let mark = if thing.retained {
        "owner=test retained-since=2026-01-01"
    } else {
        "owner=test"
    };
    json!({ "identity": { "name": name }, "mark": mark })
}

fn object(value: Value) -> Object {
    match value {
        Value::Object(object) => object,
        other => panic!("no object: {other}"),
    }
}

thread_local! {
    static DESCRIPTION: Description = description();
    static KINDS: Kinds = DESCRIPTION.with(kinds);
}

/// The kinds with their compiled schemas, which takes longer than a whole run.
type Kinds = HashMap<(ProviderCommand, String), Arc<Kind>>;

pub(super) fn compiled() -> Kinds {
    KINDS.with(Kinds::clone)
}

fn kinds(description: &Description) -> Kinds {
    let command = providers::command(&description.executable, &[]);
    let compiled = description.kinds.iter().map(|(name, kind)| {
        let kind = Arc::new(Kind::new(kind.clone()));
        ((command.clone(), name.clone()), kind)
    });
    compiled.collect()
}

fn description() -> Description {
    let repeatable = json!([
        "createResourceRequest",
        "updateResourceRequest",
        "destroyResourceRequest",
    ]);
    let description = json!({
        "name": "model", "version": "1", "description": "Things.", "executable": "model",
        "kinds": {
            KIND: {
                "description": "A thing.",
                "state": "required",
                "requests": [
                    "createResourceRequest", "updateResourceRequest", "destroyResourceRequest",
                    "nixops4-resources/planResourceRequest",
                    "nixops4-resources/readResourceRequest",
                    "nixops4-resources/listResourcesRequest",
                ],
                "repeatable": repeatable,
                "inputs": {
                    "type": "object",
                    "additionalProperties": false,
                    "required": ["name"],
                    "properties": {
                        "name": { "type": "string" },
                        "content": {},
                        "deletionPolicy": { "enum": ["delete", "retain"] },
                    },
                },
                "outputs": {},
            },
            STATE_KIND: {
                "description": "Events.",
                "state": "never",
                "requests": [
                    "createResourceRequest", "stateResourceReadRequest", "stateResourceEvent",
                    "nixops4-resources/readResourceRequest",
                ],
                "inputs": { "type": "object", "properties": {} },
                "outputs": {},
            },
        },
    });
    serde_json::from_value(description).unwrap()
}
