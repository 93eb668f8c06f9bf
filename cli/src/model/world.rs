//! A server with things, a place that keeps state, and the providers of both.
//!
//! Whatever somebody else does takes steps, and at each of them a command may be
//! killed or interrupted, and a provider may end, before or after it has done
//! what it was asked. What a provider was asked by a command that is killed may
//! still be done.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::fmt;
use std::rc::Rc;
use std::time::Duration;

use futures_util::future::{FutureExt as _, LocalBoxFuture};
use futures_util::stream::{self, StreamExt as _};
use nixops4_protocol::client::{ClientError, ProviderCommand};
use nixops4_protocol::describe::Description;
use nixops4_protocol::message::{Request, Response};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use serde_json::Value;
use tokio::sync::Notify;

use crate::apply::Signals;
use crate::providers::{Link, Source};

mod kinds;
mod server;

pub(super) use kinds::{KIND, STATE_KIND, compiled};
pub(super) use server::Thing;

use kinds::DESCRIPTION;
use server::Server;

struct Inner {
    server: Server,
    random: StdRng,
    /// Of a hundred requests, how many lose their provider or are refused.
    trouble: u32,
}

/// The world.
#[derive(Clone)]
pub(super) struct World(Rc<RefCell<Inner>>);

impl fmt::Display for World {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let things = self.things();
        write!(
            f,
            "there is {things:#?}, and recorded {:#}",
            self.document()
        )
    }
}

impl World {
    pub(super) fn new(seed: u64) -> Self {
        Self(Rc::new(RefCell::new(Inner {
            server: Server::new(),
            random: StdRng::seed_from_u64(!seed),
            trouble: 0,
        })))
    }

    pub(super) fn things(&self) -> BTreeMap<String, Thing> {
        self.0.borrow().server.things.clone()
    }

    pub(super) fn document(&self) -> Value {
        self.0.borrow().server.document.clone()
    }

    /// Nothing goes wrong any more.
    pub(super) fn calm(&self) {
        self.trouble(0);
    }

    /// So many of a hundred requests go wrong.
    pub(super) fn trouble(&self, of_a_hundred: u32) {
        self.0.borrow_mut().trouble = of_a_hundred;
    }

    fn below(&self, bound: u32) -> u32 {
        self.0.borrow_mut().random.random_range(0..bound)
    }

    fn is_troubled(&self) -> bool {
        let trouble = self.0.borrow().trouble;
        self.below(100) < trouble
    }
}

/// One run of the command, as the world sees it.
pub(super) struct Client {
    world: World,
    /// How many steps it takes before it is killed.
    life: Cell<Option<u64>>,
    /// How many before somebody presses Ctrl-C, and again.
    interrupted: Cell<Option<u64>>,
    death: Notify,
    interrupts: Notify,
}

impl Client {
    pub(super) fn new(world: &World, life: Option<u64>, interrupted: Option<u64>) -> Rc<Self> {
        Rc::new(Self {
            world: world.clone(),
            life: Cell::new(life),
            interrupted: Cell::new(interrupted),
            death: Notify::new(),
            interrupts: Notify::new(),
        })
    }

    /// How many resources it works on at once.
    pub(super) fn parallel(&self) -> usize {
        1 + self.world.below(6) as usize
    }

    /// When it is killed.
    pub(super) async fn killed(&self) {
        self.death.notified().await;
    }

    /// When somebody presses Ctrl-C.
    pub(super) fn signals(self: &Rc<Self>) -> Signals {
        let pressed = stream::unfold(Rc::clone(self), async |client| {
            client.interrupts.notified().await;
            Some(((), client))
        });
        Signals::from(pressed.boxed_local())
    }

    /// Something goes on, and others with it.
    pub(super) async fn step(&self) {
        match self.life.get() {
            Some(0) => {
                self.death.notify_one();
                std::future::pending::<()>().await;
            }
            life => self.life.set(life.map(|steps| steps - 1)),
        }
        match self.interrupted.get() {
            Some(0) => {
                self.interrupts.notify_one();
                let again = (self.world.below(3) == 0).then_some(1);
                self.interrupted.set(again);
            }
            interrupted => self.interrupted.set(interrupted.map(|steps| steps - 1)),
        }
        for _ in 0..self.world.below(3) {
            tokio::task::yield_now().await;
        }
    }
}

/// Starts the providers of the world.
pub(super) struct Servers(pub(super) Rc<Client>);

impl Source for Servers {
    fn describe<'a>(
        &'a self,
        _: &'a ProviderCommand,
        _: Duration,
    ) -> LocalBoxFuture<'a, Result<Option<Description>, ClientError>> {
        async { Ok(Some(DESCRIPTION.with(Description::clone))) }.boxed_local()
    }

    fn start(&self, _: &ProviderCommand, _: &str, _: bool) -> Result<Box<dyn Link>, ClientError> {
        Ok(Box::new(Process {
            client: Rc::clone(&self.0),
            seen: 0,
            is_spent: false,
        }))
    }
}

/// A provider.
struct Process {
    client: Rc<Client>,
    /// How many events of the state it has read or written.
    seen: usize,
    is_spent: bool,
}

/// What a provider was asked, until it is done. It may be done even if whoever
/// asked is no more.
struct Deed<'a> {
    world: World,
    request: &'a Request,
    seen: usize,
    is_open: bool,
}

impl Deed<'_> {
    fn done(&mut self) -> Result<Response, String> {
        self.is_open = false;
        let mut world = self.world.0.borrow_mut();
        world.server.answer(self.request, &mut self.seen)
    }
}

impl Drop for Deed<'_> {
    fn drop(&mut self) {
        if self.is_open && !std::thread::panicking() && self.world.below(2) == 0 {
            let _nobody_hears = self.done();
        }
    }
}

fn gone() -> ClientError {
    ClientError::Gone {
        how: "ended (signal: 9 (SIGKILL))".to_owned(),
        stderr: Vec::new(),
    }
}

impl Link for Process {
    fn set_label(&self, _: &str) {}

    fn ask<'a>(
        &'a mut self,
        request: &'a Request,
        _: Duration,
    ) -> LocalBoxFuture<'a, Result<Response, ClientError>> {
        async move {
            if std::mem::replace(&mut self.is_spent, true) {
                return Err(ClientError::Spent);
            }
            let world = &self.client.world;
            let misfortune = world.is_troubled().then(|| world.below(3));
            let mut deed = Deed {
                world: world.clone(),
                request,
                seen: self.seen,
                is_open: true,
            };
            self.client.step().await;
            if let Some(before @ (0 | 1)) = misfortune {
                deed.is_open = false;
                if before == 0 {
                    return Err(gone());
                }
                self.is_spent = false;
                return Err(ClientError::Refused("the server is on fire".to_owned()));
            }
            let answer = deed.done();
            self.seen = deed.seen;
            self.client.step().await;
            if misfortune.is_some() {
                return Err(gone());
            }
            self.is_spent = false;
            answer.map_err(ClientError::Refused)
        }
        .boxed_local()
    }

    fn close(self: Box<Self>, _: Duration) -> LocalBoxFuture<'static, ()> {
        async {}.boxed_local()
    }
}
