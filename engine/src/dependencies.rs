//! What members depend on: by the expression alone, with no state and no server, or by
//! what is recorded.
//!
//! Nix says of an input that can't be evaluated which output it missed first. What else
//! goes into it shows only once that is there, so that all outputs are given stand-ins,
//! of the types that the providers describe, whose strings tell where they went.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use nixops4_protocol::Object;
use nixops4_protocol::describe::{Description, KindDescription};
use serde_json::{Value, json};

use crate::backend;
use crate::eval::{Evaluation, Known, Look, Member};
use crate::failure::Failure;
use crate::member::{MemberPath, OutputRef, Outputs};
use crate::plan::report::unknown_members;
use crate::providers;
use crate::records::Records;
use crate::report::FORMAT;
use crate::report::graph::{GraphMember, GraphReport};
use crate::report::state::DependsOn;
use crate::session::Session;
use crate::signals::Signals;

/// How deep stand-ins go into a schema that refers to itself.
const DEPTH: usize = 8;

type Edges = BTreeMap<MemberPath, BTreeSet<OutputRef>>;

/// The expression with no output known, and what its members depend on.
pub(crate) struct Dependencies {
    pub(crate) evaluation: Evaluation,
    pub(crate) edges: Edges,
    /// What each member's provider says, if it says anything.
    pub(crate) descriptions: BTreeMap<MemberPath, Arc<Description>>,
    pub(crate) notes: Vec<String>,
}

/// What depends on what: by the expression alone, or as it is `recorded`.
///
/// By the expression, no state is read and no server asked. What is recorded is where
/// `location` says, else where it was at the last apply, else where the expression says.
pub async fn graph(
    session: &Session,
    recorded: Option<Option<&str>>,
    signals: &mut Signals,
) -> Result<GraphReport, Failure> {
    let Some(location) = recorded else {
        let finding = of_expression(session);
        let report = signals.race(finding).await??.report();
        let _ = signals.race(session.providers.close()).await;
        return Ok(report);
    };
    let reading = backend::recorded(session, location);
    let (records, _) = signals.race(reading).await??;
    let report = of_records(&records);
    session.close(&records, signals).await;
    Ok(report)
}

/// Evaluates the expression, and finds the dependencies of its members.
pub(crate) async fn of_expression(session: &Session) -> Result<Dependencies, Failure> {
    let nothing = Known::default();
    let evaluation = session.evaluator.evaluate(Look::All, &nothing).await?;
    let mut edges: Edges = evaluation
        .members
        .values()
        .map(|member| (member.path.clone(), member.waits_for().cloned().collect()))
        .collect();
    let descriptions = described(session, &evaluation).await?;
    let mut notes = Vec::new();
    if edges.values().any(|outputs| !outputs.is_empty()) {
        let stand_ins = stand_ins(&evaluation, &edges, &descriptions);
        match session.evaluator.edges(&stand_ins, &evaluation).await {
            Ok(found) => {
                for (path, outputs) in found {
                    // Members that are there because of stand-ins are none.
                    if let Some(known) = edges.get_mut(&path) {
                        known.extend(outputs);
                    }
                }
            }
            Err(error) => notes.push(format!(
                "where several outputs go into one input, only the first may be known, because \
                 the expression could not be evaluated with stand-ins for outputs: {error}"
            )),
        }
    }
    Ok(Dependencies {
        evaluation,
        edges,
        descriptions,
        notes,
    })
}

impl Dependencies {
    /// What the provider of a member says of its type.
    pub(crate) fn kind(&self, member: &Member) -> Option<&KindDescription> {
        self.descriptions.get(&member.path)?.kinds.get(&member.kind)
    }

    /// Puts it into the form that people and machines are shown.
    pub(crate) fn report(&self) -> GraphReport {
        let members = self.evaluation.members.values().map(|member| {
            let outputs = self.edges.get(&member.path).into_iter().flatten();
            GraphMember {
                path: member.path.clone(),
                r#type: member.kind.clone(),
                state: member.state.clone(),
                depends_on: outputs
                    .map(|output| DependsOn {
                        path: output.path.clone(),
                        output: Some(output.output.clone()),
                    })
                    .collect(),
            }
        });
        GraphReport {
            format: FORMAT,
            members: members.collect(),
            unknown_members: (self.evaluation.structures.iter())
                .map(unknown_members)
                .collect(),
            circles: self.circles(),
            notes: self.notes.clone(),
        }
    }

    /// Members that wait for each other.
    pub(crate) fn circles(&self) -> Vec<Vec<MemberPath>> {
        let others = |outputs: &BTreeSet<OutputRef>| {
            let paths = outputs.iter().map(|output| output.path.clone());
            paths.collect::<BTreeSet<_>>()
        };
        let edges = self.edges.iter();
        circles(
            edges
                .map(|(path, outputs)| (path.clone(), others(outputs)))
                .collect(),
        )
    }
}

