//! Obtaining secrets from a real OpenBao server.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use nixops4_resources_tests::bao::Bao;
use nixops4_secrets_store::ExposeSecret as _;
use nixops4_secrets_store::source::{Source, SourceError};

const CANARY: &str = "canary-2b7d90";

struct World {
    bao: Bao,
    folder: tempfile::TempDir,
}

impl World {
    /// None where there is no server to be had.
    fn new() -> Option<Self> {
        Bao::start().map(Self::with)
    }

    fn with_tls() -> Option<Self> {
        Bao::start_with_tls().map(Self::with)
    }

    fn with(bao: Bao) -> Self {
        let secret = format!("password={CANARY}");
        bao.run(&["kv", "put", "-mount=secret", "app/db", &secret]);
        Self {
            bao,
            folder: tempfile::tempdir().unwrap(),
        }
    }

    fn token_file(&self, token: &str) -> PathBuf {
        let path = self.folder.path().join("token");
        std::fs::write(&path, format!("{token}\n")).unwrap();
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o600)).unwrap();
        path
    }

    fn source(&self, token: &str) -> Source {
        self.source_of("secret", &self.token_file(token))
    }

    fn source_of(&self, mount: &str, token_file: &Path) -> Source {
        self.source_with(mount, token_file, "")
    }

    /// With more parameters, each with an ampersand before it.
    fn source_with(&self, mount: &str, token_file: &Path, parameters: &str) -> Source {
        let address = format!(
            "vault:{}/{mount}?token-file={}{parameters}",
            self.bao.address(),
            token_file.display()
        );
        address.parse().unwrap()
    }

    /// A token with these policies, for this long.
    fn token(&self, policy: &str, lasts: &str) -> String {
        let policy = format!("-policy={policy}");
        let lasts = format!("-ttl={lasts}");
        let token = self
            .bao
            .run(&["token", "create", "-field=token", &policy, &lasts]);
        token.trim().to_owned()
    }
}

/// What is refused, without the secret in it.
async fn refused(
    source: &Source,
    name: &str,
    field: Option<&str>,
    version: Option<u32>,
) -> SourceError {
    let error = source.obtain(name, field, version).await.unwrap_err();
    for said in [error.to_string(), format!("{error:?}")] {
        assert!(!said.contains(CANARY), "{said}");
        assert!(!said.contains("root-"), "{said}");
    }
    error
}

#[tokio::test]
async fn secrets_are_obtained_and_failures_told_apart() {
    let Some(world) = World::new() else { return };
    let source = world.source(world.bao.root_token());

    let got = source.obtain("app/db", None, None).await.unwrap();
    assert_eq!(got.value.expose_secret(), CANARY);
    assert_eq!(got.version, Some(1));
    assert!(!format!("{got:?}").contains(CANARY));

    // A second version with two fields, one of which is no text.
    world.bao.run(&[
        "kv",
        "put",
        "-mount=secret",
        "app/db",
        "password=two",
        "user=app",
    ]);
    let got = source
        .obtain("app/db", Some("password"), None)
        .await
        .unwrap();
    assert_eq!((got.value.expose_secret(), got.version), ("two", Some(2)));
    let got = source.obtain("app/db", None, Some(1)).await.unwrap();
    assert_eq!((got.value.expose_secret(), got.version), (CANARY, Some(1)));

    for (field, says) in [
        (
            None,
            "has the fields password, user; say which field is meant",
        ),
        (Some("other"), "is not among them"),
    ] {
        let error = refused(&source, "app/db", field, None).await;
        assert!(error.to_string().contains(says), "{error}");
        assert!(error.is_missing() && !error.is_retryable());
    }

    // Neither there, nor in that version, nor since it was deleted.
    for (name, version, says) in [
        ("app/none", None, "v1/secret/data/app/none is not on"),
        ("app/db", Some(9), "is not on"),
    ] {
        let error = refused(&source, name, None, version).await;
        assert!(error.to_string().contains(says), "{error}");
        assert!(error.is_missing(), "{error}");
    }
    world.bao.run(&["kv", "delete", "-mount=secret", "app/db"]);
    let error = refused(&source, "app/db", None, None).await;
    assert!(
        error.to_string().contains("that version was deleted"),
        "{error}"
    );
    let got = source.obtain("app/db", None, Some(1)).await.unwrap();
    assert_eq!(got.value.expose_secret(), CANARY);

    let elsewhere = world.source_of("elsewhere", &world.token_file(world.bao.root_token()));
    assert!(refused(&elsewhere, "app/db", None, None).await.is_missing());

    // An engine of version 1 answers otherwise.
    world
        .bao
        .run(&["secrets", "enable", "-path=old", "-version=1", "kv"]);
    world.bao.run(&[
        "kv",
        "put",
        "-mount=old",
        "data/app/db",
        &format!("password={CANARY}"),
    ]);
    let old = world.source_of("old", &world.token_file(world.bao.root_token()));
    let error = refused(&old, "app/db", None, None).await;
    assert!(
        error.to_string().contains("KV engine of version 2"),
        "{error}"
    );
}

