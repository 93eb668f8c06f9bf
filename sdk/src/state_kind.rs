//! Kinds that keep the state of a deployment.

use std::rc::Rc;

use nixops4_protocol::message::{HistoryEvent, StateResourceEvent};
use schemars::JsonSchema;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::context::Context;
use crate::error::Result;
use crate::kind::Owner;

/// A place where the state of a deployment is kept.
pub trait StateKind: 'static {
    /// Resource type on the wire.
    const TYPE: &'static str;
    /// What the author says: which deployment, and where.
    type Inputs: DeserializeOwned + JsonSchema;
    /// What the expression can read afterwards.
    type Outputs: Serialize + JsonSchema;

    /// The deployment whose state this is.
    fn deployment(inputs: &Self::Inputs) -> &Owner;

    /// Makes the place if it isn't there, and proves that it can be written.
    fn create(cx: &Context, inputs: &Self::Inputs) -> impl Future<Output = Result<Self::Outputs>>;

    /// Looks whether the place is there. Changes nothing.
    fn find(
        cx: &Context,
        inputs: &Self::Inputs,
    ) -> impl Future<Output = Result<Option<Self::Outputs>>>;

    /// The whole state document, shared with what the process keeps of it.
    fn read(
        cx: &Context,
        inputs: &Self::Inputs,
    ) -> impl Future<Output = Result<Rc<serde_json::Value>>>;

    /// The events from index `since` on, oldest first and `limit` at most, and how
    /// many there are in all. At least one if there is any, and fewer than `limit`
    /// where that many would be too large for one answer.
    fn history(
        cx: &Context,
        inputs: &Self::Inputs,
        since: u64,
        limit: u64,
    ) -> impl Future<Output = Result<(Vec<HistoryEvent>, u64)>>;

    /// Appends one event. Refuses a patch that overlaps with what somebody else
    /// changed since this process last read.
    fn append(
        cx: &Context,
        inputs: &Self::Inputs,
        event: StateResourceEvent,
    ) -> impl Future<Output = Result<()>>;
}
