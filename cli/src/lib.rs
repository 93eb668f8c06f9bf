//! The command `nixops4-resources`: the command line and the terminal, or JSON, of
//! `nixops4-resources-engine`, which does the work; and `secret`, which is by hand.
//!
//! [`report`] is what `--json` prints; everything else is the command's own.

mod args;
mod call;
mod candidates;
mod commands;
mod completion;
mod describe;
mod failure;
mod inspect;
mod interrupts;
mod manual;
mod secret;
mod state;
mod ui;

use std::process::ExitCode;
use std::sync::Arc;
use std::time::SystemTime;

use clap::Parser as _;
use nixops4_resources_engine::{
    Allowed, Destroy, Gc, Outcome, Session, Settings, apply, destroy, executables, gc, import,
    member, memory_of_this_user, providers, shell,
};
use nixops4_secrets_store::{clock, environment};

use args::{Arguments, Command, Common};
use failure::Failure;
use interrupts::signals;
use ui::{Reader, Ui};

pub use nixops4_resources_engine::report;
pub use nixops4_resources_engine::{MemberPath, OutputRef};

/// Wrong use of the command, as in sysexits.h; 2 means pending changes.
const USAGE: u8 = 64;
const PENDING: u8 = 2;

/// Runs the command.
#[must_use]
pub fn main() -> ExitCode {
    completion::answer_shell();
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
        Ok(Outcome::Done) => ExitCode::SUCCESS,
        Ok(Outcome::Failed) => ExitCode::FAILURE,
        Ok(Outcome::Pending) => {
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
            if failure.is_usage() {
                ExitCode::from(USAGE)
            } else {
                ExitCode::FAILURE
            }
        }
    }
}

async fn run(arguments: &Arguments, ui: &Arc<Ui>) -> Result<Outcome, Failure> {
    let common = &arguments.common;
    let begin = |settings| Session::new(settings, ui.clone());
    let session = || begin(settings(common));
    match &arguments.command {
        Command::Plan(plan) => {
            let session = begin(Settings {
                targets: plan.target.clone(),
                refresh: plan.refresh,
                ..settings(common)
            });
            match &plan.out {
                Some(_) if !plan.refresh => Err(Failure::Usage(
                    "a plan that is saved has to look at what is there: leave out --refresh=false"
                        .to_owned(),
                )),
                Some(out) => commands::plan_to(out, &session, ui, &mut signals()?).await,
                None => commands::plan(&session, ui, &mut signals()?).await,
            }
        }
        Command::Apply(wanted) => {
            let mut session = begin(Settings {
                targets: wanted.target.clone(),
                ..settings(common)
            });
            match &wanted.plan {
                Some(plan) => commands::apply_saved(plan, &mut session, ui, &mut signals()?).await,
                None => Ok(apply(&session, &mut signals()?).await?),
            }
        }
        Command::Validate => inspect::validate(&session(), ui, &mut signals()?).await,
        Command::Graph(wanted) => inspect::graph(&session(), ui, wanted, &mut signals()?).await,
        Command::Outputs(wanted) => inspect::outputs(&session(), ui, wanted, &mut signals()?).await,
        Command::Drift(wanted) => commands::drift(&session(), ui, wanted, &mut signals()?).await,
        Command::Destroy(wanted) => {
            let wanted = Destroy {
                paths: &wanted.paths,
                from_state: wanted.from_state.as_deref(),
                forget: wanted.forget,
                yes: wanted.yes,
            };
            Ok(destroy(&session(), &wanted, &mut signals()?).await?)
        }
        Command::Gc(wanted) => {
            let wanted = Gc {
                paths: &wanted.paths,
                orphans: wanted.orphans,
                forget: wanted.forget,
                yes: wanted.yes,
            };
            Ok(gc(&session(), &wanted, &mut signals()?).await?)
        }
        Command::Import(wanted) => {
            Ok(import(&mut session(), &wanted.paths, &mut signals()?).await?)
        }
        Command::State(wanted) => state::run(&session(), ui, wanted).await,
        Command::Completion(wanted) => {
            ui.print(&completion::script(wanted.shell)?);
            Ok(Outcome::Done)
        }
        Command::Man(wanted) => {
            match &wanted.into {
                Some(folder) => manual::write(folder)?,
                None => ui.print(&manual::page(&wanted.command)?),
            }
            Ok(Outcome::Done)
        }
        Command::Describe(wanted) => {
            describe::describe(wanted.what.as_deref(), common.timeout, ui).await?;
            Ok(Outcome::Done)
        }
        Command::Call(wanted) => {
            call::call(wanted, common.timeout, ui).await?;
            Ok(Outcome::Done)
        }
        Command::Secret(wanted) => {
            secret::run(wanted, ui).await?;
            Ok(Outcome::Done)
        }
    }
}

/// What the options that all commands have say.
fn settings(common: &Common) -> Settings {
    let providers = common.allow_provider.iter().map(|words| words.0.clone());
    Settings {
        file: common.file.clone(),
        parallel: common.parallel,
        timeout: common.timeout,
        show_trace: common.show_trace,
        allowed: Allowed {
            providers: providers.collect(),
            connections: common.allow_connection.clone(),
            deployments: common.allow_deployment.clone(),
        },
        memory: memory_of_this_user(),
        secret_stores: || environment::stores().map_err(|error| error.to_string()),
        ..Settings::default()
    }
}
