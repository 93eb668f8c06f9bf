//! What emptying a bucket takes: a key for as long as that lasts, and giving up
//! uploads that nobody finished.

use nixops4_provider_sdk::SecretString;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use super::bucket::BucketId;
use super::key::AccessKeyId;
use super::{Nothing, Request, post};

/// A key that was just made, with its secret: it has no `Debug`.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct NewKey {
    pub(crate) access_key_id: AccessKeyId,
    #[serde(deserialize_with = "super::token::secret")]
    pub(crate) secret_access_key: SecretString,
}

/// Makes a key that is good for nothing from `expiration` on.
pub(crate) fn create_key(name: &str, expiration: OffsetDateTime) -> Request<NewKey> {
    #[derive(Serialize)]
    struct Body<'a> {
        name: &'a str,
        #[serde(with = "time::serde::rfc3339")]
        expiration: OffsetDateTime,
    }
    post("CreateKey", vec![], Body { name, expiration })
}

/// Gives up every upload into a bucket that isn't finished.
pub(crate) fn give_up_uploads(bucket_id: &BucketId) -> Request<Nothing> {
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Body<'a> {
        bucket_id: &'a BucketId,
        older_than_secs: u64,
    }
    let body = Body {
        bucket_id,
        older_than_secs: 0,
    };
    post("CleanupIncompleteUploads", vec![], body)
}
