//! Whose turn it is: of two applies that want to change the same, one begins, and
//! the other is refused before it has changed anything.
//!
//! An apply says what it will change in one event that changes nothing, so that its
//! provider refuses all but the first of those who have read the same. Who reads
//! later looks whether an apply that has begun is still at work.

use std::collections::BTreeMap;

use json_patch::jsonptr::PointerBuf;
use json_patch::{AddOperation, Patch, PatchOperation, RemoveOperation};
use nixops4_protocol::message::HistoryEvent;
use serde::{Deserialize, Serialize};
use serde_json::json;
use time::format_description::well_known::Rfc3339;
use time::{Duration, OffsetDateTime};

use super::keeper::{concerns, places};

/// The events that say that an apply begins, and that it has ended.
pub(super) const BEGIN: &str = "begin";
pub(super) const END: &str = "end";
/// How many of the last events are searched for those who have begun.
pub(super) const LAST: u64 = 2000;
/// Who runs on another machine is taken to be at work for so long after their last
/// event, because nobody here can see whether they were killed.
const PATIENCE: Duration = Duration::MINUTE;
/// What the place begins with at which an event tells of its process.
const PLACE: &str = "/nixops4-resources-apply-";

/// One apply: the process that does it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) struct Turn {
    /// The machine since it was started.
    machine: String,
    /// The number space of its processes, as a container has its own.
    space: String,
    process: u32,
    /// When the process was started, in the kernel's count.
    started: String,
}

impl Turn {
    /// That of this process.
    pub(super) fn of_this_process() -> Self {
        let machine = std::fs::read_to_string("/proc/sys/kernel/random/boot_id");
        let process = std::process::id();
        Self {
            machine: machine.unwrap_or_default().trim().to_owned(),
            space: space(),
            process,
            started: started(process).unwrap_or_default(),
        }
    }

    /// Whether the process is still there; `None` where nobody here can see that.
    fn is_there(&self, here: &Self) -> Option<bool> {
        let is_visible = !self.machine.is_empty()
            && (&self.machine, &self.space) == (&here.machine, &here.space);
        is_visible.then(|| started(self.process).as_ref() == Some(&self.started))
    }

    /// The patch that tells of it and changes nothing.
    pub(super) fn patch(&self, others: impl IntoIterator<Item = PatchOperation>) -> Patch {
        let place = format!("{PLACE}{}-{}-{}", self.machine, self.process, self.started);
        let path = PointerBuf::parse(place).unwrap_or_default();
        let add = PatchOperation::Add(AddOperation {
            path: path.clone(),
            value: json!(self),
        });
        let remove = PatchOperation::Remove(RemoveOperation { path });
        Patch([add, remove].into_iter().chain(others).collect())
    }

    /// The one that an event tells of.
    fn told_by(event: &HistoryEvent) -> Option<Self> {
        let mut operations = event.patch.iter();
        let value = operations.find_map(|operation| match operation {
            PatchOperation::Add(at) if is_of_a_turn(at.path.as_str()) => Some(&at.value),
            _ => None,
        })?;
        Self::deserialize(value).ok()
    }
}

/// Whether something there tells of an apply, and of nothing that is recorded.
pub(crate) fn is_of_a_turn(place: &str) -> bool {
    place.starts_with(PLACE)
}

fn space() -> String {
    let space = std::fs::read_link("/proc/self/ns/pid");
    space.map_or_else(|_| String::new(), |space| space.display().to_string())
}

/// When a process was started, if it is there and does not only wait to be buried.
fn started(process: u32) -> Option<String> {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    // The name before may have anything in it.
    let (_, fields) = stat.rsplit_once(") ")?;
    let mut fields = fields.split(' ');
    let is_dead = matches!(fields.next(), Some("Z" | "X"));
    let started = fields.nth(18).map(str::to_owned);
    started.filter(|_| !is_dead)
}

/// An apply that has begun and not ended.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Begun {
    pub(super) writer: String,
    pub(super) time: String,
    /// Where it changes something.
    places: Vec<String>,
    /// When its writer last recorded anything.
    last: String,
}

/// Finds those who have begun, in the events as they come.
#[derive(Debug, Default)]
pub(super) struct Search(BTreeMap<Turn, Begun>);

impl Search {
    pub(super) fn see(&mut self, event: &HistoryEvent) {
        let writer = event.writer.clone().unwrap_or_default();
        for begun in self.0.values_mut().filter(|begun| begun.writer == writer) {
            begun.last.clone_from(&event.time);
        }
        let turn = Turn::told_by(event);
        match (event.event.as_str(), turn) {
            (BEGIN, Some(turn)) => {
                let places = places(&event.patch).filter(|place| !is_of_a_turn(place));
                let begun = Begun {
                    places: places.map(str::to_owned).collect(),
                    last: event.time.clone(),
                    time: event.time.clone(),
                    writer,
                };
                self.0.insert(turn, begun);
            }
            (END, Some(turn)) => drop(self.0.remove(&turn)),
            _ => {}
        }
    }

