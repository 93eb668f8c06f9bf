//! `state verify`: whether a state is whole.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use nixops4_protocol::message::HistoryEvent;
use nixops4_protocol::state::{self, RecordedResource};
use serde_json::Value;

use super::Chosen;
use crate::commands::Ending;
use crate::failure::Failure;
use crate::member::MemberPath;
use crate::records::RecordsError;
use crate::report::FORMAT;
use crate::report::state::{StateVerification, Verified};
use crate::ui::text;
use crate::ui::{Reader, Ui};

pub(super) async fn verify(ui: &Ui, chosen: &Chosen<'_>) -> Result<Ending, Failure> {
    let mut states = Vec::new();
    for path in &chosen.keepers {
        let Some(keeper) = chosen.records.keeper(path) else {
            continue;
        };
        let mut keeper = keeper.lock().await;
        let mut problems = Vec::new();
        let mut notes = Vec::new();
        let mut events = None;
        let mut replay = Replay::default();
        match keeper.each_event(0, |event| replay.see(event)).await {
            Ok(()) => {
                events = Some(replay.events);
                problems.extend(replay.problem(keeper.document()));
                notes.extend(replay.odd_times());
            }
            Err(RecordsError::NoHistory { .. }) => notes.push(
                "its provider does not tell the events, so only what they add up to was checked"
                    .to_owned(),
            ),
            Err(error) => problems.push(error.to_string()),
        }
        let mut resources = 0;
        match state::resources(keeper.document()) {
            Ok(recorded) => {
                resources = recorded.len();
                problems.extend(circles(&recorded));
                notes.extend(dangling(&recorded));
            }
            Err(error) => problems.push(error.to_string()),
        }
        states.push(Verified {
            state: path.clone(),
            events,
            resources,
            problems,
            notes,
        });
    }
    let verification = StateVerification {
        format: FORMAT,
        success: states.iter().all(|state| state.problems.is_empty()),
        states,
    };
    match ui.reader() {
        Reader::Machine => ui.json(&verification, true),
        Reader::Person => ui.print(&written(&verification)),
    }
    Ok(if verification.success {
        Ending::Done
    } else {
        Ending::Failed
    })
}

fn written(verification: &StateVerification) -> String {
    let mut text = String::new();
    for state in &verification.states {
        let events = match state.events {
            Some(number) => format!("{}, ", text::count(number, "event", "events")),
            None => String::new(),
        };
        let verdict = match state.problems.len() {
            0 => "it is whole".to_owned(),
            number => format!("{} with it", text::count(number, "problem", "problems")),
        };
        let _ = writeln!(
            text,
            "{}: {events}{}; {verdict}",
            state.state,
            text::count(state.resources, "resource", "resources")
        );
        for (word, lines) in [("problem", &state.problems), ("note", &state.notes)] {
            for line in lines {
                let line = text::theirs(line);
                let _ = writeln!(text, "  {word}: {line}");
            }
        }
    }
    if !verification.success {
        text.push_str("Restore it from a backup, or from `state export` of another day.\n");
    }
    text
}

/// Whether the events follow one another and add up to the document: what is known
/// after those that were seen.
#[derive(Default)]
struct Replay {
    events: usize,
    document: Value,
    problem: Option<String>,
    last_time: String,
    /// Events that say they are older than those before them.
    odd: Vec<String>,
}

impl Replay {
    fn see(&mut self, event: HistoryEvent) {
        let expected = self.events as u64;
        self.events += 1;
        // Of one way of writing, texts sort as times do.
        if self.last_time.ends_with('Z') && event.time.ends_with('Z') && self.last_time > event.time
        {
            self.odd.push(event.index.to_string());
        }
        self.last_time = event.time;
        if self.problem.is_some() {
            return;
        }
        if event.index != expected {
            let found = event.index;
            self.problem = Some(format!(
                "event {expected} is missing; event {found} follows"
            ));
        } else if let Err(error) = state::apply(&mut self.document, event.patch) {
            self.problem = Some(format!("event {expected} does not apply: {error}"));
        }
    }

    fn problem(&self, document: &Value) -> Option<String> {
        let differs = || {
            let differs = self.events > 0 && self.document != *document;
            differs.then(|| "the events do not add up to what is recorded".to_owned())
        };
        self.problem.clone().or_else(differs)
    }

