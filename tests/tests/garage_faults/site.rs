//! A cluster, a way to it on which requests can be spoiled, and the provider.

use std::collections::BTreeSet;
use std::process::Command;
use std::time::Duration;

use nixops4_resources_tests::binaries;
use nixops4_resources_tests::garage::admin::{Admin, Key};
use nixops4_resources_tests::garage::{Cluster, Config};
use nixops4_resources_tests::messages::{self, Object, object};
use nixops4_resources_tests::provider::oneshot;
use nixops4_resources_tests::proxy::{Fault, Proxy};
use nixops4_resources_tests::sandbox::Sandbox;
use serde_json::{Value, json};

pub(crate) const BUCKET: &str = "garage_bucket";

/// A cluster, and the provider before whom a proxy stands.
pub(crate) struct Site {
    pub(crate) cluster: Cluster,
    pub(crate) proxy: Proxy,
    pub(crate) key: Key,
    sandbox: Sandbox,
}

impl Site {
    pub(crate) fn start(config: &Config) -> Self {
        let cluster = Cluster::start(config);
        let proxy = Proxy::before(cluster.node().admin_address());
        let key = cluster.admin().make_key("app");
        let sandbox = Sandbox::new();
        sandbox.write("token", cluster.admin_token());
        Self {
            cluster,
            proxy,
            key,
            sandbox,
        }
    }

    pub(crate) fn admin(&self) -> Admin {
        self.cluster.admin()
    }

    /// The connection through the proxy.
    pub(crate) fn connection(&self) -> Value {
        json!({
            "endpoint": self.proxy.url(),
            "token": {"file": self.sandbox.work().join("token")},
        })
    }

    /// A bucket in which the key may read, and all that it may have.
    pub(crate) fn bucket(&self, name: &str) -> Object {
        object(json!({
            "owner": "faults",
            "connection": self.connection(),
            "name": name,
            "keys": [{"accessKeyId": self.key.id, "read": true}],
            "quotas": {"maxObjects": 5},
            "website": {"indexDocument": "index.html"},
        }))
    }

    pub(crate) fn command(&self) -> Command {
        let executable = binaries::path("nixops4-resources-garage");
        self.sandbox.command(executable)
    }

    /// Sends a request to a process of its own, which gives up soon.
    pub(crate) fn send(&self, request: &Value) -> Result<Value, String> {
        let mut command = self.command();
        command.env("NIXOPS4_RESOURCES_TIMEOUT", "6");
        Self::answer(command, request)
    }

    fn answer(command: Command, request: &Value) -> Result<Value, String> {
        let output = oneshot(command, [request.to_string()]);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{}: {stderr}", output.status);
        let stdout = String::from_utf8_lossy(&output.stdout);
        messages::answer(request, stdout.trim_end())
    }

    /// Creates a bucket, which may fail, and gives what is recorded of it.
    pub(crate) fn create(&self, inputs: &Object) -> Result<Value, String> {
        let answer = self.send(&messages::create(BUCKET, inputs, true))?;
        Ok(record(inputs, &answer))
    }

    /// The same where nothing goes wrong, however long it takes.
    pub(crate) fn made(&self, inputs: &Object) -> Value {
        let request = messages::create(BUCKET, inputs, true);
        let answer = Self::answer(self.command(), &request);
        record(inputs, &answer.unwrap_or_else(|error| panic!("{error}")))
    }

    /// Updates a recorded bucket where nothing goes wrong.
    pub(crate) fn updated(&self, recorded: &Value, inputs: &Object) {
        let answer = Self::answer(self.command(), &messages::update(recorded, inputs));
        answer.unwrap_or_else(|error| panic!("{error}"));
    }

    /// Updates a recorded bucket to these inputs, which may fail.
    pub(crate) fn update(&self, recorded: &Value, inputs: &Object) -> Result<Value, String> {
        self.send(&messages::update(recorded, inputs))
    }

    /// The kinds of changes that are asked for, each as the proxy sees it begin.
    pub(crate) fn changes(&self) -> BTreeSet<String> {
        let endpoint = |line: String| {
            let path = line.split('?').next().unwrap_or_default().to_owned();
            path.starts_with("POST ").then_some(path)
        };
        self.proxy
            .requests()
            .into_iter()
            .filter_map(endpoint)
            .collect()
    }

