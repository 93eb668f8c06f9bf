//! The statements, and rows as our types. Portable SQL with `$1` parameters. It
//! knows nothing of keys: ciphertext and tags are bytes here.

use sqlx::sqlite::SqliteRow;
use sqlx::{Row, SqliteConnection};
use time::OffsetDateTime;

use crate::entry::{Entry, NewSecret, Retained, Version};
use crate::name::{Generation, SecretId, SecretName};

/// The row of the store itself.
#[derive(Debug, Clone)]
pub(crate) struct StoreRow {
    pub(crate) id: String,
    pub(crate) store_key: Vec<u8>,
    pub(crate) recipients_tag: Vec<u8>,
}

/// One value as it is kept, beside the store's key of that moment.
pub(crate) struct SealedRow {
    pub(crate) store_key: Vec<u8>,
    pub(crate) id: SecretId,
    pub(crate) ciphertext: Vec<u8>,
}

type Result<T> = std::result::Result<T, sqlx::Error>;

/// Not as we wrote it.
fn odd(what: &str) -> sqlx::Error {
    sqlx::Error::Decode(format!("the table holds {what}").into())
}

fn time(seconds: i64) -> Result<OffsetDateTime> {
    OffsetDateTime::from_unix_timestamp(seconds).map_err(|_| odd("a time out of range"))
}

fn version(row: &SqliteRow) -> Result<Version> {
    let generation: Option<i64> = row.try_get("generation")?;
    let generation = generation.ok_or_else(|| odd("a secret without a value"))?;
    Ok(Version {
        generation: u32::try_from(generation)
            .ok()
            .and_then(|number| Generation::try_from(number).ok())
            .ok_or_else(|| odd("a generation out of range"))?,
        id: id(row.try_get("id")?)?,
        created_at: time(row.try_get("made_at")?)?,
    })
}

fn id(text: &str) -> Result<SecretId> {
    text.parse().map_err(|_| odd("an id that is none"))
}

pub(crate) async fn store(conn: &mut SqliteConnection) -> Result<StoreRow> {
    let (id, store_key, recipients_tag) =
        sqlx::query_as("SELECT id, store_key, recipients_tag FROM store")
            .fetch_one(conn)
            .await?;
    Ok(StoreRow {
        id,
        store_key,
        recipients_tag,
    })
}

/// Public keys as text, in the order of their text.
pub(crate) async fn recipients(conn: &mut SqliteConnection) -> Result<Vec<String>> {
    let mut keys: Vec<String> = sqlx::query_scalar("SELECT public_key FROM recipients")
        .fetch_all(conn)
        .await?;
    // Here, not in SQL: databases differ in how they collate.
    keys.sort();
    Ok(keys)
}

pub(crate) async fn insert_store(
    conn: &mut SqliteConnection,
    row: &StoreRow,
    recipients: impl Iterator<Item = &str>,
    now: OffsetDateTime,
) -> Result<()> {
    sqlx::query(
        "INSERT INTO store (only_row, id, store_key, recipients_tag, created_at) \
         VALUES (1, $1, $2, $3, $4)",
    )
    .bind(&row.id)
    .bind(&row.store_key)
    .bind(&row.recipients_tag)
    .bind(now.unix_timestamp())
    .execute(&mut *conn)
    .await?;
    for recipient in recipients {
        sqlx::query("INSERT INTO recipients (public_key, added_at) VALUES ($1, $2)")
            .bind(recipient)
            .bind(now.unix_timestamp())
            .execute(&mut *conn)
            .await?;
    }
    Ok(())
}

/// A secret and its generations, of one moment.
pub(crate) async fn entry(conn: &mut SqliteConnection, name: &SecretName) -> Result<Option<Entry>> {
    let rows = sqlx::query(
        "SELECT s.owner, s.kind, s.created_at, s.retained_by, s.retained_at, \
                g.generation, g.id, g.created_at AS made_at \
         FROM secrets s LEFT JOIN generations g ON g.name = s.name \
         WHERE s.name = $1 ORDER BY g.generation",
    )
    .bind(name.as_str())
    .fetch_all(conn)
    .await?;
    let Some(secret) = rows.first() else {
        return Ok(None);
    };
    let retained_at: Option<i64> = secret.try_get("retained_at")?;
    Ok(Some(Entry {
        name: name.clone(),
        owner: secret.try_get("owner")?,
        kind: secret.try_get("kind")?,
        created_at: time(secret.try_get("created_at")?)?,
        generations: rows.iter().map(version).collect::<Result<_>>()?,
        retained: match (secret.try_get("retained_by")?, retained_at) {
            (Some(by), Some(since)) => Some(Retained {
                by,
                since: time(since)?,
            }),
            _ => None,
        },
    }))
}

