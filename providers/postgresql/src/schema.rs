//! The kind `postgresql_schema`.

mod inputs;

use std::fmt::Write as _;

use nixops4_provider_sdk::{
    Context, DeletionPolicy, Error, Found, Mark, Object, Observed, ResourceKind, Result, Step,
    Value,
};
use sqlx::postgres::{PgConnection, PgRow};

use crate::assume::For;
use crate::comment::with_mark;
use crate::connection::Connection;
use crate::everywhere;
use crate::inside::{self, Recorded, Whereabouts};
use crate::name::Name;
use crate::server::{column, predicted_outputs};
use crate::sql::{Ident, Literal};
use crate::witness::{self, Class, Witness};
use crate::{admin, failure};

use inputs::{Identity, Inputs, Outputs};

/// A schema as the catalog has it.
#[derive(Debug, Clone)]
pub(crate) struct Facts {
    oid: i64,
    name: Name,
    owner_role: Name,
    comment: Option<String>,
    witness: Witness,
    whereabouts: Whereabouts,
}

/// One step. What is there is named with it, because that decides who may.
#[derive(Debug, Clone)]
pub(crate) enum Change {
    Create,
    Rename { from: Name, owner: Name },
    OwnerRole { from: Name, to: Name },
}

const COLUMNS: &str =
    "n.oid::int8, n.nspname::text, r.rolname::text, obj_description(n.oid, 'pg_namespace')";

const FROM: &str = "
    FROM pg_namespace n JOIN pg_roles r ON r.oid = n.nspowner
    WHERE n.oid = $1::int8::oid OR n.nspname = $2
    ORDER BY n.oid = $1::int8::oid DESC
    LIMIT 1";

/// Everybody who has a privilege on a schema, and all of them as JSON.
const PRIVILEGES: &str = "
    SELECT array_agg(DISTINCT coalesce(quote_ident(g.rolname), 'PUBLIC')),
           json_agg(json_build_array(g.rolname, a.privilege_type, a.is_grantable))::text
    FROM pg_namespace n, aclexplode(coalesce(nspacl, acldefault('n', nspowner))) a
    LEFT JOIN pg_roles g ON g.oid = a.grantee
    WHERE n.oid = $1::int8::oid";

/// The statements that give back what [`PRIVILEGES`] gave, to whoever is still there.
const GIVE_BACK: &str = "
    SELECT string_agg(format('GRANT %s ON SCHEMA %I TO %s%s', p ->> 1, $2,
               coalesce(quote_ident(p ->> 0), 'PUBLIC'),
               CASE WHEN (p ->> 2)::bool AND p ->> 0 IS NOT NULL THEN ' WITH GRANT OPTION' ELSE '' END), '; ')
    FROM json_array_elements($1::json) p
    WHERE p ->> 1 IN ('USAGE', 'CREATE')
      AND (p ->> 0 IS NULL OR p ->> 0 IN (SELECT rolname FROM pg_roles))";

/// What the line of the comment begins with that keeps the privileges.
const KEPT: &str = "nixops4-resources-privileges: ";

/// See [`Inputs`].
pub(crate) struct Schema;

