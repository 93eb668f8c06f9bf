//! The command line.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;

use crate::candidates;
use crate::member::MemberPath;
use crate::shell;

/// Plan, apply and maintain NixOps4 deployments.
///
/// Exit codes: 0 success, or nothing to do; 1 failure; 2 changes are pending (plan
/// --detailed-exitcode) or drift was found (drift); 64 invalid command line.
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
  nixops4-resources plan                  show what apply would do
  nixops4-resources apply                 do it
  nixops4-resources plan --target web     only the member web and its dependencies
  nixops4-resources drift                 show what others changed; for cron
  nixops4-resources gc                    remove what left the deployment file
  nixops4-resources import web.db         record a resource that exists already
  nixops4-resources destroy web           remove the member web

Before it, and for review:
  nixops4-resources validate              check the deployment file; asks no server
  nixops4-resources plan --out plan.json  save the plan, and then
  nixops4-resources apply plan.json       do exactly that
  nixops4-resources outputs web.db.host   show a recorded output
  nixops4-resources graph | dot -Tsvg     draw the dependencies
  source <(nixops4-resources completion bash)

How much is said:
  --verbose               also list unchanged resources, defaults, and inputs that could not
                          be checked. Does not change what providers log.
  NIXOPS4_RESOURCES_LOG   log level of the providers, whose lines go to stderr with the name
                          of the member: off, error, warn, info, debug or trace. Unset:
                          warnings, and the progress of long operations. Secrets are removed.
  NIXOPS4_RESOURCES_LOG_FORMAT
                          text or json
  NO_COLOR                no colours; CLICOLOR_FORCE=1 colours files and pipes too
  XDG_STATE_HOME          remembers locations of states and names of members
                          (~/.local/state)";

/// What all commands understand.
#[derive(Debug, Args)]
pub(crate) struct Common {
    /// The deployment file [default: nixops4.nix, otherwise the output nixops4 of the
    /// enclosing flake].
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) file: Option<PathBuf>,
    /// Print JSON.
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// Also list resources that do not change.
    #[arg(short, long, global = true)]
    pub(crate) verbose: bool,
    /// Show Nix's whole trace for an error in the deployment file.
    #[arg(long, global = true)]
    pub(crate) show_trace: bool,
    /// How many resources to work on at the same time.
    #[arg(long, global = true, value_name = "N", default_value_t = 16, value_parser = positive)]
    pub(crate) parallel: usize,
    /// Time limit for each request to a provider, in seconds.
    #[arg(long, global = true, value_name = "SECONDS", default_value = "3600", value_parser = seconds)]
    pub(crate) timeout: Duration,
    /// Also start this provider, which only the state names: its executable and arguments
    /// as one argument, exactly as recorded. Can be repeated.
    ///
    /// Without this, a record starts only providers that the deployment file names now, and
    /// providers of this suite by their bare names.
    #[arg(long, global = true, value_name = "EXECUTABLE ARGS", value_parser = words)]
    pub(crate) allow_provider: Vec<Words>,
    /// Also send secrets to this server, which only the state names: the connection as
    /// recorded, in JSON. Can be repeated.
    ///
    /// Without this, secrets are only sent to servers that the deployment file names now or
    /// named at the last apply from here.
    #[arg(long, global = true, value_name = "JSON", value_parser = connection)]
    pub(crate) allow_connection: Vec<serde_json::Value>,
    /// Also change resources of this deployment, which only the state names. Can be
    /// repeated.
    ///
    /// Without this, only resources are changed whose deployment the file names now or named
    /// at the last apply from here, or whose state is given.
    #[arg(long, global = true, value_name = "NAME")]
    pub(crate) allow_deployment: Vec<String>,
}

