//! A provider process, as its caller sees it.
//!
//! Spawning, one request at a time, time limits, what the process said on
//! stderr, and how it ended. It knows the messages, not what they mean.

use std::ffi::OsString;
use std::fmt;
use std::io;
use std::path::PathBuf;
use std::pin::pin;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::time::timeout;

use crate::Object;
use crate::codec::{self, LineError, Size};
use crate::message::{
    CreateResourceRequest, ExtantResource, PlanResourceRequest, PlanResourceResponse, Request,
    Response, StateResourceEvent, StateResourceHistoryRequest, StateResourceHistoryResponse,
    StateResourceReadRequest, UpdateResourceRequest,
};

mod describe;
mod error;
mod stderr;

pub use describe::describe;
pub use error::ClientError;
use stderr::Stderr;
pub use stderr::StderrSink;

/// How long a process that closed its stdout may take to end.
const EXIT_PATIENCE: Duration = Duration::from_millis(500);

/// How to start a provider.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ProviderCommand {
    /// Path, or a name to be found through `PATH`.
    pub executable: PathBuf,
    /// Arguments.
    pub args: Vec<String>,
    /// Variables to set beside those that are inherited.
    pub env: Vec<(OsString, OsString)>,
}

/// Shows the names of the variables only: a value may be a secret.
impl fmt::Debug for ProviderCommand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.env.iter().map(|(name, _)| name).collect();
        f.debug_struct("ProviderCommand")
            .field("executable", &self.executable)
            .field("args", &self.args)
            .field("env", &names)
            .finish()
    }
}

impl ProviderCommand {
    /// A provider without arguments, in the caller's environment.
    #[must_use]
    pub fn new(executable: impl Into<PathBuf>) -> Self {
        Self {
            executable: executable.into(),
            args: Vec::new(),
            env: Vec::new(),
        }
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.executable);
        command
            .args(&self.args)
            .envs(self.env.iter().cloned())
            .kill_on_drop(true);
        command
    }

    fn spawn(&self, mut command: Command) -> Result<Child, ClientError> {
        command.spawn().map_err(|source| ClientError::Spawn {
            executable: self.executable.clone(),
            source,
        })
    }
}

/// A running provider that is asked one thing after another.
pub struct Provider {
    child: Child,
    /// `None` while an answer is outstanding, and once nothing can be asked any more.
    stdin: Option<ChildStdin>,
    stdout: BufReader<ChildStdout>,
    stderr: Stderr,
}

impl Provider {
    /// Starts the process. `label` names, in what goes to `sink`, the resource
    /// that it works for.
    pub fn spawn(
        command: &ProviderCommand,
        label: &str,
        sink: StderrSink,
    ) -> Result<Self, ClientError> {
        Self::start(command, command.command(), label, sink)
    }

    /// [`spawn`](Self::spawn) in a process group of its own, so that Ctrl-C on
    /// the terminal does not reach it: for a process that has to outlast the
    /// others, such as one that records what they did.
    pub fn spawn_apart(
        command: &ProviderCommand,
        label: &str,
        sink: StderrSink,
    ) -> Result<Self, ClientError> {
        let mut process = command.command();
        process.process_group(0);
        Self::start(command, process, label, sink)
    }

    fn start(
        command: &ProviderCommand,
        mut process: Command,
        label: &str,
        sink: StderrSink,
    ) -> Result<Self, ClientError> {
        process
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command.spawn(process)?;
        let (Some(stdin), Some(stdout), Some(stderr)) =
            (child.stdin.take(), child.stdout.take(), child.stderr.take())
        else {
            let source = io::Error::other("no pipe to it");
            return Err(ClientError::Spawn {
                executable: command.executable.clone(),
                source,
            });
        };
        let stderr = Stderr::pass_on(stderr, label, sink);
        let stdout = BufReader::new(stdout);
        Ok(Self {
            child,
            stdin: Some(stdin),
            stdout,
            stderr,
        })
    }

    /// Names the resource that the process works for from now on.
    pub fn set_label(&self, label: &str) {
        self.stderr.set_label(label);
    }

    /// Sends a request and waits for its answer.
    ///
    /// An `errorResponse` is [`ClientError::Refused`]; the process can be asked
    /// again after it. An answer to another kind of request is
    /// [`ClientError::Mismatch`]: nothing that follows it can be trusted. After any
    /// error but the first, or if this future is dropped, it sees the end of its input
    /// and every further request is [`ClientError::Spent`].
    pub async fn request(
        &mut self,
        request: &Request,
        limit: Duration,
    ) -> Result<Response, ClientError> {
        let line = codec::encode(request).map_err(ClientError::Encode)?;
        let stdin = self.stdin.take().ok_or(ClientError::Spent)?;
        let size = request.name().answer_size();
        let Ok(exchanged) = timeout(limit, self.exchange(stdin, &line, size)).await else {
            self.stop().await;
            let stderr = self.stderr.last_words().await;
            return Err(ClientError::TimedOut { limit, stderr });
        };
        let (answer, stdin) = exchanged?;
        let response = Response::parse_sized(&answer, size)?;
        drop(answer);
        let name = request.name();
        if response.answers().is_some_and(|answered| answered != name) {
            return Err(self.mismatch(name.wire()));
        }
        self.stdin = stdin;
        match response {
            Response::Error(error) => Err(ClientError::Refused(error.message)),
            response => Ok(response),
        }
    }

