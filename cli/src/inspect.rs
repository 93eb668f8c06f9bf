//! `validate`, `graph` and `outputs`, shown.

use std::io::{self, IsTerminal as _};

use nixops4_resources_engine::{self as engine, Outcome, Session, Signals};

use crate::args;
use crate::failure::Failure;
use crate::ui::{Reader, Ui, graph, inspect, text};

/// Checks the deployment without asking any server.
pub(crate) async fn validate(
    session: &Session,
    ui: &Ui,
    signals: &mut Signals,
) -> Result<Outcome, Failure> {
    let report = engine::validate(session, signals).await?;
    match ui.reader() {
        Reader::Machine => ui.json(&report, true),
        Reader::Person => ui.print(&inspect::validation(&report, ui.is_verbose(), ui.paint())),
    }
    Ok(if report.valid {
        Outcome::Done
    } else {
        Outcome::Failed
    })
}

/// Prints what depends on what.
pub(crate) async fn graph(
    session: &Session,
    ui: &Ui,
    arguments: &args::Graph,
    signals: &mut Signals,
) -> Result<Outcome, Failure> {
    let location = arguments.state.as_deref();
    let is_recorded = arguments.recorded || location.is_some();
    let report = engine::graph(session, is_recorded.then_some(location), signals).await?;
    let format = match ui.reader() {
        Reader::Machine => args::GraphFormat::Json,
        Reader::Person => arguments.format,
    };
    match format {
        args::GraphFormat::Dot => ui.print(&graph::dot(&report)),
        args::GraphFormat::Mermaid => ui.print(&graph::mermaid(&report)),
        args::GraphFormat::Json => ui.json(&report, true),
    }
    for note in report.notes.iter().chain(&inspect::circles(&report)) {
        ui.said("note", note);
    }
    Ok(Outcome::Done)
}

/// Prints recorded outputs.
pub(crate) async fn outputs(
    session: &Session,
    ui: &Ui,
    arguments: &args::Outputs,
    signals: &mut Signals,
) -> Result<Outcome, Failure> {
    let location = arguments.state.as_deref();
    let report = engine::outputs(session, arguments.path.as_ref(), location, signals).await?;
    if arguments.raw {
        let plain = engine::plain(&report.outputs).map_err(engine::Failure::from)?;
        // What is read by a program is as it is, and what somebody looks at steers nothing.
        if io::stdout().is_terminal() {
            ui.print(&format!("{}\n", text::harmless(&plain)));
        } else {
            ui.print(&plain);
        }
        return Ok(Outcome::Done);
    }
    match ui.reader() {
        Reader::Machine => ui.json(&report, true),
        Reader::Person => ui.print(&inspect::outputs(&report, ui.paint())),
    }
    Ok(Outcome::Done)
}
