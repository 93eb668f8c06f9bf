//! The kind `postgresql_default_privileges`.

use std::collections::BTreeSet;
use std::fmt;

use nixops4_provider_sdk::{Context, Error, Object, Prior, RecordedInputs, Relation, Result, Step};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::acl::{Class, Mode, Privilege};
use crate::connection::{Connection, Reach};
use crate::current_privileges::Selection;
use crate::name::Name;
use crate::object::plural;
use crate::privilege_kind::{self, Change, Facts, Outputs, RecordedOutputs};
use crate::reconcile::{Recorded, Wish};

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
        out.write_str(&privilege_kind::describe(
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

type Record = Prior<RecordedInputs<Inputs>, RecordedOutputs>;

fn recorded(prior: &Record) -> Recorded {
    prior.outputs.of(wish(&prior.inputs))
}

impl Relation for DefaultPrivileges {
    const TYPE: &'static str = "postgresql_default_privileges";
    const IDENTITY_INPUTS: &'static [&'static str] = &[
        "connection",
        "database",
        "creator",
        "schema",
        "role",
        "objectType",
    ];
    const CREATE: Change = Change::Fulfil;

    type Reach = Reach;
    type Inputs = Inputs;
    type Outputs = Outputs;
    type Prior = Record;
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
        privilege_kind::validate(&wish(inputs))
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
        Ok(Self::identity(&prior.inputs))
    }

    fn diff(want: &Inputs, have: &Facts) -> Vec<Step<Change>> {
        privilege_kind::steps(&wish(want), have)
    }

    fn outputs(inputs: &Inputs, facts: &Facts) -> Outputs {
        privilege_kind::outputs(&wish(inputs), facts)
    }

    fn predict(inputs: &Inputs) -> Object {
        privilege_kind::predict(&wish(inputs))
    }

    async fn observe(
        cx: &Context,
        inputs: &Inputs,
        prior: Option<&Self::Prior>,
    ) -> Result<Option<Facts>> {
        privilege_kind::observe(cx, &wish(inputs), prior.map(recorded)).await
    }

    async fn apply(cx: &Context, inputs: &Inputs, change: Change) -> Result<()> {
        let whose = Self::identity(inputs).to_string();
        privilege_kind::apply(cx, &wish(inputs), &whose, change).await
    }

    async fn observe_recorded(cx: &Context, prior: &Self::Prior) -> Result<Option<Facts>> {
        privilege_kind::observe_recorded(cx, recorded(prior)).await
    }

    async fn delete(cx: &Context, prior: &Self::Prior, _: &Facts) -> Result<()> {
        let whose = Self::identity(&prior.inputs).to_string();
        privilege_kind::delete(cx, &recorded(prior), &whose).await
    }
}
