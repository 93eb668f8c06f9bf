//! A deployment, its random edits, and what Nix would answer of it.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use futures_util::future::{FutureExt as _, LocalBoxFuture};
use rand::RngExt as _;
use rand::rngs::StdRng;
use serde_json::{Value, json};

use super::world::{Client, KIND, STATE_KIND};
use crate::eval::{Answer, Driver, EvalError, Mark, Request};
use crate::member::MemberPath;

/// The outputs that others use: a string, which tells where it came from, and a
/// number, which does not.
pub(super) const OUTPUTS: [&str; 2] = ["serial", "number"];

/// A member: a thing, and what its content comes from.
#[derive(Debug, Clone)]
pub(super) struct Node {
    pub(super) thing: String,
    /// Another member, by name, and which of its outputs.
    uses: Option<(String, &'static str)>,
    pub(super) value: u64,
    pub(super) retain: bool,
    /// Whether it stands in a component of its own.
    is_nested: bool,
    /// It uses only what is older, so that there is no circle.
    age: u64,
}

/// A deployment.
#[derive(Debug, Clone, Default)]
pub(super) struct Model {
    members: BTreeMap<String, Node>,
    made: u64,
}

impl Model {
    pub(super) fn nodes(&self) -> impl Iterator<Item = &Node> {
        self.members.values()
    }

    pub(super) fn things(&self) -> BTreeSet<String> {
        self.nodes().map(|node| node.thing.clone()).collect()
    }

    /// Whether a thing of this name is to be kept for ever.
    pub(super) fn retains(&self, thing: &str) -> bool {
        self.nodes().any(|node| node.thing == thing && node.retain)
    }

    pub(super) fn paths(&self) -> BTreeSet<MemberPath> {
        self.members.keys().map(|name| self.path(name)).collect()
    }

    /// What a member's content comes from.
    pub(super) fn used(&self, node: &Node) -> Option<(&Node, &'static str)> {
        let (name, output) = node.uses.as_ref()?;
        Some((&self.members[name], output))
    }

    fn path(&self, name: &str) -> MemberPath {
        let component = self.members[name].is_nested.then(|| "web".to_owned());
        MemberPath(component.into_iter().chain([name.to_owned()]).collect())
    }

    /// Changes something; gives the old and the new name of what was renamed.
    pub(super) fn edit(&mut self, random: &mut StdRng) -> Option<(MemberPath, MemberPath)> {
        let names: Vec<String> = self.members.keys().cloned().collect();
        let chosen =
            (!names.is_empty()).then(|| names[random.random_range(0..names.len())].clone());
        match (random.random_range(0..12), chosen) {
            (0..=1, Some(name)) => {
                self.members.remove(&name);
                for node in self.members.values_mut() {
                    node.uses.take_if(|(used, _)| *used == name);
                }
            }
            (2..=3, Some(name)) => {
                let node = self.members.get_mut(&name)?;
                node.value = random.random_range(0..100);
                node.uses = None;
            }
            (4..=5, Some(name)) => {
                let age = self.members[&name].age;
                let uses = self.one_older_than(age, random);
                self.members.get_mut(&name)?.uses = uses;
            }
            (6, Some(name)) => {
                // The same thing under another name, perhaps in another place.
                let from = self.path(&name);
                let mut node = self.members.remove(&name)?;
                node.is_nested = random.random();
                self.made += 1;
                let new = format!("r{}", self.made);
                for other in self.members.values_mut() {
                    if let Some((used, _)) = &mut other.uses
                        && *used == name
                    {
                        used.clone_from(&new);
                    }
                }
                self.members.insert(new.clone(), node);
                return Some((from, self.path(&new)));
            }
            _ => {
                self.made += 1;
                let uses = (random.random_range(0..3) > 0)
                    .then(|| self.one_older_than(self.made, random))
                    .flatten();
                let node = Node {
                    thing: format!("t{}", self.made),
                    uses,
                    value: random.random_range(0..100),
                    retain: random.random_range(0..4) == 0,
                    is_nested: random.random_range(0..3) == 0,
                    age: self.made,
                };
                self.members.insert(format!("m{}", self.made), node);
            }
        }
        None
    }

