//! What apply would do: observe and diff, with what isn't known yet left open.
//!
//! A plan never guesses: what depends on an input that isn't known is unknown
//! itself, and so is every output of a thing that can't be looked for.

use std::collections::BTreeSet;

use nixops4_protocol::Object;
use nixops4_protocol::message::{
    Action, Change, Effect, ExtantResource, PlanResourceRequest, PlanResourceResponse, PlannedValue,
};
use serde_json::Value;

use crate::context::Context;
use crate::engine::{self, Difference, INSTEAD_OF_REPLACING, Taking};
use crate::error::{Error, Result};
use crate::inputs::{COMMON, Parsed, without_nulls};
use crate::kind::{ResourceKind, Step};
use crate::mark::Mark;
use crate::retry::retrying;
use crate::schema::Shape;
use crate::typed::{self, escape};

/// The inputs of a plan, split by what is known.
pub(crate) struct Known {
    /// The inputs whose value is known.
    pub(crate) properties: Object,
    /// Names of the inputs that aren't known, or not wholly.
    unknown: BTreeSet<String>,
    /// Not even the names of the inputs are known.
    nothing: bool,
}

impl Known {
    /// Splits the inputs of a request. An input that is unknown in one place is
    /// unknown altogether: half a value would be a guess. Fails for a name that
    /// is no input, known or not.
    pub(crate) fn new(request: &PlanResourceRequest, shape: &Shape) -> Result<Self> {
        let mut unknown = BTreeSet::new();
        let mut nothing = false;
        for pointer in &request.unknown_inputs {
            match pointer.split_once('/') {
                Some(("", path)) => {
                    unknown.insert(first_token(path));
                }
                None if pointer.is_empty() => nothing = true,
                _ => {
                    return Err(Error::new(format!(
                        "unknownInputs holds {pointer:?}, which is no JSON pointer"
                    ))
                    .hint(
                        "a JSON pointer to an input is a slash and its name, such as /password",
                    ));
                }
            }
        }
        let mut properties = request.input_properties.clone();
        properties.retain(|name, value| !value.is_null() && !unknown.contains(name));
        let mut names = properties.keys().chain(&unknown);
        if let Some(name) = names.find(|name| !shape.has_input(name)) {
            return Err(typed::unknown_field(name, &shape.inputs()));
        }
        Ok(Self {
            properties,
            unknown,
            nothing,
        })
    }

    /// Whether the thing can't be looked for, or its inputs not be read.
    pub(crate) fn hides<K: ResourceKind>(&self, shape: &Shape) -> bool {
        self.nothing
            || self.unknown.iter().any(|name| {
                K::LOCATED_BY.contains(&name.as_str()) || shape.requires(name) || name == "adopt"
            })
    }

    /// Whether every input is known.
    pub(crate) fn is_complete(&self) -> bool {
        !self.nothing && self.unknown.is_empty()
    }

    fn covers(&self, pointer: &str) -> bool {
        let path = pointer.strip_prefix('/').unwrap_or_default();
        !self.unknown.contains(&first_token(path))
    }

    /// The changes of the inputs that aren't known.
    fn open_changes(&self) -> impl Iterator<Item = Change> {
        self.unknown
            .iter()
            .map(|name| change(name, PlannedValue::Unknown, PlannedValue::Unknown))
    }
}

fn first_token(path: &str) -> String {
    let token = path.split('/').next().unwrap_or_default();
    token.replace("~1", "/").replace("~0", "~")
}

/// The plan for a thing that can't be looked for yet: the inputs, beside those
/// that were recorded. They are shown as they came, so that no secret may stand in them.
pub(crate) fn unseen(
    known: &Known,
    recorded: Option<&ExtantResource>,
    shape: &Shape,
) -> Result<PlanResourceResponse> {
    for (name, value) in &known.properties {
        shape.check_references(name, value)?;
    }
    let shown = |name: &str, recorded: Value| match shape.check_references(name, &recorded) {
        Ok(()) => PlannedValue::Known(recorded),
        Err(_) => PlannedValue::Sensitive,
    };
    let before = |name: &str| match recorded {
        Some(resource) => resource.input_properties.get(name).map(without_nulls),
        None => None,
    };
    let mut changes: Vec<_> = known
        .properties
        .iter()
        .map(|(name, value)| (name, before(name).unwrap_or_default(), without_nulls(value)))
        .filter(|(_, before, after)| before != after)
        .map(|(name, before, after)| change(name, shown(name, before), PlannedValue::Known(after)))
        .collect();
    changes.extend(known.open_changes());
    Ok(PlanResourceResponse {
        identity: Value::Null,
        action: match recorded {
            Some(_) => Action::Update,
            None => Action::Create,
        },
        changes,
        output_properties: Object::new(),
        unknown_outputs: shape.outputs.clone(),
    })
}

