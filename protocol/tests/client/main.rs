//! The client against real processes: small shell scripts that behave well, or in
//! every way badly.

use std::ffi::OsString;
use std::path::Path;
use std::time::{Duration, Instant};

use nixops4_protocol::Object;
use nixops4_protocol::client::{ClientError, Provider, ProviderCommand};
use nixops4_protocol::message::{
    DestroyResourceRequest, ExtantResource, PlanResourceRequest, Request, Response,
    StateResourceEvent,
};
use serde_json::json;

mod ending;
mod stderr;

use stderr::Heard;

/// More than any of these scripts needs when it behaves.
const LIMIT: Duration = Duration::from_secs(30);

async fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < LIMIT, "waited too long for {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

fn shell(script: &str) -> ProviderCommand {
    let mut command = ProviderCommand::new("/bin/sh");
    command.args = vec!["-c".to_owned(), script.to_owned()];
    command
}

fn start(script: &str) -> Provider {
    Provider::spawn(&shell(script), "app", Heard::default().sink()).unwrap()
}

async fn create(provider: &mut Provider, limit: Duration) -> Result<Object, ClientError> {
    provider.create("file", Object::new(), true, limit).await
}

fn resource() -> ExtantResource {
    ExtantResource {
        r#type: "file".to_owned(),
        input_properties: Object::new(),
        output_properties: None,
    }
}

fn destroy() -> Request {
    Request::Destroy(DestroyResourceRequest {
        resource: resource(),
    })
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_default()
}

const CREATED: &str = r#"echo '{"createResourceResponse":{"outputProperties":{"id":1}}}'"#;

#[tokio::test]
async fn answers_one_request_after_another_and_ends_with_its_input() {
    let mut provider = start(
        r#"
        n=0
        while read -r line; do
            n=$((n + 1))
            echo "{\"createResourceResponse\":{\"outputProperties\":{\"n\":$n}}}"
        done
        exit 7
        "#,
    );
    for n in 1..=100 {
        let outputs = create(&mut provider, LIMIT).await.unwrap();
        assert_eq!(json!(outputs), json!({ "n": n }));
    }
    assert_eq!(provider.close(LIMIT).await.unwrap().code(), Some(7));
}

#[tokio::test]
async fn the_request_arrives_as_one_line_to_the_letter() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("request");
    let mut command = shell(&format!(
        "read -r line; printf '%s\\n' \"$line\" > \"$SEEN\"; {CREATED}"
    ));
    command.env = vec![(OsString::from("SEEN"), file.clone().into_os_string())];
    let mut provider = Provider::spawn(&command, "app", Heard::default().sink()).unwrap();
    let inputs = json!({ "owner": null, "text": "a\nb" });
    let inputs = inputs.as_object().unwrap().clone();
    provider.create("file", inputs, false, LIMIT).await.unwrap();
    provider.close(LIMIT).await.unwrap();
    assert_eq!(
        read(&file),
        "{\"createResourceRequest\":{\"type\":\"file\",\"inputProperties\":\
         {\"owner\":null,\"text\":\"a\\nb\"},\"isStateful\":false}}\n"
    );
}

#[tokio::test]
async fn each_kind_of_request_takes_its_own_answer() {
    let mut provider = start(
        r#"
        while read -r line; do
            case "$line" in
                '{"updateResourceRequest"'*)
                    echo '{"updateResourceResponse":{"outputProperties":{"id":2}}}' ;;
                '{"stateResourceReadRequest"'*)
                    echo '{"stateResourceReadResponse":{"state":{"_type":"nixopsState"}}}' ;;
                '{"stateResourceEvent"'*) echo '{"stateResourceEventResponse":{}}' ;;
                '{"nixops4-resources/planResourceRequest"'*)
                    echo '{"nixops4-resources/planResourceResponse":{"identity":"a",
                          "action":"none","changes":[],"outputProperties":{},
                          "unknownOutputs":[]}}' | tr -d '\n'
                    echo ;;
                *) echo '{"destroyResourceResponse":{}}' ;;
            esac
        done
        "#,
    );
    let outputs = provider.update(resource(), Object::new(), LIMIT).await;
    assert_eq!(json!(outputs.unwrap()), json!({ "id": 2 }));
    let state = provider.state_read(resource(), LIMIT).await.unwrap();
    assert_eq!(json!(state), json!({ "_type": "nixopsState" }));
    let event = StateResourceEvent {
        resource: resource(),
        event: "create".to_owned(),
        nixops_version: "0.1.0".to_owned(),
        patch: json_patch::Patch::default(),
    };
    provider.state_event(event, LIMIT).await.unwrap();
    let plan = PlanResourceRequest {
        r#type: "file".to_owned(),
        input_properties: Object::new(),
        unknown_inputs: Vec::new(),
        resource: None,
    };
    let planned = provider.plan(plan, LIMIT).await.unwrap();
    assert_eq!(planned.identity, json!("a"));
    let destroyed = provider.request(&destroy(), LIMIT).await.unwrap();
    assert!(matches!(destroyed, Response::Destroy(_)));
    assert!(provider.close(LIMIT).await.unwrap().success());
}