    fn one_older_than(&self, age: u64, random: &mut StdRng) -> Option<(String, &'static str)> {
        let older: Vec<&String> = self
            .members
            .iter()
            .filter(|(_, node)| node.age < age)
            .map(|(name, _)| name)
            .collect();
        let output = OUTPUTS[random.random_range(0..OUTPUTS.len())];
        (!older.is_empty()).then(|| (older[random.random_range(0..older.len())].clone(), output))
    }
}

/// What runs the driver on a model.
pub(super) struct Expression {
    pub(super) client: Rc<Client>,
    pub(super) model: Model,
}

impl Driver for Expression {
    fn run<'a>(
        &'a self,
        request: &'a Request<'a>,
    ) -> LocalBoxFuture<'a, Result<Answer, EvalError>> {
        async move {
            self.client.step().await;
            // A place that is looked at alone waits for an output, and for nothing else.
            if request.look == "places" {
                return Err(EvalError::Unknown);
            }
            Ok(answer(&self.model, request))
        }
        .boxed_local()
    }

    fn realise<'a>(&'a self, _: &'a [&String]) -> LocalBoxFuture<'a, Result<(), EvalError>> {
        async { Ok(()) }.boxed_local()
    }
}

fn answer(model: &Model, request: &Request<'_>) -> Answer {
    let known = serde_json::to_value(request.known).unwrap();
    let mut marks = Vec::new();
    let mut items = Vec::new();
    if request.look != "edges" {
        items.push(resource(
            &["state"],
            STATE_KIND,
            None,
            Some((json!({}), Vec::new())),
        ));
    }
    for (name, node) in &model.members {
        let path = model.path(name);
        let mut unknown = Vec::new();
        let used = node
            .uses
            .as_ref()
            .map(|(other, output)| (model.path(other), *output));
        let content = match &used {
            None => json!(node.value),
            Some((other, output)) => {
                let value = at(&known, other, "outputs", output);
                if value.is_none() && request.look == "all" {
                    let wants = json!({ "wants": { "path": other, "output": output } });
                    let at = json!({ "at": { "path": path, "pointer": "/content" } });
                    let said =
                        [wants, at].map(|mark| serde_json::from_value::<Mark>(mark).unwrap());
                    marks.extend(said);
                    unknown.push("/content");
                }
                value.cloned().unwrap_or_default()
            }
        };
        if request.look == "edges" {
            let index = used
                .as_ref()
                .and_then(|(other, output)| at(&known, other, "marks", output))
                .filter(|_| content.is_string());
            let origins: Vec<String> = index
                .map(|index| format!("/nix/store/0-{}{index}", request.edge))
                .into_iter()
                .collect();
            items.push(json!({ "path": path, "context": origins }));
            continue;
        }
        let inputs = json!({
            "name": node.thing,
            "content": content,
            "deletionPolicy": if node.retain { "retain" } else { "delete" },
        });
        let inputs = (request.look == "all").then_some((inputs, unknown));
        let names: Vec<&str> = path.names().iter().map(String::as_str).collect();
        items.push(resource(&names, KIND, Some(&["state"]), inputs));
    }
    Answer {
        items: serde_json::to_vec(&items).unwrap(),
        marks,
    }
}

/// What is known of an output.
fn at<'a>(known: &'a Value, path: &MemberPath, what: &str, output: &str) -> Option<&'a Value> {
    let here = path
        .names()
        .iter()
        .try_fold(known, |known, name| known.get("members")?.get(name))?;
    here.get(what)?.get(output)
}

fn resource(
    path: &[&str],
    kind: &str,
    state: Option<&[&str]>,
    inputs: Option<(Value, Vec<&str>)>,
) -> Value {
    let mut resource = json!({
        "path": path,
        "about": { "executable": "model", "args": [], "type": kind, "state": state },
        "context": [],
    });
    if let Some((inputs, unknown)) = inputs {
        resource["inputs"] = inputs;
        resource["unknown"] = json!(unknown);
        resource["inputContext"] = json!([]);
    }
    json!({ "resource": resource })
}
