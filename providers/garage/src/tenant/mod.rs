//! The kind `garage_tenant`: a bucket, and a key for it alone.
//!
//! It is made of the kinds `garage_bucket` and `garage_key`, through what every kind
//! offers, and must not know how those do their work. What is its own is what the key
//! may do with the bucket.

mod inputs;
mod list;
mod parts;

use nixops4_provider_sdk::composite::{Composed, FactsOf, InputsOf, PriorsOf};
use nixops4_provider_sdk::{
    Composite, Context, DeletionPolicy, Fields as _, Found, Object, Prior, ResourceKind as _,
    Result, Step, Value,
};

use crate::api::{AccessKeyId, Permissions};
use crate::bucket::Bucket;
use crate::cluster::Cluster;
use crate::connection::Reach;
use crate::granting::set_permissions;

use inputs::{Identity, Inputs, Outputs, Permitted, PriorInputs, PriorOutputs};
use parts::{Key, Known};

/// A tenant as the cluster and the store have it.
type Facts = FactsOf<Tenant>;

/// Every key of the tenant that is in use, the newest first, and what it may do with the
/// bucket.
fn keys(facts: &Facts) -> impl Iterator<Item = (&AccessKeyId, Permissions)> {
    let bucket = facts.second.as_ref().map(|bucket| bucket.facts.id());
    let keys = facts.first.iter().flat_map(|key| key.facts.alive());
    keys.map(move |key| {
        let on = bucket.map(|bucket| key.more.on(bucket));
        (&key.id, on.unwrap_or(Permissions::NONE))
    })
}

/// Gives every key of the tenant what it is to have. Under the wanted name they are looked
/// for alone where they were not known by then.
#[derive(Debug, Clone)]
pub(crate) struct Permit(Known);

/// See [`Inputs`].
pub(crate) struct Tenant;

impl Composite for Tenant {
    const TYPE: &'static str = "garage_tenant";
    const DELETION_POLICY: DeletionPolicy = DeletionPolicy::Retain;
    const IDENTITY_INPUTS: &'static [&'static str] = &[
        "connection",
        "name",
        "bucket",
        "key",
        "globalAliases",
        "store",
        "secretName",
    ];
    const STABLE_OUTPUTS: &'static [&'static str] = &["bucketId", "region", "endpoint", "serverId"];
    const LISTS: bool = true;

    type First = Key;
    type Second = Bucket;
    type Link = Permit;

    type Reach = Reach;
    type Inputs = Inputs;
    type Outputs = Outputs;
    type Prior = Prior<PriorInputs, PriorOutputs>;
    type Identity = Identity;

    fn identity(inputs: &Inputs) -> Identity {
        parts::identity(inputs)
    }

    fn recorded_identity(prior: &Self::Prior) -> Result<Identity> {
        parts::recorded_identity(prior)
    }

    fn inputs(inputs: &Inputs) -> Result<InputsOf<Self>> {
        parts::wanted(inputs)
    }

    fn priors(prior: &Self::Prior) -> Result<PriorsOf<Self>> {
        parts::recorded(prior)
    }

    fn first_pointer(inputs: &Inputs, pointer: &str) -> String {
        match pointer {
            "" | "/name" if inputs.key.is_none() => "/name".to_owned(),
            "" | "/name" => "/key".to_owned(),
            pointer => pointer.to_owned(),
        }
    }

    fn second_pointer(inputs: &Inputs, pointer: &str) -> String {
        match pointer {
            "" | "/name" if inputs.bucket.is_none() => "/name".to_owned(),
            "" | "/name" => "/bucket".to_owned(),
            pointer => pointer.to_owned(),
        }
    }

    fn links(want: &Inputs, have: Option<&Facts>) -> Vec<Step<Permit>> {
        permissions(want, have).into_iter().collect()
    }

    async fn link(cx: &Context, inputs: &Inputs, Permit(known): Permit) -> Result<()> {
        permit(cx, inputs, known).await
    }

    fn outputs(inputs: &Inputs, facts: &Facts) -> Outputs {
        // Validation has read the same already.
        let wanted = parts::wanted(inputs).ok();
        let wanted = wanted.as_ref();
        let bucket = wanted
            .zip(facts.second.as_ref())
            .map(|(wanted, bucket)| Bucket::outputs(&wanted.second, &bucket.facts));
        let key = wanted
            .zip(facts.first.as_ref())
            .map(|(wanted, key)| Key::outputs(&wanted.first, &key.facts));
        let (mut outputs, bucket) = match (bucket, &key) {
            (Some(bucket), _) => (
                Outputs::at(bucket.s3_endpoint, bucket.region, bucket.server_id),
                Some((bucket.bucket, bucket.id, bucket.website_host)),
            ),
            (None, Some(key)) => {
                let (endpoint, region) = (key.s3_endpoint.clone(), key.region.clone());
                (Outputs::at(endpoint, region, key.server_id.clone()), None)
            }
            (None, None) => (Outputs::at(None, String::new(), String::new()), None),
        };
        if let Some((name, id, website_host)) = bucket {
            outputs.bucket = name;
            outputs.bucket_id = Some(id);
            outputs.website_host = website_host;
        }
        if let Some(key) = key {
            outputs.access_key_id = key.access_key_id;
            outputs.secret_key_ref = key.secret;
        }
        outputs
    }

    fn predict(inputs: &Inputs) -> Object {
        let Ok(wanted) = parts::wanted(inputs) else {
            return Object::new();
        };
        let mut of_bucket = Bucket::predict(&wanted.second);
        Object::new()
            .with_some("bucket", of_bucket.remove("bucket"))
            .with_some("endpoint", of_bucket.remove("s3Endpoint"))
    }

    async fn list(cx: &Context, reach: &Reach) -> Result<Vec<Found>> {
        list::list(cx, reach).await
    }
}

