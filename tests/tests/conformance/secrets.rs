//! What the kinds of the secrets provider have in common for the suite.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs;
use std::marker::PhantomData;
use std::path::PathBuf;

use nixops4_resources_tests::canary::Canary;
use nixops4_resources_tests::conformance::{Bad, Drift, Field, Fixture, Loss, Verdict};
use nixops4_resources_tests::messages::{Object, object};
use nixops4_resources_tests::sandbox::Sandbox;
use nixops4_secrets_store::{ExposeSecret as _, Identities, Store, StoreUrl};
use serde_json::{Value, json};
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{AssertSqlSafe, ConnectOptions as _, Row as _};
use tokio::runtime::Runtime;

use crate::postgresql::literal;
use crate::support::secrets;

/// What is particular to one kind.
pub(crate) trait Kind: 'static {
    const TYPE: &'static str;
    /// Whether it has to be recorded.
    const NEEDS_STATE: bool = true;
    /// Whether it is kept when it is destroyed.
    const RETAINS: bool = true;
    /// What is to be done when it is gone.
    const LOSS: Loss = Loss::Refused("/name");
    /// Whether its values are secrets: what follows from others may be none.
    const IS_SECRET: bool = true;
    /// Whether it is the one that is killed at each step of the store.
    const KILLS_THE_STORE: bool = false;

    /// What it needs beside the store.
    fn new(around: &Sandbox) -> Self;

    /// Inputs beside the name.
    fn inputs(&self) -> Value {
        json!({})
    }

    /// Fields beside `/generation` and `/keepGenerations`.
    fn fields(&self) -> Vec<(&'static str, Value, Verdict)>;

    /// Bad inputs beside those that each kind can have.
    fn bad(&self) -> Vec<Bad> {
        Vec::new()
    }

    /// What of the public part is the same for two that were made alike.
    fn essence(&self, public: &Value) -> Value {
        let _ = public;
        Value::Null
    }

    fn references(&self) -> Vec<&'static str> {
        Vec::new()
    }

    /// More for `NIXOPS4_SECRETS_STORES`.
    fn sources(&self) -> String {
        String::new()
    }

    /// What was planted, and in which files.
    fn planted(&self) -> Vec<(Canary, PathBuf)> {
        Vec::new()
    }
}

/// An input that is wrong by itself.
pub(crate) fn bad(pointer: &'static str, value: Value, words: &[&'static str]) -> Bad {
    patched(&[(pointer, value)], pointer, words)
}