#[tokio::test]
async fn tokens_and_the_seal() {
    let Some(world) = World::new() else { return };
    // `default` may look at itself, and at no secret.
    let poor = world.token("default", "1h");
    let error = refused(&world.source(&poor), "app/db", None, None).await;
    let text = error.to_string();
    assert!(
        text.contains("may not read v1/secret/data/app/db"),
        "{text}"
    );
    assert!(text.contains("policy") && !text.contains(&poor), "{text}");
    assert!(!error.is_missing() && !error.is_retryable());

    let short = world.token("root", "2s");
    let source = world.source(&short);
    source.obtain("app/db", None, None).await.unwrap();
    tokio::time::sleep(std::time::Duration::from_secs(4)).await;
    let text = refused(&source, "app/db", None, None).await.to_string();
    assert!(
        text.contains("is not valid") && text.contains("expired"),
        "{text}"
    );
    assert!(
        text.contains("bao login") && !text.contains(&short),
        "{text}"
    );

    let source = world.source("made-up");
    let text = refused(&source, "app/db", None, None).await.to_string();
    assert!(text.contains("is not valid"), "{text}");

    let source = world.source("not\u{7f}a token");
    let text = refused(&source, "app/db", None, None).await.to_string();
    assert!(text.contains("characters that none has"), "{text}");

    let open = world.token_file("x");
    std::fs::set_permissions(&open, PermissionsExt::from_mode(0o644)).unwrap();
    let source = world.source_of("secret", &open);
    let text = refused(&source, "app/db", None, None).await.to_string();
    assert!(
        text.contains("unable to read the token") && text.contains("chmod 600"),
        "{text}"
    );
    std::fs::remove_file(&open).unwrap();
    let text = refused(&source, "app/db", None, None).await.to_string();
    assert!(text.contains("unable to read the token"), "{text}");

    let source = world.source(world.bao.root_token());
    world.bao.run(&["operator", "seal"]);
    let error = refused(&source, "app/db", None, None).await;
    assert!(
        error.to_string().contains("is sealed; unseal it"),
        "{error}"
    );
    assert!(!error.is_missing());

    drop(world.bao);
    let error = refused(&source, "app/db", None, None).await;
    assert!(
        error
            .to_string()
            .contains("unable to read from http://127.0.0.1"),
        "{error}"
    );
    assert!(error.to_string().contains("refused"), "{error}");
}

