//! Who stands in the way, and how they are sent off: sessions and prepared
//! transactions of those who don't manage the server.
//!
//! A tenant may connect wherever PUBLIC may, hold any advisory lock, and keep a
//! transaction open for ever. It must not know any kind.

use std::time::{Duration, Instant};

use nixops4_provider_sdk::{Context, Error, Result, Retry};
use sqlx::postgres::{PgConnection, PgRow};

use crate::admin::{self, may_end, send_off};
use crate::assume::{Assumed, For, assume};
use crate::connection::Connection;
use crate::failure;
use crate::name::Name;
use crate::server::{Server, column, in_database, leave_database, run};
use crate::sql::{Ident, Literal};

/// How long a statement that shuts somebody out waits for whoever was sent off to
/// be gone, before more are sent off.
const PAUSE: Duration = Duration::from_millis(300);
/// How long shutting somebody out may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// Whether the role of this identifier manages the server: it is a superuser or may
/// make roles, can become such a role, or is ours.
fn manages(role: &str) -> String {
    format!(
        "(SELECT bool_or(m.rolsuper OR m.rolcreaterole OR m.rolname = current_user)
          FROM pg_roles m WHERE pg_has_role({role}, m.oid, 'MEMBER'))"
    )
}

/// Somebody who holds what we wait for, or queues for it.
#[derive(Debug)]
pub(crate) struct Sitter {
    /// `None`: it is a prepared transaction, which no session belongs to.
    pid: Option<i32>,
    role: String,
    from: String,
    application: String,
    /// Whether it manages the server, too: then it is waited for.
    manages: bool,
    /// The name of a prepared transaction, and its database.
    prepared: Option<(String, Name)>,
    /// Whether we may end it as who we are.
    can_be_ended: bool,
}

/// Everybody who holds an advisory lock of this database or queues for it.
/// `$1` is its key.
fn of_lock() -> String {
    format!(
        "SELECT a.pid, u.rolname::text, coalesce(host(a.client_addr), 'its own machine'),
                coalesce(a.application_name, ''), coalesce({}, true), NULL, NULL, {}, l.granted
         FROM pg_locks l
         JOIN pg_stat_activity a ON a.pid = l.pid
         JOIN pg_roles u ON u.oid = a.usesysid
         WHERE {THE_LOCK} AND a.pid <> pg_backend_pid()
         UNION ALL
         SELECT NULL, p.owner::text, '', '', coalesce({}, true), p.gid, p.database::text,
                pg_has_role(p.owner, 'USAGE'), l.granted
         FROM pg_locks l
         JOIN pg_locks t ON t.pid IS NULL AND t.locktype = 'transactionid'
              AND t.virtualtransaction = l.virtualtransaction
         JOIN pg_prepared_xacts p ON p.transaction = t.transactionid
         WHERE {THE_LOCK} AND l.pid IS NULL
         ORDER BY 5, 9 DESC, 1",
        manages("u.oid"),
        may_end("u.oid"),
        manages(PREPARED_BY),
    )
}

/// The lock's key is one number; that of two numbers has another `objsubid`, and
/// keeps nobody out.
const THE_LOCK: &str = "l.locktype = 'advisory' AND l.objsubid = 1
    AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
    AND l.classid = (($1::int8 >> 32) & 4294967295)::oid AND l.objid = ($1::int8 & 4294967295)::oid";

/// The role that has prepared a transaction.
const PREPARED_BY: &str = "(SELECT oid FROM pg_roles WHERE rolname = p.owner)";

/// Says who holds the lock of this key, and then who queues for it; who manages the
/// server comes last.
pub(crate) async fn at_lock(connection: &mut PgConnection, key: i64) -> Result<Vec<Sitter>> {
    let rows = sqlx::query(sqlx::AssertSqlSafe(of_lock()))
        .bind(key)
        .fetch_all(connection)
        .await
        .map_err(|error| failure::stating("unable to see who holds the lock", &error))?;
    rows.iter().map(read).collect()
}