    /// Who is at work on something that `patch` concerns, as far as `here` can see.
    pub(super) fn at_work_on(
        self,
        patch: &[PatchOperation],
        here: &Turn,
        now: OffsetDateTime,
    ) -> Option<Begun> {
        let is_at_work = |turn: &Turn, begun: &Begun| {
            turn != here
                && turn.is_there(here).unwrap_or_else(|| {
                    let last = OffsetDateTime::parse(&begun.last, &Rfc3339);
                    // A clock that is ahead must keep nobody out for long.
                    last.is_ok_and(|last| (now - last).abs() < PATIENCE)
                })
        };
        let mut all = self.0.into_iter();
        all.find(|(turn, begun)| is_at_work(turn, begun) && concerns(patch, &begun.places))
            .map(|(_, begun)| begun)
    }
}

#[cfg(test)]
mod tests {
    use nixops4_protocol::state;

    use super::*;

    fn turn(machine: &str, process: u32) -> Turn {
        Turn {
            machine: machine.to_owned(),
            space: space(),
            process,
            started: started(process).unwrap_or_default(),
        }
    }

    fn touching(name: &str) -> Vec<PatchOperation> {
        state::touch(&state::empty(), &[name.to_owned()]).0
    }

    fn event(name: &str, turn: &Turn, touched: &[&str], time: &str) -> HistoryEvent {
        HistoryEvent {
            index: 0,
            time: time.to_owned(),
            writer: Some("ann@desk".to_owned()),
            event: name.to_owned(),
            nixops_version: None,
            patch: turn.patch(touched.iter().flat_map(|name| touching(name))),
        }
    }

    fn found(events: &[HistoryEvent], name: &str, here: &Turn) -> Option<String> {
        let mut search = Search::default();
        for event in events {
            search.see(event);
        }
        let now = OffsetDateTime::parse("2026-01-01T00:01:00Z", &Rfc3339).unwrap();
        let begun = search.at_work_on(&touching(name), here, now)?;
        Some(format!("{} {}", begun.writer, begun.time))
    }

    #[test]
    fn telling_of_an_apply_changes_nothing() {
        let mut document = state::empty();
        document["resources"]["a"] = json!({"type": "t", "input_properties": {}});
        let before = document.clone();
        let path = |names: &[&str]| {
            names
                .iter()
                .map(|&name| name.to_owned())
                .collect::<Vec<_>>()
        };
        for (names, places) in [
            (path(&["a"]), &["/resources/a/type"][..]),
            (path(&["b"]), &["/resources/b", "/resources/b"]),
            (
                path(&["web", "c"]),
                &[
                    "/deployments/web",
                    "/deployments/web/resources/c",
                    "/deployments/web/resources/c",
                    "/deployments/web",
                ],
            ),
        ] {
            let touching = state::touch(&document, &names);
            let found: Vec<&str> = super::places(&touching).collect();
            assert_eq!(found, places);
            let changes = turn("here", 1).patch(touching.0);
            json_patch::patch(&mut document, &changes).unwrap();
            assert_eq!(document, before);
        }
    }

    #[test]
    fn who_is_at_work() {
        let here = turn("here", std::process::id());
        // The first process of all is always there, and this number never is.
        let (there, gone) = (turn("here", 1), turn("here", u32::MAX));
        let elsewhere = turn("there", 1);
        let begun = |turn: &Turn, time| event(BEGIN, turn, &["a"], time);
        let old = "2025-01-01T00:00:00Z";
        let lately = "2026-01-01T00:00:30Z";
        let ended = event(END, &there, &[], lately);
        for (events, is_at_work) in [
            (vec![begun(&there, old)], true),
            (vec![begun(&there, old), ended], false),
            (vec![begun(&gone, lately)], false),
            (vec![begun(&here, lately)], false),
            (vec![begun(&elsewhere, lately)], true),
            (vec![begun(&elsewhere, old)], false),
            // They are still recording.
            (
                vec![
                    begun(&elsewhere, old),
                    event("create", &here, &["b"], lately),
                ],
                true,
            ),
            // Its clock is a year ahead.
            (vec![begun(&elsewhere, "2027-01-01T00:00:00Z")], false),
        ] {
            let found = found(&events, "a", &here);
            let expected = is_at_work.then(|| format!("ann@desk {}", events[0].time));
            assert_eq!(found, expected, "{events:?}");
        }
        assert_eq!(found(&[begun(&there, lately)], "b", &here), None);
    }
}
