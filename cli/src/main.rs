//! The command `nixops4-resources`.

use std::process::ExitCode;

fn main() -> ExitCode {
    nixops4_resources::main()
}
