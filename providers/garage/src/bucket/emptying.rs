//! Emptying a bucket over S3, so that it can be deleted.
//!
//! Nobody writes into it meanwhile: every key loses its permissions first. A key
//! made for this alone does it, which expires by itself if nobody is left to delete
//! it. What was killed in the middle goes on with what is still there.

use std::time::Duration;

use nixops4_provider_sdk::http::{HttpClient, parse_server};
use nixops4_provider_sdk::secret::remember;
use nixops4_provider_sdk::{Context, Error, Result, progress};
use time::OffsetDateTime;

use super::facts::Facts;
use crate::api::{self, Absent, AccessKeyId, BucketId, Permissions};
use crate::cluster::Cluster;
use crate::granting::deny;
use crate::s3::{self, Objects};
use crate::standin;

/// How much longer than the request the key lives: for the difference of clocks.
const MARGIN: Duration = Duration::from_mins(5);

/// What reads, lists and deletes.
const NEEDED: Permissions = Permissions {
    read: true,
    write: true,
    owner: false,
};

/// What the key is called.
fn title(id: &BucketId) -> String {
    format!("nixops4-resources: empties bucket {id}")
}

/// Where S3 is reached, for a bucket that is to be emptied on some day.
pub(super) fn endpoint(cluster: &Cluster) -> Result<String> {
    cluster.s3_endpoint().ok_or_else(|| {
        Error::input(
            s3::POINTER,
            "emptyOnDelete needs S3, and nothing says where it is reached",
        )
        .hint(
            "set connection.s3Endpoint, such as http://127.0.0.1:3900, or s3_api.public_endpoint in \
             the node's configuration",
        )
    })
}

/// Deletes all that is in a bucket.
pub(super) async fn empty(cx: &Context, cluster: &Cluster, facts: &Facts) -> Result<()> {
    let url =
        parse_server(&endpoint(cluster)?).map_err(|problem| Error::input(s3::POINTER, problem))?;
    let ca_file = cluster.ca_file().map(|path| (path, "/connection/caFile"));
    let http = HttpClient::new(url, s3::POINTER, ca_file)?;
    let id = facts.id();
    // Each would take the other's key away.
    let _alone = cx
        .alone(&format!("{} empties {id}", cluster.named()))
        .await?;
    let doing = format!("unable to empty {}", facts.described());
    let title = title(id);
    remove_keys(cx, cluster, &title).await?;
    for key in &facts.bucket.keys {
        if !key.permissions.is_none() && key.name != title {
            let place = (id, &key.access_key_id);
            deny(cx, cluster, place, key.permissions, &doing).await?;
        }
    }
    cx.failpoint("bucket:closed");
    let answer = cluster.call(cx, api::give_up_uploads(id)).await;
    cluster.done(answer, &doing)?;
    let expiration = OffsetDateTime::now_utc() + cx.time_left() + MARGIN;
    let answer = cluster.call(cx, api::create_key(&title, expiration)).await;
    let key = cluster.done(answer, &doing)?;
    remember(&key.secret_access_key);
    cx.failpoint("bucket:key-made");
    let work = async {
        let allowed = api::allow(id, &key.access_key_id, NEEDED);
        let answer = cluster.call(cx, allowed).await;
        cluster.done(answer, &doing)?;
        let pair = (&key.access_key_id, &key.secret_access_key);
        let objects = Objects::new(http, cluster.region(), id, pair)?;
        delete_all(cx, &objects, facts).await
    };
    let done = work.await;
    let removed = remove_key(cx, cluster, &key.access_key_id).await;
    done.and(removed)
}

async fn delete_all(cx: &Context, objects: &Objects, facts: &Facts) -> Result<()> {
    objects.admitted(cx).await?;
    let mut gone = 0;
    let mut next = None;
    loop {
        cx.checkpoint()?;
        let page = objects.page(cx, next).await?;
        let count = page.keys.len();
        objects.delete(cx, page.keys).await?;
        cx.failpoint("bucket:page-deleted");
        gone += count;
        progress(format!(
            "{}: {gone} of about {} objects deleted",
            facts.described(),
            facts.bucket.objects
        ));
        match page.next {
            None => return Ok(()),
            further => next = further,
        }
    }
}

/// Deletes the key that an earlier one, which was killed, has left on the bucket.
pub(super) async fn tidy(cx: &Context, cluster: &Cluster, facts: &Facts) -> Result<()> {
    let title = title(facts.id());
    for key in &facts.bucket.keys {
        if key.name == title {
            remove_key(cx, cluster, &key.access_key_id).await?;
        }
    }
    Ok(())
}

/// Deletes what one that was killed before it could use it has left behind.
async fn remove_keys(cx: &Context, cluster: &Cluster, title: &str) -> Result<()> {
    for key in standin::called(cx, cluster, title).await? {
        remove_key(cx, cluster, &key.access_key_id).await?;
    }
    Ok(())
}

async fn remove_key(cx: &Context, cluster: &Cluster, id: &AccessKeyId) -> Result<()> {
    let answer = cluster.call(cx, api::delete_key(id)).await;
    let doing = format!("unable to delete key {id}, which was made to empty a bucket");
    cluster.found(answer, Absent::Key, &doing).map(|_| ())
}
