//! What is to be done so that a database is as it is wanted, and how.

use nixops4_provider_sdk::{Context, Effect, Error, Mark, Result, Step, Value};
use serde::Serialize;

use super::create::create;
use super::facts::{Facts, look_up};
use super::inputs::Inputs;
use super::{creatable, obstacle, remove};
use crate::assume::Assumed;
use crate::lock::{self, Part};
use crate::name::Name;
use crate::server::{Server, leave_database, on_server, run};
use crate::settings::{self, Deviation, escape};
use crate::sql::{Ident, Literal};
use crate::{admin, comment, extension, failure};

/// One step.
#[derive(Debug, Clone)]
pub(crate) enum Change {
    Create,
    Rename {
        from: Name,
    },
    OwnerRole(Name),
    Tablespace(Name),
    ConnectionLimit,
    AllowConnections,
    IsTemplate,
    RevokePublic,
    Setting(Deviation),
    Extension(Name),
    Comment,
    /// A deletion was cut short: what it has shut is opened again.
    PutBack {
        oid: i64,
    },
    /// What can't be changed in place: the engine refuses it before this.
    Refused,
}

/// The steps from a database that is there to the one that is wanted.
pub(crate) fn difference(want: &Inputs, have: &Facts) -> Vec<Step<Change>> {
    let from = have.name.clone();
    let rename = Step::unless_same("/name", &have.name, &want.name, Change::Rename { from })
        .map(|step| step.note("renaming fails while anybody is connected to it"));
    let mut steps = Vec::new();
    if remove::is_being_dropped(have) {
        let (before, after) = (Value::known("being dropped"), Value::known("in service"));
        let step = Step::set("", before, after, Change::PutBack { oid: have.oid });
        steps.push(step.note("dropping it was cut short, and what that has shut is opened again"));
    }
    steps.extend(rename.map(|step| step.effect(Effect::Disruptive)));
    steps.extend(refusals(want, have));
    if let Some(role) = &want.owner_role {
        let change = Change::OwnerRole(role.clone());
        let (have, want) = (have.owner_role.as_str(), role.as_str());
        steps.extend(Step::unless_same("/ownerRole", have, want, change));
    }
    if let Some(tablespace) = &want.tablespace {
        let change = Change::Tablespace(tablespace.clone());
        let (have, want) = (have.tablespace.as_str(), tablespace.as_str());
        let step = Step::unless_same("/tablespace", have, want, change)
            .map(|step| step.note("moving its files fails while anybody is connected to it"));
        steps.extend(step.map(|step| step.effect(Effect::Disruptive)));
    }
    steps.extend(Step::unless_same(
        "/connectionLimit",
        have.connection_limit,
        i32::from(want.connection_limit),
        Change::ConnectionLimit,
    ));
    steps.extend(Step::unless_same(
        "/allowConnections",
        have.allow_connections,
        want.allow_connections,
        Change::AllowConnections,
    ));
    steps.extend(Step::unless_same(
        "/isTemplate",
        have.is_template,
        want.is_template,
        Change::IsTemplate,
    ));
    if want.revoke_public {
        let is_revoked = have.public_grantors.is_empty();
        steps.extend(Step::unless_same(
            "/revokePublic",
            is_revoked,
            true,
            Change::RevokePublic,
        ));
    }
    steps.extend(setting_steps(want, have));
    steps.extend(extension_steps(want, have));
    if let Some(wanted) = &want.comment {
        let wanted = comment::text(wanted);
        steps.extend(Step::unless_same(
            "/comment",
            have.text(),
            wanted,
            Change::Comment,
        ));
    }
    steps
}

fn setting_steps(want: &Inputs, have: &Facts) -> impl Iterator<Item = Step<Change>> {
    let wanted = want.settings.iter();
    let deviations = wanted.flat_map(|want| settings::deviations(want, &have.settings));
    deviations.map(|deviation| {
        let path = format!("/settings/{}", escape(deviation.name.as_str()));
        let (before, after) = (
            Value::known(&deviation.before),
            Value::known(&deviation.after),
        );
        Step::set(&path, before, after, Change::Setting(deviation))
    })
}

