//! A deployment in a directory of its own, and the command run on it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use nixops4_resources_tests::binaries;
use serde_json::Value;
use tempfile::TempDir;

/// Nix that writes deployments of scratch things.
const PRELUDE: &str = include_str!("prelude.nix");

/// What a run of the command came to.
pub(crate) struct Ran {
    /// Exit code; `None` if a signal ended it.
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Ran {
    /// Makes sure of the exit code.
    #[track_caller]
    pub(crate) fn expect(self, code: i32) -> Self {
        assert_eq!(
            self.code,
            Some(code),
            "stdout:\n{}\nstderr:\n{}",
            self.stdout,
            self.stderr
        );
        self
    }

    /// Makes sure that stdout and stderr together say something.
    #[track_caller]
    pub(crate) fn says(self, what: &str) -> Self {
        assert!(
            self.stdout.contains(what) || self.stderr.contains(what),
            "nobody says {what:?}\nstdout:\n{}\nstderr:\n{}",
            self.stdout,
            self.stderr
        );
        self
    }

    /// Makes sure that neither stdout nor stderr says something.
    #[track_caller]
    pub(crate) fn never_says(self, what: &str) -> Self {
        assert!(
            !self.stdout.contains(what) && !self.stderr.contains(what),
            "somebody says {what:?}\nstdout:\n{}\nstderr:\n{}",
            self.stdout,
            self.stderr
        );
        self
    }

    /// Each line of stdout as JSON.
    #[track_caller]
    pub(crate) fn events(&self) -> Vec<Value> {
        self.stdout
            .lines()
            .map(|line| serde_json::from_str(line).expect(line))
            .collect()
    }

    /// All of stdout as one JSON document.
    #[track_caller]
    pub(crate) fn document(&self) -> Value {
        serde_json::from_str(&self.stdout).expect(&self.stdout)
    }

    /// The last event: the summary.
    #[track_caller]
    pub(crate) fn summary(&self) -> Value {
        let summary = self.events().pop().expect("events");
        assert_eq!(summary["event"], "summary");
        summary
    }
}

/// A deployment.
pub(crate) struct Deployment {
    directory: TempDir,
}

impl Deployment {
    /// One with these members, an attribute set in Nix that may use `o` (the
    /// outputs), `thing NAME INPUTS`, `stateless NAME INPUTS`, `old NAME INPUTS`
    /// (of a provider that knows v0 alone) and `state`.
    pub(crate) fn new(members: &str) -> Self {
        Self::with(members, &provider().to_string_lossy())
    }

    /// One whose provider is of this suite, found in `PATH` by its name.
    pub(crate) fn of_suite(members: &str) -> Self {
        const NAME: &str = "nixops4-resources-scratch";
        let deployment = Self::with(members, NAME);
        fs::create_dir(deployment.path("bin")).expect("a folder");
        let link = deployment.path("bin").join(NAME);
        std::os::unix::fs::symlink(provider(), link).expect("a link");
        deployment
    }

    fn with(members: &str, provider: &str) -> Self {
        let deployment = Self {
            directory: TempDir::new().expect("a directory"),
        };
        fs::create_dir(deployment.things()).expect("things");
        let prelude = PRELUDE.replace("@PROVIDER@", provider).replace(
            "@DIRECTORY@",
            &deployment.directory.path().to_string_lossy(),
        );
        fs::write(deployment.path("prelude.nix"), prelude).expect("prelude");
        deployment.write(members);
        deployment
    }

