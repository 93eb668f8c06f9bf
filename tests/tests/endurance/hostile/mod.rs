//! Providers that mean harm: the command ends with a plain error, in time, without
//! taking much memory; it shows nothing raw, records nothing wrong, loses nothing, and
//! leaves no process behind.

mod act;

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use nixops4_resources_tests::provider::Provider;
use nixops4_resources_tests::sandbox::Sandbox;
use nixops4_resources_tests::{binaries, endurance};
use serde_json::{Map, Value, json};

use crate::fuzz::steers;
use crate::support;

use act::{ACTS, Act, FAKE};

/// How long a provider may take for one request, in seconds.
const LIMIT: &str = "2";
/// How long the command may take, which asks some again: a machine may be busy.
const PATIENCE: Duration = Duration::from_mins(2);
/// How often it is looked how much memory the command holds.
const LOOK: Duration = Duration::from_millis(20);
/// What it may hold, in bytes: a line of 64 MiB, twice, and what it is itself.
const MEMORY: u64 = 300 << 20;

/// A place with a provider of each act.
struct Den {
    sandbox: Sandbox,
    tame: PathBuf,
    identity: PathBuf,
}

/// What came out of the command, and what it took.
struct Ran {
    output: Output,
    most: u64,
}

impl Den {
    fn new() -> Self {
        let sandbox = Sandbox::new();
        let (identity, _) = support::secrets::identity(&sandbox);
        Self {
            tame: sandbox.work().join("tame"),
            identity,
            sandbox,
        }
    }

    /// Makes the provider of an act, and gives its executable.
    fn provider(&self, act: &Act) -> PathBuf {
        let description = json!({
            "name": "hostile", "description": "Means harm.", "executable": "hostile",
            "kinds": {"hostile_thing": {
                "description": "A thing.", "state": "optional", "inputs": {}, "outputs": {},
                "requests": ["createResourceRequest", "updateResourceRequest", "destroyResourceRequest"],
            }},
        });
        let settings = [
            ("TAME", self.tame.display().to_string()),
            ("WHEN", act.when.name().to_owned()),
            ("ACT", act.shell.to_owned()),
            ("DESCRIPTION", description.to_string()),
        ];
        let settings = settings.map(|(name, value)| {
            let quoted = value.replace('\'', r"'\''");
            format!("{name}='{quoted}'\n")
        });
        let (shebang, rest) = include_str!("provider.sh")
            .split_once('\n')
            .expect("a first line");
        let script = format!("{shebang}\n{}{rest}", settings.concat());
        let file = self
            .sandbox
            .write(format!("providers/{}", act.name), script);
        let executable = std::fs::Permissions::from_mode(0o700);
        std::fs::set_permissions(&file, executable).expect("it can be made executable");
        file
    }

    fn state(&self) -> PathBuf {
        self.sandbox.work().join("state.sqlite")
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let store = self.sandbox.work().join("secrets.db");
        let path = std::env::var_os("PATH").expect("there is a PATH");
        let path = std::iter::once(binaries::folder()).chain(std::env::split_paths(&path));
        let mut command = self.sandbox.command(binaries::path("nixops4-resources"));
        command
            .args(arguments)
            .args(["--timeout", LIMIT])
            .env("PATH", std::env::join_paths(path).expect("a PATH"))
            .env("STATE", self.state())
            .env("HOSTILE", self.sandbox.work().join("hostile.json"))
            .envs(support::secrets::environment(&store, &self.identity));
        command
    }

    /// Runs the command to its end, which comes in time.
    fn run(&self, arguments: &[&str]) -> Ran {
        let mut running = Provider::spawn(self.command(arguments));
        running.close_stdin();
        let begun = Instant::now();
        let mut most = 0;
        while running.wait(LOOK).is_none() {
            most = most.max(memory(running.id()));
            assert!(begun.elapsed() < PATIENCE, "{arguments:?} takes too long");
        }
        Ran {
            output: running.finish(),
            most,
        }
    }

    /// Runs it on the deployment of all acts.
    fn deployment(&self, arguments: &[&str]) -> Ran {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/endurance/hostile.nix");
        let file = file.to_str().expect("a path");
        self.run(&[arguments, &["--file", file]].concat())
    }

    /// The members on record.
    fn recorded(&self) -> Vec<String> {
        let listed = self.deployment(&["state", "list", "--json"]);
        let text = String::from_utf8_lossy(&listed.output.stdout).into_owned();
        let listed: Value = serde_json::from_str(&text).expect("JSON");
        let entries = listed["resources"].as_array().expect("a list").iter();
        let names = entries.map(|entry| entry["path"][0].as_str().expect("a name").to_owned());
        names.collect()
    }

