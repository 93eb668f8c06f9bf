//! What all places for state have in common: what a process remembers of one
//! between requests, and the order in which an event is appended to it.

use std::cell::RefCell;
use std::collections::HashMap;
use std::hash::Hash;
use std::rc::Rc;

use json_patch::Patch;
use nixops4_protocol::message::{HistoryEvent, StateResourceEvent};
use nixops4_provider_sdk::{Context, Error, Result};
use serde_json::Value;

use crate::log::{Event, Touch, View, refuse_overlap};

/// How much of a history one answer has in it, in bytes, if it is more than one event.
const ANSWER: i64 = 16 << 20;

/// The log of one deployment, open.
pub(crate) trait Log {
    /// Hands over the events from index `from` on, `limit` at most, one after the
    /// other: all together may be large.
    async fn each(
        &mut self,
        from: i64,
        limit: i64,
        take: &mut dyn FnMut(Event) -> Result<()>,
    ) -> Result<()>;

    /// How many of the events from index `from` on, of `limit`, have no more than
    /// `bytes` in them; 1 if already the first has more.
    async fn fitting(&mut self, from: i64, limit: i64, bytes: i64) -> Result<i64>;

    /// How many events there are.
    async fn length(&mut self) -> Result<i64>;

    /// Prepares for [`Self::each`] and then [`Self::insert`]. Where nobody else
    /// can write until then, no insertion finds its place taken.
    async fn begin(&mut self, cx: &Context) -> Result<()>;

    /// Appends an event behind all that [`Self::each`] has told. When this
    /// returns, it is there to stay.
    async fn insert(&mut self, cx: &Context, event: &Event) -> Result<Insertion>;

    /// The error for a deployment of which there are no events.
    fn no_state(&self) -> Error;
}

/// What came of inserting an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Insertion {
    /// It is there.
    Done,
    /// Somebody else's has that index.
    Taken,
}

/// What this process knows, by place.
pub(crate) struct KnownStates<I>(RefCell<HashMap<I, Known>>);

impl<I> Default for KnownStates<I> {
    fn default() -> Self {
        Self(RefCell::default())
    }
}

/// What this process knows of one state.
#[derive(Default)]
struct Known {
    /// The document, empty where it has to be read anew.
    view: View,
    /// How many events this process knows of.
    seen: i64,
    /// What others have changed since this process read the state; `None` if it
    /// never has.
    others: Option<Vec<Touch>>,
}

impl Known {
    fn read(view: View) -> Self {
        Self {
            seen: view.length(),
            view,
            others: Some(Vec::new()),
        }
    }

    /// Fails if the patch overlaps with what others have changed since this process
    /// read; `news` is what it did not know of yet.
    fn judge(&self, patch: &Patch, news: &[Touch]) -> Result<()> {
        match &self.others {
            Some(others) => refuse_overlap(patch, others.iter().chain(news)),
            None => Ok(()),
        }
    }

    fn put_back(&mut self, view: View, news: Vec<Touch>) {
        self.seen = view.length();
        self.view = view;
        if let Some(others) = &mut self.others {
            others.extend(news);
        }
    }
}

/// The whole document, which this process then knows.
pub(crate) async fn read<I: Clone + Eq + Hash + 'static>(
    cx: &Context,
    inputs: &I,
    log: &mut impl Log,
) -> Result<Rc<Value>> {
    let mut view = View::default();
    log.each(0, i64::MAX, &mut |event| view.take_in(event))
        .await?;
    if view.length() == 0 {
        return Err(log.no_state());
    }
    let document = Rc::clone(view.document());
    cx.session::<KnownStates<I>>()
        .0
        .borrow_mut()
        .insert(inputs.clone(), Known::read(view));
    Ok(document)
}

/// Some of the events, and how many there are.
pub(crate) async fn history(
    log: &mut impl Log,
    since: u64,
    limit: u64,
) -> Result<(Vec<HistoryEvent>, u64)> {
    let number = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
    let length = log.length().await?;
    if length == 0 {
        return Err(log.no_state());
    }
    let (since, limit) = (number(since), number(limit));
    let limit = log.fitting(since, limit, ANSWER).await?;
    let mut events = Vec::new();
    let mut take = |event| {
        events.push(HistoryEvent::from(event));
        Ok(())
    };
    log.each(since, limit, &mut take).await?;
    Ok((events, length.unsigned_abs()))
}

/// How many of the first have no more than `bytes` in all; 1 at least.
pub(crate) fn first_of(lengths: impl IntoIterator<Item = i64>, bytes: i64) -> i64 {
    let mut all = 0_i64;
    let fits = lengths.into_iter().take_while(|length| {
        all = all.saturating_add(*length);
        all <= bytes
    });
    i64::try_from(fits.count()).unwrap_or(i64::MAX).max(1)
}

/// Appends one event, unless it gets in the way of what others have appended
/// since this process read.
pub(crate) async fn append<I: Clone + Eq + Hash + 'static>(
    cx: &Context,
    inputs: &I,
    log: &mut impl Log,
    event: StateResourceEvent,
) -> Result<()> {
    let known = cx.session::<KnownStates<I>>();
    // What fails leaves the rest as it is: who was refused is refused again,
    // until they have read what others wrote.
    let (mut view, seen) = {
        let mut known = known.0.borrow_mut();
        let known = known.entry(inputs.clone()).or_default();
        (std::mem::take(&mut known.view), known.seen)
    };
    let mut next = Event::new(0, &event.event, &event.nixops_version, event.patch);
    loop {
        log.begin(cx).await?;
        let from = view.length();
        let mut news = Vec::new();
        let mut take = |event: Event| {
            if event.index >= seen {
                news.push(Touch::from(&event));
            }
            view.take_in(event)
        };
        log.each(from, i64::MAX, &mut take).await?;
        {
            let mut known = known.0.borrow_mut();
            let known = known.entry(inputs.clone()).or_default();
            known.judge(&next.patch, &news)?;
        }
        if view.length() == 0 {
            return Err(log.no_state());
        }
        next.index = view.length();
        view.append(next.patch.clone())?;
        cx.failpoint("state:checked");
        match log.insert(cx, &next).await? {
            Insertion::Done => {
                let mut known = known.0.borrow_mut();
                known
                    .entry(inputs.clone())
                    .or_default()
                    .put_back(view, news);
                return Ok(());
            }
            Insertion::Taken => {
                cx.checkpoint()?;
                // Ours is in it, and what came instead is not.
                view = View::default();
                next = next.now();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_many_as_fit_and_one_at_least() {
        for (lengths, expected) in [
            (&[1, 2, 3][..], 2),
            (&[1, 2], 2),
            (&[9, 1], 1),
            (&[], 1),
            (&[i64::MAX, i64::MAX], 1),
        ] {
            assert_eq!(first_of(lengths.iter().copied(), 5), expected);
        }
    }
}
