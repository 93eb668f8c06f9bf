//! How the provider gets in: encryption, sockets, the environment, the lock.

use std::time::Duration;

use nixops4_resources_tests::messages;
use nixops4_resources_tests::postgres::{Config, Server, Tls};
use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair};
use serde_json::{Value, json};

use crate::support::{DATABASE, Place, ROLE, config};

fn with_tls(tls: Tls) -> Place {
    Place::on(Server::start(&Config { tls, ..config() }), false)
}

fn inputs(place: &Place, tls: Value) -> messages::Object {
    let mut inputs = place.inputs(json!({"name": "app"}));
    messages::set(&mut inputs, "/connection/tls", tls);
    inputs
}

#[test]
fn encryption_is_what_was_asked_for() {
    let place = with_tls(Tls::Required);
    let ca = std::fs::read_to_string(place.server.ca_file()).expect("a certificate");
    let by_reference = place.secret("ca.pem", &ca);
    for tls in [
        json!({}),
        json!({"mode": "prefer"}),
        json!({"mode": "require"}),
        json!({"mode": "verify-ca", "caFile": place.server.ca_file()}),
        json!({"mode": "verify-full", "caFile": place.server.ca_file()}),
        json!({"mode": "verify-full", "ca": by_reference}),
    ] {
        place.ensure(ROLE, &inputs(&place, tls));
    }
    let stranger = place.sandbox.write("stranger.pem", stranger());
    let empty = place.sandbox.write("empty.pem", "nothing");
    for (tls, pointer, problem) in [
        (json!({"mode": "disable"}), "/connection", "no encryption"),
        (
            json!({"mode": "verify-full"}),
            "/connection/tls",
            "UnknownIssuer",
        ),
        (
            json!({"mode": "verify-ca"}),
            "/connection/tls",
            "UnknownIssuer",
        ),
        (
            json!({"mode": "verify-full", "caFile": stranger}),
            "/connection/tls",
            "",
        ),
        // Who names an authority means it, as with libpq.
        (
            json!({"mode": "require", "caFile": stranger}),
            "/connection/tls",
            "",
        ),
        (
            json!({"mode": "prefer", "caFile": stranger}),
            "/connection/tls",
            "",
        ),
        (
            json!({"mode": "verify-full", "caFile": "/nonexistent"}),
            "/connection/tls/caFile",
            "unable to read",
        ),
        (
            json!({"mode": "verify-full", "caFile": empty}),
            "/connection/tls/caFile",
            "no certificate",
        ),
        (
            json!({"caFile": stranger, "ca": {"file": stranger}}),
            "/connection/tls/ca",
            "twice",
        ),
        (
            json!({"key": {"file": stranger}}),
            "/connection/tls/certificateFile",
            "without its certificate",
        ),
        (
            json!({"certificateFile": stranger}),
            "/connection/tls/key",
            "without its key",
        ),
        (
            json!({"certificateFile": stranger, "key": {"file": empty}}),
            "/connection/tls/key",
            "no private key",
        ),
    ] {
        let shown = tls.to_string();
        let error = place.refused(ROLE, &inputs(&place, tls), pointer);
        assert!(error.contains(problem), "{shown}: {error}");
    }
    let plain = with_tls(Tls::Off);
    plain.ensure(ROLE, &inputs(&plain, json!({"mode": "prefer"})));
    let error = plain.refused(
        ROLE,
        &inputs(&plain, json!({"mode": "require"})),
        "/connection/tls",
    );
    assert!(error.contains("does not support TLS"), "{error}");
}

#[test]
fn the_host_name_counts_where_it_is_verified() {
    // Its certificate is for 127.0.0.1 and localhost.
    let place = Place::on(
        Server::start(&Config {
            tls: Tls::Required,
            settings: vec![(
                "listen_addresses".to_owned(),
                "127.0.0.1,127.0.0.2".to_owned(),
            )],
            hba: vec!["hostssl all all 127.0.0.0/8 scram-sha-256".to_owned()],
            ..config()
        }),
        false,
    );
    let inputs = |mode: &str| {
        let mut inputs = inputs(
            &place,
            json!({"mode": mode, "caFile": place.server.ca_file()}),
        );
        messages::set(&mut inputs, "/connection/host", json!("127.0.0.2"));
        inputs
    };
    place.ensure(ROLE, &inputs("verify-ca"));
    let error = place.refused(ROLE, &inputs("verify-full"), "/connection/tls");
    assert!(error.contains("not valid for name"), "{error}");
}

