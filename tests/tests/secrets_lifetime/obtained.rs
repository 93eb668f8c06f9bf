//! Values that exist elsewhere.

use nixops4_resources_tests::bao::Bao;
use serde_json::json;

use crate::Site;

const VALUE: &str = "secrets_value";

fn with_folder() -> Site {
    let mut site = Site::new();
    let folder = site.sandbox.work().join("folder");
    std::fs::create_dir(&folder).expect("a folder");
    site.sources = format!(" folder=file:{}", folder.display());
    site
}

#[test]
fn it_follows_its_source_and_is_never_invented() {
    let site = with_folder();
    let wanted = json!({"name": "app/db", "source": "folder"});
    let error = site.try_make(VALUE, &wanted).unwrap_err();
    assert!(error.starts_with("/sourceName: "), "{error}");
    site.sandbox.write("folder/app/db", "first-value\n");
    let made = site.make(VALUE, &wanted);
    assert_eq!(site.reveal(&made["secret"]).unwrap(), "first-value");
    assert_eq!(site.make(VALUE, &wanted), made);
    assert_eq!(site.plan(VALUE, &wanted), [""; 0]);

    site.sandbox.write("folder/app/db", "second-value\n");
    assert_eq!(site.plan(VALUE, &wanted), ["/source"]);
    let followed = site.make(VALUE, &wanted);
    assert_eq!(site.reveal(&followed["secret"]).unwrap(), "second-value");
    assert_eq!(followed["previous"], made["secret"]);

    // Gone from its source: an error, and the copy stays.
    std::fs::remove_file(site.sandbox.work().join("folder/app/db")).expect("a file");
    let error = site.try_make(VALUE, &wanted).unwrap_err();
    assert!(error.starts_with("/sourceName: "), "{error}");
    assert_eq!(site.reveal(&followed["secret"]).unwrap(), "second-value");
}

#[test]
fn without_a_source_it_has_to_be_there() {
    let site = Site::new();
    let error = site
        .try_make(VALUE, &json!({"name": "license"}))
        .unwrap_err();
    assert!(error.starts_with("/name: "), "{error}");
    assert!(error.contains("secret set license"), "{error}");
}

#[test]
fn a_file_that_others_can_read_is_refused() {
    use std::os::unix::fs::PermissionsExt as _;
    let site = with_folder();
    let file = site.sandbox.write("folder/open", "canary-value");
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).expect("a mode");
    let wanted = json!({"name": "open", "source": "folder"});
    let error = site.try_make(VALUE, &wanted).unwrap_err();
    assert!(
        error.starts_with("/source: ") && error.contains("0644"),
        "{error}"
    );
    assert!(!error.contains("canary-value"), "{error}");
}

#[test]
fn vault_has_versions_and_fields() {
    let Some(bao) = Bao::start() else { return };
    let put = |value: &str| {
        bao.run(&[
            "kv",
            "put",
            "secret/app/db",
            "user=app",
            &format!("password={value}"),
        ])
    };
    put("first-value");
    let mut site = Site::new();
    let token = site.sandbox.write("token", bao.root_token());
    site.sources = format!(
        " vault=vault:{}/secret?token-file={}",
        bao.address(),
        token.display()
    );
    let wanted =
        json!({"name": "db", "source": "vault", "sourceName": "app/db", "field": "password"});
    let made = site.make(VALUE, &wanted);
    assert_eq!(site.reveal(&made["secret"]).unwrap(), "first-value");
    put("second-value");
    let mut first = wanted.clone();
    first["version"] = json!(1);
    assert_eq!(site.plan(VALUE, &first), [""; 0]);
    assert_eq!(site.plan(VALUE, &wanted), ["/field"]);
    let followed = site.make(VALUE, &wanted);
    assert_eq!(site.reveal(&followed["secret"]).unwrap(), "second-value");
    assert_eq!(followed["previous"], made["secret"]);

    let mut none = wanted.clone();
    none["sourceName"] = json!("app/nothing");
    let error = site.try_make(VALUE, &none).unwrap_err();
    assert!(error.starts_with("/sourceName: "), "{error}");
    // A token that has run out, and one that never was: the copy stays.
    let short = bao.run(&["token", "create", "-field=token", "-ttl=1s"]);
    crate::wait(2);
    for token in [short.trim(), "no-such-token-at-all"] {
        site.sandbox.write("token", token);
        let error = site.try_make(VALUE, &wanted).unwrap_err();
        assert!(error.starts_with("/source: "), "{error}");
        assert!(error.contains("it expired, was revoked"), "{error}");
        assert!(!error.contains(token), "{error}");
        assert_eq!(site.reveal(&followed["secret"]).unwrap(), "second-value");
    }
}
