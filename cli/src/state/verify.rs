//! `state verify`: whether a state is whole.

use std::fmt::Write as _;

use nixops4_resources_engine::Outcome;
use nixops4_resources_engine::state::States;

use crate::failure::Failure;
use crate::report::state::StateVerification;
use crate::ui::text;
use crate::ui::{Reader, Ui};

pub(super) async fn verify(ui: &Ui, states: &States) -> Result<Outcome, Failure> {
    let verification = states.verify().await;
    match ui.reader() {
        Reader::Machine => ui.json(&verification, true),
        Reader::Person => ui.print(&written(&verification)),
    }
    Ok(if verification.success {
        Outcome::Done
    } else {
        Outcome::Failed
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
