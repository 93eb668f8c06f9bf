//! The role and the database that a tenant is made of, as their own kinds have
//! them: what is wanted, and what was recorded.

use nixops4_provider_sdk::composite::{Halves, InputsOf, PriorsOf};
use nixops4_provider_sdk::{Error, Fields as _, Object, Prior, Result};
use serde::de::DeserializeOwned;

use super::{Inputs, Tenant};
use crate::connection::Connection;
use crate::name::Name;
use crate::{database, role};

type Recorded = Prior<Object, Object>;

/// What is wanted.
pub(super) fn wanted(inputs: &Inputs) -> Result<InputsOf<Tenant>> {
    let connection = &inputs.connection;
    let role = role::Inputs {
        connection: connection.clone(),
        password: inputs.password.clone(),
        verify_password: inputs.verify_password,
        connection_limit: inputs.role_connection_limit,
        reassign_owned_to: inputs.reassign_owned_to.clone(),
        ..defaults(inputs.role_name())?
    };
    let database = database::Inputs {
        connection: connection.clone(),
        owner_role: Some(inputs.role_name().clone()),
        encoding: inputs.encoding.clone(),
        locale: inputs.locale.clone(),
        connection_limit: inputs.connection_limit,
        revoke_public: inputs.revoke_public,
        extensions: inputs.extensions.clone(),
        ..defaults(inputs.database_name())?
    };
    Ok(Halves {
        first: role,
        second: database,
    })
}

/// The inputs of a kind of which nothing is said but the name; the connection is to
/// be replaced.
fn defaults<T: DeserializeOwned>(name: &Name) -> Result<T> {
    let connection = Object::new().with("host", "");
    read(
        Object::new()
            .with("connection", connection)
            .with("name", name),
    )
}

fn read<T: DeserializeOwned>(object: Object) -> Result<T> {
    T::deserialize(object).map_err(|error| {
        Error::new("what makes up a tenant can't be read").because(error).hint(
            "the state was written by another program or edited; mend the record of this resource",
        )
    })
}

/// What was recorded, as the records of a role and of a database.
pub(super) fn recorded(prior: &Recorded) -> Result<PriorsOf<Tenant>> {
    Ok(Halves {
        first: part(prior, "role", "roleOid", &["password", "reassignOwnedTo"])?,
        second: part(prior, "database", "databaseOid", &[])?,
    })
}

/// The record of a part, with more of the inputs that it has the same.
fn part<T: DeserializeOwned>(prior: &Recorded, name: &str, oid: &str, more: &[&str]) -> Result<T> {
    let mut inputs = Object::new().with("name", &recorded_name(prior, name)?);
    for name in ["connection"].iter().chain(more) {
        inputs = inputs.with_some(name, prior.inputs.get(*name).cloned());
    }
    let outputs = Object::new()
        .with_some("oid", prior.outputs.get(oid).cloned())
        .with_some("serverId", prior.outputs.get("serverId").cloned());
    read(
        Object::new()
            .with("inputs", inputs)
            .with("outputs", outputs),
    )
}

/// The name that was recorded for the role or the database.
pub(super) fn recorded_name(prior: &Recorded, part: &str) -> Result<Name> {
    let inputs = &prior.inputs;
    let name = inputs
        .get(part)
        .or_else(|| inputs.get("name"))
        .and_then(|name| name.as_str());
    let name = name.ok_or_else(|| {
        Error::input(
            "/inputs/name",
            "what was recorded of this tenant has no name",
        )
        .hint("the state was edited; mend the record of this resource")
    })?;
    Name::of_server(name.to_owned())
}

/// The server that was recorded.
pub(super) fn connection(prior: &Recorded) -> Result<Connection> {
    let connection = prior
        .inputs
        .get("connection")
        .and_then(|connection| connection.as_object());
    read(connection.cloned().unwrap_or_default())
}
