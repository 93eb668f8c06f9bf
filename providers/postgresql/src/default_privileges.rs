//! The kind `postgresql_default_privileges`.

use std::collections::BTreeSet;
use std::fmt;

use nixops4_provider_sdk::{
    Context, DeletionPolicy, Error, Mark, Object, Observed, Prior, ResourceKind, Result, Step,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::acl::{Class, Mode, Privilege};
use crate::connection::Connection;
use crate::entitlement::{self, Change, Facts, Outputs, RecordedOutputs};
use crate::granting::{Recorded, Wish};
use crate::holding::Selection;
use crate::name::Name;
use crate::place::plural;

/// What one role, or everybody, may do with the objects that another role makes
/// from now on: ALTER DEFAULT PRIVILEGES. What is there already is left alone; for
/// that see the kind `postgresql_grant`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Inputs {
    /// The server.
    pub(crate) connection: Connection,
    /// The database in which the objects will be made.
    pub(crate) database: Name,
    /// The role that will make them. Objects of other roles aren't affected, not
    /// even if those are members of it, unless they SET ROLE to it first.
    pub(crate) creator: Name,
    /// The schema in which they will be made. Unset: in each. What is set for
    /// one schema adds to what is set for each, and can't take from it: that
    /// everybody may execute functions and use types is revoked with no schema.
    #[serde(default)]
    pub(crate) schema: Option<Name>,
    /// The role that gets the privileges; `public` for everybody (PUBLIC).
    pub(crate) role: Name,
    /// What the objects are.
    pub(crate) object_type: ObjectType,
    /// What the role may do; `ALL` for whatever such objects have on this server.
    /// Empty: nothing, in the mode `authoritative`.
    pub(crate) privileges: BTreeSet<Privilege>,
    /// Whether the role may pass these privileges on.
    #[serde(default)]
    pub(crate) grant_option: bool,
    /// What is done about the role's other default privileges there.
    /// `authoritative`: they are revoked. `additive`: they are left alone;
    /// privileges that leave the list are only revoked where there is state to
    /// tell that they were in it.
    #[serde(default)]
    pub(crate) mode: Mode,
}

/// What of a record is still of use.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct PriorInputs {
    connection: Connection,
    database: Name,
    creator: Name,
    #[serde(default)]
    schema: Option<Name>,
    role: Name,
    object_type: ObjectType,
    privileges: BTreeSet<Privilege>,
    #[serde(default)]
    grant_option: bool,
    #[serde(default)]
    mode: Mode,
}

/// What there are default privileges for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) enum ObjectType {
    /// Tables, views, materialized views and foreign tables.
    Table,
    /// Sequences.
    Sequence,
    /// Functions, procedures and aggregates.
    Function,
    /// Types and domains.
    Type,
    /// Schemas; only without `schema`.
    Schema,
    /// Large objects; only without `schema`, and from PostgreSQL 18 on.
    LargeObject,
}

impl ObjectType {
    fn class(self) -> Class {
        match self {
            Self::Table => Class::Table,
            Self::Sequence => Class::Sequence,
            Self::Function => Class::Function,
            Self::Type => Class::Type,
            Self::Schema => Class::Schema,
            Self::LargeObject => Class::LargeObject,
        }
    }
}

/// Of whom, for whose objects, of which sort, and where.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Identity {
    server: String,
    database: Name,
    creator: Name,
    schema: Option<Name>,
    role: Name,
    object_type: ObjectType,
    /// Additive ones can stand beside each other.
    adds: Option<BTreeSet<Privilege>>,
    #[serde(skip)]
    connection: Connection,
}

impl fmt::Display for Identity {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = plural(self.object_type.class()).to_lowercase();
        let creator = self.creator.as_str();
        let what = match &self.schema {
            Some(schema) => {
                format!(
                    "future {kind} of role {creator:?} in schema {:?}",
                    schema.as_str()
                )
            }
            None => format!("future {kind} of role {creator:?}"),
        };
        let database = Some(&self.database);
        out.write_str(&entitlement::describe(
            &self.connection,
            database,
            &self.role,
            &what,
        ))
    }
}

/// See [`Inputs`].
pub(crate) struct DefaultPrivileges;

