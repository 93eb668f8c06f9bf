//! One event of a state, however much is recorded in it already.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Stdio};

use nixops4_resources_tests::messages::{self, Object, object};
use serde_json::{Value, json};

use crate::Settings;
use crate::place::Place;
use crate::report::{Section, thousands};
use crate::sample::Sample;

/// How many resources one event adds when a state is filled.
const BATCH: usize = 100;
/// Events are short, and syncing makes them uneven: more of them are measured.
const EVENTS_A_RUN: usize = 4;
/// How much longer an event may take with much recorded than with nothing,
/// before it counts as growing.
const GROWTH_GOAL: f64 = 1.25;

pub(crate) fn section(place: &Place, settings: &Settings) -> String {
    let sizes = [0, settings.members, 10 * settings.members];
    let mut states: Vec<State> = sizes.iter().map(|size| State::new(place, *size)).collect();
    let path = place.file("baseline.log");
    let mut file = File::create(&path).expect("cannot create a file");
    let mut bare = Sample::default();
    for number in 0..settings.runs * EVENTS_A_RUN {
        let line = format!("{}\n", record(number));
        bare.time(|| {
            file.write_all(line.as_bytes())
                .and_then(|()| file.sync_data())
                .expect("cannot write a file");
        });
        for state in &mut states {
            state.record_one();
        }
    }

    let mut section = Section::new(
        "One event of a state, by a provider process that has read it",
        &["time", "beside the empty state"],
    );
    section.row([
        "a file: the same line, written and synced".to_owned(),
        bare.show(),
        String::new(),
    ]);
    let empty = states[0].sample.median().as_secs_f64();
    let mut most = 1.0;
    for state in &states {
        most = state.sample.median().as_secs_f64() / empty;
        section.row([
            format!("state_sqlite: {} resources recorded", thousands(state.size)),
            state.sample.show(),
            format!("{most:.2} times"),
        ]);
    }
    let growing = if most > GROWTH_GOAL {
        vec![format!("the largest state ({most:.2} times)")]
    } else {
        Vec::new()
    };
    section.goal(
        "an event takes the same time whatever is recorded",
        &growing,
    );
    for state in states {
        state.finish();
    }
    section.show()
}

/// A state, and the process that writes it.
struct State {
    process: Child,
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
    resource: Value,
    /// How many resources were recorded when the measuring began.
    size: usize,
    recorded: usize,
    sample: Sample,
}

impl State {
    fn new(place: &Place, size: usize) -> Self {
        let path = place.file(&format!("state-{size}.sqlite"));
        let inputs = object(json!({ "deployment": "bench", "path": path }));
        let mut filling = Self::start(place, &inputs, size);
        filling.ask(&messages::create("state_sqlite", &inputs, false));
        filling.ask(&messages::read_state(&filling.resource));
        while filling.recorded < size {
            let until = size.min(filling.recorded + BATCH);
            let records: Vec<Value> = (filling.recorded..until).map(record).collect();
            filling.ask(&messages::state_event(
                &filling.resource,
                "create",
                &json!(records),
            ));
            filling.recorded = until;
        }
        filling.finish();

        let mut state = Self::start(place, &inputs, size);
        let read = state.ask(&messages::read_state(&state.resource));
        let resources = read["state"]["resources"]
            .as_object()
            .map_or(0, Object::len);
        assert_eq!(resources, size, "the state holds what was recorded");
        state.recorded = size;
        state
    }

    fn start(place: &Place, inputs: &Object, size: usize) -> Self {
        let mut process = place
            .command("nixops4-resources-state")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("cannot start the provider of states");
        Self {
            stdin: process.stdin.take().expect("stdin is a pipe"),
            stdout: BufReader::new(process.stdout.take().expect("stdout is a pipe")),
            process,
            resource: messages::resource("state_sqlite", inputs, Some(&Object::new())),
            size,
            recorded: 0,
            sample: Sample::default(),
        }
    }

    fn ask(&mut self, request: &Value) -> Value {
        let answer = self.exchange(&format!("{request}\n"));
        messages::answer(request, &answer).unwrap_or_else(|error| panic!("{error}"))
    }

    fn exchange(&mut self, line: &str) -> String {
        let mut answer = String::new();
        self.stdin
            .write_all(line.as_bytes())
            .and_then(|()| self.stdout.read_line(&mut answer))
            .expect("cannot speak to the provider of states");
        answer
    }

    fn record_one(&mut self) {
        let patch = json!([record(self.recorded)]);
        let request = messages::state_event(&self.resource, "create", &patch);
        let line = format!("{request}\n");
        let mut sample = std::mem::take(&mut self.sample);
        let answer = sample.time(|| self.exchange(&line));
        self.sample = sample;
        messages::answer(&request, &answer).unwrap_or_else(|error| panic!("{error}"));
        self.recorded += 1;
    }

    fn finish(mut self) {
        drop(self.stdin);
        let status = self.process.wait().expect("a process of ours");
        assert!(
            status.success(),
            "the provider of states ended with {status}"
        );
    }
}

/// An operation that records a role as the command does.
fn record(number: usize) -> Value {
    let password: PathBuf = "/run/keys/database".into();
    let inputs = json!({
        "owner": "bench", "adopt": false, "name": format!("bench_role_{number}"),
        "connection": {
            "host": "db.example.org", "port": 5432, "user": "postgres", "database": "postgres",
            "password": { "file": password }, "tls": { "mode": null, "caFile": null },
        },
        "login": true, "superuser": false, "connectionLimit": 10,
    });
    let outputs = json!({
        "name": format!("bench_role_{number}"), "host": "db.example.org", "port": 5432,
        "oid": 16384 + number, "systemIdentifier": "7351233444521234567",
    });
    json!({
        "op": "add",
        "path": format!("/resources/role{number}"),
        "value": {
            "type": "postgresql_role", "input_properties": inputs, "output_properties": outputs,
            "nixops4-resources": { "executable": "nixops4-resources-postgresql", "args": [] },
        },
    })
}
