//! One node of a cluster.

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::net::SocketAddr;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use super::admin::Admin;
use super::{Config, HOST, REGION, START_TIMEOUT, WEB_DOMAIN, installation};
use crate::lifeline::{Ending, Process, Signal};
use crate::port::Port;

/// The engine of the tables of metadata: the one that Garage takes by itself.
const DATABASE: &str = "lmdb";

/// A node. Killed when dropped.
#[derive(Debug)]
pub struct Node {
    folder: PathBuf,
    rpc: Port,
    s3: Port,
    web: Port,
    admin: Port,
    config: Config,
    /// Known once it has answered.
    id: OnceLock<String>,
    /// `None` while it is stopped.
    process: Mutex<Option<Process>>,
}

impl Node {
    /// A node that isn't started, the `number`th of the cluster in `folder`.
    pub(super) fn new(folder: &Path, number: usize, config: &Config) -> Self {
        let node = Self {
            folder: folder.join(format!("node-{number}")),
            rpc: Port::reserve(),
            s3: Port::reserve(),
            web: Port::reserve(),
            admin: Port::reserve(),
            config: config.clone(),
            id: OnceLock::new(),
            process: Mutex::default(),
        };
        fs::create_dir(&node.folder).expect("cannot create a folder");
        node.write_config(&[]);
        node
    }

    /// Writes its configuration. While it runs, it keeps the one that it has read.
    pub(super) fn write_config(&self, peers: &[String]) {
        let text = format!(
            r#"metadata_dir = "{folder}/meta"
data_dir = "{folder}/data"
db_engine = "{DATABASE}"
replication_factor = {copies}
block_ram_buffer_max = "16M"
disable_scrub = true
rpc_bind_addr = "{HOST}:{rpc}"
rpc_public_addr = "{HOST}:{rpc}"
rpc_secret_file = "{cluster}/rpc-secret"
rpc_timeout_msec = {timeout}
rpc_ping_timeout_msec = {timeout}
bootstrap_peers = {peers:?}

[s3_api]
api_bind_addr = "{HOST}:{s3}"
s3_region = "{REGION}"
root_domain = ".s3.garage.localhost"

[s3_web]
bind_addr = "{HOST}:{web}"
root_domain = "{WEB_DOMAIN}"

[admin]
api_bind_addr = "{HOST}:{admin}"
admin_token_file = "{cluster}/admin-token"
"#,
            folder = self.folder.display(),
            cluster = self.folder.parent().expect("a cluster's folder").display(),
            copies = self.config.nodes,
            rpc = self.rpc.number(),
            s3 = self.s3.number(),
            web = self.web.number(),
            admin = self.admin.number(),
            timeout = self.config.rpc_timeout.as_millis(),
        );
        fs::write(self.config_file(), text).expect("cannot write the configuration");
    }

    /// Starts it, and doesn't wait for it.
    pub(super) fn spawn(&self) {
        let mut running = self.process();
        assert!(running.is_none(), "the node is running");
        let log = OpenOptions::new()
            .create(true)
            .append(true)
            .mode(0o600)
            .open(self.log_file())
            .expect("cannot open the node's log");
        let mut command = self.command();
        command
            .arg("server")
            // One line for each request. More would show the token of each as well.
            .env("RUST_LOG", "garage=info,netapp=info")
            .stdout(log.try_clone().expect("cannot duplicate a descriptor"))
            .stderr(log);
        let process = Process::spawn(&mut command, Ending::Kill)
            .unwrap_or_else(|error| panic!("cannot run garage: {error}"));
        *running = Some(process);
    }

    /// Waits until its admin API answers, and asks for its name.
    pub(super) fn wait_until_it_answers(&self, admin_token: &str) {
        let admin = Admin::new(&self.admin_url(), admin_token);
        let start = Instant::now();
        loop {
            let mut running = self.process();
            let process = running.as_mut().expect("the node is stopped");
            if let Some(status) = process.wait(Duration::from_millis(10)) {
                panic!("the node ended with {status}: {}", self.log());
            }
            drop(running);
            match admin.try_get("GetNodeInfo", &[("node", "self")]) {
                Ok(info) => {
                    let nodes = info["success"].as_object().expect("an object");
                    let id = nodes.keys().next().expect("a node");
                    assert_eq!(self.id.get_or_init(|| id.clone()), id);
                    return;
                }
                Err(refusal) => assert!(
                    start.elapsed() < START_TIMEOUT,
                    "the node is not ready after {START_TIMEOUT:?}: {refusal}\n{}",
                    self.log()
                ),
            }
        }
    }

