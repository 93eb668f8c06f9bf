//! The command line.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;

use crate::member::MemberPath;
use crate::shell;

/// Plan and apply NixOps4 deployments, and look after them.
///
/// Exit codes: 0 done, or nothing to do; 1 failed; 2 changes are pending (with
/// plan --detailed-exitcode) or drift was found (drift); 64 wrong use of the
/// command.
#[derive(Debug, Parser)]
#[command(
    name = "nixops4-resources",
    version,
    about,
    long_about,
    after_long_help = EXAMPLES
)]
pub(crate) struct Arguments {
    #[command(flatten)]
    pub(crate) common: Common,
    #[command(subcommand)]
    pub(crate) command: Command,
}

const EXAMPLES: &str = "\
A day with it:
  nixops4-resources plan                  what apply would do
  nixops4-resources apply                 do it
  nixops4-resources plan --target web     only the member web, and what it needs
  nixops4-resources drift                 what others changed since; for cron
  nixops4-resources gc                    remove what left the expression
  nixops4-resources import web.db         take what is there into the state
  nixops4-resources destroy web           remove the member web
  source <(nixops4-resources completion bash)";

/// What all commands understand.
#[derive(Debug, Args)]
pub(crate) struct Common {
    /// The deployment; without it, nixops4.nix, or else the output nixops4 of
    /// the flake that the current directory is in.
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) file: Option<PathBuf>,
    /// Print JSON.
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// List what stays as it is, too.
    #[arg(short, long, global = true)]
    pub(crate) verbose: bool,
    /// Show all that Nix says about a mistake in the deployment.
    #[arg(long, global = true)]
    pub(crate) show_trace: bool,
    /// How many resources are worked on at once.
    #[arg(long, global = true, value_name = "N", default_value_t = 16, value_parser = positive)]
    pub(crate) parallel: usize,
    /// How long a provider may take for one request, in seconds.
    #[arg(long, global = true, value_name = "SECONDS", default_value = "3600", value_parser = seconds)]
    pub(crate) timeout: Duration,
    /// Start this provider, too, although only the state names it: its executable and
    /// arguments as one argument, exactly as they are recorded; can be given again.
    ///
    /// Otherwise what is recorded starts only what the expression names now, and
    /// providers of this suite by their bare names.
    #[arg(long, global = true, value_name = "EXECUTABLE ARGS", value_parser = words)]
    pub(crate) allow_provider: Vec<Words>,
    /// Send secrets to this server, too, although only the state names it: the
    /// connection as it is recorded, JSON; can be given again.
    ///
    /// Otherwise what is recorded is only sent to servers that the expression names, or
    /// named at the last apply here.
    #[arg(long, global = true, value_name = "JSON", value_parser = connection)]
    pub(crate) allow_connection: Vec<serde_json::Value>,
    /// Touch what is recorded as this deployment's, too, although only the state names it;
    /// can be given again.
    ///
    /// Otherwise only what is recorded as of a deployment that the expression names, or
    /// named at the last apply here, or whose state is given.
    #[arg(long, global = true, value_name = "NAME")]
    pub(crate) allow_owner: Vec<String>,
}

/// An executable and its arguments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Words(pub(crate) Vec<String>);

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Show what apply would do, and change nothing.
    Plan(Plan),
    /// Make the deployment what its file says.
    ///
    /// What can be done is done, many at once, and recorded at once; what failed
    /// is listed in the end, and the next apply goes on from there. Ctrl-C lets
    /// what runs finish; a second one kills it. With --json, every line is one
    /// event (schemas/command.json).
    Apply(Apply),
    /// Say how reality differs from what is recorded, and change nothing.
    ///
    /// One line for each finding; exit code 2 if there is one, for cron. Nothing is
    /// evaluated: the state is read from where it was at the last apply.
    Drift(Drift),
    /// Remove what is recorded: all of it, or what is named.
    ///
    /// What uses something goes before it, secrets last. What has the deletion
    /// policy `retain` is taken out of service and keeps its data; what has
    /// `protect = true` is refused. Shows everything and asks first.
    Destroy(Destroy),
    /// Remove what is recorded and no longer in the expression.
    ///
    /// Shows everything and asks first. What only has another name now is left
    /// alone; `state mv` gives it its new name.
    Gc(Gc),
    /// Record what is there already, without changing it, and show what apply
    /// would do with it.
    Import(Import),
    /// Look at what is recorded, rename it, forget it, check it, move it.
    State(crate::state::args::State),
    /// Print a script that makes a shell complete this command.
    Completion(Completion),
    /// Say what providers manage: all that are installed, or one provider, or
    /// one resource type with its inputs and outputs.
    Describe(Describe),
    /// Send one request to one provider, for tests and for CI.
    Call(Call),
    /// Look after the secrets in a store.
    Secret(crate::secret::args::Secret),
}

/// Arguments of plan.
#[derive(Debug, Args)]
pub(crate) struct Plan {
    /// Exit with 2 if changes are pending.
    #[arg(long)]
    pub(crate) detailed_exitcode: bool,
    /// Only this member, or what is below it, and what that needs; can be given
    /// again.
    #[arg(long, value_name = "PATH")]
    pub(crate) target: Vec<MemberPath>,
    /// Whether to look at what is there; with false, the record is believed.
    #[arg(long, value_name = "BOOL", default_value_t = true, num_args = 0..=1, require_equals = true, default_missing_value = "true", action = clap::ArgAction::Set)]
    pub(crate) refresh: bool,
}

