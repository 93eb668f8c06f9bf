//! Buckets: aliases, permissions, and what is set on them.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::key::AccessKeyId;
use super::{Nothing, Request, act, get, post};
use crate::name::BucketName;

/// Garage's own identifier of a bucket: 64 hexadecimal digits.
#[derive(
    Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(try_from = "String")]
#[schemars(extend("pattern" = "^[0-9a-f]{64}$"))]
pub(crate) struct BucketId(String);

impl BucketId {
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for BucketId {
    type Error = String;

    fn try_from(id: String) -> Result<Self, String> {
        let is_hex = |c: char| c.is_ascii_digit() || ('a'..='f').contains(&c);
        if id.len() == 64 && id.chars().all(is_hex) {
            return Ok(Self(id));
        }
        Err(
            "this is no id of a bucket, which has 64 hexadecimal digits; use the `id` output of a \
             bucket, or what `garage bucket info` prints as its id"
                .to_owned(),
        )
    }
}

impl fmt::Display for BucketId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

/// A bucket, as `GetBucketInfo` and every change of one answer it.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Bucket {
    pub(crate) id: BucketId,
    #[serde(with = "time::serde::rfc3339")]
    pub(crate) created: time::OffsetDateTime,
    pub(crate) global_aliases: Vec<String>,
    pub(crate) website_access: bool,
    #[serde(default)]
    pub(crate) website_config: Option<WebsiteConfig>,
    #[serde(default)]
    pub(crate) cors_rules: Option<Vec<CorsRule>>,
    #[serde(default)]
    pub(crate) lifecycle_rules: Option<Vec<LifecycleRule>>,
    /// Every key that may do something here or has an alias for it.
    pub(crate) keys: Vec<KeyOnBucket>,
    pub(crate) objects: u64,
    pub(crate) bytes: u64,
    #[serde(default)]
    pub(crate) unfinished_uploads: u64,
    pub(crate) quotas: Quotas,
}

/// What a website serves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct WebsiteConfig {
    pub(crate) index_document: String,
    #[serde(default)]
    pub(crate) error_document: Option<String>,
}

/// What a key is to a bucket.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct KeyOnBucket {
    pub(crate) access_key_id: AccessKeyId,
    pub(crate) name: String,
    pub(crate) permissions: Permissions,
    pub(crate) bucket_local_aliases: Vec<String>,
}

/// What a key may do with a bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) struct Permissions {
    #[serde(default)]
    pub(crate) read: bool,
    #[serde(default)]
    pub(crate) write: bool,
    #[serde(default)]
    pub(crate) owner: bool,
}

impl Permissions {
    pub(crate) const NONE: Self = Self {
        read: false,
        write: false,
        owner: false,
    };

    /// What is here and not in `other`.
    pub(crate) fn without(self, other: Self) -> Self {
        Self {
            read: self.read && !other.read,
            write: self.write && !other.write,
            owner: self.owner && !other.owner,
        }
    }

    pub(crate) fn is_none(self) -> bool {
        self == Self::NONE
    }
}

/// Limits of a bucket; both are replaced together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Quotas {
    /// Bytes.
    #[serde(default)]
    pub(crate) max_size: Option<u64>,
    #[serde(default)]
    pub(crate) max_objects: Option<u64>,
}

/// A rule of CORS, in the names of S3's XML.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct CorsRule {
    #[serde(rename = "ID", default, skip_serializing_if = "Option::is_none")]
    pub(crate) id: Option<String>,
    #[serde(
        rename = "MaxAgeSeconds",
        default,
        skip_serializing_if = "Option::is_none"
    )]
    pub(crate) max_age_seconds: Option<u64>,
    #[serde(rename = "AllowedOrigin")]
    pub(crate) allowed_origins: Vec<String>,
    #[serde(rename = "AllowedMethod")]
    pub(crate) allowed_methods: Vec<String>,
    #[serde(rename = "AllowedHeader", default)]
    pub(crate) allowed_headers: Vec<String>,
    #[serde(rename = "ExposeHeader", default)]
    pub(crate) expose_headers: Vec<String>,
}

/// A rule of the life of objects, in the names of S3's XML.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct LifecycleRule {
    #[serde(rename = "ID", default, skip_serializing_if = "Option::is_none")]
    pub(crate) id: Option<String>,
    #[serde(rename = "Status")]
    pub(crate) status: Rule,
    #[serde(rename = "Filter", default, skip_serializing_if = "Option::is_none")]
    pub(crate) filter: Option<Filter>,
    #[serde(
        rename = "Expiration",
        default,
        skip_serializing_if = "Option::is_none"
    )]
    pub(crate) expiration: Option<Expiration>,
    #[serde(
        rename = "AbortIncompleteMultipartUpload",
        default,
        skip_serializing_if = "Option::is_none"
    )]
    pub(crate) abort: Option<AbortUploads>,
}

/// Whether a rule is in force.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Rule {
    Enabled,
    Disabled,
}

