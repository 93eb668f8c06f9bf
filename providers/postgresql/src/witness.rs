//! The witness of a mark: a second copy of it that the thing's owner can't change.
//!
//! Who owns a database, a schema or an extension may change the comment on it, and so
//! the mark in that. What the sessions of a role in a database begin with
//! (`pg_db_role_setting`) is shared by all databases, changes with the rest of a
//! transaction, follows renames, and goes with the database. A parameter that nothing
//! defines may be set there by superusers alone, and by who has been granted SET on it:
//! no owner of anything. Each administrator has a copy of its own, and the newest one
//! decides. It must not know any kind.

use nixops4_provider_sdk::{Mark, Ownership, Result};
use sqlx::postgres::{PgConnection, PgRow};

use crate::admin::Admin;
use crate::failure;
use crate::name::Name;
use crate::server::{Server, column};
use crate::sql::{Ident, Literal};

/// What the parameters begin with.
const PREFIX: &str = "nixops4_resources.";
/// The parameter with the mark of the database itself.
const OF_DATABASE: &str = "nixops4_resources.database";
/// The parameter with a mark on each line, of things in the database.
const INSIDE: &str = "nixops4_resources.inside";

/// Whether the current user may write witnesses, in SQL.
pub(crate) const HAS_PLACE: &str = "(has_parameter_privilege('nixops4_resources.database', 'SET')
    AND has_parameter_privilege('nixops4_resources.inside', 'SET'))";

/// What stands there of one thing.
#[derive(Debug, Clone, Default)]
pub(crate) struct Witness {
    mark: Option<Mark>,
    revision: u64,
    has_place: bool,
}

/// A kind of things in a database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Class {
    Schema,
    Extension,
}

impl Class {
    /// The catalog, and its column with the names.
    fn catalog(self) -> (&'static str, &'static str) {
        match self {
            Self::Schema => ("pg_namespace", "nspname"),
            Self::Extension => ("pg_extension", "extname"),
        }
    }

    fn word(self) -> &'static str {
        match self {
            Self::Schema => "schema",
            Self::Extension => "extension",
        }
    }

    /// What names the thing of this identifier in a witness.
    fn thing(self, oid: i64) -> String {
        format!("{}/{oid}", self.word())
    }
}

/// The witnesses of a database, as an array of text in SQL; `oid` is an expression.
pub(crate) fn of_database(oid: &str) -> String {
    entries(OF_DATABASE, oid, "")
}

/// The witnesses of what is in the database that is connected to, likewise.
pub(crate) fn inside() -> String {
    entries(INSIDE, HERE, "")
}

/// The database that is connected to.
const HERE: &str = "(SELECT oid FROM pg_database WHERE datname = current_database())";

fn entries(parameter: &str, oid: &str, more: &str) -> String {
    format!(
        "ARRAY(SELECT substr(entry, {}) FROM pg_db_role_setting w, unnest(w.setconfig) AS entry
               WHERE w.setdatabase = {oid} AND starts_with(entry, '{parameter}='){more})",
        parameter.len() + 2
    )
}

/// Whether a setting, `NAME=VALUE`, is a witness, and nobody's to manage.
pub(crate) fn is_witness(setting: &str) -> bool {
    setting.starts_with(PREFIX)
}

impl Witness {
    /// Reads those of a database.
    pub(crate) fn of_database(entries: &[String], has_place: bool) -> Self {
        Self::read(entries, has_place, |line| field(line, "of").is_none())
    }

    /// Reads those of one thing in a database. What was restored on another server has
    /// other identifiers there: what is said of another server says nothing.
    pub(crate) fn of_thing(
        entries: &[String],
        has_place: bool,
        (class, oid): (Class, i64),
        server: &str,
    ) -> Self {
        let thing = class.thing(oid);
        Self::read(entries, has_place, |line| {
            field(line, "of") == Some(&*thing) && field(line, "server") == Some(server)
        })
    }

    fn read(entries: &[String], has_place: bool, is_meant: impl Fn(&str) -> bool) -> Self {
        let newest = entries
            .iter()
            .flat_map(|entry| entry.lines())
            .filter(|line| is_meant(line))
            .filter_map(|line| Some((revision(line), Mark::find_in(line)?)))
            .max_by_key(|(revision, _)| *revision);
        match newest {
            Some((revision, mark)) => Self {
                mark: Some(mark),
                revision,
                has_place,
            },
            None => Self {
                has_place,
                ..Self::default()
            },
        }
    }

