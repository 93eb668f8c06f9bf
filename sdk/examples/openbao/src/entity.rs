//! The kind `openbao_entity`. Its mark stands in its metadata.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use nixops4_provider_sdk::http::Connection;
use nixops4_provider_sdk::{
    Context, DeletionPolicy, Error, Mark, Object, Observed, Ownership, Prior, ResourceKind, Result,
    Retry, Step,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::api::{self, EntityChange, is_absent};
use crate::server::{Reach, Server};

/// The key of the mark in the metadata.
const MARK: &str = "managed";

/// Somebody or something that logs in, with the policies that it has whatever the way.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Inputs {
    /// The server.
    connection: Connection,
    /// Its name.
    name: EntityName,
    /// Names of its policies. Default: none.
    #[serde(default)]
    policies: BTreeSet<String>,
    /// Whether it is kept from logging in. Default: no.
    #[serde(default)]
    disabled: bool,
}

/// The name of an entity: 1 to 128 letters, digits and `. _ @ -`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String")]
#[schemars(extend("pattern" = "^[A-Za-z0-9._@-]{1,128}$"))]
struct EntityName(String);

impl TryFrom<String> for EntityName {
    type Error = String;

    fn try_from(name: String) -> Result<Self, String> {
        let fits = |c: char| c.is_ascii_alphanumeric() || "._@-".contains(c);
        if (1..=128).contains(&name.len()) && name.chars().all(fits) {
            return Ok(Self(name));
        }
        Err("an entity's name has 1 to 128 letters, digits and . _ @ -".to_owned())
    }
}

/// What an expression can read of an entity.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Outputs {
    /// OpenBao's own id of it.
    id: String,
    /// Its name.
    name: String,
    /// Id of the cluster, by which the server is recognised.
    server_id: String,
}

#[derive(Deserialize)]
pub(crate) struct PriorInputs {
    connection: Connection,
    name: EntityName,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct PriorOutputs {
    id: Option<String>,
    server_id: Option<String>,
}

#[derive(Serialize)]
pub(crate) struct Identity {
    server: String,
    entity: EntityName,
}

impl fmt::Display for Identity {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "entity {:?} on {}", self.entity.0, self.server)
    }
}

#[derive(Debug)]
pub(crate) struct Facts {
    entity: api::Entity,
    server_id: String,
}

/// One step.
#[derive(Debug)]
pub(crate) enum Change {
    Create,
    /// Of the entity of this id.
    Set(String, EntityChange),
}

/// See [`Inputs`].
pub(crate) struct Entity;