fn extension_steps(want: &Inputs, have: &Facts) -> impl Iterator<Item = Step<Change>> {
    let (there, missing): (Vec<_>, Vec<_>) = want.extensions.iter().partition(|wanted| {
        let there = have.extensions.as_ref();
        there.is_some_and(|there| there.contains(wanted.as_str()))
    });
    missing.into_iter().map(move |extension| {
        Step::set(
            "/extensions",
            Value::known(&there),
            Value::known(&want.extensions),
            Change::Extension(extension.clone()),
        )
    })
}

/// What a database keeps as it was created.
fn refusals(want: &Inputs, have: &Facts) -> Vec<Step<Change>> {
    let mut steps = Vec::new();
    if let Some(encoding) = &want.encoding
        && !have.has_wanted_encoding
    {
        steps.push(refused("/encoding", &have.encoding, encoding));
    }
    if let Some(provider) = want.locale_provider
        && have.locale_provider != Some(provider)
    {
        steps.push(refused("/localeProvider", have.locale_provider, provider));
    }
    let mut refused_locale = None;
    for (wanted, have) in [
        (want.collation(), &have.collation),
        (want.character_type(), &have.character_type),
    ] {
        // `locale` stands for both, and is refused once.
        if let Some((pointer, locale)) = wanted
            && !same_locale(have, locale)
            && refused_locale != Some(pointer)
        {
            refused_locale = Some(pointer);
            steps.push(refused(pointer, have, locale));
        }
    }
    if let Some((pointer, locale)) = want.provider_locale()
        && have
            .provider_locale
            .as_deref()
            .is_none_or(|have| !same_tag(have, locale))
    {
        steps.push(refused(pointer, &have.provider_locale, locale));
    }
    steps
}

fn refused(path: &str, have: impl Serialize, want: impl Serialize) -> Step<Change> {
    Step::set(
        path,
        Value::known(have),
        Value::known(want),
        Change::Refused,
    )
    .effect(Effect::Replace)
    .note(
        "a database keeps the encoding and locale that it was created with; declare a new one, \
             copy the data with pg_dump and pg_restore, and remove this one; or set the input back",
    )
}

/// The C library takes several spellings of a locale's codeset.
pub(super) fn same_locale(one: &str, other: &str) -> bool {
    let normal = |locale: &str| match locale.split_once('.') {
        Some((language, codeset)) => {
            format!(
                "{language}.{}",
                codeset.replace(['-', '_'], "").to_lowercase()
            )
        }
        None => locale.to_owned(),
    };
    normal(one) == normal(other)
}

/// From PostgreSQL 16 on `de_DE` is kept as `de-DE`.
pub(super) fn same_tag(one: &str, other: &str) -> bool {
    let normal = |tag: &str| tag.replace('_', "-").to_lowercase();
    normal(one) == normal(other)
}

/// Does one step.
pub(crate) async fn apply(cx: &Context, inputs: &Inputs, change: Change) -> Result<()> {
    let name = &inputs.name;
    let database = Ident(name);
    let (doing, part) = match change {
        Change::Create => return create(cx, inputs).await,
        Change::Rename { from } => return rename(cx, inputs, &from).await,
        Change::OwnerRole(role) => return give(cx, inputs, &role).await,
        Change::Tablespace(tablespace) => return relocate(cx, inputs, &tablespace).await,
        Change::RevokePublic => return revoke_public(cx, inputs).await,
        Change::Extension(extension) => return extend(cx, inputs, &extension).await,
        Change::PutBack { oid } => return put_back(cx, inputs, oid).await,
        Change::ConnectionLimit => (
            format!("unable to limit the connections of database {database}"),
            Part::of(
                "/connectionLimit",
                format!(
                    "ALTER DATABASE {database} CONNECTION LIMIT {}",
                    inputs.connection_limit
                ),
            ),
        ),
        Change::AllowConnections => (
            format!("unable to open or close database {database}"),
            Part::of(
                "/allowConnections",
                format!(
                    "ALTER DATABASE {database} ALLOW_CONNECTIONS {}",
                    inputs.allow_connections
                ),
            ),
        ),
        Change::IsTemplate => (
            format!("unable to make database {database} a template or none"),
            Part::of(
                "/isTemplate",
                format!(
                    "ALTER DATABASE {database} IS_TEMPLATE {}",
                    inputs.is_template
                ),
            ),
        ),
        Change::Setting(deviation) => (
            format!(
                "unable to set {} for database {database}",
                Ident(&deviation.name)
            ),
            Part::of(
                format!("/settings/{}", escape(deviation.name.as_str())),
                deviation.statement(&format!("ALTER DATABASE {database}")),
            ),
        ),
        Change::Comment => (
            format!("unable to comment on database {database}"),
            Part::of(
                "/comment",
                comment_on(name, inputs.comment.as_deref(), &cx.mark()),
            ),
        ),
        Change::Refused => {
            return Err(Error::new(format!(
                "database {database} can't be changed in place"
            )));
        }
    };
    on_server(cx, &inputs.connection, None, async |server| {
        let acting = admin::as_owner(server, name, &[]).await?;
        transact(cx, server, &doing, &acting, part).await
    })
    .await
}

