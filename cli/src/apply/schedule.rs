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
    /// What can be started at once.
    ready: BTreeSet<MemberPath>,
    /// What waits for others, or for its state.
    blocked: BTreeSet<MemberPath>,
    /// What was done since the evaluation was begun.
    fresh: BTreeSet<MemberPath>,
    /// What was fresh when the running evaluation was begun.
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
        let mut schedule = Self {
            scope: scope::scope(&evaluation, &targets),
            targets,
            evaluation,
            done,
            running: BTreeSet::new(),
            failed: BTreeSet::new(),
            open: BTreeSet::new(),
            ready: BTreeSet::new(),
            blocked: BTreeSet::new(),
            fresh: BTreeSet::new(),
            evaluating: None,
            stopping: false,
            parallel: parallel.max(1),
        };
        schedule.sort();
        schedule
    }

    /// Sorts what is left anew, which takes a look at every member.
    fn sort(&mut self) {
        let left = self.evaluation.members.values().filter(|member| {
            let scope = self.scope.as_ref();
            scope.is_none_or(|scope| scope.contains(&member.path))
                && !self.done.contains_key(&member.path)
                && !self.failed.contains(&member.path)
                && !self.running.contains(&member.path)
        });
        let (ready, blocked): (Vec<&Member>, Vec<&Member>) =
            left.partition(|member| self.is_ready(member));
        let paths =
            |members: Vec<&Member>| members.into_iter().map(|one| one.path.clone()).collect();
        (self.ready, self.blocked) = (paths(ready), paths(blocked));
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
        let mut starting = Vec::new();
        while starting.len() < room
            && let Some(path) = self.ready.pop_first()
        {
            self.running.insert(path.clone());
            starting.push(path);
        }
        if !starting.is_empty() {
            return Next::Start(starting);
        }
        if self.evaluating.is_none() && self.is_worth_evaluating() {
            self.evaluating = Some(std::mem::take(&mut self.fresh));
            return Next::Evaluate;
        }
        if !is_idle {
            return Next::Wait;
        }
        let is_left = self.left().next().is_some() || self.structures().next().is_some();
        if !is_left || !self.failed.is_empty() {
            Next::End
        } else {
            Next::Stalled
        }
    }

    /// A state resource is open, so that what it records can be worked on.
    pub(crate) fn opened(&mut self, path: MemberPath) {
        self.open.insert(path);
        self.sort();
    }

    /// What runs.
    pub(crate) fn running(&self) -> impl Iterator<Item = &MemberPath> {
        self.running.iter()
    }

    /// A resource is done.
    pub(crate) fn finished(&mut self, path: &MemberPath, outputs: Object) {
        self.leaves(path);
        self.fresh.insert(path.clone());
        self.done.insert(path.clone(), outputs);
    }

    /// A resource failed.
    pub(crate) fn failed(&mut self, path: &MemberPath) {
        self.leaves(path);
        self.failed.insert(path.clone());
    }

    fn leaves(&mut self, path: &MemberPath) {
        self.running.remove(path);
        self.ready.remove(path);
        self.blocked.remove(path);
    }

    /// The evaluation that was asked for is there.
    pub(crate) fn evaluated(&mut self, evaluation: Evaluation) {
        let scope = scope::scope(&evaluation, &self.targets);
        if let (Some(all), Some(scope)) = (&mut self.scope, scope) {
            all.extend(scope);
        }
        self.evaluation = evaluation;
        self.evaluating = None;
        self.sort();
    }

    /// The evaluation that was asked for failed.
    pub(crate) fn not_evaluated(&mut self) {
        let with = self.evaluating.take();
        self.fresh.extend(with.into_iter().flatten());
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
        let mut left: Vec<Left> = members.collect();
        left.sort_by(|a, b| a.path.cmp(&b.path));
        let structures = self.structures().map(|structure| Left {
            path: structure.path.clone(),
            waits_for: structure.waits_for.clone(),
            waits_for_state: None,
        });
        left.extend(structures);
        left
    }

    fn structures(&self) -> impl Iterator<Item = &Structure> {
        let structures = self.evaluation.structures.iter();
        structures.filter(|structure| scope::touches(&structure.path, &self.targets))
    }

    /// The members that were not begun with.
    pub(crate) fn left_members(&self) -> impl Iterator<Item = &Member> {
        self.left()
    }

    fn left(&self) -> impl Iterator<Item = &Member> {
        let paths = self.ready.iter().chain(&self.blocked);
        paths.filter_map(|path| self.evaluation.members.get(path))
    }

    fn is_ready(&self, member: &Member) -> bool {
        let state = member.state.as_ref();
        member.is_known() && state.is_none_or(|state| self.open.contains(state))
    }

    /// Whether an evaluation may show more than the last one did: something new
    /// is done, and a place that is unknown waits for nothing else, or nothing
    /// runs that could make it worth more later.
    fn is_worth_evaluating(&self) -> bool {
        if self.fresh.is_empty() {
            return false;
        }
        let may_be_known = |waits_for: &BTreeSet<OutputRef>| {
            waits_for.is_empty()
                || waits_for
                    .iter()
                    .any(|output| self.fresh.contains(&output.path))
        };
        let mut blocked = self.left().filter(|member| !member.is_known()).peekable();
        if blocked.peek().is_none() && self.structures().next().is_none() {
            return false;
        }
        self.running.is_empty()
            || blocked.any(|member| member.unknown.values().all(may_be_known))
            || self
                .structures()
                .any(|structure| may_be_known(&structure.waits_for))
    }
}

#[cfg(test)]
mod tests;