    /// Whose the thing is with this comment; `recorded` is our mark, if the record
    /// leads to this very thing.
    pub(crate) fn ownership(&self, comment: Option<&str>, recorded: Option<Mark>) -> Ownership {
        let shown = comment.and_then(Mark::find_in);
        Ownership::witnessed(shown, self.mark.clone(), self.has_place, recorded)
    }

    /// As [`Self::ownership`], of a database. Without a witness its owner can say that it
    /// is retained; one that takes connections isn't.
    pub(crate) fn ownership_of_database(
        &self,
        comment: Option<&str>,
        recorded: Option<Mark>,
        takes_connections: bool,
    ) -> Ownership {
        match self.ownership(comment, recorded) {
            Ownership::Marked(mark) | Ownership::Defaced(mark)
                if self.mark.is_none() && takes_connections && mark.retained_since.is_some() =>
            {
                Ownership::Defaced(Mark {
                    retained_since: None,
                    ..mark
                })
            }
            whose => whose,
        }
    }

    /// Whether it has to be written with the mark: it can be, or there is one that
    /// would contradict it.
    fn is_needed(&self) -> bool {
        self.has_place || self.mark.is_some()
    }

    fn line(&self, mark: &Mark) -> String {
        format!("{mark} revision={}", self.revision.saturating_add(1))
    }

    /// The statement that lets `mark` of a database be witnessed; what stands before it
    /// is ended by it.
    pub(crate) fn vouching(&self, admin: &Admin, database: &Name, mark: &Mark) -> String {
        if !self.is_needed() {
            return String::new();
        }
        set(&admin.name, database, OF_DATABASE, &self.line(mark))
    }
}

/// The mark of a thing in a database, if it is of the same owner as `ours`. The row has
/// its comment, identifier and witnesses in these columns.
pub(crate) fn ours_inside(
    row: &PgRow,
    [comment, oid, witnesses]: [usize; 3],
    (class, server): (Class, &str),
    ours: &Mark,
) -> Result<Option<Mark>> {
    let comment: Option<String> = column(row, comment)?;
    let witnesses: Vec<String> = column(row, witnesses)?;
    let witness = Witness::of_thing(&witnesses, false, (class, column(row, oid)?), server);
    let whose = witness.ownership(comment.as_deref(), None);
    Ok(whose.mark().filter(|mark| mark.is_of_same(ours)).cloned())
}

/// What stands there of a database that is being made.
pub(crate) async fn of_new_database(server: &mut Server) -> Result<Witness> {
    let has_place = if server.admin.superuser {
        true
    } else {
        let row = sqlx::query(sqlx::AssertSqlSafe(format!("SELECT {HAS_PLACE}")))
            .fetch_one(&mut server.connection)
            .await
            .map_err(|error| failure::stating("unable to see what may be set", &error))?;
        column(&row, 0)?
    };
    Ok(Witness {
        has_place,
        ..Witness::default()
    })
}

/// The statement that lets `mark` of something in the database that is connected to be
/// witnessed, as [`Witness::vouching`]. Asked in the transaction that marks it, which
/// holds the lock.
pub(crate) async fn vouching_inside(
    connection: &mut PgConnection,
    server: &str,
    (class, name): (Class, &Name),
    mark: &Mark,
) -> Result<String> {
    let (catalog, names) = class.catalog();
    let own = entries(
        INSIDE,
        HERE,
        " AND w.setrole = (SELECT oid FROM pg_roles WHERE rolname = current_user)",
    );
    let sql = format!(
        "SELECT (SELECT oid::int8 FROM {catalog} WHERE {names} = $1), {}, {own}, {HAS_PLACE},
                current_user::text, current_database()::text,
                ARRAY(SELECT 'schema/' || oid FROM pg_namespace
                      UNION ALL SELECT 'extension/' || oid FROM pg_extension)",
        inside()
    );
    let row = sqlx::query(sqlx::AssertSqlSafe(sql))
        .bind(name.as_str())
        .fetch_one(connection)
        .await
        .map_err(|error| failure::stating("unable to see what vouches for marks", &error))?;
    let Some(oid) = column::<Option<i64>>(&row, 0)? else {
        return Ok(String::new());
    };
    let (entries, own): (Vec<String>, Vec<String>) = (column(&row, 1)?, column(&row, 2)?);
    let witness = Witness::of_thing(&entries, column(&row, 3)?, (class, oid), server);
    if !witness.is_needed() {
        return Ok(String::new());
    }
    let (me, database): (String, String) = (column(&row, 4)?, column(&row, 5)?);
    let there: Vec<String> = column(&row, 6)?;
    let thing = class.thing(oid);
    let line = format!("{} of={thing} server={server}", witness.line(mark));
    let value = with_line(&own.join("\n"), &thing, server, &there, &line);
    Ok(set(
        &Name::of_server(me)?,
        &Name::of_server(database)?,
        INSIDE,
        &value,
    ))
}

