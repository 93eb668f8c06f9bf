//! What to do next during an apply. Pure: it is told what happened and answers
//! what to start.

use std::collections::{BTreeMap, BTreeSet};

use nixops4_protocol::Object;

use crate::eval::{Evaluation, Member, Structure};
use crate::member::{MemberPath, OutputRef};
use crate::plan::scope;

/// How far an apply is.
pub(crate) struct Schedule {
    evaluation: Evaluation,
    done: BTreeMap<MemberPath, Object>,
    running: BTreeSet<MemberPath>,
    failed: BTreeSet<MemberPath>,
    /// The state resources that are open.
    open: BTreeSet<MemberPath>,
    /// What was done when the evaluation was made.
    evaluated_with: BTreeSet<MemberPath>,
    /// What was done when the running evaluation was begun.
    evaluating: Option<BTreeSet<MemberPath>>,
    /// Whether nothing new is started any more.
    stopping: bool,
    parallel: usize,
    /// Only these and what they need are done, if there are any.
    targets: Vec<MemberPath>,
    /// The members that are done, as far as the last evaluation told.
    scope: Option<BTreeSet<MemberPath>>,
}

/// What to do next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Next {
    /// Start these.
    Start(Vec<MemberPath>),
    /// Evaluate with what is done.
    Evaluate,
    /// Wait for something to end.
    Wait,
    /// Nothing failed, and yet nothing can go on.
    Stalled,
    /// Everything that can be done is done.
    End,
}

/// Something that was not tried, and what it waits for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Left {
    pub(crate) path: MemberPath,
    pub(crate) waits_for: BTreeSet<OutputRef>,
    /// The state resource that it waits for.
    pub(crate) waits_for_state: Option<MemberPath>,
}

impl Schedule {
    /// A schedule that begins with an evaluation and with what was settled when
    /// it was made.
    pub(crate) fn new(
        evaluation: Evaluation,
        done: BTreeMap<MemberPath, Object>,
        parallel: usize,
        targets: Vec<MemberPath>,
    ) -> Self {
        Self {
            scope: scope::scope(&evaluation, &targets),
            targets,
            evaluated_with: done.keys().cloned().collect(),
            evaluation,
            done,
            running: BTreeSet::new(),
            failed: BTreeSet::new(),
            open: BTreeSet::new(),
            evaluating: None,
            stopping: false,
            parallel: parallel.max(1),
        }
    }

    /// The evaluation as it stands.
    pub(crate) fn evaluation(&self) -> &Evaluation {
        &self.evaluation
    }

    /// The outputs of everything that is done.
    pub(crate) fn done(&self) -> &BTreeMap<MemberPath, Object> {
        &self.done
    }

    /// Says what to do next, and takes it for begun.
    pub(crate) fn next(&mut self) -> Next {
        let is_idle = self.running.is_empty() && self.evaluating.is_none();
        if self.stopping {
            return if is_idle { Next::End } else { Next::Wait };
        }
        let room = self.parallel.saturating_sub(self.running.len());
        let ready: Vec<MemberPath> = self
            .left()
            .filter(|member| self.is_ready(member))
            .take(room)
            .map(|member| member.path.clone())
            .collect();
        if !ready.is_empty() {
            self.running.extend(ready.iter().cloned());
            return Next::Start(ready);
        }
        if self.evaluating.is_none() && self.is_worth_evaluating() {
            self.evaluating = Some(self.done.keys().cloned().collect());
            return Next::Evaluate;
        }
        if !is_idle {
            return Next::Wait;
        }
        if self.what_is_left().is_empty() || !self.failed.is_empty() {
            Next::End
        } else {
            Next::Stalled
        }
    }

    /// A state resource is open, so that what it records can be worked on.
    pub(crate) fn opened(&mut self, path: MemberPath) {
        self.open.insert(path);
    }

    /// What runs.
    pub(crate) fn running(&self) -> impl Iterator<Item = &MemberPath> {
        self.running.iter()
    }

    /// A resource is done.
    pub(crate) fn finished(&mut self, path: &MemberPath, outputs: Object) {
        self.running.remove(path);
        self.done.insert(path.clone(), outputs);
    }

    /// A resource failed.
    pub(crate) fn failed(&mut self, path: &MemberPath) {
        self.running.remove(path);
        self.failed.insert(path.clone());
    }

    /// The evaluation that was asked for is there.
    pub(crate) fn evaluated(&mut self, evaluation: Evaluation) {
        let scope = scope::scope(&evaluation, &self.targets);
        if let (Some(all), Some(scope)) = (&mut self.scope, scope) {
            all.extend(scope);
        }
        self.evaluation = evaluation;
        if let Some(with) = self.evaluating.take() {
            self.evaluated_with = with;
        }
    }

    /// The evaluation that was asked for failed.
    pub(crate) fn not_evaluated(&mut self) {
        self.evaluating = None;
    }

    /// Nothing new is started any more.
    pub(crate) fn stop(&mut self) {
        self.stopping = true;
    }

    /// Whether nothing new is started any more.
    pub(crate) fn is_stopping(&self) -> bool {
        self.stopping
    }

    /// What was not done and did not fail.
    pub(crate) fn what_is_left(&self) -> Vec<Left> {
        let members = self.left().map(|member| Left {
            path: member.path.clone(),
            waits_for: member.waits_for().cloned().collect(),
            waits_for_state: member
                .state
                .clone()
                .filter(|state| !self.open.contains(state)),
        });
        let structures = self.structures().map(|structure| Left {
            path: structure.path.clone(),
            waits_for: structure.waits_for.clone(),
            waits_for_state: None,
        });
        members.chain(structures).collect()
    }

    fn structures(&self) -> impl Iterator<Item = &Structure> {
        let structures = self.evaluation.structures.iter();
        structures.filter(|structure| scope::touches(&structure.path, &self.targets))
    }

    fn left(&self) -> impl Iterator<Item = &Member> {
        self.evaluation.members.values().filter(|member| {
            let scope = self.scope.as_ref();
            scope.is_none_or(|scope| scope.contains(&member.path))
                && !self.done.contains_key(&member.path)
                && !self.failed.contains(&member.path)
                && !self.running.contains(&member.path)
        })
    }

    fn is_ready(&self, member: &Member) -> bool {
        let state = member.state.as_ref();
        member.is_known() && state.is_none_or(|state| self.open.contains(state))
    }

    /// Whether an evaluation may show more than the last one did: something new
    /// is done, and a place that is unknown waits for nothing else, or nothing
    /// runs that could make it worth more later.
    fn is_worth_evaluating(&self) -> bool {
        let is_new =
            |path: &MemberPath| self.done.contains_key(path) && !self.evaluated_with.contains(path);
        if !self
            .done
            .keys()
            .any(|path| !self.evaluated_with.contains(path))
        {
            return false;
        }
        let may_be_known = |waits_for: &BTreeSet<OutputRef>| {
            waits_for.is_empty() || waits_for.iter().any(|output| is_new(&output.path))
        };
        let blocked: Vec<&Member> = self.left().filter(|member| !member.is_known()).collect();
        if blocked.is_empty() && self.structures().next().is_none() {
            return false;
        }
        self.running.is_empty()
            || blocked
                .iter()
                .any(|member| member.unknown.values().all(may_be_known))
            || self
                .structures()
                .any(|structure| may_be_known(&structure.waits_for))
    }
}

#[cfg(test)]
mod tests;
