//! The kind `garage_tenant`: a bucket, and a key for it alone.
//!
//! It is made of the kinds `garage_bucket` and `garage_key`, through what every kind
//! offers, and must not know how those do their work. What is its own is what the key
//! may do with the bucket.

mod inputs;
mod list;
mod parts;

use nixops4_provider_sdk::pair::{self, Moment, Part};
use nixops4_provider_sdk::{
    Context, DeletionPolicy, Error, Found, Mark, Object, Observed, Prior, ResourceKind, Result,
    Step, Value,
};

use crate::api::{AccessKeyId, Permissions};
use crate::bucket::{self, Bucket};
use crate::cluster::Cluster;
use crate::credential;
use crate::granting::set_permissions;
use crate::key;

use inputs::{Identity, Inputs, Outputs, Permitted, PriorInputs, PriorOutputs};
use parts::{Key, Known, Parts};

/// A tenant as the cluster and the store have it; one of the two may be missing.
pub(crate) struct Facts {
    bucket: Option<Part<bucket::Facts>>,
    key: Option<Part<credential::Facts<key::Key>>>,
}

impl Facts {
    /// Every key of the tenant that is in use, the newest first, and what it may do
    /// with the bucket.
    fn keys(&self) -> impl Iterator<Item = (&AccessKeyId, Permissions)> {
        let bucket = self.bucket.as_ref().map(|bucket| bucket.facts.id());
        let keys = self.key.iter().flat_map(|key| key.facts.alive());
        keys.map(move |key| {
            let on = bucket.map(|bucket| key.more.on(bucket));
            (&key.id, on.unwrap_or(Permissions::NONE))
        })
    }
}

/// One step.
#[derive(Debug, Clone)]
pub(crate) enum Change {
    Create,
    Bucket(bucket::Change),
    Key(credential::Change),
    /// Gives every key of the tenant what it is to have. Under the wanted name they
    /// are looked for alone where they were not known by then.
    Permit(Known),
}

/// See [`Inputs`].
pub(crate) struct Tenant;