fn permissions(want: &Inputs, have: Option<&Facts>) -> Option<Step<Permit>> {
    let wanted = Permissions::from(want.permissions);
    let key = have.and_then(|have| have.first.as_ref());
    let bucket = have.and_then(|have| have.second.as_ref());
    let known = Known {
        bucket: bucket.map(|bucket| bucket.facts.id().clone()),
        secret: key.map(|key| key.facts.place.clone()),
    };
    let whole = bucket.is_some() && key.is_some();
    let mut has = have.into_iter().flat_map(keys).map(|(_, has)| has);
    let other = has.find(|has| *has != wanted);
    let before = match other {
        Some(has) => has,
        None if whole => return None,
        None => Permissions::NONE,
    };
    let before = Permitted {
        read: before.read,
        write: before.write,
        owner: before.owner,
    };
    Some(Step::set(
        "/permissions",
        Value::known(before),
        Value::known(want.permissions),
        Permit(known),
    ))
}

/// Gives every key of the tenant what it is to have, as both are now.
async fn permit(cx: &Context, inputs: &Inputs, known: Known) -> Result<()> {
    let prior = known.into_recorded(inputs);
    let Some(seen) = Composed::<Tenant>::observe(cx, inputs, Some(&prior)).await? else {
        return Ok(());
    };
    let Some(bucket) = &seen.facts.second else {
        return Ok(());
    };
    let cluster = Cluster::of(cx, &inputs.connection, None).await?;
    let doing = format!(
        "unable to set what the key of {:?} may do with its bucket",
        inputs.name.as_str()
    );
    for (key, before) in keys(&seen.facts) {
        let after = inputs.permissions.into();
        let place = (bucket.facts.id(), key);
        set_permissions(cx, &cluster, place, before, after, &doing)
            .await
            .map_err(|error| error.placed(of_permissions).at_unless_said("/permissions"))?;
    }
    Ok(())
}

/// Where a tenant has what is said of one of its keys.
fn of_permissions(pointer: &str) -> String {
    match pointer {
        "/accessKeyId" => "/permissions".to_owned(),
        other => other.to_owned(),
    }
}

impl Outputs {
    fn at(endpoint: Option<String>, region: String, server_id: String) -> Self {
        Self {
            endpoint,
            region,
            server_id,
            bucket: None,
            access_key_id: None,
            secret_key_ref: None,
            bucket_id: None,
            website_host: None,
        }
    }
}
