//! Each step from what is there to what is wanted, as requests.

use nixops4_provider_sdk::http::{Failure, Refusal};
use nixops4_provider_sdk::{Context, Error, Result, Retry};

use super::change::{Change, difference};
use super::facts;
use super::inputs::{Inputs, KeyPermissions, LocalAlias};
use crate::api::{self, Absent, AccessKeyId, Alias, BucketChange, BucketId};
use crate::bytes::Bytes;
use crate::cluster::{Cluster, says};
use crate::granting::{no_key, set_permissions};
use crate::name::BucketName;
use crate::owner_key;

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
                add_alias(cx, &cluster, &id, &alias, (pointer, &doing("add an alias"))).await?;
                cx.failpoint("bucket:alias-added");
            }
            for name in remove {
                let global_alias = BucketName::try_from(name).map_err(Error::new)?;
                let alias = Alias::Global { global_alias };
                unalias(cx, &cluster, &id, &alias, &doing("remove an alias")).await?;
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
                let doing = doing("add a local alias");
                add_alias(cx, &cluster, &id, &alias, (&pointer, &doing)).await?;
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
            let doing = doing("set the quotas");
            update(cx, &cluster, &id, &change, ("/quotas", &doing)).await
        }
        Change::Update {
            id,
            pointer,
            doing: what,
            change,
        } => update(cx, &cluster, &id, &change, (pointer, &doing(what))).await,
        Change::Together { id, parts } => {
            let change = api::update_bucket(&id, &together(&parts));
            match cluster
                .call(cx, change.doing(doing("set what it is like")))
                .await
            {
                Err(Failure::Refused(refusal)) if refusal.blames_request() => {}
                answer => return Ok(answer.map(drop)?),
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
    add_alias(cx, cluster, id, &alias, ("/name", &doing)).await?;
    cx.failpoint("bucket:renamed");
    Ok(())
}

/// Makes the bucket, marked, then gives it its names, then the rest.
async fn create(cx: &Context, cluster: &Cluster, inputs: &Inputs) -> Result<()> {
    let bucket = owner_key::create_bucket(cx, cluster, &cx.mark(), &inputs.name).await?;
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
    let doing = "unable to delete the bucket again";
    let reason = match cluster
        .find(cx, api::delete_bucket(id), Absent::Bucket, doing)
        .await
    {
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

/// Changes settings; that they are refused is said of the input.
async fn update(
    cx: &Context,
    cluster: &Cluster,
    id: &BucketId,
    change: &BucketChange,
    (pointer, doing): (&str, &str),
) -> Result<()> {
    let done = cluster.ask(cx, api::update_bucket(id, change), doing).await;
    done.map(drop).map_err(|error| match error.pointer() {
        Some(_) => error,
        None => error
            .at(pointer)
            .hint("change it to what Garage takes, then apply again"),
    })
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

/// Adds an alias; that another bucket has it is said of the input.
pub(super) async fn add_alias(
    cx: &Context,
    cluster: &Cluster,
    id: &BucketId,
    alias: &Alias,
    (pointer, doing): (&str, &str),
) -> Result<()> {
    match cluster
        .call(cx, api::add_alias(id, alias).doing(doing))
        .await
    {
        Ok(_) => Ok(()),
        Err(Failure::Refused(refusal)) if says(&refusal, "already exists") => {
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
            .because(refusal.words.message)
            .hint("choose another one, or take it off that bucket first"))
        }
        Err(Failure::Refused(refusal)) if Absent::Key.is_said_by(&refusal) => match alias {
            Alias::Local { access_key_id, .. } if pointer.starts_with("/localAliases") => {
                Err(no_key(access_key_id).within(pointer))
            }
            _ => Err(Error::input(pointer, doing).because(refusal.words.message)),
        },
        Err(failure) => Err(Error::from(failure).at_unless_said(pointer)),
    }
}

/// Whether an alias can't be removed because it isn't there, or is another bucket's.
pub(super) fn is_unlisted(refusal: &Refusal) -> bool {
    says(refusal, "alias not found") || says(refusal, "does not have alias")
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
    doing: &str,
) -> Result<(), Failure> {
    let remove = async || {
        cluster
            .call(cx, api::remove_alias(id, alias).doing(doing))
            .await
    };
    let answer = match remove().await {
        Err(Failure::Refused(refusal)) if is_unlisted(&refusal) => {
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
        cluster
            .ask(
                cx,
                api::remove_alias(id, &alias),
                "unable to remove a local alias",
            )
            .await?;
    }
    Ok(())
}
