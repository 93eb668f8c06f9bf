//! The bucket and the key that a tenant is made of, as their own kinds have them:
//! what is wanted, and what was recorded.

use nixops4_provider_sdk::{Error, Prior, ResourceKind, Result};

use super::inputs::{Identity, Inputs, PriorInputs, PriorOutputs};
use crate::api::BucketId;
use crate::bucket::{self, Bucket};
use crate::credential;
use crate::key;
use crate::name::BucketName;
use crate::title::Name;

/// The kind of keys.
pub(super) type Key = credential::Managed<key::Key>;

type Recorded = Prior<PriorInputs, PriorOutputs>;

/// What is wanted.
pub(super) struct Parts {
    pub(super) bucket: bucket::Inputs,
    pub(super) key: key::Inputs,
}

impl Parts {
    pub(super) fn wanted(inputs: &Inputs) -> Result<Self> {
        let bucket = bucket::Inputs {
            connection: inputs.connection.clone(),
            name: inputs.bucket_name().clone(),
            global_aliases: inputs.global_aliases.clone(),
            local_aliases: None,
            // Other keys are other people's; that of the tenant has a step of its own.
            keys: None,
            quotas: inputs.quotas,
            website: inputs.website.clone(),
            cors_rules: inputs.cors_rules.clone(),
            lifecycle_rules: inputs.lifecycle_rules.clone(),
            empty_on_delete: inputs.empty_on_delete,
        };
        let key = key::Inputs {
            connection: inputs.connection.clone(),
            name: key_name(inputs.key.as_ref(), &inputs.name)?,
            store: inputs.store.clone(),
            secret_name: inputs.secret_name.clone(),
            generation: inputs.generation,
            keep_generations: inputs.keep_generations,
            expiration: inputs.expiration,
            create_buckets: false,
            import: None,
        };
        Ok(Self { bucket, key })
    }
}

/// The name of the key: any of a bucket is one of a key.
fn key_name(key: Option<&Name>, tenant: &BucketName) -> Result<Name> {
    match key {
        Some(name) => Ok(name.clone()),
        None => Name::try_from(tenant.to_string()).map_err(Error::new),
    }
}

pub(super) fn identity(inputs: &Inputs) -> Identity {
    Identity {
        server: inputs.connection.to_string(),
        bucket: Some(inputs.bucket_name().clone()),
        key: key_name(inputs.key.as_ref(), &inputs.name)
            .ok()
            .map(|name| name.to_string()),
    }
}

pub(super) fn recorded_identity(prior: &Recorded) -> Result<Identity> {
    let inputs = &prior.inputs;
    Ok(Identity {
        server: inputs.connection.to_string(),
        bucket: Some(inputs.bucket.as_ref().unwrap_or(&inputs.name).clone()),
        key: Some(key_name(inputs.key.as_ref(), &inputs.name)?.to_string()),
    })
}

/// Where the parts are that were found: whatever they are called by now, they are
/// found there again.
#[derive(Debug, Clone, Default)]
pub(crate) struct Known {
    pub(super) bucket: Option<BucketId>,
    pub(super) secret: Option<credential::Place>,
}

impl Known {
    /// As if it had been recorded.
    pub(super) fn into_recorded(self, inputs: &Inputs) -> Recorded {
        let (store, secret_name) = match self.secret {
            Some(place) => (place.store, Some(place.name)),
            None => (inputs.store.clone(), inputs.secret_name.clone()),
        };
        Prior {
            inputs: PriorInputs {
                connection: inputs.connection.clone(),
                name: inputs.name.clone(),
                bucket: inputs.bucket.clone(),
                key: inputs.key.clone(),
                store,
                secret_name,
                empty_on_delete: inputs.empty_on_delete,
            },
            outputs: PriorOutputs {
                bucket_id: self.bucket,
                ..PriorOutputs::default()
            },
        }
    }
}

/// What was recorded, as the record of a bucket.
pub(super) fn prior_of_bucket(prior: &Recorded) -> <Bucket as ResourceKind>::Prior {
    let inputs = &prior.inputs;
    Prior {
        inputs: bucket::PriorInputs {
            connection: inputs.connection.clone(),
            name: inputs.bucket.as_ref().unwrap_or(&inputs.name).clone(),
            empty_on_delete: inputs.empty_on_delete,
            keys: None,
        },
        outputs: bucket::PriorOutputs {
            id: prior.outputs.bucket_id.clone(),
            system_identifier: prior.outputs.system_identifier.clone(),
        },
    }
}

/// What was recorded, as the record of a key.
pub(super) fn prior_of_key(prior: &Recorded) -> Result<<Key as ResourceKind>::Prior> {
    let inputs = &prior.inputs;
    Ok(Prior {
        inputs: credential::PriorInputs {
            connection: inputs.connection.clone(),
            name: key_name(inputs.key.as_ref(), &inputs.name)?,
            store: inputs.store.clone(),
            secret_name: inputs.secret_name.clone(),
        },
        outputs: credential::PriorOutputs {
            id: prior.outputs.access_key_id.clone(),
            secret: prior.outputs.secret_key_ref.clone(),
            system_identifier: prior.outputs.system_identifier.clone(),
        },
    })
}
