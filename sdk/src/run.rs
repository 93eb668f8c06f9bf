//! `main` of a provider: answers requests, or one of the arguments.

use std::io::Write as _;
use std::process::ExitCode;

use nixops4_protocol::describe::Description;

use crate::provider::Provider;
use crate::serve;

impl Provider {
    /// `main`: answers requests on stdin until its end, or one of the arguments
    /// `describe`, `--version` and `--help`.
    #[must_use]
    pub fn run(self) -> ExitCode {
        let arguments: Vec<_> = std::env::args_os().skip(1).collect();
        let arguments: Vec<_> = arguments.iter().map(|argument| argument.to_str()).collect();
        match arguments[..] {
            [] => serve::serve(&self),
            [Some("describe")] => self.print_description(),
            [Some("--version")] => {
                print(&format!("nixops4-resources-{} {}", self.name, self.version))
            }
            [Some("--help")] => print(&self.usage()),
            _ => complain(&self.usage(), 64),
        }
    }

    fn print_description(&self) -> ExitCode {
        if let Err(error) = self.check() {
            return complain(&error.to_string(), 70);
        }
        let description = Description {
            version: Some(self.version.to_owned()),
            ..self.describe()
        };
        match serde_json::to_string(&description) {
            Ok(description) => print(&description),
            Err(error) => complain(&format!("the description can't be written: {error}"), 70),
        }
    }

    fn usage(&self) -> String {
        format!(
            "usage: nixops4-resources-{} [describe | --version | --help]\n{}\nWithout an argument \
             it answers the NixOps4 resource provider protocol on stdin and stdout; to try it by \
             hand use `nixops4-resources call`.",
            self.name, self.description
        )
    }
}

fn print(text: &str) -> ExitCode {
    match writeln!(std::io::stdout(), "{text}") {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

fn complain(message: &str, code: u8) -> ExitCode {
    // With stderr gone there is nobody to tell.
    let _ = writeln!(std::io::stderr(), "{message}");
    ExitCode::from(code)
}
