//! The log of a deployment's state, whatever keeps it: events, the document that
//! they add up to, and which of them get in each other's way. It does no IO.

use std::rc::Rc;

use json_patch::jsonptr::PointerBuf;
use json_patch::{AddOperation, Patch, PatchOperation};
use nixops4_protocol::message::HistoryEvent;
use nixops4_protocol::state;
use nixops4_provider_sdk::{Error, Result};
use serde_json::Value;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// One event of a log.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Event {
    /// Its place in the log, counted from 0.
    pub(crate) index: i64,
    /// When it was appended, RFC 3339.
    pub(crate) time: String,
    /// Who appended it; upstream's file does not say.
    pub(crate) writer: Option<String>,
    /// The operation that it came from: `create`, `update`, ...
    pub(crate) operation: String,
    /// The version of the program that sent it; upstream's file does not say.
    pub(crate) version: Option<String>,
    /// What it changes.
    pub(crate) patch: Patch,
}

impl Event {
    /// The first event of a log: an empty state.
    pub(crate) fn first() -> Self {
        let empty = PatchOperation::Add(AddOperation {
            path: PointerBuf::root(),
            value: state::empty(),
        });
        let version = env!("CARGO_PKG_VERSION");
        Self::new(0, "initialize", version, Patch(vec![empty]))
    }

    /// What is written to see whether it can be, and then taken back: an event
    /// far behind all others, and not where somebody else tries the same.
    pub(crate) fn probe() -> Self {
        let index = i64::MAX - i64::from(std::process::id());
        Self::new(index, "probe", "", Patch(Vec::new()))
    }

    /// The same, at this moment.
    pub(crate) fn now(self) -> Self {
        Self {
            time: now(),
            ..self
        }
    }

    /// An event of now.
    pub(crate) fn new(index: i64, operation: &str, version: &str, patch: Patch) -> Self {
        Self {
            index,
            time: now(),
            writer: Some(writer()),
            operation: operation.to_owned(),
            version: Some(version.to_owned()),
            patch,
        }
    }
}

impl From<Event> for HistoryEvent {
    fn from(event: Event) -> Self {
        Self {
            index: event.index.unsigned_abs(),
            time: event.time,
            writer: event.writer,
            event: event.operation,
            nixops_version: event.version,
            patch: event.patch,
        }
    }
}

fn now() -> String {
    let now = OffsetDateTime::now_utc().format(&Rfc3339);
    now.unwrap_or_default()
}

/// Who writes: for whoever finds the state changed.
fn writer() -> String {
    let user = ["USER", "LOGNAME"]
        .into_iter()
        .find_map(|name| std::env::var(name).ok());
    let host = rustix::system::uname();
    let host = host.nodename().to_string_lossy();
    format!(
        "{}@{host}",
        user.unwrap_or_else(|| rustix::process::getuid().as_raw().to_string())
    )
}

/// The document as one process knows it.
#[derive(Debug, Clone)]
pub(crate) struct View {
    /// Shared with an answer until that is written.
    document: Rc<Value>,
    /// How many events it has in it.
    length: i64,
}

impl Default for View {
    fn default() -> Self {
        Self {
            document: Rc::new(Value::Null),
            length: 0,
        }
    }
}

impl View {
    pub(crate) fn document(&self) -> &Rc<Value> {
        &self.document
    }

    /// The index that the next event has.
    pub(crate) fn length(&self) -> i64 {
        self.length
    }

    /// Takes in an event that is recorded. After an error the view is of no use.
    pub(crate) fn take_in(&mut self, event: Event) -> Result<()> {
        if event.index != self.length {
            return Err(damaged(format!("event {} is missing", self.length)));
        }
        state::apply(Rc::make_mut(&mut self.document), event.patch)
            .map_err(|error| damaged(format!("event {} does not apply: {error}", event.index)))?;
        self.length += 1;
        Ok(())
    }

    /// Takes in a patch of our own. After an error the view is of no use.
    pub(crate) fn append(&mut self, patch: Patch) -> Result<()> {
        state::apply(Rc::make_mut(&mut self.document), patch).map_err(|error| {
            Error::new("the event does not fit the recorded state")
                .because(error)
                .hint("whoever sent it did not know the state as it is; read it again")
        })?;
        self.length += 1;
        Ok(())
    }
}

