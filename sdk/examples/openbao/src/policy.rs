//! The kind `openbao_policy`. Its mark stands in a comment before its rules.

use std::fmt;

use nixops4_provider_sdk::Effect;
use nixops4_provider_sdk::http::Connection;
use nixops4_provider_sdk::{
    Context, DeletionPolicy, Error, Mark, Object, Observed, Ownership, Prior, ResourceKind, Result,
    Retry, Step,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::api::{self, NO_VERSION, is_absent};
use crate::server::{Reach, Server};

/// A policy: what those who have it may do.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Inputs {
    /// The server.
    connection: Connection,
    /// Its name.
    name: PolicyName,
    /// Its rules, in HCL. Default: none, which allow nothing.
    #[serde(default)]
    rules: String,
}

/// The name of a policy: small letters, digits and `. _ -`. OpenBao takes capital letters
/// for small ones.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String")]
#[schemars(extend("pattern" = "^[a-z0-9][a-z0-9._-]{0,127}$"))]
struct PolicyName(String);

impl TryFrom<String> for PolicyName {
    type Error = String;

    fn try_from(name: String) -> Result<Self, String> {
        let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "._-".contains(c);
        let begins = name.starts_with(|c: char| c.is_ascii_alphanumeric());
        if begins && name.len() <= 128 && name.chars().all(fits) {
            return Ok(Self(name));
        }
        Err("a policy's name has 1 to 128 small letters, digits and . _ -".to_owned())
    }
}

/// What an expression can read of a policy.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Outputs {
    /// Its name, to give to those who are to have it.
    name: PolicyName,
    /// Id of the cluster, by which the server is recognised.
    server_id: String,
}

#[derive(Deserialize)]
pub(crate) struct PriorInputs {
    connection: Connection,
    name: PolicyName,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct PriorOutputs {
    server_id: Option<String>,
}

#[derive(Serialize)]
pub(crate) struct Identity {
    server: String,
    policy: PolicyName,
}

impl fmt::Display for Identity {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "policy {:?} on {}", self.policy.0, self.server)
    }
}

#[derive(Debug)]
pub(crate) struct Facts {
    name: PolicyName,
    rules: String,
    version: i64,
    server_id: String,
}

/// One step. Each writes all of it.
#[derive(Debug)]
pub(crate) enum Change {
    Create,
    Rules,
    Refused,
}

/// See [`Inputs`].
pub(crate) struct Policy;

