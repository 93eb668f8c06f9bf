//! The kind `postgresql_extension`.

mod create;
mod inputs;

use nixops4_provider_sdk::{
    Context, DeletionPolicy, Effect, Error, Found, Mark, Object, Observed, ResourceKind, Result,
    Step, Value,
};
use sqlx::postgres::{PgConnection, PgRow};

use crate::assume::For;
use crate::comment::with_mark;
use crate::connection::Connection;
use crate::everywhere;
use crate::failure;
use crate::inside::{self, Recorded, Whereabouts};
use crate::name::Name;
use crate::server::{column, predicted_outputs};
use crate::sql::{Ident, Literal};
use crate::witness::{self, Class, Witness};

use create::explain;
pub(crate) use create::{Wanted, create};
use inputs::{Identity, Inputs, Outputs};

/// An extension as the catalog has it.
#[derive(Debug, Clone)]
pub(crate) struct Facts {
    oid: i64,
    name: Name,
    schema: Name,
    version: String,
    /// Whether its objects can be moved to another schema.
    relocatable: bool,
    owner_role: Name,
    comment: Option<String>,
    /// Whether it comes with a way to the wanted version.
    updates_to_wanted: bool,
    /// The versions that the server has; only looked up if another is wanted.
    available: Vec<String>,
    witness: Witness,
    whereabouts: Whereabouts,
}

/// One step. `owner` decides who may.
#[derive(Debug, Clone)]
pub(crate) enum Change {
    Create,
    Schema {
        to: Name,
        owner: Name,
    },
    Version {
        to: String,
        owner: Name,
    },
    /// What can't be changed in place: the engine refuses it before this.
    Refused,
}

/// The files of extensions are only read where another version is wanted.
const COLUMNS: &str = "
    e.oid::int8, e.extname::text, n.nspname::text, e.extversion, e.extrelocatable,
           r.rolname::text, obj_description(e.oid, 'pg_extension'),
           CASE WHEN $3::text <> e.extversion THEN EXISTS (
               SELECT FROM pg_extension_update_paths(e.extname) p
               WHERE p.source = e.extversion AND p.target = $3 AND p.path IS NOT NULL)
           ELSE true END,
           CASE WHEN $3 <> e.extversion THEN ARRAY(
               SELECT v.version FROM pg_available_extension_versions v
               WHERE v.name = e.extname ORDER BY v.version)
           ELSE '{}' END";

const FROM: &str = "
    FROM pg_extension e
    JOIN pg_namespace n ON n.oid = e.extnamespace
    JOIN pg_roles r ON r.oid = e.extowner
    WHERE e.oid = $1::int8::oid OR e.extname = $2
    ORDER BY e.oid = $1::int8::oid DESC
    LIMIT 1";

/// See [`Inputs`].
pub(crate) struct Extension;

