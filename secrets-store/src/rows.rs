//! The statements, and rows as our types. Portable SQL with `$1` parameters, the
//! same for every database. It knows nothing of keys: ciphertext and tags are
//! bytes here.

use time::OffsetDateTime;

use crate::database::{On, on};
use crate::entry::{Entry, NewSecret, Retained, Rotation, Version};
use crate::name::{Generation, SecretId, SecretName};
use crate::succession::{Link, MOST_LINKS, PublicKey};

/// The row of the store itself.
#[derive(Debug, Clone)]
pub(crate) struct StoreRow {
    pub(crate) id: String,
    pub(crate) store_key: Vec<u8>,
    pub(crate) recipients_tag: Vec<u8>,
}

/// What is kept of a secret beside its values, and the tag that vouches for it.
pub(crate) struct TaggedEntry {
    pub(crate) entry: Entry,
    pub(crate) tag: Vec<u8>,
}

/// One value as it is kept.
pub(crate) struct SealedRow {
    pub(crate) id: SecretId,
    pub(crate) ciphertext: Vec<u8>,
}

type Result<T> = std::result::Result<T, sqlx::Error>;

/// Not as we wrote it.
pub(crate) fn odd(what: &str) -> sqlx::Error {
    sqlx::Error::Decode(format!("the table holds {what}").into())
}

pub(crate) fn time(seconds: i64) -> Result<OffsetDateTime> {
    OffsetDateTime::from_unix_timestamp(seconds).map_err(|_| odd("a time out of range"))
}

pub(crate) fn generation(number: i64) -> Result<Generation> {
    u32::try_from(number)
        .ok()
        .and_then(|number| Generation::try_from(number).ok())
        .ok_or_else(|| odd("a generation out of range"))
}

fn id(text: &str) -> Result<SecretId> {
    text.parse().map_err(|_| odd("an id that is none"))
}

pub(crate) async fn store(on: On<'_>) -> Result<StoreRow> {
    let (id, store_key, recipients_tag) = on!(on, conn => {
        sqlx::query_as("SELECT id, store_key, recipients_tag FROM store").fetch_one(conn).await?
    });
    Ok(StoreRow {
        id,
        store_key,
        recipients_tag,
    })
}

pub(crate) async fn insert_store(on: On<'_>, row: &StoreRow, now: OffsetDateTime) -> Result<()> {
    on!(on, conn => {
        sqlx::query(
            "INSERT INTO store (only_row, id, store_key, recipients_tag, created_at) \
             VALUES (1, $1, $2, $3, $4)",
        )
        .bind(&row.id)
        .bind(&row.store_key)
        .bind(&row.recipients_tag)
        .bind(now.unix_timestamp())
        .execute(conn)
        .await?;
    });
    Ok(())
}

/// Another key, and the tag of the recipients under it.
pub(crate) async fn set_store_key(on: On<'_>, row: &StoreRow) -> Result<()> {
    on!(on, conn => {
        sqlx::query("UPDATE store SET store_key = $1, recipients_tag = $2")
            .bind(&row.store_key)
            .bind(&row.recipients_tag)
            .execute(conn)
            .await?;
    });
    Ok(())
}

/// Which keys of the store came after which.
pub(crate) async fn succession(on: On<'_>) -> Result<Vec<Link>> {
    let most = i64::try_from(MOST_LINKS).unwrap_or(i64::MAX);
    let rows: Vec<(Vec<u8>, Vec<u8>, Vec<u8>)> = on!(on, conn => {
        sqlx::query_as("SELECT new_key, old_key, signature FROM succession LIMIT $1")
            .bind(most.saturating_add(1))
            .fetch_all(conn)
            .await?
    });
    if rows.len() > MOST_LINKS {
        return Err(odd("more keys of the store than it can have had"));
    }
    let link = |(new, old, signature)| Link {
        new: PublicKey(new),
        old: PublicKey(old),
        signature,
    };
    Ok(rows.into_iter().map(link).collect())
}

pub(crate) async fn insert_link(on: On<'_>, link: &Link, now: OffsetDateTime) -> Result<()> {
    on!(on, conn => {
        sqlx::query(
            "INSERT INTO succession (new_key, old_key, signature, changed_at) \
             VALUES ($1, $2, $3, $4)",
        )
        .bind(&link.new.0)
        .bind(&link.old.0)
        .bind(&link.signature)
        .bind(now.unix_timestamp())
        .execute(conn)
        .await?;
    });
    Ok(())
}

