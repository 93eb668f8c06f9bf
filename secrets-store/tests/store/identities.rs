//! Identity files: what is read, and what is said of what cannot be.

use std::path::Path;
use std::process::Command;

use nixops4_secrets_store::{ExposeSecret, Identities, Store};

use crate::deployment::{Deployment, canary, generation, mode, name, password, write};

/// A private key made up for these tests. Nothing was ever encrypted to it.
const ED25519: &str = include_str!("../fixtures/throwaway-ed25519");

const SECRET_LINE: &str =
    "AGE-SECRET-KEY-1GQ9778VQXMMJVE8SK7J6VT8UJ4HDQAJUVSFCWCM02D8GEWQ72PVQ2Y5J33";

/// What reading a file of these contents fails with.
fn refused(contents: impl AsRef<[u8]>, mode: u32) -> String {
    let dir = tempfile::tempdir().unwrap();
    let path = write(&dir.path().join("identity"), contents, mode);
    let error = Identities::from_file(&path).unwrap_err();
    let text = error.to_string();
    assert!(text.contains(path.to_str().unwrap()), "{text}");
    for said in [&text, &format!("{error:?}")] {
        assert!(!said.contains("SECRET-KEY-1GQ"), "{said}");
    }
    text
}

#[test]
fn contents_that_are_no_identity_are_explained() {
    let public = "age1t7rxyev2z3rw82stdlrrepyc39nvn86l5078zqkf5uasdy86jp6svpy7pa";
    for (contents, says) in [
        (String::new(), "no identity in it"),
        ("# only a comment\n\n".into(), "no identity in it"),
        ("hunter2\n".into(), "line 1 is not an age identity"),
        (
            format!("# x\n{SECRET_LINE}\n{}", &SECRET_LINE[..40]),
            "line 3 is not",
        ),
        (format!("{public}\n"), "line 1 is a public key"),
        ("AGE-PLUGIN-YUBIKEY-1QQQQ\n".into(), "an age plugin"),
        (
            "age-encryption.org/v1\n-> scrypt".into(),
            "encrypted with a passphrase",
        ),
        (
            "-----BEGIN AGE ENCRYPTED FILE-----\n".into(),
            "encrypted with a passphrase",
        ),
        (
            "-----BEGIN PRIVATE KEY-----\nAA==\n".into(),
            "not an intact OpenSSH private key",
        ),
        (
            ED25519.replace("b3Bl", "AAAA"),
            "not an intact OpenSSH private key",
        ),
        (ED25519[..200].into(), "not an intact OpenSSH private key"),
        ("x\n".repeat(600_000), "more than 1 MiB"),
    ] {
        let error = refused(&contents, 0o600);
        assert!(error.contains(says), "{error}");
    }
    assert!(refused([0xff, 0xfe], 0o600).contains("not text"));
}

#[test]
fn files_that_cannot_be_read_are_explained() {
    let dir = tempfile::tempdir().unwrap();
    let file = write(&dir.path().join("file"), "", 0o600);
    for (path, says) in [
        (
            dir.path().join("none"),
            "it does not exist; make one with `nixops4-resources-secrets keygen",
        ),
        (file.join("below"), "Not a directory"),
        (dir.path().to_owned(), "it is a directory"),
    ] {
        let error = Identities::from_file(&path).unwrap_err().to_string();
        assert!(error.contains(says), "{error}");
    }
}

#[test]
fn a_file_that_others_can_get_at_is_refused() {
    for mode in [0o644, 0o640, 0o604, 0o620, 0o602, 0o666, 0o444] {
        let error = refused(SECRET_LINE, mode);
        assert!(error.contains("chmod 600"), "{error}");
        assert!(error.contains(&format!("mode {mode:04o}")), "{error}");
    }
    let dir = tempfile::tempdir().unwrap();
    for mode in [0o600, 0o400, 0o700] {
        let path = write(&dir.path().join(mode.to_string()), SECRET_LINE, mode);
        Identities::from_file(path).unwrap();
    }
}