/// Runs a part in a transaction, acting for somebody.
async fn transact(
    cx: &Context,
    server: &mut Server,
    doing: &str,
    acting: &Assumed,
    part: Part,
) -> Result<()> {
    let parts = [Part {
        statements: acting.around(&part.statements),
        ..part
    }];
    lock::transact_parts(cx, &mut server.connection, doing, &parts).await
}

/// It still has the name that it was to be dropped under.
async fn put_back(cx: &Context, inputs: &Inputs, oid: i64) -> Result<()> {
    on_server(cx, &inputs.connection, None, async |server| {
        let seen = look_up(server, Some(oid), &inputs.name, None, None).await?;
        match seen {
            Some(seen) => remove::put_back(cx, server, &seen.facts).await,
            None => Ok(()),
        }
    })
    .await
}

async fn rename(cx: &Context, inputs: &Inputs, from: &Name) -> Result<()> {
    let (old, new) = (Ident(from), Ident(&inputs.name));
    let doing = format!("unable to rename database {old} to {new}");
    leave_database(cx, &inputs.connection, from).await?;
    on_server(cx, &inputs.connection, None, async |server| {
        let acting = admin::as_owner(server, from, &[]).await?;
        let part = Part::plain(format!("ALTER DATABASE {old} RENAME TO {new}"));
        match transact(cx, server, &doing, &acting, part).await {
            Ok(()) => Ok(()),
            Err(error) => {
                let error = obstacle::name_users(server, from, &doing, error).await;
                Err(failure::taken_name(error))
            }
        }
    })
    .await
}

async fn give(cx: &Context, inputs: &Inputs, role: &Name) -> Result<()> {
    let (database, heir) = (Ident(&inputs.name), Ident(role));
    let doing = format!("unable to make {heir} the owner of database {database}");
    on_server(cx, &inputs.connection, None, async |server| {
        creatable::refuse_unmanaged_owner(server, role, &doing).await?;
        let acting = admin::as_owner(server, &inputs.name, &[role]).await?;
        let part = Part::of("/ownerRole", owner_change(inputs, role, &server.admin));
        transact(cx, server, &doing, &acting, part).await
    })
    .await
}

/// Gives a database to a role. What its owner has granted to the new one, or the
/// other way round, becomes one with the ownership.
pub(super) fn owner_change(inputs: &Inputs, role: &Name, admin: &admin::Admin) -> String {
    let statement = format!(
        "ALTER DATABASE {} OWNER TO {}",
        Ident(&inputs.name),
        Ident(role)
    );
    match public_revoked(inputs, admin) {
        Some(connect) => format!("{statement}; {connect}"),
        None => statement,
    }
}

/// What keeps the administrator able to connect where PUBLIC isn't.
pub(super) fn public_revoked(inputs: &Inputs, admin: &admin::Admin) -> Option<String> {
    (inputs.revoke_public && !admin.superuser).then(|| {
        format!(
            "GRANT CONNECT ON DATABASE {} TO {}",
            Ident(&inputs.name),
            Ident(&admin.name)
        )
    })
}

