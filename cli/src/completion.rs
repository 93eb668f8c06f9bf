//! Completion scripts for shells.

use clap::CommandFactory as _;
use clap_complete::Shell;

use crate::args::Arguments;

/// The script that makes a shell complete this command.
pub(crate) fn script(shell: Shell) -> String {
    let mut command = Arguments::command();
    let name = command.get_name().to_owned();
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut command, name, &mut script);
    String::from_utf8_lossy(&script).into_owned()
}

#[cfg(test)]
mod tests {
    use clap::ValueEnum as _;
    use clap_complete::Shell;

    #[test]
    fn every_shell_completes_every_command() {
        for shell in Shell::value_variants() {
            let script = super::script(*shell);
            for command in ["plan", "apply", "drift", "destroy", "gc", "import"] {
                assert!(script.contains(command), "{shell}: {command}");
            }
        }
    }
}
