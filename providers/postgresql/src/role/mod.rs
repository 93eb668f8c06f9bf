//! The kind `postgresql_role`.

mod attribute;
mod change;
mod expiry;
mod facts;
mod inputs;
mod password;

use std::cell::RefCell;
use std::collections::BTreeSet;

use nixops4_provider_sdk::{
    Context, DeletionPolicy, Error, Found, Mark, Object, Observed, Prior, ResourceKind, Result,
    Step,
};

pub(crate) use change::{Change, difference};
pub(crate) use facts::{Facts, look_up};
pub(crate) use inputs::{Identity, Inputs, Outputs, PriorInputs, refuse_stand_in};
use password::Password;

use crate::owned::{self, Fate};
use crate::server::{RecordedOutputs, on_server, predicted_outputs, run};
use crate::sql::Ident;
use crate::{admin, lock, sessions};

/// See [`Inputs`].
pub(crate) struct Role;

impl ResourceKind for Role {
    const TYPE: &'static str = "postgresql_role";
    const DELETION_POLICY: DeletionPolicy = DeletionPolicy::Delete;
    const LOCATED_BY: &'static [&'static str] = &["connection", "name"];
    const LASTING: &'static [&'static str] = &["oid", "systemIdentifier"];
    const LISTS: bool = true;

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
            role: inputs.name.to_string(),
        }
    }

    fn recorded_identity(prior: &Self::Prior) -> Result<Identity> {
        let inputs = &prior.inputs;
        Ok(Identity {
            server: inputs.connection.to_string(),
            role: inputs.name.to_string(),
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
            oid: facts.oid,
            system_identifier: facts.system_identifier.clone(),
            password_verified: match facts.password {
                Password::Unmanaged => None,
                Password::Same => Some(true),
                Password::Other | Password::UnknownUnchanged | Password::UnknownChanged => {
                    Some(false)
                }
            },
        }
    }

    fn predict(inputs: &Inputs) -> Object {
        predicted_outputs(inputs.name.as_str(), &inputs.connection)
    }

    async fn observe(
        cx: &Context,
        inputs: &Inputs,
        prior: Option<&Self::Prior>,
    ) -> Result<Option<Observed<Facts>>> {
        let known_server = prior.and_then(|prior| prior.outputs.system_identifier.as_deref());
        let oid = prior.and_then(|prior| prior.outputs.oid);
        let recorded = prior.and_then(|prior| prior.inputs.password.as_ref());
        on_server(cx, &inputs.connection, known_server, async |server| {
            let Some(mut seen) = look_up(server, oid, &inputs.name).await? else {
                // A plan tells of a reference that leads nowhere, too.
                if let Some(reference) = &inputs.password {
                    cx.secret(reference, "/password").await?;
                }
                return Ok(None);
            };
            seen.facts.password =
                password::state(cx, server, inputs, recorded, &seen.facts).await?;
            Ok(Some(seen))
        })
        .await
    }

    async fn apply(cx: &Context, inputs: &Inputs, change: Change) -> Result<()> {
        change::apply(cx, inputs, change).await
    }

    async fn write_mark(cx: &Context, inputs: &Inputs, facts: &Facts, mark: &Mark) -> Result<()> {
        let doing = format!("unable to mark role {}", Ident(&facts.name));
        lock::transact(cx, &inputs.connection, &doing, &marking(facts, mark)).await
    }

    async fn observe_recorded(
        cx: &Context,
        prior: &Self::Prior,
    ) -> Result<Option<Observed<Facts>>> {
        let known_server = prior.outputs.system_identifier.as_deref();
        let found = on_server(cx, &prior.inputs.connection, known_server, async |server| {
            let found = look_up(server, prior.outputs.oid, &prior.inputs.name).await?;
            let Some(mut seen) = found else {
                return Ok(None);
            };
            seen.facts.holdings = owned::survey(server, seen.facts.oid).await?;
            Ok(Some(seen))
        })
        .await?;
        let Some(mut seen) = found else {
            return Ok(None);
        };
        seen.facts
            .holdings
            .heir
            .clone_from(&prior.inputs.reassign_owned_to);
        seen.facts
            .holdings
            .give_examples(cx, &prior.inputs.connection, seen.facts.oid)
            .await?;
        Ok(Some(seen))
    }

    fn deletion(facts: &Facts, policy: DeletionPolicy) -> Result<DeletionPolicy> {
        match policy {
            DeletionPolicy::Retain => Ok(policy),
            DeletionPolicy::Delete => match facts.holdings.fate() {
                Fate::Drop => Ok(DeletionPolicy::Delete),
                // Somebody has to own the data that is kept.
                Fate::Keep => Ok(DeletionPolicy::Retain),
                Fate::Refuse(why) => {
                    let name = facts.name.as_str();
                    Err(Error::new(format!("role {name:?} can't be dropped, because {why}")).hint(
                        "destroy what it owns first; or set reassignOwnedTo to the role that gets \
                         it, and apply, before this one is destroyed; or set deletionPolicy = \
                         \"retain\", which only locks the role out",
                    ))
                }
            },
        }
    }

    async fn delete(cx: &Context, prior: &Self::Prior, facts: &Facts) -> Result<()> {
        let dropped = async {
            shut_out(cx, prior, facts).await?;
            drop_role(cx, prior, facts).await
        };
        let dropped = dropped.await;
        if dropped.is_err() {
            let_in(cx, prior, facts).await;
        }
        dropped
    }

    async fn retain(cx: &Context, prior: &Self::Prior, facts: &Facts, mark: &Mark) -> Result<()> {
        let role = Ident(&facts.name);
        let doing = format!("unable to retire role {role}");
        shut_out(cx, prior, facts).await?;
        on_server(cx, &prior.inputs.connection, None, async |server| {
            let acting = admin::acting_for(server, &[facts.name.as_str()]).await?;
            let sent_off = acting.around(&admin::send_off(&format!("usesysid = {}", facts.oid)));
            let statements = format!(
                "ALTER ROLE {role} NOLOGIN; {}; {sent_off}",
                marking(facts, mark)
            );
            lock::transact_on(cx, &mut server.connection, &doing, &statements).await
        })
        .await
    }

    async fn list(cx: &Context, inputs: &Inputs) -> Result<Vec<Found>> {
        let at = &inputs.connection;
        let found = on_server(cx, at, None, async |server| {
            facts::marked(server, &cx.mark()).await
        })
        .await?;
        Ok(found
            .into_iter()
            .map(|(name, oid, mark)| to_found(at.to_string(), name, oid, mark))
            .collect())
    }
}

