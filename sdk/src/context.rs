//! What a kind is given beside its inputs: whose work it does, until when, the
//! secrets, and whatever the process keeps between requests.

use std::any::{Any, TypeId};
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use nixops4_protocol::message::UnseenPlace;
use secrecy::SecretString;
use time::OffsetDateTime;

use crate::clock::Clock;
use crate::error::{Error, Result};
use crate::failpoint;
use crate::kind::{Owner, Ownership};
use crate::mark::Mark;
use crate::secret::{self, SecretRef};
use crate::slot::{Alone, Slot};

/// What a process keeps from one request to the next, by type.
#[derive(Default, Clone)]
pub(crate) struct Sessions {
    kept: Rc<RefCell<ByType>>,
    while_busy: Rc<RefCell<ByType>>,
    slot: Rc<RefCell<Option<Slot>>>,
}

type ByType = HashMap<TypeId, Rc<dyn Any>>;

impl Sessions {
    /// Whether there is anything that others may be waiting for.
    pub(crate) fn holds_connections(&self) -> bool {
        !self.while_busy.borrow().is_empty() || self.slot.borrow().is_some()
    }

    /// Lets go of what others may be waiting for.
    pub(crate) fn release_connections(&self) {
        self.while_busy.borrow_mut().clear();
        self.slot.borrow_mut().take();
    }

    /// Whether another process waits for what this one holds.
    pub(crate) fn are_waited_for(&self) -> bool {
        self.slot.borrow().as_ref().is_some_and(Slot::is_waited_for)
    }

    /// Whether this one has held it long enough while another was waiting.
    pub(crate) fn are_anothers_turn(&self) -> bool {
        let slot = self.slot.borrow();
        slot.as_ref().is_some_and(Slot::is_anothers_turn)
    }

    fn has_slot(&self, server: &str) -> bool {
        let slot = self.slot.borrow();
        slot.as_ref().is_some_and(|slot| slot.server == server)
    }
}

/// The surroundings of one request.
pub struct Context {
    owner: Owner,
    resource_type: &'static str,
    /// Since when the thing that was found is managed.
    managed_since: Cell<Option<OffsetDateTime>>,
    /// What a list could not look into.
    unseen: RefCell<Vec<UnseenPlace>>,
    /// Whether this is a plan: nothing is changed.
    planning: Cell<bool>,
    clock: Rc<Clock>,
    interrupted: Arc<AtomicBool>,
    sessions: Sessions,
}

impl Context {
    pub(crate) fn new(
        owner: Owner,
        resource_type: &'static str,
        clock: Rc<Clock>,
        interrupted: Arc<AtomicBool>,
        sessions: Sessions,
    ) -> Self {
        Self {
            owner,
            resource_type,
            managed_since: Cell::new(None),
            unseen: RefCell::default(),
            planning: Cell::new(false),
            clock,
            interrupted,
            sessions,
        }
    }

    /// The deployment for which this is done.
    #[must_use]
    pub fn owner(&self) -> &Owner {
        &self.owner
    }

