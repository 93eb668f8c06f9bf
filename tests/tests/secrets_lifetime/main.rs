//! What becomes of secrets in the course of time: rotated, renewed, expired, and
//! what follows from them. And that other people's programs take what comes out
//! of the store, and that nothing of it shows anywhere else.

#[path = "../support"]
mod support {
    pub(crate) mod secrets;
}

mod applied;
mod broken;
mod canary;
mod following;
mod forged;
mod obtained;
mod renewal;
mod rotation;
mod slow;

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use nixops4_resources_tests::binaries;
use nixops4_resources_tests::messages::{self, Object, object};
use nixops4_resources_tests::provider::oneshot;
use nixops4_resources_tests::sandbox::Sandbox;
use nixops4_secrets_store::{ExposeSecret as _, Identities, Store};
use serde_json::{Value, json};
use tokio::runtime::Runtime;

/// A store, and the provider beside it.
struct Site {
    sandbox: Sandbox,
    store: PathBuf,
    identity: PathBuf,
    /// More for `NIXOPS4_SECRETS_STORES`.
    sources: String,
    runtime: Runtime,
}

impl Site {
    fn new() -> Self {
        let sandbox = Sandbox::new();
        let (identity, _) = support::secrets::identity(&sandbox);
        let runtime = tokio::runtime::Builder::new_current_thread();
        Self {
            store: sandbox.work().join("secrets.db"),
            identity,
            sandbox,
            sources: String::new(),
            runtime: { runtime }.enable_all().build().expect("a runtime"),
        }
    }

    fn command(&self) -> Command {
        let executable = binaries::path("nixops4-resources-secrets");
        let mut command = self.sandbox.command(executable);
        let [mut stores, identity] = support::secrets::environment(&self.store, &self.identity);
        stores.1.push_str(&self.sources);
        command.envs([stores, identity]);
        command
    }

    fn ask(&self, request: &Value) -> Result<Value, String> {
        let output = oneshot(self.command(), [request.to_string()]);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{stderr}");
        messages::answer(request, String::from_utf8_lossy(&output.stdout).trim_end())
    }

    fn inputs(inputs: &Value) -> Object {
        let mut inputs = object(inputs.clone());
        inputs.insert("owner".to_owned(), json!("lifetime"));
        inputs
    }

    fn try_make(&self, kind: &str, inputs: &Value) -> Result<Value, String> {
        let mut answer = self.ask(&messages::create(kind, &Self::inputs(inputs), true))?;
        Ok(answer["outputProperties"].take())
    }

    /// Makes it as it is wanted now, and sees that nothing is left to do.
    fn make(&self, kind: &str, inputs: &Value) -> Value {
        let made = self.try_make(kind, inputs);
        made.unwrap_or_else(|error| panic!("{kind}: {error}"))
    }

    /// The plan's pointers; none if there is nothing to do.
    fn plan(&self, kind: &str, inputs: &Value) -> Vec<String> {
        let request = messages::plan(kind, &Self::inputs(inputs), &[], None);
        let plan = self.ask(&request).expect("a plan");
        let changes = plan["changes"].as_array().expect("changes");
        assert_eq!(changes.is_empty(), plan["action"] == "none", "{plan}");
        let path = |change: &Value| change["path"].as_str().expect("a pointer").to_owned();
        changes.iter().map(path).collect()
    }

    /// The value that a reference names.
    fn reveal(&self, reference: &Value) -> Result<String, String> {
        self.runtime.block_on(async {
            let mut store = self.open().await;
            let text = |key: &str| reference[key].as_str().expect("text");
            let generation = reference["generation"].as_u64().expect("a number");
            let generation = u32::try_from(generation).expect("a small one");
            let revealed = store
                .reveal(
                    &text("name").parse().expect("a name"),
                    generation.try_into().expect("a generation"),
                    Some(&text("id").parse().expect("an id")),
                )
                .await;
            revealed
                .map(|value| value.expose_secret().to_owned())
                .map_err(|error| error.to_string())
        })
    }

    async fn open(&self) -> Store {
        let url = format!("sqlite:{}", self.store.display());
        let identities = Identities::from_file(&self.identity).expect("an identity");
        let store = Store::open(&url.parse().expect("a URL"), &identities).await;
        store.expect("a store")
    }

    fn write(&self, name: &str, text: &Value) -> PathBuf {
        self.sandbox.write(name, text.as_str().expect("text"))
    }

    /// Runs somebody else's program in the sandbox.
    fn run(&self, program: &str, arguments: &[&str]) -> Output {
        let mut command = self.sandbox.command(program);
        command.args(arguments).stdin(Stdio::null());
        let output = command.output();
        output.unwrap_or_else(|error| panic!("{program} is needed here: {error}"))
    }

    fn succeed(&self, program: &str, arguments: &[&str]) -> String {
        let output = self.run(program, arguments);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{program} {arguments:?}: {stderr}");
        String::from_utf8(output.stdout).expect("text")
    }
}

fn path(path: &Path) -> &str {
    path.to_str().expect("a plain path")
}

/// Lets so much time go by that something is due.
fn wait(seconds: u64) {
    std::thread::sleep(std::time::Duration::from_millis(seconds * 1000 + 100));
}
