//! What stands in the way of dropping or copying a database, told by the catalog, each
//! with the statement that removes it.

use std::fmt::Write as _;

use nixops4_provider_sdk::{Error, Result, Retry};
use sqlx::postgres::PgRow;

use crate::name::Name;
use crate::server::{Server, column, run};
use crate::sql::{Ident, Literal};
use crate::{admin, failure};

/// Something that stands in the way.
#[derive(Debug, Clone)]
pub(super) struct Obstacle {
    what: String,
    /// What to do about it.
    remedy: String,
    /// Whether it goes by itself sooner or later.
    passes: bool,
}

/// What is to be done with a database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    /// It is dropped: sessions are ended, as far as we may end them.
    Drop,
    /// It was to be dropped, and the server did not do it: who is still there?
    Dropped,
    /// It is copied, renamed or moved: nobody may be connected to it.
    Copy,
}

/// Everything that could. The last column is whether we may end a session.
const THERE: &str = "
    SELECT 'prepared' AS kind, p.gid AS name, p.owner::text AS role, NULL::text AS other,
           NULL::int4 AS pid, false AS may_end, false AS is_super
    FROM pg_prepared_xacts p WHERE p.database = $1
    UNION ALL
    SELECT 'subscription', s.subname::text, NULL, s.subslotname::text, NULL, false, false
    FROM pg_subscription s JOIN pg_database d ON d.oid = s.subdbid WHERE d.datname = $1
    UNION ALL
    SELECT 'session', a.application_name, a.usename::text, host(a.client_addr), a.pid,
           coalesce({MAY_END}, false), coalesce(r.rolsuper, false)
    FROM pg_stat_activity a LEFT JOIN pg_roles r ON r.oid = a.usesysid
    WHERE a.datname = $1 AND a.pid <> pg_backend_pid()
      -- Of others' sessions the type is hidden from who may not read all statistics.
      AND a.usesysid IS NOT NULL
      AND coalesce(a.backend_type, 'client backend') IN ('client backend', 'walsender')
    UNION ALL
    SELECT 'slot', s.slot_name::text, NULL, NULL, s.active_pid, coalesce({MAY_END}, false), false
    FROM pg_replication_slots s LEFT JOIN pg_stat_activity a ON a.pid = s.active_pid
    WHERE s.database = $1
    ORDER BY kind, name, pid";

/// What stands in the way as things are now.
pub(super) async fn obstacles(
    server: &mut Server,
    database: &Name,
    purpose: Purpose,
) -> Result<Vec<Obstacle>> {
    let rows = there(server, database).await?;
    let rows = rows.into_iter();
    Ok(rows
        .filter_map(|thing| thing.obstacle(database, &server.admin.name, purpose))
        .collect())
}

/// What is lost with a database that is dropped, beside what is stored in it.
pub(super) async fn goes_along(server: &mut Server, database: &Name) -> Result<Vec<Error>> {
    let slots = there(server, database).await?.into_iter();
    let slots = slots.filter(|thing| thing.kind == "slot");
    Ok(slots
        .map(|slot| {
            Error::new(format!(
                "the logical replication slot {:?} of the database goes with it, and whoever \
                 reads it gets no more",
                slot.name
            ))
            .hint("see first that what it is for has all that it needs, or is moved")
        })
        .collect())
}

/// Of a database that somebody else has made a template. It is none any more once it is
/// to be dropped.
pub(super) fn made_a_template(database: &Name) -> Error {
    let database = Ident(database);
    Error::new(format!(
        "database {database} is a template, and not declared as one; it is dropped all the same"
    ))
    .hint(format!(
        "see first who creates databases from it; ALTER DATABASE {database} IS_TEMPLATE false says \
         that nobody does any more"
    ))
}

