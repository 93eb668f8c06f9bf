//! The messages, as they stand on the wire.
//!
//! v0 is NixOps4's `resource-schema-v0.json`. It is closed: one key names the
//! message, and a field that is not listed does not parse. The messages whose
//! name starts with `nixops4-resources/` are ours and only ever sent to a
//! provider whose description offers them.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::codec::Size;
use crate::{Object, parse};

/// What a caller sends.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub enum Request {
    /// Make a resource, or make sure that it is there: v0 sends this at every
    /// apply of a resource that has no state.
    #[serde(rename = "createResourceRequest")]
    Create(CreateResourceRequest),
    /// Bring a resource from what was recorded to new inputs.
    #[serde(rename = "updateResourceRequest")]
    Update(UpdateResourceRequest),
    /// Remove a resource, or retire it if its deletion policy says so.
    #[serde(rename = "destroyResourceRequest")]
    Destroy(DestroyResourceRequest),
    /// Read the whole state document. Only state resources answer it.
    #[serde(rename = "stateResourceReadRequest")]
    StateRead(StateResourceReadRequest),
    /// Append one event to the state. Only state resources answer it.
    #[serde(rename = "stateResourceEvent")]
    StateEvent(StateResourceEvent),
    /// Read the events that the state came from. Only state resources answer it.
    #[serde(rename = "nixops4-resources/stateResourceHistoryRequest")]
    StateHistory(StateResourceHistoryRequest),
    /// Say what create or update would do.
    #[serde(rename = "nixops4-resources/planResourceRequest")]
    Plan(PlanResourceRequest),
    /// Say what would stand in the way of destroy.
    #[serde(rename = "nixops4-resources/planDestroyRequest")]
    PlanDestroy(PlanDestroyRequest),
    /// Read a resource as it is.
    #[serde(rename = "nixops4-resources/readResourceRequest")]
    Read(ReadResourceRequest),
    /// List what carries the owner's mark on that server.
    #[serde(rename = "nixops4-resources/listResourcesRequest")]
    List(ListResourcesRequest),
}

impl Request {
    /// The key that names this request on the wire.
    #[must_use]
    pub fn name(&self) -> RequestName {
        match self {
            Self::Create(_) => RequestName::Create,
            Self::Update(_) => RequestName::Update,
            Self::Destroy(_) => RequestName::Destroy,
            Self::StateRead(_) => RequestName::StateRead,
            Self::StateEvent(_) => RequestName::StateEvent,
            Self::StateHistory(_) => RequestName::StateHistory,
            Self::Plan(_) => RequestName::Plan,
            Self::Read(_) => RequestName::Read,
            Self::List(_) => RequestName::List,
            Self::PlanDestroy(_) => RequestName::PlanDestroy,
        }
    }

    /// The resource type that this request is about.
    #[must_use]
    pub fn resource_type(&self) -> &str {
        match self {
            Self::Create(request) => &request.r#type,
            Self::Update(request) => &request.resource.r#type,
            Self::Destroy(request) => &request.resource.r#type,
            Self::StateRead(request) => &request.resource.r#type,
            Self::StateEvent(request) => &request.resource.r#type,
            Self::StateHistory(request) => &request.resource.r#type,
            Self::Plan(request) => &request.r#type,
            Self::PlanDestroy(request) => &request.resource.r#type,
            Self::Read(request) => &request.r#type,
            Self::List(request) => &request.r#type,
        }
    }
}

impl RequestName {
    /// As it stands on the wire.
    #[must_use]
    pub fn wire(self) -> &'static str {
        match self {
            Self::Create => "createResourceRequest",
            Self::Update => "updateResourceRequest",
            Self::Destroy => "destroyResourceRequest",
            Self::StateRead => "stateResourceReadRequest",
            Self::StateEvent => "stateResourceEvent",
            Self::StateHistory => "nixops4-resources/stateResourceHistoryRequest",
            Self::Plan => "nixops4-resources/planResourceRequest",
            Self::Read => "nixops4-resources/readResourceRequest",
            Self::List => "nixops4-resources/listResourcesRequest",
            Self::PlanDestroy => "nixops4-resources/planDestroyRequest",
        }
    }
}

