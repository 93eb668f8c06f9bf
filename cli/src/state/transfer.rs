//! `state export` and `state import`: from one place to another, and to and from
//! upstream's file.

use std::io::Read as _;
use std::path::Path;

use json_patch::jsonptr::PointerBuf;
use json_patch::{AddOperation, Patch, PatchOperation};
use nixops4_protocol::message::HistoryEvent;
use nixops4_protocol::state::{self, ReadPatch};
use serde::Serialize;
use serde_json::Value;

use super::change::tell;
use super::{Chosen, StateError};
use crate::commands::Ending;
use crate::eval::{Known, Look};
use crate::failure::Failure;
use crate::member::MemberPath;
use crate::records::{Keeper, Location, Opening, Records, RecordsError};
use crate::report::state::StateChanged;
use crate::session::Session;
use crate::ui::Ui;
use crate::ui::text;
use crate::whereabouts;

pub(super) async fn export(
    session: &Session,
    chosen: &Chosen<'_>,
    to: Option<&str>,
    document: bool,
) -> Result<Ending, Failure> {
    let (path, keeper) = chosen.one()?;
    let mut keeper = keeper.lock().await;
    if let Some(to) = to {
        return copy(session, keeper.document(), path, to).await;
    }
    if document {
        session.ui.json(keeper.document(), true);
        return Ok(Ending::Done);
    }
    let mut events = 0;
    let print = |event| {
        events += 1;
        session.ui.json(&Written::from(event), true);
    };
    match keeper.each_event(0, print).await {
        Ok(()) | Err(RecordsError::NoHistory { .. }) if events == 0 => {
            session
                .ui
                .json(&Written::from(whole(keeper.document())), true);
        }
        told => told?,
    }
    Ok(Ending::Done)
}

/// A state as one event, for one whose events are not known.
fn whole(document: &Value) -> HistoryEvent {
    HistoryEvent {
        index: 0,
        time: "1970-01-01T00:00:00Z".to_owned(),
        writer: None,
        event: "export".to_owned(),
        nixops_version: None,
        patch: all(document.clone()),
    }
}

fn all(document: Value) -> Patch {
    Patch(vec![PatchOperation::Add(AddOperation {
        path: PointerBuf::root(),
        value: document,
    })])
}

/// An event as upstream's file has it; what upstream does not know is kept there.
#[derive(Serialize)]
struct Written {
    index: u64,
    meta: Meta,
    patch: Patch,
}

/// See [`Written`].
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Meta {
    time: String,
    event: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    writer: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    nixops_version: Option<String>,
}

impl From<HistoryEvent> for Written {
    fn from(event: HistoryEvent) -> Self {
        Self {
            index: event.index,
            meta: Meta {
                time: event.time,
                event: event.event,
                writer: event.writer,
                nixops_version: event.nixops_version,
            },
            patch: event.patch,
        }
    }
}

/// Copies what is recorded to a member's place, or to a location.
async fn copy(
    session: &Session,
    document: &Value,
    from: &MemberPath,
    to: &str,
) -> Result<Ending, Failure> {
    let location = match to.parse::<MemberPath>() {
        Ok(path) if !to.contains(':') && !to.starts_with('@') => member(session, &path).await?,
        _ => whereabouts::said_by_user(session, to)?,
    };
    let mut records = Records::default();
    records.open(session, &location, Opening::Make).await?;
    let keeper = records.keeper(&location.label).ok_or(StateError::None)?;
    let put = put(&mut *keeper.lock().await, &location.label, document.clone()).await;
    records.close().await;
    let number = put?;
    tell(
        &session.ui,
        &StateChanged {
            event: "export",
            paths: vec![from.clone(), location.label.clone()],
            resources: number,
        },
        &format!(
            "copied {} from '{from}' to {location}\n\
             Let `state` in the expression be that place; the events until now stay in the old one.\n",
            text::count(number, "resource", "resources")
        ),
    );
    Ok(Ending::Done)
}

/// Where the state is that a member keeps, or would keep if it were used.
async fn member(session: &Session, path: &MemberPath) -> Result<Location, Failure> {
    let evaluation = session
        .evaluator
        .evaluate(Look::All, &Known::default())
        .await?;
    match evaluation.members.get(path) {
        Some(member) if member.is_known() => {
            session.evaluator.realise(&member.provider_paths).await?;
            session.evaluator.realise(&member.input_paths).await?;
            Ok(Location::from(member))
        }
        _ => Err(StateError::NoKeeper {
            path: path.clone(),
            keepers: crate::plan::survey::keepers(&evaluation)
                .into_iter()
                .collect(),
        }
        .into()),
    }
}

/// A state that was given to be imported.
pub(super) struct Given {
    /// What the reader knows it by.
    name: String,
    document: Value,
    /// How many events it came from; 0 if it was given as it is.
    events: usize,
}