/// Which objects a rule is for. More than one condition stands in `and`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) struct Filter {
    #[serde(rename = "And", default, skip_serializing_if = "Option::is_none")]
    pub(crate) and: Option<Box<Filter>>,
    #[serde(rename = "Prefix", default, skip_serializing_if = "Option::is_none")]
    pub(crate) prefix: Option<String>,
    #[serde(
        rename = "ObjectSizeGreaterThan",
        default,
        skip_serializing_if = "Option::is_none"
    )]
    pub(crate) larger_than: Option<u64>,
    #[serde(
        rename = "ObjectSizeLessThan",
        default,
        skip_serializing_if = "Option::is_none"
    )]
    pub(crate) smaller_than: Option<u64>,
}

/// When objects expire: exactly one of both.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) struct Expiration {
    #[serde(rename = "Days", default, skip_serializing_if = "Option::is_none")]
    pub(crate) days: Option<u64>,
    #[serde(rename = "Date", default, skip_serializing_if = "Option::is_none")]
    pub(crate) date: Option<String>,
}

/// When uploads that nobody finished are given up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct AbortUploads {
    #[serde(rename = "DaysAfterInitiation")]
    pub(crate) days: u64,
}

/// What is changed on a bucket; what is `None` stays as it is.
#[derive(Debug, Clone, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct BucketChange {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) website_access: Option<WebsiteChange>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) quotas: Option<Quotas>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) cors_rules: Option<Vec<CorsRule>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) lifecycle_rules: Option<Vec<LifecycleRule>>,
}

impl BucketChange {
    /// This, and what the other one changes.
    pub(crate) fn with(self, other: Self) -> Self {
        Self {
            website_access: other.website_access.or(self.website_access),
            quotas: other.quotas.or(self.quotas),
            cors_rules: other.cors_rules.or(self.cors_rules),
            lifecycle_rules: other.lifecycle_rules.or(self.lifecycle_rules),
        }
    }
}

/// Switches a website on or off; off takes no documents.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct WebsiteChange {
    pub(crate) enabled: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) index_document: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) error_document: Option<String>,
}

/// A name of a bucket: for everybody, or for one key alone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub(crate) enum Alias {
    #[serde(rename_all = "camelCase")]
    Global { global_alias: BucketName },
    #[serde(rename_all = "camelCase")]
    Local {
        local_alias: BucketName,
        access_key_id: AccessKeyId,
    },
}

pub(crate) fn bucket_by_id(id: &BucketId) -> Request<Bucket> {
    get("GetBucketInfo", vec![("id", id.to_string())])
}

pub(crate) fn bucket_by_alias(alias: &BucketName) -> Request<Bucket> {
    get("GetBucketInfo", vec![("globalAlias", alias.to_string())])
}

/// Up to `limit` of them, with all that there is to know.
pub(crate) fn survey_buckets(limit: usize) -> Request<Vec<Bucket>> {
    get("ListBucketsInfo", vec![("limit", limit.to_string())])
}

/// Makes a bucket that has this alias of this key from the beginning.
pub(crate) fn create_bucket(key: &AccessKeyId, alias: &BucketName) -> Request<Bucket> {
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Body {
        local_alias: Local,
    }
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Local {
        access_key_id: AccessKeyId,
        alias: BucketName,
    }
    let local_alias = Local {
        access_key_id: key.clone(),
        alias: alias.clone(),
    };
    post("CreateBucket", vec![], Body { local_alias })
}

pub(crate) fn update_bucket(id: &BucketId, change: &BucketChange) -> Request<Bucket> {
    post("UpdateBucket", vec![("id", id.to_string())], change)
}

pub(crate) fn delete_bucket(id: &BucketId) -> Request<Nothing> {
    act("DeleteBucket", vec![("id", id.to_string())])
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct OnBucket<'a, T> {
    bucket_id: &'a BucketId,
    #[serde(flatten)]
    what: T,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Grant<'a> {
    access_key_id: &'a AccessKeyId,
    permissions: Permissions,
}

/// Gives the permissions that are true here; the others stay as they are.
pub(crate) fn allow(id: &BucketId, key: &AccessKeyId, permissions: Permissions) -> Request<Bucket> {
    post("AllowBucketKey", vec![], grant(id, key, permissions))
}

/// Takes the permissions that are true here; the others stay as they are.
pub(crate) fn deny(id: &BucketId, key: &AccessKeyId, permissions: Permissions) -> Request<Bucket> {
    post("DenyBucketKey", vec![], grant(id, key, permissions))
}

fn grant<'a>(
    bucket_id: &'a BucketId,
    access_key_id: &'a AccessKeyId,
    permissions: Permissions,
) -> OnBucket<'a, Grant<'a>> {
    let what = Grant {
        access_key_id,
        permissions,
    };
    OnBucket { bucket_id, what }
}

/// Does nothing if the bucket has it already.
pub(crate) fn add_alias(bucket_id: &BucketId, what: &Alias) -> Request<Bucket> {
    post("AddBucketAlias", vec![], OnBucket { bucket_id, what })
}

/// Fails if the bucket hasn't got it, or no other one.
pub(crate) fn remove_alias(bucket_id: &BucketId, what: &Alias) -> Request<Bucket> {
    post("RemoveBucketAlias", vec![], OnBucket { bucket_id, what })
}