impl ResourceKind for Policy {
    const TYPE: &'static str = "openbao_policy";
    const DELETION_POLICY: DeletionPolicy = DeletionPolicy::Delete;
    const HOLDS_SECRETS: bool = false;
    const IDENTITY_INPUTS: &'static [&'static str] = &["connection", "name"];
    const STABLE_OUTPUTS: &'static [&'static str] = &["serverId"];

    type Reach = Reach;
    type Inputs = Inputs;
    type Outputs = Outputs;
    type Prior = Prior<PriorInputs, PriorOutputs>;
    type Identity = Identity;
    type Facts = Facts;
    type Change = Change;

    fn identity(inputs: &Inputs) -> Identity {
        Identity {
            server: inputs.connection.to_string(),
            policy: inputs.name.clone(),
        }
    }

    fn recorded_identity(prior: &Self::Prior) -> Result<Identity> {
        Ok(Identity {
            server: prior.inputs.connection.to_string(),
            policy: prior.inputs.name.clone(),
        })
    }

    fn diff(want: &Inputs, have: Option<&Facts>) -> Vec<Step<Change>> {
        let Some(have) = have else {
            return vec![Step::create(Change::Create)];
        };
        let name = Step::unless_same("/name", &have.name, &want.name, Change::Refused);
        let name = name.map(|step| step.effect(Effect::Replace));
        let rules = Step::unless_same("/rules", &have.rules, &want.rules, Change::Rules);
        name.into_iter().chain(rules).collect()
    }

    fn outputs(_: &Inputs, facts: &Facts) -> Outputs {
        Outputs {
            name: facts.name.clone(),
            server_id: facts.server_id.clone(),
        }
    }

    fn predict(inputs: &Inputs) -> Object {
        Object::from_iter([("name".to_owned(), inputs.name.0.clone().into())])
    }

    async fn observe(
        cx: &Context,
        inputs: &Inputs,
        prior: Option<&Self::Prior>,
    ) -> Result<Option<Observed<Facts>>> {
        let recorded = prior.and_then(|prior| prior.outputs.server_id.as_deref());
        let server = Server::of(cx, &inputs.connection, recorded).await?;
        // OpenBao can't rename it: what was recorded under another name stays that one.
        let before = prior.map(|prior| &prior.inputs.name);
        if let Some(before) = before.filter(|before| **before != inputs.name)
            && let Some(seen) = look(cx, &server, before).await?
        {
            return Ok(Some(seen));
        }
        look(cx, &server, &inputs.name).await
    }

    async fn apply(cx: &Context, inputs: &Inputs, change: Change) -> Result<()> {
        let server = Server::of(cx, &inputs.connection, None).await?;
        let version = match change {
            Change::Create => NO_VERSION,
            Change::Rules => match look(cx, &server, &inputs.name).await? {
                Some(seen) if seen.ownership.is_of_same(&cx.mark()) => seen.facts.version,
                _ => return Err(changed(&inputs.name)),
            },
            Change::Refused => return Err(Error::input("/name", "this can't be changed in place")),
        };
        write(
            cx,
            &server,
            &inputs.name,
            (&inputs.rules, version),
            &cx.mark(),
        )
        .await
    }

    async fn write_mark(cx: &Context, inputs: &Inputs, facts: &Facts, mark: &Mark) -> Result<()> {
        let server = Server::of(cx, &inputs.connection, None).await?;
        write(
            cx,
            &server,
            &facts.name,
            (&facts.rules, facts.version),
            mark,
        )
        .await
    }

    async fn observe_recorded(
        cx: &Context,
        prior: &Self::Prior,
    ) -> Result<Option<Observed<Facts>>> {
        let recorded = prior.outputs.server_id.as_deref();
        let server = Server::of(cx, &prior.inputs.connection, recorded).await?;
        look(cx, &server, &prior.inputs.name).await
    }

    async fn delete(cx: &Context, prior: &Self::Prior, facts: &Facts) -> Result<()> {
        let server = Server::of(cx, &prior.inputs.connection, None).await?;
        let delete = api::delete_policy(&facts.name.0);
        server.client.call(cx, delete).await?;
        Ok(())
    }

    /// Whoever has it keeps it, and may do nothing by it. Its rules are in the inputs.
    async fn retain(cx: &Context, prior: &Self::Prior, facts: &Facts, mark: &Mark) -> Result<()> {
        let server = Server::of(cx, &prior.inputs.connection, None).await?;
        write(cx, &server, &facts.name, ("", facts.version), mark).await
    }
}

async fn look(cx: &Context, server: &Server, name: &PolicyName) -> Result<Option<Observed<Facts>>> {
    let found = server
        .client
        .find(cx, api::policy(&name.0), is_absent)
        .await?;
    Ok(found.map(|found| {
        let (comment, rules) = parted(&found.data.policy);
        Observed {
            ownership: Ownership::from_comment(comment),
            facts: Facts {
                name: name.clone(),
                rules: rules.to_owned(),
                version: found.data.version,
                server_id: server.server_id.clone(),
            },
        }
    }))
}

/// The comment in which the mark stands, and the rules.
fn parted(text: &str) -> (Option<&str>, &str) {
    let parts = text
        .strip_prefix("/*\n")
        .and_then(|text| text.split_once("*/\n"));
    match parts {
        Some((comment, rules)) if Mark::find_in(comment).is_some() => (Some(comment), rules),
        _ => (None, text),
    }
}

/// Writes rules and mark in one, if nobody has written it since.
async fn write(
    cx: &Context,
    server: &Server,
    name: &PolicyName,
    (rules, version): (&str, i64),
    mark: &Mark,
) -> Result<()> {
    let text = format!("/*\n{mark}\n*/\n{rules}");
    let request = api::write_policy(&name.0, &text, version);
    let Err(failure) = server.client.call(cx, request).await else {
        cx.failpoint("policy:written");
        return Ok(());
    };
    if failure
        .refusal()
        .is_none_or(|refusal| refusal.status != 400)
    {
        return Err(failure.into());
    }
    // OpenBao gives no code that tells bad rules from somebody who was quicker.
    let now = server
        .client
        .find(cx, api::policy(&name.0), is_absent)
        .await?;
    if now.map_or(NO_VERSION, |now| now.data.version) != version {
        return Err(changed(name));
    }
    Err(Error::from(failure).at("/rules"))
}

fn changed(name: &PolicyName) -> Error {
    let name = &name.0;
    Error::new(format!("somebody else has just changed policy {name}")).retry(Retry::UntilDeadline)
}
