//! Access keys.

use std::fmt;

use nixops4_provider_sdk::{ExposeSecret as _, SecretString};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::bucket::{BucketId, Permissions};
use super::{Nothing, Request, act, get, post};

/// What names a key: eight characters or more, usually `GK` and 24 hexadecimal
/// digits.
#[derive(
    Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(try_from = "String")]
#[schemars(extend("pattern" = "^[A-Za-z0-9_.-]{8,}$"))]
pub(crate) struct AccessKeyId(String);

impl AccessKeyId {
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for AccessKeyId {
    type Error = String;

    fn try_from(id: String) -> Result<Self, String> {
        let fits = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        if id.len() >= 8 && id.chars().all(fits) {
            return Ok(Self(id));
        }
        Err(
            "this is no id of an access key, which has eight letters, digits and - _ . or more; use \
             the `accessKeyId` output of a key"
                .to_owned(),
        )
    }
}

impl fmt::Display for AccessKeyId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

/// A key, without its secret.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Key {
    pub(crate) access_key_id: AccessKeyId,
    pub(crate) name: String,
    #[serde(default, with = "time::serde::rfc3339::option")]
    pub(crate) expiration: Option<time::OffsetDateTime>,
    #[serde(default)]
    pub(crate) permissions: KeyPermissions,
    #[serde(default)]
    pub(crate) buckets: Vec<BucketOfKey>,
}

/// What a key may do beside what buckets allow it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct KeyPermissions {
    #[serde(default)]
    pub(crate) create_bucket: bool,
}

/// A bucket that a key may do something with, or has an alias for.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct BucketOfKey {
    pub(crate) id: BucketId,
    #[serde(default)]
    pub(crate) local_aliases: Vec<String>,
    #[serde(default)]
    pub(crate) permissions: Permissions,
}

/// What is changed on a key; what is `None` stays as it is.
#[derive(Debug, Clone, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct KeyChange {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) name: Option<String>,
    #[serde(
        skip_serializing_if = "Option::is_none",
        with = "time::serde::rfc3339::option"
    )]
    pub(crate) expiration: Option<time::OffsetDateTime>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(crate) never_expires: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) allow: Option<KeyPermissions>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) deny: Option<KeyPermissions>,
}

pub(crate) fn key_by_id(id: &AccessKeyId) -> Request<Key> {
    get("GetKeyInfo", vec![("id", id.to_string())])
}

/// The secret of a key: Garage shows it to whoever may ask. It has no `Debug`.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct SecretOfKey {
    #[serde(deserialize_with = "super::token::secret")]
    pub(crate) secret_access_key: SecretString,
}

pub(crate) fn secret_of_key(id: &AccessKeyId) -> Request<SecretOfKey> {
    let query = vec![("id", id.to_string()), ("showSecretKey", "true".to_owned())];
    get("GetKeyInfo", query)
}

/// Up to `limit` of them, with all that there is to know but their secrets.
pub(crate) fn survey_keys(limit: usize) -> Request<Vec<Key>> {
    get("ListKeysInfo", vec![("limit", limit.to_string())])
}

/// The one key of this name, in any case of letters. Fails if there are several.
pub(crate) fn key_by_name(name: &str) -> Request<Key> {
    get("GetKeyInfo", vec![("search", name.to_owned())])
}

/// Makes a key with this id and secret. An id that was deleted is taken for ever.
pub(crate) fn import_key(id: &AccessKeyId, secret: &SecretString, name: &str) -> Request<Key> {
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Body<'a> {
        access_key_id: &'a AccessKeyId,
        secret_access_key: &'a str,
        name: &'a str,
    }
    let body = Body {
        access_key_id: id,
        secret_access_key: secret.expose_secret(),
        name,
    };
    post("ImportKey", vec![], body)
}

pub(crate) fn update_key(id: &AccessKeyId, change: &KeyChange) -> Request<Key> {
    post("UpdateKey", vec![("id", id.to_string())], change)
}

/// Takes its permissions and aliases off every bucket, too.
pub(crate) fn delete_key(id: &AccessKeyId) -> Request<Nothing> {
    act("DeleteKey", vec![("id", id.to_string())])
}

/// A key in a list.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ListedKey {
    pub(crate) id: AccessKeyId,
    pub(crate) name: String,
}

/// All of them: Garage gives up to `limit` from `offset` on, that one included.
pub(crate) fn list_keys(offset: Option<&AccessKeyId>, limit: usize) -> Request<Vec<ListedKey>> {
    let mut query = vec![("limit", limit.to_string())];
    if let Some(offset) = offset {
        query.push(("offset", offset.to_string()));
    }
    get("ListKeys", query)
}
