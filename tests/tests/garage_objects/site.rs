//! A cluster, and the provider.

use std::process::{Command, Output};

use nixops4_resources_tests::binaries;
use nixops4_resources_tests::canary::Canary;
use nixops4_resources_tests::garage::admin::{Admin, Key};
use nixops4_resources_tests::garage::s3::Client;
use nixops4_resources_tests::garage::{Cluster, Config};
use nixops4_resources_tests::messages::{self, Object, object};
use nixops4_resources_tests::provider::oneshot;
use nixops4_resources_tests::sandbox::Sandbox;
use serde_json::{Value, json};

pub(crate) const BUCKET: &str = "garage_bucket";

pub(crate) struct Site {
    pub(crate) cluster: Cluster,
    pub(crate) sandbox: Sandbox,
    token: Canary,
}

impl Site {
    /// `None` where there is no Garage.
    pub(crate) fn start() -> Option<Self> {
        if !nixops4_resources_tests::garage::is_there() {
            return None;
        }
        let cluster = Cluster::start(&Config::default());
        let sandbox = Sandbox::new();
        let token = Canary::with(cluster.admin_token());
        sandbox.write("token", token.value());
        Some(Self {
            cluster,
            sandbox,
            token,
        })
    }

    pub(crate) fn admin(&self) -> Admin {
        self.cluster.admin()
    }

    /// The bucket of this name as a key sees it.
    pub(crate) fn client(&self, bucket: &str, key: &Key) -> Client {
        Client::new(&self.cluster.node().s3_url(), bucket, key)
    }

    pub(crate) fn connection(&self) -> Value {
        json!({
            "endpoint": self.cluster.node().admin_url(),
            "token": {"file": self.sandbox.work().join("token")},
            "s3Endpoint": self.cluster.node().s3_url(),
        })
    }

    /// A bucket that is deleted when it is destroyed.
    pub(crate) fn bucket(&self, name: &str, more: &Value) -> Object {
        let mut inputs = object(json!({
            "owner": "objects",
            "connection": self.connection(),
            "name": name,
            "deletionPolicy": "delete",
        }));
        inputs.extend(object(more.clone()));
        inputs
    }

    pub(crate) fn command(&self) -> Command {
        let mut command = self
            .sandbox
            .command(binaries::path("nixops4-resources-garage"));
        command.env("NIXOPS4_RESOURCES_LOG", "trace");
        command
    }

    /// Searches what came out of a process.
    pub(crate) fn heard(&self, output: Output) -> Output {
        self.token.assert_absent("stdout", &output.stdout);
        self.token.assert_absent("stderr", &output.stderr);
        output
    }

    /// Sends a request to a process of its own; gives its answer and what it logged.
    pub(crate) fn ask(&self, request: &Value) -> (Result<Value, String>, String) {
        self.ask_by(self.command(), request)
    }

    /// The same of a process that is started so.
    pub(crate) fn ask_by(
        &self,
        command: Command,
        request: &Value,
    ) -> (Result<Value, String>, String) {
        let output = self.heard(oneshot(command, [request.to_string()]));
        assert!(output.status.success(), "{}", output.status);
        let stdout = String::from_utf8_lossy(&output.stdout);
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        (messages::answer(request, stdout.trim_end()), stderr)
    }

    /// Makes a bucket, and gives what is recorded of it.
    pub(crate) fn made(&self, inputs: &Object) -> Value {
        let (answer, log) = self.ask(&messages::create(BUCKET, inputs, true));
        let answer = answer.unwrap_or_else(|error| panic!("{error}\n{log}"));
        let outputs = object(answer["outputProperties"].clone());
        messages::resource(BUCKET, inputs, Some(&outputs))
    }

    /// Destroys what was recorded.
    pub(crate) fn destroy(&self, recorded: &Value) -> Result<String, String> {
        let (answer, log) = self.ask(&messages::destroy(recorded));
        answer.map(|_| log)
    }
}
