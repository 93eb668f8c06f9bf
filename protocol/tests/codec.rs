//! Lines: whatever arrives, in whatever pieces.

use std::io::{self, BufRead, BufReader, Read};

use nixops4_protocol::Object;
use nixops4_protocol::codec::{LineError, encode, read_line, read_line_async};
use nixops4_protocol::message::{
    Action, Change, CreateResourceRequest, CreateResourceResponse, DestroyResourceRequest,
    DestroyResourceResponse, Effect, ErrorResponse, ExtantResource, ListResourcesRequest,
    ListResourcesResponse, ListedResource, PlanDestroyRequest, PlanDestroyResponse,
    PlanResourceRequest, PlanResourceResponse, PlannedValue, ReadResourceRequest,
    ReadResourceResponse, Request, Response, StateResourceEvent, StateResourceEventResponse,
    StateResourceReadRequest, StateResourceReadResponse, UnseenPlace, UpdateResourceRequest,
    UpdateResourceResponse,
};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use serde_json::{Value, json};

/// What reading a line gave, in a form that can be compared.
type ReadLine = Result<Option<String>, String>;
/// What stands on a line, or a part of the error.
type Expected<'a> = Result<&'a str, &'a str>;

fn plain(read: Result<Option<String>, LineError>) -> ReadLine {
    read.map_err(|error| error.to_string())
}

/// Gives its bytes in pieces of the given sizes, over and over.
struct Pieces {
    bytes: Vec<u8>,
    sizes: Vec<usize>,
    at: usize,
    turn: usize,
}

impl Read for Pieces {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        self.turn += 1;
        if self.turn.is_multiple_of(3) {
            return Err(io::ErrorKind::Interrupted.into());
        }
        let size = self.sizes[self.turn % self.sizes.len()];
        let size = size.min(into.len()).min(self.bytes.len() - self.at);
        into[..size].copy_from_slice(&self.bytes[self.at..self.at + size]);
        self.at += size;
        Ok(size)
    }
}

fn in_pieces(bytes: &[u8], sizes: &[usize]) -> impl BufRead {
    BufReader::with_capacity(
        16,
        Pieces {
            bytes: bytes.to_vec(),
            sizes: sizes.to_vec(),
            at: 0,
            turn: 0,
        },
    )
}

/// Every line until the end, as the synchronous reader gives them.
fn every_line(mut reader: impl BufRead, limit: usize) -> Vec<ReadLine> {
    let mut lines = Vec::new();
    loop {
        match plain(read_line(&mut reader, limit)) {
            Ok(None) => return lines,
            line => lines.push(line),
        }
    }
}

/// [`every_line`], read asynchronously from a pipe that holds `pipe` bytes.
fn every_line_async(bytes: &[u8], limit: usize, pipe: usize) -> Vec<ReadLine> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    runtime.block_on(async {
        let (mut near, far) = tokio::io::duplex(pipe);
        let bytes = bytes.to_vec();
        let writing = tokio::spawn(async move {
            tokio::io::AsyncWriteExt::write_all(&mut near, &bytes)
                .await
                .unwrap();
        });
        let mut reader = tokio::io::BufReader::new(far);
        let mut lines = Vec::new();
        loop {
            match plain(read_line_async(&mut reader, limit).await) {
                Ok(None) => break,
                line => lines.push(line),
            }
        }
        writing.await.unwrap();
        lines
    })
}

/// What the lines have to be, said in another way than the code says it.
fn expected(bytes: &[u8], limit: usize) -> Vec<ReadLine> {
    let mut lines: Vec<_> = bytes.split(|byte| *byte == b'\n').collect();
    if lines.last().is_some_and(|last| last.is_empty()) {
        lines.pop();
    }
    lines
        .into_iter()
        .map(|line| {
            if line.len() > limit {
                return Err(format!(
                    "a line of over {limit} bytes was skipped: send less in one message"
                ));
            }
            match std::str::from_utf8(line) {
                Ok(text) => Ok(Some(text.to_owned())),
                Err(error) => Err(format!(
                    "a line is not UTF-8 (byte {} is wrong): messages are JSON in UTF-8",
                    error.valid_up_to()
                )),
            }
        })
        .collect()
}