    fn odd_times(&self) -> Option<String> {
        (!self.odd.is_empty()).then(|| {
            format!(
                "older than the event before by its clock: event {}; the machines' clocks differ",
                self.odd.join(", ")
            )
        })
    }
}

type Recorded = [(Vec<String>, RecordedResource)];

fn edges(recorded: &Recorded) -> BTreeMap<MemberPath, BTreeSet<MemberPath>> {
    let mut edges = BTreeMap::new();
    for (path, resource) in recorded {
        let extension = resource.extension.as_ref();
        let known = extension.and_then(|extension| extension.depends_on.as_ref());
        let others = known
            .into_iter()
            .flatten()
            .map(|dependency| MemberPath(dependency.path.clone()));
        edges.insert(MemberPath(path.clone()), others.collect());
    }
    edges
}

/// What depends on itself could never be destroyed in order.
fn circles(recorded: &Recorded) -> Vec<String> {
    let mut edges = edges(recorded);
    loop {
        let known: BTreeSet<MemberPath> = edges.keys().cloned().collect();
        let before = edges.len();
        edges.retain(|_, others| others.iter().any(|other| known.contains(other)));
        if edges.len() == before {
            break;
        }
    }
    if edges.is_empty() {
        return Vec::new();
    }
    let names: Vec<String> = edges.keys().map(|path| format!("'{path}'")).collect();
    vec![format!(
        "these depend on each other in circles: {}",
        names.join(", ")
    )]
}

/// What was made from something that is recorded no more.
fn dangling(recorded: &Recorded) -> Vec<String> {
    let edges = edges(recorded);
    let mut notes = Vec::new();
    for (path, others) in &edges {
        let gone = others.iter().filter(|other| !edges.contains_key(other));
        for other in gone {
            notes.push(format!(
                "'{path}' was made from '{other}', which is not recorded here"
            ));
        }
    }
    notes
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn event(index: u64, time: &str, patch: Value) -> HistoryEvent {
        HistoryEvent {
            index,
            time: time.to_owned(),
            writer: None,
            event: "create".to_owned(),
            nixops_version: None,
            patch: serde_json::from_value(patch).unwrap(),
        }
    }

    #[test]
    fn events_that_do_not_add_up() {
        let first = event(
            0,
            "2026Z",
            json!([{"op": "add", "path": "", "value": {"a": 1}}]),
        );
        let remove = json!([{"op": "remove", "path": "/a"}]);
        let replayed = |events: &[HistoryEvent]| {
            let mut replay = Replay::default();
            for event in events {
                replay.see(event.clone());
            }
            replay
        };
        let whole = replayed(&[first.clone(), event(1, "2025Z", remove.clone())]);
        assert_eq!(whole.problem(&json!({})), None);
        assert_eq!(replayed(&[]).problem(&json!({})), None);
        for (events, document, why) in [
            (vec![first.clone()], json!({}), "do not add up"),
            (
                vec![first.clone(), event(2, "", json!([]))],
                json!({}),
                "event 1 is missing",
            ),
            (
                vec![first, event(1, "", remove.clone()), event(2, "", remove)],
                json!({}),
                "event 2 does not apply",
            ),
        ] {
            let problem = replayed(&events).problem(&document);
            assert!(
                problem.as_ref().is_some_and(|it| it.contains(why)),
                "{problem:?}"
            );
        }
        assert!(whole.odd_times().is_some_and(|odd| odd.contains("event 1")));
    }

    #[test]
    fn edges_in_circles_and_to_nowhere() {
        let resource = |name: &str, others: &[&str]| {
            let others: Vec<Value> = others.iter().map(|name| json!({"path": [name]})).collect();
            let resource = json!({
                "type": "t", "input_properties": {}, "output_properties": {},
                "nixops4-resources": {"executable": "x", "dependsOn": others},
            });
            (
                vec![name.to_owned()],
                serde_json::from_value(resource).unwrap(),
            )
        };
        let fine = [resource("a", &[]), resource("b", &["a"])];
        assert_eq!(circles(&fine), [""; 0]);
        assert_eq!(dangling(&fine), [""; 0]);
        let odd = [
            resource("a", &["b"]),
            resource("b", &["a"]),
            resource("c", &["none"]),
        ];
        assert_eq!(
            circles(&odd),
            ["these depend on each other in circles: 'a', 'b'"]
        );
        assert_eq!(
            dangling(&odd),
            ["'c' was made from 'none', which is not recorded here"]
        );
    }
}
