//! `state mv` and `state rm`: the things themselves stay as they are.

use std::fmt::Write as _;

use nixops4_resources_engine::Answer;
use nixops4_resources_engine::state::States;

use crate::failure::Failure;
use crate::interrupts::signals;
use crate::member::MemberPath;
use crate::report::state::StateChanged;
use crate::ui::text;
use crate::ui::{Reader, Ui};

pub(super) async fn mv(
    ui: &Ui,
    states: &States,
    from: &MemberPath,
    to: &MemberPath,
) -> Result<(), Failure> {
    let changed = states.rename(from, to).await?;
    let text = format!(
        "'{from}' is recorded as '{to}' now ({}); nothing else was changed\n",
        text::count(changed.resources, "resource", "resources")
    );
    tell(ui, &changed, &text);
    Ok(())
}

pub(super) async fn rm(
    ui: &Ui,
    states: &States,
    paths: &[MemberPath],
    yes: bool,
) -> Result<(), Failure> {
    let entries = states.below(paths)?;
    if ui.reader() == Reader::Person {
        let mut lines = String::new();
        for entry in &entries {
            let _ = writeln!(lines, "    {}  {}", entry.path, text::line(&entry.r#type));
        }
        ui.print(&format!(
            "Will be forgotten; the things themselves stay, and nobody looks after them:\n{lines}"
        ));
    }
    let number = text::count(entries.len(), "resource", "resources");
    if !yes {
        let question = format!("Really forget {number}? Type yes: ");
        let answer = signals()?.race(ui.ask(&question)).await?;
        let failure = |error| Failure::Io("cannot read the answer".to_owned(), error);
        match answer.map_err(failure)? {
            Answer::Yes => {}
            Answer::No => return Err(Failure::NotForgotten("the answer was not yes")),
            Answer::Nobody => {
                return Err(Failure::NotForgotten(
                    "there is nobody to ask; --yes does it without asking",
                ));
            }
        }
    }
    let changed = states.forget(paths).await?;
    tell(ui, &changed, &format!("forgot {number}\n"));
    Ok(())
}

pub(super) fn tell(ui: &Ui, changed: &StateChanged, words: &str) {
    match ui.reader() {
        Reader::Machine => ui.json(changed, true),
        Reader::Person => ui.print(words),
    }
}
