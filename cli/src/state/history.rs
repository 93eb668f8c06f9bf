//! `state history`: every change, with when, who and what.

use std::fmt::Write as _;

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
        for event in keeper.lock().await.history(0).await? {
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
    if let Some(last) = last {
        events.drain(..events.len().saturating_sub(last));
    }
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
            text::harmless(event.writer.as_deref().unwrap_or("(not noted)")),
            paint.bold(&text::harmless(what)),
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
        Some(seconds) => text::harmless(&seconds.replace('T', " ")),
        None => text::harmless(time),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

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
        assert_eq!(time("yesterday"), "yesterday");
        assert_eq!(time("äääääTääääääääääääää"), "äääääTääääääääääääää");
    }
}
