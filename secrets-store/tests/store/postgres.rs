//! What is PostgreSQL's own: logging in, its schema, its locks, its refusals.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use nixops4_resources_tests::postgres::{Config, Server, Tls};
use nixops4_secrets_store::{Error, ExposeSecret as _, Identities, OpenOptions, Store, StoreUrl};
use sqlx::Executor as _;
use time::OffsetDateTime;

use crate::deployment::{CANARY, Deployment, SERVER, canary, generation, name, password, write};

/// In a child, where the environment says how to log in: identity file and store.
const LOGIN: &str = "SECRETS_STORE_TEST_LOGIN";

async fn refused(url: &StoreUrl, it: &Deployment) -> Error {
    Store::open_or_create(url, &it.identities)
        .await
        .unwrap_err()
}

#[tokio::test]
async fn a_store_is_made_in_an_empty_schema_alone() {
    let it = Deployment::postgresql();
    let error = Store::open(&it.url, &it.identities).await.unwrap_err();
    assert!(matches!(error, Error::StoreMissing { .. }), "{error}");
    it.sql("CREATE TABLE users (id int)").await;
    let error = refused(&it.url, &it).await.to_string();
    assert!(error.contains("another program's database"), "{error}");
    // In a schema of its own it is.
    it.sql("CREATE SCHEMA secrets").await;
    let url = format!("{}?options=-c%20search_path%3Dsecrets", it.url);
    let url: StoreUrl = url.parse().unwrap();
    let mut store = Store::open_or_create(&url, &it.identities).await.unwrap();
    store
        .ensure(&name("a"), generation(1), &password(), canary)
        .await
        .unwrap();
    let error = refused(&it.url, &it).await.to_string();
    assert!(error.contains("another program's database"), "{error}");
}

#[tokio::test]
async fn a_newer_store_is_refused() {
    let it = Deployment::postgresql();
    it.open().await.close().await.unwrap();
    it.sql(
        "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) \
         VALUES (99, 'from the future', true, '', 0)",
    )
    .await;
    let error = refused(&it.url, &it).await;
    assert!(
        matches!(
            error,
            Error::NewerSchema {
                found: 99,
                known: 3,
                ..
            }
        ),
        "{error}"
    );
    it.sql("DELETE FROM _sqlx_migrations WHERE version = 99; UPDATE _sqlx_migrations SET checksum = ''")
        .await;
    let error = refused(&it.url, &it).await.to_string();
    assert!(error.contains("its schema was altered"), "{error}");
}

#[tokio::test]
async fn a_locked_or_read_only_store_says_so() {
    let it = Deployment::postgresql();
    let options = OpenOptions::default().busy_timeout(Duration::from_millis(100));
    let mut store = options
        .open_or_create(&it.url, &it.identities)
        .await
        .unwrap();
    let (db, what) = (name("app/db"), password());
    store
        .ensure(&db, generation(1), &what, canary)
        .await
        .unwrap();
    let mut other = it.raw_postgresql().await;
    other
        .execute("SELECT pg_advisory_lock(hashtextextended('nixops4-secrets-store public', 0))")
        .await
        .unwrap();
    let error = store
        .ensure(&db, generation(2), &what, canary)
        .await
        .unwrap_err();
    assert!(
        matches!(error, Error::Locked { .. }) && error.is_retryable(),
        "{error:?}"
    );
    // Who reads does not wait.
    store.reveal(&db, generation(1), None).await.unwrap();
    drop(other);
    store.close().await.unwrap();

    let database = it.url.to_string();
    let database = database.rsplit('/').next().unwrap().to_owned();
    SERVER.sql(&format!(
        "ALTER DATABASE {database} SET default_transaction_read_only = on"
    ));
    let mut store = Store::open(&it.url, &it.identities).await.unwrap();
    let error = store.reveal(&db, generation(1), None).await.unwrap_err();
    assert!(matches!(error, Error::Unrecorded { .. }), "{error:?}");
    assert!(
        error.to_string().contains("put `?mode=ro` at the end"),
        "{error}"
    );
    assert!(!format!("{error:?}").contains(CANARY));
    let error = store
        .ensure(&db, generation(2), &what, canary)
        .await
        .unwrap_err();
    assert!(matches!(error, Error::ReadOnly { .. }), "{error:?}");
    let mut store = Store::open(&it.read_only(), &it.identities).await.unwrap();
    store.reveal(&db, generation(1), None).await.unwrap();
}

#[tokio::test]
async fn servers_that_let_nobody_in_are_explained() {
    let it = Deployment::postgresql();
    let at = |rest: &str| -> StoreUrl { format!("postgresql://{rest}").parse().unwrap() };
    let server = format!("{}:{}", SERVER.host(), SERVER.port());
    SERVER.sql("CREATE ROLE poor LOGIN");
    let database = it.url.to_string();
    let database = database.rsplit('/').next().unwrap();
    for (url, says) in [
        (
            at(&format!("postgres@{server}/none")),
            "make the database first",
        ),
        (
            at(&format!("with_no_role@{server}/postgres")),
            "check the user",
        ),
        (
            at(&format!("poor@{server}/{database}")),
            "let the role create tables",
        ),
        (at("postgres@127.0.0.1:1/x"), "check the address"),
        (
            at("postgres@localhost:1/x?sslmode=verify-full"),
            "check the address",
        ),
    ] {
        let error = refused(&url, &it).await.to_string();
        assert!(error.contains(says), "{error}");
        assert!(error.contains("postgresql://"), "{error}");
    }
    // Not over the network without a certificate, unless told so.
    let url = at(&format!("postgres@{server}/{database}?sslmode=verify-full"));
    let error = refused(&url, &it).await.to_string();
    assert!(error.contains("sslrootcert"), "{error}");
}

