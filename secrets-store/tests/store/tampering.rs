//! Somebody who can write the database, but holds no identity, is noticed; so is
//! a disk that fails. Nothing is lost on top of it.

use nixops4_secrets_store::{Error, ExposeSecret, Recipient, SecretString, Store};

use crate::deployment::{CANARY, Deployment, canary, generation, name, never, password};

/// A store with two secrets, the first with two generations.
async fn filled() -> (Deployment, Store) {
    let it = Deployment::new();
    let mut store = it.open().await;
    for (at, number) in [("a", 1), ("a", 2), ("b", 1)] {
        store
            .ensure(&name(at), generation(number), &password(), canary)
            .await
            .unwrap();
    }
    (it, store)
}

#[tokio::test]
async fn rows_that_were_altered_are_refused() {
    for (statement, says) in [
        (
            "UPDATE generations SET ciphertext = \
             CAST(substr(ciphertext, 1, length(ciphertext) - 5) AS BLOB)",
            "altered or cut short",
        ),
        (
            "UPDATE generations SET ciphertext = CAST(substr(ciphertext, 1, 40) AS BLOB)",
            "not an intact age file",
        ),
        (
            "UPDATE generations SET ciphertext = x''",
            "not an intact age file",
        ),
        // Another secret's value, then another generation's.
        (
            "UPDATE generations SET ciphertext = \
             (SELECT ciphertext FROM generations WHERE name = 'b') WHERE name = 'a'",
            "the value of another one (name b, generation 1,",
        ),
        (
            "UPDATE generations SET ciphertext = \
             (SELECT ciphertext FROM generations WHERE name = 'a' AND generation = 2)",
            "the value of another one (name a, generation 2,",
        ),
        // Whole rows swapped.
        (
            "PRAGMA foreign_keys = OFF; \
             UPDATE generations SET name = 'c' WHERE name = 'a'; \
             UPDATE generations SET name = 'a' WHERE name = 'b'",
            "the value of another one (name b,",
        ),
        // Another id on the right value.
        (
            "UPDATE generations SET id = '7c1b4b6e-3f0e-4d5b-9a52-2f6a9e0c1d11' \
             WHERE name = 'a' AND generation = 1",
            "the value of another one (name a, generation 1,",
        ),
        // The store's key is no value.
        (
            "UPDATE generations SET ciphertext = (SELECT store_key FROM store)",
            "not an envelope",
        ),
    ] {
        let (it, mut store) = filled().await;
        it.sql(statement).await;
        let refused = store
            .reveal(&name("a"), generation(1), None)
            .await
            .unwrap_err();
        assert!(
            matches!(refused, Error::Tampered { .. }),
            "{statement}: {refused:?}"
        );
        let text = refused.to_string();
        assert!(text.contains(says), "{statement}: {text}");
        assert!(text.contains("secret a generation 1"), "{text}");
        assert!(!format!("{refused:?}").contains(CANARY));
    }
}

#[tokio::test]
async fn flipped_bits_of_a_stored_value_are_noticed() {
    let (it, mut store) = filled().await;
    let mut raw = it.raw().await;
    let sealed: Vec<u8> = sqlx::query_scalar("SELECT ciphertext FROM generations WHERE name = 'b'")
        .fetch_one(&mut raw)
        .await
        .unwrap();
    for at in (0..sealed.len()).step_by(7) {
        let mut altered = sealed.clone();
        altered[at] ^= 0x10;
        sqlx::query("UPDATE generations SET ciphertext = $1 WHERE name = 'b'")
            .bind(altered)
            .execute(&mut raw)
            .await
            .unwrap();
        let refused = store.reveal(&name("b"), generation(1), None).await;
        assert!(matches!(refused, Err(Error::Tampered { .. })), "byte {at}");
    }
}

#[tokio::test]
async fn a_value_that_was_renamed_is_refused() {
    let (it, mut store) = filled().await;
    it.sql(
        "PRAGMA foreign_keys = OFF; \
         UPDATE secrets SET name = 'z' WHERE name = 'b'; \
         UPDATE generations SET name = 'z' WHERE name = 'b'",
    )
    .await;
    let refused = store
        .reveal(&name("z"), generation(1), None)
        .await
        .unwrap_err();
    assert!(matches!(refused, Error::Tampered { .. }), "{refused:?}");
    let refused = store
        .reveal(&name("b"), generation(1), None)
        .await
        .unwrap_err();
    assert!(matches!(refused, Error::Missing { .. }), "{refused:?}");
}

