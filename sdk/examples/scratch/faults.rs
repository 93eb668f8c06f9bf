//! Faults on request: the file `faults.json` beside the notes says what goes
//! wrong, for the tests of everything around a kind.

use std::path::Path;
use std::time::Duration;

use nixops4_provider_sdk::{Error, ExposeSecret as _, Result, Retry, SecretString};
use serde::{Deserialize, Serialize};

#[derive(Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
struct Faults {
    /// How many times yet the server is busy when it is looked at.
    busy: u32,
    /// How long each step takes, in milliseconds.
    slow_ms: u64,
    /// What looking does beside.
    looking: Option<Misdeed>,
}

#[derive(Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
enum Misdeed {
    /// It panics, with the secret in its message.
    Panics,
    /// It fails, with the secret in its message.
    Leaks,
    /// It logs the secret.
    Logs,
    /// It prints to stdout.
    Chatters,
}

fn read(folder: &Path) -> Result<Faults> {
    match std::fs::read(folder.join("faults.json")) {
        Ok(text) => {
            serde_json::from_slice(&text).map_err(|error| Error::new("bad faults").because(error))
        }
        Err(_) => Ok(Faults::default()),
    }
}

/// Before the folder is looked at.
pub(crate) fn looking(folder: &Path, secret: Option<&SecretString>) -> Result<()> {
    let mut faults = read(folder)?;
    let secret = secret.map(|secret| secret.expose_secret().to_owned());
    match faults.looking {
        Some(Misdeed::Panics) => panic!("a panic that holds {secret:?}"),
        Some(Misdeed::Leaks) => {
            return Err(Error::new("refused").because(format!("it holds {secret:?}")));
        }
        Some(Misdeed::Logs) => tracing::warn!(secret, "it holds {secret:?}"),
        Some(Misdeed::Chatters) => chatter(),
        None => {}
    }
    if faults.busy > 0 {
        faults.busy -= 1;
        let text = serde_json::to_vec(&faults).unwrap_or_default();
        std::fs::write(folder.join("faults.json"), text)
            .map_err(|error| Error::new("unable to count down").because(error))?;
        return Err(Error::new("the folder is busy").retry(Retry::UntilDeadline));
    }
    Ok(())
}

#[expect(
    clippy::print_stdout,
    reason = "that it can't be taken for an answer is tested"
)]
fn chatter() {
    println!("{{\"errorResponse\":{{\"message\":\"chatter\"}}}}");
}

/// While a step is done. The file `stepping` says that one was begun.
pub(crate) async fn stepping(folder: &Path) -> Result<()> {
    let pause = Duration::from_millis(read(folder)?.slow_ms);
    if !pause.is_zero() {
        std::fs::write(folder.join("stepping"), "")
            .map_err(|error| Error::new("unable to say so").because(error))?;
        tokio::time::sleep(pause).await;
    }
    Ok(())
}
