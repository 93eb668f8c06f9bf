//! Where everything runs: a folder that goes away, a server, the executables.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use memchr::memmem;
use nixops4_resources_tests::postgres::{Config, Server};
use nixops4_resources_tests::sandbox::Sandbox;
use serde_json::{Value, json};

/// The variable that names the folder of the executables.
const BIN: &str = "BENCH_BIN";

/// The executables that are measured.
const EXECUTABLES: [&str; 5] = [
    "nixops4-resources",
    "nixops4-resources-garage",
    "nixops4-resources-postgresql",
    "nixops4-resources-secrets",
    "nixops4-resources-state",
];

/// The SDK's example of a provider, which needs no server.
const SCRATCH: &str = "scratch";

/// The store of secrets that `main` means.
const STORE: &str = "secrets.sqlite";
const IDENTITY: &str = "identity";

/// See above.
pub(crate) struct Place {
    pub(crate) server: Server,
    pub(crate) sandbox: Sandbox,
    bin: PathBuf,
}

impl Place {
    pub(crate) fn new() -> Self {
        let sandbox = Sandbox::new();
        let bin = copy_executables(&sandbox);
        let server = Server::start(&Config {
            log_statements: false,
            // As on a server that keeps what it was told.
            settings: [
                ("fsync", "on"),
                ("full_page_writes", "on"),
                ("shared_buffers", "128MB"),
            ]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into(),
            login_rounds: 4096,
            ..Config::default()
        });
        for name in ["store", "state", "log", "conf"] {
            fs::create_dir_all(nix_folder(&sandbox).join(name)).expect("cannot create a folder");
        }
        let place = Self {
            server,
            sandbox,
            bin,
        };
        let mut keygen = place.command("nixops4-resources-secrets");
        succeed(keygen.arg("keygen").arg(place.file(IDENTITY)));
        place
    }

    /// An executable of ours, with everything that it needs from outside.
    pub(crate) fn command(&self, executable: &str) -> Command {
        let mut command = self.foreign(self.bin.join(executable));
        command
            .env("NIXOPS4_SECRETS_IDENTITY", self.file(IDENTITY))
            .env(
                "NIXOPS4_SECRETS_STORES",
                format!("main=sqlite:{}", self.file(STORE).display()),
            );
        command
    }

    /// Somebody else's program, with the same Nix store.
    pub(crate) fn foreign(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let nix = nix_folder(&self.sandbox);
        let mut command = self.sandbox.command(program);
        command
            .env("NIX_STORE_DIR", nix.join("store"))
            .env("NIX_STATE_DIR", nix.join("state"))
            .env("NIX_LOG_DIR", nix.join("log"))
            .env("NIX_CONF_DIR", nix.join("conf"))
            .env("NIX_CONFIG", "build-users-group =")
            .env("NIX_REMOTE", "local");
        command
    }

    /// A path in the folder that commands run in.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.sandbox.work().join(name)
    }

    /// The input `connection` of what is made on the server.
    pub(crate) fn connection(&self) -> Value {
        json!({
            "host": self.server.host(),
            "port": self.server.port(),
            "password": { "file": self.server.superuser_password_file() },
        })
    }

    /// The scratch provider of the SDK.
    pub(crate) fn scratch(&self) -> PathBuf {
        self.bin.join(SCRATCH)
    }

    /// What the command says of its version.
    pub(crate) fn version(&self) -> String {
        let text = succeed(self.command("nixops4-resources").arg("--version"));
        text.trim().to_owned()
    }
}

/// Runs a command, gives its stdout, and panics with its stderr if it fails.
pub(crate) fn succeed(command: &mut Command) -> String {
    let output = command
        .output()
        .unwrap_or_else(|error| panic!("cannot run {}: {error}", command.get_program().display()));
    assert!(
        output.status.success(),
        "{} ended with {}:\n{}{}",
        command.get_program().display(),
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).expect("a program of ours writes UTF-8")
}

fn nix_folder(sandbox: &Sandbox) -> PathBuf {
    sandbox.home().join("nix")
}

/// Another `cargo build` may replace the originals while we measure.
fn copy_executables(sandbox: &Sandbox) -> PathBuf {
    let from = std::env::var_os(BIN).map_or_else(
        || panic!("{BIN} does not say where the executables are: run scripts/bench.sh"),
        PathBuf::from,
    );
    let to = sandbox.path().join("bin");
    fs::create_dir(&to).expect("cannot create a folder");
    let executables = EXECUTABLES.map(|name| (name, from.join(name)));
    let scratch = (SCRATCH, from.join("examples").join(SCRATCH));
    for (name, original) in executables.into_iter().chain([scratch]) {
        refuse_failpoints(&original);
        fs::copy(&original, to.join(name))
            .unwrap_or_else(|error| panic!("cannot copy {}: {error}", original.display()));
    }
    to
}

/// Failpoints take time and memory that users don't pay.
fn refuse_failpoints(executable: &Path) {
    let bytes = fs::read(executable)
        .unwrap_or_else(|error| panic!("cannot read {}: {error}", executable.display()));
    assert!(
        memmem::find(&bytes, b"FAILPOINTS").is_none(),
        "{} carries failpoints: build it with `cargo build --release`, without the tests",
        executable.display()
    );
}
