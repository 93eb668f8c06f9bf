//! Where the state is: as the user says, as it was remembered, or as the
//! expression says.
//!
//! What is remembered is only ever a hint: whoever evaluates compares. It is believed if
//! nobody else can have written it.

use std::collections::hash_map::DefaultHasher;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::Permissions;
use std::hash::{Hash as _, Hasher as _};
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use nixops4_secrets_store::trust;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::eval::{Evaluation, Known, Look, named};
use crate::failure::Failure;
use crate::member::MemberPath;
use crate::plan::{survey, unnamed};
use crate::records::{Location, Opening, Records};
use crate::session::Session;

/// Our folders among those where the user's programs remember such things.
const OURS: &str = "nixops4-resources/states";
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

/// Opens the state without evaluating if that can be: where the user says, or
/// where it was at the last apply.
pub(crate) async fn open_without_evaluating(
    session: &Session,
    said: Option<&str>,
    opening: Opening,
) -> Result<Records, Failure> {
    if said.is_some() {
        return open(session, said, opening).await;
    }
    match startable(session) {
        Some(remembered) => open_all(session, &remembered, opening).await,
        None => open(session, None, opening).await,
    }
}

/// Where the state was at the last apply, if its provider may be started without
/// asking the expression.
pub(crate) fn startable(session: &Session) -> Option<Vec<Location>> {
    let remembered = remembered(session);
    let is_startable = |location: &Location| session.starts(location);
    (!remembered.is_empty() && remembered.iter().all(is_startable)).then_some(remembered)
}

/// Opens the state where the user says, else where the expression says.
pub(crate) async fn open(
    session: &Session,
    said: Option<&str>,
    opening: Opening,
) -> Result<Records, Failure> {
    if let Some(said) = said {
        let location = said_by_user(session, said)?;
        return open_all(session, &[location], opening).await;
    }
    let mut records = Records::default();
    let evaluation = session
        .evaluator
        .evaluate(Look::States, &Known::default())
        .await?;
    survey::open_keepers(session, &evaluation, &mut records, opening).await?;
    let keepers = survey::keepers(&evaluation);
    let missing: Vec<MemberPath> = keepers
        .iter()
        .filter(|path| !records.is_open(path))
        .cloned()
        .collect();
    let remembered = remembered(session);
    if missing.is_empty() && evaluation.structures.is_empty() {
        open_unnamed(session, &evaluation, &mut records, &remembered).await?;
        let is_last_one_gone = records.open_paths().next().is_none() && !remembered.is_empty();
        if !is_last_one_gone {
            return Ok(records);
        }
    }
    let is_remembered = |path: &MemberPath| remembered.iter().any(|state| state.label == *path);
    if !remembered.is_empty() && missing.iter().all(is_remembered) {
        records.close().await;
        return open_all(session, &remembered, opening).await;
    }
    Err(Failure::Whereabouts(missing))
}

/// The place of a state that the user gives.
pub(crate) fn said_by_user(session: &Session, said: &str) -> Result<Location, Failure> {
    let location = Location::parse(said).map_err(|error| Failure::Usage(error.to_string()))?;
    session.trust.said(&location, !said.starts_with('@'));
    Ok(location)
}

/// Opens what nobody names any more and still has something in it. An expression with
/// a mistake in it keeps nobody from the state that is named.
async fn open_unnamed(
    session: &Session,
    states: &Evaluation,
    records: &mut Records,
    remembered: &[Location],
) -> Result<(), Failure> {
    let mut is_needed = remembered.iter().any(|it| unnamed::has_left(it, states));
    for member in states.members.values() {
        is_needed = is_needed
            || !records.is_open(&member.path) && unnamed::may_keep_state(session, member).await;
    }
    if !is_needed {
        return Ok(());
    }
    match survey::evaluate_as_recorded(session, records).await {
        Ok(evaluation) => {
            unnamed::open(session, &evaluation, records, Opening::Change).await?;
        }
        Err(error) => records.note(format!(
            "states that no member names are left alone, because the expression could not be \
             evaluated: {error}"
        )),
    }
    Ok(())
}

async fn open_all(
    session: &Session,
    locations: &[Location],
    opening: Opening,
) -> Result<Records, Failure> {
    let mut records = Records::default();
    for location in locations {
        records.open(session, location, opening).await?;
    }
    Ok(records)
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
pub(crate) fn remembered(session: &Session) -> Vec<Location> {
    recall(session, &deployment(session)).states
}

/// What the expression said then for an input, as far as something is still recorded
/// with it. Who gives the place of a state need not have the expression any more: what it
/// was called is found by that place.
pub(crate) fn remembered_inputs(session: &Session, input: &str) -> Vec<Value> {
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

/// Opens the state where it was at the last apply, if all of it is still there.
pub(crate) async fn reopen(session: &Session) -> Option<Records> {
    let locations = remembered(session);
    if locations.is_empty() {
        return None;
    }
    // Why not is told when it is opened where the expression says.
    let records = open_all(session, &locations, Opening::Look).await.ok()?;
    if records.absent().is_empty() {
        Some(records)
    } else {
        records.close().await;
        None
    }
}

/// Whether what is open is what the expression says now, and what left it.
pub(crate) fn is_where_it_was(evaluation: &Evaluation, records: &Records) -> bool {
    let remembered: Vec<&Location> = records.locations().collect();
    let wanted = survey::keepers(evaluation);
    let is_named = |state: &&Location| wanted.contains(&state.label);
    let is_there = |state: &&Location| {
        let member = evaluation.members.get(&state.label);
        match member {
            Some(member) => member.is_known() && Location::from(member) == **state,
            None => unnamed::has_left(state, evaluation),
        }
    };
    remembered.iter().filter(|state| is_named(state)).count() == wanted.len()
        && remembered.iter().all(is_there)
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

/// Where the user's programs remember such things.
pub(crate) fn memory() -> Option<PathBuf> {
    let named = std::env::var_os("XDG_STATE_HOME").filter(|path| !path.is_empty());
    let home = || {
        std::env::home_dir()
            .filter(|home| !home.as_os_str().is_empty())
            .map(|home| home.join(".local/state"))
    };
    let directory = named.map(PathBuf::from).or_else(home)?;
    Some(directory.join(OURS))
}