fn wish(inputs: &Inputs) -> Wish {
    Wish {
        connection: inputs.connection.clone(),
        database: Some(inputs.database.clone()),
        role: inputs.role.clone(),
        selection: Selection {
            class: inputs.object_type.class(),
            schema: inputs.schema.clone(),
            objects: Vec::new(),
            all: false,
            columns: Vec::new(),
            creators: vec![inputs.creator.clone()],
            creators_at: "/creator",
        },
        privileges: inputs.privileges.clone(),
        grantable: inputs.grant_option,
        mode: inputs.mode,
        // A default has not been passed on to anybody.
        cascade: false,
    }
}

/// The inputs that were recorded.
fn former(prior: &PriorInputs) -> Inputs {
    Inputs {
        connection: prior.connection.clone(),
        database: prior.database.clone(),
        creator: prior.creator.clone(),
        schema: prior.schema.clone(),
        role: prior.role.clone(),
        object_type: prior.object_type,
        privileges: prior.privileges.clone(),
        grant_option: prior.grant_option,
        mode: prior.mode,
    }
}

fn recorded(prior: &Prior<PriorInputs, RecordedOutputs>) -> Recorded {
    prior.outputs.of(wish(&former(&prior.inputs)))
}

fn whose(prior: &Prior<PriorInputs, RecordedOutputs>) -> String {
    DefaultPrivileges::identity(&former(&prior.inputs)).to_string()
}

impl ResourceKind for DefaultPrivileges {
    const TYPE: &'static str = "postgresql_default_privileges";
    const DELETION_POLICY: DeletionPolicy = DeletionPolicy::Delete;
    const LOCATED_BY: &'static [&'static str] = &[
        "connection",
        "database",
        "creator",
        "schema",
        "role",
        "objectType",
    ];

    type Inputs = Inputs;
    type Outputs = Outputs;
    type Prior = Prior<PriorInputs, RecordedOutputs>;
    type Identity = Identity;
    type Facts = Facts;
    type Change = Change;

    fn validate(inputs: &Inputs) -> Result<()> {
        let only_global = matches!(
            inputs.object_type,
            ObjectType::Schema | ObjectType::LargeObject
        );
        if only_global && inputs.schema.is_some() {
            let kind = plural(inputs.object_type.class()).to_lowercase();
            return Err(Error::input("/schema", format!("{kind} are in no schema"))
                .hint("leave this unset"));
        }
        entitlement::validate(&wish(inputs))
    }

    fn identity(inputs: &Inputs) -> Identity {
        Identity {
            server: inputs.connection.to_string(),
            database: inputs.database.clone(),
            creator: inputs.creator.clone(),
            schema: inputs.schema.clone(),
            role: inputs.role.clone(),
            object_type: inputs.object_type,
            adds: (inputs.mode == Mode::Additive).then(|| inputs.privileges.clone()),
            connection: inputs.connection.clone(),
        }
    }

    fn recorded_identity(prior: &Self::Prior) -> Result<Identity> {
        Ok(Self::identity(&former(&prior.inputs)))
    }

    fn diff(want: &Inputs, have: Option<&Facts>) -> Vec<Step<Change>> {
        entitlement::steps(&wish(want), have)
    }

    fn outputs(inputs: &Inputs, facts: &Facts) -> Outputs {
        entitlement::outputs(&wish(inputs), facts)
    }

    fn predict(inputs: &Inputs) -> Object {
        entitlement::predict(&wish(inputs))
    }

    async fn observe(
        cx: &Context,
        inputs: &Inputs,
        prior: Option<&Self::Prior>,
    ) -> Result<Option<Observed<Facts>>> {
        entitlement::observe(cx, &wish(inputs), prior.map(recorded)).await
    }

    async fn apply(cx: &Context, inputs: &Inputs, change: Change) -> Result<()> {
        let whose = Self::identity(inputs).to_string();
        entitlement::apply(cx, &wish(inputs), &whose, change).await
    }

    async fn write_mark(_: &Context, _: &Inputs, _: &Facts, _: &Mark) -> Result<()> {
        // A default privilege has no place for a mark.
        Ok(())
    }

    async fn observe_recorded(
        cx: &Context,
        prior: &Self::Prior,
    ) -> Result<Option<Observed<Facts>>> {
        entitlement::observe_recorded(cx, recorded(prior)).await
    }

    async fn delete(cx: &Context, prior: &Self::Prior, _: &Facts) -> Result<()> {
        entitlement::delete(cx, &recorded(prior), &whose(prior)).await
    }

    async fn retain(_: &Context, prior: &Self::Prior, _: &Facts, _: &Mark) -> Result<()> {
        Err(entitlement::retained(&whose(prior)))
    }
}
