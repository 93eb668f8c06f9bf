//! The kind `garage_bucket`.

mod change;
mod emptying;
mod facts;
mod inputs;
mod rules;
mod steps;

use nixops4_provider_sdk::{
    Context, DeletionPolicy, Error, Found, Mark, Object, Observed, Ownership, Prior, ResourceKind,
    Result, Step,
};

use crate::api::{self, Absent, Alias};
use crate::cluster::{Cluster, Failure};
use crate::granting::deny;
use crate::{ownership, standin};

pub(crate) use change::Change;
pub(crate) use facts::{Facts, marked};
pub(crate) use inputs::{Identity, Inputs, Outputs, PriorInputs, PriorOutputs, Quotas, Website};
pub(crate) use rules::{CorsRule, LifecycleRule};

/// See [`Inputs`].
pub(crate) struct Bucket;

impl ResourceKind for Bucket {
    const TYPE: &'static str = "garage_bucket";
    const DELETION_POLICY: DeletionPolicy = DeletionPolicy::Retain;
    const LOCATED_BY: &'static [&'static str] = &["connection", "name", "globalAliases"];
    const LASTING: &'static [&'static str] = &["id", "region", "s3Endpoint", "systemIdentifier"];
    const FLUCTUATING: &'static [&'static str] = &["objects", "bytes"];
    const LISTS: bool = true;

    type Inputs = Inputs;
    type Outputs = Outputs;
    type Prior = Prior<PriorInputs, PriorOutputs>;
    type Identity = Identity;
    type Facts = Facts;
    type Change = Change;

    fn validate(inputs: &Inputs) -> Result<()> {
        inputs.validate()
    }

    fn identity(inputs: &Inputs) -> Identity {
        Identity {
            server: inputs.connection.to_string(),
            bucket: inputs.name.clone(),
        }
    }

    fn recorded_identity(prior: &Self::Prior) -> Result<Identity> {
        Ok(Identity {
            server: prior.inputs.connection.to_string(),
            bucket: prior.inputs.name.clone(),
        })
    }

    fn diff(want: &Inputs, have: Option<&Facts>) -> Vec<Step<Change>> {
        match have {
            None => vec![Step::create(Change::Create)],
            Some(have) => change::difference(want, have),
        }
    }

    fn outputs(inputs: &Inputs, facts: &Facts) -> Outputs {
        facts.outputs(inputs)
    }

    fn predict(inputs: &Inputs) -> Object {
        let mut outputs = Object::new();
        if inputs.wanted_aliases().contains(&inputs.name) {
            outputs.insert("bucket".to_owned(), inputs.name.as_str().into());
        }
        if let Some(endpoint) = &inputs.connection.s3_endpoint {
            outputs.insert("s3Endpoint".to_owned(), endpoint.to_string().into());
        }
        outputs
    }

    async fn observe(
        cx: &Context,
        inputs: &Inputs,
        prior: Option<&Self::Prior>,
    ) -> Result<Option<Observed<Facts>>> {
        let node = prior.and_then(|prior| prior.outputs.system_identifier.as_deref());
        let cluster = Cluster::of(cx, &inputs.connection, node).await?;
        if inputs.empty_on_delete {
            // Whoever destroys it may not have the expression any more.
            emptying::endpoint(&cluster)?;
        }
        let id = prior.and_then(|prior| prior.outputs.id.as_ref());
        let found = match facts::by_id(cx, &cluster, id).await? {
            None => facts::by_name(cx, &cluster, inputs).await?,
            found => found,
        };
        let Some(mut bucket) = found else {
            return Ok(None);
        };
        let recorded = prior.map(|prior| &prior.inputs);
        let losing = inputs.losing(recorded);
        facts::add_hidden(cx, &cluster, &mut bucket, losing).await?;
        let mut seen = facts::observed(cx, &cluster, node, bucket);
        if id == Some(seen.facts.id()) && seen.facts.is_half_deleted() {
            // It is given its names again, as if it had been out of service.
            seen.ownership = Ownership::Marked(cx.mark().retained_now());
        }
        Ok(Some(seen))
    }

    async fn apply(cx: &Context, inputs: &Inputs, change: Change) -> Result<()> {
        steps::apply(cx, inputs, change).await
    }

    /// Others' claims go last: until then the bucket is theirs.
    async fn write_mark(cx: &Context, inputs: &Inputs, facts: &Facts, mark: &Mark) -> Result<()> {
        let cluster = Cluster::of(cx, &inputs.connection, None).await?;
        let doing = format!("unable to mark {}", facts.described());
        let (ours, others): (Vec<_>, Vec<_>) = facts
            .claims
            .iter()
            .partition(|claim| claim.mark.is_of_same(mark));
        if ours.iter().all(|claim| claim.names.is_empty()) {
            let alias = Alias::Local {
                local_alias: inputs.name.clone(),
                access_key_id: standin::any(cx, &cluster, mark).await?,
            };
            let answer = cluster.call(cx, api::add_alias(facts.id(), &alias)).await;
            steps::alias_added(&cluster, answer, &alias, "/name", &doing)?;
            cx.failpoint("bucket:claimed");
        }
        for claim in ours {
            steps::remove_local(cx, &cluster, facts.id(), &claim.key, claim.retained.iter())
                .await?;
        }
        for claim in others {
            let aliases = claim.names.iter().chain(&claim.retained);
            steps::remove_local(cx, &cluster, facts.id(), &claim.key, aliases).await?;
        }
        Ok(())
    }

    async fn observe_recorded(
        cx: &Context,
        prior: &Self::Prior,
    ) -> Result<Option<Observed<Facts>>> {
        let node = prior.outputs.system_identifier.as_deref();
        let cluster = Cluster::of(cx, &prior.inputs.connection, node).await?;
        let id = prior.outputs.id.as_ref();
        let found = facts::recorded(cx, &cluster, id, &prior.inputs.name).await?;
        Ok(found.map(|bucket| {
            let mut seen = facts::observed(cx, &cluster, node, bucket);
            if id == Some(seen.facts.id()) && seen.facts.is_half_deleted() {
                seen.ownership = Ownership::Marked(cx.mark());
            }
            seen
        }))
    }

    async fn delete(cx: &Context, prior: &Self::Prior, facts: &Facts) -> Result<()> {
        let cluster = Cluster::of(cx, &prior.inputs.connection, None).await?;
        emptying::tidy(cx, &cluster, facts).await?;
        // Garage passes over uploads that nobody finished, and keeps their parts for ever.
        let half = facts.bucket.unfinished_uploads > 0;
        let is_empty = facts.bucket.objects == 0;
        if !half && deleted(cx, &cluster, facts, is_empty).await? {
            return Ok(());
        }
        if !prior.inputs.empty_on_delete {
            return Err(facts::not_empty(facts));
        }
        emptying::empty(cx, &cluster, facts).await?;
        cx.failpoint("bucket:emptied");
        if deleted(cx, &cluster, facts, true).await? {
            return Ok(());
        }
        Err(facts::still_not_empty(facts))
    }

    async fn retain(cx: &Context, prior: &Self::Prior, facts: &Facts, mark: &Mark) -> Result<()> {
        let cluster = Cluster::of(cx, &prior.inputs.connection, None).await?;
        let doing = format!("unable to take {} out of service", facts.described());
        if facts.is_half_deleted() && facts.claims.is_empty() {
            return deleted(cx, &cluster, facts, true).await.map(drop);
        }
        let mut bucket = facts.bucket.clone();
        let recorded = prior.inputs.keys.iter().flatten();
        let recorded = recorded.map(|key| &key.access_key_id);
        facts::add_hidden(cx, &cluster, &mut bucket, recorded).await?;
        for key in &bucket.keys {
            if !key.permissions.is_none() {
                let place = (facts.id(), &key.access_key_id);
                deny(cx, &cluster, place, key.permissions, &doing).await?;
            }
        }
        cx.failpoint("bucket:locked");
        if facts.bucket.website_access {
            let answer = cluster
                .call(cx, api::update_bucket(facts.id(), &change::website_off()))
                .await;
            cluster.done(answer, &doing)?;
        }
        cx.failpoint("bucket:unpublished");
        let since = mark
            .retained_since
            .unwrap_or(time::OffsetDateTime::UNIX_EPOCH);
        let claim = facts
            .claims
            .iter()
            .find(|claim| claim.mark.is_of_same(mark));
        let (Some(local_alias), Some(claim)) =
            (ownership::retained_alias(&facts.bucket, since), claim)
        else {
            return Err(Error::new(doing).because("its mark can't be written"));
        };
        let alias = Alias::Local {
            local_alias,
            access_key_id: claim.key.clone(),
        };
        let answer = cluster.call(cx, api::add_alias(facts.id(), &alias)).await;
        cluster.done(answer, &doing).map(|_| ())
    }

    async fn list(cx: &Context, inputs: &Inputs) -> Result<Vec<Found>> {
        let cluster = Cluster::of(cx, &inputs.connection, None).await?;
        let found = marked(cx, &cluster).await?.into_iter().map(|marked| {
            let identity = Identity {
                server: inputs.connection.to_string(),
                bucket: marked.name.clone(),
            };
            Found {
                identity: serde_json::to_value(identity).unwrap_or_default(),
                facts: marked.facts(),
                mark: marked.mark,
            }
        });
        Ok(found.collect())
    }
}

