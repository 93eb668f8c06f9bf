//! What stands beside a value is bound to it: owner, kind, public part, times,
//! generations. Also what becomes of old generations and public parts.

use nixops4_secrets_store::{Error, ExposeSecret, Made, NewSecret, Store};

use crate::deployment::{Deployment, canary, generation, name, never, password};

async fn filled(it: &Deployment) -> Store {
    let mut store = it.open().await;
    for (at, owner) in [("a", "prod"), ("b", "test")] {
        for number in [1, 2] {
            let make = || Made::new(canary()).public_part(format!("{{\"{at}\":{number}}}"));
            let what = NewSecret::new(owner, "secrets_ssh_key");
            store
                .ensure(&name(at), generation(number), &what, make)
                .await
                .unwrap();
        }
    }
    store
}

async fn whatever_was_changed_is_refused(like: Deployment) {
    for statement in [
        "UPDATE secrets SET owner = 'test' WHERE name = 'a'",
        "UPDATE secrets SET kind = 'secrets_password' WHERE name = 'a'",
        "UPDATE secrets SET created_at = created_at + 1 WHERE name = 'a'",
        "UPDATE secrets SET retained_by = 'x', retained_at = 1 WHERE name = 'a'",
        "UPDATE secrets SET rotation_by = 'x', rotation_at = 1 WHERE name = 'a'",
        "UPDATE secrets SET tag = (SELECT tag FROM secrets WHERE name = 'b') WHERE name = 'a'",
        "UPDATE secrets SET tag = (SELECT recipients_tag FROM store) WHERE name = 'a'",
        "UPDATE generations SET public_part = '{}' WHERE name = 'a' AND generation = 1",
        "UPDATE generations SET public_part = NULL WHERE name = 'a' AND generation = 1",
        "UPDATE generations SET public_part = (SELECT public_part FROM generations \
         WHERE name = 'a' AND generation = 2) WHERE name = 'a' AND generation = 1",
        "UPDATE generations SET created_at = created_at + 1 WHERE name = 'a' AND generation = 2",
        "UPDATE generations SET generation = 9 WHERE name = 'a' AND generation = 2",
        "DELETE FROM generations WHERE name = 'a' AND generation = 2",
        // Two whole secrets swapped, with their tags and all.
        "INSERT INTO secrets (name, owner, kind, created_at, tag) \
         SELECT 'c', owner, kind, created_at, tag FROM secrets WHERE name = 'b'; \
         UPDATE generations SET name = 'c' WHERE name = 'b'; \
         DELETE FROM generations WHERE name = 'a'; \
         UPDATE generations SET name = 'a' WHERE name = 'c'",
    ] {
        let it = like.another();
        let mut store = filled(&it).await;
        it.sql(statement).await;
        let what = NewSecret::new("prod", "secrets_ssh_key");
        for refused in [
            store.lookup(&name("a")).await.err(),
            store.list().await.err(),
            store.reveal(&name("a"), generation(1), None).await.err(),
            store
                .ensure(&name("a"), generation(1), &what, never)
                .await
                .err(),
            store
                .ensure(&name("a"), generation(3), &what, never)
                .await
                .err(),
            store.adopt(&name("a"), "other").await.err(),
        ] {
            let refused = refused.unwrap();
            assert!(
                matches!(
                    refused,
                    Error::Altered { .. } | Error::Tampered { .. } | Error::Damaged { .. }
                ),
                "{statement}: {refused:?}"
            );
            assert!(refused.to_string().contains("backup"), "{refused}");
        }
    }
}

async fn a_swapped_ciphertext_is_named(it: Deployment) {
    let mut store = filled(&it).await;
    it.sql(
        "UPDATE generations SET ciphertext = (SELECT ciphertext FROM generations \
         WHERE name = 'b' AND generation = 2) WHERE name = 'a' AND generation = 1",
    )
    .await;
    let refused = store
        .reveal(&name("a"), generation(1), None)
        .await
        .unwrap_err();
    assert!(matches!(refused, Error::Tampered { .. }), "{refused:?}");
    assert!(
        refused
            .to_string()
            .contains("the value of another one (name b,"),
        "{refused}"
    );
    // The other generation is as it was.
    store.reveal(&name("a"), generation(2), None).await.unwrap();
}

