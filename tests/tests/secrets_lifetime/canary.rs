//! That no secret and no private key shows: in what is printed, recorded, logged
//! and said of what is broken, and in what others see of a process at work.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use nixops4_resources_tests::binaries;
use nixops4_resources_tests::canary::Canary;
use nixops4_resources_tests::messages;
use nixops4_resources_tests::provider::{Provider, TIMEOUT, oneshot};
use nixops4_secrets_store::ExposeSecret as _;
use serde_json::{Value, json};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions as _, Connection as _};

use crate::{Site, support};

const PASSWORD: &str = "secrets_password";
const HASH: &str = "secrets_password_hash";
/// What a failpoint of ours is called: an open secret, and one that was made.
const OPENED: &str = "store:decrypted";
const MADE: &str = "secret:made";

/// A store with secrets in it, and all that has to stay in there.
struct Planted {
    site: Site,
    /// The reference to a password.
    password: Value,
    canaries: Vec<Canary>,
}

impl Planted {
    fn new() -> Self {
        let site = Site::new();
        let made = site.make(PASSWORD, &json!({"name": "app/db", "length": 40}));
        site.make("secrets_token", &json!({"name": "app/session"}));
        site.make("secrets_ssh_key", &json!({"name": "host/key"}));
        site.make("secrets_age_key", &json!({"name": "backup"}));
        let hash = site.make(HASH, &hash_of("app/hash", &made["secret"]));
        assert!(hash["hash"].is_string(), "{hash}");
        Self {
            canaries: canaries(&site),
            password: made["secret"].clone(),
            site,
        }
    }

    fn assert_silent(&self, label: &str, output: &Output) {
        for canary in &self.canaries {
            canary.assert_absent(format!("stdout of {label}"), &output.stdout);
            canary.assert_absent(format!("stderr of {label}"), &output.stderr);
        }
    }

    /// A request that opens the password.
    fn opening(&self) -> Value {
        let inputs = Site::inputs(&hash_of("app/other-hash", &self.password));
        messages::create(HASH, &inputs, true)
    }

    fn provider(&self) -> Command {
        let mut command = self.site.command();
        command.env("NIXOPS4_RESOURCES_LOG", "trace");
        command
    }

    /// `nixops4-resources`, with the providers on its `PATH`.
    fn cli(&self, arguments: &[&str]) -> Command {
        let executable = binaries::path("nixops4-resources");
        let mut command = self.site.sandbox.command(executable);
        let path = std::env::var_os("PATH").expect("there is a PATH");
        let path = std::iter::once(binaries::folder()).chain(std::env::split_paths(&path));
        command
            .env("PATH", std::env::join_paths(path).expect("a PATH"))
            .envs(support::secrets::environment(
                &self.site.store,
                &self.site.identity,
            ))
            .env("NIXOPS4_RESOURCES_LOG", "trace")
            .args(arguments);
        command
    }

    /// Runs it to its end; nothing shows.
    fn run(&self, arguments: &[&str]) -> String {
        let output = oneshot(self.cli(arguments), [""; 0]);
        self.assert_silent(&format!("{arguments:?}"), &output);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{arguments:?}: {stderr}");
        String::from_utf8(output.stdout).expect("text")
    }

    /// What others see of a process: its arguments, its environment, and that its
    /// memory is never written to disk.
    fn assert_discreet(&self, id: u32) {
        let of = |name: &str| fs::read(format!("/proc/{id}/{name}"));
        let arguments = of("cmdline").expect("it runs");
        assert!(!arguments.is_empty(), "{id} has ended");
        let environment = match of("environ") {
            // Nobody but root may look.
            Err(error) if error.kind() == ErrorKind::PermissionDenied => Vec::new(),
            found => {
                let found = found.expect("it runs");
                let text = String::from_utf8_lossy(&found);
                assert!(text.contains("NIXOPS4_SECRETS_IDENTITY="), "{text}");
                found
            }
        };
        for canary in &self.canaries {
            canary.assert_absent("the arguments", &arguments);
            canary.assert_absent("the environment", &environment);
        }
        assert!(dumps_no_core(id), "{id} can dump core");
    }
}

