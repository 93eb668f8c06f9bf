//! The kind `postgresql_grant`.

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
use crate::place::{plural, split_signature};

/// What one role, or everybody, may do with some objects that are there: GRANT
/// and REVOKE. For objects that are made later see `futureBy` and the kind
/// `postgresql_default_privileges`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Inputs {
    /// The server.
    pub(crate) connection: Connection,
    /// The database that the objects are in. Unset for databases and tablespaces,
    /// which are in none; required for everything else.
    #[serde(default)]
    pub(crate) database: Option<Name>,
    /// The role that has the privileges; `public` for everybody (PUBLIC).
    pub(crate) role: Name,
    /// What the objects are.
    pub(crate) object_type: ObjectType,
    /// The schema that the objects are in: required for tables, sequences,
    /// functions and types, unset for everything else.
    #[serde(default)]
    pub(crate) schema: Option<Name>,
    /// Names of the objects, taken as they stand. A function is named with the
    /// types of its arguments, such as `total(integer, text)`, and those that
    /// aren't built in with their schema; a name with a parenthesis in it stands
    /// in double quotes.
    #[serde(default)]
    pub(crate) objects: Vec<String>,
    /// In place of `objects`: every object of this type that is in the schema
    /// when this is applied. One that is made later shows as a difference then;
    /// see `futureBy`.
    #[serde(default)]
    pub(crate) all_objects: bool,
    /// With `allObjects`: roles for whose future objects of this type in this
    /// schema the same holds, from the moment that they make them (ALTER DEFAULT
    /// PRIVILEGES). PostgreSQL keeps that for each role that makes objects: name
    /// those that run the application's migrations.
    #[serde(default)]
    pub(crate) future_by: Vec<Name>,
    /// Columns: the privileges are on these columns of each of the tables, not on
    /// the tables. Privileges on tables and on columns are kept apart: a grant on
    /// a table never changes those on its columns, nor the other way round, and
    /// who may read a table reads each of its columns.
    #[serde(default)]
    pub(crate) columns: Vec<Name>,
    /// What the role may do; `ALL` for whatever such objects have on this server.
    /// Empty: nothing, in the mode `authoritative`.
    pub(crate) privileges: BTreeSet<Privilege>,
    /// Whether the role may pass these privileges on.
    #[serde(default)]
    pub(crate) grant_option: bool,
    /// What is done about the role's other privileges on these objects.
    /// `authoritative`: they are revoked, whoever granted them; one resource for
    /// each role and object. `additive`: they are left alone; privileges that
    /// leave the list are only revoked where there is state to tell that they
    /// were in it.
    #[serde(default)]
    pub(crate) mode: Mode,
    /// Whether revoking a privilege also takes it from those to whom the role has
    /// passed it on; without it, that is an error.
    #[serde(default)]
    pub(crate) cascade: bool,
}

/// What of a record is still of use.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct PriorInputs {
    connection: Connection,
    #[serde(default)]
    database: Option<Name>,
    role: Name,
    object_type: ObjectType,
    #[serde(default)]
    schema: Option<Name>,
    #[serde(default)]
    objects: Vec<String>,
    #[serde(default)]
    all_objects: bool,
    #[serde(default)]
    future_by: Vec<Name>,
    #[serde(default)]
    columns: Vec<Name>,
    privileges: BTreeSet<Privilege>,
    #[serde(default)]
    grant_option: bool,
    #[serde(default)]
    mode: Mode,
    #[serde(default)]
    cascade: bool,
}

/// What can be granted on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) enum ObjectType {
    /// Databases.
    Database,
    /// Tablespaces.
    Tablespace,
    /// Schemas.
    Schema,
    /// Tables, views, materialized views and foreign tables.
    Table,
    /// Sequences.
    Sequence,
    /// Functions, procedures and aggregates.
    Function,
    /// Types and domains.
    Type,
    /// Procedural languages.
    Language,
    /// Foreign servers.
    ForeignServer,
    /// Foreign-data wrappers.
    ForeignDataWrapper,
}

