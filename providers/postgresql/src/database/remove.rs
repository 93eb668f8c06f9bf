//! Dropping a database, and taking it out of service.
//!
//! What is shut for dropping is opened again if that comes to nothing. Until it is, a
//! line of the comment says how it was: whoever was killed in between leaves it to the
//! next who destroys or applies the same.

use std::fmt::Write as _;

use nixops4_provider_sdk::{Context, DeletionPolicy, Error, Mark, ResourceKind, Result, Retry};
use serde::{Deserialize, Serialize};
use sqlx::postgres::PgRow;

use super::facts::{Facts, look_up};
use super::obstacle::{
    Obstacle, Purpose, end_failed, goes_along, in_the_way, made_a_template, obstacles, stays_behind,
};
use super::{Database, create, marking};
use crate::name::Name;
use crate::server::{Server, column, leave_database, on_server, run};
use crate::sql::{Ident, Literal};
use crate::{admin, failure, lock, sessions};

type Prior = <Database as ResourceKind>::Prior;

/// What the line of the comment begins with.
const LINE: &str = "nixops4-resources-deleting: ";

/// How a database was before it was shut.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Before {
    /// The owner, where an administrator makes itself the owner.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    owner: Option<String>,
    /// What that administrator could do with it as somebody else's, which its being the
    /// owner swallows.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    privileges: Vec<Privilege>,
    allow_connections: bool,
    is_template: bool,
}

/// A privilege on the database.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Privilege {
    name: DatabasePrivilege,
    grantable: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
enum DatabasePrivilege {
    Connect,
    Create,
    Temporary,
}

impl DatabasePrivilege {
    fn keyword(self) -> &'static str {
        match self {
            Self::Connect => "CONNECT",
            Self::Create => "CREATE",
            Self::Temporary => "TEMPORARY",
        }
    }
}

impl Before {
    /// As the comment has it.
    fn of_comment(comment: Option<&str>) -> Option<Self> {
        let mut lines = comment.unwrap_or_default().lines();
        let line = lines.find_map(|line| line.strip_prefix(LINE))?;
        serde_json::from_str(line).ok()
    }
}

/// A comment without the line.
pub(super) fn without_line(comment: &str) -> String {
    let others: Vec<_> = comment
        .lines()
        .filter(|line| !line.starts_with(LINE))
        .collect();
    others.join("\n")
}

/// Whether it was to be dropped, and is still as it was shut for that.
pub(super) fn is_being_dropped(facts: &Facts) -> bool {
    Before::of_comment(facts.comment.as_deref()).is_some()
}

/// Drops a database.
pub(super) async fn delete(cx: &Context, prior: &Prior, facts: &Facts) -> Result<()> {
    let doing = format!("unable to drop database {}", Ident(&facts.name));
    let at = &prior.inputs.connection;
    leave_database(cx, at, &facts.name).await?;
    on_server(cx, at, None, async |server| {
        let Err(failed) = try_to_drop(cx, server, prior, facts, &doing).await else {
            return Ok(());
        };
        let explained = explained(server, facts, &doing, failed).await;
        // Where the connection is lost, the next one does it.
        if let Err(error) = open_again(cx, server, facts).await {
            tracing::warn!("{error}");
        }
        Err(explained)
    })
    .await
}

async fn try_to_drop(
    cx: &Context,
    server: &mut Server,
    prior: &Prior,
    facts: &Facts,
    doing: &str,
) -> Result<()> {
    let Some(now) = look_again(server, facts).await? else {
        // Another process was quicker.
        return Ok(());
    };
    // One that a crash has left half dropped is closed, and can't be altered.
    if !now.is_half_dropped() {
        let standing = obstacles(server, &now.name, Purpose::Drop).await?;
        if !standing.is_empty() {
            return Err(in_the_way(doing, &standing));
        }
        // Before anything is waited for: no session holds that up, then.
        if let Err(error) = shut_out(cx, prior, server, &now, doing).await {
            end_failed(server, doing).await?;
            match look_again(server, facts).await? {
                None => return Ok(()),
                // Another process is just dropping it.
                Some(now) if now.is_half_dropped() => {}
                Some(_) => return Err(error),
            }
        }
        cx.failpoint("database:shut-out");
    }
    lock::hold(cx, &mut server.connection, doing).await?;
    let Some(now) = look_again(server, facts).await? else {
        return lock::release(&mut server.connection).await;
    };
    if !now.is_half_dropped() {
        take(cx, server, &now, doing).await?;
    }
    cx.failpoint("database:closed");
    drop_it(server, &now, doing).await?;
    lock::release(&mut server.connection).await
}

