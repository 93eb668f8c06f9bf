//! How long each executable took the last time, so that the quickest comes first:
//! what fails is known soon.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::built::{Target, UNIT_TESTS};

/// Beside cargo's messages.
const FILE: &str = "times.json";

pub(crate) struct Times {
    file: PathBuf,
    /// Milliseconds, by the target's name.
    known: BTreeMap<String, u64>,
}

impl Times {
    /// Reads what is known from the folder that cargo's messages are in.
    pub(crate) fn read(messages: &Path) -> Self {
        let file = messages.with_file_name(FILE);
        // Without it the order is another one, and nothing else.
        let known = fs::read(&file).ok();
        let known = known.and_then(|bytes| serde_json::from_slice(&bytes).ok());
        Self {
            file,
            known: known.unwrap_or_default(),
        }
    }

    /// What comes first is less. What never ran comes before what did, the tests
    /// within a crate before the others.
    pub(crate) fn rank(&self, target: &Target) -> (u64, bool, String) {
        let name = target.to_string();
        let time = self.known.get(&name).copied().unwrap_or_default();
        (time, target.name != UNIT_TESTS, name)
    }

    pub(crate) fn remember(&mut self, target: &Target, time: Duration) {
        let time = u64::try_from(time.as_millis()).expect("less than an age");
        self.known.insert(target.to_string(), time);
    }

    pub(crate) fn write(&self) {
        let text = serde_json::to_string_pretty(&self.known).expect("JSON");
        fs::write(&self.file, text)
            .unwrap_or_else(|error| panic!("cannot write {}: {error}", self.file.display()));
    }
}