impl ObjectType {
    fn class(self) -> Class {
        match self {
            Self::Database => Class::Database,
            Self::Tablespace => Class::Tablespace,
            Self::Schema => Class::Schema,
            Self::Table => Class::Table,
            Self::Sequence => Class::Sequence,
            Self::Function => Class::Function,
            Self::Type => Class::Type,
            Self::Language => Class::Language,
            Self::ForeignServer => Class::ForeignServer,
            Self::ForeignDataWrapper => Class::ForeignDataWrapper,
        }
    }

    /// Whether all databases share them.
    fn is_shared(self) -> bool {
        matches!(self, Self::Database | Self::Tablespace)
    }

    fn is_in_schema(self) -> bool {
        matches!(
            self,
            Self::Table | Self::Sequence | Self::Function | Self::Type
        )
    }

    fn words(self) -> String {
        plural(self.class()).to_lowercase()
    }
}

/// Which objects of which server, and of whom.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Identity {
    server: String,
    database: Option<Name>,
    role: Name,
    object_type: ObjectType,
    schema: Option<Name>,
    /// Sorted, so that the order in which they are written means nothing.
    objects: BTreeSet<String>,
    columns: BTreeSet<Name>,
    /// Additive grants on the same objects can stand beside each other.
    adds: Option<BTreeSet<Privilege>>,
    #[serde(skip)]
    connection: Connection,
}

impl fmt::Display for Identity {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let objects: Vec<_> = self
            .objects
            .iter()
            .map(|name| format!("{name:?}"))
            .collect();
        let kind = self.object_type.words();
        let mut what = match &objects[..] {
            [] => format!("all {kind}"),
            objects => format!("the {kind} {}", objects.join(", ")),
        };
        if let Some(schema) = &self.schema {
            what = format!("{what} of schema {:?}", schema.as_str());
        }
        if !self.columns.is_empty() {
            let columns: Vec<_> = self
                .columns
                .iter()
                .map(|name| format!("{:?}", name.as_str()))
                .collect();
            what = format!("columns {} of {what}", columns.join(", "));
        }
        let database = self.database.as_ref();
        out.write_str(&entitlement::describe(
            &self.connection,
            database,
            &self.role,
            &what,
        ))
    }
}

/// See [`Inputs`].
pub(crate) struct Grant;

fn wish(inputs: &Inputs) -> Wish {
    Wish {
        connection: inputs.connection.clone(),
        database: inputs.database.clone(),
        role: inputs.role.clone(),
        selection: Selection {
            class: inputs.object_type.class(),
            schema: inputs.schema.clone(),
            objects: inputs.objects.clone(),
            all: inputs.all_objects,
            columns: inputs.columns.clone(),
            creators: inputs.future_by.clone(),
            creators_at: "/futureBy/*",
        },
        privileges: inputs.privileges.clone(),
        grantable: inputs.grant_option,
        mode: inputs.mode,
        cascade: inputs.cascade,
    }
}

/// The inputs that were recorded.
fn former(prior: &PriorInputs) -> Inputs {
    Inputs {
        connection: prior.connection.clone(),
        database: prior.database.clone(),
        role: prior.role.clone(),
        object_type: prior.object_type,
        schema: prior.schema.clone(),
        objects: prior.objects.clone(),
        all_objects: prior.all_objects,
        future_by: prior.future_by.clone(),
        columns: prior.columns.clone(),
        privileges: prior.privileges.clone(),
        grant_option: prior.grant_option,
        mode: prior.mode,
        cascade: prior.cascade,
    }
}

fn recorded(prior: &Prior<PriorInputs, RecordedOutputs>) -> Recorded {
    prior.outputs.of(wish(&former(&prior.inputs)))
}

fn whose(prior: &Prior<PriorInputs, RecordedOutputs>) -> String {
    Grant::identity(&former(&prior.inputs)).to_string()
}

