//! Reading one message from a line: strictly, and saying where it is wrong.
//!
//! What serde derives would also take a list for an object (`["file", {}, true]`
//! for a create request) and has few words for an envelope that is not one object
//! with one key. It must not know what any message means.

use std::fmt;

use json_patch::jsonptr::PointerBuf;
use json_patch::{
    AddOperation, CopyOperation, MoveOperation, PatchOperation, RemoveOperation, ReplaceOperation,
    TestOperation,
};
use serde::de::value::MapAccessDeserializer;
use serde::de::{self, DeserializeOwned, DeserializeSeed, Deserializer, MapAccess, Visitor};
use serde::{Deserialize, forward_to_deserialize_any};
use serde_json::Value;
use serde_json::error::Category;
use serde_path_to_error::Segment;

use crate::codec::Size;
use crate::message::{Request, Response};

/// Why a line is not a message.
#[derive(Debug, thiserror::Error)]
pub enum ParseError {
    /// It would take far more memory than a message needs.
    #[error(
        "the line has over {most} values in it, more than any message needs: send less in one message"
    )]
    TooMany {
        /// How many there may be.
        most: usize,
    },
    /// There is nothing on it.
    #[error("the line is empty: a message is one JSON object on a line of its own")]
    Empty,
    /// It is not one JSON value.
    #[error("the line can't be read as one JSON value: {0}")]
    NotJson(#[source] serde_json::Error),
    /// It is JSON, but not a message of this protocol.
    #[error("{}: {source}", place(pointer))]
    NotAMessage {
        /// JSON pointer to what is wrong; empty if it is the message as a whole.
        pointer: String,
        /// What is wrong with it.
        source: serde_json::Error,
    },
}

fn place(pointer: &str) -> &str {
    if pointer.is_empty() {
        "the message as a whole"
    } else {
        pointer
    }
}

impl Request {
    /// Reads a request from a line, the way in for everything that comes over the
    /// wire: unlike plain `serde_json`, it refuses lists in place of objects, and what
    /// would take far more memory than a message of this size needs.
    pub fn parse(line: &str) -> Result<Self, ParseError> {
        Self::parse_sized(line, Size::Message)
    }

    /// [`Self::parse`], of a line that may be as large as a state.
    pub fn parse_sized(line: &str, size: Size) -> Result<Self, ParseError> {
        parse(line, size, "an object with one key, the name of a request")
    }
}

impl Response {
    /// Reads a response from a line. See [`Request::parse`].
    pub fn parse(line: &str) -> Result<Self, ParseError> {
        Self::parse_sized(line, Size::Message)
    }

    /// [`Self::parse`], of a line that may be as large as a state.
    pub fn parse_sized(line: &str, size: Size) -> Result<Self, ParseError> {
        parse(line, size, "an object with one key, the name of a response")
    }
}

fn parse<T: DeserializeOwned>(
    line: &str,
    size: Size,
    expected: &'static str,
) -> Result<T, ParseError> {
    if line.trim().is_empty() {
        return Err(ParseError::Empty);
    }
    if let Some(most) = size.values().filter(|most| has_more_values(line, *most)) {
        return Err(ParseError::TooMany { most });
    }
    let mut json = serde_json::Deserializer::from_str(line);
    let mut track = serde_path_to_error::Track::new();
    let tracked = serde_path_to_error::Deserializer::new(&mut json, &mut track);
    let message = T::deserialize(Envelope { tracked, expected }).map_err(|source| {
        if source.classify() == Category::Data {
            let pointer = pointer(&track.path());
            ParseError::NotAMessage { pointer, source }
        } else {
            ParseError::NotJson(source)
        }
    })?;
    json.end().map_err(ParseError::NotJson)?;
    Ok(message)
}

/// Whether there may be more values in a line of JSON than so many. Each begins
/// behind one of these characters, but the first.
fn has_more_values(line: &str, most: usize) -> bool {
    if line.len() <= most {
        return false;
    }
    let mut values = 0;
    let mut in_text = false;
    let mut bytes = line.bytes();
    while let Some(byte) = bytes.next() {
        match (byte, in_text) {
            (b'"', _) => in_text = !in_text,
            // What follows ends no text.
            (b'\\', true) => drop(bytes.next()),
            (b'[' | b'{' | b',' | b':', false) => values += 1,
            _ => {}
        }
    }
    values > most
}

fn pointer(path: &serde_path_to_error::Path) -> String {
    let mut pointer = String::new();
    for segment in path {
        let token = match segment {
            Segment::Seq { index } => index.to_string(),
            Segment::Map { key } => key.replace('~', "~0").replace('/', "~1"),
            Segment::Enum { variant } => variant.replace('~', "~0").replace('/', "~1"),
            // What stands behind it has no name.
            Segment::Unknown => break,
        };
        pointer.push('/');
        pointer.push_str(&token);
    }
    pointer
}

/// Reads an enum from an object with exactly one key.
struct Envelope<D> {
    tracked: D,
    expected: &'static str,
}

