//! What is remembered of a deployment from one run to the next: where its state is, and
//! what the expression named.
//!
//! It is only ever a hint: whoever evaluates compares. It is believed if nobody else can
//! have written it. It opens no state.

pub(crate) mod folder;

use std::collections::hash_map::DefaultHasher;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::Permissions;
use std::hash::{Hash as _, Hasher as _};
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use nixops4_file_trust as trust;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::eval::{Evaluation, named};
use crate::records::{Location, Records};
use crate::session::Session;

/// How many folders of ours stand in one another there.
const OUR_FOLDERS: usize = 2;

/// What is remembered of one deployment: where its state was when it was last planned
/// or applied.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
struct Remembered {
    /// The deployment, as an absolute path.
    deployment: PathBuf,
    /// Its state resources.
    states: Vec<Location>,
    /// The connections that the expression gave its providers: what is recorded may
    /// lead there.
    #[serde(default)]
    connections: Vec<Value>,
    /// Whose the things were.
    #[serde(default)]
    owners: Vec<Value>,
}

impl Remembered {
    /// What is remembered of an input that decides what a record may bring about.
    fn said(&self, input: &str) -> &[Value] {
        match input {
            named::CONNECTION => &self.connections,
            named::OWNER => &self.owners,
            _ => &[],
        }
    }
}

/// What stands for the deployment: its file or flake, absolute.
fn deployment(session: &Session) -> PathBuf {
    match session.evaluator.root() {
        Ok(root) => root.path().to_owned(),
        Err(_) => std::path::absolute(session.evaluator.name())
            .unwrap_or_else(|_| session.evaluator.name().to_owned()),
    }
}

/// Where the state was at the last apply.
pub(crate) fn states(session: &Session) -> Vec<Location> {
    recall(session, &deployment(session)).states
}

/// What the expression said then for an input, as far as something is still recorded
/// with it. Who gives the place of a state need not have the expression any more: what it
/// was called is found by that place.
pub(crate) fn inputs(session: &Session, input: &str) -> Vec<Value> {
    let mut values = recall(session, &deployment(session)).said(input).to_vec();
    let files = session.memory.as_ref().and_then(|it| it.read_dir().ok());
    for file in files.into_iter().flatten().flatten() {
        if let Some(remembered) = believed(session, &file.path())
            && session.trust.is_given(&remembered.states)
        {
            values.extend_from_slice(remembered.said(input));
        }
    }
    values
}

/// Remembers where the state is, and where it was as long as something is recorded
/// there. Nothing depends on it, so that a place that can't be written is no error.
pub(crate) fn remember(session: &Session, evaluation: &Evaluation, records: &Records) {
    let mut states: Vec<Location> = records
        .locations()
        .filter_map(|location| match evaluation.members.get(&location.label) {
            Some(member) => Some(Location::from(member)),
            None if records.is_used(&location.label) => Some(location.clone()),
            None => None,
        })
        .collect();
    states.extend_from_slice(records.lost());
    if states.is_empty() {
        return;
    }
    let deployment = deployment(session);
    let before = recall(session, &deployment);
    let now = Remembered {
        connections: to_remember(evaluation, records, &before, named::CONNECTION),
        owners: to_remember(evaluation, records, &before, named::OWNER),
        deployment,
        states,
    };
    if before == now {
        return;
    }
    let (Some(file), Ok(json)) = (file(session, &now.deployment), serde_json::to_vec(&now)) else {
        return;
    };
    let _ = write(&file, &json);
}

/// What the expression says for an input, and what it said as long as something is
/// recorded with it.
fn to_remember(
    evaluation: &Evaluation,
    records: &Records,
    before: &Remembered,
    input: &str,
) -> Vec<Value> {
    let mut values = BTreeMap::new();
    for value in named::said(evaluation, input) {
        values.insert(named::canonical(value), value.clone());
    }
    let before: Vec<(String, &Value)> = (before.said(input).iter())
        .map(|value| (named::canonical(value), value))
        .filter(|(key, _)| !values.contains_key(key))
        .collect();
    if !before.is_empty() {
        let recorded = records.all();
        let recorded = recorded.filter_map(|(_, _, it)| it.input_properties.get(input));
        let recorded: BTreeSet<String> = recorded.map(named::canonical).collect();
        let still_used = before.into_iter().filter(|(key, _)| recorded.contains(key));
        values.extend(still_used.map(|(key, value)| (key, value.clone())));
    }
    values.into_values().collect()
}

fn recall(session: &Session, deployment: &Path) -> Remembered {
    file(session, deployment)
        .and_then(|file| believed(session, &file))
        .filter(|remembered| remembered.deployment == deployment)
        .unwrap_or_default()
}

/// What stands in a file, if nobody else can have written it.
fn believed(session: &Session, file: &Path) -> Option<Remembered> {
    let json = std::fs::read(file).ok()?;
    let doubt = match trust::check(file) {
        Ok(callers) => callers.map(|callers| callers.to_string()),
        Err(untrusted) => Some(untrusted.to_string()),
    };
    let Some(why) = doubt else {
        return serde_json::from_slice(&json).ok();
    };
    if session.trust.is_first_doubt() {
        let note = format!("where the state was at the last apply is not believed: {why}");
        session.ui.said("note", &note);
    }
    None
}

/// Whole or not at all, and for the user alone.
fn write(file: &Path, json: &[u8]) -> std::io::Result<()> {
    let directory = file.parent().unwrap_or(file);
    let mut folders = std::fs::DirBuilder::new();
    folders.recursive(true).mode(0o700).create(directory)?;
    // An earlier version made them as the umask said.
    for folder in directory.ancestors().take(OUR_FOLDERS) {
        std::fs::set_permissions(folder, Permissions::from_mode(0o700))?;
    }
    let mut scratch = tempfile::Builder::new()
        .permissions(Permissions::from_mode(0o600))
        .tempfile_in(directory)?;
    scratch
        .as_file()
        .set_permissions(Permissions::from_mode(0o600))?;
    std::io::Write::write_all(&mut scratch, json)?;
    scratch.persist(file)?;
    Ok(())
}

fn file(session: &Session, deployment: &Path) -> Option<PathBuf> {
    let mut hasher = DefaultHasher::new();
    deployment.hash(&mut hasher);
    let name = format!("{:016x}.json", hasher.finish());
    Some(session.memory.as_ref()?.join(name))
}
