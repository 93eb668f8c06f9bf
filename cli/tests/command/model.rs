//! Random deployments, edited and killed at random, through the real Nix and real
//! processes; `cli/src/model.rs` does it by the thousand, in memory. In the end reality is what
//! the expression says, the state what reality is, and nothing is there twice.
//!
//! `MODEL_SEEDS=1000` runs that many, `MODEL_SEED=7` that one, and
//! `NIXOPS4_TESTS_ENDURANCE=10` goes on for so many minutes. A failure names its seed.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::process::Stdio;
use std::time::Duration;

use nixops4_resources_tests::endurance::{self, Rounds, count};
use serde_json::json;

use crate::support::Deployment;

/// How many are run if nothing is said.
const SEEDS: u64 = 4;
/// How many edits a deployment goes through.
const EDITS: u64 = 4;
/// A killed command lives at most this long, in milliseconds.
const LIFE: u64 = 700;

/// `SplitMix64`: small, and the same everywhere.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % bound
    }

    fn pick<'a, T>(&mut self, among: &'a [T]) -> Option<&'a T> {
        let count = u64::try_from(among.len()).expect("few");
        (count > 0).then(|| &among[usize::try_from(self.below(count)).expect("few")])
    }
}

/// A member: a thing, and what its content comes from.
#[derive(Debug, Clone)]
struct Node {
    thing: String,
    /// Another member, by name.
    uses: Option<String>,
    value: u64,
    retain: bool,
}

#[derive(Debug, Default)]
struct Model {
    members: BTreeMap<String, Node>,
    made: u64,
}

impl Model {
    fn nix(&self) -> String {
        let mut text = "{ inherit state; anchor = thing \"anchor\" { };".to_owned();
        for (name, node) in &self.members {
            let content = match &node.uses {
                Some(other) => format!("o.{other}.serial"),
                None => node.value.to_string(),
            };
            let policy = if node.retain { "retain" } else { "delete" };
            let _ = write!(
                text,
                "\n  {name} = thing \"{}\" {{ content = {content}; deletionPolicy = \"{policy}\"; \
                 sleep = 20; }};",
                node.thing
            );
        }
        text.push_str(" }");
        text
    }

    fn edit(&mut self, random: &mut Random) {
        let names: Vec<String> = self.members.keys().cloned().collect();
        match (random.below(10), random.pick(&names).cloned()) {
            (0..=1, Some(name)) => {
                self.members.remove(&name);
                for node in self.members.values_mut() {
                    if node.uses.as_ref() == Some(&name) {
                        node.uses = None;
                    }
                }
            }
            (2..=3, Some(name)) => {
                let value = random.below(100);
                let node = self.members.get_mut(&name).expect("it is there");
                node.value = value;
                node.uses = None;
            }
            (4, Some(name)) => {
                // The same thing under another name.
                let node = self.members.remove(&name).expect("it is there");
                self.made += 1;
                let new = format!("r{}", self.made);
                for other in self.members.values_mut() {
                    if other.uses.as_ref() == Some(&name) {
                        other.uses = Some(new.clone());
                    }
                }
                self.members.insert(new, node);
            }
            (_, other) => {
                // What is new uses only what was there, so that there is no circle.
                self.made += 1;
                let uses = other.filter(|_| random.below(3) > 0);
                let node = Node {
                    thing: format!("t{}", self.made),
                    uses,
                    value: random.below(100),
                    retain: random.below(4) == 0,
                };
                self.members.insert(format!("m{}", self.made), node);
            }
        }
    }

    /// What each thing has to hold.
    fn contents(&self) -> BTreeMap<String, serde_json::Value> {
        self.members
            .values()
            .map(|node| {
                let content = match &node.uses {
                    Some(other) => json!(format!("serial-{}", self.members[other].thing)),
                    None => json!(node.value),
                };
                (node.thing.clone(), content)
            })
            .collect()
    }
}

/// Every thing that is there.
fn things(deployment: &Deployment) -> BTreeSet<String> {
    std::fs::read_dir(deployment.path("things"))
        .expect("things")
        .filter_map(|entry| {
            let name = entry.expect("an entry").file_name().into_string().ok()?;
            Some(name.strip_suffix(".json")?.to_owned())
        })
        .filter(|name| name != "anchor")
        .collect()
}

