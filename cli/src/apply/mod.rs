//! Applies a deployment: does what is ready, many at once, records each result
//! at once, evaluates again when outputs arrive, until nothing is left.

mod edges;
mod job;
pub(crate) mod schedule;
mod signals;
mod summary;

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::time::Instant;

use futures_util::future::LocalBoxFuture;
use futures_util::stream::{FuturesUnordered, StreamExt as _};

use crate::eval::{EvalError, Evaluation, Known, Look};
use crate::failure::Failure;
use crate::member::{MemberPath, OutputRef};
use crate::plan::judge::Judgement;
use crate::plan::scope;
use crate::plan::survey::{self, Survey};
use crate::records::{Opening, Records};
use crate::report::{Event, Operation, Summary};
use crate::session::Session;
use crate::whereabouts;
use job::{Claims, Job, Outcome};
use schedule::{Next, Schedule};
use summary::Tally;

pub(crate) use signals::Signals;

/// Says in the state what is about to be changed, which only one apply at a time can.
pub(crate) async fn begin(session: &Session, survey: &Survey) -> Result<(), Failure> {
    let scope = scope::scope(&survey.evaluation, &session.targets);
    let members = survey.evaluation.members.values().filter(|member| {
        let scope = scope.as_ref();
        scope.is_none_or(|scope| scope.contains(&member.path))
            && !survey.settled.contains_key(&member.path)
    });
    let begun = survey.records.begin(members).await;
    if begun.is_err() {
        // What it has begun elsewhere.
        survey.records.end().await;
    }
    Ok(begun?)
}

/// Applies what a survey found.
pub(crate) async fn apply(
    session: &Session,
    survey: Survey,
    signals: &mut Signals,
) -> Result<Summary, Failure> {
    let begun = Instant::now();
    let is_judged = |path: &&MemberPath| survey.judgements.contains_key(*path);
    let unchanged = survey.settled.keys().filter(is_judged).count();
    let mut done = survey.settled;
    for (path, outputs) in survey.records.outputs() {
        done.insert(path.clone(), outputs.clone());
    }
    let mut run = Run {
        session,
        waited: BTreeMap::new(),
        schedule: Schedule::new(
            survey.evaluation,
            done,
            session.parallel,
            session.targets.clone(),
        ),
        judgements: survey.judgements,
        records: Rc::new(survey.records),
        claims: Claims::default(),
        jobs: FuturesUnordered::new(),
        evaluation: None,
        tally: Tally::new(unchanged),
        failure: None,
        killed: false,
    };
    for path in run.records.open_paths() {
        run.schedule.opened(path.clone());
    }
    run.claim();
    run.note_waiting();
    let result = run.finish(signals).await;
    let killed = run.killed;
    if !killed && !run.tally.interrupted && result.is_ok() {
        let recording = run.record_edges();
        if signals.race(recording).await.is_err() {
            run.tally.interrupted = true;
            run.note("what was made from what is not recorded; the next apply does that");
        }
    }
    let records = Rc::clone(&run.records);
    if records.absent().is_empty() {
        whereabouts::remember(session, run.schedule.evaluation(), &records);
    }
    let summary = run.summary(begun.elapsed());
    if !killed {
        // Everything is recorded.
        let closing = async {
            records.end().await;
            records.close().await;
        };
        let _ = signals.race(closing).await;
    }
    match result {
        Ok(()) => Ok(summary),
        // What was done so far matters more than how it ended.
        Err(failure) => {
            session.ui.event(&Event::Error {
                message: failure.to_string(),
            });
            Ok(Summary {
                success: false,
                ..summary
            })
        }
    }
}

struct Run<'a> {
    session: &'a Session,
    /// What members were seen to wait for.
    waited: BTreeMap<MemberPath, BTreeSet<OutputRef>>,
    schedule: Schedule,
    judgements: BTreeMap<MemberPath, Judgement>,
    records: Rc<Records>,
    claims: Claims,
    jobs: FuturesUnordered<LocalBoxFuture<'a, job::Ended>>,
    evaluation: Option<LocalBoxFuture<'a, Result<Evaluation, EvalError>>>,
    tally: Tally,
    /// Why it ends before everything is done.
    failure: Option<Failure>,
    killed: bool,
}

