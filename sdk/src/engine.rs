//! The order of things, the same for every kind.
//!
//! Validate the inputs, observe, refuse what is foreign, diff, refuse a
//! replacement, apply each step, observe again: nothing may be left but what
//! can't be verified. Create and update both run it, so both are idempotent and
//! both repair drift. What fails because the server is busy, or because somebody
//! was quicker, begins again with observing.

use nixops4_protocol::Object;
use nixops4_protocol::message::{Effect, ExtantResource, ListedResource, PlannedValue};
use serde_json::{Value, json};

use crate::context::Context;
use crate::error::{Error, Result, shortened};
use crate::failpoint;
use crate::inputs::{self, Parsed, RecordedCommon};
use crate::kind::{DeletionPolicy, Observed, Ownership, ResourceKind, Step};
use crate::mark::Mark;
use crate::retry::retrying;
use crate::typed;

/// Makes the thing as it is wanted, whatever is there; gives its outputs.
pub(crate) async fn ensure<K: ResourceKind>(
    cx: &Context,
    wanted: &Parsed<K::Inputs>,
    recorded: Option<&ExtantResource>,
) -> Result<Object> {
    let prior = recorded.map(read_prior::<K>).transpose()?;
    retrying(cx, async || converge::<K>(cx, wanted, prior.as_ref()).await).await
}

async fn converge<K: ResourceKind>(
    cx: &Context,
    wanted: &Parsed<K::Inputs>,
    prior: Option<&K::Prior>,
) -> Result<Object> {
    let inputs = &wanted.inputs;
    let seen = K::observe(cx, inputs, prior).await?;
    cx.found(seen.as_ref().map(|seen| &seen.ownership));
    cx.failpoint("engine:observed");
    let difference = Difference::<K>::new(cx, wanted, seen.as_ref())?;
    difference.refuse_replacement(inputs)?;
    if difference.is_empty() {
        return match &seen {
            Some(seen) => outputs::<K>(inputs, &seen.facts),
            None => Err(bug::<K>("it has no step that creates what isn't there")),
        };
    }
    if let (Some(taking), Some(seen)) = (&difference.taking, &seen) {
        cx.checkpoint()?;
        K::write_mark(cx, inputs, &seen.facts, &taking.mark).await?;
        // The steps write the same one, with the same time in it.
        cx.found(Some(&Ownership::Marked(taking.mark.clone())));
        cx.failpoint("engine:marked");
    }
    for (number, step) in difference.steps.into_iter().enumerate() {
        cx.checkpoint()?;
        tracing::debug!(path = step.path, "{:?}", step.effect);
        K::apply(cx, inputs, step.change).await?;
        failpoint::reach("engine:applied", Some(number));
    }
    let seen = verify::<K>(cx, wanted, prior).await?;
    cx.failpoint("engine:verified");
    outputs::<K>(inputs, &seen.facts)
}

/// What is to be done about one thing.
pub(crate) struct Difference<K: ResourceKind> {
    /// What is there gets another mark first.
    pub(crate) taking: Option<Taking>,
    /// The steps.
    pub(crate) steps: Vec<Step<K::Change>>,
}

/// A thing that is there is adopted, or comes back into service.
pub(crate) struct Taking {
    /// The mark to write.
    pub(crate) mark: Mark,
    /// The mark that is there.
    pub(crate) from: Option<Mark>,
}

impl<K: ResourceKind> Difference<K> {
    /// Compares; fails if what is there is foreign.
    pub(crate) fn new(
        cx: &Context,
        wanted: &Parsed<K::Inputs>,
        seen: Option<&Observed<K::Facts>>,
    ) -> Result<Self> {
        let taking = match seen {
            Some(seen) => taking_over::<K>(cx, wanted, &seen.ownership)?,
            None => None,
        };
        let steps = K::diff(&wanted.inputs, seen.map(|seen| &seen.facts));
        Ok(Self { taking, steps })
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.taking.is_none() && self.steps.is_empty()
    }

