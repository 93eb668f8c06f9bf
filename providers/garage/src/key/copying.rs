//! Gives a new key what the one before has.

use nixops4_provider_sdk::{Context, Result};

use super::find;
use crate::api::{self, Absent, AccessKeyId, Alias, BucketOfKey};
use crate::cluster::Cluster;
use crate::name::BucketName;

/// Copies permissions, and the names that buckets have for this key alone: by
/// these a client may know them. A key that is gone has nothing to copy.
pub(super) async fn copy(
    cx: &Context,
    cluster: &Cluster,
    from: &str,
    to: &AccessKeyId,
) -> Result<()> {
    let Ok(from) = AccessKeyId::try_from(from.to_owned()) else {
        return Ok(());
    };
    let Some(key) = find(cx, cluster, &from).await? else {
        return Ok(());
    };
    let doing = format!("unable to give key {to} what key {from} has");
    for bucket in &key.buckets {
        cx.checkpoint()?;
        copy_on(cx, cluster, bucket, to, &doing).await?;
    }
    Ok(())
}

async fn copy_on(
    cx: &Context,
    cluster: &Cluster,
    bucket: &BucketOfKey,
    to: &AccessKeyId,
    doing: &str,
) -> Result<()> {
    let permissions = bucket.permissions;
    if !permissions.is_none() {
        let answer = cluster
            .call(cx, api::allow(&bucket.id, to, permissions))
            .await;
        // A bucket may be deleted meanwhile.
        if cluster.found(answer, Absent::Bucket, doing)?.is_none() {
            return Ok(());
        }
        cx.failpoint("key:permitted");
    }
    for alias in &bucket.local_aliases {
        // What Garage took once it takes again, whatever we think of it.
        let Ok(local_alias) = BucketName::try_from(alias.clone()) else {
            tracing::warn!(
                "the name {alias:?} of bucket {} is not passed on",
                bucket.id
            );
            continue;
        };
        let alias = Alias::Local {
            local_alias,
            access_key_id: to.clone(),
        };
        let answer = cluster.call(cx, api::add_alias(&bucket.id, &alias)).await;
        if cluster.found(answer, Absent::Bucket, doing)?.is_none() {
            return Ok(());
        }
        cx.failpoint("key:aliased");
    }
    Ok(())
}
