//! The kind `garage_permission`.

mod inputs;

use nixops4_provider_sdk::{
    Context, DeletionPolicy, Error, Mark, Object, Observed, Ownership, Prior, ResourceKind, Result,
    Step, Value,
};

use crate::api::{self, Absent, AccessKeyId, BucketId, Permissions};
use crate::cluster::Cluster;
use crate::granting::{deny, held_by, no_key, on, precedes, set_permissions};
use crate::title::Title;

use inputs::{Identity, Inputs, Outputs, PriorInputs, PriorOutputs};

/// What one key may do with a bucket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Grant {
    bucket: BucketId,
    key: AccessKeyId,
    permissions: Permissions,
}

/// What the key, and those that it took the place of, may do with the bucket.
#[derive(Debug, Clone)]
pub(crate) struct Facts {
    grant: Grant,
    /// Of the keys before it that are still in use and may do something.
    older: Vec<Grant>,
    /// What was recorded, if it is another one and still there.
    recorded: Option<Grant>,
    system_identifier: String,
}

impl Facts {
    fn all(&self) -> impl Iterator<Item = &Grant> {
        std::iter::once(&self.grant).chain(&self.older)
    }
}

/// One step.
#[derive(Debug, Clone)]
pub(crate) enum Change {
    Create,
    /// What was recorded goes, and what is wanted comes.
    Move(Grant),
    /// These keys get or lose one flag.
    Set {
        keys: Vec<AccessKeyId>,
        flag: Permissions,
        wanted: bool,
    },
}

/// See [`Inputs`].
pub(crate) struct Permission;

