//! The kind `garage_key`.

mod copying;
mod pair;

use nixops4_provider_sdk::secret::StoredSecret;
use nixops4_provider_sdk::{Context, Error, ExposeSecret as _, Result, SecretRef, SecretString};
use nixops4_provider_sdk::{Step, Value};
use nixops4_secrets_store::Generation;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::api::{
    self, Absent, AccessKeyId, BucketId, BucketOfKey, KeyChange, KeyPermissions, Permissions,
};
use crate::cluster::Cluster;
use crate::credential::{
    Credential, Expiry, Facts, Making, Remote, Stage, What, credential_inputs, refused,
};
use crate::granting::held_by;
use crate::moment::Moment;
use crate::title::{Name, Title};

credential_inputs!(
    /// An access key for S3. Its secret key is made here once for each generation and
    /// goes straight into a secrets store; it is given to others by reference.
    ///
    /// What it may do with buckets is said there, or by resources of the kind
    /// `permission`. The key of a new generation may do what the one before may, and
    /// has the same names for buckets.
    struct Inputs {
        /// Whether it may create buckets over S3. They are nobody's here.
        #[serde(default)]
        pub(crate) create_buckets: bool,
        /// A key that exists: one of this cluster, which is taken over with all that it
        /// may do (see `adopt`), or a pair that is known from elsewhere, such as from
        /// another cluster. It is of meaning while the store has no value. Unset: a
        /// pair is made.
        #[serde(default)]
        pub(crate) import: Option<Import>,
    }
);

/// A key that exists.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Import {
    /// Its id.
    pub(crate) access_key_id: AccessKeyId,
    /// Its secret key, by reference. Unset: what the cluster has, which has to have
    /// the key.
    #[serde(default)]
    pub(crate) secret_access_key: Option<SecretRef>,
}

/// What an expression can read of a key.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Outputs {
    /// Id of the key in use.
    pub(crate) access_key_id: Option<AccessKeyId>,
    /// The reference to its secret key, to give to other resources; null of a key
    /// that isn't managed yet.
    pub(crate) secret: Option<StoredSecret>,
    /// Id of the key before, while it is kept.
    pub(crate) previous_access_key_id: Option<AccessKeyId>,
    /// The reference to the secret key before, while it is kept.
    pub(crate) previous: Option<StoredSecret>,
    /// Ids of all keys that are in use, the newest first.
    pub(crate) access_key_ids: Vec<AccessKeyId>,
    /// Its name.
    pub(crate) name: String,
    /// When it ends; null: never.
    pub(crate) expiration: Option<Moment>,
    /// Where S3 is reached: `connection.s3Endpoint`, or what the node's
    /// configuration says; null if neither does.
    pub(crate) s3_endpoint: Option<String>,
    /// Region to give to clients of S3.
    pub(crate) region: String,
    /// Id of a node of the cluster, by which the cluster is recognised.
    pub(crate) system_identifier: String,
}

/// See [`Inputs`].
#[derive(Debug)]
pub(crate) struct Key;

