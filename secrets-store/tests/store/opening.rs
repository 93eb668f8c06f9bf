//! Making and opening stores, and every way in which that is refused.

use std::time::{Duration, Instant};

use nixops4_secrets_store::{Error, ExposeSecret, OpenOptions, Store};
use sqlx::Executor;

use crate::deployment::{Deployment, address, canary, generation, mode, name, never, password};

#[tokio::test]
async fn a_new_store_belongs_to_its_owner_alone() {
    let it = Deployment::new();
    let mut store = it.open().await;
    let made = store
        .ensure(&name("a"), generation(1), &password(), canary)
        .await
        .unwrap();
    assert_eq!(mode(it.path()), 0o600);
    assert_eq!(mode(it.path().parent().unwrap()), 0o700);
    store.close().await.unwrap();

    let mut again = Store::open(&it.url, &it.identities).await.unwrap();
    let value = again
        .reveal(&name("a"), generation(1), Some(&made.version.id))
        .await;
    assert_eq!(value.unwrap().expose_secret(), canary().expose_secret());
}

#[tokio::test]
async fn a_directory_that_exists_keeps_its_mode() {
    let it = Deployment::new();
    let url = address(&it.dir.path().join("secrets.db"), "");
    let before = mode(it.dir.path());
    Store::open_or_create(&url, &it.identities).await.unwrap();
    assert_eq!(mode(it.dir.path()), before);
}

#[tokio::test]
async fn what_is_not_there_is_not_made_by_open() {
    let it = Deployment::new();
    let refused = it.refused().await;
    assert!(matches!(refused, Error::StoreMissing { .. }), "{refused}");
    assert!(!it.path().parent().unwrap().exists());

    // Nor by an address that only reads.
    let refused = Store::open_or_create(&it.read_only(), &it.identities).await;
    assert!(matches!(refused, Err(Error::StoreMissing { .. })));
    assert!(!it.path().exists());
}

#[tokio::test]
async fn a_process_killed_at_the_start_leaves_nothing_in_the_way() {
    let it = Deployment::new();
    std::fs::create_dir(it.path().parent().unwrap()).unwrap();
    std::fs::write(it.path(), "").unwrap();
    let refused = it.refused().await;
    assert!(matches!(refused, Error::StoreMissing { .. }), "{refused}");
    it.open().await;
}

#[tokio::test]
async fn other_files_are_refused_and_left_alone() {
    for (contents, says) in [
        (
            "not a database, but long enough to look for a header in it ".repeat(40),
            "file is not a database",
        ),
        ("short".into(), "file is not a database"),
    ] {
        let it = Deployment::new();
        std::fs::create_dir(it.path().parent().unwrap()).unwrap();
        std::fs::write(it.path(), &contents).unwrap();
        for refused in [
            it.refused().await,
            Store::open_or_create(&it.url, &it.identities)
                .await
                .unwrap_err(),
        ] {
            assert!(matches!(refused, Error::Damaged { .. }), "{refused}");
            assert!(refused.to_string().contains(says), "{refused}");
        }
        assert_eq!(std::fs::read_to_string(it.path()).unwrap(), contents);
    }
}

#[tokio::test]
async fn another_programs_database_is_refused() {
    for tables in [
        "CREATE TABLE users (id INTEGER)",
        "CREATE TABLE _sqlx_migrations (version INTEGER); CREATE TABLE users (id INTEGER)",
    ] {
        let it = Deployment::new();
        std::fs::create_dir(it.path().parent().unwrap()).unwrap();
        it.sql(tables).await;
        let refused = Store::open_or_create(&it.url, &it.identities).await;
        let refused = refused.unwrap_err().to_string();
        assert!(refused.contains("another program's database"), "{refused}");
        assert!(refused.contains("check the address"), "{refused}");
    }
}

#[tokio::test]
async fn a_newer_store_is_refused() {
    let it = Deployment::new();
    it.open().await.close().await.unwrap();
    it.sql(
        "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) \
         VALUES (99, 'from the future', true, x'00', 0)",
    )
    .await;
    let refused = it.refused().await;
    assert!(
        matches!(
            refused,
            Error::NewerSchema {
                found: 99,
                known: 3,
                ..
            }
        ),
        "{refused}"
    );
    assert!(
        refused
            .to_string()
            .contains("use a newer nixops4-resources"),
        "{refused}"
    );
}

#[tokio::test]
async fn a_stranger_is_refused_before_anything_is_written() {
    let it = Deployment::new();
    it.open().await.close().await.unwrap();
    let before = std::fs::read(it.path()).unwrap();
    let stranger = it.stranger();
    for refused in [
        Store::open(&it.url, &stranger).await.unwrap_err(),
        Store::open_or_create(&it.url, &stranger).await.unwrap_err(),
    ] {
        assert!(matches!(refused, Error::WrongIdentity { .. }), "{refused}");
        let text = refused.to_string();
        for part in [
            stranger.source().to_str().unwrap(),
            stranger.recipients()[0].as_str(),
            it.identities.recipients()[0].as_str(),
            "use the identity file of a recipient",
        ] {
            assert!(text.contains(part), "{part}: {text}");
        }
    }
    assert_eq!(std::fs::read(it.path()).unwrap(), before);
}

#[tokio::test]
async fn paths_that_cannot_be_are_explained() {
    let it = Deployment::new();
    std::fs::write(it.dir.path().join("file"), "").unwrap();
    for (path, says) in [
        (
            it.dir.path().join("file/secrets.db"),
            "a part of its path is a file",
        ),
        (
            it.dir.path().join("file/deeper/secrets.db"),
            "a part of its path is a file",
        ),
        (it.dir.path().to_owned(), "it is not a file"),
        // Nobody can make files there, root neither.
        ("/proc/nixops4-test/secrets.db".into(), "unable to create"),
    ] {
        let url = address(&path, "");
        let refused = Store::open_or_create(&url, &it.identities).await;
        let refused = refused.unwrap_err().to_string();
        assert!(refused.contains(says), "{refused}");
        assert!(refused.contains("check the address"), "{refused}");
        assert!(refused.contains(path.to_str().unwrap()), "{refused}");
    }
}

