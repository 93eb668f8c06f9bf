//! What a provider says on stderr: passed on line by line, and the last lines
//! kept for an error.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::io::BufReader;
use tokio::process::ChildStderr;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::codec;

/// How many of the last lines an error repeats.
const LINES_KEPT: usize = 8;
/// Where a longer line is cut, in bytes.
const MAX_LINE: usize = 16 << 10;
/// How long the rest is waited for once the process is gone.
const PATIENCE: Duration = Duration::from_millis(500);

/// Takes each line that a provider writes to stderr, with the label that the
/// process has at that moment.
pub type StderrSink = Arc<dyn Fn(&str, &str) + Send + Sync>;

/// The stderr of one process.
pub(super) struct Stderr {
    /// Passes it on; `None` once its end was waited for.
    reader: Option<JoinHandle<()>>,
    shared: Arc<Shared>,
}

impl Stderr {
    /// Passes on what is said from now on, under `label`.
    pub(super) fn pass_on(stderr: ChildStderr, label: &str, sink: StderrSink) -> Self {
        let shared = Arc::new(Shared {
            label: Mutex::new(label.to_owned()),
            last_lines: Mutex::default(),
        });
        let reader = tokio::spawn(pass_on(stderr, Arc::clone(&shared), sink));
        Self {
            reader: Some(reader),
            shared,
        }
    }

    /// Names what is said from now on.
    pub(super) fn set_label(&self, label: &str) {
        label.clone_into(&mut locked(&self.shared.label));
    }

    /// Lets the last words of a process that has ended arrive, and gives them.
    /// Another process that holds its stderr open can't delay us for long.
    pub(super) async fn last_words(&mut self) -> Vec<String> {
        if let Some(reader) = self.reader.take() {
            // What still comes later goes to the sink.
            let _ = timeout(PATIENCE, reader).await;
        }
        locked(&self.shared.last_lines).iter().cloned().collect()
    }
}

/// What the reader and the owner of the process share.
struct Shared {
    label: Mutex<String>,
    last_lines: Mutex<VecDeque<String>>,
}

impl Shared {
    fn keep(&self, line: &str) {
        let mut lines = locked(&self.last_lines);
        if lines.len() == LINES_KEPT {
            lines.pop_front();
        }
        lines.push_back(line.to_owned());
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn pass_on(stderr: ChildStderr, shared: Arc<Shared>, sink: StderrSink) {
    let mut reader = BufReader::new(stderr);
    loop {
        match codec::read_text_async(&mut reader, MAX_LINE).await {
            Ok(Some(line)) => {
                shared.keep(&line);
                let label = locked(&shared.label).clone();
                sink(&label, &line);
            }
            Ok(None) => return,
            Err(error) => {
                let label = locked(&shared.label).clone();
                sink(&label, &format!("(stderr is lost: {error})"));
                return;
            }
        }
    }
}
