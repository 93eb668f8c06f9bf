//! What holds for every kind, for those of `example`.

use std::collections::BTreeSet;
use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::PathBuf;

use nixops4_resources_tests::canary::Canary;
use nixops4_resources_tests::conformance::{Bad, Drift, Field, Fixture, Site, Verdict};
use nixops4_resources_tests::mark;
use nixops4_resources_tests::messages::{Object, object};
use nixops4_resources_tests::sandbox::Sandbox;
use serde_json::{Value, json};

nixops4_resources_tests::conformance!(Notes);

/// A board, and a place to run the provider in.
struct Notes {
    sandbox: Sandbox,
    /// What the board asks for.
    token: Canary,
}

impl Notes {
    fn board(&self) -> PathBuf {
        self.sandbox.work().join("board")
    }

    fn file(&self, name: &str) -> PathBuf {
        self.board().join(format!("{name}.note"))
    }

    fn token_file(&self) -> PathBuf {
        self.sandbox.work().join("token")
    }

    /// Puts up a note as somebody would by hand, or changes one.
    fn write(&self, name: &str, comment: &str, text: &str) {
        let file = self.file(name);
        fs::write(&file, format!("{comment}\n{text}\n")).expect("a file");
        fs::set_permissions(&file, Permissions::from_mode(0o644)).expect("a file of ours");
    }

    /// Its comment and its text.
    fn read(&self, name: &str) -> Option<(String, String)> {
        let content = fs::read_to_string(self.file(name)).ok()?;
        let (comment, text) = content.split_once('\n').expect("two lines");
        Some((comment.to_owned(), text.trim_end().to_owned()))
    }
}

impl Site for Notes {
    fn sandbox(&self) -> &Sandbox {
        &self.sandbox
    }

    fn references(&self) -> Vec<&'static str> {
        vec!["/connection/token"]
    }

    fn secrets(&self) -> Vec<Canary> {
        vec![Canary::with(self.token.value())]
    }

    fn planted(&self) -> Vec<PathBuf> {
        vec![self.token_file(), self.board().join(".token")]
    }

    fn writings(&self) -> Vec<(String, Vec<u8>)> {
        // The notes are searched with the sandbox.
        Vec::new()
    }
}

impl Fixture for Notes {
    const TYPE: &'static str = "example_note";
    const PROVIDER: &'static str = "nixops4-resources-example";
    const RETAINS: bool = false;
    const RENAMES: bool = false;
    const IDENTITY_INPUTS: &'static [&'static str] = &["deployment", "name", "connection"];

    type Site = Self;

    fn new() -> Self {
        let (sandbox, token) = (Sandbox::new(), Canary::new());
        sandbox.write("token", token.value());
        sandbox.write("board/.token", token.value());
        Self { sandbox, token }
    }

    fn site(&self) -> &Self {
        self
    }

    fn inputs(&self, name: &str) -> Object {
        object(json!({
            "connection": {"folder": self.board(), "token": {"file": self.token_file()}},
            "name": name,
            "text": "hello",
        }))
    }

    fn fields(&self) -> Vec<Field> {
        vec![Field {
            pointer: "/text",
            value: json!("good bye"),
            verdict: Verdict::Changed,
        }]
    }

    fn drifts(&self) -> Vec<Drift<Self>> {
        vec![Drift {
            pointer: "/text",
            make: |at, name| {
                let (comment, _) = at.read(name).expect("a note");
                at.write(name, &comment, "changed by hand");
            },
        }]
    }

    fn bad(&self) -> Vec<Bad> {
        let wrong = |pointer, value, words: &[&'static str]| Bad {
            patch: vec![(pointer, value)],
            pointer,
            words: words.to_vec(),
        };
        let other = self.sandbox.write("other", "another token");
        vec![
            wrong("/name", Value::Null, &["missing field"]),
            wrong("/name", json!(""), &["can't be a note"]),
            wrong("/name", json!("../x"), &["hint: use letters"]),
            wrong("/text", json!("two\nlines"), &["one line"]),
            wrong("/connection", Value::Null, &["missing field"]),
            wrong("/connection/folder", json!("/nowhere"), &["hint: give"]),
            Bad {
                patch: vec![("/connection/token", json!({"file": other}))],
                pointer: "/connection/token",
                words: vec!["refuses this token", "hint: give"],
            },
        ]
    }

    fn look(&self, name: &str) -> Option<Value> {
        let (comment, text) = self.read(name)?;
        Some(json!({"comment": mark::without_details(&comment), "text": text}))
    }

    fn version(&self, name: &str) -> String {
        let file = fs::metadata(self.file(name)).expect("a note");
        format!("{} {} {}", file.ino(), file.ctime(), file.ctime_nsec())
    }

    fn everything(&self) -> BTreeSet<String> {
        let files = fs::read_dir(self.board()).expect("a folder");
        files
            .map(|file| file.expect("a file").file_name())
            .map(|name| name.to_string_lossy().trim_end_matches(".note").to_owned())
            .collect()
    }

    fn is_in_service(&self, name: &str) -> bool {
        let file = fs::metadata(self.file(name)).expect("a note");
        file.permissions().mode() & 0o004 != 0
    }

    fn put_data(&self, name: &str) {
        // What it says is all that it holds.
        assert!(self.has_data(name));
    }

    fn has_data(&self, name: &str) -> bool {
        self.read(name).is_some_and(|(_, text)| text == "hello")
    }

    fn vanish(&self, name: &str) {
        fs::remove_file(self.file(name)).expect("a note");
    }

    fn make_unmarked(&self, name: &str) -> bool {
        self.write(name, "", "hello");
        true
    }
}
