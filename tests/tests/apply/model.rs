//! Random deployments on a real server and a real store, edited and killed at
//! random: in the end reality is what the expression says, the state what
//! reality is, nothing is there twice, and what is retained is still the same.
//!
//! `MODEL_SEEDS=200` runs that many, `MODEL_SEED=7` that one, and
//! `NIXOPS4_TESTS_ENDURANCE=10` goes on for so many minutes. A failure names its seed.

mod deployment;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::process::Output;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use nixops4_resources_tests::endurance::{self, Rounds, count};

use nixops4_resources_tests::lifeline::Signal;
use nixops4_resources_tests::postgres::Config;
use nixops4_resources_tests::provider::Provider;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use rustix::process::{Pid, kill_process};
use serde_json::Value;

use deployment::{Kind, Model, Thing, things};

use super::{Site, counts, in_project, summary, text};

/// How many are run if nothing is said.
const SEEDS: u64 = 20;
/// How many rounds of edits a deployment goes through.
const ROUNDS: usize = 3;
/// What is killed at a moment lives at most this long, in milliseconds.
const LIFE: u64 = 2500;
/// How long a provider may go on after whoever started it is gone.
const PATIENCE: Duration = Duration::from_mins(1);
/// Where a provider may kill itself.
const POINTS: [&str; 20] = [
    "engine:observed",
    "engine:applied-0",
    "engine:verified",
    "engine:found",
    "engine:deleted",
    "engine:retained",
    "secret:made",
    "secret:kept",
    "store:made",
    "store:commit",
    "database:created",
    "database:renamed",
    "database:marked",
    "tenant:role",
    "tenant:database",
    "tenant:role-retained",
    "role:let-go",
    "state:checked",
    "state:inserted",
    "state:committed",
];

/// What was done to commands, all threads together.
#[derive(Debug, Default)]
struct Kills {
    commands: AtomicU64,
    providers: AtomicU64,
    servers: AtomicU64,
}

static KILLS: Kills = Kills {
    commands: AtomicU64::new(0),
    providers: AtomicU64::new(0),
    servers: AtomicU64::new(0),
};

/// One thing as it is.
#[derive(Debug)]
struct Found {
    /// What it is known by, as `NAME=VALUE NAME=VALUE`: values of a secret come
    /// and go, but none changes.
    id: String,
    is_retained: bool,
    /// What the expression says of it: limit, and a database's owner.
    is: String,
}

struct World {
    site: Site,
    state: &'static str,
    file: PathBuf,
}

impl World {
    fn new(seed: u64, model: &Model) -> Self {
        let site = Site::new(&Config::default());
        let world = Self {
            file: site.sandbox.work().join("model.json"),
            site,
            state: match seed % 8 {
                1 => "postgresql",
                2 => "file",
                _ => "sqlite",
            },
        };
        world.write(model);
        world
    }

    fn write(&self, model: &Model) {
        std::fs::write(&self.file, model.json().to_string()).expect("it can be written");
    }

    fn start(&self, arguments: &[&str], failpoints: &str) -> Provider {
        let mut command = self.site.command("nixops4-resources");
        command
            .args(arguments)
            .args(["--json", "--file"])
            .arg(in_project("tests/tests/apply/model.nix"))
            .env("MODEL", &self.file)
            .env("STATE", self.state)
            .env("FAILPOINTS", failpoints);
        let mut running = Provider::spawn(command);
        running.close_stdin();
        running
    }

    fn run(&self, arguments: &[&str]) -> Output {
        let mut running = self.start(arguments, "");
        running.wait(super::PATIENCE).expect("it takes too long");
        running.finish()
    }

