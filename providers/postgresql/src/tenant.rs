//! The kind `postgresql_tenant`: a role and a database of its own.
//!
//! It is made of the kinds `postgresql_role` and `postgresql_database`, through
//! what every kind offers, and must not know how those do their work.

mod inputs;
mod list;
mod parts;

use nixops4_provider_sdk::pair::{self, Moment, Part};
use nixops4_provider_sdk::{
    Context, DeletionPolicy, Error, Found, Mark, Object, Observed, Prior, ResourceKind, Result,
    Step,
};

use crate::database::{self, Database};
use crate::role::{self, Role};

use inputs::{Identity, Inputs, Outputs, PasswordRef, url};
use parts::Parts;

/// A tenant as the catalog has it; one of the two may be missing.
pub(crate) struct Facts {
    role: Option<Part<role::Facts>>,
    database: Option<Part<database::Facts>>,
}

/// One step.
#[derive(Debug, Clone)]
pub(crate) enum Change {
    Create,
    Role(role::Change),
    Database(database::Change),
}

/// See [`Inputs`].
pub(crate) struct Tenant;

impl ResourceKind for Tenant {
    const TYPE: &'static str = "postgresql_tenant";
    const DELETION_POLICY: DeletionPolicy = DeletionPolicy::Retain;
    const LOCATED_BY: &'static [&'static str] = &["connection", "name", "role", "database"];
    const LASTING: &'static [&'static str] = &["systemIdentifier"];
    const LISTS: bool = true;
    const FORESEES_REMOVAL: bool = true;

    type Inputs = Inputs;
    type Outputs = Outputs;
    type Prior = Prior<Object, Object>;
    type Identity = Identity;
    type Facts = Facts;
    type Change = Change;

    fn validate(inputs: &Inputs) -> Result<()> {
        if inputs.host.as_deref().is_some_and(str::is_empty) {
            return Err(Error::input("/host", "the host can't be empty")
                .hint("leave host out to tell services that of connection"));
        }
        let parts = Parts::wanted(inputs)?;
        Role::validate(&parts.role).map_err(|error| of_role(error, inputs))?;
        Database::validate(&parts.database).map_err(|error| of_database(error, inputs))
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

    fn diff(want: &Inputs, have: Option<&Facts>) -> Vec<Step<Change>> {
        match have {
            None => vec![Step::create(Change::Create)],
            Some(have) => difference(want, have),
        }
    }

    fn outputs(inputs: &Inputs, facts: &Facts) -> Outputs {
        let role = facts.role.as_ref().map(|role| &role.facts);
        let database = facts.database.as_ref().map(|database| &database.facts);
        let user = role.map_or(inputs.role_name(), |role| &role.name);
        let name = database.map_or(inputs.database_name(), |database| &database.name);
        let server = role.map(|role| &role.system_identifier);
        let server = server.or(database.map(|database| &database.system_identifier));
        Outputs {
            host: inputs.service_host().to_owned(),
            port: inputs.service_port(),
            database: name.as_str().to_owned(),
            user: user.as_str().to_owned(),
            password_ref: inputs.password.as_ref().map(PasswordRef::from),
            url: url(inputs.service_host(), inputs.service_port(), user, name),
            role_oid: role.map(|role| role.oid),
            database_oid: database.map(|database| database.oid),
            system_identifier: server.cloned().unwrap_or_default(),
        }
    }

    fn predict(inputs: &Inputs) -> Object {
        let (host, port) = (inputs.service_host(), inputs.service_port());
        let (user, database) = (inputs.role_name(), inputs.database_name());
        let mut outputs = Object::new();
        outputs.insert("host".to_owned(), host.into());
        outputs.insert("port".to_owned(), port.into());
        outputs.insert("user".to_owned(), user.as_str().into());
        outputs.insert("database".to_owned(), database.as_str().into());
        outputs.insert("url".to_owned(), url(host, port, user, database).into());
        outputs
    }

    async fn observe(
        cx: &Context,
        inputs: &Inputs,
        prior: Option<&Self::Prior>,
    ) -> Result<Option<Observed<Facts>>> {
        let parts = Parts::wanted(inputs)?;
        let role_prior = prior.map(parts::prior_of_role).transpose()?;
        let database_prior = prior.map(parts::prior_of_database).transpose()?;
        let role = Role::observe(cx, &parts.role, role_prior.as_ref()).await;
        let role = role.map_err(|error| of_role(error, inputs))?;
        let database = Database::observe(cx, &parts.database, database_prior.as_ref()).await;
        let database = database.map_err(|error| of_database(error, inputs))?;
        Ok(put_together(cx, role, database, Moment::Declared))
    }

    async fn foresee_creation(cx: &Context, inputs: &Inputs) -> Result<Vec<Error>> {
        let parts = Parts::wanted(inputs)?;
        let foreseen = Database::foresee_creation(cx, &parts.database).await?;
        let foreseen = foreseen.into_iter();
        Ok(foreseen.map(|error| of_database(error, inputs)).collect())
    }

    async fn apply(cx: &Context, inputs: &Inputs, change: Change) -> Result<()> {
        let parts = Parts::wanted(inputs)?;
        match change {
            Change::Create => {
                for step in Role::diff(&parts.role, None) {
                    apply_to_role(cx, inputs, &parts, step.change).await?;
                }
                cx.failpoint("tenant:role");
                for step in Database::diff(&parts.database, None) {
                    apply_to_database(cx, inputs, &parts, step.change).await?;
                }
                cx.failpoint("tenant:database");
                Ok(())
            }
            Change::Role(change) => apply_to_role(cx, inputs, &parts, change).await,
            Change::Database(change) => apply_to_database(cx, inputs, &parts, change).await,
        }
    }

    async fn write_mark(cx: &Context, inputs: &Inputs, facts: &Facts, mark: &Mark) -> Result<()> {
        let parts = Parts::wanted(inputs)?;
        if let Some(role) = &facts.role {
            Role::write_mark(cx, &parts.role, &role.facts, mark).await?;
        }
        cx.failpoint("tenant:role-marked");
        if let Some(database) = &facts.database {
            Database::write_mark(cx, &parts.database, &database.facts, mark).await?;
        }
        Ok(())
    }

    async fn observe_recorded(
        cx: &Context,
        prior: &Self::Prior,
    ) -> Result<Option<Observed<Facts>>> {
        let role = Role::observe_recorded(cx, &parts::prior_of_role(prior)?).await?;
        let database = Database::observe_recorded(cx, &parts::prior_of_database(prior)?).await?;
        Ok(put_together(cx, role, database, Moment::Destroyed))
    }

    fn deletion(facts: &Facts, policy: DeletionPolicy) -> Result<DeletionPolicy> {
        match &facts.database {
            Some(database) => Database::deletion(&database.facts, policy),
            None => Ok(policy),
        }
    }

    async fn foresee_removal(
        cx: &Context,
        prior: &Self::Prior,
        facts: &Facts,
        policy: DeletionPolicy,
    ) -> Result<Vec<Error>> {
        match &facts.database {
            Some(database) => {
                let recorded = parts::prior_of_database(prior)?;
                Database::foresee_removal(cx, &recorded, &database.facts, policy).await
            }
            None => Ok(Vec::new()),
        }
    }

    async fn delete(cx: &Context, prior: &Self::Prior, facts: &Facts) -> Result<()> {
        let recorded = parts::prior_of_role(prior)?;
        if let Some(database) = &facts.database {
            let dropped = async {
                if let Some(role) = &facts.role {
                    role::shut_out(cx, &recorded, &role.facts).await?;
                }
                let of_database = parts::prior_of_database(prior)?;
                Database::delete(cx, &of_database, &database.facts).await
            };
            let dropped = dropped.await;
            if let (Err(_), Some(role)) = (&dropped, &facts.role) {
                role::let_in(cx, &recorded, &role.facts).await;
            }
            dropped?;
            cx.failpoint("tenant:database-dropped");
        }
        // What it owns is another now.
        let Some(role) = Role::observe_recorded(cx, &recorded).await? else {
            return Ok(());
        };
        match Role::deletion(&role.facts, DeletionPolicy::Delete)? {
            DeletionPolicy::Delete => Role::delete(cx, &recorded, &role.facts).await,
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

    async fn retain(cx: &Context, prior: &Self::Prior, facts: &Facts, mark: &Mark) -> Result<()> {
        // The role first: who is sent off then can't come back.
        if let Some(role) = facts.role.as_ref().filter(|role| !role.is_retained) {
            Role::retain(cx, &parts::prior_of_role(prior)?, &role.facts, mark).await?;
            cx.failpoint("tenant:role-retained");
        }
        if let Some(database) = facts
            .database
            .as_ref()
            .filter(|database| !database.is_retained)
        {
            Database::retain(cx, &parts::prior_of_database(prior)?, &database.facts, mark).await?;
        }
        Ok(())
    }

    async fn list(cx: &Context, inputs: &Inputs) -> Result<Vec<Found>> {
        list::list(cx, &inputs.connection).await
    }
}

fn difference(want: &Inputs, have: &Facts) -> Vec<Step<Change>> {
    // Validation has read the same already.
    let Ok(parts) = Parts::wanted(want) else {
        return Vec::new();
    };
    let role = have.role.as_ref();
    let mut steps: Vec<_> = Role::diff(&parts.role, role.map(|role| &role.facts))
        .into_iter()
        .map(|step| step.of_whole(|path| role_path(path, want), Change::Role))
        .collect();
    let database = have.database.as_ref().map(|database| &database.facts);
    // A database follows its owner through a rename.
    let follows = role
        .zip(database)
        .is_some_and(|(role, database)| database.owner_role == role.facts.name.as_str());
    steps.extend(
        Database::diff(&parts.database, database)
            .into_iter()
            .filter(|step| !(follows && step.path == "/ownerRole"))
            .map(|step| step.of_whole(|path| database_path(path, want), Change::Database)),
    );
    steps
}

/// Where a tenant has what a role has at `path`.
fn role_path(path: &str, inputs: &Inputs) -> String {
    match path {
        "" | "/name" if inputs.role.is_none() => "/name".to_owned(),
        "" | "/name" => "/role".to_owned(),
        "/connectionLimit" => "/roleConnectionLimit".to_owned(),
        path => path.to_owned(),
    }
}

/// Where a tenant has what a database has at `path`.
fn database_path(path: &str, inputs: &Inputs) -> String {
    match path {
        "" | "/name" if inputs.database.is_none() => "/name".to_owned(),
        "" | "/name" => "/database".to_owned(),
        "/ownerRole" if inputs.role.is_none() => "/name".to_owned(),
        "/ownerRole" => "/role".to_owned(),
        path => path.to_owned(),
    }
}

fn of_role(error: Error, inputs: &Inputs) -> Error {
    error.placed(|pointer| role_path(pointer, inputs))
}

fn of_database(error: Error, inputs: &Inputs) -> Error {
    error.placed(|pointer| database_path(pointer, inputs))
}

/// `None` where neither is there.
fn put_together(
    cx: &Context,
    role: Option<Observed<role::Facts>>,
    database: Option<Observed<database::Facts>>,
    moment: Moment,
) -> Option<Observed<Facts>> {
    let (role, database, ownership) = pair::put_together(role, database, &cx.mark(), moment)?;
    let facts = Facts { role, database };
    Some(Observed { facts, ownership })
}

async fn apply_to_role(
    cx: &Context,
    inputs: &Inputs,
    parts: &Parts,
    change: role::Change,
) -> Result<()> {
    Role::apply(cx, &parts.role, change)
        .await
        .map_err(|error| of_role(error, inputs))
}

async fn apply_to_database(
    cx: &Context,
    inputs: &Inputs,
    parts: &Parts,
    change: database::Change,
) -> Result<()> {
    Database::apply(cx, &parts.database, change)
        .await
        .map_err(|error| of_database(error, inputs))
}
