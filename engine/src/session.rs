//! One run on one deployment: what it is, how it is asked, and who is told.

use std::collections::{BTreeSet, HashMap};
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use nixops4_protocol::client::ProviderCommand;

use crate::eval::Evaluator;
use crate::frontend::Frontend;
use crate::member::MemberPath;
use crate::providers::{Machine, Providers, Retries, Retry};
use crate::records::Records;
use crate::report::Event;
use crate::saved::approved::Approved;
use crate::schema::Kind;
use crate::signals::Signals;
use crate::text;
use crate::trust::granted::{Allowed, Trust};

/// How a deployment is worked on.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The deployment's file or directory; without it, `nixops4.nix` in the current
    /// directory, or else the flake that the current directory is in.
    pub file: Option<PathBuf>,
    /// Only these members, and what is below them, and what that needs; all of them if
    /// there are none. For a plan and an apply.
    pub targets: Vec<MemberPath>,
    /// Whether providers are asked what is there; otherwise the record is believed. For
    /// a plan.
    pub refresh: bool,
    /// How many resources are worked on at once, at least 1.
    pub parallel: usize,
    /// How long a provider may take for one request.
    pub timeout: Duration,
    /// Whether an error in the expression tells all that Nix says.
    pub show_trace: bool,
    /// What may be done although only a record says so.
    pub allowed: Allowed,
    /// The folder that remembers from run to run where states are, for this user alone;
    /// nothing is remembered without it. [`memory_of_this_user`](crate::memory_of_this_user)
    /// gives the usual one.
    pub memory: Option<PathBuf>,
    /// The names of the secrets stores that providers know beside those that members
    /// name, or why nobody knows them. Asked when orphans are searched for.
    pub secret_stores: fn() -> Result<Vec<String>, String>,
}

impl Default for Settings {
    /// All of the deployment of the current directory, asked and remembered nothing.
    fn default() -> Self {
        Self {
            file: None,
            targets: Vec::new(),
            refresh: true,
            parallel: 16,
            timeout: Duration::from_hours(1),
            show_trace: false,
            allowed: Allowed::default(),
            memory: None,
            secret_stores: || Ok(Vec::new()),
        }
    }
}

/// One run of a command on one deployment.
pub struct Session {
    /// The deployment, as it is named to the user.
    pub(crate) file: PathBuf,
    pub(crate) evaluator: Evaluator,
    pub(crate) providers: Rc<Providers>,
    /// The resource types that were asked for, by provider and name.
    pub(crate) kinds: Mutex<HashMap<(ProviderCommand, String), Arc<Kind>>>,
    /// What may be done because a record says so.
    pub(crate) trust: Trust,
    /// Where it is remembered where states are, if anywhere.
    pub(crate) memory: Option<PathBuf>,
    /// Names the secrets stores that no member does.
    pub(crate) secret_stores: fn() -> Result<Vec<String>, String>,
    /// How many resources are worked on at once.
    pub(crate) parallel: usize,
    /// Only these and what they need are looked at, if there are any.
    pub(crate) targets: Vec<MemberPath>,
    /// Whether providers are asked what is there; otherwise the record is
    /// believed.
    pub(crate) refresh: bool,
    /// What may be done, if not everything that the expression says.
    pub(crate) approved: Option<Approved>,
    pub(crate) ui: Arc<dyn Frontend>,
}

impl Session {
    /// Prepares everything; asks nobody anything yet. The deployment need not be there
    /// before something needs it.
    #[must_use]
    pub fn new(settings: Settings, ui: Arc<dyn Frontend>) -> Self {
        let notes = Arc::clone(&ui);
        let evaluator = Evaluator::new(
            settings.file,
            settings.show_trace,
            Arc::new(move |line: &str| notes.said("nix", line)),
        );
        Self {
            file: evaluator.name().to_owned(),
            evaluator,
            providers: Rc::new(providers(Arc::clone(&ui), settings.timeout)),
            kinds: Mutex::default(),
            trust: Trust::new(settings.allowed),
            memory: settings.memory,
            secret_stores: settings.secret_stores,
            parallel: settings.parallel.max(1),
            targets: settings.targets,
            refresh: settings.refresh,
            approved: None,
            ui,
        }
    }

    /// Lets the providers end that are kept for the next question.
    pub async fn end(&self) {
        self.providers.close().await;
    }

    /// Lets all processes end, unless the user stops the waiting for that: what is
    /// done is recorded.
    pub(crate) async fn close(&self, records: &Records, signals: &mut Signals) {
        let closing = async {
            records.close().await;
            self.providers.close().await;
        };
        let _ = signals.race(closing).await;
    }
}

/// The providers of this machine, for who has something to ask them beside a deployment.
/// `timeout` is for each request.
#[must_use]
pub fn providers(ui: Arc<dyn Frontend>, timeout: Duration) -> Providers {
    let retries = retries(&ui);
    let machine = Machine {
        sink: stderr_sink(ui),
    };
    Providers::new(Box::new(machine), retries, timeout)
}

/// Tells whoever reads that something is asked again.
pub(crate) fn retries(ui: &Arc<dyn Frontend>) -> Retries {
    let ui = Arc::clone(ui);
    Retries::new(Arc::new(move |retry: &Retry<'_>| {
        ui.event(&Event::Retried {
            path: retry.path.clone(),
            error: retry.error.to_string(),
            attempt: retry.attempt,
            of: retry.of,
        });
    }))
}

/// Shows what providers say on stderr. A warning that several processes give, such as
/// about their server, is shown once.
fn stderr_sink(ui: Arc<dyn Frontend>) -> nixops4_protocol::client::StderrSink {
    let warned = Mutex::new(BTreeSet::new());
    Arc::new(move |label: &str, line: &str| {
        let is_warning = line.trim_start().starts_with("WARN ");
        let mut warned = warned.lock().unwrap_or_else(PoisonError::into_inner);
        if is_warning && !warned.insert(line.to_owned()) {
            return;
        }
        // A member may be called as this command calls its own lines.
        match label {
            "error" | "note" | "hint" | "nix" => ui.said(&text::quoted(label), line),
            label => ui.said(label, line),
        }
    })
}
