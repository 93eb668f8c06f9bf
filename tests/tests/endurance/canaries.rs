//! A life of a deployment with a secret of each kind, told at length: no secret is in
//! what is printed, logged, recorded or kept in files, nor in what others see of the
//! processes. Each kind by itself, at each step, is `secrets_lifetime/canary.rs` and
//! the conformance suite.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use nixops4_resources_tests::binaries;
use nixops4_resources_tests::canary::{Canary, Flock};
use nixops4_resources_tests::endurance::{self, Rounds, count};
use nixops4_resources_tests::postgres::{Config, Server};
use nixops4_resources_tests::provider::Provider;
use nixops4_resources_tests::sandbox::Sandbox;
use serde_json::Value;

use crate::support;

/// How long one run of the command may take on a busy machine.
const PATIENCE: Duration = Duration::from_mins(5);
/// How often others look at the processes.
const LOOK: Duration = Duration::from_millis(3);
/// How much of each line of a key is looked for: what is longer is looked for by halves,
/// and the second one may be public.
const LINE: usize = 23;
/// What is kept in the store and is public.
const PUBLIC: [&str; 2] = ["secrets_password_hash", "secrets_sealed"];

struct Life {
    server: Server,
    sandbox: Sandbox,
    identity: PathBuf,
    keeper: Canary,
    unused: Canary,
    by_hand: PathBuf,
    /// All that came out, with what it came out of.
    said: Vec<(String, Output)>,
    /// What others could see of the processes.
    seen: BTreeSet<Vec<u8>>,
}

impl Life {
    fn new() -> Self {
        let server = Server::start(&Config::default());
        let sandbox = Sandbox::new();
        let (identity, _) = support::secrets::identity(&sandbox);
        let keeper = Canary::new();
        server.sql(&format!(
            "CREATE ROLE keeper LOGIN PASSWORD '{}'",
            nixops4_resources_tests::postgres::verifier(keeper.value(), 1)
        ));
        server.sql("CREATE DATABASE records OWNER keeper");
        let by_hand = sandbox.write("by-hand", Canary::new().value());
        Self {
            server,
            sandbox,
            identity,
            keeper,
            unused: Canary::new(),
            by_hand,
            said: Vec::new(),
            seen: BTreeSet::new(),
        }
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let path = std::env::var_os("PATH").expect("there is a PATH");
        let path = std::iter::once(binaries::folder()).chain(std::env::split_paths(&path));
        let store = self.sandbox.work().join("secrets.db");
        let mut command = self.sandbox.command(binaries::path("nixops4-resources"));
        command
            .args(arguments)
            .env("PATH", std::env::join_paths(path).expect("a PATH"))
            .env("HOST", self.server.host())
            .env("PORT", self.server.port().to_string())
            .env(
                "SUPERUSER_PASSWORD_FILE",
                self.server.superuser_password_file(),
            )
            .env("KEEPER_PASSWORD", self.keeper.value())
            .env("NIXOPS4_RESOURCES_LOG", "trace")
            .env("UNUSED", self.unused.value())
            .envs(support::secrets::environment(&store, &self.identity));
        command
    }

    /// Runs the command with this much said, and looks at all processes meanwhile.
    fn run(&mut self, arguments: &[&str], set: &[(&str, &str)]) -> String {
        let mut command = self.command(arguments);
        command.envs(set.iter().copied());
        let ended = AtomicBool::new(false);
        let (output, seen) = std::thread::scope(|scope| {
            let looking = scope.spawn(|| look(self.sandbox.path(), &ended));
            let mut running = Provider::spawn(command);
            running.close_stdin();
            let in_time = running.wait(PATIENCE);
            ended.store(true, Ordering::Relaxed);
            assert!(in_time.is_some(), "{arguments:?} takes too long");
            (running.finish(), looking.join().expect("it looks"))
        });
        self.seen.extend(seen);
        let label = arguments.join(" ");
        let stderr = String::from_utf8_lossy(&output.stderr);
        let code = output.status.code();
        assert!(matches!(code, Some(0 | 2)), "{label}: {code:?} {stderr}");
        let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
        self.said.push((label, output));
        stdout
    }

    /// Runs it on the expression.
    fn deployment(&mut self, arguments: &[&str], set: &[(&str, &str)]) -> String {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/endurance/canaries.nix");
        let file = file.to_str().expect("a path");
        self.run(&[arguments, &["--file", file]].concat(), set)
    }

    /// Every secret of the store, all generations of it.
    fn made(&self) -> Vec<String> {
        let out = |arguments: &[&str]| {
            let output = self.command(arguments).output().expect("it runs");
            let stderr = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success(), "{arguments:?}: {stderr}");
            String::from_utf8(output.stdout).expect("text")
        };
        let listed: Value =
            serde_json::from_str(&out(&["secret", "list", "--json"])).expect("JSON");
        let mut values = Vec::new();
        for secret in listed.as_array().expect("a list") {
            let kind = secret["kind"].as_str().expect("a kind");
            if PUBLIC.contains(&kind) {
                continue;
            }
            let name = secret["name"].as_str().expect("a name");
            for generation in secret["generations"].as_array().expect("generations") {
                let number = generation["generation"].to_string();
                let shown = [
                    "secret",
                    "show",
                    name,
                    "--generation",
                    &number,
                    "--to-pipe-or-file",
                ];
                values.push(out(&shown));
            }
        }
        values
    }

    /// All that must not be seen.
    fn canaries(&self) -> Flock {
        let read = |path: &Path| std::fs::read_to_string(path).expect("a file");
        let identity = read(&self.identity);
        let key = identity
            .lines()
            .find(|line| line.starts_with("AGE-SECRET-KEY-"));
        let mut values = vec![
            self.keeper.value().to_owned(),
            self.unused.value().to_owned(),
            read(&self.by_hand),
            read(&self.server.superuser_password_file()),
            key.expect("a private key").to_owned(),
        ];
        values.extend(self.made());
        let parts: BTreeSet<_> = values.iter().flat_map(|value| parts(value)).collect();
        Flock::new(parts.into_iter().map(Canary::with).collect())
    }
}

