//! The provider of state: what upstream writes and reads, several writers, and
//! files that can't be used.

mod command;
mod database;
mod files;
mod large;
mod model;
mod private;
mod upstream;
mod writers;

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use nixops4_resources_tests::binaries;
use nixops4_resources_tests::messages::{self, Object, object};
use nixops4_resources_tests::postgres::{Config, Server};
use nixops4_resources_tests::provider::{Provider, oneshot};
use nixops4_resources_tests::sandbox::Sandbox;
use serde_json::{Value, json};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions as _, Row as _};

const FILE: &str = "state.sqlite";

/// A state, and a place to run its provider in.
struct Site {
    sandbox: Sandbox,
    kind: &'static str,
    inputs: Object,
    /// Where it is kept in one.
    server: Option<Server>,
}

impl Site {
    /// In an SQLite file.
    fn new() -> Self {
        Self::of("state_sqlite", json!({"deployment": "demo", "path": FILE}))
    }

    /// In a file as upstream's.
    fn file() -> Self {
        Self::of(
            "state_file",
            json!({"deployment": "demo", "name": "state.json"}),
        )
    }

    /// In a database of a server of its own, as a role that owns it and no more.
    fn postgresql() -> Self {
        Self::postgresql_with(&Config::default())
    }

    fn postgresql_with(config: &Config) -> Self {
        let server = Server::start(config);
        server.sql("CREATE ROLE keeper LOGIN PASSWORD 'quite secret'");
        server.sql("CREATE DATABASE states OWNER keeper");
        let connection = json!({
            "host": server.host(),
            "port": server.port(),
            "user": "keeper",
            "database": "states",
            "password": {"env": "STATE_PASSWORD"},
        });
        Self {
            server: Some(server),
            ..Self::of(
                "state_postgresql",
                json!({"deployment": "demo", "connection": connection}),
            )
        }
    }

    /// One of each kind.
    fn each() -> [Self; 3] {
        [Self::new(), Self::file(), Self::postgresql()]
    }

    fn of(kind: &'static str, inputs: Value) -> Self {
        Self {
            sandbox: Sandbox::new(),
            kind,
            inputs: object(inputs),
            server: None,
        }
    }

    fn server(&self) -> &Server {
        self.server.as_ref().expect("it has one")
    }

    fn command(&self) -> Command {
        let mut command = self
            .sandbox
            .command(binaries::path("nixops4-resources-state"));
        command
            .env("USER", "ann")
            .env("STATE_PASSWORD", "quite secret");
        command
    }

    fn resource(&self) -> Value {
        messages::resource(self.kind, &self.inputs, Some(&Object::new()))
    }

    fn create_request(&self) -> Value {
        messages::create(self.kind, &self.inputs, false)
    }

    fn read_request(&self) -> Value {
        messages::read_state(&self.resource())
    }

    fn event(&self, patch: &Value) -> Value {
        messages::state_event(&self.resource(), "create", patch)
    }

    fn send(&self, request: &Value) -> Result<Value, String> {
        let output = oneshot(self.command(), [request.to_string()]);
        assert!(output.status.success(), "{}", output.status);
        let line = String::from_utf8_lossy(&output.stdout).into_owned();
        messages::answer(request, line.trim_end())
    }

    fn create(&self) {
        let made = self.send(&self.create_request());
        assert_eq!(made, Ok(json!({"outputProperties": {}})));
    }

    fn read(&self) -> Value {
        let mut answer = self.send(&self.read_request()).expect("the state");
        answer["state"].take()
    }

    /// The events from `since` on.
    fn history(&self, since: u64) -> Vec<Value> {
        let request = json!({"nixops4-resources/stateResourceHistoryRequest": {
            "resource": self.resource(), "since": since,
        }});
        let mut answer = self.send(&request).expect("the history");
        match answer["events"].take() {
            Value::Array(events) => events,
            other => panic!("{other} is no list"),
        }
    }

    fn at(path: impl AsRef<Path>) -> Self {
        let mut site = Self::new();
        let path = path.as_ref().to_str().expect("UTF-8");
        site.inputs.insert("path".to_owned(), json!(path));
        site
    }