/// The same database as it is now.
async fn look_again(server: &mut Server, facts: &Facts) -> Result<Option<Facts>> {
    let seen = look_up(server, Some(facts.oid), &facts.name, None, None).await?;
    let is_it = |now: &Facts| now.oid == facts.oid && now.name == facts.name;
    Ok(seen.map(|seen| seen.facts).filter(is_it))
}

/// Closes it and ends the sessions in it, and writes down how it was.
async fn shut_out(
    cx: &Context,
    prior: &Prior,
    server: &mut Server,
    now: &Facts,
    doing: &str,
) -> Result<()> {
    // One that isn't ready was nobody's, and is made anew.
    let written_down = if create::is_staged(now.name.as_str()) {
        String::new()
    } else {
        writing_down(server, now, doing).await?
    };
    let (at, this) = (&prior.inputs.connection, (&now.name, now.oid));
    sessions::shut_out_database(cx, at, server, this, &written_down).await
}

/// The statement that writes down how it was before it was shut.
async fn writing_down(server: &mut Server, now: &Facts, doing: &str) -> Result<String> {
    let superuser = server.admin.superuser;
    let is_ours = superuser || now.owner_role == server.admin.name.as_str();
    // What its owner has written there before it was shut says nothing, and whose it was
    // says only the line of what we have made our own.
    let former = Before::of_comment(now.comment.as_deref()).filter(|_| !now.allow_connections);
    let before = match former {
        Some(former) if is_ours => former,
        former => Before {
            owner: (!superuser).then(|| now.owner_role.clone()),
            privileges: privileges(server, now, doing).await?,
            allow_connections: former
                .as_ref()
                .map_or(now.allow_connections, |former| former.allow_connections),
            is_template: former
                .as_ref()
                .map_or(now.is_template, |former| former.is_template),
        },
    };
    let line = serde_json::to_string(&before).map_err(|error| Error::new(doing).because(error))?;
    let rest = without_line(now.comment.as_deref().unwrap_or_default());
    let comment = format!("{rest}\n{LINE}{line}");
    let (database, comment) = (Ident(&now.name), Literal(&comment));
    Ok(format!("COMMENT ON DATABASE {database} IS {comment}"))
}

/// Dropping refuses a transaction, so nobody can be acted for: it is made our own
/// before. A template can't be dropped.
async fn take(cx: &Context, server: &mut Server, now: &Facts, doing: &str) -> Result<()> {
    let database = Ident(&now.name);
    let mut statements = format!(
        "ALTER DATABASE {database} IS_TEMPLATE false; \
         ALTER DATABASE {database} ALLOW_CONNECTIONS false; {}",
        admin::send_off(&format!("a.datid = {}", now.oid))
    );
    if !server.admin.superuser {
        let me = Ident(&server.admin.name);
        let _ = write!(statements, "; ALTER DATABASE {database} OWNER TO {me}");
    }
    let acting = admin::as_owner(server, &now.name, &[]).await?;
    let statements = acting.around(&statements);
    lock::transact_on(cx, &mut server.connection, doing, &statements).await
}

