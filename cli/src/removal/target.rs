//! What is to go, and what happens to it.

use std::sync::Arc;

use nixops4_protocol::client::ProviderCommand;
use nixops4_protocol::describe::{Description, KindDescription};
use nixops4_protocol::message::RequestName;
use nixops4_protocol::state::RecordedResource;
use serde_json::Value;

use crate::member::MemberPath;
use crate::report::{Failure, Fate, Operation, Removal};
use crate::session::Session;

/// The input by which a resource says that it must not be destroyed.
const PROTECT: &str = "protect";
/// The input that says what destroying does.
const DELETION_POLICY: &str = "deletionPolicy";

const PROTECTED: &str = "it is protected: set `protect = false`, apply, and then destroy it";
const PROTECTED_AND_GONE: &str =
    "it is protected: declare it again with `protect = false`, apply, and remove it then";

/// A resource that is to go.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    pub(crate) path: MemberPath,
    /// The state resource that records it; absent if none does.
    pub(crate) keeper: Option<MemberPath>,
    pub(crate) recorded: RecordedResource,
    /// What does it; absent where nobody may be asked, which is refused then.
    pub(crate) provider: Option<ProviderCommand>,
    pub(crate) fate: Fate,
    pub(crate) note: Option<String>,
    /// Whether it is refused only because nobody could find out what it is.
    pub(crate) is_unclear: bool,
}

impl Target {
    /// The same, of a member that is not in the expression any more.
    pub(crate) fn without_member(mut self) -> Self {
        if self.note.as_deref() == Some(PROTECTED) {
            self.note = Some(PROTECTED_AND_GONE.to_owned());
        }
        self
    }

    /// How it is told that it was not even tried.
    pub(crate) fn failure(&self, error: String) -> Failure {
        Failure {
            path: self.path.clone(),
            operation: Operation::Destroy,
            error,
        }
    }

    /// How it is shown.
    pub(crate) fn report(&self) -> Removal {
        Removal {
            path: self.path.clone(),
            r#type: self.recorded.r#type.clone(),
            fate: self.fate,
            state: self.keeper.clone(),
            note: self.note.clone(),
            warnings: Vec::new(),
        }
    }
}

/// Finds out what would happen to what is recorded.
pub(crate) async fn target(
    session: &Session,
    path: MemberPath,
    keeper: Option<MemberPath>,
    recorded: RecordedResource,
    forget: bool,
) -> Target {
    let mut is_unclear = false;
    let mut provider = None;
    let (fate, note) = if forget {
        let note = "its provider is not asked; see to the thing itself by hand";
        (Fate::Forget, Some(note.to_owned()))
    } else {
        match described(session, &recorded).await {
            Err(reason) => {
                is_unclear = true;
                (Fate::Refuse, Some(reason))
            }
            Ok((command, description)) => {
                provider = Some(command);
                let kind = description
                    .as_ref()
                    .and_then(|description| description.kinds.get(&recorded.r#type));
                fate(&recorded, kind)
            }
        }
    };
    Target {
        path,
        keeper,
        recorded,
        provider,
        fate,
        note,
        is_unclear,
    }
}

/// The provider of what is recorded, and what it says of itself.
async fn described(
    session: &Session,
    recorded: &RecordedResource,
) -> Result<(ProviderCommand, Option<Arc<Description>>), String> {
    let provider = session.provider_of(recorded).await;
    let provider = provider.map_err(|distrust| distrust.to_string())?;
    match session.providers.describe(&provider).await {
        Ok(description) => Ok((provider, description)),
        Err(error) => Err(error.to_string()),
    }
}

fn fate(recorded: &RecordedResource, kind: Option<&KindDescription>) -> (Fate, Option<String>) {
    let input = |name: &str| {
        let value = recorded.input_properties.get(name);
        value.filter(|value| !value.is_null())
    };
    if input(PROTECT) == Some(&Value::Bool(true)) {
        return (Fate::Refuse, Some(PROTECTED.to_owned()));
    }
    let Some(kind) = kind.filter(|kind| kind.offers(RequestName::Destroy)) else {
        let note = "its provider cannot destroy: remove the thing by hand, and then its record \
                    with --forget";
        return (Fate::Refuse, Some(note.to_owned()));
    };
    let default = kind
        .inputs
        .get("properties")
        .and_then(|properties| properties.get(DELETION_POLICY)?.get("default"));
    match input(DELETION_POLICY).or(default).and_then(Value::as_str) {
        Some("retain") => (Fate::Retain, None),
        _ => (Fate::Delete, None),
    }
}

#[cfg(test)]
mod tests {
    use nixops4_protocol::describe::KindDescription;
    use nixops4_protocol::state::RecordedResource;
    use serde_json::{Value, json};

    use super::fate;
    use crate::report::Fate;

    fn recorded(inputs: &Value) -> RecordedResource {
        serde_json::from_value(json!({ "type": "t", "input_properties": inputs })).unwrap()
    }

    fn kind(requests: &Value, default: &Value) -> KindDescription {
        serde_json::from_value(json!({
            "description": "", "state": "optional", "requests": requests, "outputs": {},
            "inputs": { "properties": { "deletionPolicy": { "default": default } } },
        }))
        .unwrap()
    }

    #[test]
    fn what_was_recorded_decides_and_then_the_kind() {
        let destroys = json!(["destroyResourceRequest"]);
        let retains = kind(&destroys, &json!("retain"));
        let deletes = kind(&destroys, &json!("delete"));
        let cannot = kind(&json!([]), &json!("delete"));
        for (inputs, kind, expected) in [
            (json!({}), Some(&retains), Fate::Retain),
            (json!({}), Some(&deletes), Fate::Delete),
            (
                json!({"deletionPolicy": null}),
                Some(&retains),
                Fate::Retain,
            ),
            (
                json!({"deletionPolicy": "delete"}),
                Some(&retains),
                Fate::Delete,
            ),
            (
                json!({"deletionPolicy": "retain"}),
                Some(&deletes),
                Fate::Retain,
            ),
            (json!({"protect": true}), Some(&deletes), Fate::Refuse),
            (json!({"protect": false}), Some(&deletes), Fate::Delete),
            (json!({}), Some(&cannot), Fate::Refuse),
            (json!({}), None, Fate::Refuse),
        ] {
            assert_eq!(fate(&recorded(&inputs), kind).0, expected, "{inputs}");
        }
    }
}
