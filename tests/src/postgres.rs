//! Real PostgreSQL servers on loopback, each with a temporary folder and a
//! port of its own.
//!
//! As root they run as an unprivileged user, because PostgreSQL refuses root.
//! This module must not know what a test does with its server.

mod installation;
mod language;
mod psql;
mod script;
mod session;
mod sql;
mod standby;
mod tls;
mod versions;

use std::fmt::Write;
use std::fs::{self, File, OpenOptions};
use std::net::Ipv4Addr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::{Digest as _, Sha256};
use tempfile::TempDir;

use crate::lifeline::{self, Ending, Process, Signal};
use crate::port::Port;
pub use crate::required::{REQUIRED, is_required};
use installation::{Account, Installation};
pub use language::{GERMAN, LC_MESSAGES, in_german, lc_messages, speaks_german};
use session::Session;
pub use tls::Client;
pub use versions::{VERSION, on_each_other_version, version, versions};

/// The address that every server listens on, beside its socket.
const HOST: Ipv4Addr = Ipv4Addr::LOCALHOST;

/// The superuser of every server.
pub const SUPERUSER: &str = "postgres";

/// How long a server may take until it answers; crash recovery is part of it.
const START_TIMEOUT: Duration = Duration::from_mins(1);

/// What a server is like. Everything has a default:
/// `Config { max_connections: 20, ..Config::default() }`.
#[derive(Clone, Debug)]
pub struct Config {
    /// The major version, one of [`versions()`]; without it, [`version()`].
    pub version: Option<u32>,
    /// `max_connections`. PostgreSQL keeps 3 of them for superusers.
    pub max_connections: u32,
    /// Whether every statement is written to the log.
    pub log_statements: bool,
    /// Whether connections over TCP may or must be encrypted.
    pub tls: Tls,
    /// Lines of `pg_hba.conf` that come before the ordinary ones.
    pub hba: Vec<String>,
    /// More settings, by name; the last of a name wins.
    pub settings: Vec<(String, String)>,
    /// Whether to run `initdb` for this server alone, which takes a second.
    /// Without it the servers of one test process are copies of one another,
    /// with the same `system_identifier`.
    pub own_system_identifier: bool,
    /// How many rounds of SCRAM a login of [`SUPERUSER`] takes: the processes of a
    /// test log in by the thousand. PostgreSQL itself takes 4,096.
    pub login_rounds: u32,
    /// The locale of what the machine's own server says, such as [`GERMAN`]; without it,
    /// [`lc_messages()`], and else English.
    pub lc_messages: Option<String>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            version: None,
            max_connections: 100,
            log_statements: true,
            tls: Tls::Off,
            hba: Vec::new(),
            settings: Vec::new(),
            own_system_identifier: false,
            login_rounds: 1,
            lc_messages: None,
        }
    }
}

impl Config {
    /// What its messages are in, if not in English. Only the machine's own server is
    /// translated.
    fn language(&self, version: Option<u32>) -> Option<String> {
        let is_own = version.is_none_or(|version| versions().first() == Some(&version));
        let language = self.lc_messages.clone().or_else(lc_messages);
        language.filter(|_| is_own)
    }
}

/// Encryption of connections over TCP.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Tls {
    /// The server has no certificate.
    #[default]
    Off,
    /// Both encrypted and plain connections are accepted.
    Offered,
    /// A plain connection is refused.
    Required,
}

/// A server. Stopped when dropped, its folder removed.
#[derive(Debug)]
pub struct Server {
    installation: Installation,
    account: Option<Account>,
    port: Port,
    tls: Tls,
    authority: Option<tls::Authority>,
    /// Where the locale of its messages is, if they are not in English.
    locales: Option<PathBuf>,
    /// `None` while it is stopped.
    process: Option<Process>,
    superuser_password: String,
    /// The superuser's, that nobody uses right now.
    sessions: Mutex<Vec<Session>>,
    /// Last: the folder goes after what uses it.
    folder: TempDir,
}

impl Server {
    /// Starts a server and waits until it answers.
    #[must_use]
    pub fn start(config: &Config) -> Self {
        let account = Account::of_servers();
        let version = config.version.or_else(version);
        let language = config.language(version);
        let installation = match &language {
            Some(_) => Installation::translated(account),
            None => Installation::find(version, account),
        };
        let folder = lifeline::folder("postgresql-");
        let template = if config.own_system_identifier {
            installation.initdb(account, config.login_rounds, folder.path(), "data")
        } else {
            let template = installation.template(account, config.login_rounds);
            template.copy_to(account, &folder.path().join("data"));
            template
        };
        let mut server = Self {
            installation,
            account,
            port: Port::reserve(),
            tls: config.tls,
            authority: None,
            locales: language.is_some().then(|| installation::locales(account)),
            process: None,
            superuser_password: template.superuser_password,
            sessions: Mutex::default(),
            folder,
        };
        write_private(
            &server.superuser_password_file(),
            &server.superuser_password,
        );
        make_folder(&server.socket_dir(), account);
        if config.tls != Tls::Off {
            server.authority = Some(tls::write_certificates(server.folder.path(), account));
        }
        server.configure(config, language.as_deref().unwrap_or("C"));
        server.start_again();
        server
    }

