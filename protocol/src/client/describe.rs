//! What a provider says of itself.

use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;
use tokio::io::AsyncReadExt as _;
use tokio::time::timeout;

use super::{ClientError, ProviderCommand};
use crate::codec::LineError;
use crate::describe::Description;

/// The most that a description may take, in bytes.
const MAX_DESCRIPTION: usize = 16 << 20;

/// Runs `EXECUTABLE ARGS describe` and reads what it says of itself.
///
/// `None` if it doesn't know the question, as a provider of v0 alone: it ends
/// with a status other than 0, or without having written a description. Fails if
/// it can't be started, is killed, doesn't end within `limit`, or writes a
/// description that can't be read.
pub async fn describe(
    command: &ProviderCommand,
    limit: Duration,
) -> Result<Option<Description>, ClientError> {
    let mut process = command.command();
    process
        .arg("describe")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    let mut child = command.spawn(process)?;
    let mut said = Vec::new();
    let reading = async {
        if let Some(stdout) = child.stdout.take() {
            let most = MAX_DESCRIPTION as u64 + 1;
            stdout.take(most).read_to_end(&mut said).await?;
        }
        if said.len() > MAX_DESCRIPTION {
            // It writes to nobody now; its status says nothing.
            child.start_kill()?;
        }
        child.wait().await
    };
    let status = match timeout(limit, reading).await {
        Ok(Ok(status)) => status,
        Ok(Err(error)) => {
            return Err(ClientError::Gone {
                how: format!("was lost ({error})"),
                stderr: Vec::new(),
            });
        }
        Err(_) => {
            // Fails only if it is gone already.
            let _ = child.kill().await;
            return Err(ClientError::TimedOut {
                limit,
                stderr: Vec::new(),
            });
        }
    };
    if said.len() > MAX_DESCRIPTION {
        return Err(ClientError::Line(LineError::TooLong {
            limit: MAX_DESCRIPTION,
        }));
    }
    match status.code() {
        Some(0) => description(&said),
        Some(_) => Ok(None),
        None => Err(ClientError::Gone {
            how: format!("ended ({status})"),
            stderr: Vec::new(),
        }),
    }
}

/// Anything without `kinds` is no description, but one that can't be read must
/// not pass for a provider without any.
fn description(said: &[u8]) -> Result<Option<Description>, ClientError> {
    if said.trim_ascii().is_empty() {
        return Ok(None);
    }
    match serde_json::from_slice::<Value>(said) {
        Ok(value) if value.get("kinds").is_some() => serde_json::from_value(value)
            .map(Some)
            .map_err(ClientError::Description),
        Err(error) if error.is_eof() => Err(ClientError::Description(error)),
        // JSON of something else, or words for people such as a usage message.
        _ => Ok(None),
    }
}