impl Run<'_> {
    /// Takes over who is what from the survey.
    fn claim(&mut self) {
        for (path, judgement) in &self.judgements {
            if let Judgement::Decided(decision) = judgement
                && let Some(member) = self.schedule.evaluation().members.get(path)
            {
                // Two of one identity were refused before anything is applied.
                let _ = self.claims.claim(&member.kind, &decision.identity, path);
            }
        }
    }

    /// Remembers what members wait for: once they have it, nothing shows that.
    fn note_waiting(&mut self) {
        for member in self.schedule.evaluation().members.values() {
            let waits_for: Vec<OutputRef> = member.waits_for().cloned().collect();
            if !waits_for.is_empty() {
                let waited = self.waited.entry(member.path.clone()).or_default();
                waited.extend(waits_for);
            }
        }
    }

    /// Records what was made from what, if anything was made or that is not
    /// known. What is done stands without it.
    async fn record_edges(&mut self) {
        let edges = edges::Edges {
            evaluation: self.schedule.evaluation(),
            done: self.schedule.done(),
            waited: &self.waited,
            records: &self.records,
        };
        if !self.tally.has_recorded() && !edges.are_missing() {
            return;
        }
        if let Err(error) = edges.record(self.session).await {
            self.note(&format!(
                "what was made from what is not recorded, so that destroying has to find the \
                 order by trying: {error}"
            ));
        }
    }

    async fn finish(&mut self, signals: &mut Signals) -> Result<(), Failure> {
        loop {
            match self.schedule.next() {
                Next::Start(paths) => {
                    for path in paths {
                        self.start(&path);
                    }
                    continue;
                }
                Next::Evaluate => {
                    self.evaluate();
                    continue;
                }
                Next::Wait => {}
                Next::End => return self.failure.take().map_or(Ok(()), Err),
                Next::Stalled => return self.stalled().await,
            }
            let evaluating = self.evaluation.is_some();
            tokio::select! {
                Some(ended) = self.jobs.next() => self.ended(ended),
                evaluated = async {
                    match self.evaluation.as_mut() {
                        Some(evaluation) => evaluation.await,
                        None => std::future::pending().await,
                    }
                }, if evaluating => {
                    self.evaluation = None;
                    if let Err(failure) = self.evaluated(evaluated, signals).await {
                        // What runs comes to its end, so that it is recorded.
                        self.failure = Some(failure);
                        self.stop();
                    }
                }
                () = signals.next() => self.interrupted()?,
            }
        }
    }

    /// Lets what runs come to its end; the second time, ends it.
    fn interrupted(&mut self) -> Result<(), Failure> {
        if self.schedule.is_stopping() {
            self.kill();
            return Err(Failure::Interrupted);
        }
        self.tally.interrupted = true;
        self.stop();
        self.note(
            "stopping: what is running is finished, nothing new is started; Ctrl-C again kills it",
        );
        Ok(())
    }

    /// Ends what runs, wherever it is.
    fn kill(&mut self) {
        self.killed = true;
        self.jobs.clear();
        self.evaluation = None;
        let running: Vec<MemberPath> = self.schedule.running().cloned().collect();
        for path in running {
            let Some(member) = self.schedule.evaluation().members.get(&path).cloned() else {
                continue;
            };
            let operation = match self.records.of(&member) {
                Some(_) => Operation::Update,
                None => Operation::Create,
            };
            self.schedule.failed(&path);
            let error = "it was killed in the middle, and may or may not be done; the next apply \
                         finds out";
            self.fail(path, member.kind, operation, error.to_owned(), 0.0);
        }
    }

    fn start(&mut self, path: &MemberPath) {
        let Some(member) = self.schedule.evaluation().members.get(path) else {
            return;
        };
        let recorded = self.records.of(member).cloned();
        // The survey's decision stands if nothing that it was made by has changed
        // since, which only what was unknown then has.
        let decision = match self.judgements.remove(path) {
            Some(Judgement::Decided(decision)) => Some(decision),
            _ => None,
        };
        let job = Job {
            session: self.session,
            member: member.clone(),
            decision,
            recorded,
            waited: self.waited.get(path).cloned().unwrap_or_default(),
            keeper: member
                .state
                .as_ref()
                .and_then(|state| self.records.keeper(state)),
            records: Rc::clone(&self.records),
            claims: self.claims.clone(),
        };
        self.jobs.push(Box::pin(job.run()));
    }

    fn ended(&mut self, ended: job::Ended) {
        let job::Ended {
            path,
            kind,
            operation,
            seconds,
            outcome,
        } = ended;
        match outcome {
            Outcome::Unchanged(outputs) => {
                self.tally.unchanged += 1;
                self.schedule.finished(&path, outputs);
            }
            Outcome::Worked(outputs) => {
                self.tally.worked(operation);
                self.schedule.finished(&path, outputs);
                self.session.ui.event(&Event::Finished {
                    path,
                    r#type: kind,
                    operation,
                    seconds,
                });
            }
            Outcome::Failed(error) => {
                self.schedule.failed(&path);
                self.fail(path, kind, operation, error, seconds);
            }
            Outcome::NotRecorded(error) => {
                self.schedule.failed(&path);
                self.tally.unrecorded.push(path.clone());
                let error = format!(
                    "it was done, but could not be recorded, so nothing new is started: {error}"
                );
                self.fail(path, kind, operation, error, seconds);
                self.stop();
            }
        }
    }

    fn fail(
        &mut self,
        path: MemberPath,
        kind: String,
        operation: Operation,
        error: String,
        seconds: f64,
    ) {
        self.tally.failed(&path, operation, &error);
        self.session.ui.event(&Event::Failed {
            path,
            r#type: kind,
            operation,
            error,
            seconds,
        });
    }

    fn stop(&mut self) {
        self.schedule.stop();
        self.session.providers.retries().stop();
    }

    fn note(&self, message: &str) {
        self.session.ui.event(&Event::Note {
            message: message.to_owned(),
        });
    }

    fn known(&self) -> Known {
        let mut known = Known::default();
        for (path, outputs) in self.schedule.done() {
            known.add(path, outputs.clone(), true);
        }
        known
    }

    fn evaluate(&mut self) {
        let known = self.known();
        let session = self.session;
        self.evaluation = Some(Box::pin(async move {
            session.evaluator.evaluate(Look::All, &known).await
        }));
    }

    async fn evaluated(
        &mut self,
        evaluated: Result<Evaluation, EvalError>,
        signals: &mut Signals,
    ) -> Result<(), Failure> {
        let evaluation = match evaluated {
            Ok(evaluation) => evaluation,
            Err(error) => {
                self.schedule.not_evaluated();
                let is_interrupted =
                    self.tally.interrupted || matches!(error, EvalError::Interrupted(_));
                if is_interrupted {
                    self.tally.interrupted = true;
                    self.stop();
                    return Ok(());
                }
                return Err(error.into());
            }
        };
        // What was unknown when the survey was made is decided anew.
        self.judgements.retain(|path, _| {
            self.schedule.evaluation().members.get(path) == evaluation.members.get(path)
        });
        self.schedule.evaluated(evaluation);
        self.note_waiting();
        let mut records = (*self.records).clone();
        let opening = survey::open_keepers(
            self.session,
            self.schedule.evaluation(),
            &mut records,
            Opening::Make,
        );
        let Ok(opened) = signals.race(opening).await else {
            return self.interrupted();
        };
        if opened? {
            let left = self.schedule.left_members();
            let Ok(begun) = signals.race(records.begin(left)).await else {
                return self.interrupted();
            };
            begun?;
            for (path, outputs) in records.outputs() {
                if !self.schedule.done().contains_key(path) {
                    self.schedule.finished(path, outputs.clone());
                }
            }
            for path in records.open_paths() {
                self.schedule.opened(path.clone());
            }
            self.records = Rc::new(records);
        }
        Ok(())
    }

    async fn stalled(&mut self) -> Result<(), Failure> {
        let known = self.known();
        self.session
            .evaluator
            .explain_stall(&known, self.schedule.evaluation())
            .await?;
        Err(Failure::Circle(
            self.schedule
                .what_is_left()
                .into_iter()
                .map(|left| (left.path, left.waits_for))
                .collect(),
        ))
    }

    fn summary(self, elapsed: std::time::Duration) -> Summary {
        let abandoned = crate::plan::report::abandoned(
            self.schedule.evaluation().members.values(),
            &self.schedule.evaluation().structures,
            &self.records,
        );
        let left = self.schedule.what_is_left();
        self.tally.summary(left, abandoned, &self.schedule, elapsed)
    }
}
