//! A provider process, as its caller sees it.
//!
//! Spawning, one request at a time, time limits, what the process said on
//! stderr, and how it ended. It knows the messages, not what they mean.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::fmt;
use std::io;
use std::path::PathBuf;
use std::pin::pin;
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::Object;
use crate::codec::{self, LineError};
use crate::describe::Description;
use crate::message::{
    CreateResourceRequest, ExtantResource, PlanResourceRequest, PlanResourceResponse, Request,
    Response, StateResourceEvent, StateResourceHistoryRequest, StateResourceHistoryResponse,
    StateResourceReadRequest, UpdateResourceRequest,
};

mod error;

pub use error::ClientError;

/// How many of the last lines on stderr an error repeats.
const STDERR_LINES_KEPT: usize = 8;
/// Where a longer line on stderr is cut, in bytes.
const MAX_STDERR_LINE: usize = 16 << 10;
/// How long the rest of stderr is waited for once the process is gone.
const STDERR_PATIENCE: Duration = Duration::from_millis(500);
/// How long a process that closed its stdout may take to end.
const EXIT_PATIENCE: Duration = Duration::from_millis(500);
/// The most that a description may take, in bytes.
const MAX_DESCRIPTION: usize = 16 << 20;

/// Takes each line that a provider writes to stderr, with the label that the
/// process has at that moment.
pub type StderrSink = Arc<dyn Fn(&str, &str) + Send + Sync>;

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
    /// Passes stderr on; `None` once its end was waited for.
    stderr: Option<JoinHandle<()>>,
    shared: Arc<Shared>,
}

/// What the reader of stderr and the owner of the process share.
struct Shared {
    label: Mutex<String>,
    last_lines: Mutex<VecDeque<String>>,
}

impl Shared {
    fn label(&self) -> String {
        self.label
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    fn last_lines(&self) -> Vec<String> {
        let lines = self
            .last_lines
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        lines.iter().cloned().collect()
    }

    fn keep(&self, line: &str) {
        let mut lines = self
            .last_lines
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if lines.len() == STDERR_LINES_KEPT {
            lines.pop_front();
        }
        lines.push_back(line.to_owned());
    }
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
        let shared = Arc::new(Shared {
            label: Mutex::new(label.to_owned()),
            last_lines: Mutex::new(VecDeque::new()),
        });
        let stderr = Some(tokio::spawn(pass_on(stderr, Arc::clone(&shared), sink)));
        let stdout = BufReader::new(stdout);
        Ok(Self {
            child,
            stdin: Some(stdin),
            stdout,
            stderr,
            shared,
        })
    }

    /// Names the resource that the process works for from now on.
    pub fn set_label(&self, label: &str) {
        label.clone_into(
            &mut self
                .shared
                .label
                .lock()
                .unwrap_or_else(PoisonError::into_inner),
        );
    }

    /// Sends a request and waits for its answer.
    ///
    /// An `errorResponse` is [`ClientError::Refused`]; the process can be asked
    /// again after it. After any other error, or if this future is dropped, it
    /// sees the end of its input and every further request is
    /// [`ClientError::Spent`].
    pub async fn request(
        &mut self,
        request: &Request,
        limit: Duration,
    ) -> Result<Response, ClientError> {
        let line = codec::encode(request).map_err(ClientError::Encode)?;
        let stdin = self.stdin.take().ok_or(ClientError::Spent)?;
        let Ok(exchanged) = timeout(limit, self.exchange(stdin, &line)).await else {
            self.stop().await;
            let stderr = self.rest_of_stderr().await;
            return Err(ClientError::TimedOut { limit, stderr });
        };
        let (answer, stdin) = exchanged?;
        let response = Response::parse(&answer)?;
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
    ) -> Result<(String, Option<ChildStdin>), ClientError> {
        if self.has_unasked_output().await? {
            return Err(ClientError::Unasked);
        }
        let mut sent = None;
        let answer = {
            // Both at once: a provider may answer before it has read everything,
            // and one that would not take the request may still say why.
            let mut writing = pin!(stdin.write_all(line));
            let mut reading = pin!(codec::read_line_async(&mut self.stdout, codec::MAX_LINE));
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
            stderr: self.rest_of_stderr().await,
        }
    }

    /// Lets the last words of a process that has ended arrive. Another process
    /// that holds its stderr open can't delay us for long.
    async fn rest_of_stderr(&mut self) -> Vec<String> {
        if let Some(reader) = self.stderr.take() {
            // What still comes later goes to the sink.
            let _ = timeout(STDERR_PATIENCE, reader).await;
        }
        self.shared.last_lines()
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
            let stderr = self.rest_of_stderr().await;
            return Err(ClientError::Lingered { patience, stderr });
        };
        let stderr = self.rest_of_stderr().await;
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

async fn pass_on(stderr: ChildStderr, shared: Arc<Shared>, sink: StderrSink) {
    let mut reader = BufReader::new(stderr);
    loop {
        match codec::read_text_async(&mut reader, MAX_STDERR_LINE).await {
            Ok(Some(line)) => {
                shared.keep(&line);
                sink(&shared.label(), &line);
            }
            Ok(None) => return,
            Err(error) => {
                sink(&shared.label(), &format!("(stderr is lost: {error})"));
                return;
            }
        }
    }
}

/// Runs `EXECUTABLE ARGS describe` and reads what it says of itself.
///
/// `None` if it doesn't know the question, as a provider of v0 alone: it ends
/// with a status other than 0, or without having written a description. Fails if
/// it can't be started, is killed, doesn't end within `limit`, or writes a
/// description that can't be read.
pub async fn describe(
    command: &ProviderCommand,
    limit: Duration,
) -> Result<Option<Description>, ClientError> {
    let mut process = command.command();
    process
        .arg("describe")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    let mut child = command.spawn(process)?;
    let mut said = Vec::new();
    let reading = async {
        if let Some(stdout) = child.stdout.take() {
            let most = MAX_DESCRIPTION as u64 + 1;
            stdout.take(most).read_to_end(&mut said).await?;
        }
        if said.len() > MAX_DESCRIPTION {
            // It writes to nobody now; its status says nothing.
            child.start_kill()?;
        }
        child.wait().await
    };
    let status = match timeout(limit, reading).await {
        Ok(Ok(status)) => status,
        Ok(Err(error)) => {
            return Err(ClientError::Gone {
                how: format!("was lost ({error})"),
                stderr: Vec::new(),
            });
        }
        Err(_) => {
            // Fails only if it is gone already.
            let _ = child.kill().await;
            return Err(ClientError::TimedOut {
                limit,
                stderr: Vec::new(),
            });
        }
    };
    if said.len() > MAX_DESCRIPTION {
        return Err(ClientError::Line(LineError::TooLong {
            limit: MAX_DESCRIPTION,
        }));
    }
    match status.code() {
        Some(0) => description(&said),
        Some(_) => Ok(None),
        None => Err(ClientError::Gone {
            how: format!("ended ({status})"),
            stderr: Vec::new(),
        }),
    }
}

/// Anything without `kinds` is no description, but one that can't be read must
/// not pass for a provider without any.
fn description(said: &[u8]) -> Result<Option<Description>, ClientError> {
    if said.trim_ascii().is_empty() {
        return Ok(None);
    }
    match serde_json::from_slice::<Value>(said) {
        Ok(value) if value.get("kinds").is_some() => serde_json::from_value(value)
            .map(Some)
            .map_err(ClientError::Description),
        Err(error) if error.is_eof() => Err(ClientError::Description(error)),
        // JSON of something else, or words for people such as a usage message.
        _ => Ok(None),
    }
}
