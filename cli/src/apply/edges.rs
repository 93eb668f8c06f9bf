//! Records what each resource was made from, once everything is done.
//!
//! What a job waited for is recorded with its result already, and marked as
//! provisional. Outputs without a string, and those that became names of attributes, show
//! nowhere; what was seen to wait for them, and what was recorded before, tells
//! of those.

use std::collections::{BTreeMap, BTreeSet};

use nixops4_protocol::Object;
use nixops4_protocol::state::{self, Dependency, Extension};
use serde_json::Value;

use crate::eval::{EvalError, Evaluation, Member};
use crate::member::{MemberPath, OutputRef};
use crate::records::{Records, RecordsError};
use crate::session::Session;

/// Why the edges were not recorded.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    #[error(transparent)]
    Eval(#[from] EvalError),
    #[error(transparent)]
    Records(#[from] RecordsError),
}

/// What is known when an apply ends.
pub(super) struct Edges<'a> {
    pub(super) evaluation: &'a Evaluation,
    pub(super) done: &'a BTreeMap<MemberPath, Object>,
    /// What members were seen to wait for, in the course of the apply.
    pub(super) waited: &'a BTreeMap<MemberPath, BTreeSet<OutputRef>>,
    pub(super) records: &'a Records,
}

impl Edges<'_> {
    /// Whether something was recorded without its edges, before this apply.
    pub(super) fn are_missing(&self) -> bool {
        self.recorded_members()
            .filter_map(|member| self.records.of(member))
            .any(|recorded| {
                let extension = recorded.extension.as_ref();
                !extension.is_some_and(Extension::knows_all)
            })
    }

    fn recorded_members(&self) -> impl Iterator<Item = &Member> {
        self.evaluation
            .members
            .values()
            .filter(|member| self.done.contains_key(&member.path))
    }

    /// Finds out and records what differs from what is recorded, in one event
    /// for each state.
    pub(super) async fn record(&self, session: &Session) -> Result<(), Error> {
        let found = session.evaluator.edges(self.done, self.evaluation).await?;
        for path in self.records.open_paths() {
            let Some(keeper) = self.records.keeper(path) else {
                continue;
            };
            let mut keeper = keeper.lock().await;
            let mut operations = Vec::new();
            for member in self.recorded_members() {
                if member.state.as_ref() != Some(path) {
                    continue;
                }
                let Some(strings) = found.get(&member.path) else {
                    continue;
                };
                let Ok(Some(mut recorded)) =
                    state::resource(keeper.document(), member.path.names())
                else {
                    continue;
                };
                let mut extension = recorded.extension.take().unwrap_or_else(|| Extension {
                    executable: member.executable.clone(),
                    args: member.args.clone(),
                    ..Extension::default()
                });
                let before = extension.depends_on.take();
                let now = self.dependencies(member, strings, before.as_deref());
                if before.as_ref() == Some(&now) && !extension.provisional {
                    continue;
                }
                extension.provisional = false;
                extension.depends_on = Some(now);
                recorded.extension = Some(extension);
                let patch = state::record(keeper.document(), member.path.names(), &recorded);
                operations.extend(patch.0);
            }
            if !operations.is_empty() {
                keeper
                    .append("edges", json_patch::Patch(operations))
                    .await?;
            }
        }
        Ok(())
    }

    fn dependencies(
        &self,
        member: &Member,
        strings: &BTreeSet<OutputRef>,
        before: Option<&[Dependency]>,
    ) -> Vec<Dependency> {
        let waited = self.waited.get(&member.path).into_iter().flatten();
        let before = before.into_iter().flatten().filter_map(|dependency| {
            let output = OutputRef {
                path: MemberPath(dependency.path.clone()),
                output: dependency.output.clone()?,
            };
            self.is_silent(&output).then_some(output)
        });
        let all: BTreeSet<OutputRef> = strings
            .iter()
            .chain(waited)
            .cloned()
            .chain(before)
            .filter(|output| self.done.contains_key(&output.path))
            .collect();
        all.into_iter()
            .map(|output| Dependency {
                path: output.path.0,
                output: Some(output.output),
            })
            .collect()
    }

    /// Whether an output has no string that could show where it is used.
    fn is_silent(&self, output: &OutputRef) -> bool {
        fn is_silent(value: &Value) -> bool {
            match value {
                Value::String(_) => false,
                Value::Array(values) => values.iter().all(is_silent),
                Value::Object(fields) => fields.values().all(is_silent),
                _ => true,
            }
        }
        let outputs = self.done.get(&output.path);
        outputs
            .and_then(|outputs| outputs.get(&output.output))
            .is_some_and(is_silent)
    }
}