/// What the administrator may do with a database that is another's.
async fn privileges(server: &mut Server, now: &Facts, doing: &str) -> Result<Vec<Privilege>> {
    if server.admin.superuser || now.owner_role == server.admin.name.as_str() {
        return Ok(Vec::new());
    }
    let rows = sqlx::query(
        "SELECT a.privilege_type, bool_or(a.is_grantable)
         FROM pg_database d, aclexplode(d.datacl) a JOIN pg_roles r ON r.oid = a.grantee
         WHERE d.oid = $1::int8::oid AND r.rolname = current_user
         GROUP BY a.privilege_type ORDER BY a.privilege_type",
    )
    .bind(now.oid)
    .fetch_all(&mut server.connection)
    .await
    .map_err(|error| failure::stating(doing, &error))?;
    let read = |row: &PgRow| {
        let name = match column::<String>(row, 0)?.as_str() {
            "CONNECT" => DatabasePrivilege::Connect,
            "CREATE" => DatabasePrivilege::Create,
            "TEMPORARY" => DatabasePrivilege::Temporary,
            _ => return Ok(None),
        };
        let grantable = column(row, 1)?;
        Ok(Some(Privilege { name, grantable }))
    };
    rows.iter()
        .map(read)
        .filter_map(Result::transpose)
        .collect()
}

async fn drop_it(server: &mut Server, now: &Facts, doing: &str) -> Result<()> {
    // Whoever is still connected is sent off: to delete is what was asked for.
    // FORCE fails at once for a session that this role may not end, even if
    // it is just about to; without it the server waits.
    let force = if server.admin.superuser {
        " WITH (FORCE)"
    } else {
        ""
    };
    let statement = format!("DROP DATABASE {}{force}", Ident(&now.name));
    run(&mut server.connection, doing, statement).await
}

/// The server's refusal, with what has come into the way since it was looked.
async fn explained(server: &mut Server, now: &Facts, doing: &str, failed: Error) -> Error {
    if failed.code() != Some(failure::OBJECT_IN_USE) {
        return failed;
    }
    match obstacles(server, &now.name, Purpose::Dropped).await {
        Ok(standing) if !standing.is_empty() => in_the_way(doing, &standing),
        // They are gone by now.
        Ok(_) => failed.retry(Retry::Briefly),
        Err(_) => failed,
    }
}

/// Undoes what [`shut_out`] and [`take`] did, now or before somebody was killed.
async fn open_again(cx: &Context, server: &mut Server, facts: &Facts) -> Result<()> {
    end_failed(server, "unable to look at the database again").await?;
    let Some(now) = look_again(server, facts).await? else {
        return Ok(());
    };
    let Some(before) = Before::of_comment(now.comment.as_deref()) else {
        return Ok(());
    };
    // What is in it is gone, and it can't be altered.
    if now.is_half_dropped() {
        return Ok(());
    }
    let (doing, statements) = putting_back(server, &now, &before).await?;
    // It may be the lock that could not be had: this doesn't wait for it.
    let statements = format!("BEGIN; {statements}; COMMIT");
    run(&mut server.connection, &doing, statements).await?;
    cx.failpoint("database:opened-again");
    Ok(())
}

/// Puts back what was shut so that the database could be dropped.
pub(super) async fn put_back(cx: &Context, server: &mut Server, now: &Facts) -> Result<()> {
    match Before::of_comment(now.comment.as_deref()) {
        Some(before) => be_as(cx, server, now, &before).await,
        None => Ok(()),
    }
}

async fn be_as(cx: &Context, server: &mut Server, now: &Facts, before: &Before) -> Result<()> {
    let (doing, statements) = putting_back(server, now, before).await?;
    lock::transact_on(cx, &mut server.connection, &doing, &statements).await
}

