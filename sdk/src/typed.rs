//! From a JSON value to a type, with an error that says where and what.
//!
//! `serde_json` has the same, but its errors repeat the whole offending value,
//! and name an unknown or missing field only in their text. Here an error knows
//! the pointer, shows at most a few characters of a value, and says which name
//! was probably meant. A value that must never be shown is refused by its own
//! type, as [`SecretRef`](crate::SecretRef) does.
//!
//! Null means absent, at every depth; only a list's own nulls stay. This module
//! knows no kind.

use std::fmt::{self, Display};

use serde::de::value::{BorrowedStrDeserializer, MapAccessDeserializer};
use serde::de::{
    DeserializeSeed, Deserializer, Expected, MapAccess, SeqAccess, Unexpected, Visitor,
};
use serde::{Deserialize, forward_to_deserialize_any};
use serde_json::Value;

use crate::error::{Error, Result, shortened};

/// How much of a value or a name an error shows, in characters.
pub(crate) const SHOWN: usize = 100;
/// How much of what a type says of itself an error shows, in characters.
const SHOWN_TEXT: usize = 600;
/// How many names of fields an error lists.
const LISTED: usize = 24;

/// Reads the fields of an object as a type. `siblings` are fields of the same
/// object that are read elsewhere; a misspelt name may mean one of them.
pub(crate) fn read<'a, T: Deserialize<'a>>(
    fields: impl IntoIterator<Item = (&'a String, &'a Value)>,
    siblings: &[&'static str],
) -> Result<T> {
    let fields = fields.into_iter().collect::<Vec<_>>();
    T::deserialize(Object(fields)).map_err(|failure| failure.explain(siblings))
}

/// The error for a field that doesn't exist at the top of an object.
pub(crate) fn unknown_field(name: &str, known: &[&str]) -> Error {
    let mut failure = Failure::new(format!("unknown field {:?}", shortened(name, SHOWN)));
    failure.tokens.push(shortened(name, SHOWN));
    failure.explain(&[]).hint(suggestion(name, known))
}

/// Appends a name to a JSON pointer.
pub(crate) fn escape(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}

/// Why a value doesn't fit.
#[derive(Debug)]
struct Failure {
    /// Where, from the innermost outwards.
    tokens: Vec<String>,
    message: String,
    /// The name that doesn't exist, and those that do.
    unknown: Option<(String, &'static [&'static str])>,
}

impl Failure {
    fn new(message: String) -> Self {
        Self {
            tokens: Vec::new(),
            message,
            unknown: None,
        }
    }

    fn under(mut self, token: &str) -> Self {
        self.tokens.push(shortened(token, SHOWN));
        self
    }

    fn explain(self, siblings: &[&'static str]) -> Error {
        let pointer: String = self
            .tokens
            .iter()
            .rev()
            .flat_map(|token| ["/".to_owned(), escape(token)])
            .collect();
        let error = Error::input(pointer, self.message);
        let Some((name, known)) = self.unknown else {
            return error;
        };
        let mut known = known.to_vec();
        if self.tokens.len() == 1 {
            known.extend(siblings);
        }
        error.hint(suggestion(&name, &known))
    }
}

/// What a misspelt name may mean.
fn suggestion(name: &str, known: &[&str]) -> String {
    let name = shortened(name, SHOWN);
    let near = known
        .iter()
        .map(|candidate| (strsim::damerau_levenshtein(&name, candidate), candidate))
        .filter(|(distance, candidate)| *distance <= (candidate.chars().count() / 3).max(1))
        .min_by_key(|(distance, _)| *distance);
    if let Some((_, candidate)) = near {
        return format!("did you mean {candidate:?}?");
    }
    match known.len() {
        0 => "there are no fields here".to_owned(),
        1..=LISTED => format!("use one of {}", known.join(", ")),
        more => format!(
            "use one of {} and {} more",
            known[..LISTED].join(", "),
            more - LISTED
        ),
    }
}

impl Display for Failure {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.message)
    }
}

