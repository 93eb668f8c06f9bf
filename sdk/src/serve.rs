//! Answering requests on stdin and stdout.
//!
//! The only place that reads stdin. Every line gets one answer, a malformed one
//! too; the process ends when stdin does.

use std::fs::File;
use std::io::{self, BufReader, BufWriter, Write as _};
use std::panic::AssertUnwindSafe;
use std::process::ExitCode;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime};

use futures_util::FutureExt as _;
use nixops4_protocol::codec::{self, Size};
use nixops4_protocol::message::{ErrorResponse, Request, Response};
use nixops4_secrets_store::clock;
use rustix::fs::Mode;
use signal_hook::consts::{SIGINT, SIGTERM};

use crate::answer::Answer;
use crate::clock::Clock;
use crate::context::Sessions;
use crate::error::{Error, Result, plain, shortened};
use crate::provider::{Provider, Surroundings};
use crate::secret::redact;
use crate::{failpoint, logging};

/// Sets how long one request may take, in seconds.
pub(crate) const TIMEOUT_VARIABLE: &str = "NIXOPS4_RESOURCES_TIMEOUT";
const DEFAULT_TIMEOUT: Duration = Duration::from_mins(10);
const LONGEST_TIMEOUT: Duration = Duration::from_hours(30 * 24);
/// How long a step that was begun in time may take to end, but not longer than
/// the time itself.
const GRACE: Duration = Duration::from_secs(30);
/// How long a process without a request keeps its connections: a server has only
/// so many, and whoever waits for one may be another process of the same apply.
const IDLE: Duration = Duration::from_millis(500);
/// How long it keeps them while somebody waits: the next request follows at once,
/// or hardly soon.
const PAUSE: Duration = Duration::from_millis(20);
/// How much of what is wrong with a line its answer says, in characters: the
/// reason may repeat parts of the line.
const SHOWN_PROBLEM: usize = 1000;

/// How much of an answer is written at once, in bytes.
const PIECE: usize = 64 << 10;