#[tokio::test]
async fn over_tls_with_an_authority_of_its_own() {
    let (Some(world), Some(other)) = (World::with_tls(), World::with_tls()) else {
        return;
    };
    let token = world.token_file(world.bao.root_token());
    let trusting = |file: &Path| {
        let parameters = format!("&ca={}", file.display());
        world.source_with("secret", &token, &parameters)
    };
    let source = trusting(world.bao.authority());
    let got = source.obtain("app/db", None, None).await.unwrap();
    assert_eq!(got.value.expose_secret(), CANARY);

    // An authority of somebody else's, the system's, and files that are none.
    let empty = world.folder.path().join("empty.pem");
    std::fs::write(&empty, "").unwrap();
    let odd = world.folder.path().join("odd.pem");
    std::fs::write(
        &odd,
        "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
    )
    .unwrap();
    let missing = world.folder.path().join("missing.pem");
    for (source, says) in [
        (trusting(other.bao.authority()), "invalid peer certificate"),
        (
            world.source_of("secret", &token),
            "invalid peer certificate",
        ),
        (trusting(&empty), "there is no certificate in it"),
        (trusting(&odd), "odd.pem"),
        (trusting(&missing), "missing.pem"),
    ] {
        let error = refused(&source, "app/db", None, None).await;
        let text = error.to_string();
        assert!(text.contains(says), "{text}");
        assert!(
            text.contains("`?ca=`") || text.contains("the file of the authorities"),
            "{text}"
        );
        assert!(!error.is_missing() && !error.is_retryable(), "{text}");
    }
    // Where TLS is spoken, a server that doesn't is not talked to.
    let Some(plain) = World::new() else { return };
    let address = plain.bao.address().replacen("http:", "https:", 1);
    let address = format!("vault:{address}/secret?token-file={}", token.display());
    let error = refused(&address.parse().unwrap(), "app/db", None, None).await;
    assert!(
        error.to_string().contains("unable to read from https://"),
        "{error}"
    );

    // A token runs out over TLS as it does without.
    let short = world.token_file(&world.token("root", "2s"));
    let parameters = format!("&ca={}", world.bao.authority().display());
    let source = world.source_with("secret", &short, &parameters);
    source.obtain("app/db", None, None).await.unwrap();
    tokio::time::sleep(std::time::Duration::from_secs(4)).await;
    let error = refused(&source, "app/db", None, None).await;
    let text = error.to_string();
    assert!(text.contains("is not valid on https://"), "{text}");
    assert!(text.contains("it expired"), "{text}");
    assert!(text.contains("bao login"), "{text}");
    assert!(!error.is_missing() && !error.is_retryable(), "{text}");
}

#[tokio::test]
async fn secrets_in_a_namespace() {
    let Some(world) = World::new() else { return };
    let run = |arguments: &[&str]| world.bao.run(arguments);
    run(&["namespace", "create", "team"]);
    run(&["namespace", "create", "-namespace=team", "web"]);
    run(&[
        "secrets",
        "enable",
        "-namespace=team/web",
        "-path=kv",
        "-version=2",
        "kv",
    ]);
    let secret = format!("password={CANARY}-web");
    run(&[
        "kv",
        "put",
        "-namespace=team/web",
        "-mount=kv",
        "app/db",
        &secret,
    ]);
    let token = world.token_file(world.bao.root_token());
    let within = |namespace: &str| {
        let parameters = format!("&namespace={namespace}");
        world.source_with("kv", &token, &parameters)
    };
    for namespace in ["team/web", "team/web/"] {
        let got = within(namespace).obtain("app/db", None, None).await;
        let got = got.unwrap();
        assert_eq!(got.value.expose_secret(), format!("{CANARY}-web"));
    }
    // Above it, in one that isn't there, and without one.
    for source in [
        within("team"),
        within("nobodys"),
        world.source_of("kv", &token),
    ] {
        let error = refused(&source, "app/db", None, None).await;
        let text = error.to_string();
        assert!(error.is_missing(), "{text}");
        assert!(text.contains("the namespace"), "{text}");
    }
    // A token of one namespace opens nothing of another.
    let own = run(&[
        "token",
        "create",
        "-namespace=team/web",
        "-field=token",
        "-policy=default",
    ]);
    let own = world.token_file(own.trim());
    let error = refused(&world.source_of("secret", &own), "app/db", None, None).await;
    let text = error.to_string();
    assert!(
        text.contains("namespace") || text.contains("policy"),
        "{text}"
    );
    assert!(!error.is_missing(), "{text}");
}