#[tokio::test]
async fn a_role_that_may_only_add_to_the_record_does_not_prune_it() {
    let it = Deployment::postgresql();
    let (db, what) = (name("app/db"), password());
    let mut store = it.open().await;
    store
        .ensure(&db, generation(1), &what, canary)
        .await
        .unwrap();
    SERVER.sql("CREATE ROLE adder LOGIN");
    it.sql(
        "GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO adder; \
         REVOKE UPDATE, DELETE ON audit FROM adder",
    )
    .await;
    let url = it.url.to_string().replace("postgres@", "adder@");
    let mut adder = Store::open(&url.parse().unwrap(), &it.identities)
        .await
        .unwrap();
    adder.reveal(&db, generation(1), None).await.unwrap();
    adder
        .ensure(&db, generation(2), &what, canary)
        .await
        .unwrap();
    let soon = OffsetDateTime::now_utc() + time::Duration::MINUTE;
    let text = adder.prune_audit(soon).await.unwrap_err().to_string();
    assert!(text.starts_with("unable to prune the record"), "{text}");
    assert!(text.contains("permission denied for table audit"), "{text}");
    assert!(text.contains("or do this as one that may"), "{text}");
    assert_eq!(store.audit(None, 9).await.unwrap().len(), 4);
    assert_eq!(store.prune_audit(soon).await.unwrap(), 4);
}

#[tokio::test]
async fn a_store_is_reached_with_a_certificate_instead_of_a_password() {
    let server = Server::start(&Config {
        tls: Tls::Required,
        hba: vec!["hostssl all certified 127.0.0.1/32 cert".into()],
        ..Config::default()
    });
    server.sql("CREATE ROLE certified LOGIN");
    server.sql("CREATE DATABASE secrets OWNER certified");
    let it = Deployment::new();
    let client = server.client_certificate("certified");
    let certificate = write(
        &it.dir.path().join("client.pem"),
        &client.certificate,
        0o600,
    );
    let key = write(&it.dir.path().join("client.key"), &client.key, 0o600);
    let other = server.client_certificate("somebody");
    let other_certificate = write(&it.dir.path().join("other.pem"), &other.certificate, 0o600);
    let other_key = write(&it.dir.path().join("other.key"), &other.key, 0o600);
    let url = |authority: &Path, rest: &str| -> StoreUrl {
        let authority = authority.display();
        let url = format!(
            "postgresql://certified@{}:{}/secrets?sslmode=verify-full&sslrootcert={authority}{rest}",
            server.host(),
            server.port()
        );
        url.parse().unwrap()
    };
    let with = |certificate: &Path, key: &Path| {
        format!(
            "&sslcert={}&sslkey={}",
            certificate.display(),
            key.display()
        )
    };
    let authority = server.ca_file();
    let wanted = url(&authority, &with(&certificate, &key));
    let mut store = Store::open_or_create(&wanted, &it.identities)
        .await
        .unwrap();
    let db = name("app/db");
    store
        .ensure(&db, generation(1), &password(), canary)
        .await
        .unwrap();
    let value = store.reveal(&db, generation(1), None).await.unwrap();
    assert_eq!(value.expose_secret(), CANARY);
    let encrypted = server.sql_in(
        "secrets",
        "SELECT bool_and(ssl) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) \
         WHERE usename = 'certified'",
    );
    assert_eq!(encrypted, "t");
    store.close().await.unwrap();

    // Without it, with somebody else's, with one whose key is another, to a server
    // of another authority, and with files that aren't there.
    let stranger = Server::start(&Config {
        tls: Tls::Required,
        ..Config::default()
    });
    let missing = it.dir.path().join("missing.pem");
    for (url, says) in [
        (url(&authority, ""), "certificate"),
        (
            url(&authority, &with(&other_certificate, &other_key)),
            "check the user",
        ),
        (url(&authority, &with(&certificate, &other_key)), "sslkey"),
        (
            url(&stranger.ca_file(), &with(&certificate, &key)),
            "certificate",
        ),
        (url(&missing, &with(&certificate, &key)), "missing.pem"),
        (url(&authority, &with(&missing, &key)), "missing.pem"),
    ] {
        let error = Store::open(&url, &it.identities).await.unwrap_err();
        let text = error.to_string();
        assert!(text.contains(says), "{says}: {text}");
        assert!(matches!(error, Error::Unreachable { .. }), "{error:?}");
        assert!(
            !format!("{text}{error:?}").contains("PRIVATE KEY"),
            "{text}"
        );
    }
}

