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
use crate::member::{MemberPath, OutputRef};
use crate::plan::decision::{self, Decision, Work};
use crate::plan::judge::{self, Judgement};
use crate::providers;
use crate::records::{Keeper, Records};
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
    pub(super) member: Member,
    /// What was decided already.
    pub(super) decision: Option<Decision>,
    pub(super) recorded: Option<Arc<RecordedResource>>,
    /// The outputs that it was seen to wait for.
    pub(super) waited: BTreeSet<OutputRef>,
    /// Where the result is recorded, if it has state.
    pub(super) keeper: Option<Rc<Mutex<Keeper>>>,
    pub(super) records: Rc<Records>,
    pub(super) claims: Claims,
}

/// How it ended.
pub(super) struct Ended {
    pub(super) path: MemberPath,
    pub(super) kind: String,
    pub(super) operation: Operation,
    pub(super) seconds: f64,
    pub(super) outcome: Outcome,
}

/// What came out.
pub(super) enum Outcome {
    /// Nothing was to be done.
    Unchanged(Object),
    /// It was done, and recorded if it has state.
    Worked(Object),
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
            Err(error) => Outcome::Failed(error),
        };
        Ended {
            path: self.member.path,
            kind: self.member.kind,
            operation,
            seconds: begun.elapsed().as_secs_f64(),
            outcome,
        }
    }

    async fn work(&mut self, operation: &mut Operation) -> Result<Outcome, String> {
        let decision = self.decide().await?;
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
            (_, Work::Nothing) => return Ok(Outcome::Unchanged(decision.outputs)),
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
                is_stateful: self.keeper.is_some(),
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

    async fn decide(&mut self) -> Result<Decision, String> {
        if let Some(decision) = self.decision.take() {
            return Ok(decision);
        }
        match judge::judge(self.session, &self.member, &self.records).await {
            Ok(Judgement::Decided(decision)) => Ok(decision),
            Ok(Judgement::Failed(error)) => Err(error),
            Ok(Judgement::Later) => Err("its state could not be opened".to_owned()),
            Err(judge::Error::Problems(problems)) => Err(problems.join("\n")),
            Err(judge::Error::Eval(error)) => Err(error.to_string()),
        }
    }

    fn extant(&self) -> ExtantResource {
        match &self.recorded {
            Some(recorded) => ExtantResource::from((**recorded).clone()),
            None => ExtantResource {
                r#type: self.member.kind.clone(),
                input_properties: self.member.inputs.clone(),
                output_properties: None,
            },
        }
    }

    async fn record(&self, work: Work, outputs: Object) -> Outcome {
        let Some(keeper) = &self.keeper else {
            return Outcome::Worked(outputs);
        };
        let prior = self.recorded.as_deref();
        let before = prior.and_then(|prior| prior.extension.as_ref());
        let is_same = prior.is_some_and(|prior| prior.input_properties == self.member.inputs);
        let known = before.filter(|_| is_same && before.is_some_and(Extension::knows_all));
        // What new inputs were made from is found out in the end; an apply that is
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
            return Outcome::Worked(outputs);
        }
        let event = match work {
            Work::Update => "update",
            _ => "create",
        };
        let mut keeper = keeper.lock().await;
        match keeper.record(&self.member.path, event, &resource).await {
            Ok(()) => Outcome::Worked(outputs),
            Err(error) => Outcome::NotRecorded(error.to_string()),
        }
    }
}