    /// Panics unless there is one bucket of this name, as its inputs want it, and no
    /// nameless one.
    pub(crate) fn assert_whole(&self, name: &str) {
        self.assert_whole_beside(name, &[]);
    }

    /// The same with others beside it.
    pub(crate) fn assert_whole_beside(&self, name: &str, others: &[&str]) {
        let admin = self.admin();
        let bucket = admin.bucket_called(name).expect("it is there");
        let id = bucket["id"].as_str().expect("an id");
        assert_eq!(admin.permissions(id, &self.key.id), "r", "{bucket}");
        assert_eq!(bucket["quotas"]["maxObjects"], 5, "{bucket}");
        assert_eq!(bucket["websiteAccess"], true, "{bucket}");
        let all: Vec<_> = others.iter().copied().chain([name]).collect();
        self.assert_none_but(&all);
    }

    /// Panics if there is a bucket without a global alias, or with another one.
    pub(crate) fn assert_none_but(&self, names: &[&str]) {
        for bucket in self.admin().buckets() {
            let aliases = bucket["globalAliases"].as_array().expect("aliases");
            let is_ours = aliases.len() == 1 && names.iter().any(|name| aliases[0] == *name);
            assert!(is_ours, "a bucket too many: {bucket}");
        }
    }

    /// Removes the buckets that have neither a name nor a key, which Garage leaves if
    /// this change was the one that makes a bucket and was cut short.
    pub(crate) fn remove_what_was_begun(&self, change: &str) {
        if change != "POST /v2/CreateBucket" {
            return;
        }
        let admin = self.admin();
        for bucket in admin.buckets() {
            let id = bucket["id"].as_str().expect("an id");
            let info = admin.bucket(id).expect("it is there");
            if info["globalAliases"] == json!([]) && info["keys"] == json!([]) {
                admin.post("DeleteBucket", &[("id", id)], &json!({}));
            }
        }
    }

    /// Removes every bucket.
    pub(crate) fn clear(&self) {
        let admin = self.admin();
        for bucket in admin.buckets() {
            let id = bucket["id"].as_str().expect("an id");
            admin.post("DeleteBucket", &[("id", id)], &json!({}));
        }
    }
}

fn record(inputs: &Object, answer: &Value) -> Value {
    let outputs = object(answer["outputProperties"].clone());
    messages::resource(BUCKET, inputs, Some(&outputs))
}

/// Each change at some moments: before Garage looks at it, which takes a check of the
/// token, while it does it, and after that.
pub(crate) fn sweep(changes: BTreeSet<String>) -> Vec<(String, Duration)> {
    let at = |change: String| {
        let moments = [0, 20, 60].map(Duration::from_millis);
        moments.map(|moment| (change.clone(), moment))
    };
    changes.into_iter().flat_map(at).collect()
}

/// How the answer to a change is lost, with the change done and not done.
pub(crate) fn losses() -> Vec<(&'static str, Fault)> {
    let lost = ["500", "cut before", "cut after", "cut within", "no answer"];
    let mut all = faults();
    all.retain(|(what, _)| lost.contains(what));
    all.push(("no answer after it was done", Fault::HangAfter));
    all
}

/// What a server answers that is busy, broken or not Garage at all, and no answer.
pub(crate) fn faults() -> Vec<(&'static str, Fault)> {
    let answer = |status, body: &str| Fault::Answer {
        status,
        body: body.to_owned(),
    };
    let garage = |status, code: &str| {
        let body = json!({"code": code, "message": "made up", "region": "garage", "path": "/"});
        answer(status, &body.to_string())
    };
    vec![
        ("500", garage(500, "InternalError")),
        ("503", garage(503, "ServiceUnavailable")),
        ("502 of a proxy", answer(502, "<h1>Bad Gateway</h1>")),
        ("404 of a proxy", answer(404, "<h1>Not Found</h1>")),
        (
            "404 of something else",
            answer(404, r#"{"error": "no such route"}"#),
        ),
        ("200 of something else", answer(200, "<h1>Welcome</h1>")),
        ("cut before", Fault::CutBefore),
        ("cut after", Fault::CutAfter),
        ("cut within", Fault::CutWithin),
        ("no answer", Fault::Hang),
    ]
}