/// Inputs that are wrong together.
pub(crate) fn patched(
    patch: &[(&'static str, Value)],
    pointer: &'static str,
    words: &[&'static str],
) -> Bad {
    Bad {
        patch: patch.to_vec(),
        pointer,
        words: words.to_vec(),
    }
}

/// A store of its own with secrets of one kind.
pub(crate) struct Secrets<K> {
    kind: K,
    sandbox: Sandbox,
    runtime: Runtime,
    store: PathBuf,
    identity: PathBuf,
    private_key: Canary,
    /// Every value that was ever in the store.
    values: RefCell<BTreeSet<String>>,
    _kind: PhantomData<K>,
}

impl<K: Kind> Secrets<K> {
    fn url(&self) -> String {
        format!("sqlite:{}", self.store.display())
    }

    /// The rows of a query with one column of text; none where there is no
    /// store.
    fn rows(&self, query: &str) -> Vec<String> {
        if !self.store.exists() {
            return Vec::new();
        }
        self.runtime.block_on(async {
            let rows = sqlx::query(AssertSqlSafe(query.to_owned()))
                .fetch_all(&mut self.open().await)
                .await
                .unwrap_or_else(|error| panic!("{query}: {error}"));
            rows.iter().map(|row| row.get(0)).collect()
        })
    }

    async fn open(&self) -> SqliteConnection {
        SqliteConnectOptions::new()
            .filename(&self.store)
            .foreign_keys(true)
            .connect()
            .await
            .expect("the store is an SQLite file")
    }

    /// Reads every value that is there now.
    fn read_values(&self) {
        let list = "SELECT name || ' ' || generation FROM generations";
        let list = match fs::metadata(&self.store) {
            Ok(file) if file.len() > 0 => self.rows(list),
            _ => Vec::new(),
        };
        if list.is_empty() {
            return;
        }
        self.runtime.block_on(async {
            let url: StoreUrl = self.url().parse().expect("a URL");
            let identities = Identities::from_file(&self.identity).expect("an identity");
            let mut store = Store::open(&url, &identities).await.expect("a store");
            for entry in list {
                let (name, generation) = entry.split_once(' ').expect("two words");
                let name = name.parse().expect("a name");
                let generation: u32 = generation.parse().expect("a number");
                let generation = generation.try_into().expect("a generation");
                // Another test's process may have removed it meanwhile.
                let value = store.reveal(&name, generation, None).await;
                let value = value.expect("a value").expose_secret().to_owned();
                self.values.borrow_mut().insert(value);
            }
        });
    }
}

impl<K: Kind> Fixture for Secrets<K> {
    const TYPE: &'static str = K::TYPE;
    const PROVIDER: &'static str = "nixops4-resources-secrets";
    const NEEDS_STATE: bool = K::NEEDS_STATE;
    const RETAINS: bool = K::RETAINS;
    const KEEPS_HISTORY: bool = true;
    const RENAMES: bool = false;
    const KILLED_ELSEWHERE: &'static [&'static str] =
        if K::KILLS_THE_STORE { &[] } else { &["store:"] };

    fn new() -> Self {
        let sandbox = Sandbox::new();
        let (identity, text) = secrets::identity(&sandbox);
        let key = text
            .lines()
            .find(|line| line.starts_with("AGE-SECRET-KEY-"));
        let key = key.expect("a private key").to_owned();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime");
        let store = sandbox.work().join("secrets.db");
        // Making the store itself is the store's to test: it happens once, and
        // the checks compare one thing with another.
        runtime.block_on(async {
            let url = format!("sqlite:{}", store.display());
            let identities = Identities::from_file(&identity).expect("an identity");
            let opened = Store::open_or_create(&url.parse().expect("a URL"), &identities).await;
            opened
                .expect("a store")
                .close()
                .await
                .expect("it is closed");
        });
        Self {
            kind: K::new(&sandbox),
            store,
            sandbox,
            runtime,
            identity,
            private_key: Canary::with(key),
            values: RefCell::default(),
            _kind: PhantomData,
        }
    }

    fn sandbox(&self) -> &Sandbox {
        &self.sandbox
    }

    fn environment(&self) -> Vec<(&'static str, OsString)> {
        let mut all = secrets::environment(&self.store, &self.identity);
        all[0].1.push_str(" broken=ftp://x ");
        all[0].1.push_str(&self.kind.sources());
        all.map(|(name, value)| (name, value.into())).into()
    }

    fn inputs(&self, name: &str) -> Object {
        let mut inputs = object(self.kind.inputs());
        inputs.insert("name".to_owned(), json!(name));
        inputs
    }

    fn fields(&self) -> Vec<Field> {
        let mut fields = vec![
            ("/generation", json!(2), Verdict::Changed),
            ("/keepGenerations", json!(7), Verdict::Ignored),
        ];
        fields.extend(self.kind.fields());
        let field = |(pointer, value, verdict)| Field {
            pointer,
            value,
            verdict,
        };
        fields.into_iter().map(field).collect()
    }

    fn drifts(&self) -> Vec<Drift<Self>> {
        // A value can't be changed behind the store's back: one that was is
        // refused, and one that is gone is lost.
        Vec::new()
    }

    fn bad(&self) -> Vec<Bad> {
        let mut all = vec![
            bad("/name", Value::Null, &["missing field"]),
            bad("/name", json!(""), &["it is empty"]),
            bad(
                "/name",
                json!("two words"),
                &["not the name of a secret", "A-Z a-z"],
            ),
            bad(
                "/store",
                json!("elsewhere"),
                &[
                    "no secrets store is called \"elsewhere\"\nhint: NIXOPS4_SECRETS_STORES names \
                     broken, ",
                    "main; name one of them, or add \"elsewhere=sqlite:",
                ],
            ),
            bad(
                "/store",
                json!("broken"),
                &["\"broken\"", "NIXOPS4_SECRETS_STORES"],
            ),
            bad("/generation", json!(0), &["from 1 up"]),
            bad("/generation", json!(-1), &["-1"]),
            bad("/keepGenerations", json!(-1), &["-1"]),
        ];
        all.extend(self.kind.bad());
        all
    }

    fn loss(&self) -> Loss {
        K::LOSS
    }

    fn look(&self, name: &str) -> Option<Value> {
        let rows = self.rows(&format!(
            "SELECT json_object('name', name, 'owner', owner, 'kind', kind, 'retained', retained_by,
                'rotated', (SELECT max(generation) > 1 FROM generations g WHERE g.name = s.name),
                'public', (SELECT public_part FROM generations g WHERE g.name = s.name
                    ORDER BY generation DESC LIMIT 1))
             FROM secrets s WHERE name = {}",
            literal(name)
        ));
        let mut found: Value = serde_json::from_str(rows.first()?).expect("JSON");
        let public = found["public"].as_str().unwrap_or("null").to_owned();
        let public = serde_json::from_str(&public).expect("JSON");
        found["public"] = self.kind.essence(&public);
        Some(found)
    }

    fn version(&self, name: &str) -> String {
        let name = literal(name);
        let secret = self.rows(&format!(
            "SELECT hex(owner || coalesce(retained_at, 0)) FROM secrets WHERE name = {name}"
        ));
        let values = self.rows(&format!(
            "SELECT id || hex(ciphertext) || coalesce(public_part, '') FROM generations
             WHERE name = {name}"
        ));
        secret.join(",") + &values.join(",")
    }

    fn everything(&self) -> BTreeSet<String> {
        self.rows("SELECT name FROM secrets UNION ALL SELECT name FROM generations")
            .into_iter()
            .collect()
    }

    fn is_in_service(&self, name: &str) -> bool {
        let found = self.look(name).expect("it is there");
        found["retained"].is_null()
    }

    fn put_data(&self, name: &str) {
        // The values are the data: remembered here, to be found again.
        assert!(self.has_data(name));
    }

    fn has_data(&self, name: &str) -> bool {
        let known = self.values.borrow().clone();
        self.read_values();
        // Nothing was made anew.
        self.look(name).is_some() && (known.is_empty() || *self.values.borrow() == known)
    }

    fn vanish(&self, name: &str) {
        self.read_values();
        self.rows(&format!(
            "DELETE FROM secrets WHERE name = {}",
            literal(name)
        ));
    }

    fn make_unmarked(&self, _: &str) -> bool {
        false
    }

    fn references(&self) -> Vec<&'static str> {
        self.kind.references()
    }

    fn secrets(&self) -> Vec<Canary> {
        self.read_values();
        let values = self.values.borrow();
        let values = values.iter().filter(|_| K::IS_SECRET).map(Canary::with);
        let planted = self.kind.planted().into_iter().map(|(canary, _)| canary);
        values
            .chain(planted)
            .chain([Canary::with(self.private_key.value())])
            .collect()
    }

    fn planted(&self) -> Vec<PathBuf> {
        let planted = self.kind.planted().into_iter().map(|(_, file)| file);
        planted.chain([self.identity.clone()]).collect()
    }

    fn writings(&self) -> Vec<(String, Vec<u8>)> {
        vec![(
            "the store".to_owned(),
            fs::read(&self.store).expect("the store"),
        )]
    }
}