/// The certificate of an authority that signed nothing here.
fn stranger() -> String {
    let mut parameters = CertificateParams::default();
    parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().expect("a key");
    let certificate = parameters.self_signed(&key).expect("a certificate");
    certificate.pem()
}

#[test]
fn a_certificate_instead_of_a_password() {
    let server = Server::start(&Config {
        tls: Tls::Required,
        hba: vec!["hostssl all certified 127.0.0.1/32 cert".to_owned()],
        ..config()
    });
    server.sql("create role certified login superuser");
    let client = server.client_certificate("certified");
    let place = Place::on(server, false);
    let certificate = place.sandbox.write("client.pem", &client.certificate);
    let mut inputs = inputs(
        &place,
        json!({
            "mode": "verify-full", "caFile": place.server.ca_file(),
            "certificateFile": certificate, "key": place.secret("client.key", &client.key),
        }),
    );
    messages::set(&mut inputs, "/connection/user", json!("certified"));
    messages::set(&mut inputs, "/connection/password", Value::Null);
    place.ensure(ROLE, &inputs);
    assert!(place.server.log().contains("certified@postgres"));
    // Its key alone is not enough.
    messages::set(&mut inputs, "/connection/tls/certificateFile", Value::Null);
    messages::set(&mut inputs, "/connection/tls/key", Value::Null);
    let error = place
        .create(ROLE, &inputs)
        .expect_err("there is no certificate");
    assert!(error.contains("certificate"), "{error}");
}

#[test]
fn a_socket_and_who_we_are() {
    let me = String::from_utf8(
        std::process::Command::new("id")
            .arg("-un")
            .output()
            .expect("id")
            .stdout,
    );
    let me = me.expect("a name").trim().to_owned();
    let server = Server::start(&Config {
        hba: vec![format!("local all \"{me}\" peer")],
        ..config()
    });
    server.sql(&format!("create role \"{me}\" login superuser"));
    let place = Place::on(server, false);
    let socket =
        json!({"host": place.server.socket_dir(), "port": place.server.port(), "user": me});
    for tls in [json!({}), json!({"mode": "verify-full"})] {
        let mut inputs = place.inputs(json!({"name": "app", "connection": socket}));
        messages::set(&mut inputs, "/connection/tls", tls);
        assert_eq!(
            place.ensure(ROLE, &inputs)["host"],
            json!(place.server.socket_dir())
        );
    }
}

/// A password is sent to nobody who may be anybody, and a server that asks for
/// nothing is not believed, unless that is meant.
#[test]
fn what_the_server_asks_for() {
    let server = Server::start(&Config {
        tls: Tls::Offered,
        hba: vec![
            "host all clear 127.0.0.1/32 password".to_owned(),
            "host all hashed 127.0.0.1/32 md5".to_owned(),
            "host all trusted 127.0.0.1/32 trust".to_owned(),
        ],
        ..config()
    });
    server.sql(
        "set password_encryption = 'md5'; create role hashed login superuser password 'secret';
         create role clear login superuser password 'secret';
         create role trusted login superuser",
    );
    let place = Place::on(server, false);
    let secret = place.secret("secret", "secret");
    let authority = json!(place.server.ca_file());
    for (user, method, said) in [
        ("clear", "password", "asks for the password in clear"),
        ("hashed", "md5", "asks for the password as an md5 hash"),
        ("trusted", "none", "lets anybody in without a password"),
    ] {
        let with = |tls: Value, methods: Value| {
            let mut inputs = inputs(&place, tls);
            messages::set(&mut inputs, "/connection/user", json!(user));
            messages::set(&mut inputs, "/connection/password", secret.clone());
            messages::set(&mut inputs, "/connection/requireAuth", methods);
            inputs
        };
        for tls in [
            json!({}),
            json!({"mode": "disable"}),
            json!({"mode": "require"}),
        ] {
            let inputs = with(tls, Value::Null);
            let error = place.refused(ROLE, &inputs, "/connection/requireAuth");
            for words in [
                said,
                "scram-sha-256",
                "connection.tls.caFile",
                "name what it asks for",
            ] {
                assert!(error.contains(words), "{words:?} is not in: {error}");
            }
            assert!(!error.contains("secret"), "{error}");
        }
        place.ensure(
            ROLE,
            &with(json!({"mode": "require", "caFile": authority}), Value::Null),
        );
        place.ensure(ROLE, &with(json!({}), json!([method, "scram-sha-256"])));
        let inputs = with(json!({"caFile": authority}), json!(["scram-sha-256"]));
        let error = place.refused(ROLE, &inputs, "/connection/requireAuth");
        assert!(error.contains("not among what it may ask for"), "{error}");
    }
    let mut none = inputs(&place, json!({}));
    messages::set(&mut none, "/connection/requireAuth", json!([]));
    place.refused(ROLE, &none, "/connection/requireAuth");
}

