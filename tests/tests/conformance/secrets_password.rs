//! The kind `secrets_password`.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs;
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

nixops4_resources_tests::conformance!(Password);

struct Password {
    sandbox: Sandbox,
    runtime: Runtime,
    store: PathBuf,
    identity: PathBuf,
    private_key: Canary,
    /// Every value that was ever in the store.
    values: RefCell<BTreeSet<String>>,
}

impl Password {
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
}

impl Fixture for Password {
    const TYPE: &'static str = "secrets_password";
    const PROVIDER: &'static str = "nixops4-resources-secrets";
    const NEEDS_STATE: bool = true;
    const RETAINS: bool = true;
    const KEEPS_HISTORY: bool = true;
    const RENAMES: bool = false;

    fn new() -> Self {
        let sandbox = Sandbox::new();
        let (identity, text) = secrets::identity(&sandbox);
        let key = text
            .lines()
            .find(|line| line.starts_with("AGE-SECRET-KEY-"));
        let key = key.expect("a private key").to_owned();
        Self {
            store: sandbox.work().join("secrets.db"),
            sandbox,
            runtime: tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .expect("a runtime"),
            identity,
            private_key: Canary::with(key),
            values: RefCell::default(),
        }
    }

    fn sandbox(&self) -> &Sandbox {
        &self.sandbox
    }

    fn environment(&self) -> Vec<(&'static str, OsString)> {
        let mut all = secrets::environment(&self.store, &self.identity);
        all[0].1.push_str(" broken=ftp://x");
        all.map(|(name, value)| (name, value.into())).into()
    }

    fn inputs(&self, name: &str) -> Object {
        object(json!({"name": name}))
    }

    fn fields(&self) -> Vec<Field> {
        [
            ("/generation", json!(2), Verdict::Changed),
            ("/length", json!(40), Verdict::Ignored),
            ("/symbols", json!(true), Verdict::Ignored),
            ("/upper", json!(false), Verdict::Ignored),
            ("/minDigits", json!(3), Verdict::Ignored),
            ("/symbolSet", json!("!"), Verdict::Ignored),
        ]
        .map(|(pointer, value, verdict)| Field {
            pointer,
            value,
            verdict,
        })
        .into()
    }

    fn drifts(&self) -> Vec<Drift<Self>> {
        // A value can't be changed behind the store's back: one that was is
        // refused, and one that is gone is lost.
        Vec::new()
    }

    fn bad(&self) -> Vec<Bad> {
        let of = |pointer, value, words: &[&'static str]| Bad {
            patch: vec![(pointer, value)],
            pointer,
            words: words.to_vec(),
        };
        let patched = |patch: &[(&'static str, Value)], pointer, words: &[&'static str]| Bad {
            patch: patch.to_vec(),
            pointer,
            words: words.to_vec(),
        };
        vec![
            of("/name", Value::Null, &["missing field"]),
            of("/name", json!(""), &["it is empty"]),
            of(
                "/name",
                json!("two words"),
                &["not the name of a secret", "A-Z a-z"],
            ),
            of(
                "/store",
                json!("elsewhere"),
                &["\"elsewhere\"", "hint: set NIXOPS4_SECRETS_STORES"],
            ),
            of(
                "/store",
                json!("broken"),
                &["\"broken\"", "NIXOPS4_SECRETS_STORES"],
            ),
            of("/generation", json!(0), &["from 1 up"]),
            of("/generation", json!(-1), &["-1"]),
            of("/length", json!(7), &["8 to 1024"]),
            of("/length", json!(1025), &["8 to 1024"]),
            of("/length", json!("32"), &["expected a whole number"]),
            of("/minSymbols", json!(1), &["isn't used", "use the class"]),
            patched(
                &[("/minLower", json!(20)), ("/minDigits", json!(13))],
                "/length",
                &["too short for the 33"],
            ),
            patched(
                &[
                    ("/lower", json!(false)),
                    ("/upper", json!(false)),
                    ("/digits", json!(false)),
                ],
                "/lower",
                &["at least one of"],
            ),
            patched(
                &[("/symbols", json!(true)), ("/symbolSet", json!(""))],
                "/symbolSet",
                &["no character"],
            ),
        ]
    }

    fn loss(&self) -> Loss {
        Loss::Refused("/name")
    }

    fn look(&self, name: &str) -> Option<Value> {
        let rows = self.rows(&format!(
            "SELECT json_object('name', name, 'owner', owner, 'kind', kind, 'retained', retained_by,
                'generations', (SELECT group_concat(generation) FROM generations g WHERE g.name = s.name))
             FROM secrets s WHERE name = {}",
            literal(name)
        ));
        let row = rows.first()?;
        Some(serde_json::from_str(row).expect("JSON"))
    }

    fn version(&self, name: &str) -> String {
        let name = literal(name);
        let secret = self.rows(&format!(
            "SELECT hex(owner || coalesce(retained_at, 0)) FROM secrets WHERE name = {name}"
        ));
        let values = self.rows(&format!(
            "SELECT id || hex(ciphertext) FROM generations WHERE name = {name}"
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
        let _ = self.secrets();
        // Nothing was made anew.
        self.look(name).is_some() && (known.is_empty() || *self.values.borrow() == known)
    }

    fn vanish(&self, name: &str) {
        let _ = self.secrets();
        self.rows(&format!(
            "DELETE FROM secrets WHERE name = {}",
            literal(name)
        ));
    }

    fn make_unmarked(&self, _: &str) -> bool {
        false
    }

    fn references(&self) -> Vec<&'static str> {
        Vec::new()
    }

    fn secrets(&self) -> Vec<Canary> {
        let list = "SELECT name || ' ' || generation FROM generations";
        let list = match fs::metadata(&self.store) {
            Ok(file) if file.len() > 0 => self.rows(list),
            _ => Vec::new(),
        };
        self.runtime.block_on(async {
            if list.is_empty() {
                return;
            }
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
        let values = self.values.borrow();
        let values = values.iter().map(Canary::with);
        values
            .chain([Canary::with(self.private_key.value())])
            .collect()
    }

    fn planted(&self) -> Vec<PathBuf> {
        vec![self.identity.clone()]
    }

    fn writings(&self) -> Vec<(String, Vec<u8>)> {
        vec![(
            "the store".to_owned(),
            fs::read(&self.store).expect("the store"),
        )]
    }
}