/// Every value of a store that is a secret, and the key that opens it.
fn canaries(site: &Site) -> Vec<Canary> {
    let identity = fs::read_to_string(&site.identity).expect("an identity");
    let key = identity
        .lines()
        .find(|line| line.starts_with("AGE-SECRET-KEY-"))
        .expect("a private key");
    let mut canaries = vec![Canary::with(key)];
    site.runtime.block_on(async {
        let mut store = site.open().await;
        for entry in store.list().await.expect("a list") {
            // A hash is public.
            if entry.kind == HASH {
                continue;
            }
            let newest = entry.newest().expect("a value").generation;
            let value = store.reveal(&entry.name, newest, None).await;
            canaries.push(Canary::with(value.expect("a value").expose_secret()));
        }
        store.close().await.expect("it is closed");
    });
    assert!(canaries.len() >= 5, "{}", canaries.len());
    canaries
}

fn hash_of(name: &str, password: &Value) -> Value {
    json!({"name": name, "secret": password, "algorithm": "sha512crypt"})
}

fn dumps_no_core(id: u32) -> bool {
    let limits = fs::read_to_string(format!("/proc/{id}/limits")).expect("it runs");
    let mut lines = limits.lines();
    let line = lines.find_map(|line| line.strip_prefix("Max core file size"));
    let fields: Vec<_> = line.expect("a limit").split_whitespace().collect();
    fields[..2] == ["0", "0"]
}

/// Waits until something is so.
fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < TIMEOUT, "{what} never comes");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Waits until a process says on stderr that it is at a failpoint.
fn until_at(point: &str, running: &Provider) {
    until(point, || {
        String::from_utf8_lossy(&running.stderr()).contains(point)
    });
}

/// The processes that a process has started.
fn children(parent: u32) -> Vec<u32> {
    let is_child = |id: &u32| {
        let status = fs::read_to_string(format!("/proc/{id}/status")).unwrap_or_default();
        let mut lines = status.lines();
        let of = lines.find_map(|line| line.strip_prefix("PPid:"));
        of.is_some_and(|of| of.trim() == parent.to_string())
    };
    let processes = fs::read_dir("/proc").expect("there is a /proc");
    let ids = processes.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    ids.filter(is_child).collect()
}

