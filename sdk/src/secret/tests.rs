use std::fs::File;
use std::io::Write as _;

use secrecy::ExposeSecret as _;
use serde_json::json;

use super::*;

#[test]
fn references_that_parse() {
    for (written, reference) in [
        (json!({"file": "/run/x"}), SecretRef::File("/run/x".into())),
        (
            json!({"env": "X", "file": null}),
            SecretRef::Env("X".into()),
        ),
        (
            json!({"store": "main", "name": "a/b", "generation": 2, "id": "x", "file": null, "env": null}),
            SecretRef::Stored(StoredSecret {
                store: "main".into(),
                name: "a/b".into(),
                generation: 2,
                id: "x".into(),
                store_key: None,
            }),
        ),
    ] {
        assert_eq!(
            serde_json::from_value::<SecretRef>(written).unwrap(),
            reference
        );
    }
}

#[test]
fn the_key_of_a_store_is_no_part_of_which_value_is_meant() {
    let written = json!({"store": "main", "name": "a/b", "generation": 2, "id": "x"});
    let mut with_key = written.clone();
    with_key["storeKey"] = json!("SHA256:x");
    let parse = |written: &serde_json::Value| {
        serde_json::from_value::<StoredSecret>(written.clone()).unwrap()
    };
    let (old, new) = (parse(&written), parse(&with_key));
    assert_eq!(old, new);
    // It is kept, and left out where there was none.
    assert_eq!(json!(old), written);
    assert_eq!(json!(new), with_key);
    assert_eq!(new.root().unwrap_err().pointer(), Some("/storeKey"));
    let reference: SecretRef = serde_json::from_value(with_key).unwrap();
    let SecretRef::Stored(stored) = reference else {
        panic!("it is in a store");
    };
    assert_eq!(stored.store_key.as_deref(), Some("SHA256:x"));
}

#[test]
fn what_is_no_reference_is_never_repeated() {
    for written in [
        json!("canary-value"),
        json!(["canary-value"]),
        json!({"password": "canary-value"}),
        json!({"canary-value": 1}),
        json!({"file": "/x", "env": "canary-value"}),
        json!({"store": "main", "name": "canary-value"}),
        json!({"file": "/x", "storeKey": "canary-value"}),
        json!({"file": {"canary-value": 1}}),
        json!({}),
        json!(12345),
    ] {
        let error = serde_json::from_value::<SecretRef>(written)
            .unwrap_err()
            .to_string();
        assert!(!error.contains("canary"), "{error}");
        assert!(error.contains("write { file"), "{error}");
    }
}

#[test]
fn a_file_that_others_may_write_is_refused() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("secret");
    std::fs::write(&path, "one").unwrap();
    let set_mode = |path: &Path, mode| {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    };
    // Whom it is open to to read is not asked here.
    set_mode(&path, 0o644);
    assert_eq!(from_file(&path).unwrap().expose_secret(), "one");
    set_mode(&path, 0o602);
    let error = from_file(&path).unwrap_err().to_string();
    assert!(
        error.starts_with("/file: unable to read the secret in"),
        "{error}"
    );
    assert!(error.contains("; run `chmod go-w"), "{error}");
    set_mode(&path, 0o600);
    set_mode(folder.path(), 0o777);
    let error = from_file(&path).unwrap_err().to_string();
    assert!(error.contains("can be written by everybody"), "{error}");
}

#[test]
fn what_a_file_holds() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("secret");
    let write = |bytes: &[u8]| std::fs::write(&path, bytes).unwrap();
    for (bytes, secret) in [
        (&b"one two"[..], "one two"),
        (b"one\n", "one"),
        (b"one\r\n", "one"),
        (b"one\n\n", "one\n"),
        (b" one ", " one "),
    ] {
        write(bytes);
        assert_eq!(from_file(&path).unwrap().expose_secret(), secret);
    }
    let large = vec![b'x'; 1 << 21];
    for (bytes, problem) in [
        (&b""[..], "it is empty"),
        (b"\n", "it is empty"),
        (b"canary\xff", "it is not text in UTF-8"),
        (&large, "larger than any secret (1048576 bytes)"),
    ] {
        write(bytes);
        let error = from_file(&path).unwrap_err();
        assert_eq!(error.pointer(), Some("/file"));
        let error = error.to_string();
        assert!(
            error.contains(problem) && !error.contains("canary"),
            "{error}"
        );
    }
    let link = folder.path().join("link");
    std::os::unix::fs::symlink(&path, &link).unwrap();
    let mut file = File::create(&path).unwrap();
    file.write_all(b"linked").unwrap();
    assert_eq!(from_file(&link).unwrap().expose_secret(), "linked");
}

#[test]
fn what_is_no_file_for_a_secret() {
    let folder = tempfile::tempdir().unwrap();
    let pipe = folder.path().join("pipe");
    let made = std::process::Command::new("mkfifo").arg(&pipe).status();
    assert!(made.unwrap().success());
    for (path, problem) in [
        (folder.path(), "it is not a regular file"),
        (&pipe, "it is not a regular file"),
        (Path::new("/dev/zero"), "it is not a regular file"),
        (&folder.path().join("missing"), "No such file"),
        (
            Path::new("/nix/store/x-secret"),
            "it is in the Nix store, which everybody can read",
        ),
    ] {
        let error = from_file(path).unwrap_err().to_string();
        assert!(error.contains(problem), "{error}");
    }
}