/// Arguments of apply.
#[derive(Debug, Args)]
pub(crate) struct Apply {
    /// Only this member, or what is below it, and what that needs; can be given
    /// again. What is recorded of others is believed.
    #[arg(long, value_name = "PATH")]
    pub(crate) target: Vec<MemberPath>,
}

/// Arguments of drift.
#[derive(Debug, Args)]
pub(crate) struct Drift {
    /// Only these members, and what is below them.
    #[arg(value_name = "PATH")]
    pub(crate) paths: Vec<MemberPath>,
    /// Where the state is, such as sqlite:FILE#DEPLOYMENT.
    #[arg(long, value_name = "LOCATION")]
    pub(crate) state: Option<String>,
}

/// Arguments of destroy.
#[derive(Debug, Args)]
pub(crate) struct Destroy {
    /// Only these members, and what is below them.
    #[arg(value_name = "PATH")]
    pub(crate) paths: Vec<MemberPath>,
    /// Do without the expression: where the state is, such as
    /// sqlite:FILE#DEPLOYMENT.
    #[arg(long, value_name = "LOCATION")]
    pub(crate) from_state: Option<String>,
    /// Only remove the records, and leave the things themselves as they are.
    #[arg(long)]
    pub(crate) forget: bool,
    /// Do not ask.
    #[arg(short, long)]
    pub(crate) yes: bool,
}

/// Arguments of gc.
#[derive(Debug, Args)]
pub(crate) struct Gc {
    /// Only these, and what was below them.
    #[arg(value_name = "PATH")]
    pub(crate) paths: Vec<MemberPath>,
    /// Also what carries this deployment's mark on a server and is in no state, in all
    /// its databases and in every secrets store; what could not be looked into is named.
    /// That has no name to be chosen by, and no record to be forgotten.
    #[arg(long, conflicts_with_all = ["forget", "paths"])]
    pub(crate) orphans: bool,
    /// Only remove the records, and leave the things themselves as they are.
    #[arg(long)]
    pub(crate) forget: bool,
    /// Do not ask.
    #[arg(short, long)]
    pub(crate) yes: bool,
}

/// Arguments of import.
#[derive(Debug, Args)]
pub(crate) struct Import {
    /// The members, or what is below them.
    #[arg(value_name = "PATH", required = true)]
    pub(crate) paths: Vec<MemberPath>,
}

/// Arguments of completion.
#[derive(Debug, Args)]
pub(crate) struct Completion {
    /// Which shell.
    pub(crate) shell: Shell,
}

/// Arguments of describe.
#[derive(Debug, Args)]
pub(crate) struct Describe {
    /// A provider's executable, or a resource type such as `postgresql_role`.
    #[arg(value_name = "PROVIDER or TYPE")]
    pub(crate) what: Option<String>,
}

/// Arguments of call.
#[derive(Debug, Args)]
pub(crate) struct Call {
    /// What to ask.
    pub(crate) request: CallRequest,
    /// Resource type, such as `postgresql_role`.
    #[arg(value_name = "TYPE")]
    pub(crate) kind: String,
    /// The provider's executable; without it, nixops4-resources- and the first
    /// part of the type.
    #[arg(long, value_name = "EXECUTABLE")]
    pub(crate) provider: Option<String>,
    /// The inputs: JSON, a file that holds it, or - for stdin.
    #[arg(long, value_name = "JSON, FILE or -")]
    pub(crate) inputs: Option<String>,
    /// What was recorded, as JSON or in a file: {"inputs": {}, "outputs": {}}.
    #[arg(long, value_name = "JSON or FILE")]
    pub(crate) recorded: Option<String>,
    /// Tell create that nobody records its answer.
    #[arg(long)]
    pub(crate) stateless: bool,
}

/// What one call asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum CallRequest {
    /// Make it, or make sure of it.
    Create,
    /// Bring it from what was recorded to new inputs.
    Update,
    /// Remove or retire what was recorded.
    Destroy,
    /// Say what create or update would do.
    Plan,
    /// Say what stands in the way of destroy, or goes along with it.
    PlanDestroy,
    /// Look at it as it is.
    Read,
    /// List what carries the owner's mark.
    List,
    /// Read a whole state document.
    StateRead,
}

fn positive(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(0) | Err(_) => Err("it has to be a number from 1 up".to_owned()),
        Ok(number) => Ok(number),
    }
}

fn seconds(text: &str) -> Result<Duration, String> {
    match text.parse() {
        Ok(0) | Err(_) => Err("it has to be a number of seconds from 1 up".to_owned()),
        Ok(number) => Ok(Duration::from_secs(number)),
    }
}

fn words(text: &str) -> Result<Words, String> {
    shell::split(text).map(Words).ok_or_else(|| {
        "it has to be an executable and its arguments, as a shell reads them".to_owned()
    })
}

fn connection(text: &str) -> Result<serde_json::Value, String> {
    serde_json::from_str(text).map_err(|error| format!("it has to be JSON: {error}"))
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    #[test]
    fn the_command_line_is_consistent() {
        super::Arguments::command().debug_assert();
    }
}