impl ResourceKind for Schema {
    const TYPE: &'static str = "postgresql_schema";
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
        let name = inputs.name.as_str();
        if name.starts_with("pg_") || name == "information_schema" {
            return Err(Error::input(
                "/name",
                format!("PostgreSQL keeps the name {name:?} for itself"),
            )
            .hint("choose a name that doesn't begin with pg_ and isn't information_schema"));
        }
        Ok(())
    }

    fn identity(inputs: &Inputs) -> Identity {
        Identity {
            server: inputs.connection.to_string(),
            database: inputs.database.clone(),
            schema: inputs.name.clone(),
        }
    }

    fn recorded_identity(prior: &Recorded) -> Result<Identity> {
        let inputs = &prior.inputs;
        Ok(Identity {
            server: inputs.connection.to_string(),
            database: inputs.database.clone(),
            schema: inputs.name.clone(),
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
            owner_role: facts.owner_role.as_str().to_owned(),
            oid: facts.oid,
            whereabouts: facts.whereabouts.clone(),
        }
    }

    fn predict(inputs: &Inputs) -> Object {
        let mut outputs = predicted_outputs(inputs.name.as_str(), &inputs.connection);
        outputs.insert("database".to_owned(), inputs.database.as_str().into());
        if let Some(role) = &inputs.owner_role {
            outputs.insert("ownerRole".to_owned(), role.as_str().into());
        }
        outputs
    }

    async fn observe(
        cx: &Context,
        inputs: &Inputs,
        prior: Option<&Recorded>,
    ) -> Result<Option<Observed<Facts>>> {
        inside::observe(
            cx,
            &inputs.connection,
            &inputs.database,
            prior,
            async |server, oid, here| {
                look_up(cx, &mut server.connection, oid, &inputs.name, here).await
            },
        )
        .await
    }

    async fn apply(cx: &Context, inputs: &Inputs, change: Change) -> Result<()> {
        let schema = Ident(&inputs.name);
        match change {
            Change::Create => {
                let doing = format!("unable to create schema {schema}");
                let mut statements = format!("CREATE SCHEMA {schema}");
                if let Some(role) = &inputs.owner_role {
                    let _ = write!(statements, " AUTHORIZATION {}", Ident(role));
                }
                let mark = cx.mark();
                let _ = write!(statements, "; {}", comment(&inputs.name, &mark.to_string()));
                let roles: Vec<_> = inputs.owner_role.iter().map(Name::as_str).collect();
                let marked = Some((&inputs.name, &mark));
                alter(cx, inputs, &roles, &doing, &statements, marked).await
            }
            Change::Rename { from, owner } => {
                let old = Ident(&from);
                let doing = format!("unable to rename schema {old} to {schema}");
                let statement = format!("ALTER SCHEMA {old} RENAME TO {schema}");
                let done = alter(cx, inputs, &[owner.as_str()], &doing, &statement, None).await;
                done.map_err(failure::taken_name)
            }
            Change::OwnerRole { from, to } => {
                let doing = format!("unable to make {} the owner of schema {schema}", Ident(&to));
                let statement = format!("ALTER SCHEMA {schema} OWNER TO {}", Ident(&to));
                alter(
                    cx,
                    inputs,
                    &[from.as_str(), to.as_str()],
                    &doing,
                    &statement,
                    None,
                )
                .await
            }
        }
    }

    async fn write_mark(cx: &Context, inputs: &Inputs, facts: &Facts, mark: &Mark) -> Result<()> {
        let name = &facts.name;
        let doing = format!("unable to mark schema {}", Ident(name));
        let (kept, others) = kept_privileges(facts.comment.as_deref());
        let mut statements = comment(name, &with_mark(Some(&others), mark));
        if let Some(kept) = kept {
            let given = give_back(cx, inputs, name, &kept, &doing).await?;
            statements.push_str(&given.map(|given| format!("; {given}")).unwrap_or_default());
        }
        alter(
            cx,
            inputs,
            &[facts.owner_role.as_str()],
            &doing,
            &statements,
            Some((name, mark)),
        )
        .await
    }

    async fn observe_recorded(cx: &Context, prior: &Recorded) -> Result<Option<Observed<Facts>>> {
        inside::observe_recorded(cx, prior, async |server, oid, here| {
            look_up(cx, &mut server.connection, oid, &prior.inputs.name, here).await
        })
        .await
    }

    async fn delete(cx: &Context, prior: &Recorded, facts: &Facts) -> Result<()> {
        let schema = Ident(&facts.name);
        let doing = format!("unable to drop schema {schema}");
        // Somebody else may be dropping it as well.
        let statement = format!("DROP SCHEMA IF EXISTS {schema} CASCADE");
        remove(cx, prior, facts, &doing, &statement, None).await
    }

    async fn retain(cx: &Context, prior: &Recorded, facts: &Facts, mark: &Mark) -> Result<()> {
        let schema = Ident(&facts.name);
        let doing = format!("unable to retire schema {schema}");
        let found = inside::observe_recorded(cx, prior, async |server, _, _| {
            let row = sqlx::query(PRIVILEGES)
                .bind(facts.oid)
                .fetch_one(&mut server.connection)
                .await
                .map_err(|error| failure::stating(&doing, &error))?;
            let holders: Option<Vec<String>> = column(&row, 0)?;
            let privileges: Option<String> = column(&row, 1)?;
            Ok(holders.zip(privileges))
        })
        .await?;
        let (_, others) = kept_privileges(facts.comment.as_deref());
        let mut text = with_mark(Some(&others), mark);
        let mut revoked = String::new();
        if let Some((holders, privileges)) = found {
            let _ = write!(text, "\n{KEPT}{privileges}");
            revoked = format!(
                "; REVOKE ALL ON SCHEMA {schema} FROM {} CASCADE",
                holders.join(", ")
            );
        }
        let statements = format!("{}{revoked}", comment(&facts.name, &text));
        let marked = Some((&facts.name, mark));
        remove(cx, prior, facts, &doing, &statements, marked).await
    }

    async fn list(cx: &Context, inputs: &Inputs) -> Result<Vec<Found>> {
        let at = &inputs.connection;
        everywhere::list(cx, at, async |server, database| {
            let question = format!(
                "SELECT n.nspname::text, obj_description(n.oid, 'pg_namespace'), r.rolname::text,
                        n.oid::int8, {}
                 FROM pg_namespace n JOIN pg_roles r ON r.oid = n.nspowner ORDER BY n.nspname",
                witness::inside()
            );
            let rows = sqlx::query(sqlx::AssertSqlSafe(question))
                .fetch_all(&mut server.connection)
                .await
                .map_err(|error| failure::stating("unable to list schemas", &error))?;
            let place = (at, database, server.id.as_str());
            let found = rows.iter().map(|row| listed(cx, place, row));
            found.filter_map(Result::transpose).collect()
        })
        .await
    }
}

