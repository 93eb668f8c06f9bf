//! `state`: what is recorded, looked at, renamed, forgotten, checked and moved, as text.

pub(crate) mod args;
mod change;
mod history;
mod look;
mod transfer;
mod verify;

use nixops4_resources_engine::state::{Given, Purpose, States};
use nixops4_resources_engine::{Outcome, Session};

use crate::failure::Failure;
use crate::ui::Ui;
use args::{State, What};

/// Does what was asked.
pub(crate) async fn run(session: &Session, ui: &Ui, arguments: &State) -> Result<Outcome, Failure> {
    let purpose = match &arguments.what {
        What::Mv { .. } | What::Rm { .. } => Purpose::Change,
        What::Import { .. } => Purpose::Fill,
        _ => Purpose::Look,
    };
    // Before anything is made for it.
    let given = match &arguments.what {
        What::Import { exported } => Some(Given::read(exported)?),
        _ => None,
    };
    let location = arguments.location.as_deref();
    let states = States::open(session, location, arguments.member.as_ref(), purpose).await?;
    for note in states.notes() {
        ui.said("note", note);
    }
    let done = dispatch(session, ui, arguments, &states, given).await;
    states.close().await;
    session.end().await;
    done
}

async fn dispatch(
    session: &Session,
    ui: &Ui,
    arguments: &State,
    states: &States,
    given: Option<Given>,
) -> Result<Outcome, Failure> {
    match &arguments.what {
        What::List { paths } => look::list(ui, states, paths)?,
        What::Show { path } => look::show(ui, states, path)?,
        What::Mv { from, to } => change::mv(ui, states, from, to).await?,
        What::Rm { paths, yes } => change::rm(ui, states, paths, *yes).await?,
        What::History { paths, last } => history::history(ui, states, paths, *last).await?,
        What::Verify => return verify::verify(ui, states).await,
        What::Export { to, document } => {
            transfer::export(session, ui, states, to.as_deref(), *document).await?;
        }
        What::Import { .. } => {
            if let Some(given) = given {
                transfer::import(ui, states, given).await?;
            }
        }
    }
    Ok(Outcome::Done)
}