    pub(crate) fn needs_replacement(&self) -> bool {
        self.steps.iter().any(|step| step.effect == Effect::Replace)
    }

    fn refuse_replacement(&self, inputs: &K::Inputs) -> Result<()> {
        let Some(step) = self
            .steps
            .iter()
            .find(|step| step.effect == Effect::Replace)
        else {
            return Ok(());
        };
        let error = Error::input(
            &step.path,
            format!(
                "{} can't be changed from {} to {} in place",
                K::identity(inputs),
                show(&step.before),
                show(&step.after)
            ),
        );
        Err(error.hint(step.note.as_deref().unwrap_or(INSTEAD_OF_REPLACING)))
    }
}

/// What to do about a change that only a replacement could make, unless the kind
/// knows better.
pub(crate) const INSTEAD_OF_REPLACING: &str = "to replace it on purpose, declare a new one beside \
     it, move what it holds, and remove this one; or set the input back";

/// The mark to write on a thing that is there, if it needs another one; refuses
/// a thing that isn't ours.
fn taking_over<K: ResourceKind>(
    cx: &Context,
    wanted: &Parsed<K::Inputs>,
    ownership: &Ownership,
) -> Result<Option<Taking>> {
    let (from, whose) = match ownership {
        Ownership::Relation => return Ok(None),
        Ownership::Marked(mark) | Ownership::Defaced(mark) if mark.is_of_same(&cx.mark()) => {
            // Declared again after it was retained: it is ours to take back.
            let needed = mark.retained_since.is_some() || is_defaced(ownership);
            return Ok(needed.then(|| Taking {
                mark: cx.mark(),
                from: Some(mark.clone()),
            }));
        }
        Ownership::Marked(mark) | Ownership::Defaced(mark) => (
            Some(mark.clone()),
            format!("it is marked as {}", whose(cx, mark)),
        ),
        Ownership::Unmarked => (None, "it carries no mark".to_owned()),
    };
    if wanted.common.adopt {
        let mark = cx.mark();
        return Ok(Some(Taking { mark, from }));
    }
    Err(Error::input(
        "/adopt",
        format!(
            "{} is there already and is no {} of {:?}: {whose}",
            K::identity(&wanted.inputs),
            K::TYPE,
            cx.owner().as_str()
        ),
    )
    .hint("set `adopt = true` to take it over, or choose another name"))
}

fn is_defaced(ownership: &Ownership) -> bool {
    matches!(ownership, Ownership::Defaced(_))
}

/// Says of a mark of somebody else whose it is.
fn whose(cx: &Context, mark: &Mark) -> String {
    match &mark.resource_type {
        Some(resource_type) if mark.owner == *cx.owner() => {
            format!("part of a {resource_type} of the same deployment")
        }
        _ => format!("that of {:?}", mark.owner.as_str()),
    }
}

/// Observes what was made, and fails if it isn't what was wanted.
async fn verify<K: ResourceKind>(
    cx: &Context,
    wanted: &Parsed<K::Inputs>,
    prior: Option<&K::Prior>,
) -> Result<Observed<K::Facts>> {
    let name = K::identity(&wanted.inputs);
    let vanished = || {
        Error::new(format!("{name} is gone again right after it was made"))
            .hint("see who else changes it, then apply again")
    };
    let seen = K::observe(cx, &wanted.inputs, prior)
        .await?
        .ok_or_else(vanished)?;
    let left = Difference::<K>::new(cx, wanted, Some(&seen))?;
    if left.taking.is_some() && is_defaced(&seen.ownership) && !seen.ownership.is_retained() {
        // Whose it is, is certain all the same.
        tracing::warn!("somebody changes the mark of {name} again and again");
    } else if left.taking.is_some() {
        return Err(Error::new(format!(
            "{name} does not carry our mark after it was written"
        ))
        .hint("see who else changes its comment, then apply again"));
    }
    match left.steps.iter().find(|step| step.unverifiable.is_none()) {
        None => Ok(seen),
        Some(step) => Err(Error::input(
            &step.path,
            format!(
                "{name} still has {} here after it was set to {}",
                show(&step.before),
                show(&step.after)
            ),
        )
        .hint(
            "see who else changes it, or whether the server ignores this setting; then apply again",
        )),
    }
}

