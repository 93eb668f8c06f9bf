//! A store that can't be used as it is: a clear error at the field that leads to
//! it, and nothing lost. The same is held for the store alone, for each database,
//! in its own tests; here for what users see of it.

use std::ffi::OsString;
use std::fs;
use std::process::Command;

use nixops4_resources_tests::messages::{self, Object, object};
use nixops4_resources_tests::provider::oneshot;
use nixops4_secrets_store::Identities;
use serde_json::{Value, json};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions as _, Connection as _, SqliteConnection};

use crate::Site;

const PASSWORD: &str = "secrets_password";
const HASH: &str = "secrets_password_hash";

/// What is wrong with a store, or with the way to it.
enum Wrong {
    /// A statement was run behind its back.
    Statement(&'static str),
    /// Its file has these bytes of what it had.
    Cut(fn(usize) -> usize),
    /// A variable says something else, or nothing.
    Variable(&'static str, Option<OsString>),
    /// Somebody else writes, and doesn't end.
    Locked,
}

struct Recorded {
    site: Site,
    inputs: Object,
    outputs: Object,
    /// What the store's file holds.
    whole: Vec<u8>,
}

impl Recorded {
    fn new() -> Self {
        let site = Site::new();
        let wanted = json!({"name": "db"});
        let outputs = object(site.make(PASSWORD, &wanted));
        site.make(PASSWORD, &json!({"name": "other"}));
        Self {
            inputs: Site::inputs(&wanted),
            outputs,
            whole: fs::read(&site.store).expect("the store"),
            site,
        }
    }

    async fn raw(&self) -> SqliteConnection {
        let options = SqliteConnectOptions::new().filename(&self.site.store);
        options.connect().await.expect("the store")
    }

    fn run(&self, statement: &'static str) -> SqliteConnection {
        self.site.runtime.block_on(async {
            let mut raw = self.raw().await;
            let done = sqlx::raw_sql(statement).execute(&mut raw).await;
            done.unwrap_or_else(|error| panic!("{statement}: {error}"));
            raw
        })
    }

    /// The same declaration again, and somebody who uses the password.
    fn requests(&self) -> [Value; 2] {
        let recorded = messages::resource(PASSWORD, &self.inputs, Some(&self.outputs));
        let hash = json!({
            "name": "hash", "secret": self.outputs["secret"], "algorithm": "sha512crypt",
        });
        [
            messages::update(&recorded, &self.inputs),
            messages::create(HASH, &Site::inputs(&hash), true),
        ]
    }

    fn ask(&self, request: &Value, change: impl FnOnce(&mut Command)) -> Result<Value, String> {
        let mut command = self.site.command();
        command.env("NIXOPS4_RESOURCES_LOG", "trace");
        change(&mut command);
        let output = oneshot(command, [request.to_string()]);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{stderr}");
        messages::answer(request, String::from_utf8_lossy(&output.stdout).trim_end())
    }

    /// What the requests are refused with that are about this.
    fn refused(&self, wrong: &Wrong, pointers: [&str; 2]) -> Vec<String> {
        let mut lock = None;
        match wrong {
            Wrong::Statement(statement) => drop(self.run(statement)),
            Wrong::Cut(length) => {
                let length = length(self.whole.len());
                fs::write(&self.site.store, &self.whole[..length]).expect("it is written");
            }
            Wrong::Variable(..) => {}
            Wrong::Locked => lock = Some(self.run("BEGIN IMMEDIATE")),
        }
        let refused = |(request, pointer): (Value, &str)| {
            let answer = self.ask(&request, |command| match wrong {
                Wrong::Variable(name, Some(value)) => drop(command.env(name, value)),
                Wrong::Variable(name, None) => drop(command.env_remove(name)),
                // One attempt of the store's own, not more.
                Wrong::Locked => drop(command.env("NIXOPS4_RESOURCES_TIMEOUT", "11")),
                _ => {}
            });
            let error = answer.expect_err("it is not as it should be");
            assert!(error.starts_with(pointer), "not {pointer}: {error}");
            error
        };
        let requests = self.requests().into_iter().zip(pointers);
        let errors = requests
            .filter(|(_, pointer)| !pointer.is_empty())
            .map(refused)
            .collect();
        if let Some(lock) = lock {
            self.site
                .runtime
                .block_on(lock.close())
                .expect("it is closed");
        }
        errors
    }

    /// Puts the file back, as from a backup.
    fn put_back(&self) {
        for end in ["-wal", "-shm", "-journal"] {
            let mut file = self.site.store.clone().into_os_string();
            file.push(end);
            // Mostly there is none.
            let _ = fs::remove_file(file);
        }
        fs::write(&self.site.store, &self.whole).expect("it is written");
    }
}

#[test]
fn it_is_told_what_is_wrong_and_nothing_is_lost() {
    let mut it = Recorded::new();
    let value = it.site.reveal(&it.outputs["secret"]).expect("a value");
    // That reading leaves a record is part of the store.
    it.whole = fs::read(&it.site.store).expect("the store");
    let stranger = it.site.sandbox.work().join("stranger.age");
    Identities::generate(&stranger).expect("an identity");
    let nowhere = it.site.sandbox.work().join("no-such-file");
    let key = "NIXOPS4_SECRETS_IDENTITY";
    // What is wrong, where each of the two has it, and what is said. Who declares
    // the password doesn't open it, and waits for nobody who writes.
    let cases = [
        (
            Wrong::Variable(key, Some(stranger.into())),
            ["/store: ", "/store: "],
            "is a recipient of the secrets store",
        ),
        (
            Wrong::Variable(key, Some(nowhere.into())),
            ["/store: ", "/store: "],
            "unable to use the identity file",
        ),
        (
            Wrong::Variable(key, None),
            ["/store: ", "/store: "],
            "NIXOPS4_SECRETS_IDENTITY",
        ),
        (
            Wrong::Statement("DELETE FROM secrets WHERE name = 'db'"),
            ["/name: ", "/secret/name: "],
            "backup",
        ),
        (
            Wrong::Statement("DELETE FROM generations WHERE name = 'db'"),
            ["/name: ", "/secret/name: "],
            "backup",
        ),
        (
            Wrong::Statement(
                "UPDATE generations SET ciphertext = zeroblob(length(ciphertext)) WHERE name = 'db'",
            ),
            ["", "/secret/name: "],
            "was tampered with or is damaged",
        ),
        (
            Wrong::Statement(
                "UPDATE generations SET ciphertext =
                     (SELECT ciphertext FROM generations WHERE name = 'other') WHERE name = 'db'",
            ),
            ["", "/secret/name: "],
            "was tampered with or is damaged",
        ),
        (
            Wrong::Statement("UPDATE secrets SET owner = 'mallory' WHERE name = 'db'"),
            ["/name: ", "/secret/name: "],
            "changed by somebody who cannot open the store",
        ),
        (Wrong::Cut(|length| length / 2), ["/", "/"], "backup"),
        (Wrong::Cut(|_| 100), ["/", "/"], "backup"),
        (Wrong::Cut(|_| 0), ["/name: ", "/store: "], "backup"),
        (
            Wrong::Locked,
            ["", "/secret/"],
            "is locked by another process",
        ),
    ];
    for (number, (wrong, pointers, says)) in cases.iter().enumerate() {
        for error in it.refused(wrong, *pointers) {
            assert!(error.contains(says), "{number}: {error}");
            assert!(!error.contains(&value), "{number}: {error}");
        }
        it.put_back();
        for request in it.requests() {
            let answer = it.ask(&request, |_| {});
            answer.unwrap_or_else(|error| panic!("{number}: {error}"));
        }
        let again = it.site.reveal(&it.outputs["secret"]);
        assert_eq!(again.as_deref(), Ok(&*value), "{number}");
        it.put_back();
    }
}