impl ResourceKind for Tenant {
    const TYPE: &'static str = "garage_tenant";
    const DELETION_POLICY: DeletionPolicy = DeletionPolicy::Retain;
    const LOCATED_BY: &'static [&'static str] = &[
        "connection",
        "name",
        "bucket",
        "key",
        "globalAliases",
        "store",
        "secretName",
    ];
    const LASTING: &'static [&'static str] =
        &["bucketId", "region", "endpoint", "systemIdentifier"];
    const LISTS: bool = true;

    type Inputs = Inputs;
    type Outputs = Outputs;
    type Prior = Prior<PriorInputs, PriorOutputs>;
    type Identity = Identity;
    type Facts = Facts;
    type Change = Change;

    fn validate(inputs: &Inputs) -> Result<()> {
        let parts = Parts::wanted(inputs)?;
        Key::validate(&parts.key).map_err(|error| of_key(error, inputs))?;
        Bucket::validate(&parts.bucket).map_err(|error| of_bucket(error, inputs))
    }

    fn identity(inputs: &Inputs) -> Identity {
        parts::identity(inputs)
    }

    fn recorded_identity(prior: &Self::Prior) -> Result<Identity> {
        parts::recorded_identity(prior)
    }

    fn diff(want: &Inputs, have: Option<&Facts>) -> Vec<Step<Change>> {
        match have {
            None => vec![Step::create(Change::Create)],
            Some(have) => difference(want, have),
        }
    }

    fn outputs(inputs: &Inputs, facts: &Facts) -> Outputs {
        // Validation has read the same already.
        let parts = Parts::wanted(inputs).ok();
        let parts = parts.as_ref();
        let bucket = parts
            .zip(facts.bucket.as_ref())
            .map(|(parts, bucket)| Bucket::outputs(&parts.bucket, &bucket.facts));
        let key = parts
            .zip(facts.key.as_ref())
            .map(|(parts, key)| Key::outputs(&parts.key, &key.facts));
        let (mut outputs, bucket) = match (bucket, &key) {
            (Some(bucket), _) => (
                Outputs::at(bucket.s3_endpoint, bucket.region, bucket.system_identifier),
                Some((bucket.bucket, bucket.id, bucket.website_host)),
            ),
            (None, Some(key)) => {
                let (endpoint, region) = (key.s3_endpoint.clone(), key.region.clone());
                (
                    Outputs::at(endpoint, region, key.system_identifier.clone()),
                    None,
                )
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
        let Ok(parts) = Parts::wanted(inputs) else {
            return Object::new();
        };
        let mut outputs = Object::new();
        for (name, value) in Bucket::predict(&parts.bucket) {
            match name.as_str() {
                "bucket" => outputs.insert(name, value),
                "s3Endpoint" => outputs.insert("endpoint".to_owned(), value),
                _ => None,
            };
        }
        outputs
    }

    async fn observe(
        cx: &Context,
        inputs: &Inputs,
        prior: Option<&Self::Prior>,
    ) -> Result<Option<Observed<Facts>>> {
        let parts = Parts::wanted(inputs)?;
        let of_key_prior = prior.map(parts::prior_of_key).transpose()?;
        let key = Key::observe(cx, &parts.key, of_key_prior.as_ref()).await;
        let key = key.map_err(|error| of_key(error, inputs))?;
        let of_bucket_prior = prior.map(parts::prior_of_bucket);
        let bucket = Bucket::observe(cx, &parts.bucket, of_bucket_prior.as_ref()).await;
        let bucket = bucket.map_err(|error| of_bucket(error, inputs))?;
        Ok(put_together(cx, bucket, key, Moment::Declared))
    }

    async fn apply(cx: &Context, inputs: &Inputs, change: Change) -> Result<()> {
        let parts = Parts::wanted(inputs)?;
        match change {
            Change::Create => {
                for step in Key::diff(&parts.key, None) {
                    apply_to_key(cx, inputs, &parts, step.change).await?;
                }
                cx.failpoint("tenant:key");
                for step in Bucket::diff(&parts.bucket, None) {
                    apply_to_bucket(cx, inputs, &parts, step.change).await?;
                }
                cx.failpoint("tenant:bucket");
                permit(cx, inputs, Known::default()).await
            }
            Change::Bucket(change) => apply_to_bucket(cx, inputs, &parts, change).await,
            Change::Key(change) => apply_to_key(cx, inputs, &parts, change).await,
            Change::Permit(known) => permit(cx, inputs, known).await,
        }
    }

    async fn write_mark(cx: &Context, inputs: &Inputs, facts: &Facts, mark: &Mark) -> Result<()> {
        let parts = Parts::wanted(inputs)?;
        if let Some(key) = &facts.key {
            Key::write_mark(cx, &parts.key, &key.facts, mark).await?;
        }
        cx.failpoint("tenant:key-marked");
        if let Some(bucket) = &facts.bucket {
            Bucket::write_mark(cx, &parts.bucket, &bucket.facts, mark).await?;
        }
        Ok(())
    }

    async fn observe_recorded(
        cx: &Context,
        prior: &Self::Prior,
    ) -> Result<Option<Observed<Facts>>> {
        let key = Key::observe_recorded(cx, &parts::prior_of_key(prior)?).await?;
        let bucket = Bucket::observe_recorded(cx, &parts::prior_of_bucket(prior)).await?;
        Ok(put_together(cx, bucket, key, Moment::Destroyed))
    }

    async fn delete(cx: &Context, prior: &Self::Prior, facts: &Facts) -> Result<()> {
        // The bucket first: what refuses to go, because there is something in it,
        // keeps its key.
        if let Some(bucket) = &facts.bucket {
            Bucket::delete(cx, &parts::prior_of_bucket(prior), &bucket.facts).await?;
            cx.failpoint("tenant:bucket-deleted");
        }
        match &facts.key {
            Some(key) => Key::delete(cx, &parts::prior_of_key(prior)?, &key.facts).await,
            None => Ok(()),
        }
    }

    async fn retain(cx: &Context, prior: &Self::Prior, facts: &Facts, mark: &Mark) -> Result<()> {
        if let Some(key) = facts.key.as_ref().filter(|key| !key.is_retained) {
            Key::retain(cx, &parts::prior_of_key(prior)?, &key.facts, mark).await?;
            cx.failpoint("tenant:key-retained");
        }
        if let Some(bucket) = facts.bucket.as_ref().filter(|bucket| !bucket.is_retained) {
            Bucket::retain(cx, &parts::prior_of_bucket(prior), &bucket.facts, mark).await?;
        }
        Ok(())
    }

    async fn list(cx: &Context, inputs: &Inputs) -> Result<Vec<Found>> {
        list::list(cx, inputs).await
    }
}

fn difference(want: &Inputs, have: &Facts) -> Vec<Step<Change>> {
    // Validation has read the same already.
    let Ok(parts) = Parts::wanted(want) else {
        return Vec::new();
    };
    let key = have.key.as_ref().map(|key| &key.facts);
    let mut steps: Vec<_> = Key::diff(&parts.key, key)
        .into_iter()
        .map(|step| step.of_whole(|path| key_path(path, want), Change::Key))
        .collect();
    let bucket = have.bucket.as_ref().map(|bucket| &bucket.facts);
    steps.extend(
        Bucket::diff(&parts.bucket, bucket)
            .into_iter()
            .map(|step| step.of_whole(|path| bucket_path(path, want), Change::Bucket)),
    );
    // Last: it is about both.
    steps.extend(permissions(want, have));
    steps
}

fn permissions(want: &Inputs, have: &Facts) -> Option<Step<Change>> {
    let wanted = Permissions::from(want.permissions);
    let known = Known {
        bucket: have.bucket.as_ref().map(|bucket| bucket.facts.id().clone()),
        secret: have.key.as_ref().map(|key| key.facts.place.clone()),
    };
    let whole = have.bucket.is_some() && have.key.is_some();
    let mut has = have.keys().map(|(_, has)| has);
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
        Change::Permit(known),
    ))
}

