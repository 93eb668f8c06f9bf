//! All lives at once, each request by a process of its own, and what came of them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use nixops4_resources_tests::binaries;
use nixops4_resources_tests::messages::{self, Object, object};
use nixops4_resources_tests::provider::Provider;
use nixops4_resources_tests::sandbox::Sandbox;
use nixops4_resources_tests::seed::Seed;
use serde_json::{Value, json};

use crate::catalog;
use crate::life::{self, Act, Step};
use crate::town::{ADMINISTRATOR, Town};

/// How long one request may take, all those before it included.
const PATIENCE: Duration = Duration::from_mins(8);

/// How often whoever started the processes looks in between.
const PAUSE: Duration = Duration::from_millis(10);

/// Everything that is to be done, and how far it is.
pub(crate) struct Work {
    inputs: Object,
    password: String,
    /// A machine is where processes know of each other.
    machines: Vec<Sandbox>,
    lives: Vec<Mutex<Progress>>,
    done: AtomicUsize,
    length: usize,
}

/// How far one life is.
struct Progress {
    steps: Vec<Step>,
    next: usize,
    records: BTreeMap<&'static str, Value>,
    says: BTreeMap<&'static str, Vec<String>>,
    failure: Option<String>,
}

impl Work {
    pub(crate) fn new(town: &Town, seed: &Seed, lives: u32, machines: usize) -> Self {
        let lives: Vec<_> = (0..lives)
            .map(|number| Progress {
                steps: life::steps(number, seed.of(number)),
                next: 0,
                records: BTreeMap::new(),
                says: BTreeMap::new(),
                failure: None,
            })
            .collect();
        Self {
            inputs: town.inputs(),
            password: town.password.clone(),
            machines: (0..machines).map(|_| Sandbox::new()).collect(),
            done: AtomicUsize::new(0),
            length: lives.iter().map(|life| life.steps.len()).sum(),
            lives: lives.into_iter().map(Mutex::new).collect(),
        }
    }

    /// How many steps there are.
    pub(crate) fn len(&self) -> usize {
        self.length
    }

    /// How many of them have been done.
    pub(crate) fn done(&self) -> usize {
        self.done.load(Ordering::Relaxed)
    }

    /// Goes on with all of them, until each has done everything or failed; calls
    /// `meanwhile` again and again.
    pub(crate) fn until_done(&self, mut meanwhile: impl FnMut()) {
        // Before there are many who wait for it.
        let _built = binaries::folder();
        thread::scope(|scope| {
            let running: Vec<_> = (0..self.lives.len())
                .map(|number| scope.spawn(move || self.live(number)))
                .collect();
            while running.iter().any(|one| !one.is_finished()) {
                meanwhile();
                thread::sleep(PAUSE);
            }
        });
    }

    fn live(&self, number: usize) {
        let mut life = lock(&self.lives[number]);
        let life = &mut *life;
        while let Some(step) = life.steps.get(life.next) {
            let record = life.records.get(step.thing);
            match self.take(number, step, record) {
                Ok(Some(record)) => life.records.insert(step.thing, record),
                Ok(None) => life.records.remove(step.thing),
                Err(error) => {
                    life.failure = Some(format!("life {number}, {}: {error}", step.thing));
                    return;
                }
            };
            life.says.extend(step.says.iter().cloned());
            life.next += 1;
            self.done.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Gives what is then recorded of the thing.
    fn take(
        &self,
        number: usize,
        step: &Step,
        record: Option<&Value>,
    ) -> Result<Option<Value>, String> {
        match &step.act {
            Act::Have { kind, fields } => {
                let mut inputs = self.inputs.clone();
                inputs.extend(object(fields.clone()));
                let request = match record {
                    Some(record) => messages::update(record, &inputs),
                    None => messages::create(kind, &inputs, true),
                };
                let answer = self.ask(number, &request)?;
                let outputs = object(answer["outputProperties"].clone());
                Ok(Some(messages::resource(kind, &inputs, Some(&outputs))))
            }
            Act::Destroy(policy) => {
                let mut record = record.expect("it was made").clone();
                record["inputProperties"]["deletionPolicy"] = json!(policy);
                self.ask(number, &messages::destroy(&record))?;
                Ok(None)
            }
        }
    }

    fn provider(&self, number: usize) -> Provider {
        let machine = &self.machines[number % self.machines.len()];
        let mut command = machine.command(binaries::path("nixops4-resources-postgresql"));
        command
            .env(ADMINISTRATOR, &self.password)
            .env("TENANT", "a tenant's");
        Provider::spawn(command)
    }

    fn ask(&self, number: usize, request: &Value) -> Result<Value, String> {
        let mut provider = self.provider(number);
        provider.send(request.to_string());
        let line = provider.receive(PATIENCE);
        let line = line.unwrap_or_else(|silence| {
            let said = provider.stderr();
            panic!("{silence:?}: {}", String::from_utf8_lossy(&said))
        });
        messages::answer(request, &line)
    }

    /// What failed.
    pub(crate) fn failures(&self) -> Vec<String> {
        let lives = self.lives.iter();
        lives
            .filter_map(|life| lock(life).failure.clone())
            .collect()
    }

    /// Lets those that failed go on with what failed.
    pub(crate) fn forgive(&self) {
        for life in &self.lives {
            lock(life).failure = None;
        }
    }

    /// The catalog says what the lives say, and a plan finds nothing to do.
    pub(crate) fn is_as_in(&self, town: &Town) {
        // Each of them says the same of what they share.
        let mut expected = BTreeSet::new();
        for life in &self.lives {
            expected.extend(lock(life).says.values().flatten().cloned());
        }
        let expected: Vec<_> = expected.into_iter().collect();
        let found = catalog::read(town);
        let lacking = difference(&expected, &found);
        let strange = difference(&found, &expected);
        assert_eq!(
            (lacking, strange),
            (vec![], vec![]),
            "lost, and not asked for"
        );
        assert_eq!(found, expected, "something stands there twice");

        let mut provider = self.provider(0);
        for number in 0..self.lives.len() {
            self.is_settled(number, &mut provider);
        }
    }

    fn is_settled(&self, number: usize, provider: &mut Provider) {
        for (thing, record) in &lock(&self.lives[number]).records {
            let kind = record["type"].as_str().expect("a type");
            let inputs = object(record["inputProperties"].clone());
            let request = messages::plan(kind, &inputs, &[], Some(record));
            let line = provider.request(request.to_string());
            let answer = messages::answer(&request, &line).expect("a plan");
            assert_eq!(answer["action"], "none", "{number}, {thing}: {answer}");
        }
    }
}

fn lock(life: &Mutex<Progress>) -> std::sync::MutexGuard<'_, Progress> {
    life.lock().unwrap_or_else(PoisonError::into_inner)
}

fn difference(one: &[String], other: &[String]) -> Vec<String> {
    let other: BTreeSet<_> = other.iter().collect();
    one.iter()
        .filter(|line| !other.contains(line))
        .cloned()
        .collect()
}

/// Whether an error says that the server wasn't there, and what to do.
pub(crate) fn is_about_the_crash(error: &str) -> bool {
    let words = [
        "connection to the server was lost",
        "the server is starting or stopping",
        "see that the server runs",
        "see that it is PostgreSQL that listens",
    ];
    error.matches("hint: ").count() == 1 && words.iter().any(|words| error.contains(words))
}
