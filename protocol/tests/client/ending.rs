//! Processes that end, hang or close their pipes in the middle.

use std::ffi::OsString;
use std::time::{Duration, Instant};

use nixops4_protocol::Object;
use nixops4_protocol::client::{ClientError, Provider};
use serde_json::json;

use super::stderr::Heard;
use super::{CREATED, LIMIT, create, read, shell, start, wait_until};

/// For those that hang.
const SHORT: Duration = Duration::from_millis(300);

/// Whether a process runs; one that nobody has waited for yet doesn't.
fn runs(pid: &str) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| {
        let state = stat.rsplit(')').next().unwrap_or_default();
        !state.trim_start().starts_with(['Z', 'X'])
    })
}

/// The request is larger than a pipe, so that writing it fails.
async fn large_create(provider: &mut Provider) -> Result<Object, ClientError> {
    let text = "x".repeat(1 << 20);
    let inputs = json!({ "text": text }).as_object().unwrap().clone();
    provider.create("file", inputs, true, LIMIT).await
}

#[tokio::test]
async fn stdin_that_is_closed_early_does_not_hide_the_answer() {
    let mut provider = start(r#"exec <&-; echo '{"errorResponse":{"message":"no"}}'; sleep 0.2"#);
    let error = large_create(&mut provider).await.unwrap_err();
    assert!(
        matches!(&error, ClientError::Refused(message) if message == "no"),
        "{error}"
    );
    let again = create(&mut provider, LIMIT).await.unwrap_err();
    assert!(matches!(again, ClientError::Spent), "{again}");
    provider.close(LIMIT).await.unwrap();
}

#[tokio::test]
async fn stdin_that_is_closed_early_without_an_answer_is_told() {
    let mut provider = start("exec <&-; echo 'no thanks' >&2; exit 4");
    let error = large_create(&mut provider).await.unwrap_err().to_string();
    assert!(
        error.contains("ended (exit status: 4), not taking the request ("),
        "{error}"
    );
    assert!(error.ends_with("it last said:\n  no thanks"), "{error}");
}

#[tokio::test]
async fn an_answer_before_the_request_was_read_is_taken() {
    // It never reads, and what it answers is more than a pipe holds.
    let mut provider = start(
        r#"
        printf '{"createResourceResponse":{"outputProperties":{"text":"'
        head -c 1000000 /dev/zero | tr '\0' x
        echo '"}}}'
        exec sleep 60
        "#,
    );
    match large_create(&mut provider).await {
        Ok(outputs) => assert_eq!(outputs["text"].as_str().unwrap().len(), 1_000_000),
        // Seen before the request was sent.
        Err(error) => assert!(matches!(error, ClientError::Unasked), "{error}"),
    }
    let again = create(&mut provider, LIMIT).await.unwrap_err();
    assert!(matches!(again, ClientError::Spent), "{again}");
    provider.stop().await;
}

#[tokio::test]
async fn a_provider_that_hangs_is_stopped() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("pid");
    let mut command = shell(r#"echo "asking the oracle" >&2; echo $$ > "$PID"; exec sleep 600"#);
    command.env = vec![(OsString::from("PID"), file.clone().into_os_string())];
    let mut provider = Provider::spawn(&command, "app", Heard::default().sink()).unwrap();
    wait_until("the process", || read(&file).ends_with('\n')).await;
    let pid = read(&file).trim().to_owned();
    assert!(runs(&pid));
    let begun = Instant::now();
    let error = create(&mut provider, SHORT).await.unwrap_err();
    assert!(begun.elapsed() < Duration::from_secs(10));
    assert_eq!(
        error.to_string(),
        "the provider gave no answer within 300ms and was stopped; it last said:\n  \
         asking the oracle"
    );
    assert!(!runs(&pid), "process {pid} still runs");
    let again = create(&mut provider, LIMIT).await.unwrap_err();
    assert!(matches!(again, ClientError::Spent), "{again}");
}

#[tokio::test]
async fn dropping_the_provider_stops_it() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("pid");
    let mut command = shell(r#"echo $$ > "$PID"; exec sleep 600"#);
    command.env = vec![(OsString::from("PID"), file.clone().into_os_string())];
    let provider = Provider::spawn(&command, "app", Heard::default().sink()).unwrap();
    wait_until("the process", || read(&file).ends_with('\n')).await;
    let pid = read(&file).trim().to_owned();
    drop(provider);
    wait_until("the end of the process", || !runs(&pid)).await;
}

#[tokio::test]
async fn a_request_that_was_given_up_closes_the_input() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("done");
    // It finishes its step, answers, and then sees the end of its input.
    let mut command = shell(&format!(
        r#"read -r line; sleep 0.3; {CREATED}; read -r line || echo finished > "$DONE""#
    ));
    command.env = vec![(OsString::from("DONE"), file.clone().into_os_string())];
    let mut provider = Provider::spawn(&command, "app", Heard::default().sink()).unwrap();
    let given_up = tokio::time::timeout(Duration::from_millis(50), create(&mut provider, LIMIT));
    assert!(given_up.await.is_err());
    let error = create(&mut provider, LIMIT).await.unwrap_err();
    assert!(matches!(error, ClientError::Spent), "{error}");
    assert!(provider.close(LIMIT).await.unwrap().success());
    assert_eq!(read(&file), "finished\n");
}

#[tokio::test]
async fn closing_waits_for_the_end_but_not_for_ever() {
    let mut patient = start(&format!("read -r line; {CREATED}; cat; sleep 0.3; exit 5"));
    create(&mut patient, LIMIT).await.unwrap();
    assert_eq!(patient.close(LIMIT).await.unwrap().code(), Some(5));

    let mut lingering = start(&format!(
        "read -r line; echo 'one more thing' >&2; {CREATED}; exec sleep 600"
    ));
    create(&mut lingering, LIMIT).await.unwrap();
    let error = lingering.close(SHORT).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "the provider did not end within 300ms of the end of its input and was stopped; it last \
         said:\n  one more thing"
    );
}

#[tokio::test]
async fn a_closed_stdout_is_not_waited_for() {
    let mut provider = start("read -r line; exec >&-; exec sleep 600");
    let begun = Instant::now();
    let error = create(&mut provider, LIMIT).await.unwrap_err();
    assert!(begun.elapsed() < Duration::from_secs(10));
    assert_eq!(
        error.to_string(),
        "the provider closed its stdout without an answer"
    );
}

#[tokio::test]
async fn whoever_else_holds_stderr_does_not_delay_the_error() {
    let mut provider = start("read -r line; sleep 6 >&- & echo word >&2; exit 2");
    let begun = Instant::now();
    let error = create(&mut provider, LIMIT).await.unwrap_err();
    assert!(begun.elapsed() < Duration::from_secs(5));
    assert!(
        error
            .to_string()
            .ends_with("(exit status: 2) without an answer; it last said:\n  word")
    );
}
