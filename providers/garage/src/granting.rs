//! What keys may do with buckets: by whom it is held, and how it is given.

use nixops4_provider_sdk::{Context, Result};

use crate::api::{self, AccessKeyId, Bucket, BucketId, KeyOnBucket, Permissions};
use crate::cluster::Cluster;
use crate::title::Title;

/// What a key may do with a bucket.
pub(crate) fn held(bucket: &Bucket, key: &AccessKeyId) -> Permissions {
    on(bucket, key).map_or(Permissions::NONE, |key| key.permissions)
}

/// What a bucket says of a key.
pub(crate) fn on<'a>(bucket: &'a Bucket, key: &AccessKeyId) -> Option<&'a KeyOnBucket> {
    bucket.keys.iter().find(|on| on.access_key_id == *key)
}

/// Whether `key` is one that `newer` was made in the place of, and that stays in use
/// for a while: it has to be able to do the same.
pub(crate) fn precedes(key: &Title, newer: &Title) -> bool {
    key.is_kin(newer) && key.generation < newer.generation
}

/// Gives a key exactly these permissions. Garage adds or takes, each by itself.
pub(crate) async fn set_permissions(
    cx: &Context,
    cluster: &Cluster,
    (id, key): (&BucketId, &AccessKeyId),
    before: Permissions,
    after: Permissions,
    doing: &str,
) -> Result<()> {
    let (taken, given) = (before.without(after), after.without(before));
    for (permissions, request) in [
        (taken, api::deny(id, key, taken)),
        (given, api::allow(id, key, given)),
    ] {
        if !permissions.is_none() {
            let answer = cluster.call(cx, request).await;
            cluster.done(answer, doing)?;
            cx.failpoint("bucket:permitted");
        }
    }
    Ok(())
}
