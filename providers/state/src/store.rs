//! What all places for state have in common: what a process remembers of one
//! between requests, and the order in which an event is appended to it.

use std::cell::RefCell;
use std::collections::HashMap;
use std::hash::Hash;

use json_patch::Patch;
use nixops4_protocol::message::{HistoryEvent, StateResourceEvent};
use nixops4_provider_sdk::{Context, Error, Result};
use serde_json::Value;

use crate::log::{Event, View, refuse_overlap};

/// The log of one deployment, open.
pub(crate) trait Log {
    /// The events from index `from` on, `limit` at most.
    async fn since(&mut self, from: i64, limit: i64) -> Result<Vec<Event>>;

    /// How many events there are.
    async fn length(&mut self) -> Result<i64>;

    /// Prepares for [`Self::since`] and then [`Self::insert`]. Where nobody else
    /// can write until then, no insertion finds its place taken.
    async fn begin(&mut self, cx: &Context) -> Result<()>;

    /// Appends an event behind all that [`Self::since`] has told. When this
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
    /// What others have appended since this process read the state; `None` if it
    /// never has.
    others: Option<Vec<Event>>,
}

impl Known {
    fn read(view: View) -> Self {
        Self {
            seen: view.length(),
            view,
            others: Some(Vec::new()),
        }
    }

    /// Fails if the patch overlaps with what others have appended since this
    /// process read; gives what is new of that.
    fn judge(&self, patch: &Patch, events: &[Event]) -> Result<Vec<Event>> {
        let Some(others) = &self.others else {
            return Ok(Vec::new());
        };
        let news = events.iter().filter(|event| event.index >= self.seen);
        refuse_overlap(patch, others.iter().chain(news.clone()))?;
        Ok(news.cloned().collect())
    }

    fn put_back(&mut self, view: View, news: Vec<Event>) {
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
) -> Result<Value> {
    let mut view = View::default();
    view.take_in(log.since(0, i64::MAX).await?)?;
    if view.length() == 0 {
        return Err(log.no_state());
    }
    let document = view.document().clone();
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
    let events = log.since(number(since), number(limit)).await?;
    let events = events.into_iter().map(HistoryEvent::from).collect();
    Ok((events, length.unsigned_abs()))
}

/// Appends one event, unless it gets in the way of what others have appended
/// since this process read.
pub(crate) async fn append<I: Clone + Eq + Hash + 'static>(
    cx: &Context,
    inputs: &I,
    log: &mut impl Log,
    event: &StateResourceEvent,
) -> Result<()> {
    let known = cx.session::<KnownStates<I>>();
    // What fails leaves the rest as it is: who was refused is refused again,
    // until they have read what others wrote.
    let mut view = {
        let mut known = known.0.borrow_mut();
        std::mem::take(&mut known.entry(inputs.clone()).or_default().view)
    };
    loop {
        log.begin(cx).await?;
        let events = log.since(view.length(), i64::MAX).await?;
        let news = {
            let mut known = known.0.borrow_mut();
            let known = known.entry(inputs.clone()).or_default();
            known.judge(&event.patch, &events)?
        };
        view.take_in(events)?;
        if view.length() == 0 {
            return Err(log.no_state());
        }
        let index = view.length();
        view.append(&event.patch)?;
        cx.failpoint("state:checked");
        let next = Event::new(index, &event.event, &event.nixops_version, &event.patch);
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
            }
        }
    }
}
