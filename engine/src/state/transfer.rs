//! From one place to another, and to and from upstream's file.

use std::io::Read as _;
use std::path::Path;

use json_patch::jsonptr::PointerBuf;
use json_patch::{AddOperation, Patch, PatchOperation};
use nixops4_protocol::message::HistoryEvent;
use nixops4_protocol::state::{self, ReadPatch};
use serde::Serialize;
use serde_json::Value;

use super::{StateError, States};
use crate::backend::{self, OpenMode, Source};
use crate::eval::{Known, Look};
use crate::failure::Failure;
use crate::member::MemberPath;
use crate::records::{Location, Records, RecordsError, StateBackend};
use crate::report::state::StateChanged;
use crate::session::Session;

/// What came of a copy.
#[derive(Debug)]
pub struct Copied {
    /// What was done; of the old state and the new one.
    pub changed: StateChanged,
    /// The new place, as `--state` takes it.
    pub location: String,
}

impl States {
    /// What is recorded now, as a state document, of the only state that there is.
    pub async fn document(&self) -> Result<Value, Failure> {
        let (_, backend) = self.one()?;
        let backend = backend.lock().await;
        Ok(backend.document().clone())
    }

    /// Hands over the events of the only state that there is, the oldest first; one that
    /// says all, where its provider tells none.
    pub async fn export(&self, mut take: impl FnMut(&ExportedEvent)) -> Result<(), Failure> {
        let (_, backend) = self.one()?;
        let mut backend = backend.lock().await;
        let mut events = 0;
        let each = |event| {
            events += 1;
            take(&ExportedEvent::from(event));
        };
        match backend.each_event(0, each).await {
            Ok(()) | Err(RecordsError::NoHistory { .. }) if events == 0 => {
                take(&ExportedEvent::from(whole(backend.document())));
            }
            told => told?,
        }
        Ok(())
    }

    /// Copies what the only state has to the place of the member `to`, or to a location,
    /// which is made if it isn't there. Fails if something else is recorded there.
    pub async fn copy(&self, session: &Session, to: &str) -> Result<Copied, Failure> {
        let (from, backend) = self.one()?;
        let document = backend.lock().await.document().clone();
        let location = match to.parse::<MemberPath>() {
            Ok(path) if !to.contains(':') && !to.starts_with('@') => {
                place_of(session, &path).await?
            }
            _ => backend::given(session, to)?,
        };
        let mut records = Records::default();
        let source = Source::Location(&location);
        backend::open(session, source, OpenMode::CreateIfMissing, &mut records).await?;
        let backend = records.backend(&location.label).ok_or(StateError::None)?;
        let put = put(&mut *backend.lock().await, &location.label, document).await;
        records.close().await;
        Ok(Copied {
            changed: StateChanged {
                event: "export",
                paths: vec![from.clone(), location.label.clone()],
                resources: put?,
            },
            location: location.to_string(),
        })
    }

    /// Puts what was given into the only state that there is. Fails if something else is
    /// recorded there.
    pub async fn import(&self, given: Given) -> Result<StateChanged, Failure> {
        let (path, backend) = self.one()?;
        let resources = put(&mut *backend.lock().await, path, given.document).await?;
        Ok(StateChanged {
            event: "import",
            paths: vec![path.clone()],
            resources,
        })
    }
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
pub struct ExportedEvent {
    index: u64,
    meta: Meta,
    patch: Patch,
}

/// See [`ExportedEvent`].
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

impl From<HistoryEvent> for ExportedEvent {
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

/// Where the state is that a member keeps, or would keep if it were used.
async fn place_of(session: &Session, path: &MemberPath) -> Result<Location, Failure> {
    let evaluation = session
        .evaluator
        .evaluate(Look::All, &Known::default())
        .await?;
    match evaluation.members.get(path) {
        Some(member) if member.is_known() => {
            session.evaluator.realise(&member.provider_paths).await?;
            session.evaluator.realise(&member.input_paths).await?;
            Ok(Location::from(&**member))
        }
        _ => Err(StateError::NoBackend {
            path: path.clone(),
            backends: evaluation.state_members().into_iter().collect(),
        }
        .into()),
    }
}

/// A state that was given to be imported.
pub struct Given {
    /// What the reader knows it by.
    name: String,
    document: Value,
    /// How many events it came from; 0 if it was given as it is.
    events: usize,
}

impl Given {
    /// Reads a state document, or upstream's state file with its events, from a file; `-`
    /// is stdin. Fails if it can't be read or is neither.
    pub fn read(file: &Path) -> Result<Self, Failure> {
        given(file)
    }

    /// What the reader knows it by.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// How many events it came from; 0 if it was given as it is.
    #[must_use]
    pub fn events(&self) -> usize {
        self.events
    }
}

/// Reads what is to be imported.
fn given(file: &Path) -> Result<Given, Failure> {
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

/// Puts a whole document where nothing is recorded; says of how many resources.
async fn put(
    backend: &mut StateBackend,
    path: &MemberPath,
    document: Value,
) -> Result<usize, Failure> {
    let there = state::resources(backend.document()).map_err(StateError::Document)?;
    if !there.is_empty() && *backend.document() != document {
        return Err(StateError::NotEmpty {
            path: path.clone(),
            number: there.len(),
        }
        .into());
    }
    let number = state::resources(&document)
        .map_err(StateError::Document)?
        .len();
    if *backend.document() != document {
        backend.append("import", all(document)).await?;
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
        let written = |event| json!(ExportedEvent::from(event));
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
