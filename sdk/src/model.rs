//! A kind whose server is a map in memory, with faults on request: what the
//! engine and the plan are tested with.

use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use nixops4_protocol::message::{Effect, ExtantResource};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};

use crate::clock::Clock;
use crate::context::Sessions;
use crate::inputs::{self, Parsed};
use crate::{
    Context, DeletionPolicy, Error, Found, Mark, Object, Observed, Owner, Ownership, Prior,
    ResourceKind, Result, Step, Value,
};

/// A thing as the server has it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Thing {
    pub(crate) serial: u32,
    /// `None`: it has no mark, and no place for one if `relation`.
    pub(crate) comment: Option<String>,
    pub(crate) relation: bool,
    pub(crate) colour: String,
    pub(crate) size: u32,
    pub(crate) shape: Option<String>,
    pub(crate) hidden: bool,
}

/// The server.
#[derive(Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fault of its own")]
pub(crate) struct World {
    pub(crate) things: BTreeMap<String, Thing>,
    pub(crate) made: u32,
    /// Every call that reached it.
    pub(crate) calls: Vec<String>,
    /// The next looks fail with these.
    pub(crate) failures: VecDeque<Error>,
    /// Changes are accepted, and not made.
    pub(crate) deaf: bool,
    /// What is made is gone at once.
    pub(crate) forgets: bool,
    /// Marks are not kept.
    pub(crate) loses_marks: bool,
    /// Set by the first step that is done.
    pub(crate) interrupts: Option<Arc<AtomicBool>>,
    /// Nothing can tell whether something is hidden.
    pub(crate) hides: bool,
}

thread_local! {
    static WORLD: RefCell<World> = RefCell::default();
}

/// Looks at the server, or changes it; each test has its own.
pub(crate) fn world<T>(with: impl FnOnce(&mut World) -> T) -> T {
    WORLD.with_borrow_mut(with)
}

/// The calls since this was last asked.
pub(crate) fn calls() -> Vec<String> {
    world(|world| std::mem::take(&mut world.calls))
}

/// A thing.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Inputs {
    /// Its name.
    pub(crate) name: String,
    /// Its colour; it can't be `none`.
    pub(crate) colour: Option<String>,
    /// Its size, in points.
    #[serde(default = "ten")]
    pub(crate) size: u32,
    /// Its shape, which stays.
    pub(crate) shape: Option<String>,
    /// Whether it is hidden.
    #[serde(default)]
    pub(crate) hidden: bool,
}

fn ten() -> u32 {
    10
}

/// What is told of it.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Outputs {
    /// Its name.
    name: String,
    /// Its number.
    serial: u32,
    /// Its colour.
    colour: String,
    /// Its area, in square points.
    area: u32,
}

#[derive(Debug, Deserialize)]
pub(crate) struct PriorInputs {
    name: String,
}

#[derive(Debug, Deserialize)]
pub(crate) struct PriorOutputs {
    serial: Option<u32>,
}

#[derive(Debug, Serialize)]
pub(crate) struct Identity {
    name: String,
}

impl fmt::Display for Identity {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "thing {:?}", self.name)
    }
}

#[derive(Debug, Clone)]
pub(crate) struct Facts {
    name: String,
    thing: Thing,
    /// Whether it is hidden can't be seen.
    blind: bool,
}

#[derive(Debug, Clone)]
pub(crate) enum Change {
    Create,
    Rename { from: String },
    Colour(String),
    Size,
    Hide,
    Refused,
}

/// See [`Inputs`].
pub(crate) struct Model;

