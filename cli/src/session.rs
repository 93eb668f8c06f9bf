//! What every command that looks at a deployment needs.

use std::collections::{BTreeSet, HashMap};
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use nixops4_protocol::client::ProviderCommand;

use crate::apply::Signals;
use crate::eval::Evaluator;
use crate::member::MemberPath;
use crate::providers::{Machine, Providers, Retries, Retry};
use crate::records::Records;
use crate::report::Event;
use crate::schema::Kind;
use crate::trust::{Allowed, Trust};
use crate::ui::{Ui, text};
use crate::whereabouts;

/// One run of the command on one deployment.
pub(crate) struct Session {
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
    /// How many resources are worked on at once.
    pub(crate) parallel: usize,
    /// Only these and what they need are looked at, if there are any.
    pub(crate) targets: Vec<MemberPath>,
    /// Whether providers are asked what is there; otherwise the record is
    /// believed.
    pub(crate) refresh: bool,
    pub(crate) ui: Arc<Ui>,
}

impl Session {
    /// Prepares everything; asks nobody anything yet. The deployment need not be
    /// there before it is evaluated.
    pub(crate) fn new(
        file: Option<PathBuf>,
        show_trace: bool,
        parallel: usize,
        timeout: Duration,
        ui: Arc<Ui>,
        allowed: Allowed,
    ) -> Self {
        let notes = Arc::clone(&ui);
        let evaluator = Evaluator::new(
            file,
            show_trace,
            Arc::new(move |line: &str| notes.said("nix", line)),
        );
        Self {
            file: evaluator.name().to_owned(),
            evaluator,
            providers: Rc::new(providers(&ui, timeout)),
            kinds: Mutex::default(),
            trust: Trust::new(allowed),
            memory: whereabouts::memory(),
            parallel,
            targets: Vec::new(),
            refresh: true,
            ui,
        }
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

/// The providers of this machine.
pub(crate) fn providers(ui: &Arc<Ui>, timeout: Duration) -> Providers {
    let machine = Machine {
        sink: stderr_sink(ui),
    };
    Providers::new(Box::new(machine), retries(ui), timeout)
}

/// Tells whoever reads that something is asked again.
pub(crate) fn retries(ui: &Arc<Ui>) -> Retries {
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
fn stderr_sink(ui: &Arc<Ui>) -> nixops4_protocol::client::StderrSink {
    let ui = Arc::clone(ui);
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