impl std::error::Error for Failure {}

impl serde::de::Error for Failure {
    fn custom<T: Display>(message: T) -> Self {
        Self::new(shortened(&message.to_string(), SHOWN_TEXT))
    }

    fn invalid_type(found: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::new(format!(
            "expected {}, found {}",
            in_words(&expected.to_string()),
            shown(&found)
        ))
    }

    fn invalid_value(found: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::invalid_type(found, expected)
    }

    fn unknown_variant(variant: &str, expected: &'static [&'static str]) -> Self {
        let mut failure = Self::new(format!(
            "{:?} is not one of {}",
            shortened(variant, SHOWN),
            quoted(expected)
        ));
        // What there is stands in the message already.
        let near = suggestion(variant, expected);
        if near.starts_with("did you mean") {
            failure.message = format!("{}; {near}", failure.message);
        }
        failure
    }

    fn unknown_field(field: &str, expected: &'static [&'static str]) -> Self {
        let name = shortened(field, SHOWN);
        let failure = Self::new(format!("unknown field {name:?}"));
        Self {
            unknown: Some((name.clone(), expected)),
            ..failure
        }
        .under(&name)
    }

    fn missing_field(field: &'static str) -> Self {
        Self::new(format!(
            "missing field {field:?}: it has no default, so it has to be set"
        ))
        .under(field)
    }
}

fn quoted(names: &[&str]) -> String {
    let quoted: Vec<_> = names.iter().map(|name| format!("{name:?}")).collect();
    quoted.join(", ")
}

/// What was found. Of a text, not more than its beginning.
fn shown(found: &Unexpected<'_>) -> String {
    match found {
        Unexpected::Bool(value) => value.to_string(),
        Unexpected::Unsigned(value) => value.to_string(),
        Unexpected::Signed(value) => value.to_string(),
        Unexpected::Float(value) => value.to_string(),
        Unexpected::Str(text) => format!("the text {:?}", shortened(text, SHOWN)),
        Unexpected::Unit | Unexpected::Option => "null".to_owned(),
        Unexpected::Seq => "a list".to_owned(),
        Unexpected::Map => "an object".to_owned(),
        other => shortened(&other.to_string(), SHOWN),
    }
}

/// What serde calls a type, as an author of an expression knows it.
fn in_words(expected: &str) -> String {
    let range =
        |least: &dyn Display, most: &dyn Display| format!("a whole number from {least} to {most}");
    match expected {
        "u8" => range(&u8::MIN, &u8::MAX),
        "u16" => range(&u16::MIN, &u16::MAX),
        "u32" => range(&u32::MIN, &u32::MAX),
        "u64" | "usize" => "a whole number, 0 or more".to_owned(),
        "i8" => range(&i8::MIN, &i8::MAX),
        "i16" => range(&i16::MIN, &i16::MAX),
        "i32" => range(&i32::MIN, &i32::MAX),
        "i64" | "isize" => "a whole number".to_owned(),
        "f32" | "f64" => "a number".to_owned(),
        "a string" | "path string" | "string or map" => "a text".to_owned(),
        "a boolean" => "true or false".to_owned(),
        "a sequence" => "a list".to_owned(),
        "a map" => "an object".to_owned(),
        "string or map with a single key" => "a text, or an object with one key".to_owned(),
        expected if expected.starts_with("struct ") => "an object".to_owned(),
        expected if expected.starts_with("enum ") => "one of its choices, as a text".to_owned(),
        expected => shortened(expected, SHOWN),
    }
}

/// Any value.
struct Json<'a>(&'a Value);

