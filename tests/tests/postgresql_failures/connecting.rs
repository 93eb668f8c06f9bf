//! Servers that can't be reached, or don't let anybody in.

use std::time::{Duration, Instant};

use nixops4_resources_tests::messages::{self, object, set};
use nixops4_resources_tests::postgres::{Config, Server, Tls};
use nixops4_resources_tests::provider::{Provider, TIMEOUT, oneshot};
use serde_json::{Value, json};

use super::{DATABASE, ROLE, SERVERS, Site, assert_says};

#[test]
fn the_server_is_down() {
    let mut server = Server::start(&Config::default());
    let site = Site::of(&server);
    let address = format!("{}:{}", server.host(), server.port());
    server.stop();
    let refused = "onnection refused";
    let begun = Instant::now();
    site.refuses(
        ROLE,
        &site.inputs("app"),
        "/connection",
        &[&address, refused, "see that the server runs"],
    );
    // It is tried for some seconds: it could be starting.
    assert!(begun.elapsed() < Duration::from_secs(20));

    // And so it is.
    let mut provider = Provider::spawn(site.command());
    let request = messages::create(ROLE, &site.inputs("app"), true);
    provider.send(request.to_string());
    provider
        .receive(Duration::from_millis(300))
        .expect_err("it waits for the server");
    server.start_again();
    messages::answer(&request, &provider.answer()).expect("the server is there");

    // An address where nobody is, a name that nobody has, a socket that isn't there.
    for (host, words) in [
        (
            "no-such-host.invalid",
            [
                "no-such-host.invalid",
                "unable to connect",
                "see that the server runs",
            ],
        ),
        (
            "/nonexistent",
            [
                "/nonexistent/.s.PGSQL.",
                "No such file",
                "see that the server runs",
            ],
        ),
    ] {
        let inputs = site.with("app", &[("/connection/host", json!(host))]);
        let mut command = site.command();
        command.env("NIXOPS4_RESOURCES_TIMEOUT", "1");
        let error = Site::create_by(command, ROLE, &inputs).expect_err("nobody is there");
        // Without a certificate to check there is no TLS to speak of.
        assert_says(&error, "/connection", &words);
    }
}

#[test]
fn the_password() {
    let server = SERVERS.lease();
    let site = Site::of(&server);
    let wrong = site.secret("wrong", "not the password\n");
    let inputs = site.with("app", &[("/connection/password", wrong)]);
    let words = ["password authentication failed", "refuses this password"];
    site.refuses(ROLE, &inputs, "/connection/password", &words);
    let inputs = site.with("app", &[("/connection/password", Value::Null)]);
    let words = ["unable to connect", "set connection.password"];
    site.refuses(ROLE, &inputs, "/connection/password", &words);
    // Nothing of the caller's environment is used in its place.
    let mut command = site.command();
    let password = std::fs::read_to_string(server.superuser_password_file()).expect("it");
    command.env("PGPASSWORD", password);
    let error = Site::create_by(command, ROLE, &inputs).expect_err("no password is given");
    assert_says(&error, "/connection/password", &words);
    let inputs = site.with("app", &[("/connection/user", json!("nobody"))]);
    let error = site
        .create(ROLE, &inputs)
        .expect_err("there is no such role");
    assert_says(
        &error,
        "/connection/password",
        &["\"nobody\"", "refuses this password"],
    );
}

#[test]
fn a_database_or_role_that_may_not_be_entered() {
    let server = Server::start(&Config {
        hba: vec!["host all banned 127.0.0.1/32 reject".to_owned()],
        ..Config::default()
    });
    let site = Site::of(&server);
    let inputs = site.with("app", &[("/connection/database", json!("no_such"))]);
    let words = ["\"no_such\" does not exist", "set connection.database"];
    site.refuses(DATABASE, &inputs, "/connection/database", &words);
    server.sql("CREATE ROLE banned LOGIN PASSWORD 'x'");
    let secret = site.secret("banned", "x");
    let banned = [
        ("/connection/user", json!("banned")),
        ("/connection/password", secret),
    ];
    let words = ["pg_hba.conf rejects", "connection.tls.mode"];
    site.refuses(ROLE, &site.with("app", &banned), "/connection", &words);
}

#[test]
fn encryption_is_required() {
    let server = Server::start(&Config {
        tls: Tls::Required,
        ..Config::default()
    });
    let site = Site::of(&server);
    let tls = |mode: &str, ca: Option<&Value>| {
        let tls = json!({"mode": mode, "caFile": ca});
        site.with("app", &[("/connection/tls", tls)])
    };
    let ca = json!(server.ca_file());
    let words = ["no encryption", "connection.tls.mode"];
    site.refuses(ROLE, &tls("disable", None), "/connection", &words);
    for mode in ["verify-ca", "verify-full"] {
        let words = ["unable to connect", "connection.tls.caFile"];
        site.refuses(ROLE, &tls(mode, None), "/connection/tls", &words);
        site.made(ROLE, &tls(mode, Some(&ca)));
    }
    site.made(ROLE, &tls("require", None));
    site.made(ROLE, &tls("prefer", None));
    // On loopback encryption is used where it is offered.
    site.made(ROLE, &site.inputs("app"));

    // The certificate is for the address and for localhost, not for this name of
    // the same machine.
    let mut wrong = tls("verify-full", Some(&ca));
    set(&mut wrong, "/connection/host", json!("127.0.0.2"));
    let error = site.create(ROLE, &wrong).expect_err("nobody listens there");
    assert!(error.starts_with("/connection: "), "{error}");
    let garbage = json!(site.sandbox.write("ca.pem", "no certificate"));
    let error = site.create(ROLE, &tls("verify-full", Some(&garbage)));
    let error = error.expect_err("it holds no certificate");
    let words = ["no certificate in PEM", "BEGIN CERTIFICATE"];
    assert_says(&error, "/connection/tls/caFile", &words);
}

