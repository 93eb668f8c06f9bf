//! Garage's admin API, version 2: requests as they are sent, and what comes back.
//!
//! Nothing here reaches a server. Garage passes over fields that it doesn't know,
//! so what is sent is built from types alone; what comes back is read leniently,
//! because a newer Garage says more.

mod bucket;
mod cluster;
mod emptying;
mod failure;
mod key;
mod token;

use std::time::Duration;

use nixops4_provider_sdk::http::Request;
use serde::Serialize;

pub(crate) use bucket::{
    AbortUploads, Alias, Bucket, BucketChange, BucketId, CorsRule, Expiration, Filter, KeyOnBucket,
    LifecycleRule, Permissions, Quotas, Rule, WebsiteChange, WebsiteConfig, add_alias, allow,
    bucket_by_alias, bucket_by_id, create_bucket, delete_bucket, deny, remove_alias,
    survey_buckets, update_bucket,
};
pub(crate) use cluster::{Node, NodeInfo, cluster_status, node_info};
pub(crate) use emptying::{create_key, give_up_uploads};
pub(crate) use failure::{Absent, Garage};
pub(crate) use key::{
    AccessKeyId, BucketOfKey, Key, KeyChange, KeyPermissions, ListedKey, delete_key, import_key,
    key_by_id, key_by_name, list_keys, secret_of_key, survey_keys, update_key,
};
pub(crate) use token::{
    AdminToken, TokenChange, TokenId, create_token, delete_token, list_tokens, token_by_id,
    update_token,
};

/// Before a node says that it can't get hold of the others, it waits for them.
const ANSWER: Duration = Duration::from_mins(1);

/// A read of an endpoint, such as `GetBucketInfo`.
fn get<A>(endpoint: &str) -> Request<A> {
    Request::get(["v2", endpoint]).limit(ANSWER)
}

/// A change.
fn post<A>(endpoint: &str, body: &impl Serialize) -> Request<A> {
    act(endpoint).json(body)
}

/// A change that needs no more than its query.
fn act<A>(endpoint: &str) -> Request<A> {
    Request::post(["v2", endpoint]).limit(ANSWER)
}

#[cfg(test)]
mod tests;
