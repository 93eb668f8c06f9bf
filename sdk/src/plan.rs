//! What apply would do: observe and diff, with what isn't known yet left open.

use std::collections::BTreeSet;

use nixops4_protocol::Object;
use nixops4_protocol::message::{
    Action, Change, Effect, PlanResourceRequest, PlanResourceResponse, PlannedValue,
};
use serde_json::Value;

use crate::context::Context;
use crate::engine::{self, Difference};
use crate::error::Result;
use crate::inputs::{self, Parsed};
use crate::kind::{ResourceKind, Step};
use crate::retry::retrying;
use crate::schema;

/// The inputs of a plan, split by what is known.
pub(crate) struct Known {
    /// The inputs whose value is known.
    pub(crate) properties: Object,
    /// Names of the inputs that aren't known, or not wholly.
    pub(crate) unknown: BTreeSet<String>,
}

impl Known {
    /// Splits the inputs of a request. An input that is unknown in one place is
    /// unknown altogether: half a value would be a guess.
    pub(crate) fn new(request: &PlanResourceRequest) -> Self {
        let unknown: BTreeSet<_> = request
            .unknown_inputs
            .iter()
            .filter_map(|pointer| pointer.split('/').nth(1))
            .map(|token| token.replace("~1", "/").replace("~0", "~"))
            .collect();
        let mut properties = request.input_properties.clone();
        properties.retain(|name, _| !unknown.contains(name));
        Self { properties, unknown }
    }

    /// Whether the thing can't be looked for, or its inputs not be read.
    pub(crate) fn hides<K: ResourceKind>(&self) -> bool {
        let required = schema::required_inputs::<K>();
        self.unknown.iter().any(|name| {
            K::LOCATED_BY.contains(&name.as_str()) || required.contains(name) || name == "adopt"
        })
    }

    /// The changes of the inputs that aren't known.
    fn changes(&self) -> impl Iterator<Item = Change> {
        self.unknown.iter().map(|name| Change {
            path: format!("/{}", inputs::escape(name)),
            before: PlannedValue::Unknown,
            after: PlannedValue::Unknown,
            effect: Effect::InPlace,
            note: None,
        })
    }
}

/// The plan for a thing that can't be looked for yet.
pub(crate) fn unseen<K: ResourceKind>(known: &Known, is_recorded: bool) -> PlanResourceResponse {
    let mut changes = all_inputs(&known.properties);
    changes.extend(known.changes());
    PlanResourceResponse {
        identity: Value::Null,
        action: if is_recorded { Action::Update } else { Action::Create },
        changes,
        output_properties: Object::new(),
        unknown_outputs: schema::output_names::<K>(),
    }
}

/// Plans one thing.
pub(crate) async fn plan<K: ResourceKind>(
    cx: &Context,
    wanted: &Parsed<K::Inputs>,
    known: &Known,
    request: &PlanResourceRequest,
) -> Result<PlanResourceResponse> {
    let prior = request.resource.as_ref().map(engine::read_prior::<K>).transpose()?;
    let inputs = &wanted.inputs;
    let seen = retrying(cx, async || K::observe(cx, inputs, prior.as_ref()).await).await?;
    let identity = serde_json::to_value(K::identity(inputs)).unwrap_or_default();
    let outputs = match &seen {
        Some(seen) => engine::outputs::<K>(inputs, &seen.facts)?,
        None => Object::new(),
    };
    let difference = match Difference::<K>::new(cx, wanted, seen.as_ref()) {
        Ok(difference) => difference,
        Err(refused) => return Ok(refusal::<K>(identity, outputs, &refused.to_string())),
    };
    let replaced = difference.needs_replacement();
    let is_there = seen.is_some();
    let mut changes = Vec::new();
    if let Some(mark) = &difference.mark {
        changes.push(adoption(mark.to_string()));
    }
    for step in difference.steps {
        if !is_there {
            changes.extend(all_inputs(&known.properties));
        } else if !known.unknown.contains(top(&step.path)) {
            changes.push(to_change(step));
        }
    }
    changes.extend(known.changes());
    let action = match (is_there, replaced, changes.is_empty()) {
        (false, ..) => Action::Create,
        (true, true, _) => Action::Refuse,
        (true, false, true) => Action::None,
        (true, false, false) => Action::Update,
    };
    let certain = if action == Action::None { outputs } else { K::predict(inputs) };
    Ok(PlanResourceResponse {
        identity,
        action,
        changes,
        unknown_outputs: schema::output_names::<K>()
            .into_iter()
            .filter(|name| !certain.contains_key(name))
            .collect(),
        output_properties: certain,
    })
}

fn refusal<K: ResourceKind>(identity: Value, outputs: Object, why: &str) -> PlanResourceResponse {
    PlanResourceResponse {
        identity,
        action: Action::Refuse,
        changes: vec![Change {
            path: String::new(),
            before: PlannedValue::Unknown,
            after: PlannedValue::Unknown,
            effect: Effect::InPlace,
            note: Some(why.to_owned()),
        }],
        unknown_outputs: schema::output_names::<K>()
            .into_iter()
            .filter(|name| !outputs.contains_key(name))
            .collect(),
        output_properties: outputs,
    }
}

fn adoption(mark: String) -> Change {
    Change {
        path: "/owner".to_owned(),
        before: PlannedValue::Unknown,
        after: PlannedValue::Known(Value::String(mark)),
        effect: Effect::InPlace,
        note: Some("it is there already, and is taken over".to_owned()),
    }
}

fn to_change<C>(step: Step<C>) -> Change {
    Change {
        path: step.path,
        before: step.before,
        after: step.after,
        effect: step.effect,
        note: step.note.or_else(|| step.unverifiable.map(ToOwned::to_owned)),
    }
}

/// A thing that isn't there yet: each input that is set is a change.
fn all_inputs(properties: &Object) -> Vec<Change> {
    inputs::without_nulls(properties)
        .into_iter()
        .map(|(name, value)| Change {
            path: format!("/{}", inputs::escape(&name)),
            before: PlannedValue::Known(Value::Null),
            after: PlannedValue::Known(value),
            effect: Effect::InPlace,
            note: None,
        })
        .collect()
}

fn top(pointer: &str) -> &str {
    pointer.split('/').nth(1).unwrap_or_default()
}