#[test]
fn lines_of_every_kind() {
    let table: [(&[u8], usize, &[Expected]); 9] = [
        (b"", 4, &[]),
        (b"\n", 4, &[Ok("")]),
        (b"a", 4, &[Ok("a")]),
        (b"a\nb\n", 4, &[Ok("a"), Ok("b")]),
        (b"a\r\n", 4, &[Ok("a\r")]),
        (
            b"abcd\nabcde\nf",
            4,
            &[Ok("abcd"), Err("over 4 bytes"), Ok("f")],
        ),
        (b"abcde", 4, &[Err("over 4 bytes")]),
        (
            b"\xc3\xa4\nab\xff\nc",
            4,
            &[Ok("ä"), Err("byte 2"), Ok("c")],
        ),
        (b"\n\nx", 0, &[Ok(""), Ok(""), Err("over 0 bytes")]),
    ];
    for (bytes, limit, lines) in table {
        let read = every_line(bytes, limit);
        assert_eq!(read.len(), lines.len(), "{bytes:?}: {read:?}");
        for (read, line) in read.iter().zip(lines) {
            match (read, line) {
                (Ok(Some(read)), Ok(line)) => assert_eq!(read, line),
                (Err(read), Err(line)) => assert!(read.contains(line), "{read}"),
                _ => panic!("{bytes:?}: {read:?} is not {line:?}"),
            }
        }
    }
}

#[test]
fn a_failing_stream_is_not_taken_for_its_end() {
    struct Failing;
    impl Read for Failing {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(io::Error::other("the disk is gone"))
        }
    }
    let error = read_line(&mut BufReader::new(Failing), 10).unwrap_err();
    assert!(!error.is_recoverable());
    assert_eq!(error.to_string(), "cannot read: the disk is gone");
}

#[test]
fn an_endless_line_is_skipped_in_bounded_memory() {
    let limit = 1 << 20;
    let before = peak_memory();
    let long = io::repeat(b'x').take(1 << 28);
    let mut reader = BufReader::with_capacity(1 << 16, long.chain(&b"\nnext\n"[..]));
    let error = read_line(&mut reader, limit).unwrap_err();
    assert!(matches!(error, LineError::TooLong { limit: 1_048_576 }));
    assert!(error.is_recoverable());
    assert_eq!(read_line(&mut reader, limit).unwrap().unwrap(), "next");
    let grown = peak_memory() - before;
    assert!(grown < 64 << 20, "memory grew by {grown} bytes");
}

/// The most memory that this process has had resident, in bytes.
fn peak_memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:"));
    let kibibytes = line.unwrap().split_whitespace().nth(1).unwrap();
    kibibytes.parse::<u64>().unwrap() * 1024
}

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        any::<String>().prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 32, 6, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..6).prop_map(Value::from),
            vec((any::<String>(), inner), 0..6)
                .prop_map(|fields| Value::Object(fields.into_iter().collect())),
        ]
    })
}

fn object() -> impl Strategy<Value = Object> {
    vec((any::<String>(), value()), 0..5).prop_map(|fields| fields.into_iter().collect())
}

fn resource() -> impl Strategy<Value = ExtantResource> {
    (any::<String>(), object(), option::of(object())).prop_map(|(r#type, inputs, outputs)| {
        ExtantResource {
            r#type,
            input_properties: inputs,
            output_properties: outputs,
        }
    })
}

fn patch() -> impl Strategy<Value = json_patch::Patch> {
    let path = vec(any::<String>(), 0..4).prop_map(|tokens| {
        json_patch::jsonptr::PointerBuf::from_tokens(tokens.iter().map(String::as_str)).to_string()
    });
    let operation =
        (path.clone(), path, value(), 0..6).prop_map(|(from, path, value, which)| match which {
            0 => json!({ "op": "add", "path": path, "value": value }),
            1 => json!({ "op": "remove", "path": path }),
            2 => json!({ "op": "replace", "path": path, "value": value }),
            3 => json!({ "op": "move", "path": path, "from": from }),
            4 => json!({ "op": "copy", "path": path, "from": from }),
            _ => json!({ "op": "test", "path": path, "value": value }),
        });
    vec(operation, 0..4).prop_map(|operations| serde_json::from_value(json!(operations)).unwrap())
}

