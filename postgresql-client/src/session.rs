//! Connecting.

use std::os::fd::{AsFd, OwnedFd};

use sqlx::Connection as _;
use sqlx::postgres::PgConnection;
use tokio::net::{TcpStream, UnixStream};

use crate::failure::Failure;
use crate::place::Place;
use crate::relay::{Link, hand_over};
use crate::sqlstate::Meaning;
use crate::target::Target;
use crate::timeouts::Timeout;
use crate::login;

/// How many limits of time are lifted one after the other until a session holds.
const LIMITS: usize = 8;

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

/// Why a session could not be begun and looked at.
#[derive(Debug)]
pub enum Opening<E> {
    /// There is none.
    Connecting(Failure),
    /// What it was first asked failed.
    Asking(E),
}

/// Logs in and asks a first thing. A limit of time that a role or a database sets may
/// strike before that is done: then another session begins without that limit.
/// `meaning` says of an error what the server said.
pub async fn open<T, E>(
    target: &mut Target,
    ask: impl AsyncFn(&mut Session) -> Result<T, E>,
    meaning: impl Fn(&E) -> Option<Meaning>,
) -> Result<(Session, T), Opening<E>> {
    let mut lifted: Vec<Timeout> = Vec::new();
    let mut struck = None;
    loop {
        let opened = async {
            let mut session = connect(target).await.map_err(Opening::Connecting)?;
            let answer = ask(&mut session).await.map_err(Opening::Asking)?;
            Ok((session, answer))
        };
        let error = match opened.await {
            Ok(opened) => return Ok(opened),
            Err(error) => error,
        };
        let means = match &error {
            Opening::Connecting(failure) => failure.meaning(),
            Opening::Asking(error) => meaning(error),
        };
        match means {
            Some(Meaning::Struck(timeout))
                if !lifted.contains(&timeout) && lifted.len() < LIMITS =>
            {
                target.set(timeout.setting(), "0");
                lifted.push(timeout);
                struck = Some(error);
            }
            // A pooler that doesn't take the setting: what has struck says more.
            Some(Meaning::BadStartup) => return Err(struck.unwrap_or(error)),
            _ => return Err(error),
        }
    }
}
