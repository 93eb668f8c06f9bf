//! The endpoints of the admin API: Garage takes any text for one, so that a
//! misspelt one would be a token that can't do what it should.

use std::collections::BTreeSet;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What a token may use.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
pub(crate) enum Endpoint {
    /// All of them, those of later versions included.
    #[serde(rename = "*")]
    All,
    AddBucketAlias,
    AllowBucketKey,
    ApplyClusterLayout,
    CleanupIncompleteUploads,
    ClusterLayoutSkipDeadNodes,
    ConnectClusterNodes,
    CreateAdminToken,
    CreateBucket,
    CreateKey,
    CreateMetadataSnapshot,
    DeleteAdminToken,
    DeleteBucket,
    DeleteKey,
    DenyBucketKey,
    GetAdminTokenInfo,
    GetBlockInfo,
    GetBucketInfo,
    GetClusterHealth,
    GetClusterLayout,
    GetClusterLayoutHistory,
    GetClusterStatistics,
    GetClusterStatus,
    GetCurrentAdminTokenInfo,
    GetKeyInfo,
    GetNodeInfo,
    GetNodeStatistics,
    GetWorkerInfo,
    GetWorkerVariable,
    ImportKey,
    InspectObject,
    LaunchRepairOperation,
    ListAdminTokens,
    ListBlockErrors,
    ListBuckets,
    ListBucketsInfo,
    ListKeys,
    ListKeysInfo,
    ListWorkers,
    /// What Prometheus reads.
    Metrics,
    PreviewClusterLayoutChanges,
    PurgeBlocks,
    RemoveBucketAlias,
    RetryBlockResync,
    RevertClusterLayout,
    SetWorkerVariable,
    UpdateAdminToken,
    UpdateBucket,
    UpdateClusterLayout,
    UpdateKey,
}

/// The scope, as Garage has it.
pub(super) fn names(scope: &BTreeSet<Endpoint>) -> BTreeSet<String> {
    let name = |endpoint: &Endpoint| match endpoint {
        Endpoint::All => "*".to_owned(),
        // They are called as Garage calls them.
        other => format!("{other:?}"),
    };
    scope.iter().map(name).collect()
}
