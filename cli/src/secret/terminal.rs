//! Asking a person, at a terminal.

use std::fs::File;
use std::io::{self, BufRead as _, IsTerminal as _, Read as _};
use std::os::fd::AsFd as _;

use nixops4_secrets_store::SecretString;
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};
use zeroize::Zeroizing;

use crate::failure::Failure;
use crate::ui::Ui;

/// Ctrl-C, while the terminal does not turn it into a signal.
const INTERRUPT: u8 = 3;

/// Whether somebody says yes. Fails where there is nobody to ask.
pub(super) fn confirmed(ui: &Ui, question: &str) -> Result<bool, Failure> {
    if !io::stdin().is_terminal() {
        return Err(Failure::SecretRefused(
            "there is nobody to ask, as stdin is not a terminal; say --yes to go on without a \
             question"
                .to_owned(),
        ));
    }
    ui.print(&format!("{question} [y/N] "));
    let mut answer = String::new();
    io::stdin()
        .lock()
        .read_line(&mut answer)
        .map_err(|error| Failure::Io("cannot read the answer".to_owned(), error))?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}

/// Reads a line that the terminal does not show.
pub(super) fn hidden(ui: &Ui, prompt: &str) -> Result<SecretString, Failure> {
    ui.print(prompt);
    let line = {
        let _hidden = Hidden::new()
            .map_err(|error| Failure::Io("cannot hide what is typed".to_owned(), error))?;
        // A terminal gives one line at a time, of up to 4,095 bytes.
        let mut line = Zeroizing::new(vec![0; 4096]);
        let length = unbuffered_stdin()?
            .read(&mut line)
            .map_err(|error| Failure::Io("cannot read the value".to_owned(), error))?;
        line.truncate(length);
        line
    };
    ui.print("\n");
    if line.contains(&INTERRUPT) {
        return Err(Failure::Interrupted);
    }
    let text = std::str::from_utf8(&line)
        .map_err(|_| Failure::SecretRefused("the value is not text in UTF-8".to_owned()))?;
    let text = text.strip_suffix('\n').unwrap_or(text);
    if text.is_empty() {
        return Err(Failure::SecretRefused("the value is empty".to_owned()));
    }
    Ok(SecretString::from(text))
}

/// Stdin without the buffer of the standard library, which would keep a copy.
pub(super) fn unbuffered_stdin() -> Result<File, Failure> {
    let stdin = io::stdin().as_fd().try_clone_to_owned();
    stdin
        .map(File::from)
        .map_err(|error| Failure::Io("cannot read stdin".to_owned(), error))
}

/// While it lives, the terminal shows nothing of what is typed, and sends no
/// signals: one would leave it like that.
struct Hidden(Termios);

impl Hidden {
    fn new() -> io::Result<Self> {
        let before = tcgetattr(io::stdin())?;
        let mut hidden = before.clone();
        hidden
            .local_modes
            .remove(LocalModes::ECHO | LocalModes::ISIG);
        tcsetattr(io::stdin(), OptionalActions::Flush, &hidden)?;
        Ok(Self(before))
    }
}

impl Drop for Hidden {
    fn drop(&mut self) {
        // There is nobody to tell, and nothing else to do.
        let _ = tcsetattr(io::stdin(), OptionalActions::Flush, &self.0);
    }
}