fn read(row: &PgRow) -> Result<Sitter> {
    let prepared: Option<String> = column(row, 5)?;
    let database: Option<String> = column(row, 6)?;
    Ok(Sitter {
        pid: column(row, 0)?,
        role: column(row, 1)?,
        from: column(row, 2)?,
        application: column(row, 3)?,
        manages: column(row, 4)?,
        prepared: prepared
            .zip(database)
            .map(|(gid, database)| Ok::<_, Error>((gid, Name::of_server(database)?)))
            .transpose()?,
        can_be_ended: column(row, 7)?,
    })
}

/// The statements that send off those of them who don't manage the server, as far
/// as that can be; empty where there is nobody to send off.
pub(crate) async fn sending_off(
    connection: &mut PgConnection,
    sitters: &[Sitter],
) -> Result<String> {
    let (pids, roles): (Vec<_>, Vec<_>) = sitters
        .iter()
        .filter(|sitter| !sitter.manages)
        .filter_map(|sitter| Some((sitter.pid?.to_string(), sitter.role.as_str())))
        .unzip();
    if pids.is_empty() {
        return Ok(String::new());
    }
    let assumed = acting_for_those(connection, sitters, &roles).await?;
    let ended = send_off(&format!("pid IN ({})", pids.join(", ")));
    Ok(assumed.around(&ended))
}

/// To end somebody's session takes being a member of its role, where we may not end
/// all of them.
async fn acting_for_those(
    connection: &mut PgConnection,
    sitters: &[Sitter],
    roles: &[&str],
) -> Result<Assumed> {
    if sitters.iter().all(|sitter| sitter.can_be_ended) {
        return Ok(Assumed::default());
    }
    assume(
        connection,
        &For {
            roles,
            database_owner: false,
        },
    )
    .await
}

/// Rolls back the prepared transactions among them of those who don't manage the
/// server, in the database that is connected to. What can't be rolled back stays.
pub(crate) async fn roll_back(connection: &mut PgConnection, sitters: &[Sitter]) -> Result<()> {
    for sitter in sitters.iter().filter(|sitter| !sitter.manages) {
        if let Some((gid, _)) = &sitter.prepared {
            let owner = Name::of_server(sitter.role.clone())?;
            roll_back_one(connection, gid, &owner).await?;
        }
    }
    Ok(())
}

/// It refuses a transaction, so that whoever acts for its owner is seen to.
async fn roll_back_one(connection: &mut PgConnection, gid: &str, owner: &Name) -> Result<()> {
    let doing = format!("unable to roll back the prepared transaction {gid:?}");
    let whom = For {
        roles: &[owner.as_str()],
        database_owner: false,
    };
    let assumed = assume(connection, &whom).await?;
    if !assumed.before().is_empty() {
        run(connection, &doing, assumed.before()).await?;
    }
    let owner = Ident(owner);
    let mut rolled_back = run(connection, &doing, format!("SET ROLE {owner}")).await;
    if rolled_back.is_ok() {
        let statement = format!("ROLLBACK PREPARED {}", Literal(gid));
        rolled_back = run(connection, &doing, statement).await;
    }
    run(connection, &doing, format!("RESET ROLE{}", assumed.after())).await?;
    if let Err(error) = rolled_back {
        // Somebody else was quicker, or it is not ours to end: then it is named.
        tracing::debug!("{error}");
    }
    Ok(())
}

/// Whom it takes to wait for, or to end, and how.
pub(crate) fn describe(sitter: &Sitter) -> (String, String) {
    if let Some((gid, database)) = &sitter.prepared {
        return (
            format!(
                "the prepared transaction {gid:?} of role {:?} in database {:?}",
                sitter.role,
                database.as_str()
            ),
            format!(
                "end it: as that role or a superuser, in that database, run ROLLBACK PREPARED {}",
                Literal(gid)
            ),
        );
    }
    let pid = sitter.pid.unwrap_or_default();
    let holder = format!(
        "process {pid} ({}, role {}, from {})",
        sitter.application, sitter.role, sitter.from
    );
    let end = format!("SELECT pg_terminate_backend({pid})");
    let hint = if sitter.manages {
        format!("wait until it is done, or end that session: {end}")
    } else {
        format!(
            "end that session as a superuser: {end}; and GRANT pg_signal_backend to this role, so \
             that it can do so by itself"
        )
    };
    (holder, hint)
}