impl ResourceKind for Entity {
    const TYPE: &'static str = "openbao_entity";
    const DELETION_POLICY: DeletionPolicy = DeletionPolicy::Retain;
    const HOLDS_SECRETS: bool = false;
    const IDENTITY_INPUTS: &'static [&'static str] = &["connection", "name"];
    const STABLE_OUTPUTS: &'static [&'static str] = &["id", "serverId"];

    type Reach = Reach;
    type Inputs = Inputs;
    type Outputs = Outputs;
    type Prior = Prior<PriorInputs, PriorOutputs>;
    type Identity = Identity;
    type Facts = Facts;
    type Change = Change;

    fn validate(inputs: &Inputs) -> Result<()> {
        let is_written_otherwise = |name: &&String| name.to_lowercase() != **name;
        match inputs.policies.iter().find(is_written_otherwise) {
            None => Ok(()),
            Some(name) => Err(Error::input(
                "/policies",
                format!("{name:?} can't be a policy: OpenBao knows small letters alone"),
            )
            .hint("use the `name` output of a policy")),
        }
    }

    fn identity(inputs: &Inputs) -> Identity {
        Identity {
            server: inputs.connection.to_string(),
            entity: inputs.name.clone(),
        }
    }

    fn recorded_identity(prior: &Self::Prior) -> Result<Identity> {
        Ok(Identity {
            server: prior.inputs.connection.to_string(),
            entity: prior.inputs.name.clone(),
        })
    }

    fn diff(want: &Inputs, have: Option<&Facts>) -> Vec<Step<Change>> {
        let Some(Facts { entity, .. }) = have else {
            return vec![Step::create(Change::Create)];
        };
        let set = |change| Change::Set(entity.id.clone(), change);
        let unchanged = EntityChange::default;
        let name = EntityChange {
            name: Some(want.name.0.clone()),
            ..unchanged()
        };
        let policies = EntityChange {
            policies: Some(want.policies.clone()),
            ..unchanged()
        };
        let disabled = EntityChange {
            disabled: Some(want.disabled),
            ..unchanged()
        };
        let steps = [
            Step::unless_same("/name", &entity.name, &want.name.0, set(name)),
            Step::unless_same("/policies", &entity.policies, &want.policies, set(policies)),
            Step::unless_same("/disabled", entity.disabled, want.disabled, set(disabled)),
        ];
        steps.into_iter().flatten().collect()
    }

    fn outputs(_: &Inputs, facts: &Facts) -> Outputs {
        Outputs {
            id: facts.entity.id.clone(),
            name: facts.entity.name.clone(),
            server_id: facts.server_id.clone(),
        }
    }

    fn predict(inputs: &Inputs) -> Object {
        Object::from_iter([("name".to_owned(), inputs.name.0.clone().into())])
    }

    async fn observe(
        cx: &Context,
        inputs: &Inputs,
        prior: Option<&Self::Prior>,
    ) -> Result<Option<Observed<Facts>>> {
        let outputs = prior.map(|prior| &prior.outputs);
        let recorded = outputs.and_then(|outputs| outputs.server_id.as_deref());
        let server = Server::of(cx, &inputs.connection, recorded).await?;
        look(cx, &server, outputs, &inputs.name).await
    }

    async fn apply(cx: &Context, inputs: &Inputs, change: Change) -> Result<()> {
        let server = Server::of(cx, &inputs.connection, None).await?;
        let name = inputs.name.0.as_str();
        // OpenBao writes over an entity of the name: nobody on this machine makes one
        // between looking and writing.
        let _alone = cx
            .alone(&format!("{} entity {name}", server.server_id))
            .await?;
        let named = api::entity("name", name);
        match change {
            Change::Create => {
                if server.client.find(cx, named, is_absent).await?.is_some() {
                    let problem = format!("somebody else has just made entity {name}");
                    return Err(Error::new(problem).retry(Retry::UntilDeadline));
                }
                let made = EntityChange {
                    disabled: Some(inputs.disabled),
                    policies: Some(inputs.policies.clone()),
                    metadata: Some([(MARK.to_owned(), cx.mark().to_string())].into()),
                    name: None,
                };
                write(cx, &server, ("name", name), &made).await
            }
            Change::Set(id, change) => {
                if change.name.is_some()
                    && let Some(taken) = server.client.find(cx, named, is_absent).await?
                {
                    let problem = format!("it is the name of entity {} already", taken.data.id);
                    return Err(Error::input("/name", problem).hint("choose another name"));
                }
                write(cx, &server, ("id", &id), &change).await
            }
        }
    }

    async fn write_mark(cx: &Context, inputs: &Inputs, facts: &Facts, mark: &Mark) -> Result<()> {
        let server = Server::of(cx, &inputs.connection, None).await?;
        let change = EntityChange {
            metadata: Some(facts.metadata(mark)),
            ..EntityChange::default()
        };
        write(cx, &server, ("id", &facts.entity.id), &change).await
    }

    async fn observe_recorded(
        cx: &Context,
        prior: &Self::Prior,
    ) -> Result<Option<Observed<Facts>>> {
        let recorded = prior.outputs.server_id.as_deref();
        let server = Server::of(cx, &prior.inputs.connection, recorded).await?;
        look(cx, &server, Some(&prior.outputs), &prior.inputs.name).await
    }

    async fn delete(cx: &Context, prior: &Self::Prior, facts: &Facts) -> Result<()> {
        let server = Server::of(cx, &prior.inputs.connection, None).await?;
        let delete = api::delete_entity(&facts.entity.id);
        server.client.call(cx, delete).await?;
        Ok(())
    }

    async fn retain(cx: &Context, prior: &Self::Prior, facts: &Facts, mark: &Mark) -> Result<()> {
        let server = Server::of(cx, &prior.inputs.connection, None).await?;
        let change = EntityChange {
            disabled: Some(true),
            metadata: Some(facts.metadata(mark)),
            ..EntityChange::default()
        };
        write(cx, &server, ("id", &facts.entity.id), &change).await
    }
}

impl Facts {
    /// What others wrote stays.
    fn metadata(&self, mark: &Mark) -> BTreeMap<String, String> {
        let mut metadata = self.entity.metadata.clone().unwrap_or_default();
        metadata.insert(MARK.to_owned(), mark.to_string());
        metadata
    }
}

/// By the id that OpenBao gave it, whatever it is called now; else by its name.
async fn look(
    cx: &Context,
    server: &Server,
    recorded: Option<&PriorOutputs>,
    name: &EntityName,
) -> Result<Option<Observed<Facts>>> {
    let id = recorded.and_then(|outputs| outputs.id.as_deref());
    let mut found = None;
    if let Some(id) = id {
        found = server
            .client
            .find(cx, api::entity("id", id), is_absent)
            .await?;
    }
    if found.is_none() {
        found = server
            .client
            .find(cx, api::entity("name", &name.0), is_absent)
            .await?;
    }
    Ok(found.map(|found| {
        let entity = found.data;
        let mark = entity
            .metadata
            .as_ref()
            .and_then(|metadata| metadata.get(MARK));
        Observed {
            ownership: Ownership::from_comment(mark.map(String::as_str)),
            facts: Facts {
                entity,
                server_id: server.server_id.clone(),
            },
        }
    }))
}

async fn write(
    cx: &Context,
    server: &Server,
    (by, value): (&str, &str),
    change: &EntityChange,
) -> Result<()> {
    let request = api::write_entity(by, value, change);
    server.client.call(cx, request).await?;
    cx.failpoint("entity:written");
    Ok(())
}
