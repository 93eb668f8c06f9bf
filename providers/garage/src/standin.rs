//! The key that stands for an owner, and the buckets that are made under its name.
//!
//! It may do nothing, and nobody is given its secret. An owner gets a further one
//! where the first can't be used any more: Garage never gives an id of a key again,
//! nor, in `CreateBucket`, an alias that a key once had.

use nixops4_provider_sdk::http::StatusCode;
use nixops4_provider_sdk::{Context, Error, Mark, Result, Retry, SecretString};
use sha2::{Digest as _, Sha256};

use crate::api::{self, Absent, AccessKeyId, Alias, Bucket, BucketId, Key};
use crate::cluster::{Cluster, Failure};
use crate::name::BucketName;

/// How many stand-ins an owner can have; each is used up by somebody deleting it,
/// or by a name that was used before.
const MOST: u32 = 1000;

/// What the stand-in of an owner is called: the mark without its times.
fn title(mark: &Mark) -> String {
    let lasting = Mark {
        since: None,
        retained_since: None,
        ..mark.clone()
    };
    lasting.to_string()
}

/// The id of one of an owner's stand-ins: the same for everybody who makes it.
fn id(title: &str, number: u32) -> Result<AccessKeyId> {
    let digest = Sha256::digest(format!("{title} number={number}"));
    let id = format!("GK{}", hex::encode(&digest[..12]));
    AccessKeyId::try_from(id).map_err(Error::new)
}

/// The stand-ins of an owner that are there, usually one.
pub(crate) async fn all(cx: &Context, cluster: &Cluster, mark: &Mark) -> Result<Vec<Key>> {
    called(cx, cluster, &title(mark)).await
}

/// The keys that are called exactly so: names are not unique.
pub(crate) async fn called(cx: &Context, cluster: &Cluster, title: &str) -> Result<Vec<Key>> {
    const DOING: &str = "unable to look for a key by its name";
    match cluster.call(cx, api::key_by_name(title)).await {
        // More than one, or one whose name differs in the case of letters.
        Err(Failure::Refused(refusal)) if refusal.status == StatusCode::BAD_REQUEST => {}
        answer => match cluster.found(answer, Absent::Key, DOING)? {
            Some(key) if key.name == title => return Ok(vec![key]),
            Some(_) => {}
            None => return Ok(Vec::new()),
        },
    }
    let mut keys = Vec::new();
    for listed in cluster.keys(cx).await? {
        if listed.name == title {
            let answer = cluster.call(cx, api::key_by_id(&listed.id)).await;
            keys.extend(cluster.found(answer, Absent::Key, DOING)?);
        }
    }
    Ok(keys)
}

/// The bucket that one of the stand-ins has under this name.
pub(crate) async fn bucket(
    cx: &Context,
    cluster: &Cluster,
    mark: &Mark,
    name: &BucketName,
) -> Result<Option<BucketId>> {
    let keys = all(cx, cluster, mark).await?;
    Ok(keys.iter().find_map(|key| named(key, name)))
}

fn named(key: &Key, name: &BucketName) -> Option<BucketId> {
    let has_it = |bucket: &&api::BucketOfKey| {
        let mut aliases = bucket.local_aliases.iter();
        aliases.any(|alias| alias == name.as_str())
    };
    key.buckets
        .iter()
        .find(has_it)
        .map(|bucket| bucket.id.clone())
}

/// The stand-in to mark what is there already with.
pub(crate) async fn any(cx: &Context, cluster: &Cluster, mark: &Mark) -> Result<AccessKeyId> {
    if let Some(key) = all(cx, cluster, mark).await?.first() {
        return Ok(key.access_key_id.clone());
    }
    for number in 0..MOST {
        if let Some(id) = make(cx, cluster, mark, number).await? {
            return Ok(id);
        }
    }
    Err(used_up(mark))
}

/// Makes a bucket that is marked from the beginning. Of those who try at once, one
/// does; the others are told to look again.
pub(crate) async fn create_bucket(
    cx: &Context,
    cluster: &Cluster,
    mark: &Mark,
    name: &BucketName,
) -> Result<Bucket> {
    let doing = format!("unable to create bucket {name}");
    for number in 0..MOST {
        let id = id(&title(mark), number)?;
        let mut answer = cluster.call(cx, api::create_bucket(&id, name)).await;
        if let Err(Failure::Refused(refusal)) = &answer
            && refusal.says_absent(Absent::Key)
        {
            let Some(id) = make(cx, cluster, mark, number).await? else {
                continue;
            };
            cx.failpoint("bucket:stand-in");
            answer = cluster.call(cx, api::create_bucket(&id, name)).await;
        }
        match answer {
            Err(Failure::Refused(refusal)) if refusal.message.contains("alias already exists") => {
                if let Some(bucket) = begun(cx, cluster, &id, name).await? {
                    return Ok(bucket);
                }
            }
            answer => return cluster.done(answer, &doing),
        }
    }
    Err(used_up(mark))
}