/// Public keys as text, and since when, in the order of their text.
pub(crate) async fn recipients(on: On<'_>) -> Result<Vec<(String, OffsetDateTime)>> {
    let mut keys: Vec<(String, i64)> = on!(on, conn => {
        sqlx::query_as("SELECT public_key, added_at FROM recipients").fetch_all(conn).await?
    });
    // Here, not in SQL: databases differ in how they collate.
    keys.sort();
    let dated = |(key, added_at)| Ok((key, time(added_at)?));
    keys.into_iter().map(dated).collect()
}

pub(crate) async fn insert_recipient(on: On<'_>, key: &str, now: OffsetDateTime) -> Result<()> {
    on!(on, conn => {
        sqlx::query("INSERT INTO recipients (public_key, added_at) VALUES ($1, $2)")
            .bind(key)
            .bind(now.unix_timestamp())
            .execute(conn)
            .await?;
    });
    Ok(())
}

pub(crate) async fn delete_recipient(on: On<'_>, key: &str) -> Result<()> {
    on!(on, conn => {
        sqlx::query("DELETE FROM recipients WHERE public_key = $1").bind(key).execute(conn).await?;
    });
    Ok(())
}

/// A secret's own columns, then those of one of its generations.
type EntryRow = (
    (String, String, String, i64, Vec<u8>),
    (Option<String>, Option<i64>),
    (Option<String>, Option<i64>),
    (Option<i64>, Option<String>, Option<i64>, Option<String>),
);

macro_rules! entries {
    ($rest:literal) => {
        concat!(
            "SELECT s.name, s.owner, s.kind, s.created_at, s.tag, \
                    s.retained_by, s.retained_at, s.rotation_by, s.rotation_at, \
                    g.generation, g.id, g.created_at AS made_at, g.public_part \
             FROM secrets s LEFT JOIN generations g ON g.name = s.name ",
            $rest
        )
    };
}

/// A secret and its generations. Call it in a transaction, with its store's row
/// read in the same one.
pub(crate) async fn entry(on: On<'_>, name: &SecretName) -> Result<Option<TaggedEntry>> {
    let rows = on!(on, conn => {
        sqlx::query_as(entries!("WHERE s.name = $1"))
            .bind(name.as_str())
            .fetch_all(conn)
            .await?
    });
    Ok(grouped(rows)?.pop())
}

/// Every secret, in the order of the names.
pub(crate) async fn entries(on: On<'_>) -> Result<Vec<TaggedEntry>> {
    let rows = on!(on, conn => sqlx::query_as(entries!("")).fetch_all(conn).await?);
    grouped(rows)
}

#[expect(
    clippy::type_complexity,
    reason = "it is a row, and taken apart at once"
)]
fn grouped(
    rows: Vec<(
        String,
        String,
        String,
        i64,
        Vec<u8>,
        Option<String>,
        Option<i64>,
        Option<String>,
        Option<i64>,
        Option<i64>,
        Option<String>,
        Option<i64>,
        Option<String>,
    )>,
) -> Result<Vec<TaggedEntry>> {
    let mut rows: Vec<EntryRow> = rows
        .into_iter()
        .map(
            |(name, owner, kind, at, tag, by, since, asked, due, number, id, made, public)| {
                (
                    (name, owner, kind, at, tag),
                    (by, since),
                    (asked, due),
                    (number, id, made, public),
                )
            },
        )
        .collect();
    rows.sort_by(|a, b| (&a.0.0, a.3.0).cmp(&(&b.0.0, b.3.0)));
    let mut secrets: Vec<TaggedEntry> = Vec::new();
    for (secret, retained, rotation, version) in rows {
        let version = self::version(version)?;
        match secrets.last_mut() {
            Some(last) if last.entry.name.as_str() == secret.0 => {
                last.entry.generations.push(version);
            }
            _ => secrets.push(tagged(secret, retained, rotation, version)?),
        }
    }
    Ok(secrets)
}

fn tagged(
    (name, owner, kind, created_at, tag): (String, String, String, i64, Vec<u8>),
    retained: (Option<String>, Option<i64>),
    rotation: (Option<String>, Option<i64>),
    first: Version,
) -> Result<TaggedEntry> {
    let entry = Entry {
        name: name.parse().map_err(|_| odd("a name that is none"))?,
        owner,
        kind,
        created_at: time(created_at)?,
        generations: vec![first],
        retained: match retained {
            (Some(by), Some(since)) => Some(Retained {
                by,
                since: time(since)?,
            }),
            _ => None,
        },
        rotation: match rotation {
            (Some(by), Some(since)) => Some(Rotation {
                by,
                since: time(since)?,
            }),
            _ => None,
        },
        store_key: None,
    };
    Ok(TaggedEntry { entry, tag })
}

