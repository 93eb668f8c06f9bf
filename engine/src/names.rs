//! The names of members and of their outputs, remembered for a shell that completes them.
//!
//! A shell waits for every key, so that nobody may be asked for them: no Nix, no state
//! and no server. What is remembered is as old as the last plan or apply here, and only
//! ever offered.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::eval::{Evaluation, Evaluator};
use crate::member::{MemberPath, OutputRef, Outputs};
use crate::memory::folder;
use crate::records::Records;
use crate::session::Session;

/// The folder beside that in which it is remembered where states are.
const FOLDER: &str = "names";

/// What is written: [`Names`], without a copy.
#[derive(Serialize)]
struct Remembered<'a> {
    deployment: &'a Path,
    members: Vec<(&'a MemberPath, BTreeSet<&'a String>)>,
}

/// The names of one deployment.
#[derive(Debug, Default, PartialEq, Deserialize)]
pub struct Names {
    /// The deployment, as an absolute path.
    deployment: PathBuf,
    /// The members, each with its outputs as far as any were recorded.
    members: Vec<(MemberPath, BTreeSet<String>)>,
}

/// Remembers what there is: the members of the expression, and of what was recorded or made
/// its outputs. Nothing depends on it, so that a place that can't be written is no error.
pub(crate) fn remember<'a>(
    session: &Session,
    evaluation: &'a Evaluation,
    records: &'a Records,
    made: &'a BTreeMap<MemberPath, Outputs>,
) {
    let (Some(states), Ok(root)) = (&session.memory, session.evaluator.root()) else {
        return;
    };
    let recorded = records.all();
    let recorded = recorded.map(|(_, path, recorded)| (path, recorded.outputs()));
    let mut members: BTreeMap<&MemberPath, BTreeSet<&String>> = BTreeMap::new();
    for path in evaluation.members.keys() {
        members.entry(path).or_default();
    }
    for (path, outputs) in recorded.chain(made) {
        members.entry(path).or_default().extend(outputs.keys());
    }
    let names = Remembered {
        deployment: root.path(),
        members: members.into_iter().collect(),
    };
    let file = file(states, root.path());
    let Ok(json) = serde_json::to_vec(&names) else {
        return;
    };
    if std::fs::read(&file).is_ok_and(|before| before == json) {
        return;
    }
    let _ = folder::write(&file, &json);
}

fn file(states: &Path, deployment: &Path) -> PathBuf {
    let beside = states.parent().unwrap_or(states);
    folder::file_of(&beside.join(FOLDER), deployment)
}

impl Names {
    /// What is remembered in this folder of the deployment that is named, or found in the
    /// current directory: nothing, if there is none.
    #[must_use]
    pub fn recall(memory: &Path, named: Option<PathBuf>) -> Self {
        let deployment = Evaluator::new(named, false, Arc::new(|_: &str| {}));
        let Ok(root) = deployment.root() else {
            return Self::default();
        };
        let json = std::fs::read(file(memory, root.path())).unwrap_or_default();
        let found: Self = serde_json::from_slice(&json).unwrap_or_default();
        if found.deployment == root.path() {
            found
        } else {
            Self::default()
        }
    }

    /// Every member, and everything that members are in.
    #[must_use]
    pub fn members(&self) -> BTreeSet<MemberPath> {
        let mut all = BTreeSet::new();
        for (path, _) in &self.members {
            let names = path.names();
            all.extend((1..=names.len()).map(|depth| MemberPath(names[..depth].to_vec())));
        }
        all
    }

    /// Every output that is recorded.
    pub fn outputs(&self) -> impl Iterator<Item = OutputRef> {
        self.members.iter().flat_map(|(path, outputs)| {
            let outputs = outputs.iter().cloned();
            outputs.map(|output| OutputRef {
                path: path.clone(),
                output,
            })
        })
    }
}
