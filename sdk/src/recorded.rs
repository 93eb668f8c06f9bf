//! Inputs as they were recorded, read as the kind's own inputs.
//!
//! A record also has the inputs of every kind, and may be another version's. So the fields
//! that a kind doesn't know are passed over here, which its `Inputs` refuse.

use std::fmt;
use std::ops::Deref;

use serde::de::{
    DeserializeSeed, Deserializer, IgnoredAny, IntoDeserializer as _, MapAccess, Visitor,
};
use serde::{Deserialize, forward_to_deserialize_any};

/// The inputs `T` of a record: part of a kind's [`Prior`](crate::Prior).
///
/// Only the names at the top are read leniently. A field that is added later needs a
/// default, or older records can't be read.
#[derive(Debug, Clone)]
pub struct RecordedInputs<T>(pub T);

impl<T> Deref for RecordedInputs<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for RecordedInputs<T> {
    fn deserialize<D: Deserializer<'de>>(record: D) -> Result<Self, D::Error> {
        T::deserialize(Lenient(record)).map(Self)
    }
}

struct Lenient<D>(D);

impl<'de, D: Deserializer<'de>> Deserializer<'de> for Lenient<D> {
    type Error = D::Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
        self.0.deserialize_any(visitor)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        known: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, D::Error> {
        let visitor = Known {
            inner: visitor,
            known,
        };
        self.0.deserialize_struct(name, known, visitor)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf
        option unit unit_struct newtype_struct seq tuple tuple_struct map enum identifier
        ignored_any
    }
}

/// Hands on the fields with these names, and no others.
struct Known<T> {
    inner: T,
    known: &'static [&'static str],
}

impl<'de, V: Visitor<'de>> Visitor<'de> for Known<V> {
    type Value = V::Value;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.expecting(out)
    }

    fn visit_map<A: MapAccess<'de>>(self, fields: A) -> Result<V::Value, A::Error> {
        self.inner.visit_map(Known {
            inner: fields,
            known: self.known,
        })
    }
}

impl<'de, A: MapAccess<'de>> MapAccess<'de> for Known<A> {
    type Error = A::Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, A::Error> {
        while let Some(name) = self.inner.next_key::<String>()? {
            if self.known.contains(&name.as_str()) {
                return seed.deserialize(name.into_deserializer()).map(Some);
            }
            self.inner.next_value::<IgnoredAny>()?;
        }
        Ok(None)
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, A::Error> {
        self.inner.next_value_seed(seed)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::error::Result;
    use crate::{Object, Prior, typed};

    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(rename_all = "camelCase", deny_unknown_fields)]
    struct Inputs {
        #[serde(alias = "oldName")]
        name: String,
        #[serde(default)]
        size: Option<Size>,
    }

    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Size {
        width: u8,
    }

    fn read(inputs: &Value) -> Result<Inputs> {
        let record = json!({"inputs": inputs, "outputs": {}});
        let fields = record.as_object().unwrap();
        let prior: Prior<RecordedInputs<Inputs>, Object> = typed::read(fields, &[])?;
        Ok(prior.inputs.0)
    }

    #[test]
    fn what_a_kind_does_not_know_is_passed_over() {
        let plain = Inputs {
            name: "a".to_owned(),
            size: None,
        };
        for inputs in [
            json!({"name": "a"}),
            json!({"name": "a", "size": null}),
            json!({"deployment": "shop", "name": "a", "of another version": {"x": []}}),
            json!({"protect": true, "oldName": "a"}),
        ] {
            assert_eq!(read(&inputs).unwrap(), plain, "{inputs}");
        }
        let sized = read(&json!({"name": "a", "size": {"width": 1}, "z": 0})).unwrap();
        assert_eq!(sized.size, Some(Size { width: 1 }));
    }

    #[test]
    fn what_it_knows_has_to_fit() {
        for (inputs, pointer) in [
            (json!({}), "/inputs/name"),
            (json!({"name": 1, "x": 2}), "/inputs/name"),
            (
                json!({"x": 1, "name": "a", "size": {"width": 999}}),
                "/inputs/size/width",
            ),
            (
                json!({"name": "a", "size": {"width": 1, "depth": 2}}),
                "/inputs/size/depth",
            ),
            (json!(["a"]), "/inputs"),
        ] {
            let error = read(&inputs).unwrap_err();
            assert_eq!(error.pointer(), Some(pointer), "{inputs}: {error}");
        }
    }
}
