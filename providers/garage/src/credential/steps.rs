//! How a key or token differs from what is wanted. Pure.

use nixops4_provider_sdk::kept::following;
use nixops4_provider_sdk::{Effect, Step, Value};
use nixops4_secrets_store::Generation;

use super::inputs::{Place, Wanted};
use super::{Credential, Facts};

/// One step, where it is kept.
#[derive(Debug, Clone)]
pub(crate) struct Change {
    pub(crate) place: Place,
    pub(crate) what: What,
}

/// What a step does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum What {
    /// Makes the value of this generation, or finishes that.
    Make(Generation),
    /// The value of what is there goes into the store.
    Keep,
    /// Sets whatever differs.
    Set,
    /// Those that are too old go.
    Prune,
    /// What can't be changed in place: the engine refuses it before this.
    Refused,
}

pub(super) fn difference<C: Credential>(want: &C::Inputs, have: &Facts<C>) -> Vec<Step<Change>> {
    let mut steps = moved(want, have);
    if steps.is_empty() {
        steps.extend(loose(have));
        // Before another one is made: a name that is taken is refused here.
        steps.extend(name(want, have));
        steps.extend(expiration(want, have));
        steps.extend(C::difference(want, have));
        steps.extend(due(want, have));
        steps.extend(prune(want, have));
    }
    let place = &have.place;
    steps
        .into_iter()
        .map(|step| with_place(step, place))
        .collect()
}

fn with_place(step: Step<What>, place: &Place) -> Step<Change> {
    Step {
        path: step.path,
        before: step.before,
        after: step.after,
        effect: step.effect,
        unverifiable: step.unverifiable,
        note: step.note,
        change: Change {
            place: place.clone(),
            what: step.change,
        },
    }
}

/// A secret that stands elsewhere than where it is wanted.
fn moved<C: Credential>(want: &C::Inputs, have: &Facts<C>) -> Vec<Step<What>> {
    let place = &have.place;
    // Unset, it is where the first name had put it.
    let name = want.secret_name().unwrap_or(&place.name);
    [
        ("/store", place.store.as_str(), want.store()),
        ("/secretName", place.name.as_str(), name.as_str()),
    ]
    .into_iter()
    .filter(|(_, have, want)| have != want)
    .map(|(path, have, want)| {
        refused(path, have, want).note(
            "a secret stays where it was made, and whoever uses it would be locked out; declare a \
             second one with another secret, move its users over, then remove this one; or set \
             the input back",
        )
    })
    .collect()
}

/// A step that can't be done.
pub(crate) fn refused(path: &str, have: &str, want: &str) -> Step<What> {
    Step::set(path, Value::known(have), Value::known(want), What::Refused).effect(Effect::Replace)
}

/// What is there without a value in the store.
fn loose<C: Credential>(have: &Facts<C>) -> Option<Step<What>> {
    let remote = have.loose.as_ref()?;
    let called = format!("{} {}", C::CALLED, remote.id);
    let place = have.place.name.as_str();
    if have.is_managed {
        let lost = match C::UNREADABLE {
            Some(_) => format!("delete {called}"),
            None => format!(
                "take the mark off the name of {called} and set `adopt = true`, to keep what the \
                 cluster has"
            ),
        };
        let refused = refused("/secretName", &called, place);
        return Some(refused.note(format!(
            "it is managed already, and its secret is kept elsewhere: say in store and secretName \
             where; if it is lost, {lost}"
        )));
    }
    if let Some(why) = C::UNREADABLE {
        let refused = refused("/name", &called, "one whose value is kept");
        return Some(refused.note(format!(
            "{why}; delete it, or choose another name for this one"
        )));
    }
    let before = Value::known(());
    Some(Step::set(
        "/secretName",
        before,
        Value::known(place),
        What::Keep,
    ))
}

/// Another value, because the author or a person asks for it, or because the one in
/// use isn't there.
fn due<C: Credential>(want: &C::Inputs, have: &Facts<C>) -> Option<Step<What>> {
    let newest = have.newest()?;
    let now = newest.generation();
    let to = |generation: Generation| {
        let (before, after) = (Value::known(now.get()), Value::known(generation.get()));
        Step::set("/generation", before, after, What::Make(generation))
    };
    let begun = || {
        let after = Value::known(now.get());
        Step::set("/generation", Value::known(()), after, What::Make(now))
    };
    if want.generation() > now {
        return Some(to(want.generation()));
    }
    if let Some(who) = have.kept.as_ref().and_then(|kept| kept.asked.as_ref()) {
        return Some(to(following(now)).note(format!("{who} asked for a new value")));
    }
    let (called, id) = (C::CALLED, newest.id());
    match &newest.remote {
        None if have.was_there || !C::STORED_FIRST => Some(to(following(now)).note(format!(
            "{called} {id} was deleted on the server, which never gives an id again: another \
                 one is made"
        ))),
        None => Some(begun().note(format!("{called} {id} is not on the server"))),
        Some(remote) if remote.title.making.is_some() => {
            Some(begun().note(format!("{called} {id} is not finished")))
        }
        Some(_) => None,
    }
}

fn name<C: Credential>(want: &C::Inputs, have: &Facts<C>) -> Option<Step<What>> {
    let wanted = want.name().as_str();
    let before = have.alive().find(|remote| remote.title.name != wanted)?;
    let before = Value::known(&before.title.name);
    Some(Step::set("/name", before, Value::known(wanted), What::Set))
}

fn expiration<C: Credential>(want: &C::Inputs, have: &Facts<C>) -> Option<Step<What>> {
    let wanted = want.expiration();
    let before = have.alive().find(|remote| remote.expiration != wanted)?;
    let before = Value::known(before.expiration);
    Some(Step::set(
        "/expiration",
        before,
        Value::known(wanted),
        What::Set,
    ))
}

/// Those that are too old, though no new one is made.
fn prune<C: Credential>(want: &C::Inputs, have: &Facts<C>) -> Option<Step<What>> {
    let keep = want.keep_generations();
    let older = have.held.len().saturating_sub(1);
    let too_old = have.held.iter().skip(1).skip(keep as usize);
    let gone: Vec<_> = too_old.map(|held| held.id().to_string()).collect();
    (!gone.is_empty()).then(|| {
        let called = C::CALLED;
        Step::set(
            "/keepGenerations",
            Value::known(older),
            Value::known(keep),
            What::Prune,
        )
        .effect(Effect::Disruptive)
        .note(format!("{called} {} is deleted", gone.join(", ")))
    })
}