/// The lines about what is still there, with another one about one thing.
fn with_line(lines: &str, thing: &str, server: &str, there: &[String], line: &str) -> String {
    let is_kept = |line: &&str| {
        field(line, "server") == Some(server)
            && field(line, "of").is_some_and(|of| of != thing && there.iter().any(|one| one == of))
    };
    let mut all: Vec<_> = lines.lines().filter(is_kept).collect();
    all.push(line);
    all.join("\n")
}

fn set(me: &Name, database: &Name, parameter: &str, value: &str) -> String {
    format!(
        "; ALTER ROLE {} IN DATABASE {} SET {parameter} = {}",
        Ident(me),
        Ident(database),
        Literal(value)
    )
}

/// A field that a mark doesn't have, of a line that is one.
fn field<'a>(line: &'a str, name: &str) -> Option<&'a str> {
    let mut fields = line
        .split_whitespace()
        .filter_map(|word| word.split_once('='));
    fields.find_map(|(field, value)| (field == name).then_some(value))
}

fn revision(line: &str) -> u64 {
    field(line, "revision")
        .and_then(|number| number.parse().ok())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: &str = "nixops4-resources: owner=one type=t revision=2";

    fn witness(entries: &[&str]) -> Witness {
        let entries: Vec<_> = entries.iter().map(|entry| (*entry).to_owned()).collect();
        Witness::of_database(&entries, true)
    }

    #[test]
    fn the_newest_one_decides() {
        let other = "nixops4-resources: owner=other type=t revision=10";
        for entries in [[LINE, other], [other, LINE]] {
            let witness = witness(&entries);
            assert_eq!(witness.mark.as_ref().unwrap().owner.as_str(), "other");
            assert!(
                witness
                    .line(&witness.mark.clone().unwrap())
                    .ends_with(" revision=11")
            );
        }
        let none = witness(&["", "loose text", "nixops4-resources: owner="]);
        assert!(none.mark.is_none());
    }

    #[test]
    fn whose_it_is() {
        let mark = |text: &str| Mark::find_in(text).unwrap();
        let (one, other) = (mark(LINE), "nixops4-resources: owner=other type=t");
        let recorded = || Some(one.clone());
        let (with, without) = (witness(&[LINE]), witness(&[]));
        for (witness, comment, expected) in [
            (&with, Some(LINE), Ownership::Marked(one.clone())),
            (&with, None, Ownership::Defaced(one.clone())),
            (&with, Some(other), Ownership::Defaced(one.clone())),
            (&without, Some(LINE), Ownership::Defaced(one.clone())),
            (&without, Some(other), Ownership::Defaced(mark(other))),
            (&without, None, Ownership::Defaced(one.clone())),
        ] {
            assert_eq!(witness.ownership(comment, recorded()), expected);
        }
        assert_eq!(without.ownership(None, None), Ownership::Unmarked);
        let nowhere = Witness::default();
        assert_eq!(
            nowhere.ownership(Some(LINE), None),
            Ownership::Marked(one.clone())
        );
        let kept = format!("{LINE} retained-since=2026-01-02T03:04:05Z");
        let of_database = |witness: &Witness, open| {
            let whose = witness.ownership_of_database(Some(&kept), None, open);
            whose.is_retained()
        };
        assert!(of_database(&nowhere, false) && !of_database(&nowhere, true));
        let vouched = witness(&[kept.as_str()]);
        assert!(of_database(&vouched, true) && !of_database(&with, false));
    }

    #[test]
    fn things_in_a_database() {
        let line = |of: &str, server| format!("{LINE} of={of} server={server}");
        let entries = [[line("schema/5", 1), line("schema/6", 1)].join("\n")];
        let read = |oid, server| {
            let thing = (Class::Schema, oid);
            Witness::of_thing(&entries, true, thing, server)
                .mark
                .is_some()
        };
        assert!(read(5, "1") && read(6, "1"));
        assert!(!read(7, "1") && !read(5, "2"));
        assert!(Witness::of_database(&entries, true).mark.is_none());

        let there = ["schema/5".to_owned(), "schema/8".to_owned()];
        let after = with_line(&entries[0], "schema/8", "1", &there, "new");
        assert_eq!(after, format!("{}\nnew", line("schema/5", 1)));
        let after = with_line(&entries[0], "schema/5", "1", &there, "new");
        assert_eq!(after, "new");
    }
}
