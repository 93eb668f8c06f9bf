//! How a bucket differs from what is wanted, step by step. Nothing here reaches a
//! server.

use std::collections::BTreeSet;

use nixops4_provider_sdk::{Effect, Step, Value};
use serde::Serialize;

use super::facts::Facts;
use super::inputs::{Inputs, KeyPermissions, LocalAlias};
use crate::api::{self, AccessKeyId, BucketChange, BucketId, Permissions, WebsiteChange};
use crate::bytes::Bytes;
use crate::granting::{held, on, precedes};
use crate::name::BucketName;
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
        pointer: &'static str,
        doing: &'static str,
        change: Box<BucketChange>,
    },
    /// Quotas and updates of a bucket with nothing in it.
    Together {
        id: BucketId,
        parts: Vec<Change>,
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
    let declared = want.quotas.unwrap_or_default();
    let wanted = api::Quotas {
        max_size: declared.max_size.map(|size| size.0),
        max_objects: declared.max_objects,
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
    let update = |pointer, doing, change| Change::Update {
        id: id.clone(),
        pointer,
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
        update("/website", "set the website", website(wanted.as_ref())),
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
        update("/corsRules", "set the rules of CORS", change),
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
        update("/lifecycleRules", "set the rules of the lifecycle", change),
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
