//! Each step from what is there to what is wanted, as requests.

use nixops4_provider_sdk::{Context, Error, Result, Retry};

use super::change::{Change, difference};
use super::facts;
use super::inputs::{Inputs, LocalAlias};
use crate::api::{self, Absent, AccessKeyId, Alias, BucketChange, BucketId};
use crate::bytes::Bytes;
use crate::cluster::{Cluster, Failure};
use crate::granting::set_permissions;
use crate::name::BucketName;
use crate::standin;

/// Does one step.
pub(super) async fn apply(cx: &Context, inputs: &Inputs, change: Change) -> Result<()> {
    let cluster = Cluster::of(cx, &inputs.connection, None).await?;
    let doing = |what: &str| format!("unable to {what} of bucket {:?}", inputs.name.as_str());
    match change {
        Change::Create => create(cx, &cluster, inputs).await,
        Change::Aliases {
            id,
            pointer,
            add,
            remove,
        } => {
            for global_alias in add {
                let alias = Alias::Global { global_alias };
                let answer = cluster.call(cx, api::add_alias(&id, &alias)).await;
                alias_added(&cluster, answer, &alias, pointer, &doing("add an alias"))?;
                cx.failpoint("bucket:alias-added");
            }
            for name in remove {
                let global_alias = BucketName::try_from(name).map_err(Error::new)?;
                let alias = Alias::Global { global_alias };
                let answer = cluster.call(cx, api::remove_alias(&id, &alias)).await;
                cluster.done(answer, &doing("remove an alias"))?;
            }
            Ok(())
        }
        Change::Name {
            id,
            key,
            has_it,
            remove,
        } => {
            if !has_it {
                let alias = Alias::Local {
                    local_alias: inputs.name.clone(),
                    access_key_id: key.clone(),
                };
                let answer = cluster.call(cx, api::add_alias(&id, &alias)).await;
                alias_added(&cluster, answer, &alias, "/name", &doing("change the name"))?;
                cx.failpoint("bucket:renamed");
            }
            remove_local(cx, &cluster, &id, &key, remove.iter()).await
        }
        Change::LocalAliases { id, add, remove } => {
            for LocalAlias {
                access_key_id,
                alias,
            } in add
            {
                let alias = Alias::Local {
                    local_alias: alias,
                    access_key_id,
                };
                let answer = cluster.call(cx, api::add_alias(&id, &alias)).await;
                let doing = doing("add a local alias");
                alias_added(&cluster, answer, &alias, "/localAliases", &doing)?;
            }
            for (key, alias) in &remove {
                remove_local(cx, &cluster, &id, key, [alias].into_iter()).await?;
            }
            Ok(())
        }
        Change::Permissions {
            id,
            key,
            before,
            after,
        } => {
            let doing = doing("set the permissions of a key");
            set_permissions(cx, &cluster, (&id, &key), before, after, &doing)
                .await
                .map_err(|error| error.at_unless_said("/keys"))
        }
        Change::Quotas {
            id,
            quotas,
            objects,
            bytes,
        } => {
            refuse_below_use(quotas, objects, bytes)?;
            let change = BucketChange {
                quotas: Some(quotas),
                ..BucketChange::default()
            };
            let answer = cluster.call(cx, api::update_bucket(&id, &change)).await;
            cluster.done(answer, &doing("set the quotas")).map(|_| ())
        }
        Change::Update {
            id,
            doing: what,
            change,
        } => {
            let answer = cluster.call(cx, api::update_bucket(&id, &change)).await;
            cluster.done(answer, &doing(what)).map(|_| ())
        }
    }
}

/// Makes the bucket, marked, then gives it its names, then the rest.
async fn create(cx: &Context, cluster: &Cluster, inputs: &Inputs) -> Result<()> {
    let bucket = standin::create_bucket(cx, cluster, &cx.mark(), &inputs.name).await?;
    cx.failpoint("bucket:created");
    let id = bucket.id.clone();
    let made = facts::observed(cx, cluster, None, bucket).facts;
    let changes = difference(inputs, &made)
        .into_iter()
        .map(|step| step.change);
    for (number, change) in in_one(&id, changes).into_iter().enumerate() {
        cx.checkpoint()?;
        let naming = matches!(change, Change::Aliases { .. });
        if let Err(error) = Box::pin(apply(cx, inputs, change)).await {
            if naming
                && error
                    .pointer()
                    .is_some_and(|at| !at.starts_with("/connection"))
            {
                // Somebody was quicker to take the name: this one was never anybody's.
                return Err(delete_again(cx, cluster, &id, error).await);
            }
            return Err(error);
        }
        if number == 0 {
            cx.failpoint("bucket:named");
        }
    }
    Ok(())
}