#[tokio::test]
async fn an_answer_of_another_kind_is_refused_and_nothing_asked_after_it() {
    let mut provider = start(
        r#"while read -r line; do echo '{"updateResourceResponse":{"outputProperties":{}}}'; done"#,
    );
    let error = create(&mut provider, LIMIT).await.unwrap_err();
    assert!(matches!(
        error,
        ClientError::Mismatch {
            request: "createResourceRequest"
        }
    ));
    let again = create(&mut provider, LIMIT).await.unwrap_err();
    assert!(matches!(again, ClientError::Spent), "{again}");
    assert!(provider.close(LIMIT).await.unwrap().success());
}

#[tokio::test]
async fn goes_on_after_an_error_response() {
    let mut provider = start(&format!(
        r#"
        read -r line
        printf '%s\n' '{{"errorResponse":{{"message":"cannot create file:\n  no space"}}}}'
        read -r line
        {CREATED}
        "#
    ));
    let error = create(&mut provider, LIMIT).await.unwrap_err();
    assert!(matches!(error, ClientError::Refused(_)));
    assert_eq!(error.to_string(), "cannot create file:\n  no space");
    create(&mut provider, LIMIT).await.unwrap();
    assert!(provider.close(LIMIT).await.unwrap().success());
}

#[tokio::test]
async fn an_exit_without_an_answer_shows_status_and_last_words() {
    let mut provider = start(
        r#"
        read -r line
        for n in 1 2 3 4 5 6 7 8 9 10; do echo "word $n" >&2; done
        exit 3
        "#,
    );
    let error = create(&mut provider, LIMIT).await.unwrap_err();
    let ClientError::Gone { how, stderr } = &error else {
        panic!("{error:?}");
    };
    assert_eq!(how, "ended (exit status: 3)");
    assert_eq!(stderr.len(), 8);
    assert_eq!((&*stderr[0], &*stderr[7]), ("word 3", "word 10"));
    assert!(error.to_string().starts_with(
        "the provider ended (exit status: 3) without an answer; it last said:\n  word 3\n"
    ));
    // Neither of these may panic.
    let again = create(&mut provider, LIMIT).await.unwrap_err();
    assert!(matches!(again, ClientError::Spent), "{again}");
    assert_eq!(provider.close(LIMIT).await.unwrap().code(), Some(3));
}

#[tokio::test]
async fn a_silent_exit_is_told_without_last_words() {
    let mut provider = start("read -r line; kill -9 $$");
    let error = create(&mut provider, LIMIT).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "the provider ended (signal: 9 (SIGKILL)) without an answer"
    );
}

#[tokio::test]
async fn an_answer_counts_whatever_the_status_after_it() {
    let mut provider = start(&format!("read -r line; {CREATED}; exit 3"));
    let outputs = create(&mut provider, LIMIT).await.unwrap();
    assert_eq!(json!(outputs), json!({ "id": 1 }));
    assert_eq!(provider.close(LIMIT).await.unwrap().code(), Some(3));
}

