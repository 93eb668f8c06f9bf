//! JSON objects that are put together field by field, such as the outputs that a kind
//! predicts and the facts of what it lists.

use nixops4_protocol::Object;
use serde_json::Value;

/// Adds fields to an object.
pub trait Fields: Sized {
    /// With this field.
    #[must_use]
    fn with(self, name: &str, value: impl Into<Value>) -> Self;

    /// With this field, if there is a value for it.
    #[must_use]
    fn with_some(self, name: &str, value: Option<impl Into<Value>>) -> Self {
        match value {
            Some(value) => self.with(name, value),
            None => self,
        }
    }
}

impl Fields for Object {
    fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.insert(name.to_owned(), value.into());
        self
    }
}
