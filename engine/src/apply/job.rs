//! The work on one resource: decide if that is not decided yet, ask the
//! provider, record what it answered.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use nixops4_protocol::Object;
use nixops4_protocol::client::ClientError;
use nixops4_protocol::message::{
    CreateResourceRequest, ExtantResource, Request, Response, UpdateResourceRequest,
};
use nixops4_protocol::state::{Dependency, Extension, RecordedResource};
use serde_json::Value;
use tokio::sync::Mutex;

use crate::eval::Member;
use crate::member::{MemberPath, OutputRef, Outputs};
use crate::plan::decision::{self, Decision, Work};
use crate::plan::planner::{self, PlannedAction};
use crate::providers;
use crate::records::{Records, StateBackend};
use crate::report::{Action, Event, Operation};
use crate::session::Session;

/// Who is what: no two members may be the same thing.
#[derive(Clone, Default)]
pub(super) struct Claims(Rc<RefCell<BTreeMap<(String, String), MemberPath>>>);

impl Claims {
    /// Claims an identity for a member; says whose it is if it is another's.
    pub(super) fn claim(
        &self,
        kind: &str,
        identity: &Value,
        path: &MemberPath,
    ) -> Result<(), MemberPath> {
        if identity.is_null() {
            return Ok(());
        }
        let mut claims = self.0.borrow_mut();
        let owner = claims
            .entry((kind.to_owned(), identity.to_string()))
            .or_insert_with(|| path.clone());
        if owner == path {
            Ok(())
        } else {
            Err(owner.clone())
        }
    }
}

/// One resource to be worked on.
pub(super) struct Job<'a> {
    pub(super) session: &'a Session,
    pub(super) member: Arc<Member>,
    /// What was decided already.
    pub(super) decision: Option<Arc<Decision>>,
    pub(super) recorded: Option<RecordedResource>,
    /// The outputs that it was seen to wait for.
    pub(super) waited: BTreeSet<OutputRef>,
    /// Where the result is recorded, if it has state.
    pub(super) backend: Option<Rc<Mutex<StateBackend>>>,
    pub(super) records: Rc<Records>,
    pub(super) claims: Claims,
}

/// How it ended.
pub(super) struct Ended {
    pub(super) path: MemberPath,
    pub(super) kind: String,
    pub(super) operation: Operation,
    pub(super) seconds: f64,
    pub(super) outcome: JobOutcome,
}

/// What came out.
pub(super) enum JobOutcome {
    /// Nothing was to be done.
    Unchanged(Outputs),
    /// It was done, and recorded if it has state.
    Worked(Outputs),
    /// It was not done, or not wholly.
    Failed(String),
    /// It was done, and nobody wrote that down.
    NotRecorded(String),
}