fn damaged(how: String) -> Error {
    Error::new("the recorded state is damaged")
        .because(how)
        .hint("nothing was written; restore the state from a backup")
}

/// What is remembered of another's event: where it changed something, who and when.
#[derive(Debug, Clone)]
pub(crate) struct Touch {
    places: Vec<String>,
    writer: Option<String>,
    time: String,
}

impl From<&Event> for Touch {
    fn from(event: &Event) -> Self {
        Self {
            places: places(&event.patch).map(str::to_owned).collect(),
            writer: event.writer.clone(),
            time: event.time.clone(),
        }
    }
}

/// Fails if `patch` touches what one of `others`, appended since its author last
/// read, has touched. A place is touched by a change of itself, of anything
/// above and of anything below it.
pub(crate) fn refuse_overlap<'a>(
    patch: &Patch,
    others: impl IntoIterator<Item = &'a Touch>,
) -> Result<()> {
    let ours: Vec<&str> = places(patch).collect();
    for other in others {
        for place in &other.places {
            if let Some(ours) = ours.iter().find(|ours| overlap(ours, place)) {
                return Err(Error::new(format!(
                    "the recorded state was changed by {} at {} where this would change it: {place} \
                     (we: {ours})",
                    other.writer.as_deref().unwrap_or("somebody"),
                    other.time
                ))
                .hint("somebody else applies the same deployment; wait until they are done, then apply again"));
            }
        }
    }
    Ok(())
}

fn places(patch: &Patch) -> impl Iterator<Item = &str> {
    patch.iter().flat_map(|operation| {
        let from = match operation {
            PatchOperation::Move(at) => Some(at.from.as_str()),
            PatchOperation::Copy(at) => Some(at.from.as_str()),
            _ => None,
        };
        from.into_iter().chain([operation.path().as_str()])
    })
}

fn overlap(one: &str, other: &str) -> bool {
    let above = |above: &str, below: &str| {
        below
            .strip_prefix(above)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    above(one, other) || above(other, one)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn patch(operations: Value) -> Patch {
        serde_json::from_value(operations).unwrap()
    }

    fn event(index: i64, operations: Value) -> Event {
        Event {
            index,
            time: "2026-01-01T00:00:00Z".to_owned(),
            writer: Some("ann@desk".to_owned()),
            operation: "create".to_owned(),
            version: None,
            patch: patch(operations),
        }
    }

    #[test]
    fn places_that_overlap() {
        for (one, other, expected) in [
            ("/a", "/a", true),
            ("/a", "/a/b", true),
            ("/a/b", "/a", true),
            ("", "/a", true),
            ("/a", "/ab", false),
            ("/a/b", "/a/c", false),
            ("/resources/x", "/deployments/x", false),
        ] {
            assert_eq!(overlap(one, other), expected, "{one} {other}");
        }
    }

    #[test]
    fn an_overlap_names_who_and_when() {
        let ours = patch(json!([{"op": "add", "path": "/deployments/mail", "value": {}}]));
        let theirs = event(
            1,
            json!([{"op": "add", "path": "/deployments/mail/resources/x", "value": 1}]),
        );
        let theirs = Touch::from(&theirs);
        let error = refuse_overlap(&ours, [&theirs]).unwrap_err().to_string();
        assert!(
            error.contains("ann@desk at 2026-01-01T00:00:00Z"),
            "{error}"
        );
        let apart = patch(json!([{"op": "add", "path": "/resources/y", "value": 1}]));
        refuse_overlap(&apart, [&theirs]).unwrap();
    }

    #[test]
    fn a_gap_and_a_patch_that_does_not_apply_are_damage() {
        let first = event(0, json!([{"op": "add", "path": "", "value": {"a": 1}}]));
        for second in [
            event(2, json!([])),
            event(1, json!([{"op": "remove", "path": "/missing"}])),
        ] {
            let mut view = View::default();
            view.take_in(first.clone()).unwrap();
            let error = view.take_in(second).unwrap_err();
            assert!(error.to_string().contains("damaged"), "{error}");
        }
        let mut view = View::default();
        view.take_in(first).unwrap();
        assert_eq!((&**view.document(), view.length()), (&json!({"a": 1}), 1));
    }
}
