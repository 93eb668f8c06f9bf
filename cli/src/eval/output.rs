//! Reads what the driver expression answers, and the trace lines that it left.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use serde_json::Value;

use super::{EvalError, Evaluation, Member, Part, Place, Structure, object};
use crate::member::{MemberPath, OutputRef};

/// One of the things that the driver found.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum Item {
    Resource(Box<Resource>),
    Structure(Unstructured),
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Resource {
    path: MemberPath,
    about: About,
    context: Vec<String>,
    #[serde(default)]
    inputs: Value,
    #[serde(default)]
    unknown: Vec<String>,
    #[serde(default)]
    input_context: Vec<String>,
}

#[derive(Debug, Deserialize)]
struct About {
    executable: String,
    args: Vec<String>,
    r#type: String,
    state: Option<MemberPath>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Unstructured {
    path: MemberPath,
    part: Part,
}

impl<'de> Deserialize<'de> for Part {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = String::deserialize(deserializer)?;
        [Self::Members, Self::Member, Self::Resource]
            .into_iter()
            .find(|part| part.name() == name)
            .ok_or_else(|| serde::de::Error::custom(format!("unknown part {name}")))
    }
}

/// A trace line of the driver's.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Mark {
    /// This output was asked for and is not known.
    Wants(OutputRef),
    /// This place is unknown, because of what was wanted since the last one.
    At(At),
}

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
pub(crate) struct At {
    path: MemberPath,
    #[serde(default)]
    pointer: Option<String>,
}

/// What each unknown place waits for.
fn reasons(marks: &[Mark]) -> BTreeMap<&At, BTreeSet<OutputRef>> {
    let mut reasons = BTreeMap::<&At, BTreeSet<OutputRef>>::new();
    let mut wanted = BTreeSet::new();
    for mark in marks {
        match mark {
            Mark::Wants(output) => {
                wanted.insert(output.clone());
            }
            Mark::At(at) => reasons
                .entry(at)
                .or_default()
                .extend(std::mem::take(&mut wanted)),
        }
    }
    reasons
}

/// Puts together what was found and why the rest is unknown.
pub(super) fn evaluation(items: Vec<Item>, marks: &[Mark]) -> Result<Evaluation, EvalError> {
    let reasons = reasons(marks);
    let reason = |path: &MemberPath, pointer: Option<&str>| {
        let at = At {
            path: path.clone(),
            pointer: pointer.map(str::to_owned),
        };
        reasons.get(&at).cloned().unwrap_or_default()
    };
    let mut evaluation = Evaluation::default();
    for item in items {
        match item {
            Item::Structure(Unstructured { path, part }) => {
                let waits_for = reason(&path, None);
                evaluation.structures.push(Structure {
                    path,
                    part,
                    waits_for,
                });
            }
            Item::Resource(resource) => {
                let path = resource.path;
                let unknown = resource
                    .unknown
                    .into_iter()
                    .map(|pointer| {
                        let waits_for = reason(&path, Some(&pointer));
                        (pointer, waits_for)
                    })
                    .collect();
                let member = Member {
                    executable: resource.about.executable,
                    args: resource.about.args,
                    kind: resource.about.r#type,
                    state: resource.about.state,
                    inputs: object(&path, resource.inputs)?,
                    unknown,
                    provider_paths: resource.context,
                    input_paths: resource.input_context,
                    path: path.clone(),
                };
                evaluation.members.insert(path, member);
            }
        }
    }
    Ok(evaluation)
}

/// The unknown places that no missing output explains.
pub(super) fn unexplained(evaluation: &Evaluation) -> Vec<Place> {
    all_places(evaluation)
        .filter(|(_, reasons)| reasons.is_empty())
        .map(|(place, _)| place)
        .collect()
}

/// Every unknown place.
pub(super) fn places(evaluation: &Evaluation) -> Vec<Place> {
    all_places(evaluation).map(|(place, _)| place).collect()
}

fn all_places(evaluation: &Evaluation) -> impl Iterator<Item = (Place, &BTreeSet<OutputRef>)> {
    let structures = evaluation.structures.iter().map(|structure| {
        let place = Place {
            path: structure.path.clone(),
            part: structure.part.name(),
            pointer: Vec::new(),
        };
        (place, &structure.waits_for)
    });
    let inputs = evaluation.members.values().flat_map(|member| {
        member.unknown.iter().map(|(pointer, waits_for)| {
            let place = Place {
                path: member.path.clone(),
                part: Part::Inputs.name(),
                pointer: pointer
                    .split('/')
                    .skip(1)
                    .map(|token| token.replace("~1", "/").replace("~0", "~"))
                    .collect(),
            };
            (place, waits_for)
        })
    });
    structures.chain(inputs)
}
