//! Every change, with when, who and what.

use std::collections::BTreeMap;

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::States;
use super::touched::touched;
use crate::failure::Failure;
use crate::member::MemberPath;
use crate::report::FORMAT;
use crate::report::state::{StateChange, StateHistory};

impl States {
    /// The changes of the states, the oldest first: those that concern something at,
    /// below or above `paths`, all of them if there are none, and of these the `last`.
    ///
    /// Fails if a state can't be read, or its provider tells no history.
    pub async fn history(
        &self,
        paths: &[MemberPath],
        last: Option<usize>,
    ) -> Result<StateHistory, Failure> {
        let mut events = Vec::new();
        for path in &self.backends {
            let Some(backend) = self.records.backend(path) else {
                continue;
            };
            for event in backend.lock().await.history().await? {
                events.push(StateChange {
                    state: path.clone(),
                    index: event.index,
                    time: event.time,
                    writer: event.writer,
                    event: event.event,
                    version: event.nixops_version,
                    paths: touched(&event.patch),
                    patch: serde_json::to_value(&event.patch).unwrap_or_default(),
                });
            }
        }
        events.retain(|event| {
            paths.is_empty()
                || event.paths.iter().any(|path| {
                    let concerns =
                        |wanted: &MemberPath| path.is_within(wanted) || wanted.is_within(path);
                    paths.iter().any(concerns)
                })
        });
        let mut events = in_time(events);
        keep_newest(&mut events, last);
        Ok(StateHistory {
            format: FORMAT,
            events,
        })
    }
}

/// The events of several states by their times. Those of one state stay in their
/// order, whatever the clocks of those who wrote them said.
fn in_time(events: Vec<StateChange>) -> Vec<StateChange> {
    let mut latest = BTreeMap::new();
    let mut timed: Vec<_> = events
        .into_iter()
        .map(|event| {
            let time = OffsetDateTime::parse(&event.time, &Rfc3339).ok();
            // None, which nobody can read, is before all others.
            let latest: &mut Option<OffsetDateTime> =
                latest.entry(event.state.clone()).or_default();
            *latest = time.max(*latest);
            (*latest, event)
        })
        .collect();
    timed.sort_by_key(|(time, _)| *time);
    timed.into_iter().map(|(_, event)| event).collect()
}

fn keep_newest(events: &mut Vec<StateChange>, last: Option<usize>) {
    if let Some(last) = last {
        events.drain(..events.len().saturating_sub(last));
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn of_several_states_the_last_ones_are_the_newest() {
        let event = |state: &str, index, time: &str| StateChange {
            state: MemberPath(vec![state.to_owned()]),
            index,
            time: time.to_owned(),
            writer: None,
            event: "create".to_owned(),
            version: None,
            paths: Vec::new(),
            patch: json!([]),
        };
        let events = vec![
            event("a", 0, "2026-01-01T00:00:00Z"),
            event("a", 1, "2026-01-01T00:00:09.5+00:00"),
            event("b", 0, "2026-01-01T00:00:01Z"),
            // One whose clock was slow, and one in another zone.
            event("b", 1, "2026-01-01T00:00:00Z"),
            event("b", 2, "2026-01-01T01:00:09+01:00"),
            event("c", 0, "yesterday"),
        ];
        let names = |events: &[StateChange]| -> Vec<String> {
            let names = events.iter().map(|it| format!("{}{}", it.state, it.index));
            names.collect()
        };
        let mut events = in_time(events);
        assert_eq!(names(&events), ["c0", "a0", "b0", "b1", "b2", "a1"]);
        keep_newest(&mut events, None);
        assert_eq!(events.len(), 6);
        keep_newest(&mut events, Some(2));
        assert_eq!(names(&events), ["b2", "a1"]);
    }
}