/// What stays in a database that is taken out of service, and can't be ended from then
/// on.
pub(super) async fn stays_behind(server: &mut Server, database: &Name) -> Result<Vec<Error>> {
    let things = there(server, database).await?.into_iter();
    let prepared = things.filter(|thing| thing.kind == "prepared");
    Ok(prepared
        .filter_map(|thing| thing.obstacle(database, &server.admin.name, Purpose::Drop))
        .map(|obstacle| {
            Error::new(format!(
                "{}, and nobody can end it once the database takes no connections",
                obstacle.what
            ))
            .hint(obstacle.remedy)
        })
        .collect())
}

async fn there(server: &mut Server, database: &Name) -> Result<Vec<Thing>> {
    // Who drops a database acts for its owner, and may end the sessions of that, too.
    let may_end = format!(
        "({} OR pg_has_role((SELECT datdba FROM pg_database WHERE datname = $1), a.usesysid, 'USAGE'))",
        admin::may_end("a.usesysid")
    );
    let sql = THERE.replace("{MAY_END}", &may_end);
    let rows = sqlx::query(sqlx::AssertSqlSafe(sql))
        .bind(database.as_str())
        .fetch_all(&mut server.connection)
        .await
        .map_err(|error| {
            let doing = format!("unable to see what keeps database {}", Ident(database));
            failure::stating(&doing, &error)
        })?;
    rows.iter().map(Thing::read).collect()
}

struct Thing {
    kind: String,
    name: String,
    role: Option<String>,
    other: Option<String>,
    pid: Option<i32>,
    may_end: bool,
    is_super: bool,
}

impl Thing {
    fn read(row: &PgRow) -> Result<Self> {
        Ok(Self {
            kind: column(row, 0)?,
            name: column::<Option<String>>(row, 1)?.unwrap_or_default(),
            role: column(row, 2)?,
            other: column(row, 3)?,
            pid: column(row, 4)?,
            may_end: column(row, 5)?,
            is_super: column(row, 6)?,
        })
    }

    fn obstacle(self, database: &Name, me: &Name, purpose: Purpose) -> Option<Obstacle> {
        let database = Ident(database);
        match (self.kind.as_str(), purpose) {
            ("prepared", _) => {
                let owner = self.role.unwrap_or_default();
                let gid = literal(&self.name);
                Some(Obstacle {
                    what: format!(
                        "the prepared transaction {gid} of role {owner:?} is open in database \
                         {database}"
                    ),
                    remedy: format!(
                        "in database {database}, as role {owner:?} or a superuser, run ROLLBACK \
                         PREPARED {gid}"
                    ),
                    passes: false,
                })
            }
            ("subscription", Purpose::Drop | Purpose::Dropped) => {
                let subscription = format!("\"{}\"", self.name.replace('"', "\"\""));
                let slot = self.other.map_or_else(String::new, |slot| {
                    format!(
                        " and, at its publisher, SELECT pg_drop_replication_slot({})",
                        literal(&slot)
                    )
                });
                Some(Obstacle {
                    what: format!("database {database} has the subscription {subscription}"),
                    remedy: format!(
                        "in database {database}, as a superuser, run ALTER SUBSCRIPTION \
                         {subscription} DISABLE; ALTER SUBSCRIPTION {subscription} SET (slot_name \
                         = NONE); DROP SUBSCRIPTION {subscription}{slot}"
                    ),
                    passes: false,
                })
            }
            // The server itself drops a slot that nobody reads.
            ("slot", Purpose::Drop | Purpose::Dropped) => {
                let pid = self.pid.filter(|_| !self.may_end)?;
                let slot = &self.name;
                Some(Obstacle {
                    what: format!(
                        "process {pid} reads the logical replication slot {slot:?} of database \
                         {database}"
                    ),
                    remedy: format!(
                        "once that process is gone, run SELECT pg_drop_replication_slot({})",
                        literal(slot)
                    ),
                    passes: true,
                })
            }
            ("session", Purpose::Drop) if self.may_end => None,
            ("session", _) => Some(self.session(&database.to_string(), me)),
            _ => None,
        }
    }

