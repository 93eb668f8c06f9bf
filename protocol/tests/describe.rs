//! What a provider says of itself, and what those do that don't know the question.

use std::time::{Duration, Instant};

use nixops4_protocol::client::{ClientError, ProviderCommand, describe};
use nixops4_protocol::describe::{Description, StateNeed};
use nixops4_protocol::message::RequestName;
use serde_json::json;

const LIMIT: Duration = Duration::from_secs(30);

async fn run(script: &str, limit: Duration) -> Result<Option<Description>, ClientError> {
    let mut command = ProviderCommand::new("/bin/sh");
    // What follows the script is its $0, then the arguments.
    command.args = ["-c", script, "provider", "--flag"]
        .map(str::to_owned)
        .to_vec();
    describe(&command, limit).await
}

fn sample() -> serde_json::Value {
    json!({
        "name": "postgresql",
        "version": "0.1.0",
        "description": "Roles and databases.",
        "executable": "nixops4-resources-postgresql",
        "kinds": { "postgresql_role": {
            "description": "A role.",
            "state": "optional",
            "requests": ["createResourceRequest", "nixops4-resources/planResourceRequest"],
            "inputs": { "type": "object" },
            "outputs": { "type": "object" },
        }},
    })
}

#[tokio::test]
async fn a_description_is_read() {
    // The question is the last argument, and there is nothing to read.
    let script = format!(
        r#"[ "$*" = "--flag describe" ] || exit 1; [ -z "$(cat)" ] || exit 1; echo talk >&2; echo '{}'"#,
        serde_json::to_string_pretty(&sample()).unwrap()
    );
    let description = run(&script, LIMIT).await.unwrap().unwrap();
    assert_eq!(json!(description), sample());
    let kind = &description.kinds["postgresql_role"];
    assert_eq!(kind.state, StateNeed::Optional);
    assert!(kind.offers(RequestName::Plan) && kind.offers(RequestName::Create));
    assert!(!kind.offers(RequestName::Destroy));
}

#[tokio::test]
async fn a_provider_of_v0_alone_has_none() {
    for script in [
        "exit 0",
        "echo",
        "while read -r line; do echo '{}'; done",
        "exit 1",
        "echo 'error: unrecognized subcommand' >&2; exit 2",
        "echo '{\"errorResponse\":{\"message\":\"m\"}}'; exit 1",
        "echo 'Usage: provider'",
        "echo '{\"errorResponse\":{\"message\":\"m\"}}'",
        "echo '[]'",
    ] {
        assert_eq!(run(script, LIMIT).await.unwrap(), None, "{script}");
    }
}

#[tokio::test]
async fn a_broken_description_does_not_pass_for_a_v0_provider() {
    let mut newer = sample();
    newer["kinds"]["postgresql_role"]["state"] = json!("sometimes");
    let text = sample().to_string();
    for (said, why) in [
        (r#"{"kinds":{}}"#, "missing field"),
        (r#"{"kinds":null,"name":"x"}"#, "invalid type: null"),
        (&newer.to_string(), "unknown variant `sometimes`"),
        (&text[..text.len() - 3], "EOF"),
    ] {
        let error = run(&format!("printf %s '{said}'"), LIMIT)
            .await
            .unwrap_err();
        assert!(matches!(error, ClientError::Description(_)), "{error}");
        let error = error.to_string();
        assert!(
            error.contains("description of itself") && error.contains(why),
            "{error}"
        );
    }
}

#[tokio::test]
async fn a_request_that_this_program_does_not_know_is_an_error_that_names_it() {
    let mut newer = sample();
    newer["kinds"]["postgresql_role"]["requests"] = json!(["nixops4-resources/renameRequest"]);
    let error = run(&format!("echo '{newer}'"), LIMIT).await.unwrap_err();
    assert!(
        error
            .to_string()
            .contains("nixops4-resources/renameRequest"),
        "{error}"
    );
}

#[tokio::test]
async fn one_that_is_killed_is_an_error() {
    let error = run("kill -9 $$", LIMIT).await.unwrap_err().to_string();
    assert!(error.contains("signal: 9"), "{error}");
}

#[tokio::test]
async fn one_that_hangs_is_stopped() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("pid");
    let script = format!("echo $$ > '{}'; exec sleep 600", file.display());
    let begun = Instant::now();
    let error = run(&script, Duration::from_secs(2)).await.unwrap_err();
    assert!(begun.elapsed() < Duration::from_secs(10));
    assert!(matches!(error, ClientError::TimedOut { .. }), "{error}");
    let pid = std::fs::read_to_string(file).unwrap();
    assert!(!std::path::Path::new(&format!("/proc/{}", pid.trim())).exists());
}

#[tokio::test]
async fn one_that_never_stops_talking_is_cut_off() {
    for script in ["exec cat /dev/zero", "exec yes"] {
        let error = run(script, LIMIT).await.unwrap_err();
        assert!(error.to_string().contains("over 16777216 bytes"), "{error}");
    }
}
