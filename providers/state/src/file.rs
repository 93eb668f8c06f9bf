//! The kind `state_file`.

mod event;
mod journal;

use std::path::PathBuf;
use std::rc::Rc;

use nixops4_protocol::message::{HistoryEvent, StateResourceEvent};
use nixops4_provider_sdk::{Context, Owner, Result, StateKind};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::failure::is_there;
use crate::store;
use journal::{Journal, Missing};

/// The state of a deployment in a file as NixOps4's own `local` provider keeps
/// it: JSON, one event after the other. Each of the two reads what the other
/// writes. Unlike that one it refuses a writer who would undo what another has
/// just recorded, keeps who did what, and mends what a killed writer left.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Inputs {
    /// The deployment whose state this is. Two deployments never share a file.
    deployment: Owner,
    /// Path of the file; it is made if it isn't there, its folder isn't. A
    /// relative path begins where the command is run.
    name: PathBuf,
}

/// What an expression can read of it: nothing.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Outputs {}

/// See [`Inputs`].
pub(crate) struct StateFile;

impl StateKind for StateFile {
    const TYPE: &'static str = "state_file";
    type Inputs = Inputs;
    type Outputs = Outputs;

    fn deployment(inputs: &Inputs) -> &Owner {
        &inputs.deployment
    }

    async fn create(cx: &Context, inputs: &Inputs) -> Result<Outputs> {
        let mut journal = Journal::open(inputs, Missing::Create)?;
        journal.make(cx).await?;
        Ok(Outputs {})
    }

    async fn find(_: &Context, inputs: &Inputs) -> Result<Option<Outputs>> {
        if !is_there("/name", &inputs.name)? {
            return Ok(None);
        }
        let mut journal = Journal::open(inputs, Missing::Refuse)?;
        Ok(journal.has_begun().await?.then_some(Outputs {}))
    }

    async fn read(cx: &Context, inputs: &Inputs) -> Result<Rc<Value>> {
        let mut journal = Journal::open(inputs, Missing::Refuse)?;
        let document = store::read(cx, inputs, &mut journal).await?;
        journal.keep(cx);
        Ok(document)
    }

    async fn history(
        _: &Context,
        inputs: &Inputs,
        since: u64,
        limit: u64,
    ) -> Result<(Vec<HistoryEvent>, u64)> {
        let mut journal = Journal::open(inputs, Missing::Refuse)?;
        store::history(&mut journal, since, limit).await
    }

    async fn append(cx: &Context, inputs: &Inputs, event: StateResourceEvent) -> Result<()> {
        let mut journal = Journal::open_again(cx, inputs)?;
        store::append(cx, inputs, &mut journal, event).await?;
        journal.keep(cx);
        Ok(())
    }
}
