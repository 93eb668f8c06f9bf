//! Servers: how a kind is connected to one, how it is recognised, and how long connections
//! are kept.
//!
//! A [`Server`] says how to connect and what tells it from others. The order of things is
//! here, the same for every protocol: resolve the secrets, queue for a slot, connect,
//! refuse another server than the recorded one. [`on_server`] lends a session, which one step
//! has for itself. [`shared`] gives out a client whose requests know nothing of each other,
//! as those of HTTP. This module must not know any server.

use std::cell::RefCell;
use std::fmt;
use std::rc::Rc;

use crate::context::Context;
use crate::error::{Error, Result};

/// What tells a server from others, under whatever address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ServerId<'a> {
    /// Its own identifier, which stays for as long as its data does.
    Lasting(&'a str),
    /// It has none: the one that it has is another after each restart, or there never was
    /// one. Its address has to do, and no record says that it is another.
    None,
}

impl ServerId<'_> {
    /// As an output.
    #[must_use]
    pub fn output(self) -> Option<String> {
        match self {
            Self::Lasting(id) => Some(id.to_owned()),
            Self::None => None,
        }
    }
}

/// A server that is connected to.
pub trait Server: Sized + 'static {
    /// What slots call it and errors name it, such as `postgresql` and `server`.
    const NAMES: (&'static str, &'static str);
    /// How many connections a process keeps, each to a place of its own.
    const KEPT: usize = 1;

    /// The input `connection`. `Display` is its address.
    type Connection: Clone + PartialEq + fmt::Display + 'static;
    /// What it takes to connect, with the secrets in it.
    type Access;

    /// Fetches the secrets. Nobody queues behind this.
    fn access(cx: &Context, at: &Self::Connection) -> impl Future<Output = Result<Self::Access>>;

    /// Connects, and sees which server this is.
    fn connect(
        cx: &Context,
        at: &Self::Connection,
        access: Self::Access,
    ) -> impl Future<Output = Result<Self>>;

    /// What tells it from others.
    fn id(&self) -> ServerId<'_>;

    /// Whether it is known by this identifier, too: a cluster is by that of each node.
    fn is_known_by(&self, cx: &Context, id: &str) -> impl Future<Output = Result<bool>> {
        let _ = (cx, id);
        std::future::ready(Ok(false))
    }

    /// Ends the connection in good order.
    fn close(self) -> impl Future<Output = ()> {
        std::future::ready(())
    }
}

/// The connections that a process keeps, the last used one last. All are to one server.
struct ConnectionCache<C, S>(RefCell<Vec<(C, S)>>);

impl<C, S> Default for ConnectionCache<C, S> {
    fn default() -> Self {
        Self(RefCell::default())
    }
}

impl<C: Clone + PartialEq, S> ConnectionCache<C, S> {
    fn take(&self, at: &C) -> Option<S> {
        let mut kept = self.0.borrow_mut();
        let place = kept.iter().position(|(there, _)| there == at)?;
        Some(kept.remove(place).1)
    }

    /// Keeps a connection; gives back the one that is too many.
    fn put(&self, at: &C, server: S, most: usize) -> Option<S> {
        let mut kept = self.0.borrow_mut();
        kept.push((at.clone(), server));
        (kept.len() > most).then(|| kept.remove(0).1)
    }
}

type Exclusive<S> = ConnectionCache<<S as Server>::Connection, S>;
type Shared<S> = ConnectionCache<<S as Server>::Connection, Rc<S>>;

/// Does something on a server, in a session that nothing else uses meanwhile. `recorded`
/// is the identifier on record: another server behind the same address is refused.
///
/// After an error the connection is closed, and with it every transaction and lock.
pub async fn on_server<S: Server, T>(
    cx: &Context,
    at: &S::Connection,
    recorded: Option<&str>,
    work: impl AsyncFnOnce(&mut S) -> Result<T>,
) -> Result<T> {
    let kept = cx.connections::<Exclusive<S>>().take(at);
    let mut server = match kept {
        Some(server) => server,
        None => connect(cx, at).await?,
    };
    refuse_another(cx, at, &server, recorded).await?;
    let done = work(&mut server).await?;
    // Anew: who had to wait for a slot has let go of what was kept before.
    let kept = cx.connections::<Exclusive<S>>();
    if let Some(other) = kept.put(at, server, S::KEPT) {
        other.close().await;
    }
    Ok(done)
}

/// The client of a server, which many can use at once. Otherwise as [`on_server`].
pub async fn shared<S: Server>(
    cx: &Context,
    at: &S::Connection,
    recorded: Option<&str>,
) -> Result<Rc<S>> {
    let kept = cx.connections::<Shared<S>>().take(at);
    let server = match kept {
        Some(server) => server,
        None => Rc::new(connect(cx, at).await?),
    };
    refuse_another(cx, at, &*server, recorded).await?;
    let kept = cx.connections::<Shared<S>>();
    kept.put(at, Rc::clone(&server), S::KEPT);
    Ok(server)
}

/// Closes the connection of [`on_server`] to this place, if the process keeps one.
pub async fn leave<S: Server>(cx: &Context, at: &S::Connection) {
    let kept = cx.connections::<Exclusive<S>>().take(at);
    if let Some(server) = kept {
        server.close().await;
    }
}

/// Forgets the client of [`shared`] for this place: the next request may be answered by
/// another server.
pub fn forget<S: Server>(cx: &Context, at: &S::Connection) {
    cx.connections::<Shared<S>>().take(at);
}

async fn connect<S: Server>(cx: &Context, at: &S::Connection) -> Result<S> {
    let access = S::access(cx, at).await?;
    cx.slot(&format!("{} {at}", S::NAMES.0)).await?;
    let connected = S::connect(cx, at, access).await;
    if connected.is_err() {
        // There may be too many connections: those that are kept are not missed.
        let kept = cx.connections::<Exclusive<S>>().0.take();
        for (_, server) in kept {
            server.close().await;
        }
    }
    connected
}