#[tokio::test]
async fn an_answer_without_a_line_end_counts() {
    let mut provider =
        start(r#"read -r line; printf '{"createResourceResponse":{"outputProperties":{}}}'"#);
    create(&mut provider, LIMIT).await.unwrap();
}

#[tokio::test]
async fn garbage_on_stdout_is_not_taken_for_an_answer() {
    for garbage in [
        "echo hello",
        "echo",
        r#"echo '{"createResourceResponse":{"id":1}}'"#,
    ] {
        let mut provider = start(&format!("read -r line; {garbage}; {CREATED}; read -r line"));
        let error = create(&mut provider, LIMIT).await.unwrap_err();
        assert!(matches!(error, ClientError::Malformed(_)), "{error}");
        assert!(
            error.to_string().contains("logs belong on stderr"),
            "{error}"
        );
        // The real answer is not taken for that of the next request.
        let error = create(&mut provider, LIMIT).await.unwrap_err();
        assert!(matches!(error, ClientError::Spent), "{error}");
    }
}

#[tokio::test]
async fn two_answers_to_one_request_are_noticed_before_the_next() {
    let answer = r#"{"createResourceResponse":{"outputProperties":{}}}\n"#;
    let mut provider = start(&format!(
        "read -r line; printf '{answer}{answer}'; read -r line"
    ));
    create(&mut provider, LIMIT).await.unwrap();
    let error = create(&mut provider, LIMIT).await.unwrap_err();
    assert!(matches!(error, ClientError::Unasked), "{error}");
    let error = create(&mut provider, LIMIT).await.unwrap_err();
    assert!(matches!(error, ClientError::Spent), "{error}");
}

#[tokio::test]
async fn an_answer_that_is_not_utf8_is_an_error() {
    let mut provider = start(r"read -r line; printf '\377\376\n'; read -r line");
    let error = create(&mut provider, LIMIT).await.unwrap_err();
    assert!(error.to_string().contains("not UTF-8"), "{error}");
}

#[tokio::test]
async fn ten_mebibytes_there_and_back() {
    // Answers with the very inputs that it was sent.
    let mut provider = start(
        r#"
        sed -e 's/^{"createResourceRequest":{"type":"file","inputProperties":/{"createResourceResponse":{"outputProperties":/' \
            -e 's/,"isStateful":true}}$/}}/' -e q
        "#,
    );
    let text = "x\u{e4}\n\"".repeat(2 << 20);
    assert!(text.len() >= 10 << 20);
    let inputs = json!({ "text": text }).as_object().unwrap().clone();
    let outputs = provider.create("file", inputs.clone(), true, LIMIT).await;
    assert!(outputs.unwrap() == inputs);
    assert!(provider.close(LIMIT).await.unwrap().success());
}

#[tokio::test]
async fn an_answer_that_would_fill_the_memory() {
    // Of so many values each takes some 70 bytes, and two on the line.
    let mut provider = start(
        r#"
        read -r line
        printf '{"createResourceResponse":{"outputProperties":{"x":['
        yes 0, | head -n 2000000 | tr -d '\n'
        echo '0]}}}'
        "#,
    );
    let error = create(&mut provider, LIMIT).await.unwrap_err().to_string();
    assert!(error.contains("over 1048576 values"), "{error}");
    let error = create(&mut provider, LIMIT).await.unwrap_err();
    assert!(matches!(error, ClientError::Spent), "{error}");
    // As many as there are in a text are no values.
    let mut provider = start(
        r#"
        read -r line
        printf '{"createResourceResponse":{"outputProperties":{"x":"\\"'
        yes 0,[ | head -n 1000000 | tr -d '\n'
        echo '"}}}'
        "#,
    );
    let outputs = create(&mut provider, LIMIT).await.unwrap();
    assert_eq!(outputs["x"].as_str().map(str::len), Some(3_000_001));
}

#[tokio::test]
async fn a_missing_executable_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let missing = folder.path().join("nixops4-resources-missing");
    let not_executable = folder.path().join("plain");
    std::fs::write(&not_executable, "text").unwrap();
    for (executable, why) in [
        (missing, "No such file"),
        (not_executable, "Permission denied"),
        ("nixops4-resources-not-in-path".into(), "No such file"),
    ] {
        let command = ProviderCommand::new(&executable);
        let spawned = Provider::spawn(&command, "app", Heard::default().sink());
        let described = nixops4_protocol::client::describe(&command, LIMIT).await;
        for error in [spawned.err().unwrap(), described.unwrap_err()] {
            let error = error.to_string();
            assert!(error.contains(&executable.display().to_string()), "{error}");
            assert!(error.contains(why), "{error}");
            assert!(error.contains("check that it is installed"), "{error}");
        }
    }
}

#[test]
fn the_environment_is_not_shown() {
    let mut command = ProviderCommand::new("/bin/true");
    command.env = vec![("TOKEN".into(), "canary-3f81".into())];
    let shown = format!("{command:?}");
    assert!(
        shown.contains("TOKEN") && !shown.contains("canary"),
        "{shown}"
    );
}