impl Credential for Key {
    const TYPE: &'static str = "garage_key";
    const LOCATED_BY: &'static [&'static str] = &[
        "connection",
        "name",
        "store",
        "secretName",
        "generation",
        "import",
    ];
    const LASTING: &'static [&'static str] = &["region", "s3Endpoint", "systemIdentifier"];
    const CALLED: &'static str = "key";
    const SECRETS: &'static str = "garage";
    const STORED_FIRST: bool = true;
    const UNREADABLE: Option<&'static str> = None;

    type Id = AccessKeyId;
    type More = Abilities;
    type Inputs = Inputs;
    type Outputs = Outputs;

    fn validate(_: &Inputs) -> Result<()> {
        Ok(())
    }

    fn given(inputs: &Inputs) -> Option<&AccessKeyId> {
        inputs.import.as_ref().map(|import| &import.access_key_id)
    }

    fn difference(want: &Inputs, have: &Facts<Self>) -> Vec<Step<What>> {
        let mut steps: Vec<_> = another_pair(want, have).into_iter().collect();
        let mut alive = have.alive();
        if alive.any(|remote| remote.more.create_buckets != want.create_buckets) {
            let (before, after) = (!want.create_buckets, want.create_buckets);
            steps.push(Step::set(
                "/createBuckets",
                Value::known(before),
                Value::known(after),
                What::Set,
            ));
        }
        steps
    }

    fn outputs(inputs: &Inputs, facts: &Facts<Self>) -> Outputs {
        let previous = facts.older().next();
        let newest = facts.id().cloned();
        let older = facts.older().map(|held| held.id().clone());
        let access_key_ids = newest.iter().cloned().chain(older).collect();
        Outputs {
            access_key_id: newest,
            secret: facts.newest().and_then(|held| facts.reference(held)),
            previous_access_key_id: previous.map(|held| held.id().clone()),
            previous: previous.and_then(|held| facts.reference(held)),
            access_key_ids,
            name: inputs.name.as_str().to_owned(),
            expiration: facts.expiration(),
            s3_endpoint: facts.s3_endpoint.clone(),
            region: facts.region.clone(),
            system_identifier: facts.system_identifier.clone(),
        }
    }

    async fn by_id(
        cx: &Context,
        cluster: &Cluster,
        id: &AccessKeyId,
    ) -> Result<Option<Remote<Self>>> {
        let found = find(cx, cluster, id).await?;
        Ok(found.map(remote))
    }

    async fn seen_by_id(
        cx: &Context,
        cluster: &Cluster,
        id: &AccessKeyId,
    ) -> Option<Option<Remote<Self>>> {
        Some(cluster.surveyed_key(cx, id).await?.map(remote))
    }

    async fn seen(cx: &Context, cluster: &Cluster, name: &Name) -> Option<Option<Remote<Self>>> {
        let is_it = |key: &api::Key| Title::read(&key.name).is_named(name);
        let found = cluster.surveyed_key_called(cx, name.as_str(), is_it);
        Some(found.await?.map(remote))
    }

    async fn all(cx: &Context, cluster: &Cluster) -> Result<Vec<(AccessKeyId, Title)>> {
        let keys = cluster.keys(cx).await?.into_iter();
        Ok(keys.map(|key| (key.id, Title::read(&key.name))).collect())
    }

    async fn value(
        cx: &Context,
        cluster: &Cluster,
        inputs: &Inputs,
        id: &AccessKeyId,
    ) -> Result<SecretString> {
        let doing = format!("unable to read the secret of key {id}");
        let answer = cluster.call(cx, api::secret_of_key(id)).await;
        let value = cluster.done(answer, &doing)?.secret_access_key;
        nixops4_provider_sdk::secret::remember(&value);
        let Some(given) = pair::given(cx, inputs).await? else {
            return Ok(value);
        };
        if given.expose_secret() == value.expose_secret() {
            return Ok(value);
        }
        Err(Error::input(
            pair::SECRET,
            format!("key {id} has another secret on this cluster"),
        )
        .hint("leave secretAccessKey out to take the cluster's"))
    }

    async fn make(making: &Making<'_, Self>, generation: Generation) -> Result<Stage> {
        pair::make(making, generation).await
    }

    async fn complete(cx: &Context, cluster: &Cluster, from: &str, to: &AccessKeyId) -> Result<()> {
        copying::copy(cx, cluster, from, to).await
    }

    async fn update(
        cx: &Context,
        cluster: &Cluster,
        id: &AccessKeyId,
        title: &Title,
        expiry: Expiry,
        inputs: Option<&Inputs>,
    ) -> Result<()> {
        let (expiration, never_expires) = expiry.fields();
        let creates = KeyPermissions {
            create_bucket: true,
        };
        let sets = |wanted: bool| inputs.filter(|inputs| inputs.create_buckets == wanted);
        let change = KeyChange {
            name: Some(title.to_string()),
            expiration,
            never_expires,
            allow: sets(true).map(|_| creates),
            deny: sets(false).map(|_| creates),
        };
        let answer = cluster.call(cx, api::update_key(id, &change)).await;
        let doing = format!("unable to change key {id}");
        cluster.done(answer, &doing).map(drop)
    }

    async fn delete(cx: &Context, cluster: &Cluster, id: &AccessKeyId) -> Result<()> {
        let answer = cluster.call(cx, api::delete_key(id)).await;
        let doing = format!("unable to delete key {id}");
        cluster.found(answer, Absent::Key, &doing).map(drop)
    }
}

/// What a key may do.
#[derive(Debug, Clone, Default)]
pub(crate) struct Abilities {
    create_buckets: bool,
    buckets: Vec<BucketOfKey>,
}

impl Abilities {
    /// What it may do with a bucket, as it says itself.
    pub(crate) fn on(&self, bucket: &BucketId) -> Permissions {
        held_by(&self.buckets, bucket)
    }
}

fn remote(key: api::Key) -> Remote<Key> {
    Remote {
        title: Title::read(&key.name),
        id: key.access_key_id,
        expiration: key.expiration.map(Moment::from),
        more: Abilities {
            create_buckets: key.permissions.create_bucket,
            buckets: key.buckets,
        },
    }
}

/// A key, if the cluster has it.
async fn find(cx: &Context, cluster: &Cluster, id: &AccessKeyId) -> Result<Option<api::Key>> {
    let answer = cluster.call(cx, api::key_by_id(id)).await;
    cluster.found(answer, Absent::Key, "unable to look for the key")
}

/// The pair that is given is none of those that are kept. Where one was made since,
/// that is as it has to be.
fn another_pair(want: &Inputs, have: &Facts<Key>) -> Option<Step<What>> {
    let given = &want.import.as_ref()?.access_key_id;
    let [only] = have.held.as_slice() else {
        return None;
    };
    if only.id() == given || want.keep_generations == 0 {
        return None;
    }
    let step = refused(
        "/import/accessKeyId",
        &only.id().to_string(),
        &given.to_string(),
    );
    Some(step.note(
        "a key keeps its id; declare a second one for this pair, move its users over, then remove \
         this one; or leave import out",
    ))
}

#[cfg(test)]
mod tests;
