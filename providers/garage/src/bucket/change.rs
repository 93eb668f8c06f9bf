//! How a bucket differs from what is wanted, and each step from one to the other.

use std::collections::BTreeSet;

use nixops4_provider_sdk::{Context, Effect, Error, Result, Step, Value};
use serde::Serialize;

use super::facts::{self, Facts};
use super::inputs::{Inputs, KeyPermissions, LocalAlias};
use crate::api::{
    self, Absent, AccessKeyId, Alias, BucketChange, BucketId, Permissions, WebsiteChange,
};
use crate::bytes::Bytes;
use crate::cluster::{Cluster, Failure};
use crate::granting::{held, on, precedes, set_permissions};
use crate::name::BucketName;
use crate::standin;
use crate::title::Title;

/// One step.
#[derive(Debug, Clone)]
pub(crate) enum Change {
    Create,
    /// Names for everybody.
    Aliases {
        id: BucketId,
        pointer: &'static str,
        add: Vec<BucketName>,
        remove: Vec<String>,
    },
    /// The name that the owner declares it by.
    Name {
        id: BucketId,
        key: AccessKeyId,
        has_it: bool,
        remove: Vec<String>,
    },
    /// Names for one key each.
    LocalAliases {
        id: BucketId,
        add: Vec<LocalAlias>,
        remove: Vec<(AccessKeyId, String)>,
    },
    /// What a key may do.
    Permissions {
        id: BucketId,
        key: AccessKeyId,
        before: Permissions,
        after: Permissions,
    },
    Quotas {
        id: BucketId,
        quotas: api::Quotas,
        objects: u64,
        bytes: u64,
    },
    /// Whatever Garage changes at once.
    Update {
        id: BucketId,
        doing: &'static str,
        change: Box<BucketChange>,
    },
}

/// The steps from what is there to what is wanted.
pub(super) fn difference(want: &Inputs, have: &Facts) -> Vec<Step<Change>> {
    let mut steps = Vec::new();
    steps.extend(aliases(want, have));
    // After the global ones: which of them was its name is known by this one.
    steps.extend(name(want, have));
    steps.extend(local_aliases(want, have));
    permissions(want, have, &mut steps);
    steps.extend(quotas(want, have));
    settings(want, have, &mut steps);
    steps
}

fn aliases(want: &Inputs, have: &Facts) -> Option<Step<Change>> {
    let wanted = want.wanted_aliases();
    let has: BTreeSet<_> = have
        .bucket
        .global_aliases
        .iter()
        .map(String::as_str)
        .collect();
    let is_wanted = |name: &&str| wanted.iter().any(|wanted| wanted.as_str() == *name);
    let add: Vec<_> = wanted
        .iter()
        .filter(|name| !has.contains(name.as_str()))
        .map(|name| (*name).clone())
        .collect();
    let listed = want.global_aliases.is_some();
    let remove: Vec<_> = has
        .iter()
        .filter(|name| !is_wanted(name))
        // Unlisted ones stay, but for what was its name until now.
        .filter(|name| listed || have.names.iter().any(|before| before == *name))
        .map(|name| (*name).to_owned())
        .collect();
    if add.is_empty() && remove.is_empty() {
        return None;
    }
    let after: BTreeSet<_> = has
        .iter()
        .copied()
        .filter(|name| !remove.iter().any(|gone| gone == name))
        .chain(add.iter().map(BucketName::as_str))
        .collect();
    let after = Value::known(after);
    let pointer = if listed { "/globalAliases" } else { "/name" };
    let effect = if remove.is_empty() {
        Effect::InPlace
    } else {
        Effect::Disruptive
    };
    let change = Change::Aliases {
        id: have.id().clone(),
        pointer,
        add,
        remove,
    };
    Some(Step::set(pointer, Value::known(&has), after, change).effect(effect))
}

fn name(want: &Inputs, have: &Facts) -> Option<Step<Change>> {
    let remove: Vec<_> = have
        .names
        .iter()
        .filter(|name| *name != want.name.as_str())
        .cloned()
        .collect();
    let has_it = have.names.len() > remove.len();
    // It is declared by nobody yet: whoever adopts it does that.
    let before = remove.first()?.clone();
    let key = have
        .claims
        .iter()
        .find(|claim| claim.names.contains(&before))?
        .key
        .clone();
    let change = Change::Name {
        id: have.id().clone(),
        key,
        has_it,
        remove,
    };
    let after = want.name.as_str();
    Some(Step::set(
        "/name",
        Value::known(before),
        Value::known(after),
        change,
    ))
}

fn local_aliases(want: &Inputs, have: &Facts) -> Option<Step<Change>> {
    let wanted = want.local_aliases.as_ref()?;
    let is_mark = |key: &AccessKeyId| have.claims.iter().any(|claim| claim.key == *key);
    let has: Vec<_> = have
        .bucket
        .keys
        .iter()
        .filter(|key| !is_mark(&key.access_key_id))
        .flat_map(|key| {
            let aliases = key.bucket_local_aliases.iter();
            aliases.map(|alias| (key.access_key_id.clone(), alias.clone()))
        })
        .collect();
    let same = |one: &LocalAlias, (key, alias): &(AccessKeyId, String)| {
        one.access_key_id == *key && one.alias.as_str() == alias
    };
    let add: Vec<_> = wanted
        .iter()
        .filter(|wanted| !has.iter().any(|has| same(wanted, has)))
        .cloned()
        .collect();
    let remove: Vec<_> = has
        .iter()
        .filter(|has| !wanted.iter().any(|wanted| same(wanted, has)))
        .cloned()
        .collect();
    if add.is_empty() && remove.is_empty() {
        return None;
    }
    let before: BTreeSet<_> = has
        .iter()
        .map(|(key, alias)| format!("{key} {alias}"))
        .collect();
    let after: BTreeSet<_> = wanted
        .iter()
        .map(|wanted| format!("{} {}", wanted.access_key_id, wanted.alias))
        .collect();
    let change = Change::LocalAliases {
        id: have.id().clone(),
        add,
        remove,
    };
    Some(Step::set(
        "/localAliases",
        Value::known(before),
        Value::known(after),
        change,
    ))
}