#[tokio::test]
async fn a_store_that_is_only_read_says_so_when_written() {
    let it = Deployment::new();
    let mut writer = it.open().await;
    let what = password();
    let made = writer
        .ensure(&name("a"), generation(1), &what, canary)
        .await
        .unwrap();
    let before = std::fs::read(it.path()).unwrap();

    let url = it.read_only();
    let mut store = Store::open(&url, &it.identities).await.unwrap();
    // What is there needs no writing.
    let same = store.ensure(&name("a"), generation(1), &what, never).await;
    assert_eq!(same.unwrap().version, made.version);
    let value = store.reveal(&name("a"), generation(1), None).await.unwrap();
    assert_eq!(value.expose_secret(), canary().expose_secret());

    for refused in [
        store
            .ensure(&name("b"), generation(1), &what, canary)
            .await
            .err(),
        store
            .ensure(&name("a"), generation(2), &what, canary)
            .await
            .err(),
        store.adopt(&name("a"), "other").await.err(),
        store.retain(&name("a"), "me").await.err(),
        store.restore(&name("a")).await.err(),
        store.delete(&name("a")).await.err(),
    ] {
        let refused = refused.unwrap();
        assert!(matches!(refused, Error::ReadOnly { .. }), "{refused:?}");
        assert!(refused.to_string().contains("mode=ro"), "{refused}");
        assert!(!refused.is_retryable());
    }
    assert_eq!(std::fs::read(it.path()).unwrap(), before);
}

#[tokio::test]
async fn a_locked_store_can_be_tried_again() {
    let it = Deployment::new();
    let options = OpenOptions::default().busy_timeout(Duration::from_millis(50));
    let mut store = options
        .open_or_create(&it.url, &it.identities)
        .await
        .unwrap();
    let what = password();

    let mut other = it.raw().await;
    other.execute("BEGIN IMMEDIATE").await.unwrap();
    for refused in [
        store
            .ensure(&name("a"), generation(1), &what, canary)
            .await
            .err(),
        store.retain(&name("a"), "me").await.err(),
        store.delete(&name("a")).await.err(),
    ] {
        let refused = refused.unwrap();
        assert!(matches!(refused, Error::Locked { .. }), "{refused:?}");
        assert!(refused.is_retryable());
    }
    // Who only reads does not wait.
    assert_eq!(store.lookup(&name("a")).await.unwrap(), None);
    options.open(&it.url, &it.identities).await.unwrap();

    other.execute("COMMIT").await.unwrap();
    other.execute("BEGIN EXCLUSIVE").await.unwrap();
    let refused = options.open(&it.url, &it.identities).await.unwrap_err();
    assert!(refused.is_retryable(), "{refused:?}");
    assert!(store.lookup(&name("a")).await.unwrap_err().is_retryable());

    other.execute("COMMIT").await.unwrap();
    let made = store.ensure(&name("a"), generation(1), &what, canary).await;
    assert!(made.unwrap().created);
}

#[tokio::test]
async fn a_store_that_is_moved_away_is_not_written() {
    let it = Deployment::new();
    let mut store = it.open().await;
    std::fs::rename(it.path(), it.dir.path().join("elsewhere.db")).unwrap();
    let refused = store
        .ensure(&name("a"), generation(1), &password(), canary)
        .await;
    let refused = refused.unwrap_err();
    assert!(matches!(refused, Error::Database { .. }), "{refused:?}");
    assert!(
        refused.to_string().starts_with("unable to store a secret"),
        "{refused}"
    );
}

#[tokio::test]
async fn several_identities_are_all_recipients() {
    let it = Deployment::new();
    let (one, two) = (it.dir.path().join("1.key"), it.dir.path().join("2.key"));
    let single = crate::deployment::identity(&one);
    crate::deployment::identity(&two);
    let both = [
        std::fs::read(&one).unwrap(),
        b"\n# second\n".to_vec(),
        std::fs::read(&two).unwrap(),
    ];
    let both = crate::deployment::write(&it.dir.path().join("both.key"), both.concat(), 0o600);
    let both = nixops4_secrets_store::Identities::from_file(both).unwrap();
    assert_eq!(both.recipients().len(), 2);

    let mut store = Store::open_or_create(&it.url, &both).await.unwrap();
    store
        .ensure(&name("a"), generation(1), &password(), canary)
        .await
        .unwrap();
    let mut store = Store::open(&it.url, &single).await.unwrap();
    let value = store.reveal(&name("a"), generation(1), None).await.unwrap();
    assert_eq!(value.expose_secret(), canary().expose_secret());
}

#[tokio::test]
async fn opening_and_reading_is_quick() {
    let it = Deployment::new();
    let mut store = it.open().await;
    let db = name("app/db");
    store
        .ensure(&db, generation(1), &password(), canary)
        .await
        .unwrap();
    let mut times = Vec::new();
    for _ in 0..21 {
        let start = Instant::now();
        let mut store = Store::open(&it.url, &it.identities).await.unwrap();
        store.reveal(&db, generation(1), None).await.unwrap();
        times.push(start.elapsed());
    }
    times.sort();
    // Some 5 ms in an unoptimised build; the rest is for a busy machine.
    assert!(times[10] < Duration::from_millis(100), "{times:?}");
}
