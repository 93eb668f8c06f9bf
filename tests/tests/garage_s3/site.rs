//! A node, and the provider.

use std::process::Command;

use nixops4_resources_tests::binaries;
use nixops4_resources_tests::garage::admin::{Admin, Key};
use nixops4_resources_tests::garage::s3::Client;
use nixops4_resources_tests::garage::{Cluster, Config, Node, Refusal};
use nixops4_resources_tests::messages::{self, Object, object, set};
use nixops4_resources_tests::pool::{Lease, Pool};
use nixops4_resources_tests::provider::oneshot;
use nixops4_resources_tests::sandbox::Sandbox;
use serde_json::{Value, json};

static CLUSTERS: Pool<Cluster> = Pool::new(|| Cluster::start(&Config::default()));

pub(crate) const BUCKET: &str = "garage_bucket";

/// A cluster, and the provider.
pub(crate) struct Site {
    cluster: Lease<Cluster>,
    sandbox: Sandbox,
}

impl Site {
    pub(crate) fn new() -> Self {
        let cluster = CLUSTERS.lease();
        let sandbox = Sandbox::new();
        sandbox.write("token", cluster.admin_token());
        Self { cluster, sandbox }
    }

    pub(crate) fn node(&self) -> &Node {
        self.cluster.node()
    }

    pub(crate) fn admin(&self) -> Admin {
        self.cluster.admin()
    }

    pub(crate) fn command(&self) -> Command {
        let executable = binaries::path("nixops4-resources-garage");
        self.sandbox.command(executable)
    }

    /// Inputs of a thing of this name; the patch holds what else it has.
    pub(crate) fn inputs(&self, name: &str, patch: &[(&str, Value)]) -> Object {
        let mut inputs = object(json!({
            "owner": "s3",
            "name": name,
            "connection": {
                "endpoint": self.node().admin_url(),
                "token": {"file": self.sandbox.work().join("token")},
                "s3Endpoint": self.node().s3_url(),
                "webRootDomain": nixops4_resources_tests::garage::WEB_DOMAIN,
            },
        }));
        for (pointer, value) in patch {
            set(&mut inputs, pointer, value.clone());
        }
        inputs
    }

    /// Sends a request to a process of its own.
    pub(crate) fn send(&self, request: &Value) -> Result<Value, String> {
        let output = oneshot(self.command(), [request.to_string()]);
        assert!(output.status.success(), "{}", output.status);
        let stdout = String::from_utf8_lossy(&output.stdout);
        messages::answer(request, stdout.trim_end())
    }

    /// Creates something, and gives what is recorded of it.
    pub(crate) fn create(&self, kind: &str, inputs: &Object) -> Result<Value, String> {
        let answer = self.send(&messages::create(kind, inputs, true))?;
        let outputs = object(answer["outputProperties"].clone());
        Ok(messages::resource(kind, inputs, Some(&outputs)))
    }

    pub(crate) fn made(&self, kind: &str, inputs: &Object) -> Value {
        self.create(kind, inputs)
            .unwrap_or_else(|error| panic!("{error}"))
    }

    /// Updates what is recorded to these inputs.
    pub(crate) fn update(&self, recorded: &Value, inputs: &Object) -> Result<Value, String> {
        self.send(&messages::update(recorded, inputs))
    }

    /// Plans what is recorded, with the inputs that it has.
    pub(crate) fn plan(&self, recorded: &Value) -> Value {
        let kind = recorded["type"].as_str().expect("a type");
        let inputs = object(recorded["inputProperties"].clone());
        let planned = self.send(&messages::plan(kind, &inputs, &[], Some(recorded)));
        planned.unwrap_or_else(|error| panic!("{error}"))
    }

    /// A bucket as a key sees it.
    pub(crate) fn client(&self, bucket: &str, key: &Key) -> Client {
        Client::new(&self.node().s3_url(), bucket, key)
    }
}

/// The output of a record.
pub(crate) fn output(recorded: &Value, name: &str) -> String {
    let value = &recorded["outputProperties"][name];
    value
        .as_str()
        .unwrap_or_else(|| panic!("no {name} in {recorded}"))
        .to_owned()
}

/// Panics unless S3 refuses with 403.
pub(crate) fn assert_forbidden<T>(answer: Result<T, Refusal>) -> Refusal {
    let Err(refusal) = answer else {
        panic!("it was permitted")
    };
    assert_eq!(refusal.status, 403, "{refusal}");
    refusal
}