impl<'de, D: Deserializer<'de>> Deserializer<'de> for Envelope<D> {
    type Error = D::Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
        self.tracked.deserialize_map(OneKey {
            visitor,
            expected: self.expected,
        })
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf
        option unit unit_struct newtype_struct seq tuple tuple_struct map struct enum identifier
        ignored_any
    }
}

struct OneKey<V> {
    visitor: V,
    expected: &'static str,
}

impl<'de, V: Visitor<'de>> Visitor<'de> for OneKey<V> {
    type Value = V::Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.expected)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<V::Value, A::Error> {
        let entry = Entry {
            map: &mut map,
            expected: self.expected,
        };
        let value = self.visitor.visit_enum(MapAccessDeserializer::new(entry))?;
        match map.next_key::<String>()? {
            None => Ok(value),
            Some(key) => Err(de::Error::custom(format_args!(
                "unexpected second key `{key}`, expected {}",
                self.expected
            ))),
        }
    }
}

/// The envelope's only entry, whose value has to be an object.
struct Entry<'a, A> {
    map: &'a mut A,
    expected: &'static str,
}

impl<'de, A: MapAccess<'de>> MapAccess<'de> for Entry<'_, A> {
    type Error = A::Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, A::Error> {
        match self.map.next_key_seed(seed)? {
            Some(key) => Ok(Some(key)),
            None => Err(de::Error::invalid_length(0, &self.expected)),
        }
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, A::Error> {
        self.map.next_value_seed(ObjectSeed(seed))
    }
}

struct ObjectSeed<S>(S);

impl<'de, S: DeserializeSeed<'de>> DeserializeSeed<'de> for ObjectSeed<S> {
    type Value = S::Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<S::Value, D::Error> {
        self.0.deserialize(ObjectOnly(deserializer))
    }
}

/// Reads a struct from an object, never from a list of its fields.
struct ObjectOnly<D>(D);

impl<'de, D: Deserializer<'de>> Deserializer<'de> for ObjectOnly<D> {
    type Error = D::Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
        self.0.deserialize_map(visitor)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf
        option unit unit_struct newtype_struct seq tuple tuple_struct map struct enum identifier
        ignored_any
    }
}

/// A struct that is read by [`ObjectOnly`].
struct Object<T>(T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        T::deserialize(ObjectOnly(deserializer)).map(Self)
    }
}

/// For a field that holds a struct.
pub(crate) fn object<'de, T, D>(deserializer: D) -> Result<T, D::Error>
where
    T: Deserialize<'de>,
    D: Deserializer<'de>,
{
    Object::deserialize(deserializer).map(|object| object.0)
}

/// For a field that holds a struct or is absent.
pub(crate) fn object_or_null<'de, T, D>(deserializer: D) -> Result<Option<T>, D::Error>
where
    T: Deserialize<'de>,
    D: Deserializer<'de>,
{
    let found: Option<Object<T>> = Option::deserialize(deserializer)?;
    Ok(found.map(|object| object.0))
}

/// For a field that holds a list of structs.
pub(crate) fn objects<'de, T, D>(deserializer: D) -> Result<Vec<T>, D::Error>
where
    T: Deserialize<'de>,
    D: Deserializer<'de>,
{
    let found: Vec<Object<T>> = Vec::deserialize(deserializer)?;
    Ok(found.into_iter().map(|object| object.0).collect())
}

/// For a patch. What `json_patch` derives would read each operation twice, and hold
/// its values in two forms at once.
pub(crate) fn patch<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<json_patch::Patch, D::Error> {
    let written: Vec<Object<Operation>> = Vec::deserialize(deserializer)?;
    let operations = written.into_iter().map(|written| written.0.0);
    Ok(json_patch::Patch(operations.collect()))
}

/// One operation of a patch.
struct Operation(PatchOperation);

/// As it is written, whatever it does.
#[derive(Deserialize)]
#[serde(expecting = "an operation of a patch")]
struct WrittenOperation {
    op: OperationName,
    path: PointerBuf,
    from: Option<PointerBuf>,
    /// Null is a value, too.
    #[serde(default, deserialize_with = "present")]
    value: Option<Value>,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum OperationName {
    Add,
    Remove,
    Replace,
    Move,
    Copy,
    Test,
}

fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(deserializer).map(Some)
}

impl<'de> Deserialize<'de> for Operation {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let WrittenOperation {
            op,
            path,
            from,
            value,
        } = WrittenOperation::deserialize(deserializer)?;
        let value = || value.ok_or_else(|| de::Error::missing_field("value"));
        let from = || from.ok_or_else(|| de::Error::missing_field("from"));
        Ok(Self(match op {
            OperationName::Add => PatchOperation::Add(AddOperation {
                path,
                value: value()?,
            }),
            OperationName::Remove => PatchOperation::Remove(RemoveOperation { path }),
            OperationName::Replace => PatchOperation::Replace(ReplaceOperation {
                path,
                value: value()?,
            }),
            OperationName::Move => PatchOperation::Move(MoveOperation {
                path,
                from: from()?,
            }),
            OperationName::Copy => PatchOperation::Copy(CopyOperation {
                path,
                from: from()?,
            }),
            OperationName::Test => PatchOperation::Test(TestOperation {
                path,
                value: value()?,
            }),
        }))
    }
}