fn permissions(want: &Inputs, have: &Facts, steps: &mut Vec<Step<Change>>) {
    let Some(wanted) = &want.keys else {
        return;
    };
    for (number, key) in wanted.iter().enumerate() {
        let (before, after) = (held(&have.bucket, &key.access_key_id), key.permissions());
        let path = format!("/keys/{number}");
        steps.extend(permission(have, &path, &key.access_key_id, before, after));
    }
    for key in &have.bucket.keys {
        let id = &key.access_key_id;
        if !wanted.iter().any(|wanted| wanted.access_key_id == *id) {
            let before = key.permissions;
            let newer = newer(wanted, have, key).filter(|_| !before.is_none());
            let after = newer.map_or(Permissions::NONE, KeyPermissions::permissions);
            steps.extend(permission(have, "/keys", id, before, after));
        }
    }
}

/// The key that has taken the place of this one, which is still in use.
fn newer<'a>(
    wanted: &'a [KeyPermissions],
    have: &Facts,
    key: &api::KeyOnBucket,
) -> Option<&'a KeyPermissions> {
    let title = Title::read(&key.name);
    wanted.iter().find(|wanted| {
        let newer = on(&have.bucket, &wanted.access_key_id);
        newer.is_some_and(|newer| precedes(&title, &Title::read(&newer.name)))
    })
}

fn permission(
    have: &Facts,
    path: &str,
    key: &AccessKeyId,
    before: Permissions,
    after: Permissions,
) -> Option<Step<Change>> {
    let shown = |permissions: Permissions| {
        Value::known(KeyPermissions {
            access_key_id: key.clone(),
            read: permissions.read,
            write: permissions.write,
            owner: permissions.owner,
        })
    };
    (before != after).then(|| {
        let change = Change::Permissions {
            id: have.id().clone(),
            key: key.clone(),
            before,
            after,
        };
        Step::set(path, shown(before), shown(after), change)
    })
}

fn quotas(want: &Inputs, have: &Facts) -> Option<Step<Change>> {
    let wanted = api::Quotas {
        max_size: want.quotas.max_size.map(|size| size.0),
        max_objects: want.quotas.max_objects,
    };
    let bucket = &have.bucket;
    let shown = |quotas: api::Quotas| {
        #[derive(Serialize)]
        #[serde(rename_all = "camelCase")]
        struct Shown {
            max_size: Option<String>,
            max_objects: Option<u64>,
        }
        Value::known(Shown {
            max_size: quotas.max_size.map(|size| Bytes(size).to_string()),
            max_objects: quotas.max_objects,
        })
    };
    (bucket.quotas != wanted).then(|| {
        let change = Change::Quotas {
            id: bucket.id.clone(),
            quotas: wanted,
            objects: bucket.objects,
            bytes: bucket.bytes,
        };
        Step::set("/quotas", shown(bucket.quotas), shown(wanted), change)
    })
}

fn settings(want: &Inputs, have: &Facts, steps: &mut Vec<Step<Change>>) {
    let id = have.id();
    let bucket = &have.bucket;
    let update = |doing, change| Change::Update {
        id: id.clone(),
        doing,
        change: Box::new(change),
    };
    let wanted = want.website.as_ref().map(|website| api::WebsiteConfig {
        index_document: website.index_document.clone(),
        error_document: website.error_document.clone(),
    });
    let has = bucket
        .website_config
        .as_ref()
        .filter(|_| bucket.website_access);
    steps.extend(Step::unless_same(
        "/website",
        has,
        wanted.as_ref(),
        update("set the website", website(wanted.as_ref())),
    ));
    let wanted: Vec<_> = want
        .cors_rules
        .iter()
        .map(super::rules::CorsRule::to_garage)
        .collect();
    let change = BucketChange {
        cors_rules: Some(wanted.clone()),
        ..BucketChange::default()
    };
    steps.extend(Step::unless_same(
        "/corsRules",
        bucket.cors_rules.clone().unwrap_or_default(),
        wanted,
        update("set the rules of CORS", change),
    ));
    let wanted: Vec<_> = want
        .lifecycle_rules
        .iter()
        .map(super::rules::LifecycleRule::to_garage)
        .collect();
    let change = BucketChange {
        lifecycle_rules: Some(wanted.clone()),
        ..BucketChange::default()
    };
    steps.extend(Step::unless_same(
        "/lifecycleRules",
        bucket.lifecycle_rules.clone().unwrap_or_default(),
        wanted,
        update("set the rules of the lifecycle", change),
    ));
}

fn website(wanted: Option<&api::WebsiteConfig>) -> BucketChange {
    let change = WebsiteChange {
        enabled: wanted.is_some(),
        index_document: wanted.map(|website| website.index_document.clone()),
        error_document: wanted.and_then(|website| website.error_document.clone()),
    };
    BucketChange {
        website_access: Some(change),
        ..BucketChange::default()
    }
}

/// What switches a website off.
pub(super) fn website_off() -> BucketChange {
    website(None)
}

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
                .map_err(|error| error.at("/keys"))
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
                let answer = cluster.call(cx, api::delete_bucket(&id)).await;
                cluster.found(answer, Absent::Bucket, "unable to delete the bucket again")?;
            }
            return Err(error);
        }
        if number == 0 {
            cx.failpoint("bucket:named");
        }
    }
    Ok(())
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