/// Reads a thing as it is.
pub(crate) async fn read<K: ResourceKind>(
    cx: &Context,
    wanted: &Parsed<K::Inputs>,
    recorded: Option<&ExtantResource>,
) -> Result<Option<Object>> {
    let prior = recorded.map(read_prior::<K>).transpose()?;
    let seen = retrying(cx, async || {
        K::observe(cx, &wanted.inputs, prior.as_ref()).await
    })
    .await?;
    seen.map(|seen| outputs::<K>(&wanted.inputs, &seen.facts))
        .transpose()
}

/// Lists what carries the owner's mark.
pub(crate) async fn list<K: ResourceKind>(
    cx: &Context,
    wanted: &Parsed<K::Inputs>,
) -> Result<Vec<ListedResource>> {
    let found = retrying(cx, async || {
        // What an earlier try could not look into, this one may.
        cx.take_unseen();
        K::list(cx, &wanted.inputs).await
    })
    .await?;
    Ok(found
        .into_iter()
        .map(|thing| ListedResource {
            identity: thing.identity,
            mark: thing.mark.to_string(),
            facts: thing.facts,
        })
        .collect())
}

/// What of a record the engine needs to destroy the thing.
pub(crate) fn recorded_common(resource: &ExtantResource) -> Result<RecordedCommon> {
    inputs::read(&resource.input_properties).map_err(unreadable_record)
}

/// Removes or retires what was recorded. What is gone already is no error.
pub(crate) async fn destroy<K: ResourceKind>(
    cx: &Context,
    resource: &ExtantResource,
    policy: Option<DeletionPolicy>,
) -> Result<()> {
    let prior = read_prior::<K>(resource)?;
    let policy = policy.unwrap_or(K::DELETION_POLICY);
    retrying(cx, async || remove::<K>(cx, &prior, policy).await).await
}

async fn remove<K: ResourceKind>(
    cx: &Context,
    prior: &K::Prior,
    policy: DeletionPolicy,
) -> Result<()> {
    let Some(seen) = K::observe_recorded(cx, prior).await? else {
        return Ok(());
    };
    cx.failpoint("engine:found");
    refuse_to_remove_foreign::<K>(cx, prior, &seen.ownership)?;
    cx.checkpoint()?;
    match K::deletion(&seen.facts, policy)? {
        DeletionPolicy::Delete => {
            K::delete(cx, prior, &seen.facts).await?;
            cx.failpoint("engine:deleted");
            match K::observe_recorded(cx, prior).await? {
                None => Ok(()),
                Some(_) => Err(Error::new(format!(
                    "{} is still there after it was deleted",
                    K::recorded_identity(prior)?
                ))
                .hint("see who makes it again, then destroy it again")),
            }
        }
        DeletionPolicy::Retain if seen.ownership.is_retained() => Ok(()),
        DeletionPolicy::Retain => {
            cx.found(Some(&seen.ownership));
            let mark = cx.mark().retained_now();
            K::retain(cx, prior, &seen.facts, &mark).await?;
            cx.failpoint("engine:retained");
            match K::observe_recorded(cx, prior).await? {
                Some(seen) if !may_be_retained(&seen.ownership) => Err(Error::new(format!(
                    "{} is not marked as retained after that was written",
                    K::recorded_identity(prior)?
                ))
                .hint("see who else changes its comment, then destroy it again")),
                // Gone altogether: somebody else wanted it removed.
                _ => Ok(()),
            }
        }
    }
}