impl Response {
    /// Which request this answers; `None` of an error, which answers any.
    #[must_use]
    pub fn answers(&self) -> Option<RequestName> {
        Some(match self {
            Self::Create(_) => RequestName::Create,
            Self::Update(_) => RequestName::Update,
            Self::Destroy(_) => RequestName::Destroy,
            Self::StateRead(_) => RequestName::StateRead,
            Self::StateEvent(_) => RequestName::StateEvent,
            Self::StateHistory(_) => RequestName::StateHistory,
            Self::Plan(_) => RequestName::Plan,
            Self::Read(_) => RequestName::Read,
            Self::List(_) => RequestName::List,
            Self::PlanDestroy(_) => RequestName::PlanDestroy,
            Self::Error(_) => return None,
        })
    }
}

/// The name of a request, as a description offers it.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
pub enum RequestName {
    /// [`Request::Create`]
    #[serde(rename = "createResourceRequest")]
    Create,
    /// [`Request::Update`]
    #[serde(rename = "updateResourceRequest")]
    Update,
    /// [`Request::Destroy`]
    #[serde(rename = "destroyResourceRequest")]
    Destroy,
    /// [`Request::StateRead`]
    #[serde(rename = "stateResourceReadRequest")]
    StateRead,
    /// [`Request::StateEvent`]
    #[serde(rename = "stateResourceEvent")]
    StateEvent,
    /// [`Request::StateHistory`]
    #[serde(rename = "nixops4-resources/stateResourceHistoryRequest")]
    StateHistory,
    /// [`Request::Plan`]
    #[serde(rename = "nixops4-resources/planResourceRequest")]
    Plan,
    /// [`Request::PlanDestroy`]
    #[serde(rename = "nixops4-resources/planDestroyRequest")]
    PlanDestroy,
    /// [`Request::Read`]
    #[serde(rename = "nixops4-resources/readResourceRequest")]
    Read,
    /// [`Request::List`]
    #[serde(rename = "nixops4-resources/listResourcesRequest")]
    List,
}

impl RequestName {
    /// How large its answer may be.
    #[must_use]
    pub fn answer_size(self) -> Size {
        match self {
            Self::StateRead | Self::StateHistory => Size::State,
            _ => Size::Message,
        }
    }
}

/// What a provider answers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub enum Response {
    /// Answers [`Request::Create`].
    #[serde(rename = "createResourceResponse")]
    Create(CreateResourceResponse),
    /// Answers [`Request::Update`].
    #[serde(rename = "updateResourceResponse")]
    Update(UpdateResourceResponse),
    /// Answers [`Request::Destroy`].
    #[serde(rename = "destroyResourceResponse")]
    Destroy(DestroyResourceResponse),
    /// Answers [`Request::StateRead`].
    #[serde(rename = "stateResourceReadResponse")]
    StateRead(StateResourceReadResponse),
    /// Answers [`Request::StateEvent`].
    #[serde(rename = "stateResourceEventResponse")]
    StateEvent(StateResourceEventResponse),
    /// Answers [`Request::StateHistory`].
    #[serde(rename = "nixops4-resources/stateResourceHistoryResponse")]
    StateHistory(StateResourceHistoryResponse),
    /// Answers [`Request::Plan`].
    #[serde(rename = "nixops4-resources/planResourceResponse")]
    Plan(PlanResourceResponse),
    /// Answers [`Request::PlanDestroy`].
    #[serde(rename = "nixops4-resources/planDestroyResponse")]
    PlanDestroy(PlanDestroyResponse),
    /// Answers [`Request::Read`].
    #[serde(rename = "nixops4-resources/readResourceResponse")]
    Read(ReadResourceResponse),
    /// Answers [`Request::List`].
    #[serde(rename = "nixops4-resources/listResourcesResponse")]
    List(ListResourcesResponse),
    /// Answers any request that failed, and any line that is not a request.
    #[serde(rename = "errorResponse")]
    Error(ErrorResponse),
}

