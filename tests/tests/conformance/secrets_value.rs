//! The kind `secrets_value`, with a folder of files as its source.

use std::path::PathBuf;

use nixops4_resources_tests::canary::Canary;
use nixops4_resources_tests::conformance::{Bad, Verdict};
use nixops4_resources_tests::sandbox::Sandbox;
use serde_json::{Value, json};

use crate::secrets::{Kind, Secrets, bad, patched};

nixops4_resources_tests::conformance!(Secrets<Obtained>);

struct Obtained {
    folder: PathBuf,
    values: [(String, PathBuf); 2],
}

impl Kind for Obtained {
    const TYPE: &'static str = "secrets_value";

    fn new(sandbox: &Sandbox) -> Self {
        let plant = |name: &str| {
            let value = Canary::new().value().to_owned();
            let file = sandbox.write(format!("source/{name}"), &value);
            (value, file)
        };
        Self {
            folder: sandbox.work().join("source"),
            values: [plant("app/db"), plant("app/mail")],
        }
    }

    fn inputs(&self) -> Value {
        json!({"source": "folder", "sourceName": "app/db"})
    }

    fn fields(&self) -> Vec<(&'static str, Value, Verdict)> {
        vec![("/sourceName", json!("app/mail"), Verdict::Changed)]
    }

    fn bad(&self) -> Vec<Bad> {
        vec![
            bad(
                "/source",
                json!("nowhere"),
                &["\"nowhere\"\nhint: NIXOPS4_SECRETS_STORES names broken, folder, main; "],
            ),
            bad("/source", json!("main"), &["\"main\""]),
            patched(
                &[("/source", Value::Null)],
                "/sourceName",
                &["no `source` to obtain it from"],
            ),
            bad("/version", json!(0), &["counted from 1"]),
        ]
    }

    fn sources(&self) -> String {
        format!("folder=file:{}", self.folder.display())
    }

    fn planted(&self) -> Vec<(Canary, PathBuf)> {
        let planted = |(value, file): &(String, PathBuf)| (Canary::with(value), file.clone());
        self.values.iter().map(planted).collect()
    }
}
