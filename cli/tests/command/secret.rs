//! `secret`, on a store in a folder of its own.

use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use nixops4_secrets_store::Identities;
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use serde_json::Value;
use tempfile::TempDir;

use crate::support::{Ran, ran};

const CANARY: &str = "canary-91c2e4";

struct Place {
    folder: TempDir,
}

impl Place {
    fn new() -> Self {
        let folder = TempDir::new().unwrap();
        Identities::generate(folder.path().join("identity")).unwrap();
        Self { folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let store = format!("main=sqlite:{}", self.path("secrets.db").display());
        let mut command = Command::new(env!("CARGO_BIN_EXE_nixops4-resources"));
        command
            .arg("secret")
            .args(arguments)
            .env("NO_COLOR", "1")
            .env("NIXOPS4_SECRETS_STORES", store)
            .env("NIXOPS4_SECRETS_IDENTITY", self.path("identity"))
            .stdin(Stdio::null());
        command
    }

    fn run(&self, arguments: &[&str]) -> Ran {
        ran(&mut self.command(arguments))
    }

    /// Runs it with that on stdin.
    fn fed(&self, text: &str, arguments: &[&str]) -> Ran {
        let mut command = self.command(arguments);
        command.stdin(Stdio::piped());
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        child
            .stdin
            .take()
            .unwrap()
            .write_all(text.as_bytes())
            .unwrap();
        let output = child.wait_with_output().unwrap();
        Ran {
            code: output.status.code(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }

    fn json(&self, arguments: &[&str]) -> Value {
        let mut all = vec!["--json"];
        all.extend_from_slice(arguments);
        serde_json::from_str(&self.run(&all).expect(0).stdout).unwrap()
    }

    /// What the record says was done, oldest first.
    fn actions(&self) -> Vec<String> {
        let records = self.json(&["audit"]);
        let records = records.as_array().unwrap().iter().rev();
        records
            .map(|record| record["action"].as_str().unwrap().to_owned())
            .collect()
    }

    /// With the canary as `app/smtp`.
    fn with_secret() -> Self {
        let place = Self::new();
        let set = place.fed(
            &format!("{CANARY}\n"),
            &["set", "app/smtp", "--owner", "prod"],
        );
        set.expect(0)
            .says("kept app/smtp generation 1")
            .never_says(CANARY);
        place
    }
}

/// Runs a command on a terminal of its own, typing `answer` once it asked.
pub(crate) fn on_terminal(command: &mut Command, answer: &str) -> (Option<i32>, String) {
    let terminal = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&terminal).unwrap();
    unlockpt(&terminal).unwrap();
    let name = ptsname(&terminal, Vec::new()).unwrap();
    let ours = File::options()
        .read(true)
        .write(true)
        .open(name.to_str().unwrap())
        .unwrap();
    let copy = || OwnedFd::from(ours.try_clone().unwrap());
    let mut child = command
        .stdin(copy())
        .stdout(copy())
        .stderr(copy())
        .spawn()
        .unwrap();
    // The command holds its own copies still.
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    drop(ours);
    let mut terminal = File::from(terminal);
    let mut seen = String::new();
    let mut bytes = [0; 1024];
    // It ends with an error once nobody has the other side open.
    while let Ok(length @ 1..) = terminal.read(&mut bytes) {
        seen.push_str(std::str::from_utf8(&bytes[..length]).unwrap());
        let asks = ["[y/N] ", "shown): ", "Type yes: "];
        if asks.iter().any(|question| seen.ends_with(question)) {
            // What is typed before echo is off would be seen.
            std::thread::sleep(Duration::from_millis(300));
            terminal.write_all(answer.as_bytes()).unwrap();
        }
    }
    (child.wait().unwrap().code(), seen)
}

#[test]
fn a_value_is_kept_and_listed_without_it() {
    let place = Place::with_secret();
    place
        .run(&["list"])
        .expect(0)
        .says("app/smtp")
        .says("secrets_value")
        .never_says(CANARY);
    let list = place.json(&["list"]);
    assert_eq!(list[0]["name"], "app/smtp");
    assert_eq!(list[0]["owner"], "prod");
    assert_eq!(list[0]["generations"][0]["generation"], 1);
    assert!(!list.to_string().contains(CANARY));
    assert_eq!(place.actions(), ["created", "made"]);

    // A second value, from a file; then one that is there already.
    fs::write(place.path("value"), "two").unwrap();
    let file = place.path("value");
    let file = file.to_str().unwrap();
    place
        .run(&["set", "app/smtp", "--from", file])
        .expect(0)
        .says("generation 2");
    place
        .run(&["set", "app/smtp", "--from", file, "--generation", "1"])
        .expect(1)
        .says("has a generation 1 already");
    let shown = place.run(&["show", "app/smtp", "--to-pipe-or-file", "--generation", "1"]);
    assert_eq!(shown.expect(0).stdout, format!("{CANARY}\n"));
    let shown = place.run(&["show", "app/smtp", "--to-pipe-or-file"]);
    assert_eq!(shown.expect(0).stdout, "two\n");
    assert_eq!(
        place.actions(),
        ["created", "made", "rotated", "shown", "shown"]
    );
    place
        .run(&["audit", "app/smtp", "--limit", "1"])
        .expect(0)
        .says("shown app/smtp generation 2, for prod")
        .never_says("made");
}

#[test]
fn what_is_refused() {
    let place = Place::with_secret();
    for (arguments, code, says) in [
        (&["show", "app/smtp"][..], 1, "say --to-pipe-or-file"),
        (
            &["--json", "show", "app/smtp", "--to-pipe-or-file"],
            64,
            "leave --json out",
        ),
        (
            &["show", "none", "--to-pipe-or-file"],
            1,
            "there is no secret none",
        ),
        (
            &["show", "app/smtp", "--to-pipe-or-file", "--generation", "7"],
            1,
            "generations kept: 1",
        ),
        (&["set", "new"], 64, "say with --owner"),
        (
            &["set", "app/smtp", "--owner", "test"],
            64,
            "belongs to \"prod\"",
        ),
        (
            &["set", "app/smtp"],
            1,
            "unable to read the value from stdin: it is empty",
        ),
        (&["set", "app/smtp", "value"], 64, "unexpected argument"),
        (&["rotate", "none"], 1, "there is no secret none"),
        (
            &["--store", "other", "list"],
            1,
            "no secrets store is called \"other\"",
        ),
        (&["recipients", "add", "nonsense"], 64, "not a recipient"),
        (&["recipients", "remove", "nonsense"], 64, "not a recipient"),
    ] {
        place
            .run(arguments)
            .expect(code)
            .says(says)
            .never_says(CANARY);
    }
    assert_eq!(place.actions(), ["created", "made"]);

    let empty = Place::new();
    empty.run(&["list"]).expect(1).says("does not exist");
    empty
        .command(&["list"])
        .env_remove("NIXOPS4_SECRETS_IDENTITY")
        .output()
        .map(|output| assert!(String::from_utf8_lossy(&output.stderr).contains("is not set")))
        .unwrap();
}

#[test]
fn showing_on_a_terminal_asks_first() {
    let place = Place::with_secret();
    let (code, seen) = on_terminal(&mut place.command(&["show", "app/smtp"]), "n\n");
    assert_eq!(code, Some(1), "{seen}");
    assert!(seen.contains("Show secret app/smtp generation 1"), "{seen}");
    assert!(!seen.contains(CANARY), "{seen}");
    assert_eq!(place.actions(), ["created", "made"]);

    let (code, seen) = on_terminal(&mut place.command(&["show", "app/smtp"]), "y\n");
    assert_eq!(code, Some(0), "{seen}");
    assert!(seen.contains(CANARY), "{seen}");
    let (code, seen) = on_terminal(&mut place.command(&["show", "app/smtp", "--yes"]), "");
    assert_eq!(code, Some(0), "{seen}");
    assert!(seen.contains(CANARY) && !seen.contains("[y/N]"), "{seen}");
    assert_eq!(place.actions(), ["created", "made", "shown", "shown"]);
}

#[test]
fn what_is_typed_as_a_value_is_not_shown() {
    let place = Place::with_secret();
    let answer = format!("{CANARY}-typed\n");
    let (code, seen) = on_terminal(&mut place.command(&["set", "app/smtp"]), &answer);
    assert_eq!(code, Some(0), "{seen}");
    assert!(!seen.contains(CANARY), "{seen}");
    let shown = place.run(&["show", "app/smtp", "--to-pipe-or-file"]);
    assert_eq!(shown.expect(0).stdout, answer);

    // Ctrl-C, which is no signal there, and then the end of the line.
    let (code, seen) = on_terminal(&mut place.command(&["set", "app/smtp"]), "half\u{3}\n");
    assert_eq!(code, Some(1), "{seen}");
    assert!(seen.contains("interrupted"), "{seen}");
}

#[test]
fn a_rotation_is_asked_for_once() {
    let place = Place::with_secret();
    place
        .run(&["rotate", "app/smtp"])
        .expect(0)
        .says("a new value of app/smtp is due");
    place
        .run(&["rotate", "app/smtp"])
        .expect(0)
        .says("is due since");
    assert!(place.json(&["list"])[0]["rotationRequested"]["by"].is_string());
    place.run(&["list"]).expect(0).says("rotation asked for by");
    assert_eq!(place.actions(), ["created", "made", "rotation requested"]);
    // A new value is what was asked for.
    place.fed("two", &["set", "app/smtp"]).expect(0);
    assert!(place.json(&["list"])[0]["rotationRequested"].is_null());
}

#[test]
fn recipients_come_and_go() {
    let place = Place::with_secret();
    let other = Identities::generate(place.path("other")).unwrap();
    let other = other.recipients()[0].to_string();
    let ours = place.json(&["recipients", "list"])[0]["recipient"].clone();
    let as_other = |arguments: &[&str]| {
        ran(place
            .command(arguments)
            .env("NIXOPS4_SECRETS_IDENTITY", place.path("other")))
    };
    as_other(&["list"])
        .expect(1)
        .says("is a recipient of the secrets store");
    place
        .run(&["recipients", "add", &other])
        .expect(0)
        .says("added");
    place
        .run(&["recipients", "add", &other])
        .expect(0)
        .says("nothing was changed");
    place
        .run(&["recipients", "list"])
        .expect(0)
        .says(&other)
        .says("(yours)");
    let shown = as_other(&["show", "app/smtp", "--to-pipe-or-file"]);
    assert_eq!(shown.expect(0).stdout, format!("{CANARY}\n"));

    let ours = ours.as_str().unwrap();
    place
        .run(&["recipients", "remove", ours])
        .expect(1)
        .says("let another recipient remove it");
    as_other(&["recipients", "remove", ours])
        .expect(0)
        .says("rotate what they should not know");
    place
        .run(&["list"])
        .expect(1)
        .says("is a recipient of the secrets store");
    as_other(&["list"]).expect(0).says("app/smtp");
}

#[test]
fn the_record_is_pruned_on_demand() {
    let place = Place::with_secret();
    for (arguments, code, says) in [
        (&["--prune-before", "soon"][..], 64, "such as 90d"),
        (&["--prune-before", "2999-01-01"], 64, "in the future"),
        (&["app/smtp", "--prune-before", "1d"], 64, "cannot be used"),
        (&["--yes"], 64, "--prune-before"),
        (&["--prune-before", "2020-01-31"], 0, "nothing is on record"),
    ] {
        let mut all = vec!["audit"];
        all.extend_from_slice(arguments);
        place.run(&all).expect(code).says(says);
    }
    // Everything so far is older than a second.
    std::thread::sleep(Duration::from_millis(2100));
    let prune = ["audit", "--prune-before", "1s"];
    place.run(&prune).expect(1).says("say --yes");
    let (code, seen) = on_terminal(&mut place.command(&prune), "n\n");
    assert_eq!(code, Some(1), "{seen}");
    assert!(seen.contains("Delete 2 records from before"), "{seen}");
    assert!(seen.contains("nothing was deleted"), "{seen}");
    assert_eq!(place.actions(), ["created", "made"]);

    let (code, seen) = on_terminal(&mut place.command(&prune), "y\n");
    assert_eq!(code, Some(0), "{seen}");
    assert!(seen.contains("deleted 2 records"), "{seen}");
    assert_eq!(place.actions(), ["pruned"]);
    let record = &place.json(&["audit"])[0];
    let detail = record["detail"].as_str().unwrap();
    assert!(detail.starts_with("2 from before "), "{record}");
    assert!(record["person"].as_str().unwrap().contains('@'), "{record}");

    let now = place.json(&["audit", "--prune-before", "1s", "--yes"]);
    assert_eq!(now["pruned"], 0);
    // The values are as they were.
    let shown = place.run(&["show", "app/smtp", "--to-pipe-or-file"]);
    assert_eq!(shown.expect(0).stdout, format!("{CANARY}\n"));
}

#[test]
fn which_store_it_is_is_shown_and_accepted() {
    let place = Place::with_secret();
    let trust = place.json(&["trust"]);
    assert_eq!(trust["recognition"], "known", "{trust}");
    assert_eq!(
        (&trust["key"], &trust["root"]),
        (&trust["known"]["keys"][0], &trust["key"])
    );
    let key = trust["key"].as_str().unwrap().to_owned();
    place
        .run(&["trust", "main"])
        .expect(0)
        .says(&key)
        .says("It is the store that is known here.");

    // Somebody else's in its place, which our identity opens.
    let other = Place::new();
    let ours = place.json(&["recipients", "list"])[0]["recipient"].clone();
    other
        .fed("x\n", &["set", "app/smtp", "--owner", "mallory"])
        .expect(0);
    other
        .run(&["recipients", "add", ours.as_str().unwrap()])
        .expect(0);
    let genuine = fs::read(place.path("secrets.db")).unwrap();
    fs::copy(other.path("secrets.db"), place.path("secrets.db")).unwrap();
    for arguments in [
        &["list"][..],
        &["show", "app/smtp", "--to-pipe-or-file"],
        &["rotate", "app/smtp"],
        &["audit"],
        &["recipients", "list"],
    ] {
        let refused = place.run(arguments).expect(1);
        refused
            .says("is not the one that is known here")
            .says(&key)
            .says("hint:")
            .says("nixops4-resources secret trust");
    }
    place
        .fed("y\n", &["set", "app/smtp"])
        .expect(1)
        .says("is not the one that is known here");
    let trust = place.json(&["trust"]);
    assert_eq!(trust["recognition"], "another", "{trust}");
    let found = trust["key"].as_str().unwrap().to_owned();
    assert_ne!(found, key);
    place.run(&["trust"]).expect(0).says("It is NOT the store");
    place
        .run(&["trust", "--accept", &key])
        .expect(1)
        .says("nothing was accepted");
    place
        .run(&["trust", "--accept", "SHA256:x"])
        .expect(64)
        .says("43 characters");
    place.run(&["list"]).expect(1);
    place
        .run(&["trust", "main", "--accept", &found])
        .expect(0)
        .says("accepted");
    place.run(&["list"]).expect(0).says("app/smtp");

    // Back, and begun anew.
    fs::write(place.path("secrets.db"), genuine).unwrap();
    assert_eq!(
        place.json(&["trust", "--accept", &key])["accepted"],
        Value::from(key)
    );
    fs::remove_file(place.path("secrets.db")).unwrap();
    let set = ["set", "app/new", "--owner", "production"];
    place
        .fed("z\n", &set)
        .expect(1)
        .says("is gone")
        .says("--forget");
    assert_eq!(place.json(&["trust", "--forget"])["forgotten"], true);
    place.fed("z\n", &set).expect(0);
    // On another machine, the first use is said.
    let mut elsewhere = place.command(&["list"]);
    elsewhere.env("NIXOPS4_SECRETS_KNOWN_STORES", place.path("elsewhere"));
    ran(&mut elsewhere)
        .expect(0)
        .says("opened for the first time here");
    let mut again = place.command(&["list"]);
    again.env("NIXOPS4_SECRETS_KNOWN_STORES", place.path("elsewhere"));
    assert!(!ran(&mut again).expect(0).stderr.contains("first time"));
}