/// What of a secret is looked for by itself: of a key in PEM, how each line begins.
fn parts(value: &str) -> Vec<&str> {
    let value = value.trim_end();
    if !value.contains('\n') {
        return vec![value];
    }
    let lines = value.lines().filter(|line| !line.starts_with("-----"));
    let mut lines: Vec<_> = lines.collect();
    // The public half is in the last, and that of OpenSSH also in the first two.
    lines.pop();
    if value.contains("BEGIN OPENSSH") {
        lines.drain(..2);
    }
    let long = lines.into_iter().filter_map(|line| line.get(..LINE));
    long.collect()
}

/// What others see of the processes that work in a folder: arguments, and what those
/// of the same user see, environments.
fn look(folder: &Path, ended: &AtomicBool) -> BTreeSet<Vec<u8>> {
    let mut seen = BTreeSet::new();
    while !ended.load(Ordering::Relaxed) {
        let processes = std::fs::read_dir("/proc").expect("there is a /proc");
        for entry in processes.filter_map(Result::ok) {
            let of = entry.path();
            let is_one = std::fs::read_link(of.join("cwd")).is_ok_and(|at| at.starts_with(folder));
            if !is_one {
                continue;
            }
            // It may end at any time.
            seen.extend(std::fs::read(of.join("cmdline")));
            // The two variables that have a secret are of whoever runs it.
            let environment = std::fs::read(of.join("environ")).unwrap_or_default();
            let variables = environment.split(|byte| *byte == 0);
            let meant = [&b"KEEPER_PASSWORD="[..], b"UNUSED="];
            let others = variables.filter(|it| !meant.iter().any(|name| it.starts_with(name)));
            seen.extend(others.map(<[u8]>::to_vec));
        }
        std::thread::sleep(LOOK);
    }
    seen
}

/// Gives how many secrets there were, and how many bytes were searched for them.
fn live() -> (usize, u64) {
    let mut it = Life::new();
    let [first, second] = [("GENERATION", "1"), ("GENERATION", "2")];
    let by_hand = it.by_hand.display().to_string();
    it.run(
        &[
            "secret", "set", "by/hand", "--owner", "canaries", "--from", &by_hand,
        ],
        &[],
    );
    it.deployment(&["plan", "--json"], &[first]);
    it.deployment(&["apply"], &[first]);
    it.deployment(&["plan", "-v"], &[first]);
    it.server
        .sql("ALTER ROLE app PASSWORD 'by somebody' CONNECTION LIMIT 1");
    it.deployment(&["drift", "--json"], &[first]);
    it.deployment(&["plan"], &[second]);
    it.deployment(&["apply", "--json"], &[second]);
    for arguments in [
        &["state", "list", "--json"][..],
        &["state", "show", "role"],
        &["state", "show", "sealed", "--json"],
        &["state", "history"],
        &["secret", "list", "--json"],
        &["secret", "audit", "--json"],
    ] {
        if arguments[0] == "state" {
            it.deployment(arguments, &[second]);
        } else {
            it.run(arguments, &[]);
        }
    }
    // Before they are gone.
    let canaries = it.canaries();
    let less = [second, ("LESS", "1")];
    it.deployment(&["gc", "--yes"], &less);
    it.deployment(&["destroy", "--yes"], &less);

    for (label, output) in &it.said {
        canaries.assert_absent(format!("stdout of {label}"), &output.stdout);
        canaries.assert_absent(format!("stderr of {label}"), &output.stderr);
    }
    for bytes in &it.seen {
        canaries.assert_absent("what others see of a process", bytes);
    }
    canaries.assert_absent("the server's log", it.server.log());
    let everything = it
        .server
        .sql_in("records", "SELECT s::text FROM nixops4.event s");
    assert!(!everything.is_empty(), "nothing was recorded");
    canaries.assert_absent("the recorded state", everything);
    let planted = [it.identity.as_path(), &it.by_hand];
    canaries.assert_absent_in_dir_except(it.sandbox.path(), &planted);
    (canaries.len(), canaries.searched())
}

#[test]
fn none_is_seen_in_the_life_of_a_deployment() {
    let rounds = Rounds::small(1);
    let (mut lives, mut canaries, mut bytes) = (0, 0, 0);
    while let Some(_seed) = rounds.next_seed() {
        let (planted, searched) = live();
        canaries += planted;
        bytes += searched;
        lives += 1;
    }
    endurance::tell(&format!(
        "{canaries} canaries in {lives} deployments, none of them in the {} bytes that were searched",
        count(bytes)
    ));
}