pub(crate) async fn sealed(
    conn: &mut SqliteConnection,
    name: &SecretName,
    generation: Generation,
) -> Result<Option<SealedRow>> {
    let row: Option<(Vec<u8>, String, Vec<u8>)> = sqlx::query_as(
        "SELECT s.store_key, g.id, g.ciphertext FROM generations g CROSS JOIN store s \
         WHERE g.name = $1 AND g.generation = $2",
    )
    .bind(name.as_str())
    .bind(i64::from(generation.get()))
    .fetch_optional(conn)
    .await?;
    row.map(|(store_key, id, ciphertext)| {
        Ok(SealedRow {
            store_key,
            id: self::id(&id)?,
            ciphertext,
        })
    })
    .transpose()
}

pub(crate) async fn insert_secret(
    conn: &mut SqliteConnection,
    name: &SecretName,
    new: &NewSecret,
    now: OffsetDateTime,
) -> Result<()> {
    sqlx::query("INSERT INTO secrets (name, owner, kind, created_at) VALUES ($1, $2, $3, $4)")
        .bind(name.as_str())
        .bind(&new.owner)
        .bind(&new.kind)
        .bind(now.unix_timestamp())
        .execute(conn)
        .await?;
    Ok(())
}

pub(crate) async fn insert_generation(
    conn: &mut SqliteConnection,
    name: &SecretName,
    version: &Version,
    ciphertext: &[u8],
) -> Result<()> {
    sqlx::query(
        "INSERT INTO generations (name, generation, id, ciphertext, created_at) \
         VALUES ($1, $2, $3, $4, $5)",
    )
    .bind(name.as_str())
    .bind(i64::from(version.generation.get()))
    .bind(version.id.to_string())
    .bind(ciphertext)
    .bind(version.created_at.unix_timestamp())
    .execute(conn)
    .await?;
    Ok(())
}

/// Whether there was such a secret.
pub(crate) async fn set_owner(
    conn: &mut SqliteConnection,
    name: &SecretName,
    owner: &str,
) -> Result<bool> {
    let done = sqlx::query("UPDATE secrets SET owner = $2 WHERE name = $1")
        .bind(name.as_str())
        .bind(owner)
        .execute(conn)
        .await?;
    Ok(done.rows_affected() > 0)
}

/// Marks the secret, unless it is marked already.
pub(crate) async fn set_retained(
    conn: &mut SqliteConnection,
    name: &SecretName,
    by: &str,
    now: OffsetDateTime,
) -> Result<()> {
    sqlx::query(
        "UPDATE secrets SET retained_by = $2, retained_at = $3 \
         WHERE name = $1 AND retained_by IS NULL",
    )
    .bind(name.as_str())
    .bind(by)
    .bind(now.unix_timestamp())
    .execute(conn)
    .await?;
    Ok(())
}

/// Takes the mark away; whether there is such a secret.
pub(crate) async fn clear_retained(conn: &mut SqliteConnection, name: &SecretName) -> Result<bool> {
    let done =
        sqlx::query("UPDATE secrets SET retained_by = NULL, retained_at = NULL WHERE name = $1")
            .bind(name.as_str())
            .execute(conn)
            .await?;
    Ok(done.rows_affected() > 0)
}

/// Deletes the secret with all generations; whether there was one.
pub(crate) async fn delete(conn: &mut SqliteConnection, name: &SecretName) -> Result<bool> {
    let done = sqlx::query("DELETE FROM secrets WHERE name = $1")
        .bind(name.as_str())
        .execute(conn)
        .await?;
    Ok(done.rows_affected() > 0)
}