/// A resource that was made before.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ExtantResource {
    /// Resource type on the wire, such as `postgresql_role`.
    pub r#type: String,
    /// The inputs that it was made with.
    pub input_properties: Object,
    /// The outputs that were recorded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output_properties: Option<Object>,
}

/// See [`Request::Create`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CreateResourceRequest {
    /// Resource type on the wire.
    pub r#type: String,
    /// The inputs; a name that the provider does not know is an error.
    pub input_properties: Object,
    /// Whether the answer will be recorded.
    pub is_stateful: bool,
}

/// See [`Request::Update`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct UpdateResourceRequest {
    /// What was recorded.
    #[serde(deserialize_with = "parse::object")]
    pub resource: ExtantResource,
    /// The inputs that are wanted now.
    pub input_properties: Object,
}

/// See [`Request::Destroy`]. Upstream's name and shape (its pull request 150).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DestroyResourceRequest {
    /// What was recorded.
    #[serde(deserialize_with = "parse::object")]
    pub resource: ExtantResource,
}

/// See [`Request::StateRead`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct StateResourceReadRequest {
    /// The state resource itself.
    #[serde(deserialize_with = "parse::object")]
    pub resource: ExtantResource,
}

/// See [`Request::StateEvent`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct StateResourceEvent {
    /// The state resource itself.
    #[serde(deserialize_with = "parse::object")]
    pub resource: ExtantResource,
    /// The operation that produced the change: `create`, `update`, ...
    pub event: String,
    /// The version of the program that sends the event.
    pub nixops_version: String,
    /// What changes in the state document, RFC 6902.
    #[serde(deserialize_with = "parse::patch")]
    pub patch: json_patch::Patch,
}

/// See [`Request::StateHistory`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct StateResourceHistoryRequest {
    /// The state resource itself.
    #[serde(deserialize_with = "parse::object")]
    pub resource: ExtantResource,
    /// The index of the first event that is wanted; the first of all is 0.
    pub since: u64,
    /// How many events are wanted at most; all by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u64>,
}

/// See [`Request::Plan`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PlanResourceRequest {
    /// Resource type on the wire.
    pub r#type: String,
    /// The inputs that are wanted. What stands at an unknown pointer is ignored.
    pub input_properties: Object,
    /// JSON pointers into the inputs whose value is not known before other
    /// resources are applied.
    #[serde(default)]
    pub unknown_inputs: Vec<String>,
    /// What was recorded, if anything.
    #[serde(
        default,
        deserialize_with = "parse::object_or_null",
        skip_serializing_if = "Option::is_none"
    )]
    pub resource: Option<ExtantResource>,
}

/// See [`Request::PlanDestroy`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PlanDestroyRequest {
    /// What was recorded.
    #[serde(deserialize_with = "parse::object")]
    pub resource: ExtantResource,
}

/// See [`Request::Read`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ReadResourceRequest {
    /// Resource type on the wire.
    pub r#type: String,
    /// The inputs that say which one, and where.
    pub input_properties: Object,
    /// What was recorded, if anything.
    #[serde(
        default,
        deserialize_with = "parse::object_or_null",
        skip_serializing_if = "Option::is_none"
    )]
    pub resource: Option<ExtantResource>,
}

/// See [`Request::List`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ListResourcesRequest {
    /// Resource type on the wire.
    pub r#type: String,
    /// The inputs that say where to look and whose mark to look for.
    pub input_properties: Object,
}

/// See [`Response::Create`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CreateResourceResponse {
    /// The outputs, for the expression to read.
    pub output_properties: Object,
}

/// See [`Response::Update`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct UpdateResourceResponse {
    /// The outputs, for the expression to read.
    pub output_properties: Object,
}

/// See [`Response::Destroy`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DestroyResourceResponse {}

/// See [`Response::StateRead`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StateResourceReadResponse {
    /// The state document.
    pub state: Object,
}

/// See [`Response::StateEvent`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StateResourceEventResponse {}

/// See [`Response::StateHistory`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StateResourceHistoryResponse {
    /// The events, oldest first.
    #[serde(deserialize_with = "parse::objects")]
    pub events: Vec<HistoryEvent>,
    /// How many events there are in all.
    pub length: u64,
}