async fn public_parts_are_there_without_the_value(it: Deployment) {
    let mut store = filled(&it).await;
    let entry = store.lookup(&name("a")).await.unwrap().unwrap();
    let parts: Vec<_> = entry
        .generations
        .iter()
        .map(|v| v.public_part.as_deref())
        .collect();
    assert_eq!(parts, [Some("{\"a\":1}"), Some("{\"a\":2}")]);
    // They stay through an adoption, and new recipients.
    store.adopt(&name("a"), "test").await.unwrap();
    store
        .add_recipient(&it.stranger().recipients()[0])
        .await
        .unwrap();
    let after = store.lookup(&name("a")).await.unwrap().unwrap();
    assert_eq!(after.generations, entry.generations);
    let bad = || Made::new(canary()).public_part("a\0b");
    let refused = store
        .ensure(&name("c"), generation(1), &password(), bad)
        .await;
    assert!(matches!(refused, Err(Error::Invalid(_))), "{refused:?}");
    assert_eq!(store.lookup(&name("c")).await.unwrap(), None);
}

async fn so_many_generations_are_kept(it: Deployment) {
    let mut store = it.open().await;
    let (db, what) = (name("app/db"), password());
    let kept = async |store: &mut Store| -> Vec<u32> {
        let entry = store.lookup(&db).await.unwrap().unwrap();
        entry
            .generations
            .iter()
            .map(|v| v.generation.get())
            .collect()
    };
    let mut first = None;
    for number in [1, 2, 3, 4, 9] {
        let made = store
            .ensure(&db, generation(number), &what, canary)
            .await
            .unwrap();
        first.get_or_insert(made.version);
    }
    assert_eq!(kept(&mut store).await, [3, 4, 9]);
    let gone = store
        .reveal(&db, generation(1), Some(&first.unwrap().id))
        .await;
    let gone = gone.unwrap_err().to_string();
    assert!(gone.contains("generations kept: 3, 4, 9"), "{gone}");
    let value = store.reveal(&db, generation(3), None).await.unwrap();
    assert_eq!(value.expose_secret(), canary().expose_secret());

    // Asking for one that is there deletes none, whatever is to be kept.
    store
        .ensure(&db, generation(9), &what.clone().keep(0), never)
        .await
        .unwrap();
    assert_eq!(kept(&mut store).await, [3, 4, 9]);
    store
        .ensure(&db, generation(10), &what.clone().keep(u32::MAX), canary)
        .await
        .unwrap();
    assert_eq!(kept(&mut store).await, [3, 4, 9, 10]);
    store
        .ensure(&db, generation(11), &what.keep(0), canary)
        .await
        .unwrap();
    assert_eq!(kept(&mut store).await, [11]);
}

async fn a_rotation_that_is_asked_for_is_done_with_once(it: Deployment) {
    let mut store = it.open().await;
    let (db, what) = (name("app/db"), password());
    let none = store.request_rotation(&db).await.unwrap_err();
    assert!(matches!(none, Error::NoSuchSecret { .. }), "{none}");
    store
        .ensure(&db, generation(1), &what, canary)
        .await
        .unwrap();
    let asked = store.request_rotation(&db).await.unwrap();
    assert_eq!(store.request_rotation(&db).await.unwrap(), asked);
    store
        .ensure(&db, generation(1), &what, never)
        .await
        .unwrap();
    let entry = store.lookup(&db).await.unwrap().unwrap();
    assert_eq!(entry.rotation, Some(asked));
    store
        .ensure(&db, generation(2), &what, canary)
        .await
        .unwrap();
    assert_eq!(store.lookup(&db).await.unwrap().unwrap().rotation, None);
}

on_each!(
    whatever_was_changed_is_refused,
    a_swapped_ciphertext_is_named,
    public_parts_are_there_without_the_value,
    so_many_generations_are_kept,
    a_rotation_that_is_asked_for_is_done_with_once,
);
