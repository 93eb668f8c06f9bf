//! What the server, or PostgreSQL as such, does not allow.

use nixops4_resources_tests::messages::{self, object};
use nixops4_resources_tests::provider::{Provider, oneshot};
use serde_json::{Value, json};

use super::{DATABASE, ROLE, SERVERS, Site, Sleeper, assert_says};

#[test]
fn a_privilege_is_missing() {
    let server = SERVERS.lease();
    let site = Site::of(&server);
    server.sql("CREATE ROLE ordinary LOGIN PASSWORD 'x'");
    let secret = site.secret("ordinary", "x");
    let ordinary = [
        ("/connection/user", json!("ordinary")),
        ("/connection/password", secret),
    ];
    for kind in [ROLE, DATABASE] {
        let error = site.create(kind, &site.with("app", &ordinary));
        let error = error.expect_err("it may not");
        assert_says(
            &error,
            "/connection/user",
            &["permission denied", "log in as a superuser"],
        );
    }
    assert_eq!(
        server.sql("SELECT count(*) FROM pg_roles WHERE rolname = 'app'"),
        "0"
    );
    server.sql("DROP ROLE ordinary");
}

#[test]
fn an_administrator_that_is_no_superuser() {
    let server = SERVERS.lease();
    let site = Site::of(&server);
    server.sql("CREATE ROLE manager LOGIN CREATEROLE CREATEDB PASSWORD 'x'");
    let manager = [
        ("/connection/user", json!("manager")),
        ("/connection/password", site.secret("manager", "x")),
        ("/password", site.secret("app", "of the app")),
    ];
    // It can't read pg_authid: whether the password is the one on the server it
    // can't tell, and says so; with state it goes by what was recorded.
    let inputs = site.with("managed", &manager);
    let made = site.made(ROLE, &inputs);
    let outputs = object(made["outputProperties"].clone());
    let plan = |resource: Option<&Value>| {
        let request = messages::plan(ROLE, &inputs, &[], resource);
        let output = oneshot(site.command(), [request.to_string()]);
        let line = String::from_utf8_lossy(&output.stdout).into_owned();
        messages::answer(&request, line.trim_end()).expect("a plan")
    };
    let unrecorded = plan(None);
    assert_eq!(unrecorded["action"], "update");
    assert_eq!(unrecorded["changes"][0]["path"], "/password");
    assert_eq!(unrecorded["changes"][0]["after"], "sensitive");
    let resource = messages::resource(ROLE, &inputs, Some(&outputs));
    assert_eq!(plan(Some(&resource))["action"], "none");
    assert!(
        server
            .sql_as("managed", "of the app", "postgres", "SELECT 1")
            .is_ok()
    );
    site.made(ROLE, &inputs);
    server.sql("DROP ROLE managed; DROP ROLE manager");
}

#[test]
fn names_that_the_server_would_not_take() {
    let server = SERVERS.lease();
    let site = Site::of(&server);
    for (kind, name, words) in [
        (ROLE, "x".repeat(64), ["64 bytes", "shorter name"]),
        (DATABASE, "é".repeat(32), ["64 bytes", "shorter name"]),
        (ROLE, "pg_x".to_owned(), ["\"pg_x\"", "choose a name"]),
        (ROLE, "public".to_owned(), ["\"public\"", "choose a name"]),
        (ROLE, "none".to_owned(), ["\"none\"", "choose a name"]),
    ] {
        let error = site
            .create(kind, &site.inputs(&name))
            .expect_err("it can't be");
        assert!(error.starts_with("/name: "), "{error}");
        for words in words {
            assert!(error.contains(words), "{error}");
        }
    }
    // 63 bytes are taken whole.
    for (kind, name) in [(ROLE, "x".repeat(63)), (DATABASE, "é".repeat(31))] {
        let made = site.made(kind, &site.inputs(&name));
        assert_eq!(made["outputProperties"]["name"], name);
    }
    server.sql(&format!("DROP ROLE {}; ", "x".repeat(63)));
    server.sql(&format!("DROP DATABASE \"{}\"", "é".repeat(31)));
}

