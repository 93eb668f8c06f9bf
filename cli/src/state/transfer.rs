//! `state export` and `state import`: from one place to another, and to and from
//! upstream's file.

use nixops4_resources_engine::Session;
use nixops4_resources_engine::state::{Given, States};

use super::change::tell;
use crate::failure::Failure;
use crate::ui::Ui;
use crate::ui::text;

pub(super) async fn export(
    session: &Session,
    ui: &Ui,
    states: &States,
    to: Option<&str>,
    document: bool,
) -> Result<(), Failure> {
    if let Some(to) = to {
        let copied = states.copy(session, to).await?;
        let text = format!(
            "copied {} from '{}' to {}\n\
             Let `state` in the expression be that place; the events until now stay in the old one.\n",
            text::count(copied.changed.resources, "resource", "resources"),
            copied.changed.paths[0],
            copied.location
        );
        tell(ui, &copied.changed, &text);
    } else if document {
        ui.json(&states.document().await?, true);
    } else {
        states.export(|event| ui.json(event, true)).await?;
    }
    Ok(())
}

pub(super) async fn import(ui: &Ui, states: &States, given: Given) -> Result<(), Failure> {
    let name = given.name().to_owned();
    let from = match given.events() {
        0 => String::new(),
        events => format!(", of {}", text::count(events, "event", "events")),
    };
    let changed = states.import(given).await?;
    let text = format!(
        "'{}' has {} from {name}{from}\n",
        changed.paths[0],
        text::count(changed.resources, "resource", "resources"),
    );
    tell(ui, &changed, &text);
    Ok(())
}
