use std::os::unix::fs::PermissionsExt as _;

use secrecy::ExposeSecret as _;

use super::*;

fn refused(address: &str) -> String {
    let refused = address.parse::<Source>().unwrap_err().to_string();
    assert!(!refused.contains("canary"), "{refused}");
    refused
}

#[test]
fn addresses_that_are_none() {
    for (address, says) in [
        ("file:relative", "not absolute"),
        ("env:1A", "not the beginning of a variable's name"),
        ("env:A-B", "not the beginning of a variable's name"),
        ("sqlite:/x", "it is a store"),
        ("canary", "none of file, env and vault"),
        ("canary://x", "none of file, env and vault"),
        ("vault:canary", "not a URL"),
        ("vault:ftp://x/secret", "not like vault:https://"),
        ("vault:http://vault.example/secret", "in clear"),
        ("vault:https://root:canary@x/secret", "holds a credential"),
        ("vault:https://x:8200/", "does not name the KV engine"),
        (
            "vault:https://x/secret?token=canary",
            "none of namespace, token-file and ca",
        ),
        ("vault:https://x/secret?ca=canary.pem", "is not absolute"),
    ] {
        let text = refused(address);
        assert!(text.contains(says), "{address}: {text}");
    }
    for good in [
        "vault:http://127.0.0.1:8200/secret",
        "vault:http://[::1]:8200/secret",
        "vault:https://x/team/kv?namespace=a/b&ca=/ca.pem&token-file=/token",
        "file:///run/secrets",
        "env:",
    ] {
        good.parse::<Source>().unwrap();
    }
}

#[tokio::test]
async fn a_folder_has_a_file_for_each() {
    let folder = tempfile::tempdir().unwrap();
    let source: Source = format!("file:{}", folder.path().display()).parse().unwrap();
    std::fs::create_dir(folder.path().join("app")).unwrap();
    let path = folder.path().join("app/db");
    std::fs::write(&path, "canary-1\n").unwrap();
    for (mode, says) in [
        (0o600, None),
        (0o440, None),
        (0o604, Some("mode 0604")),
        (0o620, Some("mode 0620")),
        (0o444, Some("mode 0444")),
    ] {
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        let got = source.obtain("app/db", None, None).await;
        match says {
            None => assert_eq!(got.unwrap().value.expose_secret(), "canary-1"),
            Some(says) => {
                let error = got.unwrap_err();
                let text = error.to_string();
                assert!(text.contains(says) && text.contains("chmod 600"), "{text}");
                assert!(!text.contains("canary") && !error.is_missing(), "{text}");
            }
        }
    }
    let missing = source.obtain("app/none", None, None).await.unwrap_err();
    assert!(missing.is_missing() && !missing.is_retryable(), "{missing}");
    // No way out of the folder.
    assert!(source.obtain("../app/db", None, None).await.is_err());
    let field = source.obtain("app/db", Some("x"), None).await.unwrap_err();
    assert!(field.to_string().contains("has no fields"), "{field}");
    let version = source.obtain("app/db", None, Some(1)).await.unwrap_err();
    assert!(version.to_string().contains("has no versions"), "{version}");
}

#[tokio::test]
async fn a_variable_has_the_name_in_capitals() {
    let name = "app/db-2.x".parse().unwrap();
    assert_eq!(variable("DEPLOY_", &name), "DEPLOY_APP_DB_2_X");
    // cargo sets it.
    let source: Source = "env:CARGO_".parse().unwrap();
    let got = source.obtain("pkg/name", None, None).await.unwrap();
    assert_eq!(got.value.expose_secret(), "nixops4-secrets-store");
    assert_eq!(got.version, None);
    let missing = source.obtain("none", None, None).await.unwrap_err();
    assert!(missing.is_missing());
    assert!(
        missing.to_string().contains("CARGO_NONE is not set"),
        "{missing}"
    );
}