fn difference(want: &Inputs, have: &Facts) -> Vec<Step<Change>> {
    let mut steps = Vec::new();
    if have.name != want.name {
        let change = Change::Rename {
            from: have.name.clone(),
            owner: have.owner_role.clone(),
        };
        steps.push(Step::set(
            "/name",
            Value::known(&have.name),
            Value::known(&want.name),
            change,
        ));
    }
    if let Some(role) = &want.owner_role
        && *role != have.owner_role
    {
        let change = Change::OwnerRole {
            from: have.owner_role.clone(),
            to: role.clone(),
        };
        steps.push(Step::set(
            "/ownerRole",
            Value::known(&have.owner_role),
            Value::known(role),
            change,
        ));
    }
    steps
}

async fn look_up(
    cx: &Context,
    connection: &mut PgConnection,
    oid: Option<i64>,
    name: &Name,
    whereabouts: Whereabouts,
) -> Result<Option<Observed<Facts>>> {
    let (witnesses, has_place) = (witness::inside(), witness::HAS_PLACE);
    let question = format!("SELECT {COLUMNS}, {witnesses}, {has_place} {FROM}");
    let row = sqlx::query(sqlx::AssertSqlSafe(question))
        .bind(oid)
        .bind(name.as_str())
        .fetch_optional(connection)
        .await
        .map_err(|error| {
            failure::stating(&format!("unable to look up schema {}", Ident(name)), &error)
        })?;
    let Some(row) = row else { return Ok(None) };
    let this = (Class::Schema, column(&row, 0)?);
    let witnesses: Vec<String> = column(&row, 4)?;
    let server = &whereabouts.system_identifier;
    let facts = Facts {
        oid: this.1,
        name: Name::of_server(column(&row, 1)?)?,
        owner_role: Name::of_server(column(&row, 2)?)?,
        comment: column(&row, 3)?,
        witness: Witness::of_thing(&witnesses, column(&row, 5)?, this, server),
        whereabouts,
    };
    let recorded = (oid == Some(facts.oid)).then(|| cx.mark());
    let ownership = facts.witness.ownership(facts.comment.as_deref(), recorded);
    Ok(Some(Observed { facts, ownership }))
}