    fn sql(&self, statement: &str) -> Vec<String> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        runtime.expect("a runtime").block_on(async {
            let file = SqliteConnectOptions::new().filename(self.sandbox.work().join(FILE));
            let mut file = file.connect().await.expect("an SQLite file");
            let rows = sqlx::query(AssertSqlSafe(statement.to_owned()))
                .fetch_all(&mut file)
                .await
                .expect("rows");
            rows.iter().map(|row| row.get(0)).collect()
        })
    }
}

/// A provider that has read, as `nixops4 apply` keeps one.
struct Writer<'a> {
    site: &'a Site,
    provider: Provider,
}

impl<'a> Writer<'a> {
    fn new(site: &'a Site, user: &str) -> Self {
        let mut command = site.command();
        command.env("USER", user);
        let provider = Provider::spawn(command);
        Self { site, provider }
    }

    fn read(&mut self) -> Value {
        let request = self.site.read_request();
        let answer = messages::answer(&request, &self.provider.request(request.to_string()));
        answer.expect("the state")["state"].take()
    }

    fn append(&mut self, patch: &Value) -> Result<(), String> {
        let request = self.site.event(patch);
        let answer = messages::answer(&request, &self.provider.request(request.to_string()))?;
        assert_eq!(answer, json!({}));
        Ok(())
    }
}

#[expect(
    clippy::needless_pass_by_value,
    reason = "it reads better where a value is written in place"
)]
fn add(path: &str, value: Value) -> Value {
    json!([{"op": "add", "path": path, "value": value}])
}

#[test]
fn created_read_and_written() {
    Site::each().iter().for_each(create_read_and_write);
}

fn create_read_and_write(site: &Site) {
    let error = site.send(&site.read_request()).expect_err("there is none");
    let place = match site.kind {
        "state_sqlite" => "/path: ",
        "state_file" => "/name: ",
        _ => "/schema: ",
    };
    assert!(error.starts_with(place), "{error}");
    assert!(error.contains("\nhint: "), "{error}");
    let work = site.sandbox.work().read_dir().expect("a folder");
    assert_eq!(work.count(), 0, "reading makes nothing");
    let present = |site: &Site| {
        site.send(&messages::read(site.kind, &site.inputs, None))
            .expect("an answer")["present"]
            .clone()
    };
    assert_eq!(present(site), false);
    site.create();
    assert_eq!(present(site), true);
    let empty = json!({"_type": "nixopsState", "resources": {}, "deployments": {}});
    assert_eq!(site.read(), empty);
    // Stateless itself, it is created at every apply.
    site.create();
    assert_eq!(site.read(), empty);
    assert_eq!(site.history(0).len(), 1);

    // What upstream sends: snake_case, and composites added whole.
    let made =
        json!({"type": "local_file", "input_properties": {"name": "a"}, "output_properties": {}});
    let nested = json!({"resources": {}, "deployments": {}});
    for patch in [
        add("/resources/a", made.clone()),
        add("/deployments/mail", nested),
        add("/deployments/mail/resources/b", made.clone()),
        json!([
            {"op": "test", "path": "/resources/a/type", "value": "local_file"},
            {"op": "replace", "path": "/resources/a/input_properties/name", "value": "b"},
        ]),
        json!([]),
    ] {
        assert_eq!(site.send(&site.event(&patch)), Ok(json!({})), "{patch}");
    }
    let expected = json!({
        "_type": "nixopsState",
        "resources": {"a": {
            "type": "local_file", "input_properties": {"name": "b"}, "output_properties": {},
        }},
        "deployments": {"mail": {"resources": {"b": made.clone()}, "deployments": {}}},
    });
    assert_eq!(site.read(), expected);
    let history = site.history(1);
    let indices: Vec<_> = history.iter().map(|event| event["index"].clone()).collect();
    assert_eq!(indices, [1, 2, 3, 4, 5]);
    for event in &history {
        assert_eq!(event["event"], "create");
        let writer = event["writer"].as_str().expect("a writer");
        assert!(writer.starts_with("ann@"), "{writer}");
        assert!(event["time"].as_str().expect("a time") > "2025");
    }
    assert_eq!(history[0]["patch"], add("/resources/a", made));
    assert_eq!(site.history(6), Vec::<Value>::new());
    site.create();
    assert_eq!(site.read(), expected, "creating again loses nothing");
}