/// Shuts a role's login out and ends its sessions, before anything is waited for:
/// whatever a session of it holds, it can't hold that up. Does nothing to a role
/// that is gone.
pub(crate) async fn shut_out_role(
    cx: &Context,
    at: &Connection,
    server: &mut Server,
    role: &Name,
    oid: i64,
) -> Result<()> {
    let doing = format!("unable to shut out role {}", Ident(role));
    let acting = admin::acting_for(server, &[role.as_str()]).await?;
    let ended = send_off(&format!("usesysid = {oid}"));
    let shut = format!("ALTER ROLE {} NOLOGIN", Ident(role));
    let theirs = format!("{PREPARED_BY} = {oid}");
    shut_out(cx, at, server, &doing, &acting, (&ended, &shut, &theirs)).await
}

/// Closes a database and ends the sessions in it, before anything is waited for.
/// Those of its owner end wherever they are, if they are about to change something
/// that nobody else can then. `along` is done in the same moment.
pub(crate) async fn shut_out_database(
    cx: &Context,
    at: &Connection,
    server: &mut Server,
    (database, oid): (&Name, i64),
    along: &str,
) -> Result<()> {
    let doing = format!("unable to close database {}", Ident(database));
    let acting = admin::as_owner(server, database, &[]).await?;
    let ended = send_off(&format!(
        "(datid = {oid}
          OR backend_xid IS NOT NULL AND NOT {}
             AND pg_has_role(usesysid, (SELECT datdba FROM pg_database WHERE oid = {oid}), 'MEMBER'))",
        manages("usesysid")
    ));
    let shut = format!(
        "ALTER DATABASE {} ALLOW_CONNECTIONS false; {along}",
        Ident(database)
    );
    let owner = format!("(SELECT datdba FROM pg_database WHERE oid = {oid})");
    let theirs = format!("pg_has_role({PREPARED_BY}, {owner}, 'MEMBER')");
    shut_out(cx, at, server, &doing, &acting, (&ended, &shut, &theirs)).await
}

/// Sends those off from a template who neither own it nor manage the server: whoever
/// is connected to it keeps it from being copied. A database that is no template is
/// somebody's, who is left alone.
pub(crate) async fn clear_template(server: &mut Server, template: &Name) -> Result<()> {
    let sql = format!(
        "SELECT a.pid, u.rolname::text, coalesce(host(a.client_addr), 'its own machine'),
                coalesce(a.application_name, ''), false, NULL, NULL, {}
         FROM pg_stat_activity a
         JOIN pg_database d ON d.oid = a.datid
         JOIN pg_roles u ON u.oid = a.usesysid
         WHERE d.datname = $1 AND d.datistemplate AND NOT {}
           AND NOT pg_has_role(u.oid, d.datdba, 'MEMBER')",
        may_end("u.oid"),
        manages("u.oid")
    );
    let doing = format!("unable to clear the template {}", Ident(template));
    let connection = &mut server.connection;
    let rows = sqlx::query(sqlx::AssertSqlSafe(sql))
        .bind(template.as_str())
        .fetch_all(&mut *connection)
        .await
        .map_err(|error| failure::stating(&doing, &error))?;
    let sitters = rows.iter().map(read).collect::<Result<Vec<_>>>()?;
    let sent_off = sending_off(connection, &sitters).await?;
    if sent_off.is_empty() {
        return Ok(());
    }
    run(connection, &doing, format!("BEGIN; {sent_off}; COMMIT")).await
}

