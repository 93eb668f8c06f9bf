//! What a KV engine of version 2 answers, and the field that is meant in it. Pure.
//!
//! What does not parse may hold a secret: nothing of an answer is ever repeated but
//! the names of fields.

use std::collections::BTreeMap;
use std::fmt;

use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, Visitor};

use crate::source::Obtained;

/// What a KV engine answers.
#[derive(Deserialize)]
struct Answer {
    data: Option<Kept>,
}

#[derive(Deserialize)]
struct Kept {
    /// Null for a version that was deleted.
    data: Option<BTreeMap<String, Field>>,
    metadata: Option<Metadata>,
}

#[derive(Deserialize)]
struct Metadata {
    version: u32,
}

/// A text, or something else.
enum Field {
    Text(SecretString),
    Other,
}

impl<'de> Deserialize<'de> for Field {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;
        impl<'de> Visitor<'de> for Text {
            type Value = Field;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a field")
            }
            fn visit_str<E>(self, text: &str) -> Result<Field, E> {
                Ok(Field::Text(SecretString::from(text)))
            }
            fn visit_string<E>(self, text: String) -> Result<Field, E> {
                Ok(Field::Text(SecretString::from(text)))
            }
            fn visit_bool<E>(self, _: bool) -> Result<Field, E> {
                Ok(Field::Other)
            }
            fn visit_i64<E>(self, _: i64) -> Result<Field, E> {
                Ok(Field::Other)
            }
            fn visit_u64<E>(self, _: u64) -> Result<Field, E> {
                Ok(Field::Other)
            }
            fn visit_f64<E>(self, _: f64) -> Result<Field, E> {
                Ok(Field::Other)
            }
            fn visit_unit<E>(self) -> Result<Field, E> {
                Ok(Field::Other)
            }
            fn visit_seq<A: serde::de::SeqAccess<'de>>(
                self,
                mut seq: A,
            ) -> Result<Field, A::Error> {
                while seq.next_element::<IgnoredAny>()?.is_some() {}
                Ok(Field::Other)
            }
            fn visit_map<A: serde::de::MapAccess<'de>>(
                self,
                mut map: A,
            ) -> Result<Field, A::Error> {
                while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
                Ok(Field::Other)
            }
        }
        deserializer.deserialize_any(Text)
    }
}

/// Whether a secret is missing because its version was deleted, which is told with
/// its metadata.
pub(super) fn is_of_a_deleted_version(body: &[u8]) -> bool {
    let answer = serde_json::from_slice(body);
    matches!(answer, Ok(Answer { data: Some(_) }))
}

/// Why an answer does not give the secret.
pub(super) enum Unpicked {
    /// It is none of a KV engine of version 2.
    Odd,
    /// It has other fields.
    Field {
        /// Their names.
        fields: Vec<String>,
        /// What to do.
        hint: &'static str,
    },
}

/// Takes a field out of an answer; without a name, the only one.
pub(super) fn pick(body: &[u8], field: Option<&str>) -> Result<Obtained, Unpicked> {
    let answer: Answer = serde_json::from_slice(body).map_err(|_| Unpicked::Odd)?;
    let kept = answer.data.ok_or(Unpicked::Odd)?;
    let version = kept.metadata.ok_or(Unpicked::Odd)?.version;
    let mut fields = kept.data.unwrap_or_default();
    let refuse = |fields: &BTreeMap<String, Field>, hint| Unpicked::Field {
        fields: fields.keys().cloned().collect(),
        hint,
    };
    let wanted = match field {
        Some(field) => field.to_owned(),
        None if fields.len() == 1 => fields.keys().next().cloned().unwrap_or_default(),
        None => return Err(refuse(&fields, "say which field is meant")),
    };
    match fields.remove(&wanted) {
        Some(Field::Text(value)) if !value.expose_secret().is_empty() => Ok(Obtained {
            value,
            version: Some(version),
        }),
        Some(found) => {
            let hint = match found {
                Field::Text(_) => "the one that is meant is empty",
                Field::Other => "the one that is meant is not text",
            };
            fields.insert(wanted, found);
            Err(refuse(&fields, hint))
        }
        None => Err(refuse(&fields, "the one that is meant is not among them")),
    }
}
