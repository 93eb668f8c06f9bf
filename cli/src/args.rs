//! The command line.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};

/// Plan and apply NixOps4 deployments.
///
/// Exit codes: 0 done, or nothing to do; 1 failed; 2 changes are pending (only
/// with plan --detailed-exitcode); 64 wrong use of the command.
#[derive(Debug, Parser)]
#[command(name = "nixops4-resources", version, about, long_about)]
pub(crate) struct Arguments {
    #[command(flatten)]
    pub(crate) common: Common,
    #[command(subcommand)]
    pub(crate) command: Command,
}

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
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Show what apply would do, and change nothing.
    Plan(Plan),
    /// Make the deployment what its file says.
    Apply,
    /// Say what providers manage: all that are installed, or one provider, or
    /// one resource type with its inputs and outputs.
    Describe(Describe),
    /// Send one request to one provider, for tests and for CI.
    Call(Call),
}

/// Arguments of plan.
#[derive(Debug, Args)]
pub(crate) struct Plan {
    /// Exit with 2 if changes are pending.
    #[arg(long)]
    pub(crate) detailed_exitcode: bool,
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

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    #[test]
    fn the_command_line_is_consistent() {
        super::Arguments::command().debug_assert();
    }
}