    fn configure(&self, config: &Config, lc_messages: &str) {
        let mut settings = vec![
            ("listen_addresses", HOST.to_string()),
            ("port", self.port().to_string()),
            (
                "unix_socket_directories",
                self.socket_dir().display().to_string(),
            ),
            ("max_connections", config.max_connections.to_string()),
            ("shared_buffers", "16MB".to_owned()),
            // In files of its own folder, so that nothing stays in /dev/shm.
            ("dynamic_shared_memory_type", "mmap".to_owned()),
            ("fsync", "off".to_owned()),
            ("full_page_writes", "off".to_owned()),
            ("lc_messages", lc_messages.to_owned()),
            ("log_line_prefix", "%m [%p] %q%u@%d ".to_owned()),
        ];
        if config.log_statements {
            settings.push(("log_statement", "all".to_owned()));
        }
        if config.tls != Tls::Off {
            settings.push(("ssl", "on".to_owned()));
            for (name, file) in [
                ("ssl_cert_file", tls::CERTIFICATE),
                ("ssl_key_file", tls::KEY),
                ("ssl_ca_file", tls::AUTHORITY),
            ] {
                settings.push((name, self.folder.path().join(file).display().to_string()));
            }
        }
        let path = self.data().join("postgresql.conf");
        let mut text = read(&path);
        let given = config.settings.iter().map(|(name, value)| (&**name, value));
        for (name, value) in settings
            .iter()
            .map(|(name, value)| (*name, value))
            .chain(given)
        {
            let value = value.replace('\\', r"\\").replace('\'', "''");
            writeln!(text, "{name} = '{value}'").expect("writing to a string");
        }
        write(&path, &text);

        let host = match config.tls {
            Tls::Required => "hostssl",
            Tls::Off | Tls::Offered => "host",
        };
        let mut lines = config.hba.clone();
        for ordinary in [
            "local all all scram-sha-256".to_owned(),
            format!("{host} all all {HOST}/32 scram-sha-256"),
            "local replication all scram-sha-256".to_owned(),
            format!("{host} replication all {HOST}/32 scram-sha-256"),
        ] {
            lines.push(ordinary);
        }
        write(&self.data().join("pg_hba.conf"), &(lines.join("\n") + "\n"));
    }

    /// The address that it listens on.
    #[must_use]
    pub fn host(&self) -> String {
        HOST.to_string()
    }