impl ResourceKind for Grant {
    const TYPE: &'static str = "postgresql_grant";
    const DELETION_POLICY: DeletionPolicy = DeletionPolicy::Delete;
    const LOCATED_BY: &'static [&'static str] = &[
        "connection",
        "database",
        "role",
        "objectType",
        "schema",
        "objects",
        "allObjects",
        "futureBy",
        "columns",
    ];

    type Inputs = Inputs;
    type Outputs = Outputs;
    type Prior = Prior<PriorInputs, RecordedOutputs>;
    type Identity = Identity;
    type Facts = Facts;
    type Change = Change;

    fn validate(inputs: &Inputs) -> Result<()> {
        validate_place(inputs)?;
        validate_objects(inputs)?;
        entitlement::validate(&wish(inputs))
    }

    fn identity(inputs: &Inputs) -> Identity {
        Identity {
            server: inputs.connection.to_string(),
            database: inputs.database.clone(),
            role: inputs.role.clone(),
            object_type: inputs.object_type,
            schema: inputs.schema.clone(),
            objects: inputs.objects.iter().cloned().collect(),
            columns: inputs.columns.iter().cloned().collect(),
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
        // A privilege has no place for a mark.
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

/// Checks which of `database` and `schema` have to be set.
fn validate_place(inputs: &Inputs) -> Result<()> {
    let kind = inputs.object_type;
    let words = kind.words();
    match (&inputs.database, kind.is_shared()) {
        (None, false) => {
            return Err(Error::input(
                "/database",
                format!("{words} are in a database: say in which"),
            )
            .hint("use the `name` output of a database"));
        }
        (Some(_), true) => {
            return Err(
                Error::input("/database", format!("{words} are in no database")).hint(format!(
                    "leave this unset, and name the {words} in `objects`"
                )),
            );
        }
        _ => {}
    }
    match (&inputs.schema, kind.is_in_schema()) {
        (None, true) => Err(Error::input(
            "/schema",
            format!("{words} are in a schema: say in which"),
        )
        .hint("use \"public\" for what was made without naming one")),
        (Some(_), false) => Err(
            Error::input("/schema", format!("{words} are in no schema")).hint(format!(
                "leave this unset, and name the {words} in `objects`"
            )),
        ),
        _ => Ok(()),
    }
}

/// Checks which objects are named, and how.
fn validate_objects(inputs: &Inputs) -> Result<()> {
    let kind = inputs.object_type;
    let words = kind.words();
    if inputs.all_objects && !inputs.objects.is_empty() {
        return Err(
            Error::input("/allObjects", "both `objects` and `allObjects` are set")
                .hint("leave one of them out"),
        );
    }
    if inputs.all_objects && !kind.is_in_schema() {
        return Err(Error::input(
            "/allObjects",
            format!("{words} have to be named one by one"),
        )
        .hint("name them in `objects`"));
    }
    if !inputs.all_objects && inputs.objects.is_empty() {
        return Err(Error::input("/objects", format!("no {words} are named"))
            .hint("name some; or set allObjects = true for all in a schema"));
    }
    for (position, object) in inputs.objects.iter().enumerate() {
        let name = if kind == ObjectType::Function {
            split_signature(object).map(|(name, _)| name)
        } else {
            Name::try_from(object.clone())
        };
        name.map_err(|problem| Error::input(format!("/objects/{position}"), problem))?;
    }
    if !inputs.future_by.is_empty() && !inputs.all_objects {
        return Err(Error::input("/futureBy", "future objects have no names yet")
            .hint("set allObjects = true, or use postgresql_default_privileges for future objects alone"));
    }
    if !inputs.columns.is_empty() && (kind != ObjectType::Table || inputs.all_objects) {
        return Err(Error::input(
            "/columns",
            "only tables that are named in `objects` have columns here",
        )
        .hint("set objectType = \"table\" and name the tables"));
    }
    for (pointer, position) in [
        ("/objects", entitlement::repeated(&inputs.objects)),
        ("/columns", entitlement::repeated(&inputs.columns)),
        ("/futureBy", entitlement::repeated(&inputs.future_by)),
    ] {
        if let Some(position) = position {
            return Err(Error::input(
                format!("{pointer}/{position}"),
                "this stands in the list twice",
            ));
        }
    }
    Ok(())
}
