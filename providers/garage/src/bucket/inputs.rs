//! What is said of a bucket: inputs, outputs, and what is recorded of both.

use std::collections::BTreeSet;
use std::fmt;

use nixops4_provider_sdk::{Error, Result};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::rules::{CorsRule, LifecycleRule};
use crate::api::{AccessKeyId, BucketId, Permissions};
use crate::bytes::Bytes;
use crate::connection::Connection;
use crate::name::BucketName;
use crate::ownership;

/// A bucket on a Garage cluster.
///
/// What is not declared of its website, quotas, CORS and lifecycle is not there.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Inputs {
    /// The cluster.
    pub(crate) connection: Connection,
    /// Name of the bucket: its global alias, unless `globalAliases` says otherwise.
    /// Changing it renames the bucket, which keeps its id and all that is in it.
    pub(crate) name: BucketName,
    /// All names that it has for everybody; none for a bucket that is reached by
    /// local aliases alone. Unset: `name`, and others are left alone.
    #[serde(default)]
    pub(crate) global_aliases: Option<BTreeSet<BucketName>>,
    /// All names that it has for one key alone. Unset: they are left alone.
    #[serde(default)]
    pub(crate) local_aliases: Option<Vec<LocalAlias>>,
    /// Every key that may do something with the bucket, and what. Keys that are not
    /// listed lose their permissions. Unset: permissions are left alone, to be given
    /// by resources of the kind `permission`.
    #[serde(default)]
    pub(crate) keys: Option<Vec<KeyPermissions>>,
    /// Limits of what is in it. Unset: none.
    #[serde(default)]
    pub(crate) quotas: Option<Quotas>,
    /// Serves the objects to everybody as a website. Unset: it is no website.
    #[serde(default)]
    pub(crate) website: Option<Website>,
    /// Which pages of other origins may use it from a browser. Unset: none.
    #[serde(default)]
    pub(crate) cors_rules: Vec<CorsRule>,
    /// What expires, and when. Unset: nothing.
    #[serde(default)]
    pub(crate) lifecycle_rules: Vec<LifecycleRule>,
    /// Whether destroying it with `deletionPolicy = "delete"` deletes all objects in
    /// it first, over S3. Default: false, and a bucket with something in it stays.
    #[serde(default)]
    pub(crate) empty_on_delete: bool,
}

/// A name of a bucket for one key.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct LocalAlias {
    /// The key.
    pub(crate) access_key_id: AccessKeyId,
    /// The name.
    pub(crate) alias: BucketName,
}

/// What one key may do with a bucket.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct KeyPermissions {
    /// The key.
    pub(crate) access_key_id: AccessKeyId,
    /// Whether it may read and list objects. Default: false.
    #[serde(default)]
    pub(crate) read: bool,
    /// Whether it may write and delete objects. Default: false.
    #[serde(default)]
    pub(crate) write: bool,
    /// Whether it may change the bucket's website, CORS and lifecycle, and delete
    /// the bucket, over S3. Default: false.
    #[serde(default)]
    pub(crate) owner: bool,
}

impl KeyPermissions {
    pub(super) fn permissions(&self) -> Permissions {
        Permissions {
            read: self.read,
            write: self.write,
            owner: self.owner,
        }
    }
}

/// Limits of a bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Quotas {
    /// How much may be in it: bytes, or with a unit, such as `"50GiB"`. Unset: no
    /// limit.
    #[serde(default)]
    pub(crate) max_size: Option<Bytes>,
    /// How many objects may be in it. Unset: no limit.
    #[serde(default)]
    pub(crate) max_objects: Option<u64>,
}

/// A bucket as a website.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Website {
    /// The object that is served for a path that ends with `/`.
    #[serde(default = "index_document")]
    pub(crate) index_document: String,
    /// The object that is served where there is none. Unset: an error of Garage's.
    #[serde(default)]
    pub(crate) error_document: Option<String>,
}

fn index_document() -> String {
    "index.html".to_owned()
}

