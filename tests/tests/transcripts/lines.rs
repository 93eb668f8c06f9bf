//! Whatever can come down a pipe, line by line.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::time::{Duration, Instant};

use nixops4_resources_tests::provider::{Provider, oneshot};
use nixops4_resources_tests::sandbox::Sandbox;
use nixops4_resources_tests::{binaries, messages};
use serde_json::json;

use super::{PROVIDERS, SECRETS, Site, assert_refuses_type, harmless};

#[test]
fn nothing_comes_of_nothing() {
    let sandbox = Sandbox::new();
    for provider in PROVIDERS {
        let silent = oneshot(sandbox.command(binaries::path(provider)), [""; 0]);
        assert!(silent.status.success(), "{provider}: {}", silent.status);
        assert_eq!(silent.stdout, b"", "{provider}");
        assert_eq!(silent.stderr, b"", "{provider}");
    }
}

#[test]
fn every_line_is_answered() {
    let sandbox = Sandbox::new();
    let deep = "[".repeat(100_000);
    let request =
        r#"{"createResourceRequest":{"type":"x","inputProperties":{},"isStateful":true}}"#;
    let extra = request.replace("true", "true,\"more\":1");
    let twice = request.replace("true", "true,\"isStateful\":true");
    let beside = request
        .replace("}}}", "}},\"more\":1}")
        .replace("true}}", "true},\"more\":1}");
    let listed = r#"{"createResourceRequest":["x",{},true]}"#;
    let missing = request.replace(",\"isStateful\":true", "");
    let nulled = request.replace("true", "null");
    let text = request.replace("{},", "\"\",");
    let lines: &[(&[u8], &str)] = &[
        (b"", "not a request"),
        (b"   ", "not a request"),
        (b"{", "not a request"),
        (b"null", "not a request"),
        (b"[]", "not a request"),
        (b"1", "not a request"),
        (b"\"createResourceRequest\"", "not a request"),
        (b"{}", "not a request"),
        (b"\0", "not a request"),
        (b"\xff\xfe", "not UTF-8"),
        (b"{\"\xc3\x28\":1}", "not UTF-8"),
        (b"\xef\xbb\xbf{}", "not a request"),
        (b"hello?", "not a request"),
        (deep.as_bytes(), "not a request"),
        (b"{\"deleteResourceRequest\":{}}", "`deleteResourceRequest`"),
        (
            b"{\"createResourceResponse\":{}}",
            "`createResourceResponse`",
        ),
        (b"{\"createResourceRequest\":{}}", "missing field `type`"),
        (b"{\"createResourceRequest\":null}", "not a request"),
        (extra.as_bytes(), "unknown field `more`"),
        (twice.as_bytes(), "duplicate field `isStateful`"),
        (beside.as_bytes(), "not a request"),
        (listed.as_bytes(), "not a request"),
        (missing.as_bytes(), "missing field `isStateful`"),
        (nulled.as_bytes(), "not a request"),
        (text.as_bytes(), "not a request"),
    ];
    for provider in PROVIDERS {
        let mut provider = Provider::spawn(sandbox.command(binaries::path(provider)));
        for (line, words) in lines {
            let refusal = messages::refusal(&provider.request(line));
            let line = String::from_utf8_lossy(&line[..line.len().min(80)]);
            assert!(refusal.contains(words), "{line}: {refusal}");
            assert!(refusal.len() < 1000, "{line}: {refusal}");
            // And on it goes.
            assert_refuses_type(&provider.request(harmless()));
        }
        // White space around a message is JSON's own, and a line can end twice.
        assert_refuses_type(&provider.request(format!("  {}\t\r", harmless())));
        // Half a line, then the rest; then a last one without its end.
        let (half, rest) = (harmless()[..20].to_owned(), harmless()[20..].to_owned());
        provider.send_bytes(half);
        provider
            .receive(Duration::from_millis(50))
            .expect_err("it is not complete");
        assert_refuses_type(&provider.request(rest));
        provider.send_bytes(harmless());
        provider.close_stdin();
        assert_refuses_type(&provider.answer());
        let output = provider.finish();
        assert!(output.status.success());
        let answers = output.stdout.split(|byte| *byte == b'\n').count() - 1;
        assert_eq!(answers, lines.len() * 2 + 3);
    }
}