impl ResourceKind for Model {
    const TYPE: &'static str = "model_thing";
    const DELETION_POLICY: DeletionPolicy = DeletionPolicy::Retain;
    const LOCATED_BY: &'static [&'static str] = &["name"];
    const LASTING: &'static [&'static str] = &["serial"];
    const LISTS: bool = true;

    type Inputs = Inputs;
    type Outputs = Outputs;
    type Prior = Prior<PriorInputs, PriorOutputs>;
    type Identity = Identity;
    type Facts = Facts;
    type Change = Change;

    fn validate(inputs: &Inputs) -> Result<()> {
        let too_large = inputs.size > 100 && inputs.shape.is_none();
        match (inputs.colour.as_deref(), too_large) {
            (Some("none"), _) => Err(Error::input("/colour", "this is no colour")),
            (_, true) => Err(Error::input(
                "/size",
                "a thing without shape has 100 at most",
            )),
            _ => Ok(()),
        }
    }

    fn identity(inputs: &Inputs) -> Identity {
        Identity {
            name: inputs.name.clone(),
        }
    }

    fn recorded_identity(prior: &Self::Prior) -> Result<Identity> {
        Ok(Identity {
            name: prior.inputs.name.clone(),
        })
    }

    fn diff(want: &Inputs, have: Option<&Facts>) -> Vec<Step<Change>> {
        let Some(have) = have else {
            return vec![Step::create(Change::Create)];
        };
        let thing = &have.thing;
        let mut steps = Vec::new();
        let mut step = |path, before, after, change| {
            steps.push(Step::set(path, before, after, change));
            steps.len() - 1
        };
        if have.name != want.name {
            let from = have.name.clone();
            step(
                "/name",
                Value::known(&from),
                Value::known(&want.name),
                Change::Rename { from },
            );
        }
        if let Some(colour) = want
            .colour
            .as_ref()
            .filter(|colour| **colour != thing.colour)
        {
            let change = Change::Colour(colour.clone());
            step(
                "/colour",
                Value::known(&thing.colour),
                Value::known(colour),
                change,
            );
        }
        if want.size != thing.size {
            step(
                "/size",
                Value::known(thing.size),
                Value::known(want.size),
                Change::Size,
            );
        }
        if want.shape.is_some() && want.shape != thing.shape {
            let (before, after) = (Value::known(&thing.shape), Value::known(&want.shape));
            let at = step("/shape", before, after, Change::Refused);
            steps[at].effect = Effect::Replace;
        }
        if want.hidden && (have.blind || !thing.hidden) {
            let step = Step::set(
                "/hidden",
                Value::sensitive(),
                Value::sensitive(),
                Change::Hide,
            );
            steps.push(if have.blind {
                step.unverifiable("nobody can see it")
            } else {
                step
            });
        }
        steps
    }

    fn outputs(_: &Inputs, facts: &Facts) -> Outputs {
        Outputs {
            name: facts.name.clone(),
            serial: facts.thing.serial,
            colour: facts.thing.colour.clone(),
            area: facts.thing.size * facts.thing.size,
        }
    }

    fn predict(inputs: &Inputs) -> Object {
        let mut outputs = Object::new();
        outputs.insert("name".to_owned(), json!(inputs.name));
        outputs.insert("area".to_owned(), json!(inputs.size * inputs.size));
        if let Some(colour) = &inputs.colour {
            outputs.insert("colour".to_owned(), json!(colour));
        }
        outputs
    }

    async fn observe(
        _: &Context,
        inputs: &Inputs,
        prior: Option<&Self::Prior>,
    ) -> Result<Option<Observed<Facts>>> {
        look(&inputs.name, prior.and_then(|prior| prior.outputs.serial))
    }

    async fn apply(cx: &Context, inputs: &Inputs, change: Change) -> Result<()> {
        world(|world| {
            world.calls.push(format!("apply {change:?}"));
            if let Some(flag) = world.interrupts.take() {
                flag.store(true, std::sync::atomic::Ordering::SeqCst);
            }
            if world.deaf {
                return Ok(());
            }
            let name = inputs.name.clone();
            match &change {
                Change::Create => {
                    world.made += 1;
                    let thing = Thing {
                        serial: world.made,
                        comment: (!world.loses_marks).then(|| cx.mark().to_string()),
                        relation: false,
                        colour: inputs.colour.clone().unwrap_or_else(|| "grey".to_owned()),
                        size: inputs.size,
                        shape: inputs.shape.clone(),
                        hidden: inputs.hidden,
                    };
                    if !world.forgets {
                        world.things.insert(name, thing);
                    }
                    return Ok(());
                }
                Change::Rename { from } => {
                    let thing = world
                        .things
                        .remove(from)
                        .ok_or_else(|| Error::new("gone"))?;
                    world.things.insert(name, thing);
                    return Ok(());
                }
                Change::Refused => return Err(Error::new("the engine let a replacement through")),
                _ => {}
            }
            let thing = world
                .things
                .get_mut(&name)
                .ok_or_else(|| Error::new("gone"))?;
            match change {
                Change::Colour(colour) => thing.colour = colour,
                Change::Size => thing.size = inputs.size,
                _ => thing.hidden = true,
            }
            Ok(())
        })
    }

    async fn write_mark(_: &Context, _: &Inputs, facts: &Facts, mark: &Mark) -> Result<()> {
        write(facts, mark)
    }

    async fn observe_recorded(_: &Context, prior: &Self::Prior) -> Result<Option<Observed<Facts>>> {
        look(&prior.inputs.name, prior.outputs.serial)
    }

    fn deletion(facts: &Facts, policy: DeletionPolicy) -> Result<DeletionPolicy> {
        match facts.thing.colour.as_str() {
            "gold" => Err(Error::new("gold is never removed")),
            "silver" => Ok(DeletionPolicy::Retain),
            _ => Ok(policy),
        }
    }

    async fn delete(_: &Context, _: &Self::Prior, facts: &Facts) -> Result<()> {
        world(|world| {
            world.calls.push("delete".to_owned());
            if !world.deaf {
                world.things.remove(&facts.name);
            }
        });
        Ok(())
    }

    async fn retain(_: &Context, _: &Self::Prior, facts: &Facts, mark: &Mark) -> Result<()> {
        write(facts, mark)
    }

    async fn list(cx: &Context, _: &Inputs) -> Result<Vec<Found>> {
        let found = world(|world| {
            let marked = world.things.iter().filter_map(|(name, thing)| {
                let mark = Mark::find_in(thing.comment.as_deref()?)?;
                Some(Found {
                    identity: json!({ "name": name }),
                    mark,
                    facts: Object::new(),
                })
            });
            marked.collect::<Vec<_>>()
        });
        Ok(found
            .into_iter()
            .filter(|found| found.mark.owner == *cx.owner())
            .collect())
    }
}

