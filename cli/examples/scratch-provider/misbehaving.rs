//! What a test has told the provider to do badly.

use std::fs;
use std::io;
use std::path::Path;
use std::time::Duration;

use nixops4_protocol::Object;
use nixops4_protocol::message::Response;
use serde_json::Value;

use super::{log, say, text};

/// Does what the inputs say of a request of this name; fails if they say so.
pub(super) fn misbehave(when: &str, inputs: &Object) -> Result<(), String> {
    let fails = inputs.get("failOn").and_then(Value::as_array);
    if fails.is_some_and(|fails| fails.iter().any(|fail| fail == when)) {
        return Err(format!("told to fail on {when}\ntell it otherwise"));
    }
    if when == "plan" {
        die(text(inputs, "dieOnce"), 1)?;
        wait(text(inputs, "waitFor"));
    }
    if matches!(when, "create" | "update" | "destroy") {
        let times = inputs.get("dieTimes").and_then(Value::as_u64);
        die(text(inputs, "dieWorking"), times.unwrap_or(1))?;
    }
    if when == "read"
        && let Some(milliseconds) = inputs.get("sleepReading").and_then(Value::as_u64)
    {
        log(inputs, "read-began");
        std::thread::sleep(Duration::from_millis(milliseconds));
    }
    if matches!(when, "plan" | "read") {
        return Ok(());
    }
    match text(inputs, "act") {
        "hang" => std::thread::sleep(Duration::from_hours(1)),
        "garbage" => say(io::stdout(), "hello, I am no JSON"),
        "exit" => {
            say(io::stderr(), "the last words of the provider");
            std::process::exit(3);
        }
        "chatter" => say(io::stderr(), "doing \u{1b}[2Jthings"),
        _ => {}
    }
    if let Some(milliseconds) = inputs.get("sleep").and_then(Value::as_u64) {
        std::thread::sleep(Duration::from_millis(milliseconds));
    }
    Ok(())
}

/// The answer, or the one that `SCRATCH_ANSWER` has in its place.
pub(super) fn another(answer: Response) -> Response {
    match std::env::var("SCRATCH_ANSWER") {
        Ok(other) => serde_json::from_str(&other).unwrap(),
        Err(_) => answer,
    }
}

/// Waits for a file, if nobody has before.
fn wait(file: &str) {
    let file = Path::new(file);
    let reached = file.with_added_extension("reached");
    if file.is_absolute() && fs::File::create_new(reached).is_ok() {
        while !file.exists() {
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

/// Ends as if it were killed, so many times: a file keeps count.
pub(super) fn die(count: &str, times: u64) -> Result<(), String> {
    let count = Path::new(count);
    if !count.is_absolute() {
        return Ok(());
    }
    let before = fs::read(count).unwrap_or_default();
    if (before.len() as u64) < times {
        let more = [&before[..], b"x"].concat();
        fs::write(count, more).map_err(|error| error.to_string())?;
        std::process::abort();
    }
    Ok(())
}