/// Deletes a bucket for which there was no name; gives the reason, and what is left
/// to do if that can't be done.
async fn delete_again(cx: &Context, cluster: &Cluster, id: &BucketId, reason: Error) -> Error {
    let answer = cluster.call(cx, api::delete_bucket(id)).await;
    let doing = "unable to delete the bucket again";
    let reason = match cluster.found(answer, Absent::Bucket, doing) {
        Ok(_) => reason,
        Err(kept) => reason.hint(format!(
            "choose another name; and delete bucket {id}, which was made for this and is empty \
             (`garage bucket delete {id}`): {}",
            kept.summary()
        )),
    };
    // Whose the name is shows when it is looked for again.
    match reason.pointer() {
        Some("/name") => reason.retry(Retry::UntilDeadline),
        _ => reason,
    }
}

/// The same changes, with all that Garage can change at once in one request: each
/// costs it the check of a token, which is slow on purpose.
fn in_one(id: &BucketId, changes: impl Iterator<Item = Change>) -> Vec<Change> {
    let mut at_once = BucketChange::default();
    let mut others = Vec::new();
    for change in changes {
        match change {
            // Of a bucket with nothing in it, which no limit is too low for.
            Change::Quotas { quotas, .. } => at_once.quotas = Some(quotas),
            Change::Update { change, .. } => at_once = at_once.with(*change),
            other => others.push(other),
        }
    }
    if !at_once.is_empty() {
        others.push(Change::Update {
            id: id.clone(),
            doing: "set quotas, website and rules",
            change: Box::new(at_once),
        });
    }
    others
}

/// What Garage itself would take, and then refuse every upload.
fn refuse_below_use(quotas: api::Quotas, objects: u64, bytes: u64) -> Result<()> {
    const HINT: &str = "choose a higher limit, or delete some first; to stop uploads, take `write` \
                        from the keys";
    if let Some(limit) = quotas.max_size.filter(|limit| *limit < bytes) {
        let (limit, bytes) = (Bytes(limit), Bytes(bytes));
        return Err(Error::input(
            "/quotas/maxSize",
            format!("the limit of {limit} is below what is in the bucket already: {bytes}"),
        )
        .hint(HINT));
    }
    if let Some(limit) = quotas.max_objects.filter(|limit| *limit < objects) {
        return Err(Error::input(
            "/quotas/maxObjects",
            format!("the limit of {limit} is below the {objects} objects in the bucket already"),
        )
        .hint(HINT));
    }
    Ok(())
}

/// Whether an alias was added; that another bucket has it is said of the input.
pub(super) fn alias_added(
    cluster: &Cluster,
    answer: Result<api::Bucket, Failure>,
    alias: &Alias,
    pointer: &str,
    doing: &str,
) -> Result<()> {
    match answer {
        Err(Failure::Refused(refusal)) if refusal.message.contains("already exists") => {
            let (name, whose) = match alias {
                Alias::Global { global_alias } => (global_alias, String::new()),
                Alias::Local {
                    local_alias,
                    access_key_id,
                } => (local_alias, format!(" of key {access_key_id}")),
            };
            Err(Error::input(
                pointer,
                format!(
                    "the alias {:?}{whose} belongs to another bucket",
                    name.as_str()
                ),
            )
            .because(refusal.message)
            .hint("choose another one, or take it off that bucket first"))
        }
        answer => cluster.done(answer, doing).map(|_| ()),
    }
}

/// Removes aliases of one key from a bucket that has another one.
pub(super) async fn remove_local(
    cx: &Context,
    cluster: &Cluster,
    id: &BucketId,
    key: &AccessKeyId,
    aliases: impl Iterator<Item = &String>,
) -> Result<()> {
    for alias in aliases {
        let alias = Alias::Local {
            local_alias: BucketName::try_from(alias.clone()).map_err(Error::new)?,
            access_key_id: key.clone(),
        };
        let answer = cluster.call(cx, api::remove_alias(id, &alias)).await;
        cluster.done(answer, "unable to remove a local alias")?;
    }
    Ok(())
}