    /// Gives the answer, and stdin back if the whole request went into it.
    async fn exchange(
        &mut self,
        mut stdin: ChildStdin,
        line: &[u8],
        size: Size,
    ) -> Result<(String, Option<ChildStdin>), ClientError> {
        if self.has_unasked_output().await? {
            return Err(ClientError::Unasked);
        }
        let mut sent = None;
        let answer = {
            // Both at once: a provider may answer before it has read everything,
            // and one that would not take the request may still say why.
            let mut writing = pin!(stdin.write_all(line));
            let mut reading = pin!(codec::read_line_async(&mut self.stdout, size.bytes()));
            loop {
                tokio::select! {
                    biased;
                    result = &mut writing, if sent.is_none() => sent = Some(result),
                    answer = &mut reading => break answer?,
                }
            }
        };
        let whole = matches!(sent, Some(Ok(())));
        if let Some(answer) = answer {
            return Ok((answer, whole.then_some(stdin)));
        }
        drop(stdin);
        Err(self.gone(sent.and_then(Result::err)).await)
    }

    /// Whether something stands on stdout before the next request is sent.
    async fn has_unasked_output(&mut self) -> Result<bool, ClientError> {
        tokio::select! {
            biased;
            found = self.stdout.fill_buf() => {
                Ok(!found.map_err(LineError::Io)?.is_empty())
            }
            () = std::future::ready(()) => Ok(false),
        }
    }

    /// Says how a process that will not answer any more has ended.
    async fn gone(&mut self, write_error: Option<io::Error>) -> ClientError {
        let how = match timeout(EXIT_PATIENCE, self.child.wait()).await {
            Ok(Ok(status)) => format!("ended ({status})"),
            Ok(Err(error)) => format!("was lost ({error})"),
            Err(_) => {
                self.stop().await;
                "closed its stdout".to_owned()
            }
        };
        let how = match write_error {
            Some(error) => format!("{how}, not taking the request ({error}),"),
            None => how,
        };
        ClientError::Gone {
            how,
            stderr: self.stderr.last_words().await,
        }
    }

    /// Stops the process at once.
    pub async fn stop(&mut self) {
        self.stdin = None;
        // Fails only if it is gone already.
        let _ = self.child.kill().await;
    }

    /// Closes the process's stdin, at which it has to end, and waits for that.
    /// Stops it if it hasn't ended within `patience`.
    pub async fn close(mut self, patience: Duration) -> Result<ExitStatus, ClientError> {
        self.stdin = None;
        let Ok(ended) = timeout(patience, self.child.wait()).await else {
            self.stop().await;
            let stderr = self.stderr.last_words().await;
            return Err(ClientError::Lingered { patience, stderr });
        };
        let stderr = self.stderr.last_words().await;
        ended.map_err(|error| ClientError::Gone {
            how: format!("was lost ({error})"),
            stderr,
        })
    }

    /// After an answer of the wrong kind nothing that follows can be trusted.
    fn mismatch(&mut self, request: &'static str) -> ClientError {
        self.stdin = None;
        ClientError::Mismatch { request }
    }

    /// Sends [`Request::Create`]; gives the outputs.
    pub async fn create(
        &mut self,
        r#type: &str,
        inputs: Object,
        is_stateful: bool,
        limit: Duration,
    ) -> Result<Object, ClientError> {
        let request = Request::Create(CreateResourceRequest {
            r#type: r#type.to_owned(),
            input_properties: inputs,
            is_stateful,
        });
        match self.request(&request, limit).await? {
            Response::Create(response) => Ok(response.output_properties),
            _ => Err(self.mismatch("createResourceRequest")),
        }
    }

    /// Sends [`Request::Update`]; gives the outputs.
    pub async fn update(
        &mut self,
        resource: ExtantResource,
        inputs: Object,
        limit: Duration,
    ) -> Result<Object, ClientError> {
        let request = Request::Update(UpdateResourceRequest {
            resource,
            input_properties: inputs,
        });
        match self.request(&request, limit).await? {
            Response::Update(response) => Ok(response.output_properties),
            _ => Err(self.mismatch("updateResourceRequest")),
        }
    }

    /// Sends [`Request::Plan`].
    pub async fn plan(
        &mut self,
        request: PlanResourceRequest,
        limit: Duration,
    ) -> Result<PlanResourceResponse, ClientError> {
        match self.request(&Request::Plan(request), limit).await? {
            Response::Plan(response) => Ok(response),
            _ => Err(self.mismatch("nixops4-resources/planResourceRequest")),
        }
    }

    /// Sends [`Request::StateRead`]; gives the state document.
    pub async fn state_read(
        &mut self,
        resource: ExtantResource,
        limit: Duration,
    ) -> Result<Object, ClientError> {
        let request = Request::StateRead(StateResourceReadRequest { resource });
        match self.request(&request, limit).await? {
            Response::StateRead(response) => Ok(response.state),
            _ => Err(self.mismatch("stateResourceReadRequest")),
        }
    }

    /// Sends [`Request::StateEvent`].
    pub async fn state_event(
        &mut self,
        event: StateResourceEvent,
        limit: Duration,
    ) -> Result<(), ClientError> {
        match self.request(&Request::StateEvent(event), limit).await? {
            Response::StateEvent(_) => Ok(()),
            _ => Err(self.mismatch("stateResourceEvent")),
        }
    }

    /// Sends [`Request::StateHistory`].
    pub async fn state_history(
        &mut self,
        request: StateResourceHistoryRequest,
        limit: Duration,
    ) -> Result<StateResourceHistoryResponse, ClientError> {
        match self.request(&Request::StateHistory(request), limit).await? {
            Response::StateHistory(response) => Ok(response),
            _ => Err(self.mismatch("nixops4-resources/stateResourceHistoryRequest")),
        }
    }
}