/// Reads what is to be imported.
pub(super) fn given(file: &Path) -> Result<Given, Failure> {
    let is_stdin = file == Path::new("-");
    let name = if is_stdin {
        "what was given".to_owned()
    } else {
        file.display().to_string()
    };
    let mut text = String::new();
    let read = if is_stdin {
        std::io::stdin().read_to_string(&mut text)
    } else {
        std::fs::File::open(file).and_then(|mut file| file.read_to_string(&mut text))
    };
    read.map_err(|error| Failure::Io(format!("cannot read {name}"), error))?;
    match understood(&text) {
        Ok((document, events)) => Ok(Given {
            name,
            document,
            events,
        }),
        Err(reason) => Err(StateError::NoState { file: name, reason }.into()),
    }
}

pub(super) async fn import(ui: &Ui, chosen: &Chosen<'_>, given: Given) -> Result<Ending, Failure> {
    let (path, keeper) = chosen.one()?;
    let number = put(&mut *keeper.lock().await, path, given.document).await?;
    let from = match given.events {
        0 => String::new(),
        events => format!(", of {}", text::count(events, "event", "events")),
    };
    tell(
        ui,
        &StateChanged {
            event: "import",
            paths: vec![path.clone()],
            resources: number,
        },
        &format!(
            "'{path}' has {} from {}{from}\n",
            text::count(number, "resource", "resources"),
            given.name
        ),
    );
    Ok(Ending::Done)
}

/// Puts a whole document where nothing is recorded; says of how many resources.
async fn put(keeper: &mut Keeper, path: &MemberPath, document: Value) -> Result<usize, Failure> {
    let there = state::resources(keeper.document()).map_err(StateError::Document)?;
    if !there.is_empty() && *keeper.document() != document {
        return Err(StateError::NotEmpty {
            path: path.clone(),
            number: there.len(),
        }
        .into());
    }
    let number = state::resources(&document)
        .map_err(StateError::Document)?
        .len();
    if *keeper.document() != document {
        keeper.append("import", all(document)).await?;
    }
    Ok(number)
}

/// A state document from its own text or from events, and how many these were.
fn understood(text: &str) -> Result<(Value, usize), String> {
    let mut document = Value::Null;
    let mut events = 0;
    for next in serde_json::Deserializer::from_str(text).into_iter::<Value>() {
        let mut value = next.map_err(|error| {
            if error.is_eof() {
                "its end is missing".to_owned()
            } else {
                format!("it is not JSON: {error}")
            }
        })?;
        if events == 0 && value.get("_type").is_some() {
            document = value;
            break;
        }
        let patch = value
            .get_mut("patch")
            .ok_or_else(|| format!("event {events} has no patch"))
            .and_then(|patch| {
                serde_json::from_value::<ReadPatch>(patch.take())
                    .map_err(|error| format!("event {events}: {error}"))
            })?;
        state::apply(&mut document, patch.0)
            .map_err(|error| format!("event {events} does not apply: {error}"))?;
        events += 1;
    }
    if document.is_null() {
        return Err("there is nothing in it".to_owned());
    }
    state::check(&document).map_err(|error| error.to_string())?;
    state::resources(&document).map_err(|error| error.to_string())?;
    Ok((document, events))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_exported_is_understood() {
        let mut document = state::empty();
        document["resources"]["a"] =
            json!({"type": "t", "input_properties": {}, "output_properties": {}});
        let first = HistoryEvent {
            writer: Some("ann@desk".to_owned()),
            nixops_version: Some("1".to_owned()),
            ..whole(&state::empty())
        };
        let entry = document["resources"]["a"].clone();
        let second = HistoryEvent {
            index: 1,
            patch: serde_json::from_value(
                json!([{"op": "add", "path": "/resources/a", "value": entry}]),
            )
            .unwrap(),
            ..whole(&Value::Null)
        };
        let written = |event| json!(Written::from(event));
        let (first, second) = (written(first), written(second));
        let text = format!("{first}\n{second}");
        assert_eq!(understood(&text), Ok((document.clone(), 2)));
        assert_eq!(understood(&document.to_string()), Ok((document, 0)));
        assert_eq!(first["meta"]["writer"], "ann@desk");
    }

    #[test]
    fn what_is_no_state() {
        for (text, why) in [
            ("", "nothing in it"),
            ("hello", "not JSON"),
            ("{\"index\":0", "its end is missing"),
            ("{}", "event 0 has no patch"),
            (r#"{"patch": 1}"#, "event 0: "),
            (
                r#"{"patch": [{"op": "remove", "path": "/a"}]}"#,
                "event 0 does not apply",
            ),
            (r#"{"_type": "other"}"#, "not one of NixOps4"),
            (
                r#"{"_type": "nixopsState", "resources": {"a": 1}}"#,
                "entry of a can't be read",
            ),
        ] {
            let error = understood(text).unwrap_err();
            assert!(error.contains(why), "{error}");
        }
    }
}
