//! Counts what happened and says at the end what came of it. Pure.

use std::time::Duration;

use super::schedule::{Left, Schedule};
use crate::member::MemberPath;
use crate::report::{Abandoned, Failure, Operation, Skip, Summary};

/// What happened so far.
#[derive(Debug, Default)]
pub(super) struct Tally {
    pub(super) unchanged: usize,
    pub(super) interrupted: bool,
    pub(super) unrecorded: Vec<MemberPath>,
    created: usize,
    updated: usize,
    ensured: usize,
    recorded: usize,
    failures: Vec<Failure>,
}

impl Tally {
    /// With what was as wanted before anything was applied.
    pub(super) fn new(unchanged: usize) -> Self {
        Self {
            unchanged,
            ..Self::default()
        }
    }

    pub(super) fn worked(&mut self, operation: Operation) {
        match operation {
            Operation::Update => self.updated += 1,
            Operation::Ensure => self.ensured += 1,
            Operation::Record => self.recorded += 1,
            _ => self.created += 1,
        }
    }

    /// Whether anything was made or changed.
    pub(super) fn has_recorded(&self) -> bool {
        self.created + self.updated + self.recorded > 0
    }

    pub(super) fn failed(&mut self, path: &MemberPath, operation: Operation, error: &str) {
        self.failures.push(Failure {
            path: path.clone(),
            operation,
            error: error.to_owned(),
        });
    }

    pub(super) fn summary(
        self,
        left: Vec<Left>,
        abandoned: Vec<Abandoned>,
        schedule: &Schedule,
        elapsed: Duration,
    ) -> Summary {
        let skipped: Vec<Skip> = left
            .into_iter()
            .map(|left| Skip {
                reason: reason(&left, schedule),
                path: left.path,
            })
            .collect();
        Summary {
            success: self.failures.is_empty() && skipped.is_empty() && !self.interrupted,
            interrupted: self.interrupted,
            created: self.created,
            updated: self.updated,
            ensured: self.ensured,
            recorded: self.recorded,
            unchanged: self.unchanged,
            destroyed: 0,
            retained: 0,
            forgotten: 0,
            unforgotten: Vec::new(),
            failed: self.failures,
            skipped,
            unrecorded: self.unrecorded,
            abandoned,
            seconds: elapsed.as_secs_f64(),
        }
    }
}

fn reason(left: &Left, schedule: &Schedule) -> String {
    let waits: Vec<String> = left
        .waits_for
        .iter()
        .filter(|output| !schedule.done().contains_key(&output.path))
        .map(ToString::to_string)
        .collect();
    if let Some(state) = &left.waits_for_state {
        return format!("waits for its state, '{state}'");
    }
    if waits.is_empty() {
        "the apply ended before its turn".to_owned()
    } else {
        format!("waits for {}", waits.join(", "))
    }
}