/// The bucket of this name, if somebody has begun to make it; `None` if the stand-in
/// had one once. Fails if it is made.
///
/// Garage tells the key of an alias, and then the bucket. In between, the key has a
/// bucket without a name.
async fn begun(
    cx: &Context,
    cluster: &Cluster,
    id: &AccessKeyId,
    name: &BucketName,
) -> Result<Option<Bucket>> {
    let answer = cluster.call(cx, api::key_by_id(id)).await;
    let doing = "unable to see what the key that stands for the owner has";
    let Some(key) = cluster.found(answer, Absent::Key, doing)? else {
        return Ok(None);
    };
    if named(&key, name).is_some() {
        return Err(Error::new(format!(
            "bucket {name} was just made by somebody else of the same owner"
        ))
        .retry(Retry::UntilDeadline));
    }
    for bucket in &key.buckets {
        if bucket.local_aliases.is_empty()
            && let Some(bucket) = finish(cx, cluster, id, &bucket.id, name).await?
        {
            return Ok(Some(bucket));
        }
    }
    Ok(None)
}

/// Gives a bucket that was begun the alias that its key has for it, if that is this
/// name.
async fn finish(
    cx: &Context,
    cluster: &Cluster,
    key: &AccessKeyId,
    bucket: &BucketId,
    name: &BucketName,
) -> Result<Option<Bucket>> {
    const DOING: &str = "unable to finish a bucket that was begun";
    let alias = |name: &BucketName| Alias::Local {
        local_alias: name.clone(),
        access_key_id: key.clone(),
    };
    let add = api::add_alias(bucket, &alias(name));
    let made = match cluster.call(cx, add).await {
        // The name is another one's.
        Err(Failure::Refused(refusal)) if refusal.message.contains("already exists") => {
            return Ok(None);
        }
        answer => cluster.found(answer, Absent::Bucket, DOING)?,
    };
    // Now it shows what else it is called there: a name that was free fits any.
    let called = made.iter().flat_map(|bucket| &bucket.keys);
    let called = called.filter(|on| on.access_key_id == *key);
    let others: Vec<_> = called
        .flat_map(|on| on.bucket_local_aliases.iter().cloned())
        .filter(|other| other != name.as_str())
        .collect();
    if others.is_empty() {
        return Ok(made);
    }
    for other in others {
        let other = BucketName::try_from(other).map_err(Error::new)?;
        let answer = cluster.call(cx, api::add_alias(bucket, &alias(&other)));
        cluster.done(answer.await, DOING)?;
    }
    let answer = cluster.call(cx, api::remove_alias(bucket, &alias(name)));
    cluster.done(answer.await, DOING).map(|_| None)
}

/// Makes a stand-in, unless it is there; `None` if it was there once.
async fn make(
    cx: &Context,
    cluster: &Cluster,
    mark: &Mark,
    number: u32,
) -> Result<Option<AccessKeyId>> {
    const DOING: &str = "unable to make the key that stands for the owner";
    let title = title(mark);
    let id = id(&title, number)?;
    // Garage lets two at once make the same one, and keeps a bit of both for ever.
    let _alone = cx.alone(&format!("{} {id}", cluster.named())).await?;
    let answer = cluster.call(cx, api::key_by_id(&id)).await;
    if let Some(key) = cluster.found(answer, Absent::Key, DOING)? {
        return Ok(Some(key.access_key_id));
    }
    // Nobody uses it: whoever knew it could do nothing with it.
    let secret = SecretString::from(hex::encode(rand::random::<[u8; 32]>()));
    match cluster
        .call(cx, api::import_key(&id, &secret, &title))
        .await
    {
        Err(Failure::Refused(refusal)) if refusal.is("KeyAlreadyExists") => {
            // Another machine was quicker, or it is of one that was deleted.
            let answer = cluster.call(cx, api::key_by_id(&id)).await;
            let found = cluster.found(answer, Absent::Key, DOING)?;
            Ok(found.map(|key| key.access_key_id))
        }
        answer => cluster
            .done(answer, DOING)
            .map(|key| Some(key.access_key_id)),
    }
}

fn used_up(mark: &Mark) -> Error {
    Error::new(format!(
        "there are {MOST} keys that stand for {:?} already, and none can be used any more",
        mark.owner.as_str()
    ))
    .hint("declare the bucket under another name")
}