/// Gives whether it was killed before it ended by itself.
fn killed(deployment: &Deployment, arguments: &[&str], random: &mut Random) -> bool {
    let mut command = deployment.command(arguments);
    command.stdout(Stdio::null()).stderr(Stdio::null());
    let mut child = command.spawn().expect("it starts");
    std::thread::sleep(Duration::from_millis(random.below(LIFE)));
    let _ = child.kill();
    let status = child.wait().expect("it ends");
    // Its providers see the end of their input; each sleeps for a moment.
    std::thread::sleep(Duration::from_millis(80));
    status.code().is_none()
}

/// Gives how often a command was killed.
fn run(seed: u64) -> u64 {
    let mut kills = 0;
    let mut random = Random(seed);
    let mut model = Model::default();
    for _ in 0..3 {
        model.edit(&mut random);
    }
    let deployment = Deployment::new(&model.nix());
    for _ in 0..EDITS {
        match random.below(4) {
            0 => {
                deployment.run(&["apply"]).expect(0);
            }
            1 => kills += u64::from(killed(&deployment, &["gc", "--yes"], &mut random)),
            _ => kills += u64::from(killed(&deployment, &["apply"], &mut random)),
        }
        for _ in 0..=random.below(3) {
            model.edit(&mut random);
        }
        deployment.write(&model.nix());
    }
    deployment.run(&["apply"]).expect(0);
    for (thing, content) in model.contents() {
        let there = deployment.thing(&thing);
        assert_eq!(
            there.map(|thing| thing["content"].clone()),
            Some(content),
            "{thing}"
        );
    }
    deployment.run(&["plan", "--detailed-exitcode"]).expect(0);

    // What the state has and the expression has not is one thing under two names,
    // or goes.
    let advice = deployment
        .run(&["gc", "--yes", "--orphans"])
        .expect(0)
        .stdout;
    for line in advice.lines().filter(|line| line.contains("state rm")) {
        let (_, old) = line.split_once("state rm ").expect("a name");
        let old = old.split('`').next().expect("a name");
        deployment.run(&["state", "rm", "--yes", old]).expect(0);
    }
    let wanted: BTreeSet<String> = model.contents().into_keys().collect();
    let there = things(&deployment);
    assert!(wanted.is_subset(&there), "{wanted:?} {there:?}");
    for thing in there.difference(&wanted) {
        let left = deployment.thing(thing).expect("it is there");
        assert_eq!(left["retained"], true, "{thing} is nobody's");
    }
    deployment
        .run(&["drift"])
        .expect(0)
        .says(&format!("{} as recorded", model.members.len() + 1));

    deployment.run(&["destroy", "--yes"]).expect(0);
    let retained: BTreeSet<String> = model
        .members
        .values()
        .filter(|node| node.retain)
        .map(|node| node.thing.clone())
        .collect();
    let left = things(&deployment);
    assert!(retained.is_subset(&left), "{retained:?} {left:?}");
    for thing in &left {
        let left = deployment.thing(thing).expect("it is there");
        assert_eq!(left["retained"], true, "{thing}");
    }
    deployment
        .run(&["drift"])
        .expect(0)
        .says("No drift: 0 as recorded.");
    kills
}

#[test]
fn whatever_happens_the_last_apply_makes_it_right() {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse().ok());
    let rounds = match (number("MODEL_SEED"), number("MODEL_SEEDS")) {
        (Some(seed), _) => {
            run(seed);
            return;
        }
        (None, Some(seeds)) => Rounds::just(seeds),
        (None, None) => Rounds::small(SEEDS),
    };
    let mut kills = 0;
    while let Some(seed) = rounds.next_seed() {
        let seed = seed.number();
        let result = std::panic::catch_unwind(|| run(seed));
        assert!(result.is_ok(), "it fails with MODEL_SEED={seed}");
        kills += result.unwrap_or_default();
    }
    endurance::tell(&format!(
        "deployments of files, {}: {} commands killed, and all was right in the end",
        rounds.seeds(),
        count(kills)
    ));
}
