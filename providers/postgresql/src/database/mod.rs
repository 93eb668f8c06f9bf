//! The kind `postgresql_database`.

mod change;
mod creatable;
mod create;
mod facts;
mod inputs;
mod obstacle;
mod remove;

use nixops4_provider_sdk::{
    Context, DeletionPolicy, Error, Found, Mark, Object, Observed, Ownership, Prior, ResourceKind,
    Result, Step,
};

pub(crate) use change::{Change, difference};
pub(crate) use create::staging_prefix;
pub(crate) use facts::{Facts, extensions, look_up};
pub(crate) use inputs::{Identity, Inputs, Outputs, PriorInputs};

use crate::server::{RecordedOutputs, Server, on_server, predicted_outputs};
use crate::sql::Ident;
use crate::{admin, lock};

/// See [`Inputs`].
pub(crate) struct Database;

impl ResourceKind for Database {
    const TYPE: &'static str = "postgresql_database";
    const DELETION_POLICY: DeletionPolicy = DeletionPolicy::Retain;
    const LOCATED_BY: &'static [&'static str] = &["connection", "name"];
    const LASTING: &'static [&'static str] = &["oid", "systemIdentifier"];
    const LISTS: bool = true;
    const FORESEES_REMOVAL: bool = true;

    type Inputs = Inputs;
    type Outputs = Outputs;
    type Prior = Prior<PriorInputs, RecordedOutputs>;
    type Identity = Identity;
    type Facts = Facts;
    type Change = Change;

    fn validate(inputs: &Inputs) -> Result<()> {
        inputs.validate()
    }

    fn identity(inputs: &Inputs) -> Identity {
        Identity {
            server: inputs.connection.to_string(),
            database: inputs.name.to_string(),
        }
    }

    fn recorded_identity(prior: &Self::Prior) -> Result<Identity> {
        let inputs = &prior.inputs;
        Ok(Identity {
            server: inputs.connection.to_string(),
            database: inputs.name.to_string(),
        })
    }

    fn diff(want: &Inputs, have: Option<&Facts>) -> Vec<Step<Change>> {
        match have {
            None => vec![Step::create(Change::Create)],
            Some(have) => difference(want, have),
        }
    }

    fn outputs(inputs: &Inputs, facts: &Facts) -> Outputs {
        Outputs {
            name: facts.name.to_string(),
            host: inputs.connection.host.clone(),
            port: inputs.connection.port,
            owner_role: facts.owner_role.clone(),
            oid: facts.oid,
            system_identifier: facts.system_identifier.clone(),
        }
    }

    fn predict(inputs: &Inputs) -> Object {
        let mut outputs = predicted_outputs(inputs.name.as_str(), &inputs.connection);
        if let Some(role) = &inputs.owner_role {
            outputs.insert("ownerRole".to_owned(), role.as_str().into());
        }
        outputs
    }

    async fn observe(
        cx: &Context,
        inputs: &Inputs,
        prior: Option<&Self::Prior>,
    ) -> Result<Option<Observed<Facts>>> {
        let at = &inputs.connection;
        let known_server = prior.and_then(|prior| prior.outputs.system_identifier.as_deref());
        let oid = prior.and_then(|prior| prior.outputs.oid);
        let seen = on_server(cx, at, known_server, async |server| {
            let ours = known_server.map(|_| cx.mark());
            look_up(server, oid, &inputs.name, inputs.encoding.as_deref(), ours).await
        })
        .await?;
        let Some(mut seen) = seen else {
            return Ok(None);
        };
        seen.facts.refuse_half_dropped()?;
        if !inputs.extensions.is_empty() && seen.facts.allow_connections {
            seen.facts.extensions = Some(extensions(cx, at, &seen.facts.name).await?);
        }
        Ok(Some(seen))
    }

    async fn foresee_creation(cx: &Context, inputs: &Inputs) -> Result<Vec<Error>> {
        on_server(cx, &inputs.connection, None, async |server| {
            creatable::foresee(server, inputs).await
        })
        .await
    }

    async fn apply(cx: &Context, inputs: &Inputs, change: Change) -> Result<()> {
        change::apply(cx, inputs, change).await
    }

    async fn write_mark(cx: &Context, inputs: &Inputs, facts: &Facts, mark: &Mark) -> Result<()> {
        let doing = format!("unable to mark database {}", Ident(&facts.name));
        on_server(cx, &inputs.connection, None, async |server| {
            let acting = admin::as_owner(server, &facts.name, &[]).await?;
            let statement = acting.around(&marking(facts, mark, server));
            lock::transact_on(cx, &mut server.connection, &doing, &statement).await
        })
        .await
    }

    async fn observe_recorded(
        cx: &Context,
        prior: &Self::Prior,
    ) -> Result<Option<Observed<Facts>>> {
        let known_server = prior.outputs.system_identifier.as_deref();
        let seen = on_server(cx, &prior.inputs.connection, known_server, async |server| {
            let ours = known_server.map(|_| cx.mark());
            look_up(server, prior.outputs.oid, &prior.inputs.name, None, ours).await
        })
        .await?;
        let ours = staging_prefix(cx.owner());
        Ok(seen.map(|mut seen| {
            let unfinished = seen.facts.name.as_str().starts_with(&ours);
            if unfinished && seen.ownership == Ownership::Unmarked {
                seen.ownership = Ownership::Marked(cx.mark());
            }
            seen
        }))
    }

    fn deletion(facts: &Facts, policy: DeletionPolicy) -> Result<DeletionPolicy> {
        // Nobody was given it, so that nobody's data is in it.
        if create::is_staged(facts.name.as_str()) {
            return Ok(DeletionPolicy::Delete);
        }
        Ok(policy)
    }

    async fn foresee_removal(
        cx: &Context,
        prior: &Self::Prior,
        facts: &Facts,
        policy: DeletionPolicy,
    ) -> Result<Vec<Error>> {
        remove::foresee(cx, prior, facts, policy).await
    }

    async fn delete(cx: &Context, prior: &Self::Prior, facts: &Facts) -> Result<()> {
        remove::delete(cx, prior, facts).await
    }

    async fn retain(cx: &Context, prior: &Self::Prior, facts: &Facts, mark: &Mark) -> Result<()> {
        remove::retain(cx, prior, facts, mark).await
    }

    async fn list(cx: &Context, inputs: &Inputs) -> Result<Vec<Found>> {
        let at = &inputs.connection;
        let found = on_server(cx, at, None, async |server| {
            facts::marked(server, &cx.mark()).await
        })
        .await?;
        Ok(found
            .into_iter()
            .map(|one| to_found(at.to_string(), one))
            .collect())
    }
}

fn to_found(server: String, one: facts::Marked) -> Found {
    let mut facts = Object::new();
    facts.insert("oid".to_owned(), one.oid.into());
    facts.insert("bytes".to_owned(), one.size.into());
    // Somebody was killed while making it; the next to make it clears it away.
    facts.insert("unfinished".to_owned(), create::is_staged(&one.name).into());
    let identity = Identity {
        server,
        database: one.name,
    };
    Found {
        identity: serde_json::to_value(identity).unwrap_or_default(),
        mark: one.mark,
        facts,
    }
}

/// The statements that put a mark in place of the one that is there, and of what
/// vouches for that.
fn marking(facts: &Facts, mark: &Mark, server: &Server) -> String {
    let comment = change::comment_on(&facts.name, facts.comment.as_deref(), mark);
    let vouching = facts.witness.vouching(&server.admin, &facts.name, mark);
    format!("{comment}{vouching}")
}
