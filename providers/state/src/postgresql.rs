//! The kind `state_postgresql`.

mod connection;
mod database;
mod failure;

use std::rc::Rc;

use nixops4_protocol::message::{HistoryEvent, StateResourceEvent};
use nixops4_provider_sdk::{Context, Owner, Result, StateKind};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::store;
use connection::Connection;
use database::{Database, Missing};

/// The state of a deployment in a PostgreSQL database, for a team: a log of
/// events that is only ever appended to. One database can hold the states of
/// several deployments. Nobody waits for a lock, so a pooler that shares
/// sessions may stand in between.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Inputs {
    /// The deployment whose state this is. Two deployments never share one.
    deployment: Owner,
    /// How to reach the database.
    connection: Connection,
    /// The schema with the tables; it and they are made if they aren't there.
    /// Default: `nixops4`.
    #[serde(default = "default_schema")]
    schema: String,
}

fn default_schema() -> String {
    "nixops4".to_owned()
}

/// What an expression can read of it: nothing.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Outputs {}

/// See [`Inputs`].
pub(crate) struct Postgresql;

impl StateKind for Postgresql {
    const TYPE: &'static str = "state_postgresql";
    type Inputs = Inputs;
    type Outputs = Outputs;

    fn deployment(inputs: &Inputs) -> &Owner {
        &inputs.deployment
    }

    async fn create(cx: &Context, inputs: &Inputs) -> Result<Outputs> {
        let mut database = Database::connect(cx, inputs).await?;
        database.make().await?;
        database.prove_writable().await?;
        database.keep(cx, inputs);
        Ok(Outputs {})
    }

    async fn find(cx: &Context, inputs: &Inputs) -> Result<Option<Outputs>> {
        let mut database = Database::connect(cx, inputs).await?;
        let is_there =
            database.check_version(Missing::Allow).await? && database.has_begun().await?;
        database.keep(cx, inputs);
        Ok(is_there.then_some(Outputs {}))
    }

    async fn read(cx: &Context, inputs: &Inputs) -> Result<Rc<Value>> {
        let mut database = Database::connect(cx, inputs).await?;
        database.check_version(Missing::Refuse).await?;
        let document = store::read(cx, inputs, &mut database).await?;
        database.keep(cx, inputs);
        Ok(document)
    }

    async fn history(
        cx: &Context,
        inputs: &Inputs,
        since: u64,
        limit: u64,
    ) -> Result<(Vec<HistoryEvent>, u64)> {
        let mut database = Database::connect(cx, inputs).await?;
        database.check_version(Missing::Refuse).await?;
        let events = store::history(&mut database, since, limit).await?;
        database.keep(cx, inputs);
        Ok(events)
    }

    async fn append(cx: &Context, inputs: &Inputs, event: StateResourceEvent) -> Result<()> {
        let mut database = Database::connect(cx, inputs).await?;
        database.check_version(Missing::Refuse).await?;
        store::append(cx, inputs, &mut database, event).await?;
        database.keep(cx, inputs);
        Ok(())
    }
}
