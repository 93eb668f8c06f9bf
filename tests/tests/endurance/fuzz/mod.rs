//! Requests made by chance, over real stdio, to every kind of every provider: each
//! line has one answer of the right shape, an error names the field, no secret
//! comes back, nothing is written beside the answers, and the provider goes on.

mod judge;
mod odd;
mod request;
mod schema;
mod world;

use std::process::Command;

use nixops4_resources_tests::binaries;
use nixops4_resources_tests::endurance::{self, Rounds, count};
use nixops4_resources_tests::messages::{self, Object};
use nixops4_resources_tests::provider::{Provider, TIMEOUT};
use rand::rngs::StdRng;
use serde_json::json;

pub(crate) use judge::steers;
use judge::{Judge, Tally};
use request::{Kind, Sent};
use world::World;

const POSTGRESQL: &str = "nixops4-resources-postgresql";
const GARAGE: &str = "nixops4-resources-garage";
const SECRETS: &str = "nixops4-resources-secrets";
const STATE: &str = "nixops4-resources-state";

/// How many requests of chance of each sort a kind gets in one round.
const EACH: usize = 80;
/// How many of them a server does.
const SERVED: usize = 40;
/// How many go to one process.
const LINES: usize = 400;
/// What a process may hold at its most, in bytes.
const MEMORY: u64 = 200 << 20;

/// The kinds of a provider.
fn kinds(executable: &str) -> Vec<Kind> {
    let described = Command::new(binaries::path(executable))
        .arg("describe")
        .output()
        .expect("it runs");
    Kind::all(&serde_json::from_slice(&described.stdout).expect("JSON"))
}

/// Sends lines to one process, and judges all that comes of it.
fn send(world: &World, judge: &Judge, lines: &[Sent], tally: &mut Tally, log: &str) {
    let mut command = world.command();
    command.env("NIXOPS4_RESOURCES_LOG", log);
    let mut provider = Provider::spawn(command);
    for sent in lines {
        provider.send(&sent.line);
    }
    for sent in lines {
        let problem = match provider.receive(TIMEOUT) {
            Ok(answer) => judge.problem(sent, &answer, tally),
            Err(silence) => Some(format!("no answer: {silence:?}")),
        };
        if let Some(problem) = problem {
            let stderr = String::from_utf8_lossy(&provider.stderr()).into_owned();
            let stderr = shown(stderr.as_bytes());
            panic!(
                "{problem}\nrequest: {}\nstderr: {stderr}",
                shown(&sent.line)
            );
        }
    }
    let serves = messages::create("no_such_type", &Object::new(), false).to_string();
    let refusal = messages::refusal(&provider.request(serves));
    assert!(refusal.contains("no_such_type"), "{refusal}");
    let most = most_memory(provider.id());
    assert!(most < MEMORY, "it took {} MiB", most >> 20);

    let output = provider.finish();
    assert!(output.status.success(), "it ended with {}", output.status);
    let answers = output.stdout.split(|byte| *byte == b'\n').count() - 1;
    assert_eq!(answers, lines.len() + 1, "something else is on stdout");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(!stderr.contains("panicked"), "{stderr}");
    world.assert_silent("stdout", &output.stdout);
    world.assert_silent("stderr", &output.stderr);
}

fn shown(line: &[u8]) -> String {
    const SHOWN: usize = 3000;
    let start = String::from_utf8_lossy(&line[..line.len().min(SHOWN)]);
    format!("{} bytes: {start}", line.len())
}

/// The most that a process has held.
fn most_memory(id: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{id}/status")).expect("it runs");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kibibytes = line.expect("a size").trim().trim_end_matches(" kB");
    kibibytes.parse::<u64>().expect("a number") << 10
}

/// Rounds of requests to each kind of a provider.
fn fuzz(executable: &'static str, make: impl Fn() -> World, lines: Lines) {
    let kinds = kinds(executable);
    let judges: Vec<_> = kinds.iter().map(Judge::new).collect();
    let rounds = Rounds::small(1);
    let mut tally = Tally::default();
    let mut all = 0;
    while let Some(seed) = rounds.next_seed() {
        let mut random = seed.of(0);
        let world = make();
        for (kind, judge) in kinds.iter().zip(&judges) {
            let lines = lines(&world, kind, &mut random);
            for lines in lines.chunks(LINES) {
                // What is logged of everything is searched as well.
                let log = if all % 4 == 0 { "trace" } else { "warn" };
                send(&world, judge, lines, &mut tally, log);
                all += 1;
            }
        }
        if let Some(server) = world.server() {
            world.assert_silent("the server's log", server.log().as_bytes());
        }
        world.assert_nothing_written();
        world.assert_untouched();
    }
    endurance::tell(&format!(
        "{} fuzzed requests to the {} kinds of {executable}, {}: {} refused with the field, {} \
         refused, {} done",
        count(tally.all()),
        kinds.len(),
        rounds.seeds(),
        count(tally.named),
        count(tally.refused),
        count(tally.done),
    ));
}

type Lines = fn(&World, &Kind, &mut StdRng) -> Vec<Sent>;

fn fields_and_chance(world: &World, kind: &Kind, random: &mut StdRng) -> Vec<Sent> {
    let mut provider = Provider::spawn(world.command());
    let inputs = request::settled(world, kind, random, |request| {
        let answer = messages::answer(request, &provider.request(request.to_string()));
        let error = answer.err()?;
        let pointer = error.split([':', '\n']).next()?;
        Some(pointer.split('/').nth(1)?.to_owned())
    });
    let mut lines = request::each_field(world, kind, &inputs);
    for _ in 0..EACH {
        lines.push(request::changed_once(world, kind, &inputs, random));
        lines.push(request::changed(world, kind, random));
    }
    lines
}

#[test]
fn postgresql_that_lets_nobody_in() {
    fuzz(POSTGRESQL, || World::refused(POSTGRESQL), fields_and_chance);
}

/// What it is told is done, or refused by the server.
#[test]
fn postgresql_that_does_it() {
    let lines: Lines = |world, kind, random| {
        let changed = |_| request::changed(world, kind, random);
        (0..SERVED).map(changed).collect()
    };
    fuzz(POSTGRESQL, || World::served(POSTGRESQL), lines);
}

#[test]
fn garage_that_is_down() {
    fuzz(GARAGE, || World::lonely(GARAGE), fields_and_chance);
}

#[test]
fn secrets() {
    let make = || {
        let mut world = World::lonely(SECRETS);
        world.resolve_references();
        world
    };
    fuzz(SECRETS, make, fields_and_chance);
}

#[test]
fn state() {
    let make = || {
        let mut world = World::refused(STATE);
        world.fix("name", json!("state.json"));
        world
    };
    fuzz(STATE, make, fields_and_chance);
}