impl ResourceKind for Permission {
    const TYPE: &'static str = "garage_permission";
    const DELETION_POLICY: DeletionPolicy = DeletionPolicy::Delete;
    const LOCATED_BY: &'static [&'static str] = &["connection", "bucketId", "accessKeyId"];
    const LASTING: &'static [&'static str] = &["systemIdentifier"];

    type Inputs = Inputs;
    type Outputs = Outputs;
    type Prior = Prior<PriorInputs, PriorOutputs>;
    type Identity = Identity;
    type Facts = Facts;
    type Change = Change;

    fn validate(inputs: &Inputs) -> Result<()> {
        if inputs.permissions().is_none() {
            return Err(
                Error::input("/read", "a permission that permits nothing is none")
                    .hint("set read, write or bucketOwner, or leave the resource out"),
            );
        }
        Ok(())
    }

    fn identity(inputs: &Inputs) -> Identity {
        Identity {
            server: inputs.connection.to_string(),
            bucket: inputs.bucket_id.clone(),
            key: inputs.access_key_id.clone(),
        }
    }

    fn recorded_identity(prior: &Self::Prior) -> Result<Identity> {
        let inputs = &prior.inputs;
        Ok(Identity {
            server: inputs.connection.to_string(),
            bucket: inputs.bucket_id.clone(),
            key: inputs.access_key_id.clone(),
        })
    }

    fn diff(want: &Inputs, have: Option<&Facts>) -> Vec<Step<Change>> {
        match have {
            None => vec![Step::create(Change::Create)],
            Some(have) => difference(want, have),
        }
    }

    fn outputs(_: &Inputs, facts: &Facts) -> Outputs {
        Outputs {
            bucket_id: facts.grant.bucket.clone(),
            access_key_id: facts.grant.key.clone(),
            system_identifier: facts.system_identifier.clone(),
        }
    }

    fn predict(inputs: &Inputs) -> Object {
        let mut outputs = Object::new();
        outputs.insert("bucketId".to_owned(), inputs.bucket_id.as_str().into());
        outputs.insert(
            "accessKeyId".to_owned(),
            inputs.access_key_id.as_str().into(),
        );
        outputs
    }

    async fn observe(
        cx: &Context,
        inputs: &Inputs,
        prior: Option<&Self::Prior>,
    ) -> Result<Option<Observed<Facts>>> {
        let node = prior.and_then(|prior| prior.outputs.system_identifier.as_deref());
        let cluster = Cluster::of(cx, &inputs.connection, node).await?;
        let bucket = bucket(cx, &cluster, &inputs.bucket_id)
            .await?
            .ok_or_else(|| no_bucket(&inputs.bucket_id))?;
        let (title, grant) = grant(cx, &cluster, &bucket, &inputs.access_key_id)
            .await?
            .ok_or_else(|| no_key(&inputs.access_key_id))?;
        let mut facts = Facts {
            grant,
            older: older(&bucket, &title),
            recorded: None,
            system_identifier: cluster.known_by(node),
        };
        if let Some(prior) = prior {
            let PriorInputs {
                bucket_id,
                access_key_id,
                ..
            } = &prior.inputs;
            facts.recorded = recorded(cx, &cluster, bucket_id, access_key_id)
                .await?
                .filter(|recorded| facts.all().all(|grant| !is_same(grant, recorded)));
        }
        let nothing = facts.grant.permissions.is_none() && facts.recorded.is_none();
        Ok((!nothing).then_some(Observed {
            facts,
            ownership: Ownership::Relation,
        }))
    }

    async fn apply(cx: &Context, inputs: &Inputs, change: Change) -> Result<()> {
        let cluster = Cluster::of(cx, &inputs.connection, None).await?;
        let (bucket, key) = (&inputs.bucket_id, &inputs.access_key_id);
        let doing = format!("unable to set what key {key} may do with bucket {bucket}");
        let give = async || {
            let pair = (bucket, key);
            let wanted = inputs.permissions();
            set_permissions(cx, &cluster, pair, Permissions::NONE, wanted, &doing).await
        };
        match change {
            Change::Create => give().await,
            Change::Move(from) => {
                // Nobody is without it meanwhile.
                give().await?;
                cx.failpoint("permission:given");
                take(cx, &cluster, &from).await
            }
            Change::Set { keys, flag, wanted } => {
                let (before, after) = if wanted {
                    (Permissions::NONE, flag)
                } else {
                    (flag, Permissions::NONE)
                };
                for key in &keys {
                    set_permissions(cx, &cluster, (bucket, key), before, after, &doing).await?;
                }
                Ok(())
            }
        }
    }

    async fn write_mark(_: &Context, _: &Inputs, _: &Facts, _: &Mark) -> Result<()> {
        // The engine asks for none: there is no place for it.
        Ok(())
    }

    async fn observe_recorded(
        cx: &Context,
        prior: &Self::Prior,
    ) -> Result<Option<Observed<Facts>>> {
        let node = prior.outputs.system_identifier.as_deref();
        let inputs = &prior.inputs;
        let cluster = Cluster::of(cx, &inputs.connection, node).await?;
        let Some(bucket) = bucket(cx, &cluster, &inputs.bucket_id).await? else {
            return Ok(None);
        };
        let found = grant(cx, &cluster, &bucket, &inputs.access_key_id).await?;
        let Some((title, grant)) = found else {
            return Ok(None);
        };
        let facts = Facts {
            grant,
            older: older(&bucket, &title),
            recorded: None,
            system_identifier: cluster.known_by(node),
        };
        Ok((!facts.grant.permissions.is_none()).then_some(Observed {
            facts,
            ownership: Ownership::Relation,
        }))
    }

    async fn delete(cx: &Context, prior: &Self::Prior, facts: &Facts) -> Result<()> {
        let cluster = Cluster::of(cx, &prior.inputs.connection, None).await?;
        // By the newest one the others are found again.
        for grant in facts.older.iter().chain([&facts.grant]) {
            take(cx, &cluster, grant).await?;
        }
        Ok(())
    }

    async fn retain(_: &Context, prior: &Self::Prior, _: &Facts, _: &Mark) -> Result<()> {
        Err(Error::input(
            "/deletionPolicy",
            format!(
                "{} can't be retained: it holds no data, and has no state but being there",
                Self::recorded_identity(prior)?
            ),
        )
        .hint("set deletionPolicy = \"delete\", or only forget it in the state"))
    }
}

fn difference(want: &Inputs, have: &Facts) -> Vec<Step<Change>> {
    if let Some(from) = &have.recorded {
        let change = Change::Move(from.clone());
        let step = if from.bucket == want.bucket_id {
            let (before, after) = (&from.key, &want.access_key_id);
            Step::set(
                "/accessKeyId",
                Value::known(before),
                Value::known(after),
                change,
            )
        } else {
            let (before, after) = (&from.bucket, &want.bucket_id);
            Step::set(
                "/bucketId",
                Value::known(before),
                Value::known(after),
                change,
            )
        };
        return vec![step];
    }
    let wanted = want.permissions();
    let step = |(path, flag): &(&str, Permissions)| {
        let flag = *flag;
        let has = |permissions: Permissions| flag.without(permissions).is_none();
        let wanted = has(wanted);
        let keys: Vec<_> = have
            .all()
            .filter(|grant| has(grant.permissions) != wanted)
            .map(|grant| grant.key.clone())
            .collect();
        (!keys.is_empty()).then(|| {
            let change = Change::Set { keys, flag, wanted };
            Step::set(path, Value::known(!wanted), Value::known(wanted), change)
        })
    };
    FLAGS.iter().filter_map(step).collect()
}

