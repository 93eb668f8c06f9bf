//! `state history`: every change, with when, who and what.

use std::fmt::Write as _;

use nixops4_resources_engine::state::States;

use crate::failure::Failure;
use crate::member::MemberPath;
use crate::report::state::StateHistory;
use crate::ui::text::{self, Paint};
use crate::ui::{Reader, Ui};

/// How many members of one event are named.
const SHOWN: usize = 8;

pub(super) async fn history(
    ui: &Ui,
    states: &States,
    paths: &[MemberPath],
    last: Option<usize>,
) -> Result<(), Failure> {
    let history = states.history(paths, last).await?;
    match ui.reader() {
        Reader::Machine => ui.json(&history, true),
        Reader::Person => ui.print(&listing(&history, states.are_several(), ui.paint())),
    }
    Ok(())
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
    use crate::report::FORMAT;
    use crate::report::state::StateChange;

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
