//! What is said of a tenant, and what can be read of it.

use std::collections::BTreeSet;
use std::fmt;

use nixops4_provider_sdk::secret::StoredSecret;
use nixops4_secrets_store::{Generation, SecretName};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::api::{AccessKeyId, BucketId};
use crate::bucket::{CorsRule, LifecycleRule, Quotas, Website};
use crate::connection::Connection;
use crate::credential::defaults;
use crate::moment::Moment;
use crate::name::BucketName;
use crate::title::Name;

/// What one application needs of a Garage cluster: a bucket, and a key that may use it
/// and nothing else, whose secret goes into the secrets store. Retaining it takes the
/// bucket out of service and lets the key end; declaring it again puts both back.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Inputs {
    /// The cluster.
    pub(super) connection: Connection,
    /// Name of the tenant, and of its bucket and key unless they say otherwise.
    pub(super) name: BucketName,
    /// Name of the bucket. Changing it renames the bucket. Unset: as `name`.
    #[serde(default)]
    pub(super) bucket: Option<BucketName>,
    /// Name of the key. Changing it renames the key. Unset: as `name`.
    #[serde(default)]
    pub(super) key: Option<Name>,
    /// What the key may do with the bucket. What other keys may do is left alone.
    #[serde(default)]
    pub(super) permissions: Permitted,
    /// Logical name of the secrets store that keeps the key's secret;
    /// `NIXOPS4_SECRETS_STORES` says where it is.
    #[serde(default = "defaults::store")]
    pub(super) store: String,
    /// Name of the secret in the store. Unset: made of the key's first name.
    #[serde(default)]
    #[schemars(with = "Option<String>")]
    pub(super) secret_name: Option<SecretName>,
    /// Which key is wanted at least, counted from 1. Raising it above the newest makes
    /// another one that may do the same, and keeps the old ones in use.
    #[serde(default = "defaults::generation")]
    #[schemars(with = "u32", range(min = 1))]
    pub(super) generation: Generation,
    /// How many older keys stay in use beside the newest. Those before them are
    /// deleted, on the cluster and in the store.
    #[serde(default = "defaults::keep_generations")]
    pub(super) keep_generations: u32,
    /// When the key ends, such as `2027-01-31T12:00:00Z`; the older ones that are kept
    /// end then, too. Unset: never.
    #[serde(default)]
    pub(super) expiration: Option<Moment>,
    /// All names that the bucket has for everybody. Unset: the bucket's name, and
    /// others are left alone.
    #[serde(default)]
    pub(super) global_aliases: Option<BTreeSet<BucketName>>,
    /// Limits of what is in the bucket. Unset: none.
    #[serde(default)]
    pub(super) quotas: Option<Quotas>,
    /// Serves the objects to everybody as a website. Unset: it is no website.
    #[serde(default)]
    pub(super) website: Option<Website>,
    /// Which pages of other origins may use the bucket from a browser. Unset: none.
    #[serde(default)]
    pub(super) cors_rules: Vec<CorsRule>,
    /// What expires in the bucket, and when. Unset: nothing.
    #[serde(default)]
    pub(super) lifecycle_rules: Vec<LifecycleRule>,
    /// Whether destroying it with `deletionPolicy = "delete"` deletes all objects in
    /// the bucket first, over S3. Default: false, and a bucket with something in it
    /// stays.
    #[serde(default)]
    pub(super) empty_on_delete: bool,
}

/// What the key of a tenant may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Permitted {
    /// Whether it may read and list objects. Default: true.
    #[serde(default = "yes")]
    pub(super) read: bool,
    /// Whether it may write and delete objects. Default: true.
    #[serde(default = "yes")]
    pub(super) write: bool,
    /// Whether it may change the bucket's website, CORS and lifecycle, and delete the
    /// bucket, over S3; what is declared here is put back. Default: false.
    #[serde(default)]
    pub(super) owner: bool,
}

impl Default for Permitted {
    fn default() -> Self {
        Self {
            read: true,
            write: true,
            owner: false,
        }
    }
}

impl From<Permitted> for crate::api::Permissions {
    fn from(permitted: Permitted) -> Self {
        Self {
            read: permitted.read,
            write: permitted.write,
            owner: permitted.owner,
        }
    }
}

fn yes() -> bool {
    true
}

/// What an expression can read of a tenant.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Outputs {
    /// Where services reach S3: `connection.s3Endpoint`, or what the node's
    /// configuration says; null if neither does.
    pub(super) endpoint: Option<String>,
    /// Region to give to clients of S3.
    pub(super) region: String,
    /// The name of the bucket to use with S3; null only where the bucket is missing.
    pub(super) bucket: Option<String>,
    /// Id of the newest key; null only where the key is missing.
    pub(super) access_key_id: Option<AccessKeyId>,
    /// Reference to that key's secret; never the value.
    pub(super) secret_key_ref: Option<StoredSecret>,
    /// Garage's own id of the bucket, which never changes.
    pub(super) bucket_id: Option<BucketId>,
    /// Host name of the website, for a proxy to pass on; null if it is no website,
    /// or if nothing says how websites are reached.
    pub(super) website_host: Option<String>,
    /// Id of a node of the cluster, by which the cluster is recognised.
    pub(super) system_identifier: String,
}

/// What is still of use of a record.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct PriorInputs {
    pub(super) connection: Connection,
    pub(super) name: BucketName,
    #[serde(default)]
    pub(super) bucket: Option<BucketName>,
    #[serde(default)]
    pub(super) key: Option<Name>,
    #[serde(default = "defaults::store")]
    pub(super) store: String,
    #[serde(default)]
    pub(super) secret_name: Option<SecretName>,
    #[serde(default)]
    pub(super) empty_on_delete: bool,
}

/// What is still of use of a record.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct PriorOutputs {
    #[serde(default)]
    pub(super) access_key_id: Option<String>,
    #[serde(default)]
    pub(super) secret_key_ref: Option<StoredSecret>,
    #[serde(default)]
    pub(super) bucket_id: Option<BucketId>,
    #[serde(default)]
    pub(super) system_identifier: Option<String>,
}

/// A tenant of a cluster.
#[derive(Debug, Serialize)]
pub(crate) struct Identity {
    pub(super) server: String,
    pub(super) bucket: Option<BucketName>,
    pub(super) key: Option<String>,
}

impl fmt::Display for Identity {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bucket = self.bucket.as_ref().map_or("-", BucketName::as_str);
        let key = self.key.as_deref().unwrap_or("-");
        write!(
            out,
            "tenant with bucket {bucket:?} and key {key:?} on {}",
            self.server
        )
    }
}

impl Inputs {
    pub(super) fn bucket_name(&self) -> &BucketName {
        self.bucket.as_ref().unwrap_or(&self.name)
    }
}
