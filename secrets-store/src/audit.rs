//! The record of who did what with a secret, and when. It never holds a value.
//! It knows the table, and nothing of keys.

use std::fmt;
use std::str::FromStr;

use time::OffsetDateTime;

use crate::database::{On, on};
use crate::name::{Generation, SecretName};
use crate::person;
use crate::rows;

/// What was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Action {
    /// The store was made.
    Created,
    /// The first value of a secret was made.
    Made,
    /// A further generation was made.
    Rotated,
    /// A new value was asked for.
    RotationRequested,
    /// A value was fetched for a program.
    Read,
    /// A value was shown to a person.
    Shown,
    /// The secret was given to another owner.
    Adopted,
    /// It was taken out of use, and kept.
    Retained,
    /// It was taken back into use.
    Restored,
    /// It was deleted, or one of its old generations was.
    Deleted,
    /// A recipient was added, and everything encrypted anew.
    RecipientAdded,
    /// A recipient was removed, and everything encrypted anew.
    RecipientRemoved,
    /// The store was brought to a newer schema.
    Upgraded,
    /// Old records were deleted. Records of that stay.
    Pruned,
}

const ACTIONS: &[(Action, &str)] = &[
    (Action::Created, "created"),
    (Action::Made, "made"),
    (Action::Rotated, "rotated"),
    (Action::RotationRequested, "rotation requested"),
    (Action::Read, "read"),
    (Action::Shown, "shown"),
    (Action::Adopted, "adopted"),
    (Action::Retained, "retained"),
    (Action::Restored, "restored"),
    (Action::Deleted, "deleted"),
    (Action::RecipientAdded, "recipient added"),
    (Action::RecipientRemoved, "recipient removed"),
    (Action::Upgraded, "upgraded"),
    (Action::Pruned, "pruned"),
];

impl Action {
    /// The word for it, as the table has it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        ACTIONS
            .iter()
            .find(|(action, _)| *action == self)
            .map_or("unknown", |(_, word)| word)
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Action {
    type Err = ();

    fn from_str(word: &str) -> Result<Self, ()> {
        let known = ACTIONS.iter().find(|(_, known)| *known == word);
        known.map(|(action, _)| *action).ok_or(())
    }
}

/// One line of the record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// When, to the second.
    pub at: OffsetDateTime,
    /// Who: `user@host` of the process. Whoever can write to the database can
    /// write anything here.
    pub person: String,
    /// The deployment for which it was done, where that is known.
    pub owner: Option<String>,
    /// What.
    pub action: Action,
    /// The secret; none where it is about the store.
    pub name: Option<SecretName>,
    /// Its generation, where it is about one.
    pub generation: Option<Generation>,
    /// What else matters, such as a recipient's public key.
    pub detail: Option<String>,
}

impl Record {
    /// Of this process, now.
    pub(crate) fn now(action: Action, owner: Option<&str>) -> Self {
        Self {
            at: crate::store::now(),
            person: person::current(),
            owner: owner.map(str::to_owned),
            action,
            name: None,
            generation: None,
            detail: None,
        }
    }

    pub(crate) fn of(self, name: &SecretName) -> Self {
        Self {
            name: Some(name.clone()),
            ..self
        }
    }

    pub(crate) fn generation(self, generation: Generation) -> Self {
        Self {
            generation: Some(generation),
            ..self
        }
    }

    pub(crate) fn detail(self, detail: impl Into<String>) -> Self {
        Self {
            detail: Some(detail.into()),
            ..self
        }
    }
}

type Sql<T> = Result<T, sqlx::Error>;

pub(crate) async fn insert(on: On<'_>, record: &Record) -> Sql<()> {
    on!(on, conn => {
        sqlx::query(
            "INSERT INTO audit (done_at, person, owner, action, name, generation, detail) \
             VALUES ($1, $2, $3, $4, $5, $6, $7)",
        )
        .bind(record.at.unix_timestamp())
        .bind(&record.person)
        .bind(record.owner.as_deref())
        .bind(record.action.as_str())
        .bind(record.name.as_ref().map(SecretName::as_str))
        .bind(record.generation.map(|number| i64::from(number.get())))
        .bind(record.detail.as_deref())
        .execute(conn)
        .await?;
    });
    Ok(())
}

type Row = (
    i64,
    String,
    Option<String>,
    String,
    Option<String>,
    Option<i64>,
    Option<String>,
);

/// The newest `limit` records, of one secret or of all, newest first.
pub(crate) async fn newest(on: On<'_>, name: Option<&SecretName>, limit: u32) -> Sql<Vec<Record>> {
    let rows: Vec<Row> = match name {
        Some(name) => on!(on, conn => {
            sqlx::query_as(
                "SELECT done_at, person, owner, action, name, generation, detail FROM audit \
                 WHERE name = $1 ORDER BY number DESC LIMIT $2",
            )
            .bind(name.as_str())
            .bind(i64::from(limit))
            .fetch_all(conn)
            .await?
        }),
        None => on!(on, conn => {
            sqlx::query_as(
                "SELECT done_at, person, owner, action, name, generation, detail FROM audit \
                 ORDER BY number DESC LIMIT $1",
            )
            .bind(i64::from(limit))
            .fetch_all(conn)
            .await?
        }),
    };
    rows.into_iter().map(record).collect()
}

/// How many records there are from before that time, other than those of earlier
/// prunings.
pub(crate) async fn count(on: On<'_>, before: OffsetDateTime) -> Sql<u64> {
    let records: i64 = on!(on, conn => {
        sqlx::query_scalar("SELECT count(*) FROM audit WHERE done_at < $1 AND action <> $2")
            .bind(before.unix_timestamp())
            .bind(Action::Pruned.as_str())
            .fetch_one(conn)
            .await?
    });
    u64::try_from(records).map_err(|_| rows::odd("a number of records below none"))
}

/// Deletes those; how many there were.
pub(crate) async fn prune(on: On<'_>, before: OffsetDateTime) -> Sql<u64> {
    Ok(on!(on, conn => {
        sqlx::query("DELETE FROM audit WHERE done_at < $1 AND action <> $2")
            .bind(before.unix_timestamp())
            .bind(Action::Pruned.as_str())
            .execute(conn)
            .await?
            .rows_affected()
    }))
}

fn record((at, person, owner, action, name, generation, detail): Row) -> Sql<Record> {
    Ok(Record {
        at: rows::time(at)?,
        person,
        owner,
        action: action
            .parse()
            .map_err(|()| rows::odd("an action that is none"))?,
        name: name
            .map(|name| name.parse().map_err(|_| rows::odd("a name that is none")))
            .transpose()?,
        generation: generation.map(rows::generation).transpose()?,
        detail,
    })
}
