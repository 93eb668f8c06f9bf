//! How a session that is logged in becomes one of `sqlx`, which only connects to
//! addresses: to a socket of our own, whose other end is copied to and from the
//! server.

use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::Duration;

use rustix::net::{Shutdown, shutdown};
use sqlx::postgres::{PgConnectOptions, PgConnection, PgSslMode};
use sqlx::{ConnectOptions as _, Connection as _};
use tempfile::TempDir;
use tokio::io::{AsyncWriteExt as _, copy, sink, split};
use tokio::net::{UnixListener, UnixStream};
use tokio::task::JoinHandle;

use crate::failure::Failure;
use crate::login::LoggedIn;
use crate::wire::{self, Duplex};

/// How long the server may take to end a session that was closed.
const CLOSING: Duration = Duration::from_secs(2);
/// The number in the name of the socket, of no meaning.
const NUMBER: u16 = 5432;
/// The longest path that a socket may have everywhere, in bytes.
const LONGEST: usize = 100;

/// What copies between `sqlx` and the server. Dropping it cuts the connection to the
/// server at once, whether or not anything runs this process's tasks.
#[derive(Debug)]
pub struct Link {
    server: OwnedFd,
    copying: JoinHandle<()>,
}

impl Link {
    /// Waits a moment until the server has ended the session, once `sqlx` has closed
    /// its end: until then it counts as being connected.
    pub async fn closed(mut self) {
        let _ = tokio::time::timeout(CLOSING, &mut self.copying).await;
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.copying.abort();
        // What is cut already need not be cut.
        let _ = shutdown(&self.server, Shutdown::Both);
    }
}

/// Lets `sqlx` begin on a session that is logged in. `server` is its socket.
pub(crate) async fn hand_over(
    logged_in: LoggedIn,
    server: OwnedFd,
) -> Result<(PgConnection, Link), Failure> {
    let folder = folder().map_err(Failure::Local)?;
    let path = socket(folder.path());
    let listener = UnixListener::bind(&path).map_err(Failure::Local)?;
    // The variables that it takes for what it isn't told decide about addresses,
    // certificates and what a session begins with, and none of that is left to it.
    let options = PgConnectOptions::new_without_pgpass()
        .socket(folder.path())
        .port(NUMBER)
        .ssl_mode(PgSslMode::Disable)
        .username("")
        .password("")
        .disable_statement_logging();
    let serving = async {
        let mut client = accept(&listener).await?;
        drop(folder);
        wire::skip_startup(&mut client).await?;
        client.write_all(&logged_in.said).await?;
        io::Result::Ok(client)
    };
    let serving = async { serving.await.map_err(Failure::Local) };
    let connecting = async {
        let connected = PgConnection::connect_with(&options).await;
        connected.map_err(|error| Failure::Protocol(error.to_string()))
    };
    let (client, connection) = tokio::try_join!(serving, connecting)?;
    let copying = tokio::spawn(copy_both(client, logged_in.stream));
    Ok((connection, Link { server, copying }))
}

/// A folder that nobody else can enter, for a path that is short enough.
fn folder() -> io::Result<TempDir> {
    let make = |place: &Path| {
        tempfile::Builder::new()
            .prefix("nixops4-postgresql-")
            .tempdir_in(place)
    };
    let usual = make(&std::env::temp_dir())?;
    if socket(usual.path()).as_os_str().len() <= LONGEST {
        return Ok(usual);
    }
    make(Path::new("/tmp"))
}

fn socket(folder: &Path) -> std::path::PathBuf {
    folder.join(format!(".s.PGSQL.{NUMBER}"))
}

/// Waits for ourselves; nobody else gets a session that is logged in.
async fn accept(listener: &UnixListener) -> io::Result<UnixStream> {
    loop {
        let (client, _) = listener.accept().await?;
        let peer = client.peer_cred()?;
        let is_ours =
            peer.pid().and_then(|pid| u32::try_from(pid).ok()) == Some(std::process::id());
        if is_ours && peer.uid() == rustix::process::geteuid().as_raw() {
            return Ok(client);
        }
    }
}

/// Copies both ways until both have ended.
async fn copy_both(client: UnixStream, server: Box<dyn Duplex>) {
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = split(server);
    let up = async {
        let _ = copy(&mut from_client, &mut to_server).await;
        let _ = to_server.shutdown().await;
        // Until the client leaves: it must be able to write, or it would not read why
        // the server has ended the session.
        let _ = copy(&mut from_client, &mut sink()).await;
    };
    let down = async {
        let _ = copy(&mut from_server, &mut to_client).await;
        let _ = to_client.shutdown().await;
    };
    tokio::join!(up, down);
}
