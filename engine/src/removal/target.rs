//! What is to go, and what happens to it.

use std::sync::Arc;

use nixops4_protocol::client::ProviderCommand;
use nixops4_protocol::describe::{Contract, Description, KindDescription};
use nixops4_protocol::message::RequestName;
use nixops4_protocol::state::RecordedResource;
use serde_json::Value;

use crate::member::MemberPath;
use crate::report::{Failure, Operation, Removal, RemovalAction};
use crate::session::Session;

const PROTECTED: &str = "it is protected: set `protect = false`, apply, and then destroy it";
const PROTECTED_AND_GONE: &str =
    "it is protected: declare it again with `protect = false`, apply, and remove it then";

/// A resource that is to go.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    pub(crate) path: MemberPath,
    /// The state resource that records it; absent if none does.
    pub(crate) backend: Option<MemberPath>,
    pub(crate) recorded: RecordedResource,
    /// What does it; absent where nobody may be asked, which is refused then.
    pub(crate) provider: Option<ProviderCommand>,
    pub(crate) action: RemovalAction,
    pub(crate) note: Option<String>,
    /// What its inputs and outputs mean, if anybody was asked.
    pub(crate) contract: Option<Contract>,
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

    /// Whether others may need it to go themselves.
    pub(crate) fn holds_secrets(&self) -> bool {
        let contract = self.contract.as_ref();
        contract.is_some_and(|contract| contract.holds_secrets)
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
            action: self.action,
            state: self.backend.clone(),
            note: self.note.clone(),
            warnings: Vec::new(),
        }
    }
}

/// Finds out what would happen to what is recorded.
pub(crate) async fn target(
    session: &Session,
    path: MemberPath,
    backend: Option<MemberPath>,
    recorded: RecordedResource,
    forget: bool,
) -> Target {
    let mut is_unclear = false;
    let (mut provider, mut contract) = (None, None);
    let (action, note) = if forget {
        let note = "its provider is not asked; see to the thing itself by hand";
        (RemovalAction::Forget, Some(note.to_owned()))
    } else {
        match described(session, &recorded).await {
            Err(reason) => {
                is_unclear = true;
                (RemovalAction::Refuse, Some(reason))
            }
            Ok((command, description)) => {
                provider = Some(command);
                let kind = description
                    .as_ref()
                    .and_then(|description| description.kinds.get(&recorded.r#type));
                contract = kind.map(|kind| kind.contract().into_owned());
                action(&recorded, kind)
            }
        }
    };
    Target {
        path,
        backend,
        recorded,
        provider,
        action,
        note,
        contract,
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

fn action(
    recorded: &RecordedResource,
    kind: Option<&KindDescription>,
) -> (RemovalAction, Option<String>) {
    let inputs = &recorded.input_properties;
    if kind.is_some_and(|kind| kind.contract().is_protected(inputs)) {
        return (RemovalAction::Refuse, Some(PROTECTED.to_owned()));
    }
    let Some(kind) = kind.filter(|kind| kind.offers(RequestName::Destroy)) else {
        let note = "its provider cannot destroy: remove the thing by hand, and then its record \
                    with --forget";
        return (RemovalAction::Refuse, Some(note.to_owned()));
    };
    let contract = kind.contract();
    let policy = contract.deletion_policy_input.as_deref();
    let said = policy.and_then(|name| contract.input(inputs, name));
    let default = || {
        let properties = kind.inputs.get("properties")?;
        properties.get(policy?)?.get("default")
    };
    match said.or_else(default).and_then(Value::as_str) {
        Some("retain") => (RemovalAction::Retain, None),
        _ => (RemovalAction::Delete, None),
    }
}

#[cfg(test)]
mod tests {
    use nixops4_protocol::describe::KindDescription;
    use nixops4_protocol::state::RecordedResource;
    use serde_json::{Value, json};

    use super::action;
    use crate::report::RemovalAction;

    fn recorded(inputs: &Value) -> RecordedResource {
        serde_json::from_value(json!({ "type": "t", "input_properties": inputs })).unwrap()
    }

    fn kind(requests: &Value, default: &Value) -> KindDescription {
        serde_json::from_value(json!({
            "description": "", "state": "optional", "requests": requests, "outputs": {},
            "inputs": { "properties": { "deletionPolicy": { "default": default }, "protect": {} } },
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
            (json!({}), Some(&retains), RemovalAction::Retain),
            (json!({}), Some(&deletes), RemovalAction::Delete),
            (
                json!({"deletionPolicy": null}),
                Some(&retains),
                RemovalAction::Retain,
            ),
            (
                json!({"deletionPolicy": "delete"}),
                Some(&retains),
                RemovalAction::Delete,
            ),
            (
                json!({"deletionPolicy": "retain"}),
                Some(&deletes),
                RemovalAction::Retain,
            ),
            (
                json!({"protect": true}),
                Some(&deletes),
                RemovalAction::Refuse,
            ),
            (
                json!({"protect": false}),
                Some(&deletes),
                RemovalAction::Delete,
            ),
            (json!({}), Some(&cannot), RemovalAction::Refuse),
            (json!({}), None, RemovalAction::Refuse),
        ] {
            assert_eq!(action(&recorded(&inputs), kind).0, expected, "{inputs}");
        }
    }
}
