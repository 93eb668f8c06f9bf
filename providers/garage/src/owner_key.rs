//! The key that stands for an owner, and the buckets that are made under its name.
//!
//! It may do nothing, and nobody is given its secret. An owner gets a further one
//! where the first can't be used any more: Garage never gives an id of a key again,
//! nor, in `CreateBucket`, an alias that a key once had.

use nixops4_provider_sdk::http::{Failure, StatusCode, found};
use nixops4_provider_sdk::{Context, Error, Mark, Result, Retry, SecretString};
use sha2::{Digest as _, Sha256};

use crate::api::{self, Absent, AccessKeyId, Alias, Bucket, BucketId, Key};
use crate::cluster::{Cluster, says};
use crate::name::BucketName;

/// How many such keys an owner can have; each is used up by somebody deleting it,
/// or by a name that was used before.
const MOST: u32 = 1000;

/// What the key of an owner is called: the mark without its times. Its id follows
/// from that, so that it keeps the form that marks had in the beginning.
fn title(mark: &Mark) -> String {
    let lasting = Mark {
        since: None,
        retained_since: None,
        ..mark.clone()
    };
    lasting.as_early()
}

/// The id of one of an owner's keys: the same for everybody who makes it.
fn id(title: &str, number: u32) -> Result<AccessKeyId> {
    let digest = Sha256::digest(format!("{title} number={number}"));
    let id = format!("GK{}", hex::encode(&digest[..12]));
    AccessKeyId::try_from(id).map_err(Error::new)
}

/// The keys of an owner that are there, usually one.
pub(crate) async fn all(cx: &Context, cluster: &Cluster, mark: &Mark) -> Result<Vec<Key>> {
    called(cx, cluster, &title(mark)).await
}

/// The keys that are called exactly so: names are not unique.
pub(crate) async fn called(cx: &Context, cluster: &Cluster, title: &str) -> Result<Vec<Key>> {
    const DOING: &str = "unable to look for a key by its name";
    match cluster.call(cx, api::key_by_name(title).doing(DOING)).await {
        Ok(key) if key.name == title => return Ok(vec![key]),
        Ok(_) => {}
        Err(Failure::Refused(refusal)) if Absent::Key.is_said_by(&refusal) => {
            return Ok(Vec::new());
        }
        // More than one, or one whose name differs in the case of letters.
        Err(Failure::Refused(refusal)) if refusal.status == StatusCode::BAD_REQUEST => {}
        Err(failure) => return Err(failure.into()),
    }
    let mut keys = Vec::new();
    for listed in cluster.keys(cx).await? {
        if listed.name == title {
            keys.extend(cluster.key(cx, &listed.id).await?);
        }
    }
    Ok(keys)
}

/// The bucket that one of these keys has under this name.
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

/// The owner key to mark what is there already with.
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
        let create = async || {
            cluster
                .call(cx, api::create_bucket(&id, name).doing(&doing))
                .await
        };
        let mut answer = create().await;
        if let Err(Failure::Refused(refusal)) = &answer
            && Absent::Key.is_said_by(refusal)
        {
            if make(cx, cluster, mark, number).await?.is_none() {
                continue;
            }
            cx.failpoint("bucket:stand-in");
            answer = create().await;
        }
        match answer {
            Err(Failure::Refused(refusal)) if says(&refusal, "alias already exists") => {
                if let Some(bucket) = begun(cx, cluster, &id, name).await? {
                    return Ok(bucket);
                }
            }
            answer => return Ok(answer?),
        }
    }
    Err(used_up(mark))
}

/// The bucket of this name, if somebody has begun to make it; `None` if the owner key
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
    let Some(key) = cluster.key(cx, id).await? else {
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
    let made = match cluster.call(cx, add.doing(DOING)).await {
        // The name is another one's.
        Err(Failure::Refused(refusal)) if says(&refusal, "already exists") => return Ok(None),
        answer => found(answer, |refusal| Absent::Bucket.is_said_by(refusal))?,
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
        cluster
            .ask(cx, api::add_alias(bucket, &alias(&other)), DOING)
            .await?;
    }
    cluster
        .ask(cx, api::remove_alias(bucket, &alias(name)), DOING)
        .await
        .map(|_| None)
}

/// Makes an owner key, unless it is there; `None` if it was there once.
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
    if let Some(key) = cluster.key(cx, &id).await? {
        return Ok(Some(key.access_key_id));
    }
    // Nobody uses it: whoever knew it could do nothing with it.
    let secret = SecretString::from(hex::encode(rand::random::<[u8; 32]>()));
    let import = api::import_key(&id, &secret, &title).doing(DOING);
    match cluster.call(cx, import).await {
        Err(failure) if failure.is("KeyAlreadyExists") => {
            // Another machine was quicker, or it is of one that was deleted.
            let found = cluster.key(cx, &id).await?;
            Ok(found.map(|key| key.access_key_id))
        }
        answer => Ok(Some(answer?.access_key_id)),
    }
}

fn used_up(mark: &Mark) -> Error {
    Error::new(format!(
        "there are {MOST} keys that stand for {:?} already, and none can be used any more",
        mark.deployment.as_str()
    ))
    .hint("declare the bucket under another name")
}