async fn alter(
    cx: &Context,
    inputs: &Inputs,
    roles: &[&str],
    doing: &str,
    statements: &str,
    marked: Option<(&Name, &Mark)>,
) -> Result<()> {
    let whom = For {
        roles,
        database_owner: true,
    };
    let place = (&inputs.connection, &inputs.database);
    let done = change(cx, place, &whom, doing, statements, marked).await;
    let (Err(error), Some(role)) = (&done, &inputs.owner_role) else {
        return done;
    };
    let named = [("/ownerRole", role)];
    Err(admin::blame_absent_role(cx, &inputs.connection, error.clone(), &named).await)
}

/// Runs statements in a database; `marked` is the schema that they mark, if they do.
async fn change(
    cx: &Context,
    (at, database): (&Connection, &Name),
    whom: &For<'_>,
    doing: &str,
    statements: &str,
    marked: Option<(&Name, &Mark)>,
) -> Result<()> {
    match marked {
        Some((name, mark)) => {
            let marked = (Class::Schema, name, mark);
            inside::change_marked(cx, at, database, whom, doing, statements, marked).await
        }
        None => inside::change(cx, at, database, whom, doing, statements).await,
    }
}

async fn remove(
    cx: &Context,
    prior: &Recorded,
    facts: &Facts,
    doing: &str,
    statements: &str,
    marked: Option<(&Name, &Mark)>,
) -> Result<()> {
    let database = Name::of_server(facts.whereabouts.database.clone())?;
    let whom = For {
        roles: &[facts.owner_role.as_str()],
        database_owner: true,
    };
    let place = (&prior.inputs.connection, &database);
    change(cx, place, &whom, doing, statements, marked).await
}

async fn give_back(
    cx: &Context,
    inputs: &Inputs,
    name: &Name,
    kept: &str,
    doing: &str,
) -> Result<Option<String>> {
    inside::observe(cx, &inputs.connection, &inputs.database, None, async |server, _, _| {
        let row = sqlx::query(GIVE_BACK)
            .bind(kept)
            .bind(name.as_str())
            .fetch_one(&mut server.connection)
            .await
            .map_err(|error| {
                failure::stating(doing, &error).hint(format!(
                    "the line of the schema's comment that begins with {KEPT:?} was edited; mend or \
                     remove it"
                ))
            })?;
        column(&row, 0)
    })
    .await
}

/// The privileges that a comment keeps, and its other lines.
fn kept_privileges(comment: Option<&str>) -> (Option<String>, String) {
    let lines = || comment.unwrap_or_default().lines();
    let kept = lines()
        .find_map(|line| line.strip_prefix(KEPT))
        .map(ToOwned::to_owned);
    let others: Vec<_> = lines().filter(|line| !line.starts_with(KEPT)).collect();
    (kept, others.join("\n"))
}

fn comment(name: &Name, text: &str) -> String {
    format!("COMMENT ON SCHEMA {} IS {}", Ident(name), Literal(text))
}

fn listed(
    cx: &Context,
    (at, database, server): (&Connection, &Name, &str),
    row: &PgRow,
) -> Result<Option<Found>> {
    let of = (Class::Schema, server);
    let Some(mark) = witness::ours_inside(row, [1, 3, 4], of, &cx.mark())? else {
        return Ok(None);
    };
    let (schema, owner_role): (String, String) = (column(row, 0)?, column(row, 2)?);
    let mut identity = Object::new();
    identity.insert("server".to_owned(), at.to_string().into());
    identity.insert("database".to_owned(), database.as_str().into());
    identity.insert("schema".to_owned(), schema.into());
    let mut facts = Object::new();
    facts.insert("ownerRole".to_owned(), owner_role.into());
    Ok(Some(Found {
        identity: identity.into(),
        mark,
        facts,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kept_privileges_are_one_line_of_the_comment() {
        for (comment, kept, others) in [
            (None, None, ""),
            (Some("one\ntwo"), None, "one\ntwo"),
            (
                Some("one\nnixops4-resources-privileges: []\ntwo"),
                Some("[]"),
                "one\ntwo",
            ),
        ] {
            let found = kept_privileges(comment);
            assert_eq!(found, (kept.map(ToOwned::to_owned), others.to_owned()));
        }
    }
}
