//! A bucket as the cluster has it.

use std::collections::BTreeSet;

use nixops4_provider_sdk::{Context, Error, Mark, Object, Observed, Result};

use super::inputs::{Inputs, Outputs};
use crate::api::{self, Absent, AccessKeyId, Alias, BucketId, KeyOnBucket};
use crate::bytes::Bytes;
use crate::cluster::Cluster;
use crate::granting::{held_by, on};
use crate::name::BucketName;
use crate::ownership::{self, Claim};
use crate::standin;

/// A bucket.
#[derive(Debug, Clone)]
pub(crate) struct Facts {
    pub(crate) bucket: api::Bucket,
    /// Everybody's marks on it.
    pub(super) claims: Vec<Claim>,
    /// The names under which its owner, who asks, declared it.
    pub(super) names: Vec<String>,
    place: Place,
}

/// Where it is.
#[derive(Debug, Clone)]
pub(super) struct Place {
    pub(super) region: String,
    pub(super) s3_endpoint: Option<String>,
    pub(super) system_identifier: String,
}

impl Facts {
    pub(crate) fn id(&self) -> &BucketId {
        &self.bucket.id
    }

    /// How errors call it.
    pub(crate) fn described(&self) -> String {
        let aliases = &self.bucket.global_aliases;
        match self.names.first().or(aliases.first()) {
            Some(name) => format!("bucket {name:?}"),
            None => format!("bucket {}", self.id()),
        }
    }

    /// Whether Garage was cut short while it deleted it: before that, it takes all
    /// names and keys off what is empty. Nobody can reach it any more.
    pub(super) fn is_half_deleted(&self) -> bool {
        let api::Bucket {
            global_aliases,
            keys,
            objects,
            unfinished_uploads,
            ..
        } = &self.bucket;
        let is_left =
            |key: &KeyOnBucket| key.bucket_local_aliases.is_empty() && key.permissions.is_none();
        global_aliases.is_empty()
            && keys.iter().all(is_left)
            && (*objects, *unfinished_uploads) == (0, 0)
    }

    /// Its names but for those that say whose it is.
    pub(super) fn aliases(&self) -> Result<Vec<Alias>> {
        let name = |name: &String| BucketName::try_from(name.clone()).map_err(Error::new);
        let mut all = Vec::new();
        for alias in &self.bucket.global_aliases {
            let global_alias = name(alias)?;
            all.push(Alias::Global { global_alias });
        }
        let is_claim = |key: &AccessKeyId| self.claims.iter().any(|claim| claim.key == *key);
        for key in &self.bucket.keys {
            for alias in &key.bucket_local_aliases {
                if !is_claim(&key.access_key_id) {
                    all.push(Alias::Local {
                        local_alias: name(alias)?,
                        access_key_id: key.access_key_id.clone(),
                    });
                }
            }
        }
        Ok(all)
    }

    pub(super) fn outputs(&self, inputs: &Inputs) -> Outputs {
        let global_aliases: BTreeSet<_> = self.bucket.global_aliases.iter().cloned().collect();
        let name = inputs.name.as_str();
        let bucket = if global_aliases.contains(name) {
            Some(name)
        } else {
            global_aliases.first().map(String::as_str)
        };
        let website_host = bucket
            .filter(|_| self.bucket.website_access)
            .and_then(|bucket| {
                match &inputs.connection.web_root_domain {
                    Some(domain) => Some(format!("{bucket}.{domain}")),
                    // Garage serves a bucket under its own name, too, if that is a domain.
                    None => bucket.contains('.').then(|| bucket.to_owned()),
                }
            });
        Outputs {
            id: self.id().clone(),
            bucket: bucket.map(str::to_owned),
            website_host,
            s3_endpoint: self.place.s3_endpoint.clone(),
            region: self.place.region.clone(),
            objects: self.bucket.objects,
            bytes: self.bucket.bytes,
            system_identifier: self.place.system_identifier.clone(),
            global_aliases,
        }
    }
}

