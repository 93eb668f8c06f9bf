//! The kind `postgresql_tenant`: a role and a database of its own.
//!
//! It is made of the kinds `postgresql_role` and `postgresql_database`, through
//! what every kind offers, and must not know how those do their work.

mod inputs;
mod list;
mod parts;

use std::convert::Infallible;

use nixops4_provider_sdk::composite::{FactsOf, InputsOf, PriorsOf};
use nixops4_provider_sdk::{
    Composite, Context, DeletionPolicy, Error, Fields as _, Found, Object, Prior,
    ResourceKind as _, Result,
};

use crate::connection::Reach;
use crate::database::Database;
use crate::role::{self, Role};

use inputs::{Identity, Inputs, Outputs, PasswordRef, url};

/// See [`Inputs`].
pub(crate) struct Tenant;

impl Composite for Tenant {
    const TYPE: &'static str = "postgresql_tenant";
    const DELETION_POLICY: DeletionPolicy = DeletionPolicy::Retain;
    const IDENTITY_INPUTS: &'static [&'static str] = &["connection", "name", "role", "database"];
    const STABLE_OUTPUTS: &'static [&'static str] = &["serverId"];
    const LISTS: bool = true;

    type First = Role;
    type Second = Database;
    type Link = Infallible;

    type Reach = Reach;
    type Inputs = Inputs;
    type Outputs = Outputs;
    type Prior = Prior<Object, Object>;
    type Identity = Identity;

    fn validate(inputs: &Inputs) -> Result<()> {
        if inputs.host.as_deref().is_some_and(str::is_empty) {
            return Err(Error::input("/host", "the host can't be empty")
                .hint("leave host out to tell services that of connection"));
        }
        Ok(())
    }

    fn identity(inputs: &Inputs) -> Identity {
        Identity {
            server: inputs.connection.to_string(),
            role: inputs.role_name().clone(),
            database: inputs.database_name().clone(),
        }
    }

    fn recorded_identity(prior: &Self::Prior) -> Result<Identity> {
        Ok(Identity {
            server: parts::connection(prior)?.to_string(),
            role: parts::recorded_name(prior, "role")?,
            database: parts::recorded_name(prior, "database")?,
        })
    }

    fn inputs(inputs: &Inputs) -> Result<InputsOf<Self>> {
        parts::wanted(inputs)
    }

    fn priors(prior: &Self::Prior) -> Result<PriorsOf<Self>> {
        parts::recorded(prior)
    }

    fn first_pointer(inputs: &Inputs, pointer: &str) -> String {
        match pointer {
            "" | "/name" if inputs.role.is_none() => "/name".to_owned(),
            "" | "/name" => "/role".to_owned(),
            "/connectionLimit" => "/roleConnectionLimit".to_owned(),
            pointer => pointer.to_owned(),
        }
    }

    fn second_pointer(inputs: &Inputs, pointer: &str) -> String {
        match pointer {
            "" | "/name" if inputs.database.is_none() => "/name".to_owned(),
            "" | "/name" => "/database".to_owned(),
            "/ownerRole" if inputs.role.is_none() => "/name".to_owned(),
            "/ownerRole" => "/role".to_owned(),
            pointer => pointer.to_owned(),
        }
    }

    fn follows(have: &FactsOf<Self>, pointer: &str) -> bool {
        // A database follows its owner through a rename.
        let both = have.first.as_ref().zip(have.second.as_ref());
        let is_owned = both
            .is_some_and(|(role, database)| database.facts.owner_role == role.facts.name.as_str());
        is_owned && pointer == "/ownerRole"
    }

    async fn link(_: &Context, _: &Inputs, link: Infallible) -> Result<()> {
        match link {}
    }

    fn outputs(inputs: &Inputs, facts: &FactsOf<Self>) -> Outputs {
        let role = facts.first.as_ref().map(|role| &role.facts);
        let database = facts.second.as_ref().map(|database| &database.facts);
        let user = role.map_or(inputs.role_name(), |role| &role.name);
        let name = database.map_or(inputs.database_name(), |database| &database.name);
        let server = role.map(|role| &role.server_id);
        let server = server.or(database.map(|database| &database.server_id));
        Outputs {
            host: inputs.service_host().to_owned(),
            port: inputs.service_port(),
            database: name.as_str().to_owned(),
            user: user.as_str().to_owned(),
            password_ref: inputs.password.as_ref().map(PasswordRef::from),
            url: url(inputs.service_host(), inputs.service_port(), user, name),
            role_oid: role.map(|role| role.oid),
            database_oid: database.map(|database| database.oid),
            server_id: server.cloned().unwrap_or_default(),
        }
    }

    fn predict(inputs: &Inputs) -> Object {
        let (host, port) = (inputs.service_host(), inputs.service_port());
        let (user, database) = (inputs.role_name(), inputs.database_name());
        Object::new()
            .with("host", host)
            .with("port", port)
            .with("user", user)
            .with("database", database)
            .with("url", url(host, port, user, database))
    }

    async fn delete(cx: &Context, prior: &Self::Prior, facts: &FactsOf<Self>) -> Result<()> {
        let recorded = parts::recorded(prior)?;
        if let Some(database) = &facts.second {
            let dropped = async {
                if let Some(role) = &facts.first {
                    role::shut_out(cx, &recorded.first, &role.facts).await?;
                }
                Database::delete(cx, &recorded.second, &database.facts).await
            };
            let dropped = dropped.await;
            if let (Err(_), Some(role)) = (&dropped, &facts.first) {
                role::let_in(cx, &recorded.first, &role.facts).await;
            }
            dropped?;
            cx.failpoint("composite:second-deleted");
        }
        // What it owns is another now.
        let Some(role) = Role::observe_recorded(cx, &recorded.first).await? else {
            return Ok(());
        };
        match Role::deletion(&role.facts, DeletionPolicy::Delete)? {
            DeletionPolicy::Delete => Role::delete(cx, &recorded.first, &role.facts).await,
            DeletionPolicy::Retain => {
                let name = parts::recorded_name(prior, "role")?;
                Err(Error::new(format!(
                    "the database is dropped, but role {:?} can't be, because it owns other databases \
                     that are retained",
                    name.as_str()
                ))
                .hint("set reassignOwnedTo, give those to another role, or drop them; then destroy this again"))
            }
        }
    }

    async fn list(cx: &Context, reach: &Reach) -> Result<Vec<Found>> {
        list::list(cx, &reach.connection).await
    }
}