/// What is recorded of dependencies.
fn of_records(records: &Records) -> GraphReport {
    let mut members: Vec<GraphMember> = Vec::new();
    let mut edges = BTreeMap::new();
    let mut unknown = Vec::new();
    for (state, path, recorded) in records.all() {
        let recorded = recorded.resource();
        let extension = recorded.extension.as_ref();
        let depends_on = extension.and_then(|extension| extension.depends_on.as_ref());
        if depends_on.is_none() {
            unknown.push(format!("'{path}'"));
        }
        let depends_on: Vec<DependsOn> = depends_on
            .into_iter()
            .flatten()
            .map(|dependency| DependsOn {
                path: MemberPath(dependency.path.clone()),
                output: dependency.output.clone(),
            })
            .collect();
        let others = depends_on.iter().map(|it| it.path.clone());
        edges.insert(path.clone(), others.collect());
        members.push(GraphMember {
            path: path.clone(),
            r#type: recorded.r#type.clone(),
            state: Some(state.clone()),
            depends_on,
        });
    }
    members.sort_by(|a, b| a.path.cmp(&b.path));
    let mut notes = records.notes().to_vec();
    if !unknown.is_empty() {
        notes.push(format!(
            "what these depend on is not recorded, as NixOps4's own command records none: {}",
            unknown.join(", ")
        ));
    }
    GraphReport {
        format: FORMAT,
        members,
        unknown_members: Vec::new(),
        circles: circles(edges),
        notes,
    }
}

/// What the provider of each member says of itself. Why one says nothing is told by
/// whoever checks the members.
async fn described(
    session: &Session,
    evaluation: &Evaluation,
) -> Result<BTreeMap<MemberPath, Arc<Description>>, Failure> {
    let mut descriptions = BTreeMap::new();
    for member in evaluation.members.values() {
        session.evaluator.realise(&member.provider_paths).await?;
        let command = providers::command(&member.executable, &member.args);
        if let Ok(Some(description)) = session.providers.describe(&command).await {
            descriptions.insert(member.path.clone(), description);
        }
    }
    Ok(descriptions)
}

/// An output of the right type for everything that a member may use.
fn stand_ins(
    evaluation: &Evaluation,
    edges: &Edges,
    descriptions: &BTreeMap<MemberPath, Arc<Description>>,
) -> BTreeMap<MemberPath, Outputs> {
    let mut outputs: BTreeMap<MemberPath, Object> = BTreeMap::new();
    for wanted in edges.values().flatten() {
        let here = outputs.entry(wanted.path.clone()).or_default();
        here.insert(wanted.output.clone(), json!(STAND_IN));
    }
    let mut of_kinds: BTreeMap<&str, Object> = BTreeMap::new();
    for member in evaluation.members.values() {
        let kind = (descriptions.get(&member.path)).and_then(|all| all.kinds.get(&member.kind));
        let Some(kind) = kind else {
            continue;
        };
        let of_kind = of_kinds.entry(&member.kind).or_insert_with(|| {
            let properties = kind.outputs.get("properties").and_then(Value::as_object);
            let properties = properties.into_iter().flatten();
            let value = |schema| stand_in(schema, &kind.outputs, DEPTH);
            properties
                .map(|(name, schema)| (name.clone(), value(schema)))
                .collect()
        });
        let here = outputs.entry(member.path.clone()).or_default();
        here.extend(of_kind.clone());
    }
    let shared = outputs
        .into_iter()
        .map(|(path, outputs)| (path, outputs.into()));
    shared.collect()
}

const STAND_IN: &str = "output";

/// Some value that a schema allows, with strings wherever there may be any.
fn stand_in(schema: &Value, root: &Object, depth: usize) -> Value {
    if depth == 0 {
        return Value::Null;
    }
    let field = |name: &str| schema.get(name);
    let first = |name: &str| field(name)?.as_array()?.first().cloned();
    if let Some(value) = field("const").cloned().or_else(|| first("enum")) {
        return value;
    }
    if let Some(reference) = field("$ref").and_then(Value::as_str) {
        let mut here = reference.trim_start_matches("#/").split('/');
        let (Some(outer), Some(name)) = (here.next(), here.next()) else {
            return json!(STAND_IN);
        };
        let referred = root.get(outer).and_then(|all| all.get(name));
        return referred.map_or(json!(STAND_IN), |schema| stand_in(schema, root, depth - 1));
    }
    for choices in ["anyOf", "oneOf"] {
        let choices = field(choices).and_then(Value::as_array);
        let is_null = |choice: &&Value| choice.get("type") != Some(&json!("null"));
        if let Some(choice) = choices.and_then(|all| all.iter().find(is_null)) {
            return stand_in(choice, root, depth - 1);
        }
    }
    let types = match field("type") {
        Some(Value::Array(types)) => types.iter().find(|it| **it != json!("null")),
        other => other,
    };
    match types.and_then(Value::as_str) {
        Some("integer" | "number") => json!(1),
        Some("boolean") => json!(true),
        Some("null") => Value::Null,
        Some("array") => match field("items") {
            Some(items) => json!([stand_in(items, root, depth - 1)]),
            None => json!([]),
        },
        Some("object") => {
            let properties = field("properties").and_then(Value::as_object);
            let fields = properties.into_iter().flatten();
            let fields =
                fields.map(|(name, schema)| (name.clone(), stand_in(schema, root, depth - 1)));
            Value::Object(fields.collect())
        }
        _ => json!(STAND_IN),
    }
}