    /// The providers that still run.
    fn providers(&self) -> Vec<String> {
        let processes = std::fs::read_dir("/proc").expect("there is a /proc");
        let place = self.sandbox.work().join("providers");
        let place = place.to_str().expect("a path");
        let lines = processes.filter_map(|entry| {
            let line = std::fs::read(entry.ok()?.path().join("cmdline")).ok()?;
            Some(String::from_utf8_lossy(&line).replace('\0', " "))
        });
        lines.filter(|line| line.contains(place)).collect()
    }

    fn assert_alone(&self) {
        assert_eq!(self.providers(), Vec::<String>::new(), "somebody is left");
    }
}

impl Ran {
    fn text(&self) -> String {
        let [stdout, stderr] = [&self.output.stdout, &self.output.stderr]
            .map(|bytes| String::from_utf8_lossy(bytes).into_owned());
        format!("{stdout}{stderr}")
    }

    /// What is wrong with how it failed: by itself, and saying so plainly.
    fn problem(&self) -> Option<String> {
        let text = self.text();
        let raw = |line: &&str| line.chars().any(steers);
        let fake = |line: &&str| line.starts_with(FAKE);
        if self.output.status.code() != Some(1) {
            return Some(format!("it ended with {}: {text}", self.output.status));
        }
        if self.most >= MEMORY {
            return Some(format!("it took {} MiB", self.most >> 20));
        }
        if text.contains("panicked") {
            return Some(text);
        }
        if let Some(line) = text.lines().find(raw) {
            return Some(format!("a terminal would obey {line:?}"));
        }
        let line = text.lines().find(fake)?;
        Some(format!("this isn't said by the command: {line:?}"))
    }
}

/// What a process holds, in bytes; nothing once it has ended.
fn memory(id: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{id}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kibibytes = line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<u64>().ok());
    kibibytes.unwrap_or_default() << 10
}

/// What is wrong with how the command takes each of them by itself.
fn alone(den: &Den) -> Vec<String> {
    let inputs = json!({"name": "x"}).to_string();
    let recorded = json!({"inputs": {"name": "x"}, "outputs": {}}).to_string();
    let next = AtomicUsize::new(0);
    let problems = Mutex::new(Vec::new());
    let ask_on = || {
        while let Some(act) = ACTS.get(next.fetch_add(1, Ordering::Relaxed)) {
            let provider = den.provider(act);
            let provider = provider.to_str().expect("a path");
            for arguments in [
                &["call", "create", "hostile_thing", "--inputs", &inputs][..],
                &["call", "destroy", "hostile_thing", "--recorded", &recorded],
            ] {
                let ran = den.run(&[arguments, &["--provider", provider]].concat());
                let problem = ran
                    .problem()
                    .map(|it| format!("{} {}: {it}", arguments[1], act.name));
                problems.lock().expect("nobody panics").extend(problem);
            }
        }
    };
    // Most of them are waited for.
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(ask_on);
        }
    });
    problems.into_inner().expect("nobody panics")
}

/// What is wrong with how the command takes all of them at once.
fn together(den: &Den) -> Vec<String> {
    let executable = |act: &Act| (act.name.to_owned(), json!(den.provider(act)));
    let all: Map<_, _> = ACTS.iter().map(executable).collect();
    den.sandbox
        .write("hostile.json", Value::Object(all).to_string());
    let mut names: Vec<_> = ACTS.iter().map(|act| act.name.to_owned()).collect();
    names.sort_unstable();
    let mut problems = Vec::new();
    let mut fails = |arguments: &[&str]| {
        let problem = den.deployment(arguments).problem();
        problems.extend(problem.map(|it| format!("{arguments:?}: {it}")));
    };
    let succeeds = |arguments: &[&str]| {
        std::fs::write(&den.tame, "").expect("a file");
        let ran = den.deployment(arguments);
        assert!(ran.output.status.success(), "{arguments:?}: {}", ran.text());
        std::fs::remove_file(&den.tame).expect("it was there");
    };

    // Nothing is recorded of what nobody has made, and who is honest isn't stopped.
    fails(&["apply"]);
    assert_eq!(den.recorded(), ["honest"]);
    succeeds(&["apply"]);
    // Nothing is forgotten of what nobody has removed.
    fails(&["destroy", "--yes"]);
    assert_eq!(den.recorded(), names);
    succeeds(&["destroy", "--yes"]);
    assert_eq!(den.recorded(), Vec::<String>::new());
    problems
}

#[test]
fn one_after_the_other() {
    let den = Den::new();
    assert_eq!(alone(&den), Vec::<String>::new());
    den.assert_alone();
    endurance::tell(&format!(
        "{} providers that mean harm, asked twice each by `call`",
        ACTS.len()
    ));
}

#[test]
fn all_in_one_deployment() {
    let den = Den::new();
    assert_eq!(together(&den), Vec::<String>::new());
    den.assert_alone();
    endurance::tell(&format!(
        "{} providers that mean harm in one deployment: none recorded, none lost",
        ACTS.len()
    ));
}
