//! What the inputs and outputs of a kind mean to its caller: how a thing is reached,
//! what names it, whose it is. The caller must not guess any of it by a name.
//!
//! Knows no kind. Providers of an early version say nothing of this; what all of them
//! called alike stands in [`Contract::early`], and nowhere else.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::Object;
use crate::describe::{KindDescription, StateNeed};

/// What the inputs and outputs of a kind mean to its caller.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Contract {
    /// How things of this kind are reached.
    pub reach: Reach,
    /// Names of the inputs by which the thing is looked for once it is reached. With those
    /// of `reach` they lead to it. What a list says of each thing are some of these.
    pub naming_inputs: Vec<String>,
    /// Name of the input that says which deployment a thing belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deployment_input: Option<String>,
    /// Name of the input that protects a thing from being destroyed, if it is true.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub protect_input: Option<String>,
    /// Name of the input that says whether destroying keeps the data.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deletion_policy_input: Option<String>,
    /// Whether a thing holds secrets that others may need: it has them itself, or keeps
    /// them in a store. What holds secrets is destroyed last.
    pub holds_secrets: bool,
    /// Former names of inputs, each with today's name. Records may have them still.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub former_inputs: BTreeMap<String, String>,
    /// Former names of outputs, each with today's name. Records may have them still.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub former_outputs: BTreeMap<String, String>,
}

/// How a thing is reached.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "by", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Reach {
    /// By logging in to a server. The server gets the credentials that these inputs
    /// refer to.
    Server {
        /// Names of the inputs that say where it is and who logs in.
        inputs: Vec<String>,
        /// Name of the output that is the server's own identifier, whatever its address
        /// is; absent if such servers have none.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        server_id_output: Option<String>,
    },
    /// In a secrets store. Where that is, the environment says.
    SecretsStore {
        /// Name of the input that is the logical name of the store.
        input: String,
    },
    /// It is on this machine: nothing is sent anywhere.
    ThisMachine,
    /// It is itself a place where state is kept.
    State {
        /// Names of the inputs that say where.
        inputs: Vec<String>,
    },
}

impl Reach {
    /// Names of the inputs that reach it.
    #[must_use]
    pub fn inputs(&self) -> &[String] {
        match self {
            Self::Server { inputs, .. } | Self::State { inputs } => inputs,
            Self::SecretsStore { input } => std::slice::from_ref(input),
            Self::ThisMachine => &[],
        }
    }
}

impl Contract {
    /// The value of an input, under its name of today or a former one. Null is absent.
    #[must_use]
    pub fn input<'a>(&self, inputs: &'a Object, name: &str) -> Option<&'a Value> {
        find(inputs, &self.former_inputs, name)
    }

    /// The deployment that a thing with these inputs belongs to.
    #[must_use]
    pub fn deployment<'a>(&self, inputs: &'a Object) -> Option<&'a Value> {
        self.input(inputs, self.deployment_input.as_deref()?)
    }

    /// Whether a thing with these inputs must not be destroyed.
    #[must_use]
    pub fn is_protected(&self, inputs: &Object) -> bool {
        let name = self.protect_input.as_deref();
        name.and_then(|name| self.input(inputs, name)) == Some(&Value::Bool(true))
    }

    /// What its server calls itself, as the outputs of a thing tell.
    #[must_use]
    pub fn server_id<'a>(&self, outputs: &'a Object) -> Option<&'a Value> {
        match &self.reach {
            Reach::Server {
                server_id_output: Some(name),
                ..
            } => find(outputs, &self.former_outputs, name),
            _ => None,
        }
    }

    /// Those of the inputs that reach a thing, under their names of today.
    #[must_use]
    pub fn reaching(&self, inputs: &Object) -> Object {
        let value = |name: &String| Some((name.clone(), self.input(inputs, name)?.clone()));
        self.reach.inputs().iter().filter_map(value).collect()
    }

    /// The same inputs with others that reach the thing.
    #[must_use]
    pub fn reached_by(&self, inputs: &Object, reaching: &Object) -> Object {
        let mut inputs = inputs.clone();
        renamed(&mut inputs, &self.former_inputs);
        inputs.retain(|name, _| !self.reach.inputs().contains(name));
        inputs.extend(reaching.clone());
        inputs
    }

    /// What is taken for the contract of a kind of which nobody says anything, of a
    /// thing with these inputs: each of them may be the address of a server.
    #[must_use]
    pub fn unknown(inputs: &Object) -> Self {
        Self {
            reach: Reach::Server {
                inputs: inputs.keys().cloned().collect(),
                server_id_output: None,
            },
            naming_inputs: Vec::new(),
            deployment_input: None,
            protect_input: None,
            deletion_policy_input: None,
            holds_secrets: true,
            former_inputs: BTreeMap::new(),
            former_outputs: BTreeMap::new(),
        }
    }

    /// The contract of a kind whose provider is of an early version, which says nothing
    /// of it. All of this suite gave these inputs and outputs these names; of others
    /// nothing is taken for granted, so that each input may be an address.
    pub(crate) fn early(kind: &KindDescription) -> Self {
        let properties = |schema: &Object| -> Object {
            let properties = schema.get("properties").and_then(Value::as_object);
            properties.cloned().unwrap_or_default()
        };
        let (mut inputs, outputs) = (properties(&kind.inputs), properties(&kind.outputs));
        let holds_secrets = inputs.contains_key("store");
        let mut take = |name: &str| inputs.remove(name).map(|_| name.to_owned());
        let deployment_input = take("owner").or_else(|| take("deployment"));
        let protect_input = take("protect");
        let deletion_policy_input = take("deletionPolicy");
        let connection = take("connection");
        let others = inputs.keys().cloned().collect();
        Self {
            reach: match (kind.state, connection) {
                (StateNeed::Never, _) => Reach::State { inputs: others },
                (_, Some(connection)) => Reach::Server {
                    inputs: vec![connection],
                    server_id_output: (outputs.contains_key("systemIdentifier"))
                        .then(|| "systemIdentifier".to_owned()),
                },
                (_, None) => Reach::Server {
                    inputs: others,
                    server_id_output: None,
                },
            },
            naming_inputs: Vec::new(),
            deployment_input,
            protect_input,
            deletion_policy_input,
            holds_secrets,
            former_inputs: BTreeMap::new(),
            former_outputs: BTreeMap::new(),
        }
    }
}