#[test]
fn a_certificate_for_another_host() {
    let server = Server::start(&Config {
        tls: Tls::Offered,
        settings: vec![("listen_addresses".to_owned(), "*".to_owned())],
        hba: vec!["host all all 127.0.0.0/8 scram-sha-256".to_owned()],
        ..Config::default()
    });
    let site = Site::of(&server);
    let ca = json!(server.ca_file());
    let at = |mode: &str| {
        let tls = json!({"mode": mode, "caFile": ca});
        site.with(
            "app",
            &[
                ("/connection/tls", tls),
                ("/connection/host", json!("127.0.0.2")),
            ],
        )
    };
    let error = site.create(ROLE, &at("verify-full"));
    let error = error.expect_err("the certificate is for 127.0.0.1");
    assert_says(
        &error,
        "/connection/tls",
        &["unable to connect", "connection.tls.mode"],
    );
    site.made(ROLE, &at("verify-ca"));
    // A server without TLS, of which TLS is asked.
    let plain = SERVERS.lease();
    let plain = Site::of(&plain);
    let tls = json!({"mode": "require"});
    let error = plain.create(ROLE, &plain.with("app", &[("/connection/tls", tls)]));
    let error = error.expect_err("it has no TLS");
    assert_says(&error, "/connection/tls", &["connection.tls.mode"]);
}

#[test]
fn another_server_behind_the_same_address() {
    let own = |own_system_identifier| {
        Server::start(&Config {
            own_system_identifier,
            ..Config::default()
        })
    };
    let (one, other) = (own(false), own(true));
    let (site, elsewhere) = (Site::of(&one), Site::of(&other));
    let made = site.made(ROLE, &site.inputs("app"));
    let outputs = object(made["outputProperties"].clone());
    // The record is of one server, the connection leads to the other.
    let recorded = messages::resource(ROLE, &elsewhere.inputs("app"), Some(&outputs));
    let wanted = elsewhere.inputs("app");
    for request in [
        messages::update(&recorded, &wanted),
        messages::plan(ROLE, &wanted, &[], Some(&recorded)),
        messages::destroy(&recorded),
    ] {
        let output = oneshot(elsewhere.command(), [request.to_string()]);
        assert!(output.status.success());
        let line = String::from_utf8_lossy(&output.stdout).into_owned();
        let error = messages::answer(&request, line.trim_end()).expect_err("it is another");
        let id = outputs["systemIdentifier"].as_str().expect("an identifier");
        assert_says(
            &error,
            "/connection",
            &["is another one", id, "point connection at"],
        );
    }
    assert_eq!(
        other.sql("SELECT count(*) FROM pg_roles WHERE rolname = 'app'"),
        "0"
    );

    // The same server under another address is the same.
    let mut socket = site.inputs("app");
    set(&mut socket, "/connection/host", json!(one.socket_dir()));
    let recorded = messages::resource(ROLE, &site.inputs("app"), Some(&outputs));
    let request = messages::plan(ROLE, &socket, &[], Some(&recorded));
    let output = oneshot(site.command(), [request.to_string()]);
    let line = String::from_utf8_lossy(&output.stdout).into_owned();
    let plan = messages::answer(&request, line.trim_end()).expect("a plan");
    assert_eq!(plan["action"], "none", "{plan}");
}

#[test]
fn the_server_restarts_in_between() {
    let mut server = Server::start(&Config::default());
    let site = Site::of(&server);
    let mut provider = Provider::spawn(site.command());
    let mut create = |name: &str| {
        let request = messages::create(ROLE, &site.inputs(name), true);
        messages::answer(&request, &provider.request(request.to_string()))
    };
    create("before").expect("the server is there");
    server.restart_immediate();
    // The connection that was kept is gone; nobody has to know.
    create("between").expect("it connects again");
    server.stop();
    server.start_again();
    create("after").expect("it connects again");
    let roles = "SELECT count(*) FROM pg_roles WHERE rolname IN ('before', 'between', 'after')";
    assert_eq!(server.sql(roles), "3");

    // In the middle of a request, which is done again.
    let mut command = site.command();
    command.env("FAILPOINTS", "database:created=1*sleep(700)");
    command.env("NIXOPS4_RESOURCES_LOG", "trace");
    let mut provider = Provider::spawn(command);
    let request = messages::create(DATABASE, &site.inputs("midway"), true);
    provider.send(request.to_string());
    let begun = Instant::now();
    while !String::from_utf8_lossy(&provider.stderr()).contains("database:created") {
        assert!(begun.elapsed() < TIMEOUT);
        std::thread::sleep(Duration::from_millis(5));
    }
    server.restart_immediate();
    messages::answer(&request, &provider.answer()).expect("it is done again");
    let databases = "SELECT datname FROM pg_database WHERE NOT datistemplate ORDER BY 1";
    assert_eq!(server.sql(databases), "midway\npostgres");
}
