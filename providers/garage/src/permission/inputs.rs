//! What is said of a permission: inputs, outputs, and what is recorded of both.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::api::{AccessKeyId, BucketId, Permissions};
use crate::connection::Connection;

/// What one key may do with one bucket, for those who declare neither of both or
/// keep them apart. For a bucket that lists its `keys`, say it there instead.
///
/// A key that took the place of another one by a higher `generation` shares what it
/// may do with that, as long as that is kept.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Inputs {
    /// The cluster.
    pub(crate) connection: Connection,
    /// The bucket: the `id` output of it.
    pub(crate) bucket_id: BucketId,
    /// The key: the `accessKeyId` output of it.
    pub(crate) access_key_id: AccessKeyId,
    /// Whether it may read and list objects.
    #[serde(default)]
    pub(crate) read: bool,
    /// Whether it may write and delete objects.
    #[serde(default)]
    pub(crate) write: bool,
    /// Whether it owns the bucket, too: it may change website, CORS and lifecycle, and delete
    /// the bucket, over S3.
    #[serde(default)]
    pub(crate) bucket_owner: bool,
}

impl Inputs {
    pub(super) fn permissions(&self) -> Permissions {
        Permissions {
            read: self.read,
            write: self.write,
            owner: self.bucket_owner,
        }
    }
}

/// What an expression can read of a permission.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Outputs {
    /// The bucket.
    pub(crate) bucket_id: BucketId,
    /// The key.
    pub(crate) access_key_id: AccessKeyId,
    /// Id of a node of the cluster, by which the cluster is recognised.
    pub(crate) system_identifier: String,
}

/// What is still of use of a record.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct PriorInputs {
    pub(crate) connection: Connection,
    pub(crate) bucket_id: BucketId,
    pub(crate) access_key_id: AccessKeyId,
}

/// What is still of use of a record.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct PriorOutputs {
    #[serde(default)]
    pub(crate) system_identifier: Option<String>,
}

/// A permission, by the node that is asked, the bucket and the key.
#[derive(Debug, Serialize)]
pub(crate) struct Identity {
    pub(crate) server: String,
    pub(crate) bucket: BucketId,
    pub(crate) key: AccessKeyId,
}

impl fmt::Display for Identity {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            server,
            bucket,
            key,
        } = self;
        write!(
            out,
            "permission of key {key} on bucket {bucket} at {server}"
        )
    }
}