impl ResourceKind for Extension {
    const TYPE: &'static str = "postgresql_extension";
    const DELETION_POLICY: DeletionPolicy = DeletionPolicy::Retain;
    const LOCATED_BY: &'static [&'static str] = &["connection", "database", "name"];
    const LISTS: bool = true;

    type Inputs = Inputs;
    type Outputs = Outputs;
    type Prior = Recorded;
    type Identity = Identity;
    type Facts = Facts;
    type Change = Change;

    fn validate(inputs: &Inputs) -> Result<()> {
        if inputs
            .version
            .as_ref()
            .is_some_and(|version| version.is_empty() || version.contains('\0'))
        {
            return Err(Error::input(
                "/version",
                "this can't be empty or have a NUL character in it",
            )
            .hint("leave version out for the server's default"));
        }
        Ok(())
    }

    fn identity(inputs: &Inputs) -> Identity {
        Identity {
            server: inputs.connection.to_string(),
            database: inputs.database.clone(),
            extension: inputs.name.clone(),
        }
    }

    fn recorded_identity(prior: &Recorded) -> Result<Identity> {
        let inputs = &prior.inputs;
        Ok(Identity {
            server: inputs.connection.to_string(),
            database: inputs.database.clone(),
            extension: inputs.name.clone(),
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
            name: facts.name.as_str().to_owned(),
            host: inputs.connection.host.clone(),
            port: inputs.connection.port,
            schema: facts.schema.as_str().to_owned(),
            version: facts.version.clone(),
            oid: facts.oid,
            whereabouts: facts.whereabouts.clone(),
        }
    }

    fn predict(inputs: &Inputs) -> Object {
        let mut outputs = predicted_outputs(inputs.name.as_str(), &inputs.connection);
        outputs.insert("database".to_owned(), inputs.database.as_str().into());
        if let Some(schema) = &inputs.schema {
            outputs.insert("schema".to_owned(), schema.as_str().into());
        }
        if let Some(version) = &inputs.version {
            outputs.insert("version".to_owned(), version.as_str().into());
        }
        outputs
    }

    async fn observe(
        cx: &Context,
        inputs: &Inputs,
        prior: Option<&Recorded>,
    ) -> Result<Option<Observed<Facts>>> {
        let version = inputs.version.as_deref();
        inside::observe(
            cx,
            &inputs.connection,
            &inputs.database,
            prior,
            async |server, oid, here| {
                look_up(cx, &mut server.connection, oid, &inputs.name, version, here).await
            },
        )
        .await
    }

    async fn apply(cx: &Context, inputs: &Inputs, change: Change) -> Result<()> {
        let extension = Ident(&inputs.name);
        let (owner, doing, statement) = match change {
            Change::Create => {
                let wanted = Wanted {
                    name: &inputs.name,
                    schema: inputs.schema.as_ref(),
                    version: inputs.version.as_deref(),
                    cascade: inputs.cascade,
                };
                return create(cx, &inputs.connection, &inputs.database, &wanted).await;
            }
            Change::Schema { to, owner } => (
                owner,
                format!(
                    "unable to move extension {extension} to the schema {}",
                    Ident(&to)
                ),
                format!("ALTER EXTENSION {extension} SET SCHEMA {}", Ident(&to)),
            ),
            Change::Version { to, owner } => (
                owner,
                format!("unable to update extension {extension} to version {to}"),
                format!("ALTER EXTENSION {extension} UPDATE TO {}", Literal(&to)),
            ),
            Change::Refused => {
                return Err(Error::new(format!(
                    "extension {extension} can't be changed in place"
                )));
            }
        };
        let whom = For {
            roles: &[owner.as_str()],
            database_owner: true,
        };
        let (at, database) = (&inputs.connection, &inputs.database);
        match inside::change(cx, at, database, &whom, &doing, &statement).await {
            Ok(()) => Ok(()),
            Err(error) => {
                let wanted = Wanted {
                    name: &inputs.name,
                    schema: inputs.schema.as_ref(),
                    version: inputs.version.as_deref(),
                    cascade: inputs.cascade,
                };
                Err(explain(cx, at, database, &wanted, error).await)
            }
        }
    }

    async fn write_mark(cx: &Context, inputs: &Inputs, facts: &Facts, mark: &Mark) -> Result<()> {
        let doing = format!("unable to mark extension {}", Ident(&facts.name));
        mark_it(cx, &inputs.connection, facts, mark, &doing).await
    }

    async fn observe_recorded(cx: &Context, prior: &Recorded) -> Result<Option<Observed<Facts>>> {
        inside::observe_recorded(cx, prior, async |server, oid, here| {
            look_up(
                cx,
                &mut server.connection,
                oid,
                &prior.inputs.name,
                None,
                here,
            )
            .await
        })
        .await
    }

    async fn delete(cx: &Context, prior: &Recorded, facts: &Facts) -> Result<()> {
        let extension = Ident(&facts.name);
        let doing = format!("unable to drop extension {extension}");
        let database = Name::of_server(facts.whereabouts.database.clone())?;
        let whom = For {
            roles: &[facts.owner_role.as_str()],
            database_owner: false,
        };
        // Somebody else may be dropping it as well.
        let statement = format!("DROP EXTENSION IF EXISTS {extension}");
        inside::change(
            cx,
            &prior.inputs.connection,
            &database,
            &whom,
            &doing,
            &statement,
        )
        .await
        .map_err(|error| {
            if error.code() == Some(failure::DEPENDENT_OBJECTS) {
                error.hint(
                    "drop or change what uses it first, since dropping it would take that along; \
                         or set deletionPolicy = \"retain\"",
                )
            } else {
                error
            }
        })
    }

    async fn retain(cx: &Context, prior: &Recorded, facts: &Facts, mark: &Mark) -> Result<()> {
        let doing = format!("unable to retire extension {}", Ident(&facts.name));
        mark_it(cx, &prior.inputs.connection, facts, mark, &doing).await
    }

    async fn list(cx: &Context, inputs: &Inputs) -> Result<Vec<Found>> {
        let at = &inputs.connection;
        everywhere::list(cx, at, async |server, database| {
            let question = format!(
                "SELECT e.extname::text, obj_description(e.oid, 'pg_extension'), e.extversion,
                        e.oid::int8, {}
                 FROM pg_extension e ORDER BY e.extname",
                witness::inside()
            );
            let rows = sqlx::query(sqlx::AssertSqlSafe(question))
                .fetch_all(&mut server.connection)
                .await
                .map_err(|error| failure::stating("unable to list extensions", &error))?;
            let place = (at, database, server.id.as_str());
            let found = rows.iter().map(|row| listed(cx, place, row));
            found.filter_map(Result::transpose).collect()
        })
        .await
    }
}