/// An executable and its arguments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Words(pub(crate) Vec<String>);

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Show what apply would do, without changing anything.
    Plan(Plan),
    /// Create or update resources to match the deployment file.
    ///
    /// Works on many resources at the same time and records each result immediately.
    /// Failures are listed at the end, and the next apply continues from there. The first
    /// Ctrl-C lets running work finish, the second kills it. With --json, each line is one
    /// event (schemas/command.json).
    Apply(Apply),
    /// Compare the recorded resources with reality, without changing anything.
    ///
    /// Prints one line per difference and exits with 2 if there is any, for cron. Reads the
    /// state from where it was at the last apply, without evaluating the deployment file.
    Drift(Drift),
    /// Remove resources: all of them, or those that are named.
    ///
    /// Resources are removed before their dependencies, secrets last. Unrecorded resources
    /// are removed too, if a member still describes them. The deletion policy `retain`
    /// retires a resource: it lets nobody in and keeps its data. `protect = true` forbids
    /// the removal. Shows everything and asks first.
    Destroy(Destroy),
    /// Remove recorded resources that are no longer in the deployment file.
    ///
    /// Shows everything and asks first. Resources that were only renamed are left alone;
    /// `state mv` records their new names.
    Gc(Gc),
    /// Record resources that exist already, without changing them, and show what apply would
    /// do with them.
    Import(Import),
    /// List, show, rename, forget, verify, export or import the recorded resources.
    State(crate::state::args::State),
    /// Check the deployment file without asking any server.
    ///
    /// Evaluates it and checks each member against its provider's schema, its state, the
    /// outputs that it uses, circular dependencies and duplicates. Reads no state and no
    /// secret, and writes nothing but what Nix builds to evaluate it. Inputs that depend on
    /// outputs are skipped. Exits with 1 if there is a problem.
    Validate,
    /// Print the dependencies of members for Graphviz, for Mermaid or as JSON.
    ///
    /// An arrow leads from a member to its dependency and names the output. Reads only the
    /// deployment file: no state, and no server.
    Graph(Graph),
    /// Print recorded outputs.
    Outputs(Outputs),
    /// Print a script that makes a shell complete this command and the names of members.
    ///
    /// Completes the members of the last plan or apply here, because asking Nix or a server
    /// takes too long. bash and zsh: source <(nixops4-resources completion bash); fish:
    /// nixops4-resources completion fish | source.
    Completion(Completion),
    /// Print the manual page, or write all of them into a folder.
    Man(Man),
    /// Describe all installed providers, one provider, or one resource type with its inputs
    /// and outputs.
    Describe(Describe),
    /// Send a single request to a provider, for tests and CI.
    Call(Call),
    /// Manage the secrets in a store.
    Secret(crate::secret::args::Secret),
}

/// Arguments of plan.
#[derive(Debug, Args)]
pub(crate) struct Plan {
    /// Save the plan for `apply FILE`, readable by this user only.
    #[arg(long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
    /// Exit with 2 if changes are pending.
    #[arg(long)]
    pub(crate) detailed_exitcode: bool,
    /// Only this member or the members in it, and their dependencies. Can be repeated.
    #[arg(long, value_name = "PATH", add = candidates::members())]
    pub(crate) target: Vec<MemberPath>,
    /// Ask providers what exists; with false, take it to be as recorded.
    #[arg(long, value_name = "BOOL", default_value_t = true, num_args = 0..=1, require_equals = true, default_missing_value = "true", action = clap::ArgAction::Set)]
    pub(crate) refresh: bool,
}

/// Arguments of apply.
#[derive(Debug, Args)]
pub(crate) struct Apply {
    /// A plan that `plan --out` saved. Does exactly what it shows, without asking. If the
    /// deployment file, the state or a server changed since, does nothing and says what
    /// changed.
    #[arg(value_name = "PLAN", conflicts_with = "target")]
    pub(crate) plan: Option<PathBuf>,
    /// Only this member or the members in it, and their dependencies. Can be repeated. All
    /// others are taken to be as recorded.
    #[arg(long, value_name = "PATH", add = candidates::members())]
    pub(crate) target: Vec<MemberPath>,
}

/// Arguments of drift.
#[derive(Debug, Args)]
pub(crate) struct Drift {
    /// Only these members and the members in them.
    #[arg(value_name = "PATH", add = candidates::members())]
    pub(crate) paths: Vec<MemberPath>,
    /// Location of the state, such as sqlite:FILE#DEPLOYMENT.
    #[arg(long, value_name = "LOCATION")]
    pub(crate) state: Option<String>,
}

