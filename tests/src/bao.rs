//! A real OpenBao server in development mode on loopback: in memory, unsealed,
//! with a KV engine of version 2 at `secret/`, in clear or over TLS.
//!
//! This module must not know what a test keeps in it.

use std::ffi::OsString;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::judges;
use crate::lifeline::{self, Ending, Process};

/// What it calls the certificate of its authority.
const AUTHORITY: &str = "vault-ca.pem";

/// How long it may take until it answers.
const START_TIMEOUT: Duration = Duration::from_mins(1);

/// A server. Killed when dropped, with all that it holds.
#[derive(Debug)]
pub struct Bao {
    executable: PathBuf,
    port: u16,
    root_token: String,
    /// Certificate of the authority that it made for itself.
    authority: Option<PathBuf>,
    _process: Process,
    /// Last: the folder goes after what uses it.
    folder: TempDir,
}

impl Bao {
    /// Starts a server and waits until it answers. None where there is no `bao`,
    /// and it need not be there.
    #[must_use]
    pub fn start() -> Option<Self> {
        Some(Self::start_as(judges::find("bao")?, false))
    }

    /// The same over TLS, with a certificate of an [authority](Self::authority) of
    /// its own.
    #[must_use]
    pub fn start_with_tls() -> Option<Self> {
        Some(Self::start_as(judges::find("bao")?, true))
    }

    fn start_as(executable: PathBuf, tls: bool) -> Self {
        let folder = lifeline::folder("bao-");
        // Somebody else may take the port in between: then it fails to start.
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .and_then(|listener| listener.local_addr())
            .expect("a free port")
            .port();
        let root_token = format!("root-{:032x}", rand::random::<u128>());
        let log = std::fs::File::create(folder.path().join("log")).expect("a log");
        let mut command = Command::new(&executable);
        command
            .args(["server", "-dev", "-dev-no-store-token"])
            .arg(format!(
                "-dev-listen-address={}:{port}",
                Ipv4Addr::LOCALHOST
            ))
            .env_clear()
            .env("HOME", folder.path())
            .env("BAO_DEV_ROOT_TOKEN_ID", &root_token)
            .current_dir(folder.path())
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a log"))
            .stderr(log);
        let authority = tls.then(|| {
            let mut certificates = OsString::from("-dev-tls-cert-dir=");
            certificates.push(folder.path());
            command.arg("-dev-tls").arg(certificates);
            folder.path().join(AUTHORITY)
        });
        let process = Process::spawn(&mut command, Ending::Kill).expect("cannot start bao");
        let server = Self {
            executable,
            port,
            root_token,
            authority,
            _process: process,
            folder,
        };
        server.wait();
        server
    }

    fn wait(&self) {
        let start = Instant::now();
        while self.try_run(&self.root_token, &["status"]).is_err() {
            assert!(
                start.elapsed() < START_TIMEOUT,
                "bao does not answer: {}",
                std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
            );
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// Its address, without a slash at the end.
    #[must_use]
    pub fn address(&self) -> String {
        let scheme = if self.authority.is_some() {
            "https"
        } else {
            "http"
        };
        format!("{scheme}://{}:{}", Ipv4Addr::LOCALHOST, self.port)
    }

    /// The certificate of the authority that made its own. Panics if it has none.
    #[must_use]
    pub fn authority(&self) -> &Path {
        self.authority.as_deref().expect("a server with TLS")
    }

    /// A token that may do everything.
    #[must_use]
    pub fn root_token(&self) -> &str {
        &self.root_token
    }

    /// Runs `bao` with the root token, and gives what it prints. Panics if it
    /// fails.
    #[expect(clippy::must_use_candidate, reason = "most are run for what they do")]
    pub fn run(&self, arguments: &[&str]) -> String {
        self.try_run(&self.root_token, arguments)
            .unwrap_or_else(|error| panic!("bao {arguments:?}: {error}"))
    }

    fn try_run(&self, token: &str, arguments: &[&str]) -> Result<String, String> {
        let mut command = Command::new(&self.executable);
        command
            .args(arguments)
            .env_clear()
            .env("HOME", self.folder.path())
            .env("BAO_ADDR", self.address())
            .env("BAO_TOKEN", token)
            .stdin(Stdio::null());
        if let Some(authority) = &self.authority {
            command.env("BAO_CACERT", authority);
        }
        let output = command.output().expect("cannot run bao");
        if output.status.success() {
            Ok(String::from_utf8(output.stdout).expect("UTF-8"))
        } else {
            Err(String::from_utf8_lossy(&output.stderr).into_owned())
        }
    }
}