/// Whether an alias that could not be taken off is no reason to stop.
fn may_go_on(error: &Error) -> bool {
    error.pointer() == Some("/connection/token") || steps::is_unlisted(error)
}

/// Deletes the bucket unless there is an object in it.
///
/// Garage takes its names off first, one by one. Cut short in between, one of others
/// would be left to a bucket that isn't marked any more: so those go before, if it
/// `seems_empty`.
async fn deleted(
    cx: &Context,
    cluster: &Cluster,
    facts: &Facts,
    seems_empty: bool,
) -> Result<bool> {
    let doing = format!("unable to delete {}", facts.described());
    let mut taken = Vec::new();
    if seems_empty {
        for alias in facts.aliases()? {
            match steps::unalias(cx, cluster, facts.id(), &alias).await {
                Ok(()) => taken.push(alias),
                // With a token that may only delete, and where somebody is quicker,
                // Garage itself takes what is left.
                Err(Failure::Failed(error)) if !may_go_on(&error) => return Err(error),
                Err(_) => {}
            }
            cx.failpoint("bucket:alias-taken");
        }
    }
    match cluster.call(cx, api::delete_bucket(facts.id())).await {
        Err(Failure::Refused(refusal)) if refusal.is("BucketNotEmpty") => {
            for alias in &taken {
                let answer = cluster.call(cx, api::add_alias(facts.id(), alias)).await;
                cluster.done(answer, &doing)?;
            }
            Ok(false)
        }
        answer => cluster.found(answer, Absent::Bucket, &doing).map(|_| true),
    }
}

#[cfg(test)]
mod tests;