/// Gives every key of the tenant what it is to have, as both are now.
async fn permit(cx: &Context, inputs: &Inputs, known: Known) -> Result<()> {
    let prior = known.into_recorded(inputs);
    let Some(seen) = Tenant::observe(cx, inputs, Some(&prior)).await? else {
        return Ok(());
    };
    let Some(bucket) = &seen.facts.bucket else {
        return Ok(());
    };
    let cluster = Cluster::of(cx, &inputs.connection, None).await?;
    let doing = format!(
        "unable to set what the key of {:?} may do with its bucket",
        inputs.name.as_str()
    );
    for (key, before) in seen.facts.keys() {
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
    fn at(endpoint: Option<String>, region: String, system_identifier: String) -> Self {
        Self {
            endpoint,
            region,
            system_identifier,
            bucket: None,
            access_key_id: None,
            secret_key_ref: None,
            bucket_id: None,
            website_host: None,
        }
    }
}

/// Where a tenant has what a key has at `path`.
fn key_path(path: &str, inputs: &Inputs) -> String {
    match path {
        "" | "/name" if inputs.key.is_none() => "/name".to_owned(),
        "" | "/name" => "/key".to_owned(),
        path => path.to_owned(),
    }
}

/// Where a tenant has what a bucket has at `path`.
fn bucket_path(path: &str, inputs: &Inputs) -> String {
    match path {
        "" | "/name" if inputs.bucket.is_none() => "/name".to_owned(),
        "" | "/name" => "/bucket".to_owned(),
        path => path.to_owned(),
    }
}

fn of_key(error: Error, inputs: &Inputs) -> Error {
    error.placed(|pointer| key_path(pointer, inputs))
}

fn of_bucket(error: Error, inputs: &Inputs) -> Error {
    error.placed(|pointer| bucket_path(pointer, inputs))
}

/// `None` where neither is there.
fn put_together(
    cx: &Context,
    bucket: Option<Observed<bucket::Facts>>,
    key: Option<Observed<credential::Facts<key::Key>>>,
    moment: Moment,
) -> Option<Observed<Facts>> {
    let (bucket, key, ownership) = pair::put_together(bucket, key, &cx.mark(), moment)?;
    let facts = Facts { bucket, key };
    Some(Observed { facts, ownership })
}

async fn apply_to_key(
    cx: &Context,
    inputs: &Inputs,
    parts: &Parts,
    change: credential::Change,
) -> Result<()> {
    Key::apply(cx, &parts.key, change)
        .await
        .map_err(|error| of_key(error, inputs))
}

async fn apply_to_bucket(
    cx: &Context,
    inputs: &Inputs,
    parts: &Parts,
    change: bucket::Change,
) -> Result<()> {
    Bucket::apply(cx, &parts.bucket, change)
        .await
        .map_err(|error| of_bucket(error, inputs))
}