#[test]
fn nothing_private_is_shown() {
    let dir = tempfile::tempdir().unwrap();
    let text = format!("{SECRET_LINE}\r\n\n# twice\n{SECRET_LINE}\n");
    let path = write(&dir.path().join("age.key"), text, 0o600);
    let identities = Identities::from_file(&path).unwrap();
    assert_eq!(identities.source(), path);
    assert_eq!(identities.recipients().len(), 1);
    let shown = format!("{identities:?}");
    assert!(
        shown.contains(identities.recipients()[0].as_str()),
        "{shown}"
    );
    assert!(!shown.to_uppercase().contains("SECRET-KEY"), "{shown}");
}

/// A store made and opened again with that SSH key.
async fn works(path: &Path) {
    let it = Deployment::new();
    let identities = Identities::from_file(path).unwrap();
    let mut store = Store::open_or_create(&it.url, &identities).await.unwrap();
    let (what, name) = (password(), name("a"));
    store
        .ensure(&name, generation(1), &what, canary)
        .await
        .unwrap();
    let mut store = Store::open(&it.url, &identities).await.unwrap();
    let value = store.reveal(&name, generation(1), None).await.unwrap();
    assert_eq!(value.expose_secret(), canary().expose_secret());
    assert!(Store::open(&it.url, &it.identities).await.is_err());
    assert!(!format!("{identities:?}{store:?}").contains("PRIVATE"));
}

#[tokio::test]
async fn an_ssh_key_opens_a_store() {
    let dir = tempfile::tempdir().unwrap();
    let path = write(&dir.path().join("id_ed25519"), ED25519, 0o600);
    works(&path).await;
    assert_eq!(mode(&path), 0o600);
}

/// Runs `ssh-keygen`; `None` where it is not installed.
fn keygen(arguments: &[&str]) -> Option<(tempfile::TempDir, std::path::PathBuf)> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("key");
    let run = Command::new("ssh-keygen")
        .args(["-q", "-C", "a comment", "-f"])
        .arg(&path)
        .args(arguments)
        .output()
        .ok()?;
    assert!(run.status.success(), "{run:?}");
    Some((dir, path))
}

#[tokio::test]
async fn keys_made_by_openssh_work_or_say_why_not() {
    // 3072 bits: the public key's base64 ends in padding.
    for arguments in [
        ["-t", "ed25519", "-N", ""].as_slice(),
        &["-t", "rsa", "-b", "3072", "-N", ""],
    ] {
        if let Some((_dir, path)) = keygen(arguments) {
            works(&path).await;
        }
    }
    for (arguments, says) in [
        (
            ["-t", "ed25519", "-N", "secret"].as_slice(),
            "SSH key with a passphrase",
        ),
        (
            &["-t", "rsa", "-m", "PEM", "-N", "secret"],
            "SSH key with a passphrase",
        ),
        (&["-t", "ecdsa", "-N", ""], "type \"ecdsa-sha2-nistp256\""),
        (
            &["-t", "rsa", "-b", "1024", "-N", ""],
            "fewer than 2048 bits",
        ),
    ] {
        if let Some((_dir, path)) = keygen(arguments) {
            let error = Identities::from_file(&path).unwrap_err().to_string();
            assert!(error.contains(says), "{error}");
        }
    }
}

#[tokio::test]
async fn an_identity_that_was_made_here_opens_a_store() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("identity");
    let made = Identities::generate(&path).unwrap();
    assert_eq!(made.recipients().len(), 1);
    works(&path).await;

    let before = std::fs::read(&path).unwrap();
    let again = Identities::generate(&path).unwrap_err().to_string();
    assert!(again.contains("exists already"), "{again}");
    assert_eq!(std::fs::read(&path).unwrap(), before);

    let nowhere = Identities::generate(folder.path().join("missing/identity")).unwrap_err();
    assert!(
        nowhere.to_string().contains("name a file in a folder"),
        "{nowhere}"
    );
}
