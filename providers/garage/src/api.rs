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

use std::marker::PhantomData;

use nixops4_provider_sdk::http::Method;
use serde::Serialize;
use serde_json::Value;

pub(crate) use bucket::{
    AbortUploads, Alias, Bucket, BucketChange, BucketId, CorsRule, Expiration, Filter, KeyOnBucket,
    LifecycleRule, Permissions, Quotas, Rule, WebsiteChange, WebsiteConfig, add_alias, allow,
    bucket_by_alias, bucket_by_id, create_bucket, delete_bucket, deny, remove_alias,
    survey_buckets, update_bucket,
};
pub(crate) use cluster::{Node, NodeInfo, cluster_status, node_info};
pub(crate) use emptying::{create_key, give_up_uploads};
pub(crate) use failure::{Absent, Refusal};
pub(crate) use key::{
    AccessKeyId, BucketOfKey, Key, KeyChange, KeyPermissions, ListedKey, delete_key, import_key,
    key_by_id, key_by_name, list_keys, secret_of_key, survey_keys, update_key,
};
pub(crate) use token::{
    AdminToken, TokenChange, TokenId, create_token, delete_token, list_tokens, token_by_id,
    update_token,
};

/// One request, and the type of its answer. Its body may hold a secret: it has no
/// `Debug`.
pub(crate) struct Request<A> {
    pub(crate) method: Method,
    /// The name of the endpoint, such as `GetBucketInfo`.
    pub(crate) endpoint: &'static str,
    pub(crate) query: Vec<(&'static str, String)>,
    pub(crate) body: Option<Value>,
    answer: PhantomData<A>,
}

/// A read.
fn get<A>(endpoint: &'static str, query: Vec<(&'static str, String)>) -> Request<A> {
    Request {
        method: Method::GET,
        endpoint,
        query,
        body: None,
        answer: PhantomData,
    }
}

/// A change.
fn post<A>(
    endpoint: &'static str,
    query: Vec<(&'static str, String)>,
    body: impl Serialize,
) -> Request<A> {
    Request {
        method: Method::POST,
        endpoint,
        query,
        // Of structs and strings alone: they have a form in JSON.
        body: Some(serde_json::to_value(body).unwrap_or_default()),
        answer: PhantomData,
    }
}

/// A change that needs no more than its query.
fn act(endpoint: &'static str, query: Vec<(&'static str, String)>) -> Request<Nothing> {
    Request {
        method: Method::POST,
        endpoint,
        query,
        body: None,
        answer: PhantomData,
    }
}

/// An answer without anything to read in it.
#[derive(Debug, serde::Deserialize)]
#[serde(transparent)]
pub(crate) struct Nothing(serde::de::IgnoredAny);

#[cfg(test)]
mod tests;
