//! What takes its time to make ends at the deadline and at Ctrl-C, and leaves nothing
//! half made.

use std::process::Command;
use std::time::{Duration, Instant};

use nixops4_resources_tests::messages;
use nixops4_resources_tests::provider::{Provider, TIMEOUT, oneshot};
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::Site;

const PASSWORD: &str = "secrets_password";
const OPENED: &str = "secret:opened";

/// A hash that takes minutes, and some keys of which hardly any takes less than a
/// second.
fn slow(password: &Value) -> Vec<(&'static str, Value)> {
    let hash = json!({"name": "slow/0", "secret": password, "algorithm": "bcrypt", "cost": 18});
    let key = |number| json!({"name": format!("slow/{number}"), "keyType": "rsa4096"});
    let mut all = vec![("secrets_password_hash", hash)];
    all.extend((1..4).map(|number| ("secrets_ssh_key", key(number))));
    let certificate = |number| {
        let mut certificate = key(number);
        certificate["commonName"] = json!("slow");
        certificate
    };
    all.extend((4..7).map(|number| ("secrets_tls_ca", certificate(number))));
    all
}

fn is_kept(it: &Site, name: &Value) -> bool {
    let name = name.as_str().expect("a name").parse().expect("a name");
    it.runtime.block_on(async {
        let found = it.open().await.lookup(&name).await;
        found.expect("the store is intact").is_some()
    })
}

/// Runs each, and gives how many of the kinds with keys were ended.
fn ended(run: impl Fn(&Site, Command, &Value) -> String, says: &str) {
    let it = Site::new();
    let password = it.make(PASSWORD, &json!({"name": "db"}));
    let mut keys = 0;
    for (kind, inputs) in slow(&password["secret"]) {
        let request = messages::create(kind, &Site::inputs(&inputs), true);
        let answer = run(&it, it.command(), &request);
        match messages::answer(&request, answer.trim_end()) {
            Err(error) => {
                assert!(error.contains(says), "{kind}: {error}");
                assert!(!is_kept(&it, &inputs["name"]), "{kind}");
                keys += usize::from(kind != "secrets_password_hash");
            }
            Ok(made) => {
                // A prime may be found soon.
                assert_ne!(kind, "secrets_password_hash", "{made}");
                assert!(is_kept(&it, &inputs["name"]), "{kind}");
            }
        }
    }
    assert!(keys > 0, "none of the keys took longer");
}

#[test]
fn it_ends_at_the_deadline() {
    ended(
        |_, mut command, request| {
            command.env("NIXOPS4_RESOURCES_TIMEOUT", "1");
            let output = oneshot(command, [request.to_string()]);
            String::from_utf8(output.stdout).expect("text")
        },
        "the time for this request is over",
    );
}

#[test]
fn it_ends_at_an_interruption() {
    ended(
        |_, mut command, request| {
            command.env("NIXOPS4_RESOURCES_LOG", "trace");
            let mut running = Provider::spawn(command);
            running.send(request.to_string());
            let begun = Instant::now();
            while !String::from_utf8_lossy(&running.stderr()).contains(OPENED) {
                assert!(begun.elapsed() < TIMEOUT, "it never begins");
                std::thread::sleep(Duration::from_millis(5));
            }
            running.signal(Signal::INT);
            running.answer()
        },
        "interrupted before everything was done",
    );
}