/// Circles among `edges`, no two with the same member: each member waits for the next,
/// and the last for the first.
fn circles(mut edges: BTreeMap<MemberPath, BTreeSet<MemberPath>>) -> Vec<Vec<MemberPath>> {
    let mut circles = Vec::new();
    loop {
        edges = without_free(edges);
        let Some(mut here) = edges.keys().next() else {
            return circles;
        };
        // Everybody who is left waits for somebody who is.
        let mut way = Vec::new();
        let begin = loop {
            if let Some(begin) = way.iter().position(|path| path == here) {
                break begin;
            }
            way.push(here.clone());
            let next = edges[here].iter().find(|path| edges.contains_key(path));
            let Some(next) = next else { return circles };
            here = next;
        };
        let mut circle = way.split_off(begin);
        let least = (0..circle.len()).min_by_key(|&index| &circle[index]);
        circle.rotate_left(least.unwrap_or_default());
        for path in &circle {
            edges.remove(path);
        }
        circles.push(circle);
    }
}

/// Those who wait for somebody who waits, and so on: the others are in no circle.
fn without_free(
    mut edges: BTreeMap<MemberPath, BTreeSet<MemberPath>>,
) -> BTreeMap<MemberPath, BTreeSet<MemberPath>> {
    let mut waiting: BTreeMap<&MemberPath, Vec<&MemberPath>> = BTreeMap::new();
    let mut number = BTreeMap::new();
    for (path, others) in &edges {
        let others = others.iter().filter(|other| edges.contains_key(*other));
        number.insert(path, 0);
        for other in others {
            waiting.entry(other).or_default().push(path);
            *number.entry(path).or_default() += 1_usize;
        }
    }
    let mut free: Vec<&MemberPath> = (number.iter())
        .filter(|(_, number)| **number == 0)
        .map(|(path, _)| *path)
        .collect();
    let mut gone = BTreeSet::new();
    while let Some(path) = free.pop() {
        gone.insert(path.clone());
        for waits in waiting.get(path).into_iter().flatten() {
            let left = number.entry(waits).or_default();
            *left -= 1;
            if *left == 0 {
                free.push(waits);
            }
        }
    }
    edges.retain(|path, _| !gone.contains(path));
    edges
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(edges: &[&str]) -> Vec<String> {
        let edges = edges.iter().map(|text| {
            let (name, others) = text.split_once('>').unwrap_or((text, ""));
            let others = others.split(',').filter(|name| !name.is_empty());
            (
                name.parse().unwrap(),
                others.map(|name| name.parse().unwrap()).collect(),
            )
        });
        let names = |circle: Vec<MemberPath>| {
            let names: Vec<String> = circle.iter().map(ToString::to_string).collect();
            names.join(">")
        };
        circles(edges.collect()).into_iter().map(names).collect()
    }

    #[test]
    fn circles_are_found_and_nothing_else() {
        for (edges, expected) in [
            (&[][..], &[][..]),
            (&["a>b", "b>c", "c"], &[]),
            (&["a>gone"], &[]),
            (&["a>a"], &["a"]),
            (&["a>b", "b>a"], &["a>b"]),
            // What waits for a circle, or is waited for by one, is not in it.
            (&["0>b", "b>c,z", "c>b", "z"], &["b>c"]),
            (&["a>b", "b>a", "c>d", "d>e", "e>c,a"], &["a>b", "c>d>e"]),
        ] {
            assert_eq!(found(edges), expected, "{edges:?}");
        }
    }

    #[test]
    fn a_stand_in_is_of_the_type() {
        let Value::Object(root) = json!({
            "$defs": { "Ref": { "type": "object", "properties": {
                "id": { "type": "string" }, "more": { "$ref": "#/$defs/Ref" } } } },
        }) else {
            unreachable!()
        };
        for (schema, expected) in [
            (json!({ "type": "string" }), json!("output")),
            (json!({}), json!("output")),
            (json!({ "type": ["null", "integer"] }), json!(1)),
            (json!({ "enum": ["b", "a"] }), json!("b")),
            (
                json!({ "type": "array", "items": { "type": "boolean" } }),
                json!([true]),
            ),
            (
                json!({ "anyOf": [{ "type": "null" }, { "type": "number" }] }),
                json!(1),
            ),
        ] {
            assert_eq!(stand_in(&schema, &root, DEPTH), expected, "{schema}");
        }
        let deep = stand_in(&json!({ "$ref": "#/$defs/Ref" }), &root, DEPTH);
        assert_eq!(deep["more"]["id"], "output");
    }
}