    /// Other members from now on.
    pub(crate) fn write(&self, members: &str) {
        let root = format!("import ./prelude.nix (s: with s; {members})\n");
        fs::write(self.path("nixops4.nix"), root).expect("root");
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn things(&self) -> PathBuf {
        self.path("things")
    }

    /// A thing as it is, if it is there.
    pub(crate) fn thing(&self, name: &str) -> Option<Value> {
        let text = fs::read(self.things().join(format!("{name}.json"))).ok()?;
        Some(serde_json::from_slice(&text).expect("a thing"))
    }

    /// Changes a thing behind everybody's back.
    pub(crate) fn tamper(&self, name: &str, thing: &Value) {
        fs::write(
            self.things().join(format!("{name}.json")),
            thing.to_string(),
        )
        .expect("thing");
    }

    /// What providers were asked to do, in order.
    pub(crate) fn log(&self) -> Vec<String> {
        fs::read_to_string(self.things().join("log"))
            .unwrap_or_default()
            .lines()
            .map(str::to_owned)
            .collect()
    }

    /// How often something stands in the log.
    pub(crate) fn times(&self, what: &str) -> usize {
        self.log().iter().filter(|line| *line == what).count()
    }

    /// `PATH` with the deployment's own providers.
    pub(crate) fn programs(&self) -> String {
        let path = std::env::var("PATH").expect("PATH");
        format!("{}:{path}", self.path("bin").display())
    }

    /// The command, ready to be run in the deployment's directory.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_nixops4-resources"));
        command
            .args(arguments)
            .current_dir(self.directory.path())
            .env("NO_COLOR", "1")
            .env("PATH", self.programs())
            .env("XDG_STATE_HOME", self.path("home"))
            .stdin(Stdio::null());
        command
    }

    /// What is recorded of a resource at the root.
    pub(crate) fn recorded(&self, name: &str) -> Option<Value> {
        let mut document = nixops4_protocol::state::empty();
        for line in fs::read_to_string(self.path("state")).ok()?.lines() {
            let patch: json_patch::Patch = serde_json::from_str(line).expect("a patch");
            json_patch::patch(&mut document, &patch).expect("it fits");
        }
        document["resources"].get(name).cloned()
    }

    /// Runs the command.
    pub(crate) fn run(&self, arguments: &[&str]) -> Ran {
        ran(&mut self.command(arguments))
    }
}

/// Makes sure that a document is as `schemas/command.json` says of what is there at
/// these names, one below the other.
#[track_caller]
pub(crate) fn as_documented(names: &[&str], document: &Value) {
    let schema = include_str!("../../../schemas/command.json");
    let schema: Value = serde_json::from_str(schema).expect("a schema");
    let mut here = &schema;
    for name in names {
        let place = here["properties"][name]["$ref"].as_str();
        let place = place.unwrap_or_else(|| panic!("there is no {name} in the schema"));
        here = schema.pointer(&place[1..]).expect("it leads somewhere");
    }
    let mut whole = here.clone();
    whole["$defs"] = schema["$defs"].clone();
    let validator = jsonschema::draft202012::new(&whole).expect("a schema");
    if let Err(error) = validator.validate(document) {
        panic!("{names:?}: {error} in {document:#}");
    }
}

/// Runs a command to its end.
pub(crate) fn ran(command: &mut Command) -> Ran {
    let output = command.output().expect("the command runs");
    Ran {
        code: output.status.code(),
        stdout: String::from_utf8(output.stdout).expect("UTF-8"),
        stderr: String::from_utf8(output.stderr).expect("UTF-8"),
    }
}

/// The scratch provider. `cargo test --test NAME` builds no examples, so that it
/// is built here, once; with the features of the whole workspace, as `cargo test
/// --workspace` has built all that it is made of.
pub(crate) fn provider() -> PathBuf {
    static PROVIDER: OnceLock<PathBuf> = OnceLock::new();
    let build = || {
        let directory = Path::new(env!("CARGO_BIN_EXE_nixops4-resources"))
            .parent()
            .expect("a profile's directory");
        let target = directory.parent().expect("a target directory");
        let mut cargo = binaries::cargo();
        cargo
            .args(["build", "--quiet", "--workspace"])
            .args(["--example", "scratch-provider"])
            .arg("--manifest-path")
            .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml"))
            .arg("--target-dir")
            .arg(target);
        if directory.ends_with("release") {
            cargo.arg("--release");
        }
        assert!(cargo.status().expect("cargo").success());
        directory.join("examples").join("scratch-provider")
    };
    PROVIDER.get_or_init(build).clone()
}