fn look(name: &str, serial: Option<u32>) -> Result<Option<Observed<Facts>>> {
    world(|world| {
        world.calls.push("look".to_owned());
        if let Some(failure) = world.failures.pop_front() {
            return Err(failure);
        }
        let by_serial = world
            .things
            .iter()
            .find(|(_, thing)| Some(thing.serial) == serial);
        let found = by_serial.or_else(|| world.things.get_key_value(name));
        Ok(found.map(|(name, thing)| Observed {
            ownership: if thing.relation {
                Ownership::Relation
            } else {
                Ownership::from_comment(thing.comment.as_deref())
            },
            facts: Facts {
                name: name.clone(),
                thing: thing.clone(),
                blind: world.hides,
            },
        }))
    })
}

fn write(facts: &Facts, mark: &Mark) -> Result<()> {
    world(|world| {
        let retained = if mark.retained_since.is_some() {
            " retained"
        } else {
            ""
        };
        world
            .calls
            .push(format!("mark {} as {}{retained}", facts.name, mark.owner));
        let lost = world.loses_marks;
        let thing = world
            .things
            .get_mut(&facts.name)
            .ok_or_else(|| Error::new("gone"))?;
        thing.comment = (!lost).then(|| mark.to_string());
        Ok(())
    })
}

/// A thing that somebody made otherwise.
pub(crate) fn put(name: &str, comment: Option<&str>) {
    world(|world| {
        world.made += 1;
        let thing = Thing {
            serial: world.made,
            comment: comment.map(ToOwned::to_owned),
            relation: false,
            colour: "grey".to_owned(),
            size: 10,
            shape: None,
            hidden: false,
        };
        world.things.insert(name.to_owned(), thing);
    });
}

pub(crate) fn object(value: Json) -> Object {
    match value {
        Json::Object(object) => object,
        other => panic!("{other} is no object"),
    }
}

/// Inputs of the owner `demo`.
pub(crate) fn properties(own: Json) -> Object {
    let mut all = object(json!({ "owner": "demo" }));
    all.extend(object(own));
    all
}

pub(crate) fn wanted(own: Json) -> Parsed<Inputs> {
    inputs::parse::<Model>(&properties(own)).unwrap()
}

/// The record of a thing.
pub(crate) fn record(own: Json, outputs: Json) -> ExtantResource {
    ExtantResource {
        r#type: Model::TYPE.to_owned(),
        input_properties: properties(own),
        output_properties: Some(object(outputs)),
    }
}

/// The surroundings of a request of the owner `demo`, with its interrupt.
pub(crate) fn request(time: Duration) -> (Context, Arc<AtomicBool>) {
    let owner = Owner::try_from("demo".to_owned()).unwrap();
    let flag = Arc::new(AtomicBool::new(false));
    let sessions = Sessions::default();
    let cx = Context::new(
        owner,
        Model::TYPE,
        Rc::new(Clock::new(time)),
        Arc::clone(&flag),
        sessions,
    );
    (cx, flag)
}

pub(crate) fn cx() -> Context {
    request(Duration::from_mins(1)).0
}