async fn refuse_another<S: Server>(
    cx: &Context,
    at: &S::Connection,
    server: &S,
    recorded: Option<&str>,
) -> Result<()> {
    let (Some(recorded), ServerId::Lasting(id)) = (recorded, server.id()) else {
        return Ok(());
    };
    if id == recorded || server.is_known_by(cx, recorded).await? {
        return Ok(());
    }
    let name = S::NAMES.1;
    Err(Error::input(
        "/connection",
        format!("the {name} at {at} ({id}) is not the {name} this was created on ({recorded})"),
    )
    .hint(format!(
        "point connection at the {name} that is meant; to begin anew on this one, give the member \
         another name or forget it in the state"
    )))
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;
    use crate::model::cx;

    thread_local! {
        static CONNECTED: Cell<u32> = const { Cell::new(0) };
        static CLOSED: Cell<u32> = const { Cell::new(0) };
    }

    /// Where: the part before the slash is the address.
    #[derive(Debug, Clone, PartialEq)]
    struct At(&'static str);

    impl fmt::Display for At {
        fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
            out.write_str(self.0.split('/').next().unwrap())
        }
    }

    /// A server of which the place says what it is like.
    struct Fake {
        id: ServerId<'static>,
    }

    impl Server for Fake {
        const NAMES: (&'static str, &'static str) = ("fake", "server");
        const KEPT: usize = 2;
        type Connection = At;
        type Access = &'static str;

        async fn access(_: &Context, at: &At) -> Result<&'static str> {
            Ok(at.0)
        }

        async fn connect(_: &Context, _: &At, access: &'static str) -> Result<Self> {
            if access.ends_with("down") {
                return Err(Error::input("/connection/host", "nobody answers"));
            }
            CONNECTED.set(CONNECTED.get() + 1);
            let id = match access {
                "cache" => ServerId::None,
                _ => ServerId::Lasting("its own id"),
            };
            Ok(Self { id })
        }

        fn id(&self) -> ServerId<'_> {
            self.id
        }

        async fn is_known_by(&self, _: &Context, id: &str) -> Result<bool> {
            Ok(id == "another node")
        }

        async fn close(self) {
            CLOSED.set(CLOSED.get() + 1);
        }
    }

    async fn visit(cx: &Context, at: &'static str, recorded: Option<&str>) -> Result<()> {
        on_server::<Fake, _>(cx, &At(at), recorded, async |_| Ok(())).await
    }

    #[tokio::test]
    async fn another_server_is_refused() {
        let cx = cx();
        for recorded in [None, Some("its own id"), Some("another node")] {
            visit(&cx, "db", recorded).await.unwrap();
            shared::<Fake>(&cx, &At("db"), recorded).await.unwrap();
        }
        let client = shared::<Fake>(&cx, &At("db"), Some("gone")).await;
        for error in [
            visit(&cx, "db", Some("gone")).await.unwrap_err(),
            client.map(drop).unwrap_err(),
        ] {
            assert_eq!(error.pointer(), Some("/connection"));
            let error = error.to_string();
            for word in ["at db", "its own id", "gone", "point connection at"] {
                assert!(error.contains(word), "{error}");
            }
        }
        // What has no identifier that lasts can't be told from another.
        visit(&cx, "cache", Some("before it was restarted"))
            .await
            .unwrap();
        assert_eq!(ServerId::None.output(), None);
        assert_eq!(ServerId::Lasting("1").output().as_deref(), Some("1"));
    }

    #[tokio::test]
    async fn a_session_is_kept_until_something_fails() {
        let cx = cx();
        let connected = || CONNECTED.replace(0);
        let closed = || CLOSED.replace(0);
        visit(&cx, "db/a", None).await.unwrap();
        visit(&cx, "db/a", None).await.unwrap();
        assert_eq!((connected(), closed()), (1, 0));
        // A step that failed may have left anything behind.
        let failed = on_server::<Fake, ()>(&cx, &At("db/a"), None, async |_| Err(Error::new("no")));
        failed.await.unwrap_err();
        visit(&cx, "db/a", None).await.unwrap();
        assert_eq!(connected(), 1);
        // Whoever asks for it meanwhile gets another.
        let nested = on_server::<Fake, _>(&cx, &At("db/a"), None, async |_| {
            visit(&cx, "db/a", None).await
        });
        nested.await.unwrap();
        assert_eq!(connected(), 1);
        leave::<Fake>(&cx, &At("db/a")).await;
        leave::<Fake>(&cx, &At("db/a")).await;
        leave::<Fake>(&cx, &At("db/a")).await;
        assert_eq!(closed(), 2);
        for place in ["db/a", "db/b", "db/c"] {
            visit(&cx, place, None).await.unwrap();
        }
        assert_eq!((connected(), closed()), (3, 1));
        // Those that are kept are given up for one that can't be had.
        visit(&cx, "db/down", None).await.unwrap_err();
        assert_eq!((connected(), closed()), (0, 2));
    }

    #[tokio::test]
    async fn a_client_is_shared() {
        let cx = cx();
        CONNECTED.set(0);
        let one = shared::<Fake>(&cx, &At("db"), None).await.unwrap();
        let same = shared::<Fake>(&cx, &At("db"), None).await.unwrap();
        assert!(Rc::ptr_eq(&one, &same));
        forget::<Fake>(&cx, &At("db"));
        let other = shared::<Fake>(&cx, &At("db"), None).await.unwrap();
        assert!(!Rc::ptr_eq(&one, &other));
        assert_eq!(CONNECTED.get(), 2);
    }
}