#[tokio::test]
async fn nobody_becomes_a_recipient_behind_our_back() {
    let (it, mut store) = filled().await;
    let stranger = it.stranger();
    let key: &Recipient = &stranger.recipients()[0];
    sqlx::query("INSERT INTO recipients (public_key, added_at) VALUES ($1, 0)")
        .bind(key.as_str())
        .execute(&mut it.raw().await)
        .await
        .unwrap();
    // Neither where the store is open already, nor on opening.
    let refused = store
        .ensure(&name("new"), generation(1), &password(), canary)
        .await;
    for refused in [refused.unwrap_err(), it.refused().await] {
        assert!(
            matches!(refused, Error::StoreTampered { .. }),
            "{refused:?}"
        );
        assert!(
            refused.to_string().contains("list of recipients"),
            "{refused}"
        );
    }
    assert_eq!(store.lookup(&name("new")).await.unwrap(), None);
    // What was there can still be read.
    store.reveal(&name("a"), generation(1), None).await.unwrap();
    let refused = Store::open(&it.url, &stranger).await.unwrap_err();
    assert!(
        matches!(refused, Error::StoreTampered { .. }),
        "{refused:?}"
    );
}

#[tokio::test]
async fn a_store_whose_head_was_altered_is_refused() {
    for statement in [
        "DELETE FROM recipients",
        "UPDATE recipients SET public_key = 'nonsense'",
        "UPDATE store SET recipients_tag = x'00'",
        "UPDATE store SET id = 'another'",
        "UPDATE store SET store_key = x'00'",
        "UPDATE store SET store_key = (SELECT ciphertext FROM generations LIMIT 1)",
    ] {
        let (it, store) = filled().await;
        drop(store);
        it.sql(statement).await;
        let refused = it.refused().await;
        assert!(
            matches!(refused, Error::StoreTampered { .. }),
            "{statement}: {refused:?}"
        );
    }
    for statement in [
        "DELETE FROM store",
        "DROP TABLE recipients",
        "ALTER TABLE store RENAME COLUMN store_key TO other",
        "UPDATE _sqlx_migrations SET checksum = x'00'",
        "DELETE FROM _sqlx_migrations; ALTER TABLE secrets ADD COLUMN x TEXT",
    ] {
        let (it, store) = filled().await;
        drop(store);
        it.sql(statement).await;
        let refused = Store::open_or_create(&it.url, &it.identities)
            .await
            .unwrap_err();
        assert!(
            matches!(refused, Error::Damaged { .. }),
            "{statement}: {refused:?}"
        );
    }
}

#[tokio::test]
async fn rows_that_make_no_sense_are_damage() {
    for statement in [
        "DELETE FROM generations WHERE name = 'a'",
        "UPDATE generations SET id = name || generation",
        "UPDATE generations SET created_at = 9223372036854775807",
        "UPDATE secrets SET created_at = -9223372036854775807",
        "PRAGMA ignore_check_constraints = ON; \
         UPDATE generations SET generation = -1 WHERE generation = 2",
        "DROP TABLE generations",
    ] {
        let (it, mut store) = filled().await;
        it.sql(statement).await;
        let refused = store.lookup(&name("a")).await.unwrap_err();
        assert!(
            matches!(refused, Error::Damaged { .. }),
            "{statement}: {refused:?}"
        );
        // No new value in the place of one that was lost.
        let refused = store
            .ensure(&name("a"), generation(1), &password(), never)
            .await;
        let refused = refused.unwrap_err();
        assert!(
            matches!(refused, Error::Damaged { .. }),
            "{statement}: {refused:?}"
        );
    }
}

#[tokio::test]
async fn a_truncated_database_is_refused_and_left_alone() {
    let (it, mut store) = filled().await;
    // More than fits a few pages, so that there is a tail to lose.
    let long = || SecretString::from("x".repeat(40_000));
    store
        .ensure(&name("long"), generation(1), &password(), long)
        .await
        .unwrap();
    store.close().await.unwrap();
    let whole = std::fs::read(it.path()).unwrap();

    for length in [
        1,
        100,
        4096,
        5000,
        8192,
        20_000,
        whole.len() - 4096,
        whole.len() - 1,
    ] {
        std::fs::write(it.path(), &whole[..length]).unwrap();
        let refused = match Store::open_or_create(&it.url, &it.identities).await {
            Err(refused) => refused,
            Ok(mut store) => store
                .reveal(&name("long"), generation(1), None)
                .await
                .unwrap_err(),
        };
        // SQLite takes one byte for none.
        assert!(
            matches!(
                (&refused, length),
                (Error::Damaged { .. }, 2..) | (Error::NotAStore { .. }, 1)
            ),
            "{length}: {refused:?}"
        );
        assert!(refused.to_string().contains("from a backup"), "{refused}");
        assert_eq!(std::fs::metadata(it.path()).unwrap().len(), length as u64);
    }

    std::fs::write(it.path(), &whole).unwrap();
    let mut store = it.open().await;
    let value = store.reveal(&name("a"), generation(2), None).await.unwrap();
    assert_eq!(value.expose_secret(), CANARY);
}
