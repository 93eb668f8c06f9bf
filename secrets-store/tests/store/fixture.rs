//! A store as an earlier version wrote it still opens, and its values are the
//! same: an upgrade never makes a value anew.

use std::path::{Path, PathBuf};

use nixops4_secrets_store::{ExposeSecret, Identities, SecretString, Store};

use crate::deployment::{address, generation, name, never, password, write};

/// The id of `app/db`, generation 2, in the fixture.
const ID: &str = include_str!("../fixtures/store-v1.id");

fn fixture(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fixtures")
        .join(file)
}

/// The throwaway key, with the mode that a checkout does not keep.
fn key(dir: &Path) -> Identities {
    let text = std::fs::read(fixture("throwaway-ed25519")).unwrap();
    Identities::from_file(write(&dir.join("id_ed25519"), text, 0o600)).unwrap()
}

#[tokio::test]
async fn the_first_schema_still_opens() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("secrets.db");
    write(&path, std::fs::read(fixture("store-v1.db")).unwrap(), 0o600);
    let (url, identities) = (address(&path, ""), key(dir.path()));

    let mut store = Store::open(&url, &identities).await.unwrap();
    let db = name("app/db");
    let id = ID.trim().parse().unwrap();
    let value = store.reveal(&db, generation(2), Some(&id)).await.unwrap();
    assert_eq!(value.expose_secret(), "second value");
    let value = store.reveal(&db, generation(1), None).await.unwrap();
    assert_eq!(value.expose_secret(), "first value");

    let entry = store.lookup(&db).await.unwrap().unwrap();
    assert_eq!(entry.newest().unwrap().id, id);
    assert_eq!(entry.retained.unwrap().by, "somebody");
    let same = store.ensure(&db, generation(2), &password(), never).await;
    assert_eq!(same.unwrap().version.id, id);
}

/// `WRITE_FIXTURE=1 cargo test -p nixops4-secrets-store -- --ignored fixture`, for
/// a schema that no release has written yet. Afterwards it stays as it is.
#[tokio::test]
#[ignore = "it writes the fixture anew"]
async fn writes_the_fixture() {
    // So that running all ignored tests does not do it.
    if std::env::var_os("WRITE_FIXTURE").is_none() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("secrets.db");
    let mut store = Store::open_or_create(&address(&path, ""), &key(dir.path()))
        .await
        .unwrap();
    let db = name("app/db");
    let make = |value: &'static str| move || SecretString::from(value);
    store
        .ensure(&db, generation(1), &password(), make("first value"))
        .await
        .unwrap();
    let second = store
        .ensure(&db, generation(2), &password(), make("second value"))
        .await
        .unwrap();
    store.retain(&db, "somebody").await.unwrap();
    store.close().await.unwrap();
    std::fs::copy(path, fixture("store-v1.db")).unwrap();
    std::fs::write(fixture("store-v1.id"), format!("{}\n", second.version.id)).unwrap();
}