/// One change of a state.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct HistoryEvent {
    /// Its place among the events, counted from 0.
    pub index: u64,
    /// When it was appended, RFC 3339.
    pub time: String,
    /// Who appended it, where that was noted: `ann@desk`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub writer: Option<String>,
    /// The operation that produced the change: `create`, `update`, ...; empty
    /// where that was not noted.
    pub event: String,
    /// The version of the program that sent it, where that was noted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nixops_version: Option<String>,
    /// What it changed in the state document, RFC 6902.
    #[serde(deserialize_with = "parse::patch")]
    pub patch: json_patch::Patch,
}

/// See [`Response::Plan`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PlanResourceResponse {
    /// What names the resource on its server; null while that is unknown. Two
    /// members of one deployment must not share it.
    pub identity: Value,
    /// What apply would do.
    pub action: Action,
    /// The difference, field by field.
    #[serde(deserialize_with = "parse::objects")]
    pub changes: Vec<Change>,
    /// The outputs that are already certain.
    pub output_properties: Object,
    /// Names of the outputs that only apply will tell.
    pub unknown_outputs: Vec<String>,
}

/// See [`Response::PlanDestroy`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PlanDestroyResponse {
    /// What stands in the way of destroy as things are now, or goes along with it, and
    /// what to do about each; one may have several lines.
    pub warnings: Vec<String>,
}

/// See [`Response::Read`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ReadResourceResponse {
    /// What names the resource on its server.
    pub identity: Value,
    /// Whether it is there.
    pub present: bool,
    /// Its outputs, if it is there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output_properties: Option<Object>,
}

/// See [`Response::List`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ListResourcesResponse {
    /// What was found.
    pub resources: Vec<ListedResource>,
    /// Where something may be that could not be looked at.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unseen: Vec<UnseenPlace>,
}

/// A place that a list could not look into.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct UnseenPlace {
    /// What it is called, such as `database "app" on db:5432`.
    pub place: String,
    /// Why not, and what to do about it; may have several lines.
    pub reason: String,
}

/// One thing that carries the owner's mark.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ListedResource {
    /// What names it on its server.
    pub identity: Value,
    /// The mark, as it stands on the server.
    pub mark: String,
    /// Further facts of the kind: size, age, ...
    #[serde(flatten)]
    pub facts: Object,
}

/// See [`Response::Error`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ErrorResponse {
    /// What went wrong, why, and what to do next; may have several lines.
    pub message: String,
}

/// What applying a resource would do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Action {
    /// It is as it should be.
    None,
    /// It is not there yet.
    Create,
    /// It is there and will be changed in place.
    Update,
    /// It would have to be made anew.
    Replace,
    /// It can't be done; the changes say why.
    Refuse,
}

/// One field's difference.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Change {
    /// JSON pointer into the inputs.
    pub path: String,
    /// What is there now; null if nothing is.
    pub before: PlannedValue,
    /// What will be there.
    pub after: PlannedValue,
    /// What the change does to whoever uses the resource.
    pub effect: Effect,
    /// Anything that the reader should know of this change.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// A value in a plan.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum PlannedValue {
    /// The value itself.
    Known(Value),
    /// Known after apply.
    Unknown,
    /// A secret, or a fact about one: never shown.
    Sensitive,
}

/// What a change does to whoever uses the resource.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "camelCase")]
pub enum Effect {
    /// Nobody notices but for the new value.
    InPlace,
    /// A restart, or a moment of unavailability.
    Disruptive,
    /// The resource would be made anew; what it holds would be lost.
    Replace,
}

#[cfg(test)]
mod tests {
    use super::RequestName;

    #[test]
    fn a_request_is_called_on_the_wire_as_it_is_written() {
        for name in [
            RequestName::Create,
            RequestName::Update,
            RequestName::Destroy,
            RequestName::StateRead,
            RequestName::StateEvent,
            RequestName::StateHistory,
            RequestName::Plan,
            RequestName::Read,
            RequestName::List,
        ] {
            assert_eq!(serde_json::json!(name), name.wire());
        }
    }
}
