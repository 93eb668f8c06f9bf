//! What is remembered of a deployment from one run to the next: where its state is, and
//! what the expression named.
//!
//! It is only ever a hint: whoever evaluates compares. It is believed if nobody else can
//! have written it. It opens no state.

pub(crate) mod folder;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use nixops4_file_trust as trust;
use nixops4_protocol::Object;
use nixops4_protocol::describe::Description;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::eval::{Evaluation, named};
use crate::providers;
use crate::records::{Location, Records};
use crate::session::Session;

/// What is remembered of one deployment: where its state was when it was last planned
/// or applied.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
struct Remembered {
    /// The deployment, as an absolute path.
    deployment: PathBuf,
    /// Its state resources.
    states: Vec<Location>,
    /// The inputs by which the expression reached its things, and those that said to
    /// which deployment they belong: what is recorded may have the same.
    #[serde(default)]
    said: Vec<Object>,
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

/// What the expression said then of where its things are and whose, as far as something
/// is still recorded with it. Who gives the place of a state need not have the expression
/// any more: what it was called is found by that place.
pub(crate) fn inputs(session: &Session) -> Vec<Object> {
    let mut values = recall(session, &deployment(session)).said;
    let files = session.memory.as_ref().and_then(|it| it.read_dir().ok());
    for file in files.into_iter().flatten().flatten() {
        if let Some(remembered) = believed(session, &file.path())
            && session.trust.is_given(&remembered.states)
        {
            values.extend(remembered.said);
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
            Some(member) => Some(Location::from(&**member)),
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
        said: to_remember(session, evaluation, records, &before),
        deployment,
        states,
    };
    if before == now {
        return;
    }
    let (Some(file), Ok(json)) = (file(session, &now.deployment), serde_json::to_vec(&now)) else {
        return;
    };
    let _ = folder::write(&file, &json);
}

/// What the expression says of where its things are and whose, and what it said as long as
/// something is recorded with it. Providers that did not have to say what they are in
/// this run are not asked for this.
fn to_remember(
    session: &Session,
    evaluation: &Evaluation,
    records: &Records,
    before: &Remembered,
) -> Vec<Object> {
    let mut kinds = Kinds {
        session,
        descriptions: BTreeMap::new(),
    };
    let mut said = BTreeMap::new();
    for member in evaluation.members.values() {
        let kind = (&*member.executable, &*member.args, &*member.kind);
        let inputs: Object = (member.inputs.iter())
            .filter(|(name, _)| named::is_known(member, name))
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect();
        for object in kinds.said(kind, &inputs).into_iter().flatten() {
            said.insert(as_text(&object), object);
        }
    }
    let before: Vec<(String, &Object)> = (before.said.iter())
        .map(|object| (as_text(object), object))
        .filter(|(key, _)| !said.contains_key(key))
        .collect();
    if !before.is_empty() {
        let mut recorded = BTreeSet::new();
        let mut is_all_known = true;
        for (_, _, it) in records.all() {
            let it = it.resource();
            let said = it.extension.as_ref().and_then(|extension| {
                let kind = (&*extension.executable, &*extension.args, &*it.r#type);
                kinds.said(kind, &it.input_properties)
            });
            is_all_known &= said.is_some();
            recorded.extend(said.into_iter().flatten().map(|object| as_text(&object)));
        }
        let is_used = |key: &String| !is_all_known || recorded.contains(key);
        let still_used = before.into_iter().filter(|(key, _)| is_used(key));
        said.extend(still_used.map(|(key, object)| (key, object.clone())));
    }
    said.into_values().collect()
}

fn as_text(object: &Object) -> String {
    named::canonical(&Value::Object(object.clone()))
}

/// What providers have said of their kinds in this run.
struct Kinds<'a> {
    session: &'a Session,
    descriptions: BTreeMap<(String, Vec<String>), Option<Arc<Description>>>,
}

impl Kinds<'_> {
    /// What inputs of this kind say of where a thing is, and whose; `None` if nobody has
    /// said what they mean.
    fn said(
        &mut self,
        (executable, args, kind): (&str, &[String], &str),
        inputs: &Object,
    ) -> Option<Vec<Object>> {
        let description = self
            .descriptions
            .entry((executable.to_owned(), args.to_vec()));
        let description = description.or_insert_with(|| {
            let command = providers::command(executable, args);
            self.session.providers.described(&command)
        });
        let contract = description.as_ref()?.kinds.get(kind)?.contract();
        let deployment = contract.deployment_input.as_ref().and_then(|name| {
            let value = contract.deployment(inputs)?;
            Some(Object::from_iter([(name.clone(), value.clone())]))
        });
        let address = contract.reaching(inputs);
        let address = Some(address).filter(|address| !address.is_empty());
        Some(deployment.into_iter().chain(address).collect())
    }
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

fn file(session: &Session, deployment: &Path) -> Option<PathBuf> {
    Some(folder::file_of(session.memory.as_ref()?, deployment))
}
