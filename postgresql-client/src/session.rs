//! Connecting.

use std::os::fd::{AsFd, OwnedFd};

use sqlx::Connection as _;
use sqlx::postgres::PgConnection;
use tokio::net::{TcpStream, UnixStream};

use crate::failure::Failure;
use crate::login;
use crate::place::Place;
use crate::relay::{Link, hand_over};
use crate::sqlstate::Meaning;
use crate::target::Target;
use crate::timeouts::{Lifted, Settled, settle};

/// A session, and what it goes through.
#[derive(Debug)]
pub struct Session {
    /// The session.
    pub connection: PgConnection,
    /// Keep it for as long as the session.
    pub link: Link,
}

impl Session {
    /// Ends the session, and waits a moment until the server has let go of it.
    pub async fn close(self) {
        // What can't be closed properly is gone already.
        let _ = self.connection.close().await;
        self.link.closed().await;
    }
}

/// Logs in.
pub async fn connect(target: &Target) -> Result<Session, Failure> {
    let (logged_in, socket) = match &target.place {
        Place::Socket(path) => {
            let stream = UnixStream::connect(path).await.map_err(Failure::Io)?;
            let socket = duplicate(&stream)?;
            (login::on_socket(Box::new(stream), target).await?, socket)
        }
        Place::Tcp { host, port } => {
            let stream = TcpStream::connect((host.as_str(), *port)).await;
            let stream = stream.map_err(Failure::Io)?;
            // Each message is one that somebody waits for.
            stream.set_nodelay(true).map_err(Failure::Io)?;
            let socket = duplicate(&stream)?;
            let begun = target.tls.begin(stream, host).await?;
            (login::on_tcp(begun, target).await?, socket)
        }
    };
    let (connection, link) = hand_over(logged_in, socket).await?;
    Ok(Session { connection, link })
}

fn duplicate(stream: &impl AsFd) -> Result<OwnedFd, Failure> {
    stream.as_fd().try_clone_to_owned().map_err(Failure::Local)
}

/// Why a session could not be begun and set up.
#[derive(Debug)]
pub enum Opening {
    /// There is none.
    Connecting(Failure),
    /// What it was first asked failed.
    Asking(sqlx::Error),
}

impl Opening {
    /// What the server said, if it said anything.
    #[must_use]
    pub fn meaning(&self) -> Option<Meaning> {
        match self {
            Self::Connecting(failure) => failure.meaning(),
            Self::Asking(error) => Meaning::of_statement(error),
        }
    }
}

/// Logs in, and lifts all limits of time as [`settle`] does.
pub async fn open(target: &mut Target) -> Result<(Session, Settled), Opening> {
    let mut lifted = Lifted::default();
    loop {
        let opened = async {
            let mut session = connect(target).await.map_err(Opening::Connecting)?;
            let settled = settle(&mut session.connection, &target.application).await;
            Ok::<_, Opening>((session, settled.map_err(Opening::Asking)?))
        };
        match opened.await {
            Ok(opened) => return Ok(opened),
            Err(error) => {
                let meaning = error.meaning();
                lifted.lift(target, error, meaning)?;
            }
        }
    }
}