    /// Its TCP port, the same for as long as the server exists.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port.number()
    }

    /// The folder of its Unix socket.
    #[must_use]
    pub fn socket_dir(&self) -> PathBuf {
        self.folder.path().join("socket")
    }

    /// Its folder, which holds everything that it writes.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Its data folder (`PGDATA`).
    #[must_use]
    pub fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// Its installation's programs: `psql`, `pg_dump` and others.
    #[must_use]
    pub fn programs(&self) -> &Path {
        self.installation.programs()
    }

    /// Its major version.
    #[must_use]
    pub fn version(&self) -> u32 {
        let text = read(&self.data().join("PG_VERSION"));
        text.trim().parse().expect("PG_VERSION holds a number")
    }

    /// The file that holds the password of [`SUPERUSER`] and nothing else,
    /// readable by its owner only.
    #[must_use]
    pub fn superuser_password_file(&self) -> PathBuf {
        self.folder.path().join("superuser-password")
    }

    /// The certificate of the authority that signed the server's, in PEM.
    /// Panics with [`Tls::Off`].
    #[must_use]
    pub fn ca_file(&self) -> PathBuf {
        assert_ne!(
            self.tls,
            Tls::Off,
            "a server without TLS has no certificate"
        );
        self.folder.path().join(tls::AUTHORITY)
    }

    /// A certificate of the same authority, with which a role logs in where the
    /// method `cert` says so. Panics with [`Tls::Off`].
    #[must_use]
    pub fn client_certificate(&self, role: &str) -> Client {
        let authority = self.authority.as_ref();
        let authority = authority.expect("a server without TLS trusts no certificate");
        tls::client(authority, role).expect("cannot make a certificate")
    }

    /// The process id of the running server.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.process.as_ref().expect("the server is stopped").id()
    }

    /// All of its log so far.
    #[must_use]
    pub fn log(&self) -> String {
        let bytes = fs::read(self.log_file()).expect("cannot read the server's log");
        String::from_utf8_lossy(&bytes).into_owned()
    }

    fn log_file(&self) -> PathBuf {
        self.folder.path().join("server.log")
    }

    /// Ends its connections and stops it. Its port stays reserved: a connection
    /// is refused.
    pub fn stop(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.end(Signal::INT);
        }
    }

    /// Starts it again after [`Self::stop`], with the same port and data.
    pub fn start_again(&mut self) {
        assert!(self.process.is_none(), "the server is running");
        let log = OpenOptions::new()
            .create(true)
            .append(true)
            .mode(0o600)
            .open(self.log_file())
            .expect("cannot open the server's log");
        let mut command = self.installation.command("postgres", self.account);
        command
            .arg("-D")
            .arg(self.data())
            .current_dir(self.folder.path())
            .stdout(log.try_clone().expect("cannot duplicate a descriptor"))
            .stderr(log);
        if let Some(locales) = &self.locales {
            command.env("LOCPATH", locales);
        }
        let mut process = Process::spawn(&mut command, Ending::Quit)
            .unwrap_or_else(|error| panic!("{}", installation::cannot_run(&command, &error)));
        self.wait_until_ready(&mut process);
        self.process = Some(process);
    }

    /// What a crash is like: connections are cut without a word, and the server
    /// starts again with its recovery.
    pub fn restart_immediate(&mut self) {
        let process = self.process.as_mut().expect("the server is stopped");
        process.end(Signal::QUIT);
        self.process = None;
        self.start_again();
    }

    /// The server writes into its pid file when it is ready, as `pg_ctl` knows.
    fn wait_until_ready(&self, process: &mut Process) {
        let start = Instant::now();
        let id = process.id().to_string();
        loop {
            if let Some(status) = process.wait(Duration::from_millis(5)) {
                panic!("the server ended with {status}: {}", self.log());
            }
            let pid_file = fs::read_to_string(self.data().join("postmaster.pid"));
            let text = pid_file.unwrap_or_default();
            let mut lines = text.lines().map(str::trim);
            // Line 1 is the process id, line 8 the status.
            if lines.next() == Some(&*id) && lines.nth(6) == Some("ready") {
                return;
            }
            assert!(
                start.elapsed() < START_TIMEOUT,
                "the server is not ready after {START_TIMEOUT:?}: {}",
                self.log()
            );
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.end(Signal::QUIT);
        }
    }
}

fn read(path: &Path) -> String {
    fs::read_to_string(path)
        .unwrap_or_else(|error| panic!("cannot read {}: {error}", path.display()))
}

/// Writes a file; one that exists keeps its owner and mode.
fn write(path: &Path, text: &str) {
    fs::write(path, text)
        .unwrap_or_else(|error| panic!("cannot write {}: {error}", path.display()));
}

/// Writes a new file that only its owner can read.
fn write_private(path: &Path, text: &str) -> File {
    use std::io::Write as _;
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .and_then(|mut file| {
            file.write_all(text.as_bytes())?;
            Ok(file)
        })
        .unwrap_or_else(|error| panic!("cannot write {}: {error}", path.display()))
}

/// Makes a folder that belongs to the servers' account.
fn make_folder(path: &Path, account: Option<Account>) {
    fs::create_dir(path)
        .unwrap_or_else(|error| panic!("cannot create {}: {error}", path.display()));
    installation::give(path, account);
}

/// Runs a command to its end; panics with its stderr if it fails.
fn run(command: &mut Command) -> Vec<u8> {
    let output = command
        .output()
        .unwrap_or_else(|error| panic!("{}", installation::cannot_run(command, &error)));
    assert!(
        output.status.success(),
        "{} ended with {}: {}",
        command.get_program().to_string_lossy(),
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    output.stdout
}

/// What PostgreSQL keeps of a password, and takes in place of it: for logins that
/// don't take its 4,096 rounds.
#[must_use]
pub fn verifier(password: &str, rounds: u32) -> String {
    let salt: [u8; 16] = rand::random();
    let salted = pbkdf2::pbkdf2_hmac_array::<Sha256, 32>(password.as_bytes(), &salt, rounds);
    let key = |name: &[u8]| {
        let mut mac = Hmac::<Sha256>::new_from_slice(&salted).expect("a key of any length");
        mac.update(name);
        mac.finalize().into_bytes()
    };
    let stored = Sha256::digest(key(b"Client Key"));
    let [salt, stored, server] =
        [&salt[..], &stored, &key(b"Server Key")].map(|bytes| STANDARD.encode(bytes));
    format!("SCRAM-SHA-256${rounds}:{salt}${stored}:{server}")
}
