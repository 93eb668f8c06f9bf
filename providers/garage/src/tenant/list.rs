//! Finding an owner's tenants.

use std::collections::BTreeMap;

use nixops4_provider_sdk::{Context, Found, Mark, ResourceKind as _, Result};

use super::inputs::Identity;
use super::parts::Key;
use crate::bucket;
use crate::cluster::Cluster;
use crate::connection::Reach;
use crate::marked_name::MarkedName;
use crate::name::BucketName;

/// Marked buckets with the marked keys that may use them, and marked keys that may
/// use none: what is left of a tenant that was made or deleted by halves is found,
/// too.
pub(super) async fn list(cx: &Context, reach: &Reach) -> Result<Vec<Found>> {
    let cluster = Cluster::of(cx, &reach.connection, None).await?;
    let ours = cx.mark();
    let mut keys: BTreeMap<String, Mark> = BTreeMap::new();
    for found in Key::list(cx, reach).await? {
        if let Some(name) = found.identity.get("name").and_then(|name| name.as_str()) {
            keys.insert(name.to_owned(), found.mark);
        }
    }
    let server = reach.connection.to_string();
    let mut all = Vec::new();
    for marked in bucket::marked(cx, &cluster).await? {
        let titles = marked
            .bucket
            .keys
            .iter()
            .map(|key| MarkedName::read(&key.name));
        let key = titles
            .filter(|title| title.is_of(&ours))
            .find(|title| keys.contains_key(&title.name))
            .map(|title| title.name);
        if let Some(key) = &key {
            keys.remove(key);
        }
        let identity = Identity {
            server: server.clone(),
            bucket: Some(marked.name.clone()),
            key,
        };
        let facts = marked.facts();
        all.push(Found {
            facts,
            ..found(&identity, marked.mark)
        });
    }
    all.extend(keys.into_iter().map(|(key, mark)| {
        let identity = Identity {
            server: server.clone(),
            bucket: None,
            key: Some(key),
        };
        found(&identity, mark)
    }));
    Ok(all)
}

/// What was made by halves has one name, which is the other's, too.
fn found(identity: &Identity, mark: Mark) -> Found {
    let bucket = identity.bucket.as_ref().map(BucketName::as_str);
    let key = identity.key.as_deref();
    let names = [("name", bucket.or(key)), ("bucket", bucket), ("key", key)];
    Found::new(identity, names, mark)
}
