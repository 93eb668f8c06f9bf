//! Provider processes: described once, reused, and asked one thing at a time.
//!
//! Knows processes and messages; nothing of plans, state or the terminal.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use nixops4_protocol::client::{self, ClientError, Provider, ProviderCommand, StderrSink};
use nixops4_protocol::describe::{Description, KindDescription};
use nixops4_protocol::message::{Request, Response};
use tokio::sync::OnceCell;

use crate::executables;

/// How long a provider may take to describe itself.
const DESCRIBE_LIMIT: Duration = Duration::from_secs(20);
/// How long a provider may take to end once nothing more is asked.
const CLOSE_PATIENCE: Duration = Duration::from_secs(10);

type Descriptions = HashMap<ProviderCommand, Arc<OnceCell<Option<Arc<Description>>>>>;

/// Every provider that this run talks to.
pub(crate) struct Providers {
    sink: StderrSink,
    limit: Duration,
    idle: Mutex<HashMap<ProviderCommand, Vec<Provider>>>,
    descriptions: Mutex<Descriptions>,
}

impl Providers {
    /// `sink` takes what they say on stderr; `limit` is for each request.
    pub(crate) fn new(sink: StderrSink, limit: Duration) -> Self {
        Self {
            sink,
            limit,
            idle: Mutex::default(),
            descriptions: Mutex::default(),
        }
    }

    /// The time that one request may take.
    pub(crate) fn limit(&self) -> Duration {
        self.limit
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
                client::describe(command, limit)
                    .await
                    .map(|description| description.map(Arc::new))
            })
            .await?;
        Ok(description.clone())
    }

    /// Asks one thing on behalf of `label`, reusing a process if there is one.
    /// What changes nothing is asked once more if that process is lost meanwhile;
    /// everything else is the provider's to try again, which knows what it did.
    pub(crate) async fn ask(
        &self,
        command: &ProviderCommand,
        label: &str,
        request: &Request,
    ) -> Result<Response, ClientError> {
        let answer = self.ask_any(command, label, request).await;
        let changes_nothing = matches!(
            request,
            Request::Plan(_) | Request::Read(_) | Request::List(_) | Request::StateRead(_)
        );
        match answer {
            Err(ClientError::Gone { .. }) if changes_nothing => {
                self.ask_any(command, label, request).await
            }
            answer => answer,
        }
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
            None => Provider::spawn(command, label, Arc::clone(&self.sink))?,
        };
        let answer = process.request(request, self.limit).await;
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
        let mut process = Provider::spawn(command, label, Arc::clone(&self.sink))?;
        let answer = process.request(request, self.limit).await;
        // It has answered, or never will; how it ends changes nothing any more.
        let _ = process.close(CLOSE_PATIENCE).await;
        answer
    }

    /// A process of its own, that is not shared.
    pub(crate) fn spawn(
        &self,
        command: &ProviderCommand,
        label: &str,
    ) -> Result<Provider, ClientError> {
        Provider::spawn_apart(command, label, Arc::clone(&self.sink))
    }

    fn take_idle(&self, command: &ProviderCommand) -> Option<Provider> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.get_mut(command).and_then(Vec::pop)
    }

    /// Keeps a process for the next request. One that knows v0 alone may end
    /// after its first answer, and gets no second request, as upstream does.
    async fn put_back(&self, command: &ProviderCommand, process: Provider) {
        match self.describe(command).await {
            Ok(Some(_)) => {
                let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
                idle.entry(command.clone()).or_default().push(process);
            }
            Ok(None) | Err(_) => {
                // It has answered; how it ends changes nothing any more.
                let _ = process.close(CLOSE_PATIENCE).await;
            }
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
