//! Decides about one member: checks it, asks its provider, or compares.

use std::collections::hash_map::Entry;
use std::sync::{Arc, PoisonError};

use nixops4_protocol::client::{ClientError, ProviderCommand};
use nixops4_protocol::describe::{Description, StateNeed};
use nixops4_protocol::message::{
    ExtantResource, PlanResourceRequest, Request, RequestName, Response,
};

use super::decision::{self, Decision};
use crate::eval::{EvalError, Member};
use crate::providers;
use crate::records::Records;
use crate::schema::Kind;
use crate::session::Session;

/// What is known of a member.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Judgement {
    /// What is to be done.
    Decided(Decision),
    /// Its state can't be read yet.
    Later,
    /// Its provider could not say.
    Failed(String),
}

impl Judgement {
    /// Whether nothing is to be done.
    pub(crate) fn is_settled(&self) -> bool {
        matches!(self, Self::Decided(decision) if decision.is_settled())
    }
}

/// Why a member can't be judged.
#[derive(Debug)]
pub(crate) enum Error {
    /// The author has to change something.
    Problems(Vec<String>),
    /// Something that it needs could not be built.
    Eval(EvalError),
}

/// Decides about a member.
pub(crate) async fn judge(
    session: &Session,
    member: &Member,
    records: &Records,
) -> Result<Judgement, Error> {
    let realise =
        async |paths: &[String]| session.evaluator.realise(paths).await.map_err(Error::Eval);
    realise(&member.provider_paths).await?;
    let kind = check(session, member).await.map_err(Error::Problems)?;
    if member
        .state
        .as_ref()
        .is_some_and(|state| !records.is_open(state))
    {
        return Ok(Judgement::Later);
    }
    let recorded = records.of(member).map(AsRef::as_ref);
    if let Some(problem) = recorded.and_then(|recorded| decision::type_change(member, recorded)) {
        return Err(Error::Problems(vec![problem]));
    }
    let with_defaults = |mut decision: Decision| {
        if let Some(kind) = &kind {
            decision.at_default = decision::at_default(&decision.changes, &kind.description.inputs);
        }
        Judgement::Decided(decision)
    };
    let is_asked = session.refresh
        && kind
            .as_ref()
            .is_some_and(|kind| kind.description.offers(RequestName::Plan));
    if !is_asked {
        return Ok(with_defaults(decision::compare(member, recorded)));
    }
    realise(&member.input_paths).await?;
    let request = Request::Plan(PlanResourceRequest {
        r#type: member.kind.clone(),
        input_properties: member.inputs.clone(),
        unknown_inputs: member.unknown.keys().cloned().collect(),
        resource: recorded.cloned().map(ExtantResource::from),
    });
    let command = providers::command(&member.executable, &member.args);
    Ok(
        match session
            .providers
            .ask(&command, &member.path, &request)
            .await
        {
            Ok(Response::Plan(plan)) => with_defaults(decision::from_plan(member, recorded, plan)),
            Ok(_) => Judgement::Failed(
                ClientError::Mismatch {
                    request: "nixops4-resources/planResourceRequest",
                }
                .to_string(),
            ),
            Err(error) => Judgement::Failed(error.to_string()),
        },
    )
}

/// Checks a member against what its provider says of itself.
pub(crate) async fn check(
    session: &Session,
    member: &Member,
) -> Result<Option<Arc<Kind>>, Vec<String>> {
    let command = providers::command(&member.executable, &member.args);
    let description = session
        .providers
        .describe(&command)
        .await
        .map_err(|error| vec![error.to_string()])?;
    let Some(description) = description else {
        return Ok(None);
    };
    let kind = kind(session, command, &description, &member.kind).map_err(|error| vec![error])?;
    let mut problems = kind.problems(member);
    match (kind.description.state, &member.state) {
        (StateNeed::Required, None) => problems.push(format!(
            "a {} has to be recorded: give it a state",
            member.kind
        )),
        (StateNeed::Never, Some(_)) => problems.push(format!(
            "a {} keeps state and has none itself: set its state to null",
            member.kind
        )),
        _ => {}
    }
    if problems.is_empty() {
        Ok(Some(kind))
    } else {
        Err(problems)
    }
}

/// The same for all members of one type.
fn kind(
    session: &Session,
    command: ProviderCommand,
    description: &Description,
    name: &str,
) -> Result<Arc<Kind>, String> {
    let mut kinds = session.kinds.lock().unwrap_or_else(PoisonError::into_inner);
    Ok(match kinds.entry((command, name.to_owned())) {
        Entry::Occupied(known) => Arc::clone(known.get()),
        Entry::Vacant(new) => {
            let described = providers::kind(description, name)?.clone();
            Arc::clone(new.insert(Arc::new(Kind::new(described))))
        }
    })
}
