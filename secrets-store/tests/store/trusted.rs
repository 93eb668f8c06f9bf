//! Files that others could have written are refused: the identity, the store, and
//! what is known.

use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::path::Path;

use nixops4_secrets_store::{Error, Identities, Store};

use crate::deployment::{Deployment, address, identity, write};

fn set_mode(path: &Path, mode: u32) {
    std::fs::set_permissions(path, PermissionsExt::from_mode(mode)).unwrap();
}

#[expect(clippy::print_stderr, reason = "a test that tries less says so")]
fn is_root() -> bool {
    let is_root = rustix::process::geteuid().is_root();
    if !is_root {
        eprintln!("not tried: files of other users, which only root can make");
    }
    is_root
}

#[tokio::test]
async fn a_store_that_others_could_have_written_is_refused() {
    let it = Deployment::new();
    it.open().await.close().await.unwrap();
    let folder = it.path().parent().unwrap();
    let refused = async |says: &str| {
        for refused in [
            it.refused().await,
            Store::open_or_create(&it.url, &it.identities)
                .await
                .unwrap_err(),
        ] {
            assert!(matches!(refused, Error::Untrusted { .. }), "{refused:?}");
            assert!(refused.to_string().contains(says), "{refused}");
        }
    };
    set_mode(it.path(), 0o666);
    refused("secrets.db can be written by everybody (mode 0666)").await;
    set_mode(it.path(), 0o600);
    set_mode(folder, 0o777);
    refused("store can be written by everybody (mode 0777)").await;
    // By a link the same.
    let link = it.dir.path().join("link.db");
    symlink(it.path(), &link).unwrap();
    let by_link = Store::open(&address(&link, ""), &it.identities).await;
    assert!(matches!(by_link, Err(Error::Untrusted { .. })));
    // And one that is not there yet.
    let new = address(&folder.join("new.db"), "");
    let by_link = Store::open_or_create(&new, &it.identities).await;
    assert!(matches!(by_link, Err(Error::Untrusted { .. })));
    assert!(!folder.join("new.db").exists());
    set_mode(folder, 0o700);
    if is_root() {
        chown(it.path(), Some(61_234), None).unwrap();
        refused("belongs to uid 61234").await;
        chown(it.path(), Some(0), None).unwrap();
        // SQLite would take a journal for the end of the store's last change.
        let journal = folder.join("secrets.db-journal");
        write(&journal, "x", 0o600);
        chown(&journal, Some(61_234), None).unwrap();
        refused("secrets.db-journal belongs to uid 61234").await;
        std::fs::remove_file(&journal).unwrap();
    }
    Store::open(&address(&link, ""), &it.identities)
        .await
        .unwrap();
}

#[test]
fn an_identity_that_others_could_have_written_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("keys");
    std::fs::create_dir(&folder).unwrap();
    let file = folder.join("age.key");
    identity(&file);
    set_mode(&folder, 0o777);
    let link = dir.path().join("link");
    symlink(&file, &link).unwrap();
    for path in [&file, &link] {
        let refused = Identities::from_file(path).unwrap_err().to_string();
        assert!(
            refused.contains("keys can be written by everybody (mode 0777)"),
            "{refused}"
        );
    }
    let refused = Identities::generate(folder.join("new.key")).unwrap_err();
    assert!(refused.to_string().contains("mode 0777"), "{refused}");
    assert!(!folder.join("new.key").exists());
    set_mode(&folder, 0o755);
    Identities::from_file(&link).unwrap();
    if is_root() {
        chown(&file, Some(61_234), None).unwrap();
        let refused = Identities::from_file(&file).unwrap_err().to_string();
        assert!(refused.contains("belongs to uid 61234"), "{refused}");
    }
}

#[tokio::test]
async fn what_is_known_is_refused_if_others_could_have_written_it() {
    let it = Deployment::new();
    it.open().await.close().await.unwrap();
    set_mode(it.identities.known_stores(), 0o602);
    let refused = it.refused().await;
    assert!(matches!(refused, Error::KnownStores { .. }), "{refused:?}");
    assert!(refused.to_string().contains("known-stores"), "{refused}");
}