/// What stands in the way of [`destroy`], or goes along, each in the words of an error.
pub(crate) async fn plan_destroy<K: ResourceKind>(
    cx: &Context,
    resource: &ExtantResource,
    policy: Option<DeletionPolicy>,
) -> Result<Vec<String>> {
    let prior = read_prior::<K>(resource)?;
    let policy = policy.unwrap_or(K::DELETION_POLICY);
    retrying(cx, async || warnings::<K>(cx, &prior, policy).await).await
}

async fn warnings<K: ResourceKind>(
    cx: &Context,
    prior: &K::Prior,
    policy: DeletionPolicy,
) -> Result<Vec<String>> {
    let Some(seen) = K::observe_recorded(cx, prior).await? else {
        return Ok(Vec::new());
    };
    let allowed = refuse_to_remove_foreign::<K>(cx, prior, &seen.ownership)
        .and_then(|()| K::deletion(&seen.facts, policy));
    let found = match allowed {
        Err(refused) => vec![refused],
        Ok(DeletionPolicy::Retain) if seen.ownership.is_retained() => Vec::new(),
        Ok(policy) => K::foresee_removal(cx, prior, &seen.facts, policy).await?,
    };
    Ok(found.iter().map(ToString::to_string).collect())
}

fn may_be_retained(ownership: &Ownership) -> bool {
    *ownership == Ownership::Relation || ownership.is_retained()
}

fn refuse_to_remove_foreign<K: ResourceKind>(
    cx: &Context,
    prior: &K::Prior,
    ownership: &Ownership,
) -> Result<()> {
    let whose = match ownership {
        Ownership::Relation => return Ok(()),
        whose if whose.is_of_same(&cx.mark()) => return Ok(()),
        Ownership::Marked(mark) | Ownership::Defaced(mark) => {
            format!("it is marked as {}", whose(cx, mark))
        }
        Ownership::Unmarked => "it carries no mark any more".to_owned(),
    };
    Err(Error::new(format!(
        "{} is not destroyed, because it is not {:?}'s: {whose}",
        K::recorded_identity(prior)?,
        cx.owner().as_str()
    ))
    .hint("remove it by hand if it has to go, or only forget it in the state"))
}

/// Reads what was recorded as the kind's `Prior`.
pub(crate) fn read_prior<K: ResourceKind>(resource: &ExtantResource) -> Result<K::Prior> {
    let record = json!({
        "inputs": resource.input_properties,
        "outputs": resource.output_properties.clone().unwrap_or_default(),
    });
    let fields = record.as_object().into_iter().flatten();
    typed::read(fields, &[]).map_err(unreadable_record)
}

fn unreadable_record(error: Error) -> Error {
    Error::new("what was recorded of this resource can't be read")
        .because(error.without_hint())
        .hint("the state was written by another program or edited; mend the named field there")
}

pub(crate) fn identity<K: ResourceKind>(inputs: &K::Inputs) -> Result<Value> {
    serde_json::to_value(K::identity(inputs))
        .map_err(|error| bug::<K>("its identity can't be sent").because(error))
}

pub(crate) fn outputs<K: ResourceKind>(inputs: &K::Inputs, facts: &K::Facts) -> Result<Object> {
    match serde_json::to_value(K::outputs(inputs, facts)) {
        Ok(Value::Object(outputs)) => Ok(outputs),
        Ok(_) => Err(bug::<K>("its outputs are not an object")),
        Err(error) => Err(bug::<K>("its outputs can't be sent").because(error)),
    }
}

fn bug<K: ResourceKind>(what: &str) -> Error {
    Error::new(format!("the kind {} has a bug: {what}", K::TYPE))
        .hint("report it with the version of the provider")
}

fn show(value: &PlannedValue) -> String {
    match value {
        PlannedValue::Known(value) => shortened(&value.to_string(), typed::SHOWN),
        PlannedValue::Unknown => "(unknown)".to_owned(),
        PlannedValue::Sensitive => "(sensitive)".to_owned(),
    }
}

#[cfg(test)]
mod tests;
