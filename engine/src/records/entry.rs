//! What is recorded of one resource, and the document that it stands in, as they are
//! held while a deployment is looked at: as text. A tree of JSON takes ten times as much
//! memory, and a deployment may have thousands of resources that nobody touches.

use std::cell::OnceCell;
use std::sync::Arc;

use nixops4_protocol::Object;
use nixops4_protocol::state::{Extension, RecordedResource};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::member::Outputs;

/// What is recorded of one resource.
#[derive(Debug, Clone)]
pub(crate) struct Entry(Arc<Parts>);

#[derive(Debug)]
struct Parts {
    /// All but the outputs.
    text: Box<str>,
    outputs: Outputs,
    knows_all: bool,
}

impl Entry {
    pub(super) fn new(mut resource: RecordedResource) -> Self {
        let outputs = std::mem::take(&mut resource.output_properties);
        let extension = resource.extension.as_ref();
        Self(Arc::new(Parts {
            knows_all: extension.is_some_and(Extension::knows_all),
            text: write(&resource).into(),
            outputs: outputs.into(),
        }))
    }

    /// All of it.
    pub(crate) fn resource(&self) -> RecordedResource {
        RecordedResource {
            output_properties: Object::clone(&self.0.outputs),
            ..read(&self.0.text)
        }
    }

    /// Its outputs.
    pub(crate) fn outputs(&self) -> &Outputs {
        &self.0.outputs
    }

    /// Whether all is known that it was made from.
    pub(crate) fn knows_all(&self) -> bool {
        self.0.knows_all
    }
}

/// A state document: text, until somebody has to find something in it.
pub(super) struct Document {
    text: String,
    tree: OnceCell<Value>,
}

impl From<Value> for Document {
    fn from(tree: Value) -> Self {
        Self {
            text: String::new(),
            tree: tree.into(),
        }
    }
}

impl Document {
    /// Goes back to text.
    pub(super) fn fold(&mut self) {
        if let Some(tree) = self.tree.take() {
            self.text = write(&tree);
        }
    }

    /// The document as a tree.
    pub(super) fn tree(&self) -> &Value {
        self.tree.get_or_init(|| read(&self.text))
    }

    /// The same, to be changed.
    pub(super) fn tree_mut(&mut self) -> &mut Value {
        self.tree();
        self.text = String::new();
        self.tree.get_mut().expect("it was just made")
    }

    /// Whether the same stands in another one.
    pub(super) fn is_as(&self, other: &Self) -> bool {
        let are_texts = self.tree.get().is_none() && other.tree.get().is_none();
        are_texts && self.text == other.text || self.tree() == other.tree()
    }
}

fn write(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("what was read from JSON can be written as JSON")
}

fn read<T: DeserializeOwned>(text: &str) -> T {
    serde_json::from_str(text).expect("what was written as JSON can be read")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_entry_says_what_was_recorded() {
        for (extension, knows_all) in [
            (json!(null), false),
            (
                json!({ "executable": "p", "dependsOn": [], "x": 1.5 }),
                true,
            ),
            (
                json!({ "executable": "p", "dependsOn": [], "provisional": true }),
                false,
            ),
        ] {
            let mut recorded = json!({
                "type": "t", "input_properties": { "b": 1, "a": [null, "\u{1f600}\"", 1e300] },
                "output_properties": { "o": u64::MAX }, "others": { "z": 1, "a": 2 },
            });
            if !extension.is_null() {
                recorded["nixops4-resources"] = extension;
            }
            let resource: RecordedResource = serde_json::from_value(recorded).unwrap();
            let entry = Entry::new(resource.clone());
            assert_eq!(entry.resource(), resource);
            assert_eq!(**entry.outputs(), resource.output_properties);
            assert_eq!(entry.knows_all(), knows_all);
        }
    }

    #[test]
    fn a_document_is_the_same_as_text_and_as_a_tree() {
        let tree = json!({ "resources": { "b": 1, "a": 2 }, "deployments": {} });
        let document = || Document::from(tree.clone());
        let (one, mut other) = (document(), document());
        other.fold();
        assert!(one.is_as(&other) && other.is_as(&one));
        let (mut folded, mut changed) = (document(), document());
        folded.fold();
        changed.fold();
        assert!(changed.is_as(&folded));
        changed.tree_mut()["resources"]["a"] = json!(3);
        assert!(!changed.is_as(&folded));
        changed.fold();
        assert!(!changed.is_as(&folded));
        assert_eq!(*folded.tree(), tree);
        // The order of its fields means nothing.
        let mut turned =
            Document::from(json!({ "deployments": {}, "resources": { "a": 2, "b": 1 } }));
        turned.fold();
        assert!(turned.is_as(&folded));
    }
}