#[tokio::test]
#[ignore = "it is the process that the test below starts"]
async fn log_in() {
    let Ok(login) = std::env::var(LOGIN) else {
        return;
    };
    let (identity, url) = login.split_once(' ').unwrap();
    let identities = Identities::from_file(identity).unwrap();
    match Store::open_or_create(&url.parse().unwrap(), &identities).await {
        Ok(_) => crate::killed::say("logged in"),
        Err(error) => crate::killed::say(&error.to_string()),
    }
}

/// What a process says that logs in there, in an environment with these variables.
fn login_at(it: &Deployment, url: &str, variables: &[(&str, &str)]) -> String {
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "--ignored", "--nocapture", "postgres::log_in"])
        .env(LOGIN, format!("{} {url}", it.identities.source().display()))
        .env("HOME", "/nonexistent")
        .env_remove("PGPASSWORD")
        .env_remove("PGPASSFILE")
        .envs(variables.iter().copied())
        .output()
        .unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(!said.contains("canary-pass"), "{said}");
    said
}

#[tokio::test]
async fn a_standby_is_read_without_a_record_and_not_otherwise() {
    let mut server = Server::start(&Config {
        hba: vec!["host all all 127.0.0.1/32 trust".into()],
        ..Config::default()
    });
    let at = |server: &Server, rest: &str| -> StoreUrl {
        let (host, port) = (server.host(), server.port());
        let url = format!("postgresql://postgres@{host}:{port}/postgres{rest}");
        url.parse().unwrap()
    };
    let it = Deployment {
        url: at(&server, ""),
        ..Deployment::new()
    };
    let db = name("app/db");
    let mut store = it.open().await;
    store
        .ensure(&db, generation(1), &password(), canary)
        .await
        .unwrap();
    store.close().await.unwrap();
    let standby = server.standby();
    let error = Store::open(&at(&standby, ""), &it.identities)
        .await
        .unwrap_err();
    assert!(matches!(error, Error::Standby { .. }), "{error}");
    let said = error.to_string();
    assert!(said.contains("point its address at the primary"), "{said}");
    let mut store = Store::open(&at(&standby, "?mode=ro"), &it.identities)
        .await
        .unwrap();
    store.reveal(&db, generation(1), None).await.unwrap();
}

#[tokio::test]
async fn no_limit_of_time_strikes() {
    let it = Deployment::postgresql();
    let db = name("app/db");
    let mut store = it.open().await;
    store
        .ensure(&db, generation(1), &password(), canary)
        .await
        .unwrap();
    let database = it.url.to_string();
    let database = database.rsplit('/').next().unwrap();
    for limit in ["statement_timeout", "idle_session_timeout", "lock_timeout"] {
        SERVER.sql(&format!("ALTER DATABASE {database} SET {limit} = '1ms'"));
        let mut store = Store::open(&it.url, &it.identities).await.unwrap();
        tokio::time::sleep(Duration::from_millis(30)).await;
        store.reveal(&db, generation(1), None).await.unwrap();
    }
}

#[tokio::test]
async fn passwords_come_from_a_file_or_the_environment() {
    let it = Deployment::postgresql();
    SERVER.sql("CREATE ROLE with_password SUPERUSER LOGIN PASSWORD 'canary-pass'");
    let url = it.url.to_string().replace("postgres@", "with_password@");
    let pgpass = it.dir.path().join("pgpass");
    write(&pgpass, "*:*:*:with_password:canary-pass\n", 0o600);
    let login = |variables: &[(&str, &str)]| login_at(&it, &url, variables);
    assert!(login(&[("PGPASSFILE", pgpass.to_str().unwrap())]).contains("logged in"));
    assert!(login(&[("PGPASSWORD", "canary-pass")]).contains("logged in"));
    for variables in [&[][..], &[("PGPASSWORD", "wrong")]] {
        let said = login(variables);
        assert!(
            said.contains("the password comes from PGPASSWORD"),
            "{said}"
        );
    }
    // The same password is sent to no server that may be anybody, unless that is meant.
    SERVER.sql("CREATE ROLE loose SUPERUSER LOGIN PASSWORD 'canary-pass'");
    let url = url.replace("with_password@", "loose@");
    let given = ("PGPASSWORD", "canary-pass");
    let said = login_at(&it, &url, &[given]);
    assert!(
        said.contains("lets anybody in without a password"),
        "{said}"
    );
    assert!(said.contains("require_auth"), "{said}");
    let meant = format!("{url}?require_auth=none");
    assert!(login_at(&it, &meant, &[given]).contains("logged in"));
    let variables = [given, ("PGREQUIREAUTH", "none,scram-sha-256")];
    assert!(login_at(&it, &url, &variables).contains("logged in"));
    assert!(login_at(&it, &url, &[]).contains("logged in"));
    // Nothing of a value is in the statements that the server logs.
    let mut store = it.open().await;
    store
        .ensure(&name("a"), generation(1), &password(), canary)
        .await
        .unwrap();
    assert!(!SERVER.log().contains(CANARY));
}
