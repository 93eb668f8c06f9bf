//! Where the state is: as the user says, as it was remembered, or as the
//! expression says.
//!
//! What is remembered is only ever a hint: whoever evaluates compares.

use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash as _, Hasher as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::eval::{Evaluation, Known, Look};
use crate::failure::Failure;
use crate::member::MemberPath;
use crate::plan::{survey, unnamed};
use crate::records::{Location, Opening, Records};
use crate::session::Session;

/// Where the state of one deployment was at its last apply.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Remembered {
    /// The deployment, as an absolute path.
    deployment: PathBuf,
    /// Its state resources.
    states: Vec<Location>,
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
    let remembered = recall(session, &deployment(session));
    if remembered.is_empty() {
        return open(session, None, opening).await;
    }
    open_all(session, &remembered, opening).await
}

/// Opens the state where the user says, else where the expression says.
pub(crate) async fn open(
    session: &Session,
    said: Option<&str>,
    opening: Opening,
) -> Result<Records, Failure> {
    if let Some(said) = said {
        let location = Location::parse(said).map_err(|error| Failure::Usage(error.to_string()))?;
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
    let remembered = recall(session, &deployment(session));
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
        records.open(&session.providers, location, opening).await?;
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
    recall(session, &deployment(session))
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
    let deployment = deployment(session);
    if states.is_empty() || recall(session, &deployment) == states {
        return;
    }
    let Some(file) = file(session, &deployment) else {
        return;
    };
    let Ok(json) = serde_json::to_vec(&Remembered { deployment, states }) else {
        return;
    };
    let _ = write(&file, &json);
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

fn recall(session: &Session, deployment: &Path) -> Vec<Location> {
    file(session, deployment)
        .and_then(|file| std::fs::read(file).ok())
        .and_then(|json| serde_json::from_slice::<Remembered>(&json).ok())
        .filter(|remembered| remembered.deployment == deployment)
        .map(|remembered| remembered.states)
        .unwrap_or_default()
}

/// Whole or not at all, and for the user alone.
fn write(file: &Path, json: &[u8]) -> std::io::Result<()> {
    let directory = file.parent().unwrap_or(file);
    std::fs::create_dir_all(directory)?;
    let mut scratch = tempfile::NamedTempFile::new_in(directory)?;
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
    Some(directory.join("nixops4-resources/states"))
}
