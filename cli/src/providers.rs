//! Provider processes: described once, reused, and asked one thing at a time.
//!
//! Knows processes and messages; nothing of plans, state or the terminal.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use nixops4_protocol::client::{ClientError, ProviderCommand};
use nixops4_protocol::describe::{Description, KindDescription};
use nixops4_protocol::message::{Request, Response};
use tokio::sync::OnceCell;

use crate::executables;
use crate::member::MemberPath;

mod link;
mod retries;

pub(crate) use link::{Link, Machine, Source};
pub(crate) use retries::{Retries, Retry, is_unanswered};

/// How long a provider may take to describe itself.
const DESCRIBE_LIMIT: Duration = Duration::from_secs(20);
/// How long a provider may take to end once nothing more is asked.
const CLOSE_PATIENCE: Duration = Duration::from_secs(10);

type Descriptions = HashMap<ProviderCommand, Arc<OnceCell<Option<Arc<Description>>>>>;

/// Every provider that this run talks to.
pub(crate) struct Providers {
    source: Box<dyn Source>,
    retries: Retries,
    limit: Duration,
    idle: Mutex<HashMap<ProviderCommand, Vec<Box<dyn Link>>>>,
    descriptions: Mutex<Descriptions>,
}

impl Providers {
    /// `limit` is for each request.
    pub(crate) fn new(source: Box<dyn Source>, retries: Retries, limit: Duration) -> Self {
        Self {
            source,
            retries,
            limit,
            idle: Mutex::default(),
            descriptions: Mutex::default(),
        }
    }

    /// The time that one request may take.
    pub(crate) fn limit(&self) -> Duration {
        self.limit
    }

    /// When something is asked again.
    pub(crate) fn retries(&self) -> &Retries {
        &self.retries
    }

    /// What a provider says of itself; `None` if it knows v0 alone.
    pub(crate) async fn describe(
        &self,
        command: &ProviderCommand,
    ) -> Result<Option<Arc<Description>>, ClientError> {
        let cell = {
            let mut descriptions = self
                .descriptions
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            Arc::clone(descriptions.entry(command.clone()).or_default())
        };
        let description = cell
            .get_or_try_init(|| async {
                let limit = DESCRIBE_LIMIT.min(self.limit);
                self.source
                    .describe(command, limit)
                    .await
                    .map(|description| description.map(Arc::new))
            })
            .await?;
        Ok(description.clone())
    }

    /// Asks one thing on behalf of a member, reusing a process if there is one.
    /// What nobody answered is asked again, if the kind says that it may be.
    pub(crate) async fn ask(
        &self,
        command: &ProviderCommand,
        path: &MemberPath,
        request: &Request,
    ) -> Result<Response, ClientError> {
        let label = path.to_string();
        let mut attempt = 1;
        loop {
            let error = match self.ask_any(command, &label, request).await {
                Ok(answer) => return Ok(answer),
                Err(error) => error,
            };
            if !self.may_be_repeated(command, &error, request).await
                || !self.retries.pause(path, attempt, &error).await
            {
                return Err(error);
            }
            attempt += 1;
        }
    }

    async fn may_be_repeated(
        &self,
        command: &ProviderCommand,
        error: &ClientError,
        request: &Request,
    ) -> bool {
        if !is_unanswered(error) {
            return false;
        }
        let description = self.describe(command).await.unwrap_or_default();
        let kind = description
            .as_ref()
            .and_then(|description| description.kinds.get(request.resource_type()));
        retries::may_be_repeated(error, request, kind)
    }

    async fn ask_any(
        &self,
        command: &ProviderCommand,
        label: &str,
        request: &Request,
    ) -> Result<Response, ClientError> {
        let mut process = match self.take_idle(command) {
            Some(process) => {
                process.set_label(label);
                process
            }
            None => self.source.start(command, label, false)?,
        };
        let answer = process.ask(request, self.limit).await;
        if matches!(answer, Ok(_) | Err(ClientError::Refused(_))) {
            self.put_back(command, process).await;
        }
        answer
    }

    /// Asks one thing and no more: by a process that is not kept, so that it does
    /// not matter whether it would answer again.
    pub(crate) async fn ask_once(
        &self,
        command: &ProviderCommand,
        label: &str,
        request: &Request,
    ) -> Result<Response, ClientError> {
        let mut process = self.source.start(command, label, false)?;
        let answer = process.ask(request, self.limit).await;
        process.close(CLOSE_PATIENCE).await;
        answer
    }

    /// A process of its own, that is not shared.
    pub(crate) fn spawn(
        &self,
        command: &ProviderCommand,
        label: &str,
    ) -> Result<Box<dyn Link>, ClientError> {
        self.source.start(command, label, true)
    }

    fn take_idle(&self, command: &ProviderCommand) -> Option<Box<dyn Link>> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.get_mut(command).and_then(Vec::pop)
    }

    /// Keeps a process for the next request. One that knows v0 alone may end
    /// after its first answer, and gets no second request, as upstream does.
    async fn put_back(&self, command: &ProviderCommand, process: Box<dyn Link>) {
        match self.describe(command).await {
            Ok(Some(_)) => {
                let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
                idle.entry(command.clone()).or_default().push(process);
            }
            Ok(None) | Err(_) => process.close(CLOSE_PATIENCE).await,
        }
    }

    /// Lets all idle processes end.
    pub(crate) async fn close(&self) {
        let idle = {
            let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
            std::mem::take(&mut *idle)
        };
        let closing = idle
            .into_values()
            .flatten()
            .map(|process| process.close(CLOSE_PATIENCE));
        futures_util::future::join_all(closing).await;
    }
}

/// The command that an expression's provider means.
pub(crate) fn command(executable: &str, args: &[String]) -> ProviderCommand {
    let mut command = ProviderCommand::new(executables::find(executable));
    args.clone_into(&mut command.args);
    command
}

/// What a description says of one type, or why it says nothing.
pub(crate) fn kind<'a>(
    description: &'a Description,
    kind: &str,
) -> Result<&'a KindDescription, String> {
    description.kinds.get(kind).ok_or_else(|| {
        let known: Vec<&str> = description.kinds.keys().map(String::as_str).collect();
        format!(
            "the provider {} has no type '{kind}'; it has {}",
            description.executable,
            known.join(", ")
        )
    })
}