fn version(row: (Option<i64>, Option<String>, Option<i64>, Option<String>)) -> Result<Version> {
    let (Some(number), Some(id), Some(made_at), public_part) = row else {
        return Err(odd("a secret without a value"));
    };
    Ok(Version {
        generation: generation(number)?,
        id: self::id(&id)?,
        created_at: time(made_at)?,
        public_part,
    })
}

pub(crate) async fn sealed(
    on: On<'_>,
    name: &SecretName,
    generation: Generation,
) -> Result<Option<SealedRow>> {
    let row: Option<(String, Vec<u8>)> = on!(on, conn => {
        sqlx::query_as("SELECT id, ciphertext FROM generations WHERE name = $1 AND generation = $2")
            .bind(name.as_str())
            .bind(i64::from(generation.get()))
            .fetch_optional(conn)
            .await?
    });
    row.map(|(id, ciphertext)| {
        Ok(SealedRow {
            id: self::id(&id)?,
            ciphertext,
        })
    })
    .transpose()
}

pub(crate) async fn insert_secret(
    on: On<'_>,
    name: &SecretName,
    new: &NewSecret,
    now: OffsetDateTime,
) -> Result<()> {
    on!(on, conn => {
        sqlx::query("INSERT INTO secrets (name, owner, kind, created_at) VALUES ($1, $2, $3, $4)")
            .bind(name.as_str())
            .bind(&new.owner)
            .bind(&new.kind)
            .bind(now.unix_timestamp())
            .execute(conn)
            .await?;
    });
    Ok(())
}

pub(crate) async fn insert_generation(
    on: On<'_>,
    name: &SecretName,
    version: &Version,
    ciphertext: &[u8],
) -> Result<()> {
    on!(on, conn => {
        sqlx::query(
            "INSERT INTO generations (name, generation, id, ciphertext, created_at, public_part) \
             VALUES ($1, $2, $3, $4, $5, $6)",
        )
        .bind(name.as_str())
        .bind(i64::from(version.generation.get()))
        .bind(version.id.to_string())
        .bind(ciphertext)
        .bind(version.created_at.unix_timestamp())
        .bind(version.public_part.as_deref())
        .execute(conn)
        .await?;
    });
    Ok(())
}

pub(crate) async fn set_ciphertext(on: On<'_>, id: SecretId, ciphertext: &[u8]) -> Result<()> {
    on!(on, conn => {
        sqlx::query("UPDATE generations SET ciphertext = $2 WHERE id = $1")
            .bind(id.to_string())
            .bind(ciphertext)
            .execute(conn)
            .await?;
    });
    Ok(())
}

pub(crate) async fn delete_generation(on: On<'_>, id: SecretId) -> Result<()> {
    on!(on, conn => {
        sqlx::query("DELETE FROM generations WHERE id = $1")
            .bind(id.to_string())
            .execute(conn)
            .await?;
    });
    Ok(())
}

/// Writes what can change beside the values: owner, marks, and the tag over all.
pub(crate) async fn update_secret(on: On<'_>, entry: &Entry, tag: &[u8]) -> Result<()> {
    let retained = entry.retained.as_ref();
    let rotation = entry.rotation.as_ref();
    on!(on, conn => {
        sqlx::query(
            "UPDATE secrets SET owner = $2, retained_by = $3, retained_at = $4, \
             rotation_by = $5, rotation_at = $6, tag = $7 WHERE name = $1",
        )
        .bind(entry.name.as_str())
        .bind(&entry.owner)
        .bind(retained.map(|mark| mark.by.as_str()))
        .bind(retained.map(|mark| mark.since.unix_timestamp()))
        .bind(rotation.map(|mark| mark.by.as_str()))
        .bind(rotation.map(|mark| mark.since.unix_timestamp()))
        .bind(tag)
        .execute(conn)
        .await?;
    });
    Ok(())
}

/// Deletes the secret with all generations; whether there was one.
pub(crate) async fn delete(on: On<'_>, name: &SecretName) -> Result<bool> {
    let rows = on!(on, conn => {
        sqlx::query("DELETE FROM secrets WHERE name = $1")
            .bind(name.as_str())
            .execute(conn)
            .await?
            .rows_affected()
    });
    Ok(rows > 0)
}
