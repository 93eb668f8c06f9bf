//! When another value is made, and what is refused. Pure.

use nixops4_provider_sdk::kept::following;
use nixops4_provider_sdk::{Effect, Step, Value};
use serde_json::json;
use time::format_description::well_known::Rfc3339;

use super::inputs::Place;
use super::lookup::Facts;
use super::{Change, Keeps};

/// In what a value doesn't fit what is wanted.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Misfit {
    /// JSON pointer to the input.
    pub(crate) path: String,
    pub(crate) before: serde_json::Value,
    pub(crate) after: serde_json::Value,
    pub(crate) remedy: Remedy,
    pub(crate) note: Option<String>,
}

/// What is done about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Remedy {
    /// Another value is made.
    Renew,
    /// Another value is made, with a new key.
    RenewAfresh,
    /// The author has to ask for another value: who uses it would be surprised.
    Refuse,
}

impl Misfit {
    pub(crate) fn new(
        path: impl Into<String>,
        before: impl Into<serde_json::Value>,
        after: impl Into<serde_json::Value>,
        remedy: Remedy,
    ) -> Self {
        Self {
            path: path.into(),
            before: before.into(),
            after: after.into(),
            remedy,
            note: None,
        }
    }

    pub(crate) fn note(self, note: impl Into<String>) -> Self {
        Self {
            note: Some(note.into()),
            ..self
        }
    }
}

/// A step, while the generation that it makes isn't decided.
struct Due {
    misfit: Misfit,
    afresh: bool,
}

pub(super) fn difference<K: Keeps>(
    want: &K::Inputs,
    have: &Facts<K::Public, K::Sources>,
) -> Vec<Step<Change>> {
    let moved = moved(want, have);
    if !moved.is_empty() {
        return moved;
    }
    let mut due: Vec<Due> = on_purpose(want, have).into_iter().collect();
    let misfits = K::misfits(want, &have.current, &have.sources, have.now);
    for misfit in misfits {
        if misfit.remedy == Remedy::Refuse {
            // With a new value on its way, it will fit.
            if due.is_empty() {
                return vec![refusal(misfit, have)];
            }
            continue;
        }
        let afresh = misfit.remedy == Remedy::RenewAfresh;
        due.push(Due { misfit, afresh });
    }
    let afresh = due.iter().any(|due| due.afresh);
    let next = want.generation().max(following(have.current.generation));
    due.into_iter()
        .map(|due| {
            let Misfit {
                path,
                before,
                after,
                note,
                ..
            } = due.misfit;
            let step = Step::set(
                &path,
                Value::known(before),
                Value::known(after),
                Change::Make {
                    generation: next,
                    afresh,
                },
            );
            match note {
                Some(note) => step.note(note),
                None => step,
            }
        })
        .collect()
}

/// A new value because the author, a person or the calendar asks for it.
fn on_purpose<P, S>(want: &impl Place, have: &Facts<P, S>) -> Option<Due> {
    let current = &have.current;
    let due = |misfit| {
        Some(Due {
            misfit,
            afresh: true,
        })
    };
    let next = json!(following(current.generation).get());
    let now = json!(current.generation.get());
    if want.generation() > current.generation {
        let wanted = want.generation().get();
        return due(Misfit::new("/generation", now, wanted, Remedy::RenewAfresh));
    }
    if let Some(who) = &have.asked {
        return due(Misfit::new("/generation", now, next, Remedy::RenewAfresh)
            .note(format!("{who} asked for a new value")));
    }
    let after = want.rotate_after()?;
    if have.now - current.created_at < after.duration() {
        return None;
    }
    let made = current.created_at.format(&Rfc3339).unwrap_or_default();
    due(
        Misfit::new("/rotateAfter", now, next, Remedy::RenewAfresh).note(format!(
            "generation {} was made on {made}, more than {after} ago: another one is due",
            current.generation
        )),
    )
}

/// A secret that stands elsewhere than where it is wanted.
fn moved<P, S>(want: &impl Place, have: &Facts<P, S>) -> Vec<Step<Change>> {
    [
        ("/store", have.store.as_str(), want.store()),
        ("/name", have.name.as_str(), want.name().as_str()),
    ]
    .into_iter()
    .filter(|(_, have, want)| have != want)
    .map(|(path, have, want)| {
        Step::set(
            path,
            Value::known(have),
            Value::known(want),
            Change::Refused,
        )
        .effect(Effect::Replace)
        .note(
            "a secret stays where it was made, and whoever uses it would be locked out; \
                 declare a second one under the new name, move its users over, then remove \
                 this one; or set the input back",
        )
    })
    .collect()
}

fn refusal<P, S>(misfit: Misfit, have: &Facts<P, S>) -> Step<Change> {
    let next = following(have.current.generation);
    Step::set(
        &misfit.path,
        Value::known(misfit.before),
        Value::known(misfit.after),
        Change::Refused,
    )
    .effect(Effect::Replace)
    .note(format!(
        "whoever uses it has the one that is there; for another one, set `generation` to {next}, \
         or set the input back"
    ))
}