#[test]
fn ten_mebibytes() {
    let site = Site::new();
    let large = "x".repeat(10 << 20);
    let mut provider = Provider::spawn(site.command());
    for (name, words) in [
        ("name", "10485760 bytes"),
        ("owner", "can't be an owner"),
        ("nonsense", "unknown field"),
        ("password", "never as its value"),
    ] {
        let mut inputs = site.role("large");
        inputs.insert(name.to_owned(), json!(large));
        let request = messages::create("postgresql_role", &inputs, true);
        let begun = Instant::now();
        let error = messages::answer(&request, &provider.request(request.to_string()));
        let error = error.expect_err("it is refused");
        assert!(error.starts_with(&format!("/{name}: ")), "{name}");
        assert!(
            error.len() < 2000,
            "{name}: an error of {} bytes",
            error.len()
        );
        assert!(error.contains(words), "{error}");
        assert!(begun.elapsed() < Duration::from_secs(30));
    }
    let mut inputs = site.role("large");
    inputs.insert(large.clone(), json!(1));
    let request = messages::create("postgresql_role", &inputs, true);
    let error = messages::answer(&request, &provider.request(request.to_string()));
    let error = error.expect_err("nobody knows it");
    assert!(error.len() < 2000, "an error of {} bytes", error.len());
    let request = messages::create("postgresql_role", &site.role("large"), true);
    messages::answer(&request, &provider.request(request.to_string())).expect("it goes on");
    assert!(site.has_role("large"));
    site.drop_role("large");
}

#[test]
fn a_line_over_the_limit() {
    let sandbox = Sandbox::new();
    let mut provider = Provider::spawn(sandbox.command(binaries::path(SECRETS)));
    let refusal = messages::refusal(&provider.request("x".repeat((64 << 20) + 1)));
    assert!(refusal.contains("67108864 bytes"), "{refusal}");
    assert_refuses_type(&provider.request(harmless()));
    assert!(provider.finish().status.success());
}

#[test]
fn a_thousand_requests_on_one_process() {
    let site = Site::new();
    let mut provider = Provider::spawn(site.command());
    let connections = || {
        let log = site.server.log();
        log.matches("application_name=nixops4-resources").count()
    };
    site.server
        .sql("ALTER SYSTEM SET log_connections = on; SELECT pg_reload_conf()");
    let create = messages::create("postgresql_role", &site.role("thousand"), true);
    let before = connections();
    let requests: Vec<_> = (0..1000)
        .map(|number| match number % 2 {
            0 => create.clone(),
            _ => messages::read("postgresql_role", &site.role(&format!("n{number}")), None),
        })
        .collect();
    for request in &requests {
        provider.send(request.to_string());
    }
    for (number, request) in requests.iter().enumerate() {
        let answer = messages::answer(request, &provider.answer()).expect("done");
        match number % 2 {
            0 => assert_eq!(answer["outputProperties"]["name"], "thousand"),
            // In the order in which they were sent.
            _ => assert_eq!(answer["identity"]["role"], format!("n{number}")),
        }
    }
    assert_eq!(connections(), before + 1, "it connected again");
    let resident = resident_bytes(provider.id());
    assert!(resident < 100 << 20, "it has grown to {resident} bytes");
    assert!(provider.finish().status.success());
    site.server
        .sql("ALTER SYSTEM RESET log_connections; SELECT pg_reload_conf()");
    site.drop_role("thousand");
}

fn resident_bytes(process: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).expect("it runs");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kibibytes = line.expect("a size").trim().trim_end_matches(" kB");
    kibibytes.parse::<u64>().expect("a number") << 10
}

#[test]
fn whatever_else_writes_to_stdout_disturbs_no_answer() {
    let sandbox = Sandbox::new();
    for name in PROVIDERS {
        let mut provider = Provider::spawn(sandbox.command(binaries::path(name)));
        // It has set stdout aside once it answers.
        assert_refuses_type(&provider.request(harmless()));
        // What a library that prints would do: write to descriptor 1.
        let mut stdout = OpenOptions::new()
            .write(true)
            .open(format!("/proc/{}/fd/1", provider.id()))
            .expect("a descriptor");
        stdout
            .write_all(b"I am a library\n")
            .expect("somebody reads");
        drop(stdout);
        assert_refuses_type(&provider.request(harmless()));
        let output = provider.finish();
        assert_eq!(output.stderr, b"I am a library\n", "{name}");
        assert!(!output.stdout.starts_with(b"I am"));
    }
}
