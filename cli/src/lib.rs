//! The command `nixops4-resources`: plans and applies NixOps4 deployments with
//! the Nix and the providers that are installed.
//!
//! [`report`] is what `--json` prints; everything else is the command's own.

mod apply;
mod args;
mod call;
mod commands;
mod completion;
mod describe;
mod drift;
mod eval;
mod executables;
mod failure;
mod import;
mod member;
#[cfg(test)]
mod model;
mod plan;
mod providers;
mod records;
mod removal;
pub mod report;
mod schema;
mod secret;
mod session;
mod shell;
mod state;
mod trust;
mod ui;
mod whereabouts;

use std::process::ExitCode;
use std::sync::Arc;
use std::time::SystemTime;

use clap::Parser as _;
use nixops4_secrets_store::clock;

use args::{Arguments, Command};
use commands::{Ending, signals};
use failure::Failure;
pub use member::{MemberPath, OutputRef};
use session::Session;
use trust::Allowed;
use ui::{Reader, Ui};

/// Wrong use of the command, as in sysexits.h; 2 means pending changes.
const USAGE: u8 = 64;
const PENDING: u8 = 2;

/// Runs the command.
#[must_use]
pub fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            // Nobody is left to be told if this can't be written.
            let _ = error.print();
            return if error.use_stderr() {
                ExitCode::from(USAGE)
            } else {
                ExitCode::SUCCESS
            };
        }
    };
    let reader = if arguments.common.json {
        Reader::Machine
    } else {
        Reader::Person
    };
    let ui = Arc::new(Ui::new(reader, arguments.common.verbose));
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let result = match (clock::check(SystemTime::now()), runtime) {
        (Err(wrong), _) => Err(wrong.into()),
        (Ok(()), Ok(runtime)) => runtime.block_on(run(&arguments, &ui)),
        (Ok(()), Err(error)) => Err(Failure::Io("cannot start".to_owned(), error)),
    };
    match result {
        Ok(Ending::Done) => ExitCode::SUCCESS,
        Ok(Ending::Failed) => ExitCode::FAILURE,
        Ok(Ending::Pending) => {
            let asked = match &arguments.command {
                Command::Plan(plan) => plan.detailed_exitcode,
                Command::Drift(_) => true,
                _ => false,
            };
            ExitCode::from(if asked { PENDING } else { 0 })
        }
        Err(failure) => {
            let message = failure.to_string();
            if reader == Reader::Machine {
                ui.json(
                    &report::Event::Error {
                        message: message.clone(),
                    },
                    false,
                );
            }
            ui.error(&message);
            match failure {
                Failure::Usage(_) => ExitCode::from(USAGE),
                _ => ExitCode::FAILURE,
            }
        }
    }
}

async fn run(arguments: &Arguments, ui: &Arc<Ui>) -> Result<Ending, Failure> {
    let common = &arguments.common;
    let session = || {
        Session::new(
            common.file.clone(),
            common.show_trace,
            common.parallel,
            common.timeout,
            Arc::clone(ui),
            Allowed {
                providers: common
                    .allow_provider
                    .iter()
                    .map(|it| it.0.clone())
                    .collect(),
                connections: common.allow_connection.clone(),
                owners: common.allow_owner.clone(),
            },
        )
    };
    match &arguments.command {
        Command::Plan(plan) => {
            let mut session = session();
            session.targets.clone_from(&plan.target);
            session.refresh = plan.refresh;
            commands::plan(&session, &mut signals()?).await
        }
        Command::Apply(apply) => {
            let mut session = session();
            session.targets.clone_from(&apply.target);
            commands::apply(&session, &mut signals()?).await
        }
        Command::Drift(drift) => {
            let location = drift.state.as_deref();
            drift::drift(&session(), location, &drift.paths, &mut signals()?).await
        }
        Command::Destroy(destroy) => {
            let wanted = removal::destroy::Wanted {
                paths: &destroy.paths,
                from_state: destroy.from_state.as_deref(),
                forget: destroy.forget,
                yes: destroy.yes,
            };
            removal::destroy::destroy(&session(), &wanted, &mut signals()?).await
        }
        Command::Gc(gc) => {
            let wanted = removal::gc::Wanted {
                paths: &gc.paths,
                orphans: gc.orphans,
                forget: gc.forget,
                yes: gc.yes,
            };
            removal::gc::gc(&session(), &wanted, &mut signals()?).await
        }
        Command::Import(import) => {
            import::import(&mut session(), &import.paths, &mut signals()?).await
        }
        Command::State(state) => state::run(&session(), state).await,
        Command::Completion(completion) => {
            ui.print(&completion::script(completion.shell));
            Ok(Ending::Done)
        }
        Command::Describe(describe) => {
            describe::describe(describe.what.as_deref(), common.timeout, ui).await?;
            Ok(Ending::Done)
        }
        Command::Call(call) => {
            call::call(call, common.timeout, ui).await?;
            Ok(Ending::Done)
        }
        Command::Secret(secret) => {
            secret::run(secret, ui).await?;
            Ok(Ending::Done)
        }
    }
}