#[test]
fn a_standby_says_that_it_is_one() {
    let mut place = Place::new();
    let shop = place.inputs(json!({"name": "shop"}));
    place.ensure(DATABASE, &shop);
    let standby = place.server.standby();
    let primary = std::mem::replace(&mut place.server, standby);
    for (kind, name) in [(ROLE, "app"), (DATABASE, "other")] {
        let error = place.refused(kind, &place.inputs(json!({"name": name})), "/connection");
        assert!(error.contains("is a standby"), "{error}");
        assert!(error.contains("point connection at the primary"), "{error}");
    }
    drop(primary);
}

/// What is meant for libpq must not decide anything.
#[test]
fn the_environment_decides_nothing() {
    let mut place = with_tls(Tls::Required);
    for (name, value) in [
        (
            "PGOPTIONS",
            "-c default_transaction_read_only=on -c role=nobody",
        ),
        ("PGSSLROOTCERT", "/nonexistent"),
        ("PGSSLCERT", "/nonexistent"),
        ("PGSSLKEY", "/nonexistent"),
        ("PGSSLMODE", "disable"),
        ("PGHOST", "192.0.2.1"),
        ("PGHOSTADDR", "192.0.2.1"),
        ("PGPORT", "1"),
        ("PGUSER", "nobody"),
        ("PGPASSWORD", "wrong"),
        ("PGDATABASE", "nowhere"),
        ("PGAPPNAME", "somebody"),
        ("PGPASSFILE", "/nonexistent"),
    ] {
        place.environment.push((name, value.to_owned()));
    }
    place.ensure(
        ROLE,
        &inputs(
            &place,
            json!({"mode": "verify-full", "caFile": place.server.ca_file()}),
        ),
    );
    place.ensure(
        DATABASE,
        &place.inputs(json!({"name": "shop", "extensions": ["citext"]})),
    );
    let mut inputs = place.inputs(json!({"name": "app"}));
    messages::set(&mut inputs, "/connection/password", Value::Null);
    place.refused(ROLE, &inputs, "/connection/password");
}

/// What the administrator's own settings are doesn't matter.
#[test]
fn the_settings_of_the_administrator_decide_nothing() {
    Place::both(|place| {
        let me = if place.restricted {
            "admin"
        } else {
            "postgres"
        };
        let free = "set default_transaction_read_only = off; set statement_timeout = 0; set lock_timeout = 0";
        for setting in [
            "search_path = 'nowhere'",
            "default_transaction_read_only = on",
            "default_transaction_isolation = 'serializable'",
            "statement_timeout = '10ms'",
            "lock_timeout = '1ms'",
            "standard_conforming_strings = off",
            "client_min_messages = 'debug5'",
            "DateStyle = 'SQL, DMY'",
            "IntervalStyle = 'iso_8601'",
            "TimeZone = 'Asia/Tokyo'",
            "bytea_output = 'escape'",
            "quote_all_identifiers = on",
            "application_name = 'mine'",
            "row_security = off",
        ] {
            place.sql(&format!("{free}; alter role {me} set {setting}"));
        }
        place.ensure(
            ROLE,
            &place.inputs(json!({
                "name": "app", "validUntil": "2040-02-01T00:00:00Z", "comment": r"back\slash",
            })),
        );
        let inputs = place.inputs(json!({"name": "shop", "ownerRole": "app", "extensions": ["citext"], "deletionPolicy": "delete"}));
        let outputs = place.ensure(DATABASE, &inputs);
        place
            .destroy(DATABASE, &inputs, &outputs)
            .expect("it is dropped");
        place.sql(&format!("{free}; alter role {me} reset all"));
    });
}

