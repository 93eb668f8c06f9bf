//! The kind `scratch-state_ledger`: the state of a deployment, in a file.

use std::path::PathBuf;
use std::rc::Rc;

use nixops4_protocol::message::{HistoryEvent, StateResourceEvent};
use nixops4_provider_sdk::{Context, Error, Owner, Result, StateKind};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::faults;

/// The state of a deployment, in a file.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Inputs {
    /// The deployment.
    deployment: Owner,
    /// Path of the folder.
    folder: PathBuf,
}

/// Nothing.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Outputs {}

/// See [`Inputs`].
pub(crate) struct Ledger;

impl StateKind for Ledger {
    const TYPE: &'static str = "scratch-state_ledger";
    type Inputs = Inputs;
    type Outputs = Outputs;

    fn deployment(inputs: &Inputs) -> &Owner {
        &inputs.deployment
    }

    async fn create(cx: &Context, inputs: &Inputs) -> Result<Outputs> {
        if Self::find(cx, inputs).await?.is_none() {
            write(inputs, &json!({ "resources": {} }))?;
        }
        Ok(Outputs {})
    }

    async fn find(_: &Context, inputs: &Inputs) -> Result<Option<Outputs>> {
        faults::looking(&inputs.folder, None)?;
        Ok(path(inputs).exists().then_some(Outputs {}))
    }

    async fn read(_: &Context, inputs: &Inputs) -> Result<Rc<Value>> {
        let text = std::fs::read(path(inputs));
        let text = text.map_err(|error| Error::new("unable to read the state").because(error))?;
        serde_json::from_slice(&text)
            .map(Rc::new)
            .map_err(|error| Error::new("the state is broken").because(error))
    }

    async fn history(_: &Context, _: &Inputs, _: u64, _: u64) -> Result<(Vec<HistoryEvent>, u64)> {
        Err(Error::new(
            "the ledger keeps what there is, and not how it came to be",
        ))
    }

    async fn append(cx: &Context, inputs: &Inputs, event: StateResourceEvent) -> Result<()> {
        faults::stepping(&inputs.folder).await?;
        let mut state = Self::read(cx, inputs).await?;
        json_patch::patch(Rc::make_mut(&mut state), &event.patch)
            .map_err(|error| Error::new("the event doesn't fit the state").because(error))?;
        write(inputs, &state)
    }
}

fn path(inputs: &Inputs) -> PathBuf {
    inputs.folder.join("state.json")
}

fn write(inputs: &Inputs, state: &Value) -> Result<()> {
    std::fs::write(path(inputs), state.to_string())
        .map_err(|error| Error::new("unable to write the state").because(error))
}