/// Ends sessions and shuts, again and again: who is sent off may come back until it
/// is shut, and is gone a moment after it was told to.
async fn shut_out(
    cx: &Context,
    at: &Connection,
    server: &mut Server,
    doing: &str,
    acting: &Assumed,
    (ended, shut, theirs): (&str, &str, &str),
) -> Result<()> {
    let since = Instant::now();
    // No session belongs to them: they would never end by themselves.
    let prepared = prepared_on_shared(&mut server.connection, theirs).await?;
    roll_back_anywhere(cx, at, &prepared).await;
    let patience = PATIENCE.min(cx.time_left());
    let whole = format!(
        "BEGIN; SET LOCAL lock_timeout = {}; {}; COMMIT; BEGIN; {}; COMMIT",
        PAUSE.as_millis(),
        acting.around(&format!("{ended}; {shut}")),
        acting.around(ended)
    );
    loop {
        cx.checkpoint()?;
        let connection = &mut server.connection;
        let Err(error) = sqlx::raw_sql(sqlx::AssertSqlSafe(whole.as_str()))
            .execute(&mut *connection)
            .await
        else {
            return Ok(());
        };
        run(connection, doing, "ROLLBACK").await?;
        let is_over = since.elapsed() >= patience;
        match code_of(&error).as_deref() {
            // Dropped in the meantime: a role, or a database.
            Some("42704" | "3D000") => return Ok(()),
            // Waited for in vain: no session is left, so it may be a transaction that
            // none belongs to.
            Some("55P03") => {
                let prepared = prepared_on_shared(connection, "true").await?;
                if is_over {
                    return Err(held_up(failure::stating(doing, &error), &prepared));
                }
                roll_back_anywhere(cx, at, &prepared).await;
            }
            // Changed at the same time.
            Some("XX000" | "40001" | "40P01") if !is_over => {}
            _ => return Err(failure::stating(doing, &error)),
        }
    }
}

/// Says whom a statement waited for in vain.
fn held_up(error: Error, prepared: &[Sitter]) -> Error {
    match prepared.iter().find(|sitter| !sitter.manages) {
        Some(sitter) => {
            let (holder, hint) = describe(sitter);
            error.because(format!("{holder} may hold it")).hint(hint)
        }
        None => error.hint("somebody holds it in a transaction; see pg_locks for who it is"),
    }
    .retry(Retry::UntilDeadline)
}

/// The prepared transactions that have changed a role or a database: whoever
/// changes the same has to wait for them, and they for nobody. `condition` says of
/// whom. One that has only made something that belongs to a role keeps nobody from
/// changing that role (`AccessShareLock`), and is left alone.
async fn prepared_on_shared(connection: &mut PgConnection, condition: &str) -> Result<Vec<Sitter>> {
    let sql = format!(
        "SELECT NULL::int4, p.owner::text, '', '', coalesce({}, true), p.gid, p.database::text,
                pg_has_role(p.owner, 'USAGE')
         FROM pg_prepared_xacts p
         JOIN pg_locks t ON t.pid IS NULL AND t.locktype = 'transactionid'
              AND t.transactionid = p.transaction
         WHERE {condition} AND EXISTS (
             SELECT FROM pg_locks l
             WHERE l.pid IS NULL AND l.virtualtransaction = t.virtualtransaction AND l.database = 0
               AND (l.locktype = 'object' AND l.mode <> 'AccessShareLock' OR l.relation IN (
                   'pg_authid'::regclass, 'pg_auth_members'::regclass, 'pg_database'::regclass,
                   'pg_db_role_setting'::regclass, 'pg_shdescription'::regclass)
                   AND l.mode = 'RowExclusiveLock'))
         ORDER BY p.gid",
        manages(PREPARED_BY)
    );
    let rows = sqlx::query(sqlx::AssertSqlSafe(sql))
        .fetch_all(connection)
        .await
        .map_err(|error| failure::stating("unable to see what is prepared", &error))?;
    rows.iter().map(read).collect()
}

/// Rolls prepared transactions back, each in its own database. What can't be rolled
/// back is named in the end.
async fn roll_back_anywhere(cx: &Context, at: &Connection, sitters: &[Sitter]) {
    for sitter in sitters.iter().filter(|sitter| !sitter.manages) {
        let Some((_, database)) = &sitter.prepared else {
            continue;
        };
        let place = ("/connection/database", database);
        let one = std::slice::from_ref(sitter);
        let done = in_database(cx, at, place, None, async |server| {
            roll_back(&mut server.connection, one).await
        });
        if let Err(error) = done.await {
            tracing::debug!("{error}");
        }
        // Nobody keeps open what may be about to be dropped.
        let _ = leave_database(cx, at, database).await;
    }
}

/// The code of what the server refused.
pub(crate) fn code_of(error: &sqlx::Error) -> Option<String> {
    let error = error.as_database_error()?;
    error.code().map(std::borrow::Cow::into_owned)
}