/// Arguments of destroy.
#[derive(Debug, Args)]
pub(crate) struct Destroy {
    /// Only these members and the members in them.
    #[arg(value_name = "PATH", add = candidates::members())]
    pub(crate) paths: Vec<MemberPath>,
    /// Work without the deployment file: the location of the state, such as
    /// sqlite:FILE#DEPLOYMENT.
    #[arg(long, value_name = "LOCATION")]
    pub(crate) from_state: Option<String>,
    /// Only remove the records, and leave the resources as they are.
    #[arg(long)]
    pub(crate) forget: bool,
    /// Do not ask for confirmation.
    #[arg(short, long)]
    pub(crate) yes: bool,
}

/// Arguments of gc.
#[derive(Debug, Args)]
pub(crate) struct Gc {
    /// Only these members and the members in them.
    #[arg(value_name = "PATH", add = candidates::members())]
    pub(crate) paths: Vec<MemberPath>,
    /// Also remove orphans: resources that carry this deployment's mark and are in no
    /// state. Searches all databases and secrets stores, and names those that could not be
    /// searched. Orphans have no path to select them by and no record to forget.
    #[arg(long, conflicts_with_all = ["forget", "paths"])]
    pub(crate) orphans: bool,
    /// Only remove the records, and leave the resources as they are.
    #[arg(long)]
    pub(crate) forget: bool,
    /// Do not ask for confirmation.
    #[arg(short, long)]
    pub(crate) yes: bool,
}

/// Arguments of import.
#[derive(Debug, Args)]
pub(crate) struct Import {
    /// The members, or composites that contain them.
    #[arg(value_name = "PATH", required = true, add = candidates::members())]
    pub(crate) paths: Vec<MemberPath>,
}

/// Arguments of graph.
#[derive(Debug, Args)]
pub(crate) struct Graph {
    /// The output format.
    #[arg(long, value_enum, default_value_t = GraphFormat::Dot)]
    pub(crate) format: GraphFormat,
    /// Print the recorded dependencies instead of those of the deployment file.
    #[arg(long)]
    pub(crate) recorded: bool,
    /// The same, with the location of the state, such as sqlite:FILE#DEPLOYMENT.
    #[arg(long, value_name = "LOCATION")]
    pub(crate) state: Option<String>,
}

/// What a graph is written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum GraphFormat {
    /// Graphviz: nixops4-resources graph | dot -Tsvg
    Dot,
    /// Mermaid, which GitHub, GitLab and Forgejo draw in Markdown.
    Mermaid,
    /// As --json (schemas/command.json).
    Json,
}

/// Arguments of outputs.
#[derive(Debug, Args)]
pub(crate) struct Outputs {
    /// A member, a composite, one output, or a part of one: web.db, web, web.db.host,
    /// web.db.tls.ca.
    #[arg(value_name = "PATH", add = candidates::outputs())]
    pub(crate) path: Option<MemberPath>,
    /// Print one string, number or boolean without quotes and without a newline.
    #[arg(long, conflicts_with = "json")]
    pub(crate) raw: bool,
    /// Location of the state, such as sqlite:FILE#DEPLOYMENT.
    #[arg(long, value_name = "LOCATION")]
    pub(crate) state: Option<String>,
}

/// Arguments of man.
#[derive(Debug, Args)]
pub(crate) struct Man {
    /// The page of this command, such as plan or state mv; without it, the first page.
    #[arg(value_name = "COMMAND")]
    pub(crate) command: Vec<String>,
    /// Write the pages of all commands there, such as into ~/.local/share/man/man1.
    #[arg(long, value_name = "FOLDER", conflicts_with = "command")]
    pub(crate) into: Option<PathBuf>,
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
    /// The request.
    pub(crate) request: CallRequest,
    /// Resource type, such as `postgresql_role`.
    #[arg(value_name = "TYPE")]
    pub(crate) kind: String,
    /// The provider's executable [default: nixops4-resources- and the first part of the
    /// type].
    #[arg(long, value_name = "EXECUTABLE")]
    pub(crate) provider: Option<String>,
    /// The inputs: JSON, a file that holds it, or - for stdin.
    #[arg(long, value_name = "JSON, FILE or -")]
    pub(crate) inputs: Option<String>,
    /// The record, as JSON or in a file: {"inputs": {}, "outputs": {}}.
    #[arg(long, value_name = "JSON or FILE")]
    pub(crate) recorded: Option<String>,
    /// Tell create that its result is not recorded.
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