/// What is done, and the statements that do it.
async fn putting_back(
    server: &mut Server,
    now: &Facts,
    before: &Before,
) -> Result<(String, String)> {
    let database = Ident(&now.name);
    let doing = format!("unable to put database {database} back in service");
    let owner = former_owner(server, now, before).await?;
    let others: Vec<_> = owner.iter().collect();
    let acting = admin::as_owner(server, &now.name, &others).await?;
    let rest = without_line(now.comment.as_deref().unwrap_or_default());
    let mut statements = format!("COMMENT ON DATABASE {database} IS {}", Literal(&rest));
    // What somebody else has switched on since stays on.
    if before.is_template {
        let _ = write!(statements, "; ALTER DATABASE {database} IS_TEMPLATE true");
    }
    if before.allow_connections {
        let _ = write!(
            statements,
            "; ALTER DATABASE {database} ALLOW_CONNECTIONS true"
        );
    }
    if let Some(owner) = &owner {
        let _ = write!(
            statements,
            "; ALTER DATABASE {database} OWNER TO {}",
            Ident(owner)
        );
        let me = Ident(&server.admin.name);
        for Privilege { name, grantable } in &before.privileges {
            let option = if *grantable { " WITH GRANT OPTION" } else { "" };
            let name = name.keyword();
            let _ = write!(
                statements,
                "; GRANT {name} ON DATABASE {database} TO {me}{option}"
            );
        }
    }
    Ok((doing, acting.around(&statements)))
}

/// Who gets it back: only from whoever has taken it, because its owner can write into
/// its comment, too.
async fn former_owner(server: &mut Server, now: &Facts, before: &Before) -> Result<Option<Name>> {
    let Some(owner) = &before.owner else {
        return Ok(None);
    };
    if now.owner_role != server.admin.name.as_str() || *owner == now.owner_role {
        return Ok(None);
    }
    let owner = Name::of_server(owner.clone())?;
    let there = admin::absent_roles(server, &[&owner]).await?.is_empty();
    Ok(there.then_some(owner))
}

/// Takes a database out of service.
pub(super) async fn retain(cx: &Context, prior: &Prior, facts: &Facts, mark: &Mark) -> Result<()> {
    let doing = format!("unable to retire database {}", Ident(&facts.name));
    let at = &prior.inputs.connection;
    leave_database(cx, at, &facts.name).await?;
    on_server(cx, at, None, async |server| {
        sessions::shut_out_database(cx, at, server, (&facts.name, facts.oid), "").await?;
        cx.failpoint("database:shut-out");
        // Somebody was killed while dropping it.
        if let Some(before) = Before::of_comment(facts.comment.as_deref()) {
            let closed = Before {
                allow_connections: false,
                ..before
            };
            be_as(cx, server, facts, &closed).await?;
        }
        let retired = Facts {
            comment: facts.comment.as_deref().map(without_line),
            ..facts.clone()
        };
        let acting = admin::as_owner(server, &facts.name, &[]).await?;
        let marking = acting.around(&marking(&retired, mark, server));
        lock::transact_on(cx, &mut server.connection, &doing, &marking).await
    })
    .await
}

/// What stands in the way of removing it, and what goes with it.
pub(super) async fn foresee(
    cx: &Context,
    prior: &Prior,
    facts: &Facts,
    policy: DeletionPolicy,
) -> Result<Vec<Error>> {
    if facts.is_half_dropped() {
        return Ok(Vec::new());
    }
    on_server(cx, &prior.inputs.connection, None, async |server| {
        if policy == DeletionPolicy::Retain {
            return stays_behind(server, &facts.name).await;
        }
        let standing = obstacles(server, &facts.name, Purpose::Drop).await?;
        let mut warnings: Vec<_> = standing.into_iter().map(Obstacle::warning).collect();
        if facts.is_template && prior.inputs.is_template != Some(true) {
            warnings.push(made_a_template(&facts.name));
        }
        warnings.extend(goes_along(server, &facts.name).await?);
        Ok(warnings)
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_is_read_and_taken_out() {
        let before = Before {
            owner: Some("it's\nhers".to_owned()),
            privileges: vec![Privilege {
                name: DatabasePrivilege::Connect,
                grantable: false,
            }],
            allow_connections: true,
            is_template: false,
        };
        let line = serde_json::to_string(&before).unwrap();
        let comment = format!("the shop's\n{LINE}{line}\nmore");
        assert_eq!(Before::of_comment(Some(&comment)), Some(before));
        assert_eq!(without_line(&comment), "the shop's\nmore");
        for nothing in [
            None,
            Some("the shop's"),
            Some("nixops4-resources-deleting: x"),
        ] {
            assert_eq!(Before::of_comment(nothing), None);
        }
    }
}