#[test]
fn a_role_that_owns_things() {
    let server = SERVERS.lease();
    let site = Site::of(&server);
    let made = site.made(ROLE, &site.inputs("proprietor"));
    let outputs = object(made["outputProperties"].clone());
    server.sql("CREATE DATABASE estate OWNER proprietor; CREATE DATABASE elsewhere");
    for database in ["estate", "elsewhere"] {
        let tables = "CREATE TABLE a(); ALTER TABLE a OWNER TO proprietor";
        server.sql_in(database, tables);
    }
    let destroy = |policy: &str| {
        let inputs = site.with("proprietor", &[("/deletionPolicy", json!(policy))]);
        let resource = messages::resource(ROLE, &inputs, Some(&outputs));
        let request = messages::destroy(&resource);
        let output = oneshot(site.command(), [request.to_string()]);
        assert!(output.status.success());
        let line = String::from_utf8_lossy(&output.stdout).into_owned();
        messages::answer(&request, line.trim_end())
    };
    let error = destroy("delete").expect_err("it owns things");
    let words = [
        "\"proprietor\"",
        "database \"estate\"",
        "in database \"elsewhere\": table public.a",
        "reassignOwnedTo",
    ];
    assert_says(&error, "", &words);
    destroy("retain").expect("it stays");
    server.sql("DROP DATABASE estate; DROP DATABASE elsewhere");

    // What was only granted to it is taken back.
    server.sql("CREATE TABLE shared(); GRANT SELECT ON shared TO proprietor");
    destroy("delete").expect("it owns nothing");
    let privileges = "SELECT coalesce(relacl::text, '') FROM pg_class WHERE relname = 'shared'";
    assert!(!server.sql(privileges).contains("proprietor"));
}

#[test]
fn a_database_that_can_not_be_made() {
    let server = SERVERS.lease();
    let site = Site::of(&server);
    let refuses = |patch: &[(&str, Value)], pointer, words: &[&str]| {
        site.refuses(DATABASE, &site.with("impossible", patch), pointer, words);
        // Nothing stays of it, under any name.
        let all = "SELECT datname FROM pg_database WHERE NOT datistemplate";
        assert_eq!(server.sql(all), "postgres");
    };
    let missing = "\"absent\" does not exist";
    refuses(
        &[("/ownerRole", json!("absent"))],
        "/ownerRole",
        &[missing, "declare what is missing"],
    );
    refuses(
        &[("/template", json!("absent"))],
        "/template",
        &[missing, "template"],
    );
    refuses(
        &[("/encoding", json!("EBCDIC"))],
        "/encoding",
        &["EBCDIC", "encoding"],
    );
    refuses(
        &[
            ("/encoding", json!("LATIN1")),
            ("/locale", json!("C.UTF-8")),
        ],
        "/encoding",
        &["encoding", "C.UTF-8", "locale"],
    );
    refuses(
        &[
            ("/encoding", json!("LATIN1")),
            ("/locale", json!("C")),
            ("/template", json!("template1")),
        ],
        "/encoding",
        &["template database \"template1\" (UTF8)", "template0"],
    );
    refuses(
        &[("/locale", json!("xx_XX.UTF-8"))],
        "/locale",
        &["xx_XX.UTF-8", "locale"],
    );
    // Postgres can't copy what somebody is using.
    let mut user = Sleeper::start(&server, &site, "template1");
    refuses(
        &[("/template", json!("template1"))],
        "/template",
        &[
            "template1",
            "(a nightly job, role \"postgres\"",
            "pg_terminate_backend",
        ],
    );
    user.end(&server);
    let mut provider = Provider::spawn(site.command());
    let request = messages::create(DATABASE, &site.inputs("possible"), true);
    messages::answer(&request, &provider.request(request.to_string())).expect("it is possible");
    server.sql("DROP DATABASE possible");
}
