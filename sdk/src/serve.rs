//! Answering requests on stdin and stdout.
//!
//! The only place that reads stdin. Every line gets one answer, a malformed one
//! too; the process ends when stdin does.

use std::fs::File;
use std::io::{self, BufReader, Write as _};
use std::panic::AssertUnwindSafe;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::FutureExt as _;
use nixops4_protocol::codec;
use nixops4_protocol::message::{ErrorResponse, Request, Response};
use signal_hook::consts::{SIGINT, SIGTERM};

use crate::context::Sessions;
use crate::error::{Error, Result};
use crate::provider::{Provider, Surroundings};
use crate::secret::redact;
use crate::{failpoint, logging};

/// Sets how long one request may take, in seconds.
pub(crate) const TIMEOUT_VARIABLE: &str = "NIXOPS4_RESOURCES_TIMEOUT";
const DEFAULT_TIMEOUT: Duration = Duration::from_mins(10);
/// How long a step that was begun in time may take to end.
const GRACE: Duration = Duration::from_secs(30);

/// Serves until the end of stdin.
pub(crate) fn serve(provider: &Provider) -> ExitCode {
    let answers = match take_stdout() {
        Ok(answers) => answers,
        Err(error) => return fail(&format!("cannot set stdout aside: {error}")),
    };
    logging::set_up();
    failpoint::set_up();
    match Server::new(provider, answers).and_then(|mut server| server.run()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&error.to_string()),
    }
}

fn fail(message: &str) -> ExitCode {
    tracing::error!("{message}");
    ExitCode::FAILURE
}

/// Keeps stdout for answers: whatever else writes to it goes to stderr.
fn take_stdout() -> io::Result<File> {
    let answers = rustix::io::fcntl_dupfd_cloexec(rustix::stdio::stdout(), 3)?;
    rustix::stdio::dup2_stdout(rustix::stdio::stderr())?;
    Ok(File::from(answers))
}

struct Server<'a> {
    provider: &'a Provider,
    answers: File,
    at: Surroundings,
    /// No request is being handled.
    idle: Arc<AtomicBool>,
    /// SIGTERM came while a request was handled.
    terminated: Arc<AtomicBool>,
    runtime: tokio::runtime::Runtime,
}

impl<'a> Server<'a> {
    fn new(provider: &'a Provider, answers: File) -> Result<Self> {
        let unable = |error: io::Error| Error::new("unable to start").because(error);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(unable)?;
        let interrupted = Arc::new(AtomicBool::new(false));
        let idle = Arc::new(AtomicBool::new(true));
        let terminated = Arc::new(AtomicBool::new(false));
        listen(provider, &interrupted, &idle, &terminated).map_err(unable)?;
        let at = Surroundings { time: timeout()?, interrupted, sessions: Sessions::default() };
        Ok(Self { provider, answers, at, idle, terminated, runtime })
    }

    fn run(&mut self) -> Result<()> {
        let mut lines = BufReader::new(io::stdin().lock());
        loop {
            let line = match codec::read_line(&mut lines, codec::MAX_LINE) {
                Ok(None) => return Ok(()),
                Ok(Some(line)) => Ok(line),
                Err(error) if error.is_recoverable() => Err(error),
                Err(error) => return Err(Error::new("unable to read requests").because(error)),
            };
            // What interrupted the last request doesn't concern this one.
            self.at.interrupted.store(false, Ordering::SeqCst);
            self.idle.store(false, Ordering::SeqCst);
            let response = match line {
                Ok(line) => self.respond(&line),
                Err(error) => refuse(error.to_string()),
            };
            self.write(&response)?;
            self.idle.store(true, Ordering::SeqCst);
            if self.terminated.load(Ordering::SeqCst) {
                return Ok(());
            }
        }
    }

    fn respond(&self, line: &str) -> Response {
        let request: Request = match serde_json::from_str(line) {
            Ok(request) => request,
            Err(error) => return refuse(format!("this is not a request: {error}")),
        };
        let handling = AssertUnwindSafe(self.provider.handle(&self.at, request)).catch_unwind();
        let limit = self.at.time.saturating_add(GRACE);
        let handled = self.runtime.block_on(async { tokio::time::timeout(limit, handling).await });
        match handled {
            Ok(Ok(Ok(response))) => response,
            Ok(Ok(Err(error))) => refuse(error.to_string()),
            Ok(Err(_panic)) => refuse(
                "the provider failed by a bug of its own; its log says where\nhint: what was done \
                 stays; report the bug with the log"
                    .to_owned(),
            ),
            Err(_) => refuse(format!(
                "a step took longer than {} s and was given up\nhint: see whether the server \
                 answers at all; {TIMEOUT_VARIABLE} sets the time in seconds",
                limit.as_secs()
            )),
        }
    }

    fn write(&mut self, response: &Response) -> Result<()> {
        let unable = |error: &dyn std::fmt::Display| Error::new("unable to answer").because(error);
        let line = codec::encode(response).map_err(|error| unable(&error))?;
        self.answers.write_all(&line).map_err(|error| unable(&error))?;
        self.answers.flush().map_err(|error| unable(&error))
    }
}

fn refuse(message: String) -> Response {
    Response::Error(ErrorResponse { message: redact(&message) })
}

/// Ctrl-C reaches providers too: a step that runs is finished, and the answer is
/// an error then. SIGTERM ends the process after that answer, or at once if
/// there is nothing to answer.
fn listen(
    provider: &Provider,
    interrupted: &Arc<AtomicBool>,
    idle: &Arc<AtomicBool>,
    terminated: &Arc<AtomicBool>,
) -> io::Result<()> {
    use signal_hook::flag::{register, register_conditional_shutdown};
    if provider.ignores_interrupts() {
        register(SIGINT, Arc::new(AtomicBool::new(false)))?;
    } else {
        register_conditional_shutdown(SIGINT, 128 + SIGINT, Arc::clone(idle))?;
        register(SIGINT, Arc::clone(interrupted))?;
        register(SIGTERM, Arc::clone(interrupted))?;
    }
    register_conditional_shutdown(SIGTERM, 128 + SIGTERM, Arc::clone(idle))?;
    register(SIGTERM, Arc::clone(terminated))?;
    Ok(())
}

fn timeout() -> Result<Duration> {
    let Some(text) = std::env::var_os(TIMEOUT_VARIABLE) else { return Ok(DEFAULT_TIMEOUT) };
    let seconds = text.to_str().and_then(|text| text.parse().ok()).filter(|seconds| *seconds > 0);
    seconds.map(Duration::from_secs).ok_or_else(|| {
        Error::new(format!("{TIMEOUT_VARIABLE} has to be a whole number of seconds, 1 or more"))
    })
}