/// Gives fields their names of today. Where a field stands under both names, that of
/// today counts.
pub fn renamed(fields: &mut Object, former: &BTreeMap<String, String>) {
    for (old, new) in former {
        rename(fields, old, new);
    }
}

/// Gives one field its name of today.
pub fn rename(fields: &mut Object, old: &str, new: &str) {
    if let Some(value) = fields.remove(old)
        && fields.get(new).is_none_or(Value::is_null)
    {
        fields.insert(new.to_owned(), value);
    }
}

fn find<'a>(
    fields: &'a Object,
    former: &BTreeMap<String, String>,
    name: &str,
) -> Option<&'a Value> {
    let is_it = |(_, new): &(&String, &String)| new.as_str() == name;
    let names = former.iter().filter(is_it).map(|(old, _)| old.as_str());
    let mut values = std::iter::once(name)
        .chain(names)
        .filter_map(|name| fields.get(name));
    values.find(|value| !value.is_null())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn object(value: Value) -> Object {
        match value {
            Value::Object(object) => object,
            other => panic!("no object: {other}"),
        }
    }

    fn kind(value: Value) -> KindDescription {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn what_is_recorded_is_read_under_either_name() {
        let described = kind(json!({
            "description": "", "state": "optional", "requests": [], "inputs": {}, "outputs": {},
            "contract": {
                "reach": { "by": "server", "inputs": ["endpoint", "tls"], "serverIdOutput": "serverId" },
                "namingInputs": ["name"], "deploymentInput": "deployment", "protectInput": "protect",
                "holdsSecrets": false,
                "formerInputs": { "owner": "deployment", "url": "endpoint" },
                "formerOutputs": { "systemIdentifier": "serverId" },
            },
        }));
        let contract = described.contract();
        for (inputs, deployment, reaching) in [
            (json!({ "owner": "a" }), json!("a"), json!({})),
            (
                json!({ "deployment": "a", "owner": "b", "endpoint": 1, "name": "x" }),
                json!("a"),
                json!({ "endpoint": 1 }),
            ),
            (
                json!({ "deployment": null, "owner": "b", "url": 1, "tls": null }),
                json!("b"),
                json!({ "endpoint": 1 }),
            ),
        ] {
            let inputs = object(inputs);
            assert_eq!(contract.deployment(&inputs), Some(&deployment));
            assert_eq!(Value::Object(contract.reaching(&inputs)), reaching);
            let mut renamed = inputs.clone();
            super::renamed(&mut renamed, &contract.former_inputs);
            assert_eq!(contract.deployment(&renamed), Some(&deployment));
            assert_eq!(Value::Object(contract.reaching(&renamed)), reaching);
            assert!(!renamed.contains_key("owner") && !renamed.contains_key("url"));
        }
        for outputs in [
            json!({ "serverId": 7 }),
            json!({ "systemIdentifier": 7 }),
            json!({ "serverId": 7, "systemIdentifier": 8 }),
        ] {
            assert_eq!(contract.server_id(&object(outputs)), Some(&json!(7)));
        }
        let moved = contract.reached_by(
            &object(json!({ "owner": "a", "url": 1, "tls": 2, "name": "x" })),
            &object(json!({ "endpoint": 3 })),
        );
        assert_eq!(
            Value::Object(moved),
            json!({ "deployment": "a", "name": "x", "endpoint": 3 })
        );
    }

    #[test]
    fn what_an_early_version_does_not_say_is_taken_for_the_worst() {
        let early = |state: &str, inputs: &[&str], outputs: Value| {
            let inputs: Object = inputs
                .iter()
                .map(|name| ((*name).to_owned(), json!({})))
                .collect();
            let described = kind(json!({
                "description": "", "state": state, "requests": [],
                "inputs": { "properties": inputs }, "outputs": { "properties": outputs },
            }));
            assert!(described.contract.is_none());
            described.contract().into_owned()
        };
        let role = early(
            "optional",
            &["owner", "connection", "name", "protect"],
            json!({ "systemIdentifier": {} }),
        );
        assert_eq!(
            role.reach,
            Reach::Server {
                inputs: vec!["connection".to_owned()],
                server_id_output: Some("systemIdentifier".to_owned()),
            }
        );
        assert_eq!(role.deployment_input.as_deref(), Some("owner"));
        assert!(role.is_protected(&object(json!({ "protect": true }))));
        assert!(!role.holds_secrets);
        // Any input of a stranger may say where a secret goes.
        let other = early("optional", &["endpoint", "token", "name"], json!({}));
        assert_eq!(other.reach.inputs(), ["endpoint", "token", "name"]);
        let secret = early("required", &["owner", "store", "name"], json!({}));
        assert!(secret.holds_secrets);
        let state = early("never", &["deployment", "path"], json!({}));
        assert_eq!(
            state.reach,
            Reach::State {
                inputs: vec!["path".to_owned()]
            }
        );
        assert_eq!(state.deployment_input.as_deref(), Some("deployment"));
    }
}