    /// The resource type that is managed: that of a kind which is made of others, and
    /// not theirs.
    #[must_use]
    pub fn resource_type(&self) -> &'static str {
        self.resource_type
    }

    /// The mark that the thing has to carry: a new one, or that of what was
    /// found.
    #[must_use]
    pub fn mark(&self) -> Mark {
        let mark = Mark::new(self.owner.clone(), self.resource_type);
        match self.managed_since.get() {
            Some(since) => Mark {
                since: Some(since),
                ..mark
            },
            None => mark,
        }
    }

    /// Whether nothing is to be changed but looked at and told of: what somebody who
    /// plans should know is told then, by `tracing::warn!`.
    #[must_use]
    pub fn is_plan(&self) -> bool {
        self.planning.get()
    }

    pub(crate) fn begin_plan(&self) {
        self.planning.set(true);
    }

    /// Takes note of whose the thing is that was found, or that there is none.
    pub(crate) fn found(&self, ownership: Option<&Ownership>) {
        self.managed_since
            .set(match ownership.and_then(Ownership::mark) {
                Some(mark) if mark.owner == self.owner => mark.since,
                _ => None,
            });
    }

    /// Says where [`list`](crate::kind::ResourceKind::list) could not look: what is
    /// there is not known, and whoever asked is told so.
    pub fn could_not_look(&self, place: impl Into<String>, reason: impl Into<String>) {
        self.unseen.borrow_mut().push(UnseenPlace {
            place: place.into(),
            reason: reason.into(),
        });
    }

    pub(crate) fn take_unseen(&self) -> Vec<UnseenPlace> {
        self.unseen.take()
    }

    /// Fetches a secret. `pointer` is where its reference stands in the inputs.
    pub async fn secret(&self, reference: &SecretRef, pointer: &str) -> Result<SecretString> {
        secret::resolve(reference, self.owner.as_str())
            .await
            .map_err(|error| error.within(pointer))
    }

    /// The one `T` that this process keeps between requests.
    ///
    /// Take out of it what is in use, and put that back when it is whole: a step
    /// that fails, runs out of time or panics then leaves nothing half done
    /// behind for the next request.
    #[must_use]
    pub fn session<T: Default + 'static>(&self) -> Rc<T> {
        of_type(&self.sessions.kept)
    }

    /// The one `T` that this process keeps between requests that follow one
    /// another: what a server has only so many of, such as its connections. It
    /// is dropped when no request comes for a moment, because others may be
    /// waiting. Otherwise as [`Self::session`].
    #[must_use]
    pub fn connections<T: Default + 'static>(&self) -> Rc<T> {
        of_type(&self.sessions.while_busy)
    }

    /// Waits until this process may be busy with `server`, such as
    /// `postgresql db:5432`: only so many on this machine are at once. The time
    /// that it waits isn't the request's. What it has kept of another server is
    /// let go of first. Resolve secrets before: nobody should queue behind them.
    pub async fn slot(&self, server: &str) -> Result<()> {
        if self.sessions.has_slot(server) {
            return Ok(());
        }
        self.sessions.release_connections();
        let queue = Slot::take(server, || self.checkpoint());
        let slot = self.clock.stopped(queue).await?;
        *self.sessions.slot.borrow_mut() = Some(slot);
        Ok(())
    }

    /// Waits until no other process of this machine does `what`, such as
    /// `garage 127.0.0.1:3903 stand-in of shop`, and keeps them out as long as the
    /// result lives. Have the slot of the server before, and hold one at a time.
    pub async fn alone(&self, what: &str) -> Result<Alone> {
        Alone::take(&format!("alone {what}"), || self.checkpoint()).await
    }

    /// How long this request may still take.
    #[must_use]
    pub fn time_left(&self) -> Duration {
        self.clock.left()
    }

    /// Fails if the request is to be given up: call it before each step that
    /// changes something.
    pub fn checkpoint(&self) -> Result<()> {
        if self.is_interrupted() {
            return Err(Error::new("interrupted before everything was done")
                .hint("what was done stays; the next apply goes on from there"));
        }
        if self.time_left().is_zero() {
            return Err(
                Error::new("the time for this request is over before everything was done").hint(
                    format!(
                        "what was done stays; apply again, or give it more time with {} (seconds)",
                        crate::serve::TIMEOUT_VARIABLE
                    ),
                ),
            );
        }
        Ok(())
    }

    pub(crate) fn is_interrupted(&self) -> bool {
        self.interrupted.load(Ordering::Relaxed)
    }

    /// A place where tests can kill the process. `name` is unique in the
    /// provider, such as `database:created`.
    #[inline]
    pub fn failpoint(&self, name: &str) {
        failpoint::reach(name, None);
    }
}

fn of_type<T: Default + 'static>(sessions: &RefCell<ByType>) -> Rc<T> {
    let mut sessions = sessions.borrow_mut();
    let session = sessions
        .entry(TypeId::of::<T>())
        .or_insert_with(|| Rc::new(T::default()));
    Rc::clone(session).downcast().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use crate::model::cx;

    #[test]
    fn a_session_is_kept_by_type() {
        let cx = cx();
        cx.session::<Cell<u8>>().set(1);
        assert_eq!(cx.session::<Cell<u8>>().get(), 1);
        assert_eq!(cx.session::<Cell<u16>>().get(), 0);
    }
}
