//! A cluster, a store, and the provider.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;

use nixops4_resources_tests::binaries;
use nixops4_resources_tests::garage::admin::{Admin, Key};
use nixops4_resources_tests::garage::s3::Client;
use nixops4_resources_tests::garage::{Cluster, Config};
use nixops4_resources_tests::messages::{self, object};
use nixops4_resources_tests::pool::{Lease, Pool};
use nixops4_resources_tests::provider::oneshot;
use nixops4_resources_tests::sandbox::Sandbox;
use nixops4_secrets_store::{ExposeSecret as _, Identities, Store, StoreUrl};
use serde_json::{Value, json};
use tokio::runtime::Runtime;

use crate::support::secrets;

pub(crate) use nixops4_resources_tests::garage::is_there;

static CLUSTERS: Pool<Cluster> = Pool::new(|| Cluster::start(&Config::default()));

pub(crate) struct Site {
    cluster: Lease<Cluster>,
    pub(crate) sandbox: Sandbox,
    runtime: Runtime,
    store: PathBuf,
    identity: PathBuf,
}

impl Site {
    pub(crate) fn new() -> Self {
        let sandbox = Sandbox::new();
        let cluster = CLUSTERS.lease();
        sandbox.write("token", cluster.admin_token());
        let (identity, _) = secrets::identity(&sandbox);
        Self {
            runtime: tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .expect("a runtime"),
            store: sandbox.work().join("secrets.db"),
            identity,
            cluster,
            sandbox,
        }
    }

    pub(crate) fn admin(&self) -> Admin {
        self.cluster.admin()
    }

    pub(crate) fn inputs(&self, more: &Value) -> messages::Object {
        let mut inputs = object(json!({
            "owner": "keys",
            "connection": {
                "endpoint": self.cluster.node().admin_url(),
                "token": {"file": self.sandbox.work().join("token")},
            },
        }));
        inputs.extend(object(more.clone()));
        inputs
    }

    pub(crate) fn command(&self) -> Command {
        let mut command = self
            .sandbox
            .command(binaries::path("nixops4-resources-garage"));
        command.envs(secrets::environment(&self.store, &self.identity));
        command
    }

    /// Sends a request to a process of its own.
    pub(crate) fn send(&self, request: &Value) -> Result<Value, String> {
        let output = oneshot(self.command(), [request.to_string()]);
        assert!(output.status.success(), "{}", output.status);
        let stdout = String::from_utf8_lossy(&output.stdout);
        messages::answer(request, stdout.trim_end())
    }

    /// Has a thing made or updated without a record; gives its outputs.
    pub(crate) fn try_make(&self, kind: &str, more: &Value) -> Result<Value, String> {
        let answer = self.send(&messages::create(kind, &self.inputs(more), true))?;
        Ok(answer["outputProperties"].clone())
    }

    pub(crate) fn make(&self, kind: &str, more: &Value) -> Value {
        self.try_make(kind, more)
            .unwrap_or_else(|error| panic!("{kind} {more}: {error}"))
    }

    /// What is recorded of a thing.
    pub(crate) fn record(&self, kind: &str, more: &Value, outputs: &Value) -> Value {
        let outputs = object(outputs.clone());
        messages::resource(kind, &self.inputs(more), Some(&outputs))
    }

    pub(crate) fn update(&self, record: &Value, more: &Value) -> Result<Value, String> {
        let answer = self.send(&messages::update(record, &self.inputs(more)))?;
        Ok(answer["outputProperties"].clone())
    }

    pub(crate) fn plan(&self, kind: &str, more: &Value, record: &Value) -> Value {
        let request = messages::plan(kind, &self.inputs(more), &[], Some(record));
        self.send(&request).expect("a plan")
    }

    pub(crate) fn destroy(&self, record: &Value, policy: &str) -> Result<Value, String> {
        let mut record = record.clone();
        record["inputProperties"]["deletionPolicy"] = json!(policy);
        self.send(&messages::destroy(&record))
    }

    pub(crate) async fn open(&self) -> Store {
        let url: StoreUrl = format!("sqlite:{}", self.store.display())
            .parse()
            .expect("a URL");
        let identities = Identities::from_file(&self.identity).expect("an identity");
        Store::open_or_create(&url, &identities)
            .await
            .expect("a store")
    }

    /// The value of a reference.
    pub(crate) fn reveal(&self, reference: &Value) -> String {
        let name = text(&reference["name"]).parse().expect("a name");
        let generation = u32::try_from(reference["generation"].as_u64().expect("a number"))
            .ok()
            .and_then(|number| number.try_into().ok())
            .expect("a generation");
        let value = self
            .runtime
            .block_on(async { self.open().await.reveal(&name, generation, None).await });
        value.expect("a value").expose_secret().to_owned()
    }

    /// The generations that the store has of a secret.
    pub(crate) fn generations(&self, name: &str) -> Vec<u32> {
        let name = name.parse().expect("a name");
        let entry = self
            .runtime
            .block_on(async { self.open().await.lookup(&name).await });
        let entry = entry.expect("an answer");
        entry.map_or_else(Vec::new, |entry| {
            let numbers = entry.generations.iter();
            numbers.map(|version| version.generation.get()).collect()
        })
    }

    /// The store loses a secret.
    pub(crate) fn lose(&self, name: &str) {
        let name = name.parse().expect("a name");
        let deleted = self
            .runtime
            .block_on(async { self.open().await.delete(&name).await });
        assert!(deleted.expect("an answer"));
    }

    /// Whoever uses a bucket with the key of these outputs.
    pub(crate) fn client(&self, bucket: &str, key: &Value) -> Client {
        let key = Key {
            id: text(&key["accessKeyId"]),
            secret: self.reveal(&key["secret"]),
        };
        Client::new(&self.cluster.node().s3_url(), bucket, &key)
    }

    pub(crate) fn delete_key(&self, id: &Value) {
        self.admin()
            .post("DeleteKey", &[("id", &text(id))], &json!({}));
    }

    /// Where the admin API is, for a proxy before it.
    pub(crate) fn admin_address(&self) -> SocketAddr {
        self.cluster.node().admin_address()
    }

    pub(crate) fn admin_with(&self, token: &str) -> Admin {
        Admin::new(&self.cluster.node().admin_url(), token)
    }
}

pub(crate) fn text(value: &Value) -> String {
    let text = value.as_str().unwrap_or_else(|| panic!("no text: {value}"));
    text.to_owned()
}

/// A name that no other test uses: clusters are used again.
pub(crate) fn unique(name: &str) -> String {
    format!("{name}-{:08x}", rand_number())
}

fn rand_number() -> u32 {
    use std::hash::{BuildHasher as _, Hasher as _, RandomState};
    let hash = RandomState::new().build_hasher().finish();
    u32::try_from(hash >> 32).expect("half of it")
}

/// Panics unless an error points there and says this.
pub(crate) fn assert_refused<T: std::fmt::Debug>(
    answer: Result<T, String>,
    pointer: &str,
    words: &[&str],
) {
    let error = answer.expect_err("it is refused");
    assert!(error.starts_with(&format!("{pointer}: ")), "{error}");
    for word in words {
        assert!(error.contains(word), "{word:?} is not in {error}");
    }
    assert!(error.contains("\nhint: "), "{error}");
}
