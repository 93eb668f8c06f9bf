//! The test executables, from what cargo said when it built them.

use std::collections::BTreeSet;
use std::fmt;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use serde_json::Value;

/// A test executable.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Target {
    /// What the table adds it to: a provider or another folder.
    pub(crate) part: String,
    /// Cargo's name of it; of a crate's own tests, `unit tests`.
    pub(crate) name: String,
    /// The folder of its package, which it runs in.
    pub(crate) folder: PathBuf,
    pub(crate) executable: PathBuf,
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.part == self.name {
            write!(f, "{}", self.name)
        } else {
            write!(f, "{}: {}", self.part, self.name)
        }
    }
}

/// What a crate's own tests are called.
pub(crate) const UNIT_TESTS: &str = "unit tests";

/// The folder of the crate that tests all others.
const TESTS: &str = "tests";

/// What cargo said.
pub(crate) fn messages(file: &Path) -> Vec<Value> {
    let text = fs::read_to_string(file)
        .unwrap_or_else(|error| panic!("cannot read {}: {error}", file.display()));
    let message = |line| serde_json::from_str(line).expect("cargo writes JSON");
    text.lines().map(message).collect()
}

/// Every test executable that cargo has built.
pub(crate) fn targets(messages: &[Value]) -> Vec<Target> {
    let targets: BTreeSet<_> = messages.iter().filter_map(target).collect();
    assert!(!targets.is_empty(), "cargo built no tests");
    targets.into_iter().collect()
}

/// Puts links to all other executables into a folder, where the tests find them:
/// none of those has to ask cargo.
pub(crate) fn link_programs(messages: &[Value], folder: &Path) {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            panic!("cannot remove {}: {error}", folder.display())
        }
        _ => fs::create_dir_all(folder).expect("cannot create a folder"),
    }
    let is_program = |message: &&Value| {
        message["target"]["kind"][0] == "bin" && message["profile"]["test"] != true
    };
    // Cargo speaks of some of them twice.
    let programs: BTreeSet<_> = messages
        .iter()
        .filter(is_program)
        .filter_map(|message| message["executable"].as_str())
        .collect();
    for program in programs {
        let name = Path::new(program).file_name().expect("a file's path");
        fs::hard_link(program, folder.join(name))
            .unwrap_or_else(|error| panic!("cannot link {program}: {error}"));
    }
}

fn target(message: &Value) -> Option<Target> {
    let executable = message["executable"].as_str()?;
    if message["profile"]["test"] != true {
        return None;
    }
    let name = message["target"]["name"].as_str()?.to_owned();
    let manifest = Path::new(message["manifest_path"].as_str()?);
    let folder = manifest.parent()?.to_owned();
    let package = folder.file_name()?.to_str()?.to_owned();
    let is_test = message["target"]["kind"][0] == "test";
    let (part, name) = match (package.as_str(), is_test) {
        // `garage_faults` is about the provider of Garage.
        (TESTS, true) => match name.split_once('_') {
            Some((provider, _)) => (provider.to_owned(), name),
            None => (name.clone(), name),
        },
        (_, true) => (package, name),
        (_, false) => (package, UNIT_TESTS.to_owned()),
    };
    Some(Target {
        part,
        name,
        folder,
        executable: executable.into(),
    })
}