    fn session(self, database: &str, me: &Name) -> Obstacle {
        let role = self.role.unwrap_or_default();
        let name = match self.name.as_str() {
            "" => String::new(),
            name => format!("{name}, "),
        };
        let from = self
            .other
            .map_or_else(String::new, |address| format!(", from {address}"));
        let pid = self.pid.unwrap_or_default();
        let end = format!("SELECT pg_terminate_backend({pid})");
        let ours = match (self.may_end, self.is_super) {
            (true, _) => String::new(),
            (false, true) => format!(
                ", and role {:?} may not end a superuser's session",
                me.as_str()
            ),
            (false, false) => format!(", and role {:?} may not end its session", me.as_str()),
        };
        let remedy = match (self.may_end, self.is_super) {
            (true, _) => format!("let it go, or run {end}"),
            (false, true) => format!("let it go, or as a superuser run {end}"),
            (false, false) => format!(
                "let it go, or as a superuser run {end}, or GRANT pg_signal_backend TO {}",
                Ident(me)
            ),
        };
        Obstacle {
            what: format!(
                "process {pid} ({name}role {role:?}{from}) is connected to database {database}{ours}"
            ),
            remedy,
            passes: true,
        }
    }
}

impl Obstacle {
    /// As what the reader of a plan should know.
    pub(super) fn warning(self) -> Error {
        Error::new(self.what).hint(self.remedy)
    }
}

/// Ends a transaction that has failed, in which nothing can be asked. Without one that
/// would be a warning.
pub(super) async fn end_failed(server: &mut Server, doing: &str) -> Result<()> {
    match run(&mut server.connection, doing, "SELECT").await {
        Ok(()) => Ok(()),
        Err(_) => run(&mut server.connection, doing, "ROLLBACK").await,
    }
}

/// A refusal because somebody uses the database, with who that is.
pub(super) async fn name_users(
    server: &mut Server,
    database: &Name,
    doing: &str,
    error: Error,
) -> Error {
    if error.code() != Some(failure::OBJECT_IN_USE) {
        return error;
    }
    if let Err(lost) = end_failed(server, doing).await {
        return lost;
    }
    match obstacles(server, database, Purpose::Copy).await {
        Ok(there) if !there.is_empty() => in_the_way(doing, &there),
        // They are gone by now, or nobody can say.
        _ => error,
    }
}

/// A literal that is one line, whatever somebody called their transaction.
fn literal(text: &str) -> String {
    if !text.chars().any(char::is_control) {
        return Literal(text).to_string().trim_start().to_owned();
    }
    let mut out = "E'".to_owned();
    for c in text.chars() {
        match c {
            '\'' | '\\' => out.extend([c, c]),
            c if c.is_control() => {
                let _ = write!(out, "\\u{:04X}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push('\'');
    out
}

/// The failure that names all of them.
pub(super) fn in_the_way(doing: &str, obstacles: &[Obstacle]) -> Error {
    let join = |part: fn(&Obstacle) -> &str, between: &str| {
        obstacles.iter().map(part).collect::<Vec<_>>().join(between)
    };
    let retry = if obstacles.iter().all(|obstacle| obstacle.passes) {
        Retry::Briefly
    } else {
        Retry::Never
    };
    Error::new(doing)
        .because(join(|obstacle| &obstacle.what, "; "))
        .hint(join(|obstacle| &obstacle.remedy, "; and "))
        .retry(retry)
}

#[cfg(test)]
mod tests {
    use super::literal;

    #[test]
    fn a_literal_is_one_line() {
        for (text, expected) in [
            ("it's", "'it''s'"),
            ("a\\b", "E'a\\\\b'"),
            ("x'\nhint: \u{9b}", "E'x''\\u000Ahint: \\u009B'"),
        ] {
            assert_eq!(literal(text), expected);
        }
    }
}