    /// The command `garage` with this node's configuration, and nothing of the
    /// caller's environment.
    fn command(&self) -> Command {
        let mut command = Command::new(installation::executable());
        command
            .arg("-c")
            .arg(self.config_file())
            .env_clear()
            .env("HOME", &self.folder)
            .env("NO_COLOR", "1")
            .current_dir(&self.folder)
            .stdin(Stdio::null());
        command
    }

    /// Runs the command `garage` against this node, and gives what it prints.
    /// Panics if it fails.
    pub fn run(&self, arguments: &[&str]) -> String {
        let output = self
            .command()
            .args(arguments)
            .output()
            .expect("cannot run garage");
        assert!(
            output.status.success(),
            "garage {arguments:?} ended with {}: {}",
            output.status,
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8(output.stdout).expect("UTF-8")
    }

    /// Tells it to end, and waits for it. Its ports stay reserved: a connection is
    /// refused.
    pub fn stop(&self) {
        if let Some(mut process) = self.process().take() {
            process.end(Signal::TERM);
        }
    }

    /// Ends it with SIGKILL.
    pub fn kill(&self) {
        if let Some(mut process) = self.process().take() {
            process.kill();
        }
    }

    /// Starts it again with the same ports and data, and waits until it answers.
    pub fn start_again(&self) {
        self.spawn();
        let cluster = self.folder.parent().expect("a cluster's folder");
        let token = fs::read_to_string(cluster.join("admin-token")).expect("the token");
        self.wait_until_it_answers(&token);
    }

    /// Lets it neither answer nor end, until [`Self::resume`].
    pub fn pause(&self) {
        self.signal(Signal::STOP);
    }

    /// Lets it go on.
    pub fn resume(&self) {
        self.signal(Signal::CONT);
    }

    /// Does what it does every night: lets objects expire. It is stopped for it.
    pub fn expire(&self) {
        self.stop();
        // It remembers the day of its last pass.
        let remembered = self.folder.join("meta/lifecycle_worker_state");
        match fs::remove_file(&remembered) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                panic!("cannot remove {}: {error}", remembered.display())
            }
            _ => self.start_again(),
        }
    }

    /// What it is called, in full: 64 digits.
    #[must_use]
    pub fn id(&self) -> &str {
        self.id.get().expect("it has answered")
    }

    /// What other nodes call it.
    pub(super) fn peer(&self) -> String {
        format!("{}@{HOST}:{}", self.id(), self.rpc.number())
    }

    /// The URL of its admin API, without a slash at the end.
    #[must_use]
    pub fn admin_url(&self) -> String {
        format!("http://{}", self.admin_address())
    }

    /// The address of its admin API.
    #[must_use]
    pub fn admin_address(&self) -> SocketAddr {
        (HOST, self.admin.number()).into()
    }

    /// The URL of its S3 API, without a slash at the end.
    #[must_use]
    pub fn s3_url(&self) -> String {
        format!("http://{}", self.s3_address())
    }

    /// The address of its S3 API.
    #[must_use]
    pub fn s3_address(&self) -> SocketAddr {
        (HOST, self.s3.number()).into()
    }

    /// The address where it serves websites.
    #[must_use]
    pub fn web_address(&self) -> SocketAddr {
        (HOST, self.web.number()).into()
    }

    /// Its folder, which holds everything that it writes.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Its configuration.
    #[must_use]
    pub fn config_file(&self) -> PathBuf {
        self.folder.join("garage.toml")
    }

    /// The process id of the running node.
    #[must_use]
    pub fn process_id(&self) -> u32 {
        let running = self.process();
        running.as_ref().expect("the node is stopped").id()
    }

    fn signal(&self, signal: Signal) {
        let running = self.process();
        running
            .as_ref()
            .expect("the node is stopped")
            .signal(signal);
    }

    fn process(&self) -> MutexGuard<'_, Option<Process>> {
        self.process.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// All of its log so far.
    #[must_use]
    pub fn log(&self) -> String {
        let bytes = fs::read(self.log_file()).expect("cannot read the node's log");
        String::from_utf8_lossy(&bytes).into_owned()
    }

    fn log_file(&self) -> PathBuf {
        self.folder.join("log")
    }
}

/// Writes a new file that only its owner can read: Garage takes secrets from no
/// other.
pub(super) fn write_private(path: &Path, text: &str) {
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .and_then(|mut file| file.write_all(text.as_bytes()))
        .unwrap_or_else(|error| panic!("cannot write {}: {error}", path.display()));
}