/// Who has granted PUBLIC something. Asked at the last moment: an earlier step may
/// have given the database to another role, or renamed one.
const PUBLIC_GRANTORS: &str = "
    SELECT DISTINCT r.rolname::text
    FROM pg_database d, aclexplode(coalesce(d.datacl, acldefault('d', d.datdba))) a
    JOIN pg_roles r ON r.oid = a.grantor
    WHERE d.datname = $1 AND a.grantee = 0";

async fn revoke_public(cx: &Context, inputs: &Inputs) -> Result<()> {
    let database = Ident(&inputs.name);
    let doing = format!("unable to take the privileges on database {database} from PUBLIC");
    on_server(cx, &inputs.connection, None, async |server| {
        let grantors: Vec<String> = sqlx::query_scalar(PUBLIC_GRANTORS)
            .bind(inputs.name.as_str())
            .fetch_all(&mut server.connection)
            .await
            .map_err(|error| failure::stating(&doing, &error))?;
        let grantors = grantors.into_iter().map(Name::of_server).collect::<Result<Vec<_>>>()?;
        let acting =
            admin::as_owner(server, &inputs.name, &grantors.iter().collect::<Vec<_>>()).await?;
        let mut statements = Vec::new();
        statements.extend(public_revoked(inputs, &server.admin));
        // Only who has granted a privilege can take it back.
        statements.extend(grantors.iter().map(|grantor| {
            format!(
                "SET LOCAL ROLE {}; REVOKE ALL ON DATABASE {database} FROM PUBLIC CASCADE; RESET ROLE",
                Ident(grantor)
            )
        }));
        let part = Part::of("/revokePublic", statements.join("; "));
        transact(cx, server, &doing, &acting, part).await
    })
    .await
}

/// Moving the files refuses a transaction.
async fn relocate(cx: &Context, inputs: &Inputs, tablespace: &Name) -> Result<()> {
    let (database, tablespace) = (Ident(&inputs.name), Ident(tablespace));
    let doing = format!("unable to move database {database} to tablespace {tablespace}");
    let statement = format!("ALTER DATABASE {database} SET TABLESPACE {tablespace}");
    leave_database(cx, &inputs.connection, &inputs.name).await?;
    on_server(cx, &inputs.connection, None, async |server| {
        let acting = admin::as_owner(server, &inputs.name, &[]).await?;
        let connection = &mut server.connection;
        lock::hold(cx, connection, &doing).await?;
        run(connection, &doing, acting.before()).await?;
        let moved = run(connection, &doing, statement).await;
        run(connection, &doing, acting.after()).await?;
        if let Err(error) = moved {
            let error = obstacle::name_users(server, &inputs.name, &doing, error).await;
            return Err(lock::blame(error, Some("/tablespace")));
        }
        lock::release(&mut server.connection).await
    })
    .await
}

/// Creates an extension that has to be there, in the schema and version that come
/// by themselves.
pub(super) async fn extend(cx: &Context, inputs: &Inputs, name: &Name) -> Result<()> {
    let wanted = extension::Wanted {
        name,
        schema: None,
        version: None,
        cascade: true,
    };
    extension::create(cx, &inputs.connection, &inputs.name, &wanted)
        .await
        .map_err(|error| match error.pointer() {
            Some("/name" | "/version" | "/schema" | "/cascade") => error.at("/extensions"),
            _ => error,
        })
}

/// The statement that writes the comment: a text for people and our mark.
pub(super) fn comment_on(name: &Name, text: Option<&str>, mark: &Mark) -> String {
    let comment = comment::with_mark(text, mark);
    format!(
        "COMMENT ON DATABASE {} IS {}",
        Ident(name),
        Literal(&comment)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spellings() {
        for (one, other, same) in [
            ("C.UTF-8", "C.utf8", true),
            ("de_DE.UTF-8", "de_DE.utf_8", true),
            ("de_DE.UTF-8", "de_AT.UTF-8", false),
            ("C", "POSIX", false),
        ] {
            assert_eq!(same_locale(one, other), same, "{one} {other}");
        }
        assert!(same_tag("de_DE", "de-DE"));
        assert!(!same_tag("de-DE", "de-AT"));
    }
}
