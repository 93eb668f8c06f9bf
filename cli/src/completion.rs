//! What shells complete: the commands and options, and the members of the deployment that
//! is planned or applied here.
//!
//! A shell calls this program for each key, by the engine of clap. So commands, options
//! and their values have one source, for all shells; a script of our own for each of them
//! would be a second one. Members come from what is [remembered](candidates), because an
//! evaluation takes seconds.

use std::path::PathBuf;

use clap::CommandFactory as _;
use clap_complete::env::Shells;
use clap_complete::{CompleteEnv, Shell};

use crate::args::Arguments;
use crate::candidates;
use crate::failure::Failure;

/// Set by the script: the shell that asks.
const VARIABLE: &str = "_NIXOPS4_RESOURCES_COMPLETE";

/// Answers a shell and ends, if one asks.
pub(crate) fn answer_shell() {
    if let Ok(shell) = std::env::var(VARIABLE) {
        candidates::asked_by(&shell);
    }
    let here = std::env::current_dir().ok();
    let answered = CompleteEnv::with_factory(Arguments::command)
        .var(VARIABLE)
        .try_complete(std::env::args_os(), here.as_deref());
    match answered {
        Ok(false) => {}
        Ok(true) => std::process::exit(0),
        // What is said would stand in the middle of the line that somebody types.
        Err(_) => std::process::exit(1),
    }
}

/// The script that makes a shell ask this program.
pub(crate) fn script(shell: Shell) -> Result<String, Failure> {
    let command = Arguments::command();
    let name = command.get_name();
    let mut script = Vec::new();
    let shells = Shells::builtins();
    let Some(writer) = shells.completer(&shell.to_string()) else {
        return Err(Failure::Usage(format!("{shell} is not completed for")));
    };
    writer
        .write_registration(VARIABLE, name, name, &own_name(name), &mut script)
        .map_err(|error| Failure::Io("cannot write the script".to_owned(), error))?;
    Ok(String::from_utf8_lossy(&script).into_owned())
}

/// This program as it was called: by its name, which is looked for each time, or by its
/// place.
fn own_name(name: &str) -> String {
    let called = std::env::args_os().next().map(PathBuf::from);
    let place = called.filter(|it| it.components().count() > 1);
    let place = place.and_then(|it| std::path::absolute(it).ok());
    place.map_or_else(|| name.to_owned(), |it| it.to_string_lossy().into_owned())
}

#[cfg(test)]
mod tests {
    use clap::ValueEnum as _;
    use clap_complete::Shell;

    use super::VARIABLE;

    #[test]
    fn every_shell_has_a_script_that_asks_this_program() {
        for shell in Shell::value_variants() {
            let script = super::script(*shell).unwrap();
            assert!(script.contains(VARIABLE), "{shell}: {script}");
        }
    }
}