/// What was found, with whose it is for who asks. `node` is the one that was recorded.
pub(super) fn observed(
    cx: &Context,
    cluster: &Cluster,
    node: Option<&str>,
    bucket: api::Bucket,
) -> Observed<Facts> {
    let place = Place {
        region: cluster.region(),
        s3_endpoint: cluster.s3_endpoint(),
        system_identifier: cluster.known_by(node),
    };
    judged(&cx.mark(), place, bucket)
}

/// The same for who has this mark.
pub(super) fn judged(ours: &Mark, place: Place, bucket: api::Bucket) -> Observed<Facts> {
    let claims = ownership::claims(&bucket);
    let names = claims
        .iter()
        .filter(|claim| claim.mark.is_of_same(ours))
        .flat_map(|claim| claim.names.iter().cloned())
        .collect();
    Observed {
        ownership: ownership::ownership(&claims, ours),
        facts: Facts {
            bucket,
            claims,
            names,
            place,
        },
    }
}

const LOOKING: &str = "unable to look for the bucket";

pub(super) async fn by_id(
    cx: &Context,
    cluster: &Cluster,
    id: Option<&BucketId>,
) -> Result<Option<api::Bucket>> {
    let Some(id) = id else {
        return Ok(None);
    };
    let surveyed = cluster.surveyed_bucket(cx, id.as_str(), |all| {
        all.iter().find(|bucket| bucket.id == *id)
    });
    if let Some(found) = surveyed.await {
        return Ok(found);
    }
    ask_for(cx, cluster, id).await
}

/// The bucket that has the wanted name: for everybody, or for the owner's stand-in,
/// if nobody's is called so for everybody.
pub(super) async fn by_name(
    cx: &Context,
    cluster: &Cluster,
    inputs: &Inputs,
) -> Result<Option<api::Bucket>> {
    let name = &inputs.name;
    let is_global = inputs.wanted_aliases().contains(name);
    if let Some(found) = surveyed(cx, cluster, name, is_global).await {
        return Ok(found);
    }
    if is_global {
        let answer = cluster.call(cx, api::bucket_by_alias(name)).await;
        let found = cluster.found(answer, Absent::Bucket, LOOKING)?;
        if found.is_some() {
            return Ok(found);
        }
    }
    by_stand_in(cx, cluster, name).await
}

/// What was recorded: by its id, or as the owner, who asks, declared it. It is always
/// the server that is asked: what isn't seen there isn't taken away either.
pub(super) async fn recorded(
    cx: &Context,
    cluster: &Cluster,
    id: Option<&BucketId>,
    name: &BucketName,
) -> Result<Option<api::Bucket>> {
    if let Some(id) = id
        && let Some(found) = ask_for(cx, cluster, id).await?
    {
        return Ok(Some(found));
    }
    by_stand_in(cx, cluster, name).await
}

async fn ask_for(cx: &Context, cluster: &Cluster, id: &BucketId) -> Result<Option<api::Bucket>> {
    let answer = cluster.call(cx, api::bucket_by_id(id)).await;
    cluster.found(answer, Absent::Bucket, LOOKING)
}

async fn by_stand_in(
    cx: &Context,
    cluster: &Cluster,
    name: &BucketName,
) -> Result<Option<api::Bucket>> {
    match standin::bucket(cx, cluster, &cx.mark(), name).await? {
        Some(id) => ask_for(cx, cluster, &id).await,
        None => Ok(None),
    }
}

/// The same among those that were looked at together, if they were.
async fn surveyed(
    cx: &Context,
    cluster: &Cluster,
    name: &BucketName,
    is_global: bool,
) -> Option<Option<api::Bucket>> {
    let ours = cx.mark();
    let is_it = |alias: &String| alias == name.as_str();
    let is_called = |bucket: &&api::Bucket| bucket.global_aliases.iter().any(is_it);
    let is_declared = |bucket: &&api::Bucket| {
        let mut keys = bucket.keys.iter();
        keys.any(|key| key.bucket_local_aliases.iter().any(is_it))
            && ownership::claims(bucket)
                .iter()
                .any(|claim| claim.mark.is_of_same(&ours) && claim.names.iter().any(is_it))
    };
    cluster
        .surveyed_bucket(cx, name.as_str(), |all| {
            let called = all.iter().filter(|_| is_global).find(is_called);
            called.or_else(|| all.iter().find(is_declared))
        })
        .await
}