fn request() -> impl Strategy<Value = Request> {
    let name = any::<String>;
    prop_oneof![
        (name(), object(), any::<bool>()).prop_map(|(r#type, input_properties, is_stateful)| {
            Request::Create(CreateResourceRequest {
                r#type,
                input_properties,
                is_stateful,
            })
        }),
        (resource(), object()).prop_map(|(resource, input_properties)| {
            Request::Update(UpdateResourceRequest {
                resource,
                input_properties,
            })
        }),
        resource().prop_map(|resource| Request::Destroy(DestroyResourceRequest { resource })),
        resource().prop_map(|resource| Request::PlanDestroy(PlanDestroyRequest { resource })),
        resource().prop_map(|resource| Request::StateRead(StateResourceReadRequest { resource })),
        (resource(), name(), name(), patch()).prop_map(
            |(resource, event, nixops_version, patch)| {
                Request::StateEvent(StateResourceEvent {
                    resource,
                    event,
                    nixops_version,
                    patch,
                })
            }
        ),
        (name(), object(), vec(name(), 0..4), option::of(resource())).prop_map(
            |(r#type, input_properties, unknown_inputs, resource)| {
                Request::Plan(PlanResourceRequest {
                    r#type,
                    input_properties,
                    unknown_inputs,
                    resource,
                })
            }
        ),
        (name(), object(), option::of(resource())).prop_map(
            |(r#type, input_properties, resource)| {
                Request::Read(ReadResourceRequest {
                    r#type,
                    input_properties,
                    resource,
                })
            }
        ),
        (name(), object()).prop_map(|(r#type, input_properties)| {
            Request::List(ListResourcesRequest {
                r#type,
                input_properties,
            })
        }),
    ]
}

fn change() -> impl Strategy<Value = Change> {
    let planned = || {
        prop_oneof![
            value().prop_map(PlannedValue::Known),
            Just(PlannedValue::Unknown),
            Just(PlannedValue::Sensitive),
        ]
    };
    let effect = prop_oneof![
        Just(Effect::InPlace),
        Just(Effect::Disruptive),
        Just(Effect::Replace),
    ];
    let note = option::of(any::<String>());
    (any::<String>(), planned(), planned(), effect, note).prop_map(
        |(path, before, after, effect, note)| Change {
            path,
            before,
            after,
            effect,
            note,
        },
    )
}

fn response() -> impl Strategy<Value = Response> {
    let action = prop_oneof![
        Just(Action::None),
        Just(Action::Create),
        Just(Action::Update),
        Just(Action::Replace),
        Just(Action::Refuse),
    ];
    let listed = (value(), any::<String>(), object()).prop_map(|(identity, mark, mut facts)| {
        facts.retain(|key, _| key != "identity" && key != "mark");
        ListedResource {
            identity,
            mark,
            facts,
        }
    });
    let unseen = (any::<String>(), any::<String>())
        .prop_map(|(place, reason)| UnseenPlace { place, reason });
    prop_oneof![
        object().prop_map(|output_properties| {
            Response::Create(CreateResourceResponse { output_properties })
        }),
        object().prop_map(|output_properties| {
            Response::Update(UpdateResourceResponse { output_properties })
        }),
        Just(Response::Destroy(DestroyResourceResponse {})),
        vec(any::<String>(), 0..4)
            .prop_map(|warnings| Response::PlanDestroy(PlanDestroyResponse { warnings })),
        object().prop_map(|state| Response::StateRead(StateResourceReadResponse { state })),
        Just(Response::StateEvent(StateResourceEventResponse {})),
        (
            value(),
            action,
            vec(change(), 0..4),
            object(),
            vec(any::<String>(), 0..4)
        )
            .prop_map(
                |(identity, action, changes, output_properties, unknown_outputs)| {
                    Response::Plan(PlanResourceResponse {
                        identity,
                        action,
                        changes,
                        output_properties,
                        unknown_outputs,
                    })
                }
            ),
        (value(), any::<bool>(), option::of(object())).prop_map(
            |(identity, present, output_properties)| {
                Response::Read(ReadResourceResponse {
                    identity,
                    present,
                    output_properties,
                })
            }
        ),
        (vec(listed, 0..4), vec(unseen, 0..2)).prop_map(|(resources, unseen)| Response::List(
            ListResourcesResponse { resources, unseen }
        )),
        any::<String>().prop_map(|message| Response::Error(ErrorResponse { message })),
    ]
}