/// Plans one thing.
pub(crate) async fn plan<K: ResourceKind>(
    cx: &Context,
    wanted: &Parsed<K::Inputs>,
    known: &Known,
    recorded: Option<&ExtantResource>,
    shape: &Shape,
) -> Result<PlanResourceResponse> {
    let prior = recorded.map(engine::read_prior::<K>).transpose()?;
    let inputs = &wanted.inputs;
    cx.begin_plan();
    let seen = retrying(cx, async || K::observe(cx, inputs, prior.as_ref()).await).await?;
    let answer = Answer {
        identity: engine::identity::<K>(inputs)?,
        shape,
    };
    let mut difference = match Difference::<K>::new(cx, wanted, seen.as_ref()) {
        Ok(difference) => difference,
        Err(refused) => return Ok(answer.refusal(refused)),
    };
    let Some(seen) = seen else {
        let mut changes: Vec<_> = creating(&known.properties).collect();
        let noted = difference.steps.into_iter().map(to_change);
        changes.extend(noted.filter(|change| change.note.is_some()));
        // While an input isn't known, it can't be told what comes of it.
        if known.is_complete() {
            let foreseen = K::foresee_creation(cx, inputs).await?;
            for failure in foreseen.into_iter().map(stumbling_block) {
                tell(&mut changes, failure);
            }
        }
        changes.extend(known.open_changes());
        let outputs = predicted::<K>(inputs, known, shape);
        return Ok(answer.plan(Action::Create, changes, outputs));
    };
    difference.steps.retain(|step| known.covers(&step.path));
    let refused = difference.needs_replacement();
    let mut changes: Vec<_> = difference.taking.iter().map(taking).collect();
    changes.extend(difference.steps.into_iter().map(to_change));
    changes.extend(known.open_changes());
    let mut outputs = engine::outputs::<K>(inputs, &seen.facts)?;
    Ok(if refused {
        answer.plan(Action::Refuse, changes, Object::new())
    } else if changes.is_empty() {
        outputs.extend(as_recorded::<K>(recorded));
        answer.plan(Action::None, changes, outputs)
    } else {
        let mut certain = outputs;
        certain.retain(|name, _| K::LASTING.contains(&name.as_str()));
        certain.extend(predicted::<K>(inputs, known, shape));
        answer.plan(Action::Update, changes, certain)
    })
}

/// The outputs that change by themselves, as they were recorded.
fn as_recorded<K: ResourceKind>(recorded: Option<&ExtantResource>) -> Object {
    let outputs = recorded.and_then(|resource| resource.output_properties.clone());
    let mut outputs = outputs.unwrap_or_default();
    outputs.retain(|name, _| K::FLUCTUATING.contains(&name.as_str()));
    outputs
}

/// What every answer about one thing has.
struct Answer<'a> {
    identity: Value,
    shape: &'a Shape,
}

impl Answer<'_> {
    fn plan(self, action: Action, changes: Vec<Change>, certain: Object) -> PlanResourceResponse {
        let is_open = |name: &&String| !certain.contains_key(*name);
        PlanResourceResponse {
            identity: self.identity,
            action,
            changes,
            unknown_outputs: self.shape.outputs.iter().filter(is_open).cloned().collect(),
            output_properties: certain,
        }
    }

    /// Nothing is certain of what apply will refuse; least of all the outputs of
    /// a thing that isn't ours.
    fn refusal(self, refused: Error) -> PlanResourceResponse {
        let change = stumbling_block(refused);
        self.plan(Action::Refuse, vec![change], Object::new())
    }
}

/// What apply would fail at, as what the reader should know of its input.
fn stumbling_block(failure: Error) -> Change {
    Change {
        path: failure.pointer().unwrap_or_default().to_owned(),
        before: PlannedValue::Unknown,
        after: PlannedValue::Unknown,
        effect: Effect::InPlace,
        note: Some(failure.without_pointer().to_string()),
    }
}

/// Says with the change of an input what the reader should know of it.
fn tell(changes: &mut Vec<Change>, known: Change) {
    match changes.iter_mut().find(|change| change.path == known.path) {
        Some(change) => {
            let notes = change.note.take().into_iter().chain(known.note);
            change.note = Some(notes.collect::<Vec<_>>().join("\n"));
        }
        None => changes.push(known),
    }
}

/// The outputs that the known inputs tell.
fn predicted<K: ResourceKind>(inputs: &K::Inputs, known: &Known, shape: &Shape) -> Object {
    if known
        .unknown
        .iter()
        .any(|name| shape.has_default(name) && !COMMON.contains(&name.as_str()))
    {
        // The default stands in its place, and could be taken for its value.
        return Object::new();
    }
    let mut outputs = K::predict(inputs);
    outputs.retain(|name, _| shape.outputs.contains(name));
    outputs
}

fn taking(taking: &Taking) -> Change {
    let before = taking.from.as_ref().map(whose);
    let note = match &taking.from {
        Some(mark) if mark.is_of_same(&taking.mark) => match mark.retained_since {
            Some(_) => "it was retained, and comes back into service",
            None => {
                "its mark is written again: somebody changed it, or nothing vouches for it yet that \
                 its user can't change"
            }
        },
        _ => "it is there already, and is taken over",
    };
    Change {
        note: Some(note.to_owned()),
        ..change(
            "owner",
            PlannedValue::Known(before.map_or(Value::Null, Value::String)),
            PlannedValue::Known(Value::String(whose(&taking.mark))),
        )
    }
}

fn whose(mark: &Mark) -> String {
    match mark.retained_since {
        None => mark.owner.to_string(),
        Some(since) => format!("{} (retained on {})", mark.owner, since.date()),
    }
}

fn to_change<C>(step: Step<C>) -> Change {
    let replaces = step.effect == Effect::Replace;
    let reason = step
        .unverifiable
        .or(replaces.then_some(INSTEAD_OF_REPLACING));
    Change {
        path: step.path,
        before: step.before,
        after: step.after,
        effect: step.effect,
        note: step.note.or_else(|| reason.map(ToOwned::to_owned)),
    }
}

/// A thing that isn't there yet: each input that is set is a change.
fn creating(properties: &Object) -> impl Iterator<Item = Change> {
    properties.iter().map(|(name, value)| {
        let after = PlannedValue::Known(without_nulls(value));
        change(name, PlannedValue::Known(Value::Null), after)
    })
}

fn change(input: &str, before: PlannedValue, after: PlannedValue) -> Change {
    Change {
        path: format!("/{}", escape(input)),
        before,
        after,
        effect: Effect::InPlace,
        note: None,
    }
}

#[cfg(test)]
mod tests;