#[test]
fn nothing_is_printed_or_recorded() {
    let it = Planted::new();
    let password = r#"{"owner": "lifetime", "name": "app/db", "length": 40}"#;
    let hash = hash_of("app/new-hash", &it.password).to_string();
    let hash = hash.replacen('{', r#"{"owner": "lifetime", "#, 1);
    let call =
        |request, kind, inputs| it.run(&["call", request, kind, "--json", "--inputs", inputs]);
    for request in ["create", "plan", "read"] {
        let answer = call(request, PASSWORD, password);
        assert!(answer.starts_with('{'), "{request}: {answer}");
    }
    assert!(call("create", HASH, &hash).contains("$6$"));
    assert!(it.run(&["describe", "--json"]).contains(PASSWORD));
    assert!(it.run(&["describe", HASH]).contains("sha512crypt"));
    assert!(it.run(&["secret", "list", "--json"]).contains("app/db"));

    let records = it.run(&["secret", "audit", "--json"]);
    let records: Value = serde_json::from_str(&records).expect("JSON");
    let actions = records.as_array().expect("records").iter();
    let actions: Vec<_> = actions.map(|record| &record["action"]).collect();
    for action in ["created", "made", "read"] {
        assert!(actions.contains(&&json!(action)), "{records}");
    }
    // The store's bytes are there too.
    for canary in &it.canaries {
        canary.assert_absent_in_dir_except(it.site.sandbox.path(), &[&it.site.identity]);
    }
}

#[test]
fn nothing_shows_in_a_deployments_plan() {
    let (site, outputs) = crate::applied::example_from_its_plan_on();
    for canary in canaries(&site) {
        for output in &outputs {
            canary.assert_absent("stdout", &output.stdout);
            canary.assert_absent("stderr", &output.stderr);
        }
    }
}

#[test]
fn a_provider_at_work_shows_nothing() {
    let it = Planted::new();
    let new = Site::inputs(&json!({"name": "app/new"}));
    for (point, request) in [
        (OPENED, it.opening()),
        (MADE, messages::create(PASSWORD, &new, true)),
    ] {
        let mut command = it.provider();
        command.env("FAILPOINTS", format!("{point}=pause"));
        let mut running = Provider::spawn(command);
        running.send(request.to_string());
        until_at(point, &running);
        it.assert_discreet(running.id());
        it.assert_silent(point, &running.kill());
    }
}

#[test]
fn a_provider_that_the_command_started_shows_nothing() {
    let it = Planted::new();
    let inputs = it.opening()["createResourceRequest"]["inputProperties"].to_string();
    let mut command = it.cli(&["call", "create", HASH, "--json", "--inputs", &inputs]);
    command.env("FAILPOINTS", format!("{OPENED}=pause"));
    let running = Provider::spawn(command);
    until_at(OPENED, &running);
    let children = children(running.id());
    assert!(!children.is_empty());
    for child in children {
        it.assert_discreet(child);
    }
    // It has no secret itself, and its memory is nobody's business here.
    let arguments = fs::read(format!("/proc/{}/cmdline", running.id())).expect("it runs");
    for canary in &it.canaries {
        canary.assert_absent("the command's arguments", &arguments);
    }
    it.assert_silent("the command", &running.kill());
}

#[test]
fn the_command_shows_a_secret_on_stdout_alone() {
    let it = Planted::new();
    // It opens the secret, and then waits: what can't be recorded isn't shown.
    let mut lock = it.site.runtime.block_on(async {
        let store = SqliteConnectOptions::new().filename(&it.site.store);
        let mut lock = store.connect().await.expect("the store");
        let locked = sqlx::query("BEGIN IMMEDIATE").execute(&mut lock).await;
        locked.expect("nobody else writes");
        lock
    });
    let mut running = Provider::spawn(it.cli(&["secret", "show", "app/db", "--to-pipe-or-file"]));
    running.close_stdin();
    until("no core dump", || dumps_no_core(running.id()));
    std::thread::sleep(Duration::from_millis(500));
    it.assert_discreet(running.id());
    assert_eq!(running.stdout(), b"", "it has not waited");
    it.site.runtime.block_on(async {
        let free = sqlx::query("ROLLBACK").execute(&mut lock).await;
        free.expect("it is free again");
        lock.close().await.expect("it is closed");
    });
    let output = running.finish();
    let stdout = String::from_utf8_lossy(&output.stdout);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{stderr}");
    let mut values = it.canaries.iter().map(Canary::value);
    assert!(values.any(|value| stdout.trim_end() == value));
    for canary in &it.canaries {
        canary.assert_absent("stderr", &output.stderr);
    }
}

#[test]
fn a_panic_says_where_and_not_what() {
    let it = Planted::new();
    for point in [OPENED, MADE] {
        let said = Canary::new();
        let mut command = it.provider();
        command
            .env("FAILPOINTS", format!("{point}=panic({})", said.value()))
            .env("RUST_BACKTRACE", "full");
        let output = oneshot(command, [it.opening().to_string()]);
        it.assert_silent(point, &output);
        said.assert_absent("stdout", &output.stdout);
        said.assert_absent("stderr", &output.stderr);
        let stdout = String::from_utf8_lossy(&output.stdout);
        assert!(stdout.contains("by a bug of its own"), "{point}: {stdout}");
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(stderr.contains("panicked at"), "{point}: {stderr}");
    }
}

/// Asks a provider to open the password in a damaged store, and the command for
/// a list. Gives whether either refuses.
fn is_refused(it: &Planted, label: &str, store: &Path) -> bool {
    let damaged = support::secrets::environment(store, &it.site.identity);
    let mut provider = it.provider();
    provider.envs(damaged.clone());
    let mut list = it.cli(&["secret", "list", "--json"]);
    list.envs(damaged);
    let answered = oneshot(provider, [it.opening().to_string()]);
    let listed = oneshot(list, [""; 0]);
    for output in [&answered, &listed] {
        it.assert_silent(label, output);
        assert!(output.status.code().is_some(), "{label} ended a process");
    }
    let answer = String::from_utf8_lossy(&answered.stdout);
    assert!(!answer.contains("by a bug of its own"), "{label}: {answer}");
    answer.contains("errorResponse") || !listed.status.success()
}

#[test]
fn a_damaged_store_says_nothing_of_what_is_in_it() {
    let it = Planted::new();
    let whole = fs::read(&it.site.store).expect("the store");
    assert!(!is_refused(
        &it,
        "a copy",
        &it.site.sandbox.write("copy", &whole)
    ));
    for part in 0..8 {
        let length = whole.len() * part / 8;
        let cut = it.site.sandbox.write("cut", &whole[..length]);
        let label = format!("a store of {length} bytes");
        assert!(is_refused(&it, &label, &cut), "{label}");
    }
    let mut refused = 0;
    // An odd distance, so that all parts of a page are met.
    for at in (0..whole.len()).step_by(whole.len() / 40 + 1) {
        let mut damaged = whole.clone();
        damaged[at] ^= 0x10;
        let damaged = it.site.sandbox.write("damaged", &damaged);
        let label = format!("a store with another bit at {at}");
        refused += usize::from(is_refused(&it, &label, &damaged));
    }
    assert!(refused > 0, "no bit mattered");
}