/// The owner of a database says what is set for who connects to it, and must not be
/// able to stop us by that, or to say what our statements mean.
#[test]
fn the_settings_of_a_database_decide_nothing() {
    Place::both(|place| {
        let me = if place.restricted {
            "admin"
        } else {
            "postgres"
        };
        let inputs = place.inputs(json!({
            "name": "shop", "ownerRole": "app", "extensions": ["citext"],
            "deletionPolicy": "delete",
        }));
        place.ensure(ROLE, &place.inputs(json!({"name": "app"})));
        let outputs = place.ensure(DATABASE, &inputs);
        let mut settings = vec![
            "statement_timeout = '1ms'",
            "lock_timeout = '1ms'",
            "idle_in_transaction_session_timeout = '1ms'",
            "idle_session_timeout = '1ms'",
            "role = 'app'",
            "search_path = 'nowhere'",
            "default_transaction_read_only = on",
            "default_transaction_isolation = 'serializable'",
            "default_transaction_deferrable = on",
            "standard_conforming_strings = off",
            "transform_null_equals = on",
            "quote_all_identifiers = on",
            "row_security = off",
            "check_function_bodies = off",
            "bytea_output = 'escape'",
            "IntervalStyle = 'iso_8601'",
            "client_min_messages = 'debug5'",
            "exit_on_error = on",
            "local_preload_libraries = 'nothing'",
        ];
        if place.server.version() >= 17 {
            settings.push("transaction_timeout = '1ms'");
            settings.push("restrict_nonsystem_relation_kind = 'view'");
        }
        place.sql(&format!("grant app to {me}"));
        let set = |setting: &str| place.sql(&format!("alter database shop set {setting}"));
        for setting in &settings {
            // Something to do in it.
            place.server.sql_in("shop", "drop extension citext");
            set(setting);
            place.ensure(DATABASE, &inputs);
            place.sql("alter database shop reset all");
        }
        for setting in &settings {
            set(setting);
        }
        place.ensure(DATABASE, &inputs);
        place
            .destroy(DATABASE, &inputs, &outputs)
            .expect("it is dropped");
        place.sql(&format!("revoke app from {me}"));
    });
}

#[test]
fn who_holds_the_lock_is_named() {
    let mut place = Place::new();
    place
        .environment
        .push(("FAILPOINTS", "database:marked=sleep(30000)".to_owned()));
    let mut slow = place.spawn();
    let create = messages::create(DATABASE, &place.inputs(json!({"name": "shop"})), true);
    slow.send(create.to_string());
    while place.sql("select count(*) from pg_locks where locktype = 'advisory'") == "0" {
        std::thread::sleep(Duration::from_millis(20));
    }
    place.environment = vec![("NIXOPS4_RESOURCES_TIMEOUT", "3".to_owned())];
    let error = place
        .create(ROLE, &place.inputs(json!({"name": "app"})))
        .expect_err("it is locked");
    assert!(
        error.starts_with("unable to create role \"app\": process "),
        "{error}"
    );
    assert!(
        error.contains("(nixops4-resources, role postgres, from 127.0.0.1) has held the lock"),
        "{error}"
    );
    assert!(error.contains("pg_terminate_backend"), "{error}");
    drop(slow);
}

#[test]
fn another_server_behind_the_address_is_refused() {
    let place = Place::new();
    let inputs = place.inputs(json!({"name": "app"}));
    let mut outputs = place.ensure(ROLE, &inputs);
    outputs.insert("systemIdentifier".to_owned(), json!("1"));
    let error = place
        .update(ROLE, &inputs, &outputs, &inputs)
        .expect_err("it is another server");
    assert!(error.starts_with("/connection: the server at"), "{error}");
    place
        .destroy(ROLE, &inputs, &outputs)
        .expect_err("it is another server");
}
