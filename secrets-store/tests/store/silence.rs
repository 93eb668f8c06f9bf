//! A value and an identity are seen nowhere but where they are asked for.

use nixops4_secrets_store::{ExposeSecret, Store};

use crate::deployment::{CANARY, Deployment, canary, generation, name, password};

#[tokio::test]
async fn a_value_is_in_no_debug_and_no_file() {
    let it = Deployment::new();
    let mut store = it.open().await;
    let db = name("app/db");
    let made = store
        .ensure(&db, generation(1), &password(), canary)
        .await
        .unwrap();
    let entry = store.lookup(&db).await.unwrap();
    let value = store.reveal(&db, generation(1), None).await.unwrap();
    assert_eq!(value.expose_secret(), CANARY);
    let key = std::fs::read_to_string(it.identities.source()).unwrap();

    let shown = format!("{store:?} {made:?} {entry:?} {value:?} {:?}", it.identities);
    assert!(!shown.contains(CANARY), "{shown}");
    assert!(!shown.contains(key.trim()), "{shown}");
    assert!(
        shown.contains(it.identities.recipients()[0].as_str()),
        "{shown}"
    );

    // Nor in the database, open or closed.
    store.close().await.unwrap();
    for file in std::fs::read_dir(it.path().parent().unwrap()).unwrap() {
        let bytes = std::fs::read(file.unwrap().path()).unwrap();
        for needle in [CANARY.as_bytes(), key.trim().as_bytes()] {
            assert!(!bytes.windows(needle.len()).any(|part| part == needle));
        }
    }
}

#[tokio::test]
async fn errors_say_neither_values_nor_ciphertexts() {
    let it = Deployment::new();
    let mut store = it.open().await;
    let (db, what) = (name("app/db"), password());
    let made = store
        .ensure(&db, generation(1), &what, canary)
        .await
        .unwrap();
    let other = store
        .ensure(&name("other"), generation(1), &what, canary)
        .await
        .unwrap();
    let mut errors = vec![
        store.reveal(&db, generation(2), None).await.err(),
        store
            .reveal(&db, generation(1), Some(&other.version.id))
            .await
            .err(),
        Store::open(&it.url, &it.stranger()).await.err(),
    ];
    // A row that the database refuses, with the ciphertext in the statement.
    it.sql(
        "CREATE TRIGGER refuse BEFORE INSERT ON generations \
         BEGIN SELECT RAISE(ABORT, 'no more'); END",
    )
    .await;
    errors.push(store.ensure(&db, generation(2), &what, canary).await.err());
    it.sql("DROP TRIGGER refuse; UPDATE generations SET ciphertext = x'61'")
        .await;
    errors.push(
        store
            .reveal(&db, generation(1), Some(&made.version.id))
            .await
            .err(),
    );
    for error in errors {
        let error = error.unwrap();
        for said in [error.to_string(), format!("{error:?}")] {
            assert!(!said.contains(CANARY), "{said}");
            assert!(!said.contains("age-encryption"), "{said}");
            assert!(!said.contains("SECRET-KEY"), "{said}");
        }
    }
}