impl Job<'_> {
    pub(super) async fn run(mut self) -> Ended {
        let begun = Instant::now();
        let mut operation = Operation::Plan;
        let outcome = match self.work(&mut operation).await {
            Ok(outcome) => outcome,
            Err(error) => JobOutcome::Failed(error),
        };
        Ended {
            path: self.member.path.clone(),
            kind: self.member.kind.clone(),
            operation,
            seconds: begun.elapsed().as_secs_f64(),
            outcome,
        }
    }

    async fn work(&mut self, operation: &mut Operation) -> Result<JobOutcome, String> {
        let decision = self.decide().await?;
        if let Some(approved) = &self.session.approved {
            approved.check(&self.member, &decision)?;
        }
        let claimed = self
            .claims
            .claim(&self.member.kind, &decision.identity, &self.member.path);
        if let Err(other) = claimed {
            return Err(format!(
                "it is the same {} as '{other}': give one of them another name, or remove it",
                self.member.kind
            ));
        }
        let work = decision.work;
        *operation = match (decision.action, work) {
            (Action::Refuse, _) => return Err(decision::refusal(&decision)),
            (_, Work::Nothing) => return Ok(JobOutcome::Unchanged(decision.outputs.clone())),
            (Action::Ensure, _) => Operation::Ensure,
            (Action::Record, _) => Operation::Record,
            (_, Work::Create) => Operation::Create,
            (_, Work::Update) => Operation::Update,
        };
        let request = match work {
            Work::Update => Request::Update(UpdateResourceRequest {
                resource: self.extant(),
                input_properties: self.member.inputs.clone(),
            }),
            Work::Create | Work::Nothing => Request::Create(CreateResourceRequest {
                r#type: self.member.kind.clone(),
                input_properties: self.member.inputs.clone(),
                is_stateful: self.backend.is_some(),
            }),
        };
        self.realise().await?;
        self.session.ui.event(&Event::Started {
            path: self.member.path.clone(),
            r#type: self.member.kind.clone(),
            operation: *operation,
        });
        let command = providers::command(&self.member.executable, &self.member.args);
        let answer = self
            .session
            .providers
            .ask(&command, &self.member.path, &request)
            .await
            .map_err(|error| error.to_string())?;
        let outputs = match (answer, work) {
            (Response::Create(answer), Work::Create) => answer.output_properties,
            (Response::Update(answer), Work::Update) => answer.output_properties,
            _ => {
                let request = match work {
                    Work::Update => "updateResourceRequest",
                    _ => "createResourceRequest",
                };
                return Err(ClientError::Mismatch { request }.to_string());
            }
        };
        Ok(self.record(work, outputs).await)
    }

    async fn realise(&self) -> Result<(), String> {
        for paths in [&self.member.provider_paths, &self.member.input_paths] {
            self.session
                .evaluator
                .realise(paths)
                .await
                .map_err(|error| error.to_string())?;
        }
        Ok(())
    }

    async fn decide(&mut self) -> Result<Arc<Decision>, String> {
        if let Some(decision) = self.decision.take() {
            return Ok(decision);
        }
        match planner::plan_member(self.session, &self.member, &self.records).await {
            Ok(PlannedAction::Decided(decision)) => Ok(decision),
            Ok(PlannedAction::Failed(error)) => Err(error),
            Ok(PlannedAction::Later) => Err("its state could not be opened".to_owned()),
            Err(planner::Error::Problems(problems)) => Err(problems.join("\n")),
            Err(planner::Error::Eval(error)) => Err(error.to_string()),
        }
    }

    fn extant(&self) -> ExtantResource {
        match &self.recorded {
            Some(recorded) => ExtantResource::from(recorded.clone()),
            None => ExtantResource {
                r#type: self.member.kind.clone(),
                input_properties: self.member.inputs.clone(),
                output_properties: None,
            },
        }
    }

    async fn record(&self, work: Work, outputs: Object) -> JobOutcome {
        let Some(backend) = &self.backend else {
            return JobOutcome::Worked(outputs.into());
        };
        let prior = self.recorded.as_ref();
        let before = prior.and_then(|prior| prior.extension.as_ref());
        let is_same = prior.is_some_and(|prior| prior.input_properties == self.member.inputs);
        let known = before.filter(|_| is_same && before.is_some_and(Extension::knows_all));
        // What new inputs depend on is found out in the end; an apply that is
        // killed before leaves this.
        let waited = self.waited.iter().map(|output| Dependency {
            path: output.path.0.clone(),
            output: Some(output.output.clone()),
        });
        let resource = RecordedResource {
            r#type: self.member.kind.clone(),
            input_properties: self.member.inputs.clone(),
            output_properties: outputs.clone(),
            extension: Some(Extension {
                executable: self.member.executable.clone(),
                args: self.member.args.clone(),
                depends_on: match known {
                    Some(extension) => extension.depends_on.clone(),
                    None => Some(waited.collect()),
                },
                provisional: known.is_none(),
                others: before
                    .map(|extension| extension.others.clone())
                    .unwrap_or_default(),
            }),
            others: prior.map(|prior| prior.others.clone()).unwrap_or_default(),
        };
        if prior == Some(&resource) {
            return JobOutcome::Worked(outputs.into());
        }
        let event = match work {
            Work::Update => "update",
            _ => "create",
        };
        let mut backend = backend.lock().await;
        match backend.record(&self.member.path, event, &resource).await {
            Ok(()) => JobOutcome::Worked(outputs.into()),
            Err(error) => JobOutcome::NotRecorded(error.to_string()),
        }
    }
}
