//! A real OpenBao server in development mode on loopback: in memory, unsealed,
//! with a KV engine of version 2 at `secret/`.
//!
//! This module must not know what a test keeps in it.

use std::net::{Ipv4Addr, TcpListener};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::lifeline::{self, Ending, Process};

/// How long it may take until it answers.
const START_TIMEOUT: Duration = Duration::from_mins(1);

/// A server. Killed when dropped, with all that it holds.
#[derive(Debug)]
pub struct Bao {
    executable: PathBuf,
    port: u16,
    root_token: String,
    _process: Process,
    /// Last: the folder goes after what uses it.
    folder: TempDir,
}

impl Bao {
    /// Starts a server and waits until it answers.
    #[must_use]
    pub fn start() -> Self {
        let executable = find();
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
        let process = Process::spawn(&mut command, Ending::Kill).expect("cannot start bao");
        let server = Self {
            executable,
            port,
            root_token,
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
        format!("http://{}:{}", Ipv4Addr::LOCALHOST, self.port)
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
        let output = Command::new(&self.executable)
            .args(arguments)
            .env_clear()
            .env("HOME", self.folder.path())
            .env("BAO_ADDR", self.address())
            .env("BAO_TOKEN", token)
            .stdin(Stdio::null())
            .output()
            .expect("cannot run bao");
        if output.status.success() {
            Ok(String::from_utf8(output.stdout).expect("UTF-8"))
        } else {
            Err(String::from_utf8_lossy(&output.stderr).into_owned())
        }
    }
}

/// `bao` in `PATH`, or where `scripts/setup.sh bao` puts it.
fn find() -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let cache = std::env::var_os("XDG_CACHE_HOME")
        .map(PathBuf::from)
        .or_else(|| Some(std::env::home_dir()?.join(".cache")))
        .map(|cache| cache.join("nixops4-resources/tools/bin"));
    std::env::split_paths(&path)
        .chain(cache)
        .map(|folder| folder.join("bao"))
        .find(|candidate| candidate.is_file())
        .expect("found no bao: run `scripts/setup.sh bao`")
}