    /// Runs it and lets something happen to it.
    fn disturbed(&mut self, arguments: &[&str], random: &mut StdRng) {
        let counted = |kills: &AtomicU64| kills.fetch_add(1, Ordering::Relaxed);
        let what = random.random_range(0..5);
        let failpoints = if what == 0 {
            let point = POINTS[random.random_range(0..POINTS.len())];
            let passed = random.random_range(0..3);
            format!("{point}={passed}*off->return(kill)")
        } else {
            String::new()
        };
        let mut running = self.start(arguments, &failpoints);
        let life = Duration::from_millis(random.random_range(0..LIFE));
        let mut providers = Vec::new();
        if what > 0 && running.wait(life).is_none() {
            providers = children(running.id());
            match what {
                1 if !providers.is_empty() => {
                    let provider = providers[random.random_range(0..providers.len())];
                    // It may have ended by itself.
                    let _gone = kill_process(provider, Signal::KILL);
                    counted(&KILLS.providers);
                }
                // With all that is on it: a state may be.
                2 => {
                    self.site.server.restart_immediate();
                    counted(&KILLS.servers);
                }
                _ => {
                    running.signal(Signal::KILL);
                    counted(&KILLS.commands);
                }
            }
        }
        running.wait(super::PATIENCE).expect("it takes too long");
        let whatever = running.finish();
        if what == 0 && text(&whatever.stdout).contains("SIGKILL") {
            counted(&KILLS.providers);
        }
        let start = Instant::now();
        while providers.iter().any(|provider| runs(*provider)) {
            assert!(start.elapsed() < PATIENCE, "a provider outlives its client");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// The members on record.
    fn recorded(&self) -> BTreeSet<String> {
        let output = self.run(&["state", "list"]);
        let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
        // The first apply may have been killed before there was one.
        if stderr.contains("there is no state at ") {
            return BTreeSet::new();
        }
        assert!(output.status.success(), "{stdout}{stderr}");
        let listed: Value = serde_json::from_str(&stdout).expect("JSON");
        let entries = listed["resources"].as_array().expect("a list").iter();
        entries
            .map(|entry| entry["path"][0].as_str().expect("a name").to_owned())
            .collect()
    }

    fn renamed(&self, old: &str, new: &str) {
        let moved = self.run(&["state", "mv", old, new]);
        let (stdout, stderr) = (text(&moved.stdout), text(&moved.stderr));
        assert!(moved.status.success(), "{stdout}{stderr}");
    }

    /// Everything that is there and is ours.
    fn reality(&self) -> BTreeMap<Thing, Found> {
        let rows = self.site.server.sql(
            "SELECT 'role ' || rolname, oid, shobj_description(oid, 'pg_authid'), rolconnlimit
             FROM pg_roles WHERE rolname !~ '^pg_' AND rolname <> 'postgres'
             UNION ALL
             SELECT 'database ' || datname, oid, shobj_description(oid, 'pg_database'), datconnlimit
             FROM pg_database WHERE NOT datistemplate AND datname <> 'postgres'",
        );
        let mut all = BTreeMap::new();
        for row in rows.lines() {
            let fields: Vec<_> = row.split('|').collect();
            let [thing, id, comment, limit] = fields[..] else {
                panic!("a row: {row}");
            };
            assert!(comment.contains("owner=model "), "nobody's: {row}");
            let found = Found {
                id: format!("oid={id}"),
                is_retained: comment.contains("retained-since="),
                is: limit.to_owned(),
            };
            assert!(all.insert(thing.to_owned(), found).is_none(), "{row}");
        }
        for secret in self.secrets() {
            let generations = secret["generations"].as_array().expect("generations");
            let numbers = generations.iter().map(|one| &one["generation"]);
            let ids = generations
                .iter()
                .map(|one| format!("{}={}", one["generation"], one["id"]));
            let made = format!("made={}", secret["createdAt"]);
            let found = Found {
                id: std::iter::once(made)
                    .chain(ids)
                    .collect::<Vec<_>>()
                    .join(" "),
                is_retained: !secret["retained"].is_null(),
                is: numbers
                    .filter_map(Value::as_u64)
                    .max()
                    .expect("a number")
                    .to_string(),
            };
            let name = secret["name"].as_str().expect("a name");
            assert!(all.insert(format!("secret {name}"), found).is_none());
        }
        all
    }

    fn secrets(&self) -> Vec<Value> {
        if !self.site.store().exists() {
            return Vec::new();
        }
        let mut list = self.site.command("nixops4-resources");
        let output = list.args(["secret", "list", "--json"]).output();
        let output = output.expect("it runs");
        let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
        assert!(output.status.success(), "{stdout}{stderr}");
        let listed: Value = serde_json::from_str(&stdout).expect("JSON");
        listed.as_array().expect("secrets").clone()
    }

    fn sql(&self, query: &str) -> BTreeSet<String> {
        let rows = self.site.server.sql(query);
        rows.lines().map(str::to_owned).collect()
    }
}

/// The processes that a process has started and that are still there.
fn children(id: u32) -> Vec<Pid> {
    let Ok(threads) = std::fs::read_dir(format!("/proc/{id}/task")) else {
        return Vec::new();
    };
    let lists = threads
        .filter_map(|thread| std::fs::read_to_string(thread.ok()?.path().join("children")).ok());
    lists
        .flat_map(|list| {
            let ids = list.split_whitespace();
            ids.filter_map(|id| Pid::from_raw(id.parse().ok()?))
                .collect::<Vec<_>>()
        })
        .collect()
}

/// Whether it runs; one that nobody has waited for yet doesn't.
fn runs(process: Pid) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", process.as_raw_nonzero()));
    stat.is_ok_and(|stat| !stat.contains(") Z "))
}

/// It is still the thing that was known.
fn same(thing: &str, known: &str, now: &str) {
    let now: BTreeMap<_, _> = now.split(' ').filter_map(|id| id.split_once('=')).collect();
    for (name, value) in known.split(' ').filter_map(|id| id.split_once('=')) {
        match now.get(name) {
            Some(there) => assert_eq!(*there, value, "{thing} was made anew"),
            None => assert!(name.parse::<u32>().is_ok(), "{thing} has no {name}"),
        }
    }
}

/// What the server and the store have is what the members say.
fn compare(world: &World, model: &mut Model) {
    let reality = world.reality();
    for node in model.members.values() {
        for thing in things(node) {
            let there = reality.get(&thing);
            let there = there.unwrap_or_else(|| panic!("{thing} is missing: {reality:?}"));
            assert!(!there.is_retained, "{thing} is out of service");
            // The limit of a tenant is its database's.
            if node.kind != Kind::Tenant || thing.starts_with("database") {
                assert_eq!(there.is, node.value.to_string(), "{thing}");
            }
        }
        if let (Kind::Role | Kind::Tenant, Some(used)) = (node.kind, &node.uses) {
            let password = world.site.secret(&model.members[used].thing);
            let server = &world.site.server;
            let refused = server
                .sql_as(&node.thing, &password, "postgres", "SELECT 1")
                .err();
            assert_eq!(refused, None, "{} can't log in", node.thing);
        }
    }
    let owners = world.sql(
        "SELECT datname || ' ' || pg_get_userbyid(datdba) FROM pg_database
         WHERE NOT datistemplate AND datname <> 'postgres'",
    );
    for node in model.members.values() {
        let owner = match (node.kind, &node.uses) {
            (Kind::Database, Some(role)) => &model.members[role].thing,
            (Kind::Tenant, _) => &node.thing,
            _ => continue,
        };
        let pair = format!("{} {owner}", node.thing);
        assert!(owners.contains(&pair), "{pair}: {owners:?}");
    }
    for (thing, id) in &model.known {
        if let Some(there) = reality.get(thing) {
            same(thing, id, &there.id);
        }
    }
    for thing in model.wanted() {
        let id = reality[&thing].id.clone();
        model.known.insert(thing, id);
    }
}

/// Nothing is there but what is wanted and what is retained, and all of that.
fn nothing_else(world: &World, model: &Model, wanted: &BTreeSet<Thing>) {
    let reality = world.reality();
    for thing in &model.retained {
        let there = reality.get(thing);
        let there = there.unwrap_or_else(|| panic!("{thing} is lost: {reality:?}"));
        same(thing, &model.known[thing], &there.id);
    }
    for (thing, there) in &reality {
        assert!(
            wanted.contains(thing) || there.is_retained,
            "{thing} is left over: {reality:?}"
        );
    }
}

fn memberships(world: &World, model: &Model) {
    let wanted: BTreeSet<String> = model
        .members
        .values()
        .filter(|node| node.kind == Kind::Membership)
        .map(|node| {
            let name = |of: &Option<String>| &model.members[of.as_ref().expect("one")].thing;
            format!("{} in {}", name(&node.uses), name(&node.group))
        })
        .collect();
    let there = world.sql(
        "SELECT member::regrole || ' in ' || roleid::regrole FROM pg_auth_members
         WHERE roleid::regrole::text !~ '^pg_'",
    );
    assert_eq!(there, wanted);
}

fn drifts_nowhere(world: &World) {
    let drift = world.run(&["drift"]);
    let (stdout, stderr) = (text(&drift.stdout), text(&drift.stderr));
    assert_eq!(drift.status.code(), Some(0), "{stdout}{stderr}");
}

fn run(seed: u64) {
    let mut random = StdRng::seed_from_u64(seed);
    let mut model = Model::default();
    for _ in 0..6 {
        model.add(&mut random);
    }
    let mut world = World::new(seed, &model);
    for _ in 0..ROUNDS {
        match random.random_range(0..5) {
            0 => {
                summary(&world.run(&["apply"]));
                compare(&world, &mut model);
            }
            1 => world.disturbed(&["gc", "--yes"], &mut random),
            _ => world.disturbed(&["apply"], &mut random),
        }
        for _ in 0..random.random_range(1..4) {
            let renamed = model.edit(&mut random);
            world.write(&model);
            // Sometimes it is told, and sometimes found out afterwards.
            if let Some((old, new)) = renamed
                && random.random()
                && world.recorded().contains(&old)
            {
                world.renamed(&old, &new);
            }
        }
    }
    if random.random() {
        world.disturbed(&["apply"], &mut random);
    }
    summary(&world.run(&["apply"]));
    compare(&world, &mut model);
    let planned = counts(&world.run(&["plan"]));
    assert!(planned.keys().all(|key| key == "unchanged"), "{planned:?}");

    // What the state has and the expression has not is one thing under two
    // names, or goes.
    let collected = world.run(&["gc", "--yes", "--orphans"]);
    let (advice, stderr) = (text(&collected.stdout), text(&collected.stderr));
    assert!(collected.status.success(), "{advice}{stderr}");
    for (_, rest) in advice
        .match_indices("state rm ")
        .map(|(at, it)| advice[at..].split_at(it.len()))
    {
        let old = rest.split('`').next().expect("a name");
        let forgotten = world.run(&["state", "rm", "--yes", old]);
        assert!(forgotten.status.success(), "{}", text(&forgotten.stderr));
    }
    let members: BTreeSet<String> = model.members.keys().cloned().collect();
    assert_eq!(world.recorded(), members);
    compare(&world, &mut model);
    nothing_else(&world, &model, &model.wanted());
    memberships(&world, &model);
    drifts_nowhere(&world);

    for name in members {
        if model.members.contains_key(&name) && model.members[&name].retain {
            let things: Vec<_> = things(&model.members[&name]).collect();
            model.retained.extend(things);
        }
    }
    summary(&world.run(&["destroy", "--yes"]));
    nothing_else(&world, &model, &BTreeSet::new());
    model.members.clear();
    memberships(&world, &model);
    assert_eq!(world.recorded(), BTreeSet::new());
    drifts_nowhere(&world);
    nobody_is_left(&world);
}

/// No session, lock or transaction is left on the server.
fn nobody_is_left(world: &World) {
    let begun = Instant::now();
    let left = || {
        world.sql(
            "SELECT 'session ' || query FROM pg_stat_activity
             WHERE application_name LIKE 'nixops4-resources%'
             UNION ALL SELECT 'lock ' || objid FROM pg_locks WHERE locktype = 'advisory'
             UNION ALL SELECT 'prepared ' || gid FROM pg_prepared_xacts",
        )
    };
    // A backend takes a moment to end.
    while !left().is_empty() && begun.elapsed() < PATIENCE {
        std::thread::sleep(Duration::from_millis(50));
    }
    assert_eq!(left(), BTreeSet::new());
}

#[test]
fn whatever_happens_the_last_apply_makes_it_right() {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse().ok());
    if let Some(seed) = number("MODEL_SEED") {
        return run(seed);
    }
    let rounds = match number("MODEL_SEEDS") {
        Some(seeds) => Rounds::just(seeds),
        None => Rounds::small(SEEDS),
    };
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let run_each = || {
        while let Some(seed) = rounds.next_seed() {
            let seed = seed.number();
            let result = std::panic::catch_unwind(|| run(seed));
            assert!(result.is_ok(), "it fails with MODEL_SEED={seed}");
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(run_each);
        }
    });
    let of = |kills: &AtomicU64| count(kills.load(Ordering::Relaxed));
    endurance::tell(&format!(
        "deployments on PostgreSQL, {}: {} commands, {} providers and {} servers killed, and all \
         was right in the end",
        rounds.seeds(),
        of(&KILLS.commands),
        of(&KILLS.providers),
        of(&KILLS.servers),
    ));
}
