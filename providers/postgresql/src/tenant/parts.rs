//! The role and the database that a tenant is made of, as their own kinds have
//! them: what is wanted, and what was recorded.

use nixops4_provider_sdk::{Error, Object, Prior, ResourceKind, Result};
use serde::de::DeserializeOwned;

use super::Inputs;
use crate::connection::Connection;
use crate::database::{self, Database};
use crate::name::Name;
use crate::role::{self, Role};

type Recorded = Prior<Object, Object>;

/// What is wanted.
pub(super) struct Parts {
    pub(super) role: role::Inputs,
    pub(super) database: database::Inputs,
}

impl Parts {
    pub(super) fn wanted(inputs: &Inputs) -> Result<Self> {
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
        Ok(Self { role, database })
    }
}

/// The inputs of a kind of which nothing is said but the name; the connection is to
/// be replaced.
fn defaults<T: DeserializeOwned>(name: &Name) -> Result<T> {
    let mut connection = Object::new();
    connection.insert("host".to_owned(), "".into());
    let mut inputs = Object::new();
    inputs.insert("connection".to_owned(), connection.into());
    inputs.insert("name".to_owned(), name.as_str().into());
    read(inputs)
}

fn read<T: DeserializeOwned>(object: Object) -> Result<T> {
    T::deserialize(object).map_err(|error| {
        Error::new("what makes up a tenant can't be read").because(error).hint(
            "the state was written by another program or edited; mend the record of this resource",
        )
    })
}

/// What was recorded, as the record of a role.
pub(super) fn prior_of_role(prior: &Recorded) -> Result<<Role as ResourceKind>::Prior> {
    let mut record = part(prior, "role", "roleOid")?;
    if let Some(inputs) = record
        .get_mut("inputs")
        .and_then(|inputs| inputs.as_object_mut())
    {
        for name in ["password", "reassignOwnedTo"] {
            if let Some(value) = prior.inputs.get(name) {
                inputs.insert(name.to_owned(), value.clone());
            }
        }
    }
    read(record)
}

/// What was recorded, as the record of a database.
pub(super) fn prior_of_database(prior: &Recorded) -> Result<<Database as ResourceKind>::Prior> {
    read(part(prior, "database", "databaseOid")?)
}

fn part(prior: &Recorded, name: &str, oid: &str) -> Result<Object> {
    let mut inputs = Object::new();
    if let Some(connection) = prior.inputs.get("connection") {
        inputs.insert("connection".to_owned(), connection.clone());
    }
    inputs.insert(
        "name".to_owned(),
        recorded_name(prior, name)?.as_str().into(),
    );
    let mut outputs = Object::new();
    for (name, recorded) in [("oid", oid), ("systemIdentifier", "systemIdentifier")] {
        if let Some(value) = prior.outputs.get(recorded) {
            outputs.insert(name.to_owned(), value.clone());
        }
    }
    let mut record = Object::new();
    record.insert("inputs".to_owned(), inputs.into());
    record.insert("outputs".to_owned(), outputs.into());
    Ok(record)
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
