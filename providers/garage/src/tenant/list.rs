//! Finding an owner's tenants.

use std::collections::BTreeMap;

use nixops4_provider_sdk::{Context, Found, Mark, Object, ResourceKind as _, Result};

use super::inputs::{Identity, Inputs};
use super::parts::{Key, Parts};
use crate::bucket;
use crate::cluster::Cluster;
use crate::title::Title;

/// Marked buckets with the marked keys that may use them, and marked keys that may
/// use none: what is left of a tenant that was made or deleted by halves is found,
/// too.
pub(super) async fn list(cx: &Context, inputs: &Inputs) -> Result<Vec<Found>> {
    let parts = Parts::wanted(inputs)?;
    let cluster = Cluster::of(cx, &inputs.connection, None).await?;
    let ours = cx.mark();
    let mut keys: BTreeMap<String, Mark> = BTreeMap::new();
    for found in Key::list(cx, &parts.key).await? {
        if let Some(name) = found.identity.get("name").and_then(|name| name.as_str()) {
            keys.insert(name.to_owned(), found.mark);
        }
    }
    let server = inputs.connection.to_string();
    let mut all = Vec::new();
    for marked in bucket::marked(cx, &cluster).await? {
        let titles = marked.bucket.keys.iter().map(|key| Title::read(&key.name));
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
        all.push(Found {
            identity: serde_json::to_value(identity).unwrap_or_default(),
            facts: marked.facts(),
            mark: marked.mark,
        });
    }
    all.extend(keys.into_iter().map(|(key, mark)| {
        let identity = Identity {
            server: server.clone(),
            bucket: None,
            key: Some(key),
        };
        Found {
            identity: serde_json::to_value(identity).unwrap_or_default(),
            facts: Object::new(),
            mark,
        }
    }));
    Ok(all)
}
