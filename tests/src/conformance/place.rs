//! Calls of a provider, and the things that are made by them.

use std::collections::BTreeSet;
use std::process::{Command, Output};

use serde_json::{Value, json};

use super::fixture::{Fixture, Verdict};
use crate::messages::{self, Object};
use crate::provider::{Provider, killed_at, oneshot};
use crate::{binaries, messages::set};

/// The deployment that things belong to unless another is said.
pub(super) const OWNER: &str = "conformance";

/// A fixture, with the calls that can be made there.
pub struct Place<F> {
    /// The kind and its server.
    pub fixture: F,
    /// What was on the server before.
    before: BTreeSet<String>,
}

impl<F: Fixture> Default for Place<F> {
    fn default() -> Self {
        Self::new()
    }
}

impl<F: Fixture> Place<F> {
    /// A server to work on.
    #[must_use]
    pub fn new() -> Self {
        let fixture = F::new();
        let before = fixture.everything();
        Self { fixture, before }
    }

    /// A thing that is not made yet.
    #[must_use]
    pub fn thing(&self, name: &str) -> Thing<'_, F> {
        // Servers are used again, and what is retained stays there.
        let name = format!("{name}-{}", unique());
        let mut inputs = self.fixture.inputs(&name);
        inputs.insert("owner".to_owned(), json!(OWNER));
        Thing {
            at: self,
            name,
            inputs,
            record: None,
        }
    }

    /// Panics if anything else is on the server than before and these.
    pub fn assert_only(&self, names: &[&str]) {
        let mut expected = self.before.clone();
        expected.extend(names.iter().map(|name| (*name).to_owned()));
        assert_eq!(self.fixture.everything(), expected, "what is on the server");
    }

    /// The provider, at trace level.
    #[must_use]
    pub fn command(&self) -> Command {
        let executable = binaries::path(F::PROVIDER);
        let mut command = self.fixture.sandbox().command(executable);
        command
            .envs(self.fixture.environment())
            .env("NIXOPS4_RESOURCES_LOG", "trace")
            .env("NIXOPS4_RESOURCES_LOG_FORMAT", "json");
        command
    }

    /// Sends requests to one process. Panics if it ends badly, if the answers
    /// are not one for each, or if a secret comes out.
    pub fn send_all(&self, requests: &[Value]) -> Vec<Result<Value, String>> {
        let output = self.heard(oneshot(
            self.command(),
            requests.iter().map(Value::to_string),
        ));
        self.answers(requests, &output)
    }

    /// Sends a request to a process of its own.
    pub fn send(&self, request: &Value) -> Result<Value, String> {
        let mut answers = self.send_all(std::slice::from_ref(request));
        answers.pop().expect("one answer")
    }

    /// Sends each request to a process of its own, all at once.
    pub fn send_at_once(&self, requests: &[Value]) -> Vec<Result<Value, String>> {
        let running: Vec<_> = requests
            .iter()
            .map(|request| {
                let mut provider = Provider::spawn(self.command());
                provider.send(request.to_string());
                provider.close_stdin();
                provider
            })
            .collect();
        let answer = |(provider, request): (Provider, &Value)| {
            let output = self.heard(provider.finish());
            let mut answers = self.answers(std::slice::from_ref(request), &output);
            answers.pop().expect("one answer")
        };
        running.into_iter().zip(requests).map(answer).collect()
    }

    /// Sends a request that succeeds, and gives the failpoints that were passed,
    /// each with how often it had been passed before.
    #[must_use]
    pub fn failpoints(&self, request: &Value) -> Vec<(String, usize)> {
        let output = self.heard(oneshot(self.command(), [request.to_string()]));
        for answer in self.answers(std::slice::from_ref(request), &output) {
            answer.expect("it succeeds");
        }
        let mut passed: Vec<(String, usize)> = Vec::new();
        let stderr = String::from_utf8_lossy(&output.stderr);
        for event in stderr
            .lines()
            .filter_map(|line| serde_json::from_str::<Value>(line).ok())
            .filter(|event| event["target"] == "failpoint")
        {
            let name = event["fields"]["message"].as_str().expect("a name");
            if F::KILLED_ELSEWHERE
                .iter()
                .any(|shared| name.starts_with(shared))
            {
                continue;
            }
            let times = passed.iter().filter(|(known, _)| known == name).count();
            passed.push((name.to_owned(), times));
        }
        assert!(!passed.is_empty(), "no failpoint was passed: {stderr}");
        passed
    }

    /// Sends a request and kills the process at a failpoint. Panics unless it
    /// is killed there, with nothing answered.
    pub fn kill_at(&self, (failpoint, times): &(String, usize), request: &Value) {
        let line = request.to_string();
        self.heard(killed_at(self.command(), failpoint, *times, line));
    }

    /// Searches what came out of a process.
    fn heard(&self, output: Output) -> Output {
        for secret in self.fixture.secrets() {
            secret.assert_absent("stdout", &output.stdout);
            secret.assert_absent("stderr", &output.stderr);
        }
        output
    }

    #[expect(clippy::unused_self, reason = "it belongs to the calls")]
    fn answers(&self, requests: &[Value], output: &Output) -> Vec<Result<Value, String>> {
        let stdout = String::from_utf8_lossy(&output.stdout);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{}: {stderr}", output.status);
        let lines: Vec<_> = stdout.lines().collect();
        assert_eq!(lines.len(), requests.len(), "answers: {stdout}\n{stderr}");
        requests
            .iter()
            .zip(lines)
            .map(|(request, line)| messages::answer(request, line))
            .collect()
    }
}