/// Bytes with many line ends and much of what JSON is made of.
fn noise() -> impl Strategy<Value = Vec<u8>> {
    let byte = prop_oneof![
        3 => any::<u8>(),
        2 => Just(b'\n'),
        5 => proptest::sample::select(&br#"{}[]":,\e1.-tn "#[..]),
    ];
    vec(byte, 0..200)
}

proptest! {
    #[test]
    fn requests_survive_the_wire(requests in vec(request(), 1..4), sizes in vec(1..40usize, 1..5)) {
        let lines: Vec<u8> = requests.iter().flat_map(|one| encode(one).unwrap()).collect();
        let read = every_line(in_pieces(&lines, &sizes), lines.len());
        prop_assert_eq!(&read, &every_line_async(&lines, lines.len(), sizes[0]));
        let read: Vec<_> = read
            .into_iter()
            .map(|line| Request::parse(&line.unwrap().unwrap()).unwrap())
            .collect();
        prop_assert_eq!(read, requests);
    }

    #[test]
    fn responses_survive_the_wire(responses in vec(response(), 1..4), sizes in vec(1..40usize, 1..5)) {
        let lines: Vec<u8> = responses.iter().flat_map(|one| encode(one).unwrap()).collect();
        let read = every_line(in_pieces(&lines, &sizes), lines.len());
        prop_assert_eq!(&read, &every_line_async(&lines, lines.len(), sizes[0]));
        let read: Vec<_> = read
            .into_iter()
            .map(|line| Response::parse(&line.unwrap().unwrap()).unwrap())
            .collect();
        prop_assert_eq!(read, responses);
    }

    #[test]
    fn any_bytes_in_any_pieces_give_the_same_lines(
        bytes in noise(),
        sizes in vec(1..40usize, 1..5),
        limit in 0..30usize,
    ) {
        let lines = expected(&bytes, limit);
        prop_assert_eq!(&every_line(&bytes[..], limit), &lines);
        prop_assert_eq!(&every_line(in_pieces(&bytes, &sizes), limit), &lines);
        prop_assert_eq!(&every_line_async(&bytes, limit, sizes[0]), &lines);
    }

    #[test]
    fn after_any_line_the_next_one_is_read(bytes in noise(), request in request()) {
        let mut stream = bytes;
        stream.push(b'\n');
        let good = encode(&request).unwrap();
        stream.extend(&good);
        let last = every_line(&stream[..], good.len()).pop().unwrap();
        prop_assert_eq!(Request::parse(&last.unwrap().unwrap()).unwrap(), request);
    }

    #[test]
    fn any_line_is_a_message_or_a_refusal(bytes in noise(), text in any::<String>()) {
        for line in [String::from_utf8_lossy(&bytes).into_owned(), text] {
            if let Err(error) = Request::parse(&line) {
                prop_assert!(!error.to_string().is_empty());
            }
            if let Err(error) = Response::parse(&line) {
                prop_assert!(!error.to_string().is_empty());
            }
        }
    }

    /// A good request with a piece of it lost, doubled or replaced.
    #[test]
    fn a_damaged_request_is_refused_or_another_one(
        request in request(),
        at in any::<prop::sample::Index>(),
        length in 0..20usize,
        instead in "[\\PC]{0,5}",
    ) {
        let good = String::from_utf8(encode(&request).unwrap()).unwrap();
        let characters: Vec<char> = good.trim_end().chars().collect();
        let start = at.index(characters.len());
        let end = (start + length).min(characters.len());
        let damaged: String = characters[..start]
            .iter()
            .copied()
            .chain(instead.chars())
            .chain(characters[end..].iter().copied())
            .collect();
        if let Ok(other) = Request::parse(&damaged) {
            let again = String::from_utf8(encode(&other).unwrap()).unwrap();
            prop_assert_eq!(Request::parse(&again).unwrap(), other);
        }
    }

    #[test]
    fn values_are_messages_or_refused(value in value()) {
        // Nothing that isn't an object with one key gets through.
        let line = value.to_string();
        prop_assert!(Request::parse(&line).is_err());
        prop_assert!(Response::parse(&line).is_err());
    }
}