impl<'de> Deserializer<'de> for Json<'de> {
    type Error = Failure;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failure> {
        match self.0 {
            Value::Null => visitor.visit_unit(),
            Value::Bool(value) => visitor.visit_bool(*value),
            Value::Number(number) => {
                if let Some(number) = number.as_u64() {
                    visitor.visit_u64(number)
                } else if let Some(number) = number.as_i64() {
                    visitor.visit_i64(number)
                } else {
                    visitor.visit_f64(number.as_f64().unwrap_or(f64::NAN))
                }
            }
            Value::String(text) => visitor.visit_borrowed_str(text),
            Value::Array(items) => visitor.visit_seq(Items {
                items: items.iter(),
                next: 0,
            }),
            Value::Object(fields) => Object(fields.iter().collect()).deserialize_any(visitor),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failure> {
        match self.0 {
            Value::Null => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Failure> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Failure> {
        match self.0 {
            Value::String(text) => visitor.visit_enum(BorrowedStrDeserializer::new(text)),
            Value::Object(fields) => {
                Object(fields.iter().collect()).deserialize_enum(name, variants, visitor)
            }
            other => Err(Failure::new(format!(
                "expected one of {}, found {}",
                quoted(variants),
                shown(&unexpected(other))
            ))),
        }
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Failure> {
        match self.0 {
            // serde would take a list for the fields in their order.
            Value::Array(_) => Err(serde::de::Error::invalid_type(Unexpected::Seq, &visitor)),
            _ => self.deserialize_any(visitor),
        }
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf
        unit unit_struct seq tuple tuple_struct map identifier ignored_any
    }
}

fn unexpected(value: &Value) -> Unexpected<'_> {
    match value {
        Value::Null => Unexpected::Unit,
        Value::Bool(value) => Unexpected::Bool(*value),
        Value::Number(number) => match (number.as_u64(), number.as_i64(), number.as_f64()) {
            (Some(number), ..) => Unexpected::Unsigned(number),
            (_, Some(number), _) => Unexpected::Signed(number),
            (.., number) => Unexpected::Float(number.unwrap_or(f64::NAN)),
        },
        Value::String(text) => Unexpected::Str(text),
        Value::Array(_) => Unexpected::Seq,
        Value::Object(_) => Unexpected::Map,
    }
}

/// The fields of an object.
struct Object<'a>(Vec<(&'a String, &'a Value)>);

impl<'de> Object<'de> {
    fn fields(self) -> Fields<'de> {
        let mut fields = self.0;
        fields.retain(|(_, value)| !value.is_null());
        Fields {
            fields: fields.into_iter(),
            current: None,
        }
    }
}

impl<'de> Deserializer<'de> for Object<'de> {
    type Error = Failure;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failure> {
        visitor.visit_map(self.fields())
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failure> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Failure> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Failure> {
        let fields = self.fields();
        let count = fields.fields.len();
        if count != 1 {
            return Err(Failure::new(format!(
                "expected an object with one key, one of {}; found {count} keys",
                quoted(variants)
            )));
        }
        visitor.visit_enum(MapAccessDeserializer::new(fields))
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf
        unit unit_struct seq tuple tuple_struct map struct identifier ignored_any
    }
}

struct Fields<'a> {
    fields: std::vec::IntoIter<(&'a String, &'a Value)>,
    current: Option<(&'a String, &'a Value)>,
}

impl<'de> MapAccess<'de> for Fields<'de> {
    type Error = Failure;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, Failure> {
        self.current = self.fields.next();
        self.current
            .map(|(name, _)| seed.deserialize(BorrowedStrDeserializer::new(name)))
            .transpose()
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Failure> {
        let Some((name, value)) = self.current.take() else {
            return Err(Failure::new(
                "a value was asked for before its name".to_owned(),
            ));
        };
        seed.deserialize(Json(value))
            .map_err(|failure| failure.under(name))
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.fields.len())
    }
}

struct Items<'a> {
    items: std::slice::Iter<'a, Value>,
    next: usize,
}

impl<'de> SeqAccess<'de> for Items<'de> {
    type Error = Failure;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, Failure> {
        let Some(item) = self.items.next() else {
            return Ok(None);
        };
        let position = self.next;
        self.next += 1;
        seed.deserialize(Json(item))
            .map(Some)
            .map_err(|failure| failure.under(&position.to_string()))
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.items.len())
    }
}

#[cfg(test)]
mod tests;