/// Each flag alone, with the input that it is of.
const FLAGS: [(&str, Permissions); 3] = [
    (
        "/read",
        Permissions {
            read: true,
            ..Permissions::NONE
        },
    ),
    (
        "/write",
        Permissions {
            write: true,
            ..Permissions::NONE
        },
    ),
    (
        "/bucketOwner",
        Permissions {
            owner: true,
            ..Permissions::NONE
        },
    ),
];

fn is_same(one: &Grant, another: &Grant) -> bool {
    one.bucket == another.bucket && one.key == another.key
}

/// What a key is called and may do with a bucket; `None`: there is no such key. What
/// the bucket doesn't know of, the key may still have.
async fn grant(
    cx: &Context,
    cluster: &Cluster,
    bucket: &api::Bucket,
    id: &AccessKeyId,
) -> Result<Option<(Title, Grant)>> {
    let known = on(bucket, id).map(|on| (Title::read(&on.name), on.permissions));
    let found = match known {
        Some(known) => Some(known),
        None => key(cx, cluster, id)
            .await?
            .map(|key| (Title::read(&key.name), held_by(&key.buckets, &bucket.id))),
    };
    Ok(found.map(|(title, permissions)| {
        let grant = Grant {
            bucket: bucket.id.clone(),
            key: id.clone(),
            permissions,
        };
        (title, grant)
    }))
}

/// What those keys may do that this one took the place of.
fn older(bucket: &api::Bucket, newer: &Title) -> Vec<Grant> {
    let precedes = |key: &&api::KeyOnBucket| {
        !key.permissions.is_none() && precedes(&Title::read(&key.name), newer)
    };
    let keys = bucket.keys.iter().filter(precedes);
    let mut older: Vec<_> = keys
        .map(|key| Grant {
            bucket: bucket.id.clone(),
            key: key.access_key_id.clone(),
            permissions: key.permissions,
        })
        .collect();
    older.sort_by(|one, another| one.key.cmp(&another.key));
    older
}

async fn bucket(cx: &Context, cluster: &Cluster, id: &BucketId) -> Result<Option<api::Bucket>> {
    let answer = cluster.call(cx, api::bucket_by_id(id)).await;
    cluster.found(answer, Absent::Bucket, "unable to look for the bucket")
}

/// What is still there of what was recorded.
async fn recorded(
    cx: &Context,
    cluster: &Cluster,
    id: &BucketId,
    key: &AccessKeyId,
) -> Result<Option<Grant>> {
    let Some(bucket) = bucket(cx, cluster, id).await? else {
        return Ok(None);
    };
    let found = grant(cx, cluster, &bucket, key).await?;
    let grant = found.map(|(_, grant)| grant);
    Ok(grant.filter(|grant| !grant.permissions.is_none()))
}

fn no_bucket(id: &BucketId) -> Error {
    Error::input("/bucketId", format!("there is no bucket {id}"))
        .hint("use the `id` output of a bucket on this cluster")
}

async fn key(cx: &Context, cluster: &Cluster, id: &AccessKeyId) -> Result<Option<api::Key>> {
    let answer = cluster.call(cx, api::key_by_id(id)).await;
    cluster.found(answer, Absent::Key, "unable to look for the key")
}

/// Takes what somebody may do; a bucket or key that is gone has taken it along.
async fn take(cx: &Context, cluster: &Cluster, grant: &Grant) -> Result<()> {
    let Grant {
        bucket,
        key,
        permissions,
    } = grant;
    if permissions.is_none() {
        return Ok(());
    }
    let doing = format!("unable to take from key {key} what it may do with bucket {bucket}");
    let taken = deny(cx, cluster, (bucket, key), *permissions, &doing).await;
    cx.failpoint("permission:taken");
    taken
}

#[cfg(test)]
mod tests;