fn difference(want: &Inputs, have: &Facts) -> Vec<Step<Change>> {
    let mut steps = Vec::new();
    let owner = || have.owner_role.clone();
    if have.name != want.name {
        let step = Step::set(
            "/name",
            Value::known(&have.name),
            Value::known(&want.name),
            Change::Refused,
        );
        steps.push(step.effect(Effect::Replace).note(
            "an extension has the name of its files; declare the other one under a new member, and \
             remove this one",
        ));
    }
    if let Some(to) = &want.version
        && *to != have.version
    {
        let step = |change| {
            Step::set(
                "/version",
                Value::known(&have.version),
                Value::known(to),
                change,
            )
        };
        steps.push(if have.updates_to_wanted {
            step(Change::Version {
                to: to.clone(),
                owner: owner(),
            })
        } else {
            let note = no_way(&have.version, to, &have.available);
            step(Change::Refused).effect(Effect::Replace).note(note)
        });
    }
    if let Some(to) = &want.schema
        && *to != have.schema
    {
        let step = |change| {
            Step::set(
                "/schema",
                Value::known(&have.schema),
                Value::known(to),
                change,
            )
        };
        steps.push(if have.relocatable {
            step(Change::Schema { to: to.clone(), owner: owner() })
                .effect(Effect::Disruptive)
                .note("whoever names its objects with the old schema finds them no more")
        } else {
            step(Change::Refused).effect(Effect::Replace).note(
                "this extension can't be moved to another schema; drop it and create it anew by hand, \
                 or set the input back",
            )
        });
    }
    steps
}

fn no_way(from: &str, to: &str, available: &[String]) -> String {
    let versions = available.join(", ");
    if available.iter().any(|version| version == to) {
        format!(
            "the extension comes with no way from {from} to {to} (the server has {versions}); dropping \
             it and creating the other one would lose what depends on it; set the input back, or do \
             that by hand"
        )
    } else {
        format!(
            "the server doesn't have version {to}, but {}; install its files on the server, or set \
             version to one of these",
            if available.is_empty() {
                "none at all any more"
            } else {
                &versions
            }
        )
    }
}

async fn look_up(
    cx: &Context,
    connection: &mut PgConnection,
    oid: Option<i64>,
    name: &Name,
    version: Option<&str>,
    whereabouts: Whereabouts,
) -> Result<Option<Observed<Facts>>> {
    let (witnesses, has_place) = (witness::inside(), witness::HAS_PLACE);
    let question = format!("SELECT {COLUMNS}, {witnesses}, {has_place} {FROM}");
    let row = sqlx::query(sqlx::AssertSqlSafe(question))
        .bind(oid)
        .bind(name.as_str())
        .bind(version)
        .fetch_optional(connection)
        .await
        .map_err(|error| {
            failure::stating(
                &format!("unable to look up extension {}", Ident(name)),
                &error,
            )
        })?;
    let Some(row) = row else { return Ok(None) };
    let this = (Class::Extension, column(&row, 0)?);
    let witnesses: Vec<String> = column(&row, 9)?;
    let server = &whereabouts.system_identifier;
    let facts = Facts {
        oid: this.1,
        name: Name::of_server(column(&row, 1)?)?,
        schema: Name::of_server(column(&row, 2)?)?,
        version: column(&row, 3)?,
        relocatable: column(&row, 4)?,
        owner_role: Name::of_server(column(&row, 5)?)?,
        comment: column(&row, 6)?,
        updates_to_wanted: column(&row, 7)?,
        available: column(&row, 8)?,
        witness: Witness::of_thing(&witnesses, column(&row, 10)?, this, server),
        whereabouts,
    };
    let recorded = (oid == Some(facts.oid)).then(|| cx.mark());
    let ownership = facts.witness.ownership(facts.comment.as_deref(), recorded);
    Ok(Some(Observed { facts, ownership }))
}

async fn mark_it(
    cx: &Context,
    at: &Connection,
    facts: &Facts,
    mark: &Mark,
    doing: &str,
) -> Result<()> {
    let database = Name::of_server(facts.whereabouts.database.clone())?;
    let text = with_mark(facts.comment.as_deref(), mark);
    let whom = For {
        roles: &[facts.owner_role.as_str()],
        database_owner: false,
    };
    inside::change_marked(
        cx,
        at,
        &database,
        &whom,
        doing,
        &comment(&facts.name, &text),
        (Class::Extension, &facts.name, mark),
    )
    .await
}

fn comment(name: &Name, text: &str) -> String {
    format!("COMMENT ON EXTENSION {} IS {}", Ident(name), Literal(text))
}

fn listed(
    cx: &Context,
    (at, database, server): (&Connection, &Name, &str),
    row: &PgRow,
) -> Result<Option<Found>> {
    let of = (Class::Extension, server);
    let Some(mark) = witness::ours_inside(row, [1, 3, 4], of, &cx.mark())? else {
        return Ok(None);
    };
    let (extension, version): (String, String) = (column(row, 0)?, column(row, 2)?);
    let mut identity = Object::new();
    identity.insert("server".to_owned(), at.to_string().into());
    identity.insert("database".to_owned(), database.as_str().into());
    identity.insert("extension".to_owned(), extension.into());
    let mut facts = Object::new();
    facts.insert("version".to_owned(), version.into());
    Ok(Some(Found {
        identity: identity.into(),
        mark,
        facts,
    }))
}
