//! The kind `state_sqlite`.

mod file;

use std::path::PathBuf;
use std::rc::Rc;

use nixops4_protocol::message::{HistoryEvent, StateResourceEvent};
use nixops4_provider_sdk::{Context, Owner, Result, StateKind};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::failure::is_there;
use crate::store;
use file::{File, Missing};

/// The state of a deployment in an SQLite file: a log of events that is only ever
/// appended to. One file can hold the states of several deployments.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Inputs {
    /// The deployment whose state this is. Two deployments never share one.
    deployment: Owner,
    /// Path of the file; it is made if it isn't there, its folder isn't. A
    /// relative path begins where the command is run.
    path: PathBuf,
}

/// What an expression can read of it: nothing.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Outputs {}

/// See [`Inputs`].
pub(crate) struct Sqlite;

impl StateKind for Sqlite {
    const TYPE: &'static str = "state_sqlite";
    type Inputs = Inputs;
    type Outputs = Outputs;

    fn deployment(inputs: &Inputs) -> &Owner {
        &inputs.deployment
    }

    async fn create(_: &Context, inputs: &Inputs) -> Result<Outputs> {
        let mut file = File::open(inputs, Missing::Create).await?;
        file.make().await?;
        file.prove_writable().await?;
        Ok(Outputs {})
    }

    async fn find(_: &Context, inputs: &Inputs) -> Result<Option<Outputs>> {
        if !is_there("/path", &inputs.path)? {
            return Ok(None);
        }
        let mut file = File::open(inputs, Missing::Refuse).await?;
        Ok(file.has_begun().await?.then_some(Outputs {}))
    }

    async fn read(cx: &Context, inputs: &Inputs) -> Result<Rc<Value>> {
        let mut file = File::open(inputs, Missing::Refuse).await?;
        store::read(cx, inputs, &mut file).await
    }

    async fn history(
        _: &Context,
        inputs: &Inputs,
        since: u64,
        limit: u64,
    ) -> Result<(Vec<HistoryEvent>, u64)> {
        let mut file = File::open(inputs, Missing::Refuse).await?;
        store::history(&mut file, since, limit).await
    }

    async fn append(cx: &Context, inputs: &Inputs, event: StateResourceEvent) -> Result<()> {
        let mut file = File::open_again(cx, inputs).await?;
        store::append(cx, inputs, &mut file, event).await?;
        file.keep(cx);
        Ok(())
    }
}
