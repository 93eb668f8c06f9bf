//! `state history`: every change, with when, who and what.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::Chosen;
use super::touched::touched;
use crate::commands::Ending;
use crate::failure::Failure;
use crate::member::MemberPath;
use crate::report::FORMAT;
use crate::report::state::{StateChange, StateHistory};
use crate::ui::text::{self, Paint};
use crate::ui::{Reader, Ui};

/// How many members of one event are named.
const SHOWN: usize = 8;

pub(super) async fn history(
    ui: &Ui,
    chosen: &Chosen<'_>,
    paths: &[MemberPath],
    last: Option<usize>,
) -> Result<Ending, Failure> {
    let mut events = Vec::new();
    for path in &chosen.keepers {
        let Some(keeper) = chosen.records.keeper(path) else {
            continue;
        };
        for event in keeper.lock().await.history().await? {
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
    let history = StateHistory {
        format: FORMAT,
        events,
    };
    match ui.reader() {
        Reader::Machine => ui.json(&history, true),
        Reader::Person => ui.print(&listing(&history, chosen.keepers.len() > 1, ui.paint())),
    }
    Ok(Ending::Done)
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

fn listing(history: &StateHistory, several: bool, paint: Paint) -> String {
    let mut text = String::new();
    for event in &history.events {
        let what = match event.event.as_str() {
            "" => "change",
            what => what,
        };
        let paths = event.paths.iter().map(ToString::to_string);
        let mut paths: Vec<String> = paths.take(SHOWN).collect();
        if event.paths.len() > SHOWN {
            paths.push(format!("and {} more", event.paths.len() - SHOWN));
        }
        let _ = writeln!(
            text,
            "{} {}  {} {} {}",
            paint.dim(&format!("#{}", event.index)),
            time(&event.time),
            text::line(event.writer.as_deref().unwrap_or("(not noted)")),
            paint.bold(&text::line(what)),
            paths.join(", "),
        );
        if several {
            let _ = writeln!(text, "    in {}", event.state);
        }
    }
    let number = history.events.len();
    let _ = writeln!(
        text,
        "{}",
        paint.bold(&text::count(number, "event", "events"))
    );
    text
}

/// A time as people read it: to the second, in UTC as it was written.
fn time(time: &str) -> String {
    let seconds = time
        .get(..19)
        .filter(|_| time.is_ascii() && time.get(10..11) == Some("T"));
    match seconds {
        Some(seconds) => text::line(&seconds.replace('T', " ")),
        None => text::line(time),
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

    #[test]
    fn who_did_what_and_when() {
        let event = |index, writer: Option<&str>, event: &str, path: &str| StateChange {
            state: MemberPath(vec!["state".to_owned()]),
            index,
            time: "2026-02-03T04:05:06.789Z".to_owned(),
            writer: writer.map(str::to_owned),
            event: event.to_owned(),
            version: None,
            paths: vec![MemberPath(vec![path.to_owned()])],
            patch: json!([]),
        };
        let history = StateHistory {
            format: FORMAT,
            events: vec![
                event(0, None, "", "a"),
                event(1, Some("ann@desk"), "create", "b"),
            ],
        };
        assert_eq!(
            listing(&history, false, Paint { colour: false }),
            "#0 2026-02-03 04:05:06  (not noted) change a\n\
             #1 2026-02-03 04:05:06  ann@desk create b\n\
             2 events\n"
        );
        let schema = schemars::schema_for!(StateHistory);
        let schema = jsonschema::draft202012::new(schema.as_value()).unwrap();
        assert!(schema.is_valid(&json!(history)));
        assert_eq!(time("yesterday"), "yesterday");
        assert_eq!(time("äääääTääääääääääääää"), "äääääTääääääääääääää");
    }
}
