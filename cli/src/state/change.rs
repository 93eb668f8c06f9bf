//! `state mv` and `state rm`: the things themselves stay as they are.

use std::fmt::Write as _;

use json_patch::Patch;
use nixops4_protocol::state;

use super::{Chosen, StateError};
use crate::commands::{Ending, signals};
use crate::failure::Failure;
use crate::member::MemberPath;
use crate::records::RecordsError;
use crate::report::state::StateChanged;
use crate::ui::text;
use crate::ui::{Reader, Ui};

pub(super) async fn mv(
    ui: &Ui,
    chosen: &Chosen<'_>,
    from: &MemberPath,
    to: &MemberPath,
) -> Result<Ending, Failure> {
    for path in [from, to] {
        if path.names().is_empty() {
            return Err(StateError::Root(path.clone()).into());
        }
    }
    let (_, keeper) = chosen.that_has(from)?;
    let mut keeper = keeper.lock().await;
    let patch = state::rename(keeper.document(), from.names(), to.names()).map_err(|source| {
        RecordsError::Rename {
            from: from.clone(),
            to: to.clone(),
            source,
        }
    })?;
    keeper.append("mv", patch).await?;
    let number = below(chosen, from);
    tell(
        ui,
        &StateChanged {
            event: "mv",
            paths: vec![from.clone(), to.clone()],
            resources: number,
        },
        &format!(
            "'{from}' is recorded as '{to}' now ({}); nothing else was changed\n",
            text::count(number, "resource", "resources")
        ),
    );
    Ok(Ending::Done)
}

pub(super) async fn rm(
    ui: &Ui,
    chosen: &Chosen<'_>,
    paths: &[MemberPath],
    yes: bool,
) -> Result<Ending, Failure> {
    let mut number = 0;
    let mut lines = String::new();
    for path in paths {
        if path.names().is_empty() {
            return Err(StateError::Root(path.clone()).into());
        }
        chosen.that_has(path)?;
        for (_, forgotten, recorded) in chosen.recorded() {
            if forgotten.is_within(path) {
                number += 1;
                let _ = writeln!(lines, "    {forgotten}  {}", text::line(&recorded.r#type));
            }
        }
    }
    if ui.reader() == Reader::Person {
        ui.print(&format!(
            "Will be forgotten; the things themselves stay, and nobody looks after them:\n{lines}"
        ));
    }
    if !yes {
        let question = format!(
            "Really forget {}? Type yes: ",
            text::count(number, "resource", "resources")
        );
        let asked = ui.confirm(&question, &mut signals()?).await;
        asked.map_err(|failure| match failure {
            Failure::NotConfirmed(why) => StateError::NotConfirmed(why).into(),
            other => other,
        })?;
    }
    for path in paths {
        let (_, keeper) = chosen.that_has(path)?;
        let mut keeper = keeper.lock().await;
        let patch = state::forget_all(keeper.document(), path.names());
        // One that was named twice is gone already.
        if patch != Patch(Vec::new()) {
            keeper.append("rm", patch).await?;
        }
    }
    tell(
        ui,
        &StateChanged {
            event: "rm",
            paths: paths.to_vec(),
            resources: number,
        },
        &format!("forgot {}\n", text::count(number, "resource", "resources")),
    );
    Ok(Ending::Done)
}

/// How much is recorded at and below a path.
fn below(chosen: &Chosen<'_>, path: &MemberPath) -> usize {
    chosen
        .recorded()
        .filter(|(_, recorded, _)| recorded.is_within(path))
        .count()
}

pub(super) fn tell(ui: &Ui, changed: &StateChanged, words: &str) {
    match ui.reader() {
        Reader::Machine => ui.json(changed, true),
        Reader::Person => ui.print(words),
    }
}