/// What an expression can read of a bucket.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Outputs {
    /// Garage's own id of it, which never changes.
    pub(crate) id: BucketId,
    /// The name to use with S3: `name`, if that is a global alias, or else the
    /// first global alias; null if there is none.
    pub(crate) bucket: Option<String>,
    /// All its global aliases.
    pub(crate) global_aliases: BTreeSet<String>,
    /// Where S3 is reached: `connection.s3Endpoint`, or what the node's
    /// configuration says; null if neither does.
    pub(crate) s3_endpoint: Option<String>,
    /// Region to give to clients of S3.
    pub(crate) region: String,
    /// Host name of the website, for a proxy to pass on; null if it is no website,
    /// or if nothing says how websites are reached.
    pub(crate) website_host: Option<String>,
    /// Objects in it, when it was looked at last.
    pub(crate) objects: u64,
    /// Bytes in it, when it was looked at last.
    pub(crate) bytes: u64,
    /// Id of a node of the cluster, by which the cluster is recognised.
    pub(crate) system_identifier: String,
}

/// What is still of use of a record.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct PriorInputs {
    pub(crate) connection: Connection,
    pub(crate) name: BucketName,
    #[serde(default)]
    pub(crate) empty_on_delete: bool,
    #[serde(default)]
    pub(crate) keys: Option<Vec<RecordedKey>>,
}

/// What is still of use of an entry of `keys`.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RecordedKey {
    pub(crate) access_key_id: AccessKeyId,
}

/// What is still of use of a record.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct PriorOutputs {
    #[serde(default)]
    pub(crate) id: Option<BucketId>,
    #[serde(default)]
    pub(crate) system_identifier: Option<String>,
}

/// A bucket, by the node that is asked and its name.
#[derive(Debug, Serialize)]
pub(crate) struct Identity {
    pub(crate) server: String,
    pub(crate) bucket: BucketName,
}

impl fmt::Display for Identity {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "bucket {:?} on {}", self.bucket.as_str(), self.server)
    }
}

impl Inputs {
    pub(super) fn validate(&self) -> Result<()> {
        if let Some(problem) = ownership::refuse_reserved(&self.name) {
            return Err(Error::input("/name", problem).hint("choose another name"));
        }
        refuse_twice(self.keys.as_deref(), "/keys", "/accessKeyId", |key| {
            &key.access_key_id
        })?;
        refuse_twice(
            self.local_aliases.as_deref(),
            "/localAliases",
            "",
            |alias| alias,
        )?;
        if let Some(website) = &self.website {
            refuse_empty(&website.index_document, "/website/indexDocument")?;
            if let Some(document) = &website.error_document {
                refuse_empty(document, "/website/errorDocument")?;
            }
        }
        for (number, rule) in self.cors_rules.iter().enumerate() {
            rule.validate()
                .map_err(|error| error.within(&format!("/corsRules/{number}")))?;
        }
        for (number, rule) in self.lifecycle_rules.iter().enumerate() {
            rule.validate()
                .map_err(|error| error.within(&format!("/lifecycleRules/{number}")))?;
        }
        Ok(())
    }

    /// The keys that are to have no permissions, of those that have or had an entry.
    pub(super) fn losing<'a>(
        &'a self,
        recorded: Option<&'a PriorInputs>,
    ) -> impl Iterator<Item = &'a AccessKeyId> {
        let wanted = self.keys.iter().flatten();
        let before = recorded.and_then(|recorded| recorded.keys.as_ref());
        let before = before.filter(|_| self.keys.is_some());
        let before = before.into_iter().flatten().map(|key| &key.access_key_id);
        let all = wanted.clone().map(|key| &key.access_key_id).chain(before);
        all.filter(move |id| {
            let mut wanted = wanted.clone();
            !wanted.any(|key| key.access_key_id == **id && !key.permissions().is_none())
        })
    }

    /// The global aliases that it has to have.
    pub(super) fn wanted_aliases(&self) -> BTreeSet<&BucketName> {
        match &self.global_aliases {
            Some(aliases) => aliases.iter().collect(),
            None => BTreeSet::from([&self.name]),
        }
    }
}

fn refuse_twice<T, K: PartialEq>(
    items: Option<&[T]>,
    list: &str,
    field: &str,
    key: impl Fn(&T) -> &K,
) -> Result<()> {
    let items = items.unwrap_or_default();
    for (number, item) in items.iter().enumerate() {
        if items[..number]
            .iter()
            .any(|before| key(before) == key(item))
        {
            return Err(
                Error::input(format!("{list}/{number}{field}"), "it is listed twice")
                    .hint("leave one of both out"),
            );
        }
    }
    Ok(())
}

fn refuse_empty(text: &str, pointer: &str) -> Result<()> {
    if text.is_empty() {
        return Err(Error::input(pointer, "the key of an object can't be empty")
            .hint("write it like index.html"));
    }
    Ok(())
}
