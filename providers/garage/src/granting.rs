//! What keys may do with buckets: by whom it is held, and how it is given.

use std::time::{Duration, Instant};

use nixops4_provider_sdk::{Context, Error, Result, Retry};

use crate::api::{
    self, Absent, AccessKeyId, Bucket, BucketId, BucketOfKey, KeyOnBucket, Permissions,
};
use crate::cluster::{Cluster, Failure};
use crate::title::Title;

/// How long a request that failed is sent again: a node that restarts needs this.
const AGAIN: Duration = Duration::from_secs(5);
/// How long it is left alone in between.
const PAUSE: Duration = Duration::from_millis(200);

/// What a key may do with a bucket.
pub(crate) fn held(bucket: &Bucket, key: &AccessKeyId) -> Permissions {
    on(bucket, key).map_or(Permissions::NONE, |key| key.permissions)
}

/// What a bucket says of a key.
pub(crate) fn on<'a>(bucket: &'a Bucket, key: &AccessKeyId) -> Option<&'a KeyOnBucket> {
    bucket.keys.iter().find(|on| on.access_key_id == *key)
}

/// What a key itself says that it may do with a bucket: that is what S3 obeys. A
/// bucket shows only the keys that it knows of, and it is told first.
pub(crate) fn held_by(key: &[BucketOfKey], bucket: &BucketId) -> Permissions {
    let on = key.iter().find(|on| on.id == *bucket);
    on.map_or(Permissions::NONE, |on| on.permissions)
}

/// That a key is missing, said of the field of the entry that names it.
pub(crate) fn no_key(id: &AccessKeyId) -> Error {
    Error::input(
        "/accessKeyId",
        format!("there is no key {id}; it may have been deleted"),
    )
    .hint("use the `accessKeyId` output of a key on this cluster")
}

/// Whether `key` is one that `newer` was made in the place of, and that stays in use
/// for a while: it has to be able to do the same.
pub(crate) fn precedes(key: &Title, newer: &Title) -> bool {
    key.is_kin(newer) && key.generation < newer.generation
}

/// Takes permissions from a key; a bucket or key that is gone has taken them along.
///
/// What failed may have been told to the bucket and not to the key, which then still
/// has them, and the bucket doesn't show that it has. So it is sent again, which tells
/// both, and a failure is never followed by another look.
pub(crate) async fn deny(
    cx: &Context,
    cluster: &Cluster,
    (id, key): (&BucketId, &AccessKeyId),
    permissions: Permissions,
    doing: &str,
) -> Result<()> {
    let mut since = None;
    loop {
        let request = api::deny(id, key, permissions);
        let error = match cluster.call(cx, request).await {
            Err(Failure::Failed(error)) => error,
            Err(Failure::Refused(refusal)) if refusal.says_absent(Absent::Bucket) => return Ok(()),
            answer => return cluster.found(answer, Absent::Key, doing).map(drop),
        };
        let since: &mut Instant = since.get_or_insert_with(Instant::now);
        let is_over = match error.may_retry() {
            Retry::Never => true,
            Retry::Briefly => since.elapsed() > AGAIN,
            Retry::UntilDeadline => false,
        };
        if is_over || cx.time_left() <= PAUSE || cx.checkpoint().is_err() {
            return Err(error.retry(Retry::Never));
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// Gives a key exactly these permissions. Garage adds or takes, each by itself. That
/// there is no such key to give something to is said of `/accessKeyId`.
pub(crate) async fn set_permissions(
    cx: &Context,
    cluster: &Cluster,
    (id, key): (&BucketId, &AccessKeyId),
    before: Permissions,
    after: Permissions,
    doing: &str,
) -> Result<()> {
    let (taken, given) = (before.without(after), after.without(before));
    if !taken.is_none() {
        deny(cx, cluster, (id, key), taken, doing).await?;
        cx.failpoint("bucket:permitted");
    }
    if !given.is_none() {
        let answer = cluster.call(cx, api::allow(id, key, given)).await;
        if cluster.found(answer, Absent::Key, doing)?.is_none() {
            return Err(no_key(key));
        }
        cx.failpoint("bucket:permitted");
    }
    Ok(())
}