type Recorded = <Role as ResourceKind>::Prior;

/// Nobody logs in as it from now on, and nobody is: nothing that a session of it
/// does can hold up what follows.
pub(crate) async fn shut_out(cx: &Context, prior: &Recorded, facts: &Facts) -> Result<()> {
    let at = &prior.inputs.connection;
    // Before it is: what follows may fail when the half of it is done.
    if facts.logs_in() {
        cx.session::<ShutOut>().0.borrow_mut().insert(facts.oid);
    }
    on_server(cx, at, None, async |server| {
        sessions::shut_out_role(cx, at, server, &facts.name, facts.oid).await
    })
    .await?;
    cx.failpoint("role:shut-out");
    Ok(())
}

/// The roles that this process has shut out, by their identifiers.
#[derive(Default)]
struct ShutOut(RefCell<BTreeSet<i64>>);

/// Lets a role log in again that could, and that is still there because it can't be
/// dropped. The next attempt shuts it out anew.
pub(crate) async fn let_in(cx: &Context, prior: &Recorded, facts: &Facts) {
    let shut_out = cx.session::<ShutOut>();
    if !shut_out.0.borrow().contains(&facts.oid) {
        return;
    }
    let role = Ident(&facts.name);
    let doing = format!("unable to let role {role} log in again");
    let statement = format!("ALTER ROLE {role} LOGIN");
    // It may be the lock that could not be had: this doesn't wait for it.
    let done = on_server(cx, &prior.inputs.connection, None, async |server| {
        run(&mut server.connection, &doing, statement).await
    });
    match done.await {
        Ok(()) => drop(shut_out.0.borrow_mut().remove(&facts.oid)),
        Err(error) => tracing::warn!("{error}"),
    }
}

async fn drop_role(cx: &Context, prior: &Recorded, facts: &Facts) -> Result<()> {
    let at = &prior.inputs.connection;
    owned::let_go(cx, at, &facts.name, facts.oid, &facts.holdings).await?;
    cx.failpoint("role:let-go");
    let role = Ident(&facts.name);
    lock::transact(
        cx,
        at,
        &format!("unable to drop role {role}"),
        &format!("DROP ROLE IF EXISTS {role}"),
    )
    .await
}

fn to_found(server: String, role: String, oid: i64, mark: Mark) -> Found {
    let mut facts = Object::new();
    facts.insert("oid".to_owned(), oid.into());
    let identity = Identity { server, role };
    Found {
        identity: serde_json::to_value(identity).unwrap_or_default(),
        mark,
        facts,
    }
}

/// The statement that puts a mark in place of the one that is there.
fn marking(facts: &Facts, mark: &Mark) -> String {
    change::comment_on(&facts.name, facts.comment.as_deref(), mark)
}
