//! Events as they stand in upstream's file, and finding them in its bytes. No IO.

use json_patch::Patch;
use nixops4_protocol::state::ReadPatch;
use serde::{Deserialize, Serialize};

use crate::log::Event;

/// One event. Fields that are not listed are others' and are left alone.
#[derive(Debug, Deserialize)]
struct Read {
    /// 0 in the first; upstream writes 0 in all.
    index: u64,
    meta: Meta,
    patch: ReadPatch,
}

/// The same, to be written.
#[derive(Debug, Serialize)]
struct Written<'a> {
    index: u64,
    meta: Meta,
    patch: &'a Patch,
}

/// Upstream knows `time` and `event`, and keeps what it does not know.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Meta {
    time: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    event: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    nixops_version: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    writer: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    deployment: Option<String>,
}

/// What was found in some bytes.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Found {
    /// How many events.
    pub(super) events: i64,
    /// The deployments that are named.
    pub(super) deployments: Vec<String>,
    /// How many bytes the events take.
    pub(super) length: usize,
    /// Whether an event follows whose end is missing.
    pub(super) torn: bool,
}

/// Why bytes are not understood.
#[derive(Debug)]
pub(super) enum Odd<E> {
    /// Words about an event that can't be read.
    Unreadable(String),
    /// Whoever was to take an event did not.
    Refused(E),
}

/// Hands over the events in `bytes`, the first of which has this index, each with
/// its length.
pub(super) fn parse<E>(
    bytes: &[u8],
    first: i64,
    mut take: impl FnMut(Event, usize) -> Result<(), E>,
) -> Result<Found, Odd<E>> {
    let mut found = Found::default();
    let mut stream = serde_json::Deserializer::from_slice(bytes).into_iter::<Read>();
    let mut index = first;
    while let Some(next) = stream.next() {
        let read = match next {
            Ok(read) => read,
            Err(error) if error.is_eof() => {
                found.torn = true;
                break;
            }
            Err(error) => {
                let why = format!("event {index} can't be read: {error}");
                return Err(Odd::Unreadable(why));
            }
        };
        if index == 0 && read.index != 0 {
            return Err(Odd::Unreadable(format!(
                "the first event has the index {}, not 0",
                read.index
            )));
        }
        let is_new = |name: &String| found.deployments.last() != Some(name);
        let deployment = read.meta.deployment.filter(is_new);
        found.deployments.extend(deployment);
        let event = Event {
            index,
            time: read.meta.time,
            writer: read.meta.writer,
            operation: read.meta.event.unwrap_or_default(),
            version: read.meta.nixops_version,
            patch: read.patch.0,
        };
        let end = stream.byte_offset();
        take(event, end - found.length).map_err(Odd::Refused)?;
        index += 1;
        found.events += 1;
        found.length = end;
    }
    Ok(found)
}

/// An event as it is appended.
pub(super) fn write(event: &Event, deployment: &str) -> serde_json::Result<Vec<u8>> {
    let written = Written {
        index: event.index.unsigned_abs(),
        meta: Meta {
            time: event.time.clone(),
            event: Some(event.operation.clone()),
            nixops_version: event.version.clone(),
            writer: event.writer.clone(),
            deployment: Some(deployment.to_owned()),
        },
        patch: &event.patch,
    };
    let mut bytes = serde_json::to_vec_pretty(&written)?;
    bytes.push(b'\n');
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    /// As upstream's provider and its manual write it.
    const UPSTREAM: &str = r#"{
  "index": 0,
  "meta": { "time": "2026-01-01T00:00:00.123+00:00" },
  "patch": [ { "op": "add", "path": "", "value": {
    "_type": "nixopsState", "resources": {}, "deployments": {}
  } } ]
}
{
  "index": 0,
  "meta": { "time": "2026-01-01T00:00:01+00:00", "event": "create", "more": [1] },
  "patch": [ { "op": "add", "path": "/resources/a", "value": {
    "type": "file", "input_properties": {}, "output_properties": {}
  } } ]
}
"#;

    fn parsed(bytes: &[u8]) -> Result<(Found, Vec<Event>), String> {
        let mut events = Vec::new();
        let take = |event, _| {
            events.push(event);
            Ok(())
        };
        let found = parse::<()>(bytes, 0, take).map_err(|odd| match odd {
            Odd::Unreadable(why) => why,
            Odd::Refused(()) => "refused".to_owned(),
        })?;
        Ok((found, events))
    }

    #[test]
    fn what_upstream_writes() {
        let (found, events) = parsed(UPSTREAM.as_bytes()).unwrap();
        assert!(!found.torn);
        assert_eq!(found.length, UPSTREAM.trim_end().len());
        assert_eq!(found.deployments, [""; 0]);
        let named: Vec<_> = events
            .iter()
            .map(|event| (event.index, event.operation.as_str(), event.writer.as_ref()))
            .collect();
        assert_eq!(named, [(0, "", None), (1, "create", None)]);
        assert_eq!(json!(events[1].patch)[0]["path"], json!("/resources/a"));
    }

    #[test]
    fn what_is_no_event() {
        for (text, why) in [
            ("[]", "event 0 can't be read"),
            ("hello", "event 0 can't be read"),
            (
                r#"{"index":0,"meta":{"time":"t"}}"#,
                "missing field `patch`",
            ),
            (
                r#"{"index":0,"meta":{},"patch":[]}"#,
                "missing field `time`",
            ),
            (
                r#"{"index":1,"meta":{"time":"t"},"patch":[]}"#,
                "the first event has the index 1",
            ),
            (
                r#"{"index":0,"meta":{"time":"t"},"patch":[]} x"#,
                "event 1 can't be read",
            ),
        ] {
            let error = parsed(text.as_bytes()).unwrap_err();
            assert!(error.contains(why), "{error}");
        }
        assert_eq!(parsed(b" \n").unwrap(), (Found::default(), Vec::new()));
    }

    fn event(index: i64, text: &str) -> Event {
        let patch = json!([{ "op": "add", "path": "/resources/a", "value": text }]);
        Event::new(index, "create", "1", serde_json::from_value(patch).unwrap())
    }

    proptest! {
        /// Wherever it is cut off, all whole events are found, and the rest is
        /// known to be one whose end is missing.
        #[test]
        fn a_file_that_is_cut_off(texts in prop::collection::vec(any::<String>(), 1..4), cut: prop::sample::Index) {
            let mut bytes = Vec::new();
            let mut ends = vec![0];
            let mut events = Vec::new();
            for (index, text) in (0..).zip(&texts) {
                let event = event(index, text);
                bytes.extend(write(&event, "demo").unwrap());
                events.push(event);
                ends.push(bytes.len());
            }
            let cut = cut.index(bytes.len() + 1);
            let (found, parsed) = parsed(&bytes[..cut]).unwrap();
            // The newline behind an event is not part of it.
            let whole = ends.iter().skip(1).filter(|end| **end - 1 <= cut).count();
            prop_assert_eq!(&parsed, &events[..whole]);
            let rest = bytes[ends[whole].min(cut)..cut].trim_ascii();
            prop_assert_eq!(found.torn, !rest.is_empty());
        }
    }
}