#[test]
fn keys_of_others_are_kept() {
    Site::each().iter().for_each(keep_keys);
}

fn keep_keys(site: &Site) {
    site.create();
    let odd = json!({
        "type": "x", "input_properties": {"n": null, "deep": [1, {"~/": "~1"}]},
        "nixops4-resources": {"executable": "/x", "args": []}, "of a later version": [0.1, 1e300, u64::MAX],
    });
    let ours = json!({"edges": []});
    site.send(&site.event(&add("/resources/a~1b~0c", odd.clone())))
        .expect("it is kept");
    site.send(&site.event(&add("/nixops4-resources", ours.clone())))
        .expect("it is kept");
    let state = site.read();
    assert_eq!(state["resources"]["a/b~c"], odd);
    assert_eq!(state["nixops4-resources"], ours);
}

#[test]
fn a_patch_that_does_not_fit() {
    Site::each().iter().for_each(misfit);
}

fn misfit(site: &Site) {
    site.create();
    let before = site.read();
    let mut writer = Writer::new(site, "ann");
    writer.read();
    for patch in [
        json!([{"op": "remove", "path": "/resources/none"}]),
        json!([{"op": "test", "path": "/_type", "value": "other"}]),
        json!([{"op": "replace", "path": "/resources/none", "value": 1}]),
        // The first half fits.
        json!([
            {"op": "add", "path": "/resources/half", "value": 1},
            {"op": "remove", "path": "/resources/none"},
        ]),
    ] {
        let error = writer.append(&patch).expect_err("it does not fit");
        assert!(error.contains("does not fit the recorded state"), "{error}");
        assert!(error.contains("\nhint: "), "{error}");
        assert_eq!(site.read(), before);
    }
    // It keeps what it knew.
    writer
        .append(&add("/resources/a", json!({})))
        .expect("it fits");
    for patch in [
        json!({}),
        json!([{"op": "sing"}]),
        json!([{"op": "add", "path": "no slash", "value": 1}]),
    ] {
        let request = site.event(&patch);
        let output = oneshot(site.command(), [request.to_string()]);
        let refusal = messages::refusal(String::from_utf8_lossy(&output.stdout).trim_end());
        assert!(refusal.contains("not a request"), "{refusal}");
    }
}

#[test]
fn two_thousand_events() {
    Site::each().iter().for_each(many_events);
}

fn many_events(site: &Site) {
    site.create();
    let mut writer = Writer::new(site, "ann");
    writer.read();
    let outputs = "x".repeat(200);
    let mut times = Vec::new();
    for number in 0..2000 {
        let begun = Instant::now();
        let entry =
            json!({"type": "x", "input_properties": {}, "output_properties": {"o": outputs}});
        writer
            .append(&add(&format!("/resources/r{number}"), entry))
            .expect("it is written");
        times.push(begun.elapsed());
    }
    let state = site.read();
    assert_eq!(
        state["resources"].as_object().expect("resources").len(),
        2000
    );
    assert_eq!(writer.read(), state);
    // An event costs the same however much there is: the middle of the first
    // quarter against that of the last, with room for a busy machine.
    let median = |times: &mut [Duration]| {
        times.sort_unstable();
        times[times.len() / 2]
    };
    let (first, last) = (
        median(&mut times[..500].to_vec()),
        median(&mut times[1500..].to_vec()),
    );
    assert!(
        last < first * 3 + Duration::from_millis(2),
        "{first:?} grew to {last:?}"
    );
    // And one of 10 MiB comes back as it went.
    let large = "x".repeat(10 << 20);
    writer
        .append(&add("/resources/large", json!(large)))
        .expect("it is written");
    assert_eq!(writer.read()["resources"]["large"], json!(large));
}
