//! Several writers that are killed at random: what was answered is there, once
//! and in order, and what was not is there wholly or not at all.
//!
//! `NIXOPS4_RESOURCES_STATE_RUNS` sets how many seeds are tried of each kind of
//! state, `NIXOPS4_RESOURCES_STATE_SEED` the first of them.

use std::collections::BTreeSet;

use nixops4_resources_tests::messages;
use nixops4_resources_tests::provider::{Provider, oneshot};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use serde_json::{Value, json};

use super::{Site, add};

const STEPS: usize = 25;
const POINTS: [&str; 3] = ["state:checked", "state:inserted", "state:committed"];

fn number(name: &str, default: u64) -> u64 {
    let set = std::env::var(name).ok();
    set.map_or(default, |text| text.parse().expect(name))
}

#[test]
fn writers_that_are_killed_at_random() {
    let first = number("NIXOPS4_RESOURCES_STATE_SEED", 1);
    let runs = number("NIXOPS4_RESOURCES_STATE_RUNS", 1);
    for seed in first..first + runs {
        for site in &Site::each() {
            let context = format!("{}, NIXOPS4_RESOURCES_STATE_SEED={seed}", site.kind);
            run(site, &mut StdRng::seed_from_u64(seed), &context);
        }
    }
}

/// What became of one event.
enum Ended {
    Answered,
    Unknown,
}

fn run(site: &Site, random: &mut StdRng, context: &str) {
    site.create();
    let mut answered = BTreeSet::new();
    let mut unknown = BTreeSet::new();
    for step in 0..STEPS {
        // Some at once, each with a place of its own.
        let names: Vec<String> = (0..random.random_range(1..4))
            .map(|writer| format!("s{step}w{writer}"))
            .collect();
        let running: Vec<_> = names.iter().map(|name| start(site, random, name)).collect();
        for (name, (provider, request)) in names.iter().zip(running) {
            match end(provider, &request, context) {
                Ended::Answered => answered.insert(name.clone()),
                Ended::Unknown => unknown.insert(name.clone()),
            };
        }
        if random.random_ratio(1, 5) {
            check(site, &answered, &unknown, context);
        }
    }
    check(site, &answered, &unknown, context);
    // And it can be gone on with.
    site.send(&site.event(&add("/resources/last", json!({}))))
        .unwrap_or_else(|error| panic!("{context}: {error}"));
}

fn start(site: &Site, random: &mut StdRng, name: &str) -> (Provider, Value) {
    let mut command = site.command();
    if random.random_ratio(1, 3) {
        let point = POINTS[random.random_range(0..POINTS.len())];
        command.env("FAILPOINTS", format!("{point}=return(kill)"));
    }
    let value = json!({"text": "x".repeat(random.random_range(0..20_000))});
    let request = site.event(&add(&format!("/resources/{name}"), value));
    let mut provider = Provider::spawn(command);
    provider.send(request.to_string());
    (provider, request)
}

fn end(mut provider: Provider, request: &Value, context: &str) -> Ended {
    provider.close_stdin();
    let output = provider.finish();
    let line = String::from_utf8_lossy(&output.stdout).into_owned();
    if line.is_empty() {
        return Ended::Unknown;
    }
    messages::answer(request, line.trim_end()).unwrap_or_else(|error| panic!("{context}: {error}"));
    Ended::Answered
}

fn check(site: &Site, answered: &BTreeSet<String>, unknown: &BTreeSet<String>, context: &str) {
    let state = site.read();
    let there: BTreeSet<String> = state["resources"]
        .as_object()
        .expect("resources")
        .keys()
        .cloned()
        .collect();
    let lost: Vec<_> = answered.difference(&there).collect();
    assert!(lost.is_empty(), "{context}: {lost:?} were lost");
    let strange: Vec<_> = there
        .iter()
        .filter(|name| !answered.contains(*name) && !unknown.contains(*name))
        .collect();
    assert!(
        strange.is_empty(),
        "{context}: {strange:?} came from nowhere"
    );
    // Each once, without a gap.
    let history = site.history(0);
    assert_eq!(history.len(), there.len() + 1, "{context}");
    for (index, event) in history.iter().enumerate() {
        assert_eq!(event["index"], index, "{context}");
    }
    // A reader that comes now sees the same.
    let output = oneshot(site.command(), [site.read_request().to_string()]);
    let line = String::from_utf8_lossy(&output.stdout).into_owned();
    let again = messages::answer(&site.read_request(), line.trim_end());
    assert_eq!(again.expect("the state")["state"], state, "{context}");
}