fn unique() -> usize {
    use std::sync::atomic::{AtomicUsize, Ordering};
    static NEXT: AtomicUsize = AtomicUsize::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// What a plan says.
#[derive(Debug, Clone, PartialEq)]
pub struct Planned {
    /// The action.
    pub action: String,
    /// The pointers of its changes.
    pub pointers: BTreeSet<String>,
    /// All of it.
    pub whole: Value,
}

/// One thing: what is wanted of it, and what was recorded.
pub struct Thing<'a, F> {
    /// Where it is.
    pub at: &'a Place<F>,
    /// Its name.
    pub name: String,
    /// The inputs that are wanted.
    pub inputs: Object,
    /// What was recorded: inputs and outputs.
    pub record: Option<(Object, Object)>,
}

impl<F> Clone for Thing<'_, F> {
    fn clone(&self) -> Self {
        Self {
            at: self.at,
            name: self.name.clone(),
            inputs: self.inputs.clone(),
            record: self.record.clone(),
        }
    }
}

impl<F: Fixture> Thing<'_, F> {
    /// Wants another value.
    pub fn set(&mut self, pointer: &str, value: impl Into<Value>) -> &mut Self {
        set(&mut self.inputs, pointer, value.into());
        self
    }

    /// Wants every change that can be made.
    pub fn change_everything(&mut self) -> &mut Self {
        for field in self.at.fixture.fields() {
            if field.verdict == Verdict::Changed {
                self.set(field.pointer, field.value);
            }
        }
        self
    }

    /// What was recorded, as a request has it.
    #[must_use]
    pub fn resource(&self) -> Option<Value> {
        let (inputs, outputs) = self.record.as_ref()?;
        Some(messages::resource(F::TYPE, inputs, Some(outputs)))
    }

    /// The request that creates it.
    #[must_use]
    pub fn create_request(&self) -> Value {
        messages::create(F::TYPE, &self.inputs, true)
    }

    /// The request that updates it.
    #[must_use]
    pub fn update_request(&self) -> Value {
        messages::update(&self.resource().expect("it was made"), &self.inputs)
    }

    /// The request that destroys it with this policy.
    #[must_use]
    pub fn destroy_request(&self, policy: Option<&str>) -> Value {
        let (mut inputs, outputs) = self.record.clone().expect("it was made");
        inputs.insert("deletionPolicy".to_owned(), json!(policy));
        messages::destroy(&messages::resource(F::TYPE, &inputs, Some(&outputs)))
    }

    /// Creates it and records the result.
    pub fn try_create(&mut self) -> Result<Object, String> {
        let answer = self.at.send(&self.create_request())?;
        Ok(self.take(answer))
    }

    /// Creates it and records the result.
    pub fn create(&mut self) -> Object {
        let name = self.name.clone();
        self.try_create()
            .unwrap_or_else(|error| panic!("cannot create {name}: {error}"))
    }

    /// Updates it and records the result.
    pub fn try_update(&mut self) -> Result<Object, String> {
        let answer = self.at.send(&self.update_request())?;
        Ok(self.take(answer))
    }

    /// Updates it and records the result.
    pub fn update(&mut self) -> Object {
        let name = self.name.clone();
        self.try_update()
            .unwrap_or_else(|error| panic!("cannot update {name}: {error}"))
    }

    /// Records an answer to create or update.
    pub fn take(&mut self, mut answer: Value) -> Object {
        let outputs = messages::object(answer["outputProperties"].take());
        self.record = Some((self.inputs.clone(), outputs.clone()));
        outputs
    }

    /// Destroys it; what was recorded stays, to try it again.
    pub fn try_destroy(&self, policy: Option<&str>) -> Result<(), String> {
        let answer = self.at.send(&self.destroy_request(policy))?;
        assert_eq!(answer, json!({}));
        Ok(())
    }

    /// Destroys it.
    pub fn destroy(&self, policy: Option<&str>) {
        self.try_destroy(policy)
            .unwrap_or_else(|error| panic!("cannot destroy {}: {error}", self.name));
    }

    /// Plans it, with what was recorded.
    pub fn try_plan(&self) -> Result<Planned, String> {
        let whole = self.at.send(&messages::plan(
            F::TYPE,
            &self.inputs,
            &[],
            self.resource().as_ref(),
        ))?;
        Ok(planned(whole))
    }

    /// Plans it, with what was recorded.
    #[must_use]
    pub fn plan(&self) -> Planned {
        self.try_plan()
            .unwrap_or_else(|error| panic!("cannot plan {}: {error}", self.name))
    }

    /// Panics unless there is nothing to do.
    pub fn assert_settled(&self) {
        let planned = self.plan();
        assert_eq!(planned.action, "none", "{}", planned.whole);
        assert_eq!(planned.whole["changes"], json!([]));
        assert_eq!(planned.whole["unknownOutputs"], json!([]));
    }

    /// What is there.
    #[must_use]
    pub fn look(&self) -> Value {
        let found = self.at.fixture.look(&self.name);
        found.unwrap_or_else(|| panic!("{} is not there", self.name))
    }

    /// What is there, whatever it is called.
    #[must_use]
    pub fn likeness(&self) -> String {
        self.look().to_string().replace(&self.name, "NAME")
    }

    /// Whether it is there.
    #[must_use]
    pub fn is_there(&self) -> bool {
        self.at.fixture.look(&self.name).is_some()
    }

    /// Differs after every write to it.
    #[must_use]
    pub fn version(&self) -> String {
        self.at.fixture.version(&self.name)
    }
}

/// Reads a plan.
pub(super) fn planned(whole: Value) -> Planned {
    let changes = whole["changes"].as_array().expect("a list of changes");
    Planned {
        action: whole["action"].as_str().expect("an action").to_owned(),
        pointers: changes
            .iter()
            .map(|change| change["path"].as_str().expect("a pointer").to_owned())
            .collect(),
        whole,
    }
}
