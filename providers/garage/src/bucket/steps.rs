//! Each step from what is there to what is wanted, as requests.

use nixops4_provider_sdk::{Context, Error, Result, Retry};

use super::change::{Change, difference};
use super::facts;
use super::inputs::{Inputs, KeyPermissions, LocalAlias};
use crate::api::{self, Absent, AccessKeyId, Alias, BucketChange, BucketId};
use crate::bytes::Bytes;
use crate::cluster::{Cluster, Failure};
use crate::granting::{no_key, set_permissions};
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
                let answer = unalias(cx, &cluster, &id, &alias).await;
                cluster.done(answer, &doing("remove an alias"))?;
            }
            Ok(())
        }
        Change::Name { id, key, remove } => {
            rename(cx, &cluster, inputs, (&id, &key)).await?;
            remove_local(cx, &cluster, &id, &key, remove.iter()).await
        }
        Change::LocalAliases { id, add, remove } => {
            for wanted in add {
                let is_it = |one: &LocalAlias| *one == wanted;
                let pointer = entry("/localAliases", inputs.local_aliases.as_deref(), is_it);
                let alias = Alias::Local {
                    local_alias: wanted.alias,
                    access_key_id: wanted.access_key_id,
                };
                let answer = cluster.call(cx, api::add_alias(&id, &alias)).await;
                let doing = doing("add a local alias");
                alias_added(&cluster, answer, &alias, &pointer, &doing)?;
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
                .map_err(|error| of_entry(error, inputs, &key))
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
            let done = cluster.done(answer, &doing("set the quotas"));
            done.map(drop).map_err(|error| at(error, "/quotas"))
        }
        Change::Update {
            id,
            pointer,
            doing: what,
            change,
        } => {
            let answer = cluster.call(cx, api::update_bucket(&id, &change)).await;
            let done = cluster.done(answer, &doing(what));
            done.map(drop).map_err(|error| at(error, pointer))
        }
        Change::Together { id, parts } => {
            let change = api::update_bucket(&id, &together(&parts));
            let answer = cluster.call(cx, change).await;
            if !matches!(answer, Err(Failure::Refused(_))) {
                let done = cluster.done(answer, &doing("set what it is like"));
                return done.map(drop);
            }
            // Which of them it is about shows one by one.
            for part in parts {
                Box::pin(apply(cx, inputs, part)).await?;
            }
            Ok(())
        }
    }
}

/// Gives the bucket the name that is wanted beside the one that it has.
///
/// Even if the key has it: the bucket may not have been told, and would be nobody's
/// without the other one.
async fn rename(
    cx: &Context,
    cluster: &Cluster,
    inputs: &Inputs,
    (id, key): (&BucketId, &AccessKeyId),
) -> Result<()> {
    let alias = Alias::Local {
        local_alias: inputs.name.clone(),
        access_key_id: key.clone(),
    };
    let doing = format!(
        "unable to change the name of bucket {:?}",
        inputs.name.as_str()
    );
    let answer = cluster.call(cx, api::add_alias(id, &alias)).await;
    alias_added(cluster, answer, &alias, "/name", &doing)?;
    cx.failpoint("bucket:renamed");
    Ok(())
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
    let is_part = |change: &Change| matches!(change, Change::Quotas { .. } | Change::Update { .. });
    let (parts, mut others): (Vec<_>, Vec<_>) = changes.partition(is_part);
    if !parts.is_empty() {
        let id = id.clone();
        others.push(Change::Together { id, parts });
    }
    others
}

/// What all of them change.
fn together(parts: &[Change]) -> BucketChange {
    let mut all = BucketChange::default();
    for part in parts {
        match part {
            // Of a bucket with nothing in it, which no limit is too low for.
            Change::Quotas { quotas, .. } => all.quotas = Some(*quotas),
            Change::Update { change, .. } => all = all.with((**change).clone()),
            _ => {}
        }
    }
    all
}

/// A refusal of Garage's, said of an input.
fn at(error: Error, pointer: &str) -> Error {
    match error.pointer() {
        Some(_) => error,
        None => error
            .at(pointer)
            .hint("change it to what Garage takes, then apply again"),
    }
}

/// What is said of a key, said of its entry in `keys`.
fn of_entry(error: Error, inputs: &Inputs, key: &AccessKeyId) -> Error {
    let is_it = |one: &KeyPermissions| one.access_key_id == *key;
    let entry = entry("/keys", inputs.keys.as_deref(), is_it);
    let placed = |pointer: &str| match pointer {
        "/accessKeyId" => format!("{entry}{pointer}"),
        other => other.to_owned(),
    };
    error.placed(placed).at_unless_said(&entry)
}

/// Where an entry of a list stands; the list itself, if it isn't one of it.
fn entry<T>(list: &str, entries: Option<&[T]>, is_it: impl FnMut(&T) -> bool) -> String {
    match entries.and_then(|entries| entries.iter().position(is_it)) {
        Some(number) => format!("{list}/{number}"),
        None => list.to_owned(),
    }
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
        Err(Failure::Refused(refusal)) if refusal.says_absent(Absent::Key) => match alias {
            Alias::Local { access_key_id, .. } if pointer.starts_with("/localAliases") => {
                Err(no_key(access_key_id).within(pointer))
            }
            _ => Err(Error::input(pointer, doing).because(refusal.message)),
        },
        answer => {
            let done = cluster.done(answer, doing).map(drop);
            done.map_err(|error| error.at_unless_said(pointer))
        }
    }
}

/// Whether an alias can't be removed because it isn't there, or is another bucket's.
pub(super) fn is_unlisted(error: &Error) -> bool {
    let said = error.to_string();
    said.contains("alias not found") || said.contains("does not have alias")
}

/// Removes a name of a bucket.
///
/// Garage takes it out of the list of names, and then tells the bucket. What was cut
/// short in between is not in the list, and can't be removed before it is there again.
pub(super) async fn unalias(
    cx: &Context,
    cluster: &Cluster,
    id: &BucketId,
    alias: &Alias,
) -> Result<(), Failure> {
    let remove = async || cluster.call(cx, api::remove_alias(id, alias)).await;
    let answer = match remove().await {
        Err(Failure::Failed(error)) if is_unlisted(&error) => {
            cluster.call(cx, api::add_alias(id, alias)).await?;
            remove().await
        }
        answer => answer,
    };
    answer.map(drop)
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