/// A bucket of the owner who asks.
pub(crate) struct Marked {
    pub(crate) bucket: api::Bucket,
    pub(crate) mark: Mark,
    pub(crate) name: BucketName,
}

impl Marked {
    /// What is told of it in a list.
    pub(crate) fn facts(&self) -> Object {
        let mut facts = Object::new();
        facts.insert("id".to_owned(), self.bucket.id.as_str().into());
        facts.insert("objects".to_owned(), self.bucket.objects.into());
        facts.insert("bytes".to_owned(), self.bucket.bytes.into());
        facts
    }
}

/// Every bucket of the owner who asks.
pub(crate) async fn marked(cx: &Context, cluster: &Cluster) -> Result<Vec<Marked>> {
    let mut all = Vec::new();
    for key in standin::all(cx, cluster, &cx.mark()).await? {
        for listed in &key.buckets {
            let Some(bucket) = by_id(cx, cluster, Some(&listed.id)).await? else {
                continue;
            };
            let claims = ownership::claims(&bucket);
            let ours = claims
                .into_iter()
                .find(|claim| claim.key == key.access_key_id);
            let Some((mark, name)) =
                ours.and_then(|claim| Some((claim.mark, claim.names.into_iter().next()?)))
            else {
                continue;
            };
            let name = BucketName::try_from(name).map_err(Error::new)?;
            all.push(Marked { bucket, mark, name });
        }
    }
    Ok(all)
}

/// Adds those of these keys to a bucket that it doesn't know of and that may do
/// something with it all the same: Garage tells it first of what they lose.
pub(super) async fn add_hidden(
    cx: &Context,
    cluster: &Cluster,
    bucket: &mut api::Bucket,
    keys: impl Iterator<Item = &AccessKeyId>,
) -> Result<()> {
    for id in keys {
        if on(bucket, id).is_some() {
            continue;
        }
        let answer = cluster.call(cx, api::key_by_id(id)).await;
        let Some(key) = cluster.found(answer, Absent::Key, "unable to look for a key")? else {
            continue;
        };
        let permissions = held_by(&key.buckets, &bucket.id);
        if !permissions.is_none() {
            bucket.keys.push(KeyOnBucket {
                access_key_id: key.access_key_id,
                name: key.name,
                permissions,
                bucket_local_aliases: Vec::new(),
            });
        }
    }
    Ok(())
}

/// Why it isn't deleted.
pub(super) fn not_empty(facts: &Facts) -> Error {
    let held = match (facts.bucket.objects, facts.bucket.unfinished_uploads) {
        (0, 0) => "something".to_owned(),
        (0, uploads) => format!("{uploads} unfinished uploads"),
        (objects, _) => format!("{objects} objects ({})", Bytes(facts.bucket.bytes)),
    };
    Error::input(
        "/deletionPolicy",
        format!(
            "{} is not deleted, because it has {held} in it",
            facts.described()
        ),
    )
    .hint(
        "copy what is to be kept and empty it, or apply emptyOnDelete = true first, which does; or \
         retain it, which only takes it out of service (deletionPolicy = \"retain\")",
    )
}

/// Why it isn't deleted after it was emptied.
pub(super) fn still_not_empty(facts: &Facts) -> Error {
    Error::new(format!(
        "{} is not deleted, because there is still something in it after it was emptied",
        facts.described()
    ))
    .hint(
        "destroy it again if somebody was writing into it; items of K2V have to be deleted with a \
         client of K2V",
    )
}