/// Serves until the end of stdin.
pub(crate) fn serve(provider: &Provider) -> ExitCode {
    // What is made is for this user alone, whatever makes it.
    rustix::process::umask(Mode::RWXG | Mode::RWXO);
    // Signals first: a state provider that is still starting ignores Ctrl-C too.
    let signals = Signals::default();
    let listening = signals.listen(provider.ignores_interrupts());
    logging::set_up();
    failpoint::set_up();
    let served = listening
        .and_then(|()| Server::new(provider, signals, Channel::take()?))
        .and_then(|mut server| server.run());
    match served {
        Ok(()) => ExitCode::SUCCESS,
        // Whoever asked doesn't listen any more.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::FAILURE,
        Err(error) => {
            tracing::error!("unable to serve: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Where requests come from and answers go.
struct Channel {
    requests: BufReader<File>,
    answers: File,
}

impl Channel {
    /// Keeps stdin for requests and stdout for answers: whatever else writes to
    /// stdout goes to stderr, and whatever else reads stdin, a child process or
    /// a secret in `/dev/stdin`, finds its end.
    fn take() -> io::Result<Self> {
        use rustix::{io::fcntl_dupfd_cloexec, stdio};
        let requests = fcntl_dupfd_cloexec(stdio::stdin(), 3)?;
        let answers = fcntl_dupfd_cloexec(stdio::stdout(), 3)?;
        stdio::dup2_stdin(File::open("/dev/null")?)?;
        stdio::dup2_stdout(stdio::stderr())?;
        Ok(Self {
            requests: BufReader::new(File::from(requests)),
            answers: File::from(answers),
        })
    }
}

/// Ctrl-C reaches providers too: a step that runs is finished, and the answer is
/// an error then, unless that was the last one. SIGTERM ends the process after
/// that answer, or at once if there is nothing to answer.
///
/// Neither gets lost: while `idle` is set a signal ends the process, otherwise
/// it sets a flag, which is read after `idle` was set again.
struct Signals {
    /// No request is being handled.
    idle: Arc<AtomicBool>,
    /// The request that is handled is to be given up.
    interrupted: Arc<AtomicBool>,
    /// SIGTERM came while a request was handled.
    terminated: Arc<AtomicBool>,
}

impl Default for Signals {
    fn default() -> Self {
        Self {
            idle: Arc::new(AtomicBool::new(true)),
            interrupted: Arc::default(),
            terminated: Arc::default(),
        }
    }
}

impl Signals {
    fn listen(&self, ignore_interrupts: bool) -> io::Result<()> {
        use signal_hook::flag::{register, register_conditional_shutdown};
        if ignore_interrupts {
            // A flag that nobody reads.
            register(SIGINT, Arc::default())?;
        } else {
            // In this order: the first ends the process before the second counts.
            register_conditional_shutdown(SIGINT, 128 + SIGINT, Arc::clone(&self.idle))?;
            register(SIGINT, Arc::clone(&self.interrupted))?;
            register(SIGTERM, Arc::clone(&self.interrupted))?;
        }
        register_conditional_shutdown(SIGTERM, 128 + SIGTERM, Arc::clone(&self.idle))?;
        register(SIGTERM, Arc::clone(&self.terminated))?;
        Ok(())
    }

    /// From here on a signal waits for the answer.
    fn begin(&self) {
        // What interrupted the last request doesn't concern this one. `idle` is
        // still set: what comes between the two ends the process.
        self.interrupted.store(false, Ordering::SeqCst);
        self.idle.store(false, Ordering::SeqCst);
    }

    fn are_interrupting(&self) -> bool {
        self.interrupted.load(Ordering::SeqCst)
    }

    /// From here on a signal ends the process; says whether one already does.
    /// `was_interrupted`: the answer has taken account of an interruption.
    fn end(&self, was_interrupted: bool) -> bool {
        self.idle.store(true, Ordering::SeqCst);
        let came_too_late = self.are_interrupting() && !was_interrupted;
        self.terminated.load(Ordering::SeqCst) || came_too_late
    }
}

struct Server<'a> {
    provider: &'a Provider,
    signals: Signals,
    channel: Channel,
    /// Fails if the environment says something that can't be followed: that is
    /// the answer to every request then.
    at: Result<Surroundings>,
    runtime: tokio::runtime::Runtime,
}

impl<'a> Server<'a> {
    fn new(provider: &'a Provider, signals: Signals, channel: Channel) -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let at = timeout().map(|time| Surroundings {
            time,
            clock: Rc::new(Clock::new(time)),
            interrupted: Arc::clone(&signals.interrupted),
            sessions: Sessions::default(),
        });
        Ok(Self {
            provider,
            signals,
            channel,
            at,
            runtime,
        })
    }

    fn run(&mut self) -> io::Result<()> {
        loop {
            self.release_when_idle();
            let size = self.provider.request_size();
            let line = match codec::read_line(&mut self.channel.requests, size.bytes()) {
                Ok(None) => return Ok(()),
                Ok(Some(line)) => Ok(line),
                Err(codec::LineError::Io(error)) => return Err(error),
                Err(error) => Err(error),
            };
            self.signals.begin();
            let response = match line {
                Ok(line) => self.respond(line, size),
                Err(error) => refuse(&error.to_string()),
            };
            let was_interrupted = self.signals.are_interrupting();
            self.write(&response)?;
            if self.signals.end(was_interrupted) {
                return Ok(());
            }
        }
    }

    /// Waits a moment for the next request before connections are let go of.
    fn release_when_idle(&self) {
        use rustix::event::{PollFd, PollFlags, Timespec, poll};
        use rustix::io::Errno;
        let Ok(Surroundings { sessions, .. }) = &self.at else {
            return;
        };
        if sessions.are_anothers_turn() {
            sessions.release_connections();
        }
        if !sessions.holds_connections() || !self.channel.requests.buffer().is_empty() {
            return;
        }
        let mut requests = [PollFd::new(self.channel.requests.get_ref(), PollFlags::IN)];
        let moment = Timespec::try_from(PAUSE).ok();
        let begun = Instant::now();
        while matches!(
            poll(&mut requests, moment.as_ref()),
            Ok(0) | Err(Errno::INTR)
        ) {
            if begun.elapsed() >= IDLE || sessions.are_waited_for() {
                sessions.release_connections();
                return;
            }
        }
    }

    fn respond(&self, line: String, size: Size) -> Answer {
        let request = match Request::parse_sized(&line, size) {
            Ok(request) => request,
            Err(error) => {
                let problem = shortened(&error.to_string(), SHOWN_PROBLEM);
                return refuse(&format!("this is not a request: {problem}"));
            }
        };
        // It may be as large as what was read from it.
        drop(line);
        if let Err(error) = clock::check(SystemTime::now()) {
            return refuse(&error.to_string());
        }
        let at = match &self.at {
            Ok(at) => at,
            Err(error) => return refuse(&error.to_string()),
        };
        at.clock.restart(at.time);
        let grace = GRACE.min(at.time);
        let handling = AssertUnwindSafe(self.provider.handle(at, request)).catch_unwind();
        match self.runtime.block_on(at.clock.limit(grace, handling)) {
            Some(Ok(Ok(response))) => response,
            Some(Ok(Err(error))) => refuse(&error.to_string()),
            Some(Err(_panic)) => refuse(
                "the provider failed by a bug of its own; its log says where\nhint: what was done \
                 stays; report the bug with the log",
            ),
            None => refuse(&format!(
                "a step took longer than {} s and was given up\nhint: what was done stays; see \
                 whether the server answers at all; {TIMEOUT_VARIABLE} sets the time in seconds",
                (at.time + grace).as_secs()
            )),
        }
    }

    /// Piece by piece: a state is not written down a second time for it.
    fn write(&mut self, answer: &Answer) -> io::Result<()> {
        let mut line = BufWriter::with_capacity(PIECE, &self.channel.answers);
        serde_json::to_writer(&mut line, answer)?;
        line.write_all(b"\n")?;
        line.flush()
    }
}

fn refuse(message: &str) -> Answer {
    Answer::Response(Response::Error(ErrorResponse {
        message: plain(&redact(message)),
    }))
}

fn timeout() -> Result<Duration> {
    let Some(text) = std::env::var_os(TIMEOUT_VARIABLE).filter(|text| !text.is_empty()) else {
        return Ok(DEFAULT_TIMEOUT);
    };
    let seconds = text.to_str().and_then(|text| text.parse().ok());
    seconds
        .map(Duration::from_secs)
        .filter(|time| !time.is_zero() && *time <= LONGEST_TIMEOUT)
        .ok_or_else(|| {
            Error::new(format!(
                "{TIMEOUT_VARIABLE} has to be a whole number of seconds, 1 to {}",
                LONGEST_TIMEOUT.as_secs()
            ))
        })
}
