//! The kind `garage_admin_token`.

mod scope;
mod staging;

use std::collections::BTreeSet;

use nixops4_provider_sdk::secret::StoredSecret;
use nixops4_provider_sdk::{Context, Error, Result, SecretString, Step, Value};
use nixops4_secrets_store::Generation;
use schemars::JsonSchema;
use serde::Serialize;

use crate::api::{self, Absent, AdminToken as Token, TokenChange, TokenId};
use crate::cluster::Cluster;
use crate::credential::{
    Credential, Expiry, Facts, Making, Remote, Stage, What, credential_inputs,
};
use crate::moment::Moment;
use crate::title::Title;

use scope::Endpoint;

credential_inputs!(
    /// A token for the admin API, which may use some endpoints and may end. Garage
    /// makes it, once for each generation; it goes straight into a secrets store, and
    /// is given to others by reference.
    struct Inputs {
        /// The endpoints that it may use, such as `GetBucketInfo`; `*` alone for all.
        /// One that may use `CreateAdminToken` or `UpdateAdminToken` can give itself
        /// all the others: that is as good as `*`.
        pub(crate) scope: BTreeSet<Endpoint>,
    }
);

/// What an expression can read of an admin token.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Outputs {
    /// Id of the token in use, with which the token itself begins.
    pub(crate) id: Option<TokenId>,
    /// The reference to the token, to give to other resources; null of a token that
    /// isn't managed yet.
    pub(crate) secret: Option<StoredSecret>,
    /// The reference to the token before, while it is kept.
    pub(crate) previous: Option<StoredSecret>,
    /// Ids of all tokens that are in use, the newest first.
    pub(crate) ids: Vec<TokenId>,
    /// Its name.
    pub(crate) name: String,
    /// The endpoints that it may use.
    pub(crate) scope: BTreeSet<String>,
    /// When it ends; null: never.
    pub(crate) expiration: Option<Moment>,
    /// Id of a node of the cluster, by which the cluster is recognised.
    pub(crate) system_identifier: String,
}

/// See [`Inputs`].
#[derive(Debug)]
pub(crate) struct AdminToken;

impl Credential for AdminToken {
    const TYPE: &'static str = "garage_admin_token";
    const LOCATED_BY: &'static [&'static str] =
        &["connection", "name", "store", "secretName", "generation"];
    const LASTING: &'static [&'static str] = &["systemIdentifier"];
    const CALLED: &'static str = "admin token";
    const SECRETS: &'static str = "garage-admin";
    const STORED_FIRST: bool = false;
    const UNREADABLE: Option<&'static str> =
        Some("Garage shows the value of a token once, when it is made");

    type Id = TokenId;
    /// Its scope.
    type More = BTreeSet<String>;
    type Inputs = Inputs;
    type Outputs = Outputs;

    fn validate(inputs: &Inputs) -> Result<()> {
        let scope = &inputs.scope;
        if scope.is_empty() {
            return Err(
                Error::input("/scope", "a token without any endpoint can do nothing")
                    .hint("list the endpoints that it may use, or \"*\" for all"),
            );
        }
        if scope.contains(&Endpoint::All) && scope.len() > 1 {
            return Err(Error::input("/scope", "\"*\" has all the others in it")
                .hint("leave either \"*\" or the others out"));
        }
        Ok(())
    }

    fn given(_: &Inputs) -> Option<&TokenId> {
        None
    }

    fn difference(want: &Inputs, have: &Facts<Self>) -> Vec<Step<What>> {
        let wanted = scope::names(&want.scope);
        let other = have.alive().find(|remote| remote.more != wanted);
        let step = other.map(|remote| {
            let before = Value::known(&remote.more);
            Step::set("/scope", before, Value::known(&wanted), What::Set)
        });
        step.into_iter().collect()
    }

    fn outputs(inputs: &Inputs, facts: &Facts<Self>) -> Outputs {
        let newest = facts.id().cloned();
        let older = facts.older().map(|held| held.id().clone());
        let in_use = facts.alive().next();
        let previous = facts.older().next();
        let ids = newest.iter().cloned().chain(older).collect();
        Outputs {
            id: newest,
            secret: facts.newest().and_then(|held| facts.reference(held)),
            previous: previous.and_then(|held| facts.reference(held)),
            ids,
            name: inputs.name.as_str().to_owned(),
            scope: in_use.map(|remote| remote.more.clone()).unwrap_or_default(),
            expiration: facts.expiration(),
            system_identifier: facts.system_identifier.clone(),
        }
    }

    /// That it is there is enough: the value that goes with an id never changes, so
    /// there is no need to take it out of the store and try it.
    async fn by_id(cx: &Context, cluster: &Cluster, id: &TokenId) -> Result<Option<Remote<Self>>> {
        let answer = cluster.call(cx, api::token_by_id(id)).await;
        let doing = "unable to look for the admin token";
        let found = cluster.found(answer, Absent::AdminToken, doing)?;
        Ok(found.map(|token| Remote {
            id: id.clone(),
            title: Title::read(&token.name),
            expiration: token.expiration.map(Moment::from),
            more: token.scope.into_iter().collect(),
        }))
    }

    async fn all(cx: &Context, cluster: &Cluster) -> Result<Vec<(TokenId, Title)>> {
        let tokens = listed(cx, cluster).await?.into_iter();
        Ok(tokens
            .filter_map(|token| Some((token.id?, Title::read(&token.name))))
            .collect())
    }

    async fn value(_: &Context, _: &Cluster, _: &Inputs, id: &TokenId) -> Result<SecretString> {
        Err(Error::new(format!(
            "the value of admin token {id} is not known"
        )))
    }

    async fn make(making: &Making<'_, Self>, generation: Generation) -> Result<Stage> {
        staging::make(making, generation).await
    }

    /// There is nothing to copy.
    async fn complete(_: &Context, _: &Cluster, _: &str, _: &TokenId) -> Result<()> {
        Ok(())
    }

    async fn update(
        cx: &Context,
        cluster: &Cluster,
        id: &TokenId,
        title: &Title,
        expiry: Expiry,
        inputs: Option<&Inputs>,
    ) -> Result<()> {
        let (expiration, never_expires) = expiry.fields();
        let scope = inputs.map(|inputs| scope::names(&inputs.scope));
        let change = TokenChange {
            name: Some(title.to_string()),
            expiration,
            never_expires,
            scope: scope.map(|scope| scope.into_iter().collect()),
        };
        let answer = cluster.call(cx, api::update_token(id, &change)).await;
        let doing = format!("unable to change admin token {id}");
        cluster.done(answer, &doing).map(drop)
    }

    async fn delete(cx: &Context, cluster: &Cluster, id: &TokenId) -> Result<()> {
        let answer = cluster.call(cx, api::delete_token(id)).await;
        let doing = format!("unable to delete admin token {id}");
        cluster.found(answer, Absent::AdminToken, &doing).map(drop)
    }
}

/// Every token, those that have expired included.
async fn listed(cx: &Context, cluster: &Cluster) -> Result<Vec<Token>> {
    let answer = cluster.call(cx, api::list_tokens()).await;
    cluster.done(answer, "unable to list the admin tokens")
}

#[cfg(test)]
mod tests;
