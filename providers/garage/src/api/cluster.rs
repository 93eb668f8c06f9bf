//! The cluster and its nodes.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::{Request, get};

/// What the node that was asked knows of all nodes.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Status {
    pub(crate) nodes: Vec<Node>,
}

/// A node, as another one knows it.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Node {
    pub(crate) id: String,
    #[serde(default)]
    pub(crate) addr: Option<String>,
    #[serde(default)]
    pub(crate) hostname: Option<String>,
    pub(crate) is_up: bool,
    #[serde(default)]
    pub(crate) last_seen_secs_ago: Option<u64>,
}

/// What a node says of itself.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct NodeInfo {
    pub(crate) node_id: String,
    #[serde(default)]
    pub(crate) connection_parameters: Option<ConnectionParameters>,
}

/// What the node's configuration says to those who use S3.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ConnectionParameters {
    pub(crate) region: String,
    #[serde(default)]
    pub(crate) s3_endpoint: Option<String>,
}

/// Answers of several nodes at once, by their id.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct OfNodes<T> {
    #[serde(default = "BTreeMap::new")]
    pub(crate) success: BTreeMap<String, T>,
}

pub(crate) fn cluster_status() -> Request<Status> {
    get("GetClusterStatus", vec![])
}

/// Of the node that is asked.
pub(crate) fn node_info() -> Request<OfNodes<NodeInfo>> {
    get("GetNodeInfo", vec![("node", "self".to_owned())])
}
