//! State in PostgreSQL: poolers, servers that come and go, roles that may not.

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::process::Command;
use std::time::{Duration, Instant};

use nixops4_resources_tests::lifeline;
use nixops4_resources_tests::messages::{self, set};
use nixops4_resources_tests::postgres::{Config, Tls};
use nixops4_resources_tests::provider::Provider;
use serde_json::{Value, json};

use super::{Site, Writer, add};

/// A PgBouncer before a site's server. Killed when dropped.
struct Pooler {
    _process: Provider,
    _folder: tempfile::TempDir,
}

impl Pooler {
    /// Starts one, and lets the site connect through it.
    fn before(site: &mut Site, mode: &str) -> Self {
        let folder = lifeline::folder("pgbouncer-");
        let port = TcpListener::bind("127.0.0.1:0")
            .and_then(|free| free.local_addr())
            .expect("a port")
            .port();
        let users = folder.path().join("users.txt");
        fs::write(&users, "\"keeper\" \"quite secret\"\n").expect("it can be written");
        let configuration = folder.path().join("pgbouncer.ini");
        let server = site.server();
        fs::write(
            &configuration,
            format!(
                "[databases]\n* = host={} port={}\n[pgbouncer]\nlisten_addr = 127.0.0.1\n\
                 listen_port = {port}\nunix_socket_dir =\nauth_type = scram-sha-256\n\
                 auth_file = {}\npool_mode = {mode}\ndefault_pool_size = 3\n",
                server.host(),
                server.port(),
                users.display()
            ),
        )
        .expect("it can be written");
        for path in [folder.path(), users.as_path(), configuration.as_path()] {
            fs::set_permissions(path, fs::Permissions::from_mode(0o755)).expect("it is ours");
        }
        let mut command = Command::new("pgbouncer");
        command.arg("-q").arg(&configuration).current_dir("/");
        if rustix::process::geteuid().is_root() {
            // It refuses root.
            command.uid(65534);
        }
        let process = Provider::spawn(command);
        let begun = Instant::now();
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(
                begun.elapsed() < Duration::from_secs(20),
                "it doesn't listen"
            );
            std::thread::sleep(Duration::from_millis(20));
        }
        set(&mut site.inputs, "/connection/port", json!(port));
        Self {
            _process: process,
            _folder: folder,
        }
    }
}

#[test]
fn through_a_pooler_that_shares_sessions() {
    let mut site = Site::postgresql();
    let _pooler = Pooler::before(&mut site, "transaction");
    site.create();
    let (mut ann, mut ben) = (Writer::new(&site, "ann"), Writer::new(&site, "ben"));
    assert_eq!(ann.read(), ben.read());
    for number in 0..20 {
        for (writer, name) in [(&mut ann, "ann"), (&mut ben, "ben")] {
            let place = format!("/resources/{name}-{number}");
            writer
                .append(&add(&place, json!({})))
                .expect("nobody is in the way");
        }
    }
    // More at once than the pool has sessions.
    let running: Vec<_> = (0..8)
        .map(|number| {
            let mut provider = Provider::spawn(site.command());
            let patch = add(&format!("/resources/at-once-{number}"), json!({}));
            provider.send(site.event(&patch).to_string());
            provider
        })
        .collect();
    for mut provider in running {
        let request = site.event(&json!([]));
        messages::answer(&request, &provider.answer()).expect("it is written");
    }
    let resources = site.read()["resources"].take();
    assert_eq!(resources.as_object().expect("resources").len(), 48);
    assert_eq!(site.history(0).len(), 49);
    // Nothing is left in a session that is another's next.
    let left = site.server().sql_in(
        "states",
        "SELECT count(*) FROM pg_stat_activity WHERE state LIKE 'idle in%';
         SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'",
    );
    assert_eq!(left.split_whitespace().collect::<Vec<_>>(), ["0", "0"]);
}

#[test]
fn a_pooler_without_transactions_is_refused() {
    let mut site = Site::postgresql();
    let _pooler = Pooler::before(&mut site, "statement");
    let error = site.send(&site.create_request()).expect_err("it is no use");
    assert!(error.contains("transaction"), "{error}");
    assert!(error.contains("\nhint: "), "{error}");
}

#[test]
fn many_begin_at_once() {
    let site = Site::postgresql();
    let running: Vec<_> = (0..8)
        .map(|_| {
            let mut provider = Provider::spawn(site.command());
            provider.send(site.create_request().to_string());
            provider
        })
        .collect();
    for mut provider in running {
        let answer = messages::answer(&site.create_request(), &provider.answer());
        assert_eq!(answer, Ok(json!({"outputProperties": {}})));
    }
    assert_eq!(site.history(0).len(), 1);
}

#[test]
fn who_can_not_connect_or_write() {
    let mut site = Site::postgresql();
    let refused = |site: &Site, pointer: &str, word: &str| {
        let error = site.send(&site.create_request()).expect_err("it can't be");
        assert!(
            error.starts_with(&format!("{pointer}: ")),
            "{pointer}: {error}"
        );
        assert!(error.contains(word), "{word:?} is not in {error}");
        assert!(error.contains("\nhint: "), "{error}");
        assert!(!error.contains("quite secret"), "{error}");
    };
    let inputs = site.inputs.clone();
    for (pointer, value, blamed, word) in [
        (
            "/connection/password",
            json!({"env": "USER"}),
            "/connection/password",
            "refuses this password",
        ),
        (
            "/connection/password",
            Value::Null,
            "/connection/password",
            "asks for a password",
        ),
        (
            "/connection/database",
            json!("none"),
            "/connection/database",
            "make the database first",
        ),
        (
            "/connection/database",
            json!(""),
            "/connection/database",
            "empty",
        ),
        ("/connection/port", json!(1), "/connection", "listens"),
        (
            "/connection/tls",
            json!({"mode": "require"}),
            "/connection/tls",
            "mode",
        ),
        ("/schema", json!(""), "/schema", "empty"),
        // Nobody may make a schema of that name.
        ("/schema", json!("pg_states"), "/schema", "pg_"),
    ] {
        site.inputs = inputs.clone();
        set(&mut site.inputs, pointer, value);
        refused(&site, blamed, word);
    }
    site.inputs = inputs;
    let server = site.server();
    server.sql("ALTER DATABASE states OWNER TO postgres");
    refused(&site, "/connection/user", "CREATE on the database");
    server.sql("ALTER DATABASE states OWNER TO keeper");
    site.create();
    server.sql("ALTER DATABASE states OWNER TO postgres");
    // It has what it needs now.
    site.create();
    server.sql_in("states", "REVOKE INSERT ON nixops4.event FROM keeper");
    refused(&site, "/connection/user", "SELECT and INSERT");
    assert_eq!(site.read()["resources"], json!({}), "reading needs no more");
    server.sql_in("states", "GRANT INSERT ON nixops4.event TO keeper");
    server.sql_in("states", "UPDATE nixops4.event_format SET version = 7");
    refused(&site, "/schema", "format 7, this one knows 1");
}

#[test]
fn others_need_to_read_and_append_and_nothing_else() {
    let mut site = Site::postgresql();
    site.create();
    let server = site.server();
    server.sql("CREATE ROLE clerk LOGIN PASSWORD 'quite secret'");
    for statement in [
        "GRANT USAGE ON SCHEMA nixops4 TO clerk",
        "GRANT SELECT ON ALL TABLES IN SCHEMA nixops4 TO clerk",
        "GRANT INSERT ON nixops4.event TO clerk",
    ] {
        server.sql_in("states", statement);
    }
    set(&mut site.inputs, "/connection/user", json!("clerk"));
    site.create();
    site.send(&site.event(&add("/resources/a", json!({}))))
        .expect("it is written");
    assert_eq!(site.read()["resources"], json!({"a": {}}));
    // A deployment of their own is begun with the same rights.
    set(&mut site.inputs, "/deployment", json!("other"));
    site.create();
    assert_eq!(site.read()["resources"], json!({}));
}

#[test]
fn a_role_that_can_only_read_is_found_out_before_anything_is_changed() {
    let site = Site::postgresql();
    site.create();
    // A transaction says what it does, so that a setting alone does not matter.
    let server = site.server();
    server.sql("ALTER ROLE keeper SET default_transaction_read_only = on");
    server.sql("ALTER ROLE keeper SET synchronous_commit = off");
    server.sql("ALTER ROLE keeper SET statement_timeout = 1");
    site.create();
    site.send(&site.event(&add("/resources/a", json!({}))))
        .expect("it is written");
    let position = "SELECT max(position) FROM nixops4.event";
    assert_eq!(
        site.server().sql_in("states", position).trim(),
        "1",
        "a probe leaves nothing"
    );
}

#[test]
fn a_server_that_is_killed_between_two_events() {
    let mut site = Site::postgresql();
    site.create();
    let mut server = site.server.take().expect("it has one");
    let mut writer = Writer::new(&site, "ann");
    writer.read();
    for number in 0..3 {
        writer
            .append(&add(&format!("/resources/r{number}"), json!({})))
            .expect("it is written");
        server.restart_immediate();
    }
    writer.append(&json!([])).expect("it is written");
    let resources = writer.read()["resources"].take();
    assert_eq!(resources, json!({"r0": {}, "r1": {}, "r2": {}}));
    server.stop();
    let error = writer.append(&json!([])).expect_err("nobody is there");
    assert!(error.contains("/connection"), "{error}");
}

#[test]
fn encrypted_and_verified() {
    let mut site = Site::postgresql_with(&Config {
        tls: Tls::Required,
        ..Config::default()
    });
    let tls = json!({"mode": "verify-full", "caFile": site.server().ca_file()});
    set(&mut site.inputs, "/connection/tls", tls);
    site.create();
    site.send(&site.event(&add("/resources/a", json!({}))))
        .expect("it is written");
    set(
        &mut site.inputs,
        "/connection/tls",
        json!({"mode": "verify-full"}),
    );
    let error = site
        .send(&site.read_request())
        .expect_err("nobody has signed it");
    assert!(error.starts_with("/connection/tls: "), "{error}");
    assert!(error.contains("caFile"), "{error}");
}

#[test]
fn a_standby_can_be_read_and_says_why_it_is_not_written() {
    let mut site = Site::postgresql();
    site.create();
    site.send(&site.event(&add("/resources/a", json!({}))))
        .expect("it is written");
    let primary = site.server.as_mut().expect("it has one");
    let standby = primary.standby();
    set(&mut site.inputs, "/connection/port", json!(standby.port()));
    let begun = Instant::now();
    while site.read()["resources"] != json!({"a": {}}) {
        assert!(
            begun.elapsed() < Duration::from_secs(20),
            "it does not follow"
        );
    }
    for request in [
        site.create_request(),
        site.event(&add("/resources/b", json!({}))),
    ] {
        let error = site.send(&request).expect_err("it can't be written");
        assert!(error.starts_with("/connection: "), "{error}");
        assert!(error.contains("is a standby"), "{error}");
        assert!(error.contains("point connection at the primary"), "{error}");
    }
}

#[test]
fn no_limit_of_time_strikes_and_no_password_goes_astray() {
    let mut site = Site::postgresql_with(&Config {
        hba: vec!["host all loose 127.0.0.1/32 password".to_owned()],
        ..Config::default()
    });
    site.create();
    for name in [
        "statement_timeout",
        "lock_timeout",
        "idle_session_timeout",
        "idle_in_transaction_session_timeout",
    ] {
        let server = site.server();
        server.sql(&format!("ALTER DATABASE states SET {name} = '1ms'"));
        site.send(&site.event(&add(&format!("/resources/{name}"), json!({}))))
            .unwrap_or_else(|error| panic!("{name}: {error}"));
    }
    // Between two requests of one process, too.
    let mut ann = Writer::new(&site, "ann");
    for number in 0..3 {
        std::thread::sleep(Duration::from_millis(50));
        ann.append(&add(&format!("/resources/{number}"), json!({})))
            .expect("it is written");
    }
    let server = site.server();
    server.sql("CREATE ROLE loose LOGIN SUPERUSER PASSWORD 'quite secret'");
    set(&mut site.inputs, "/connection/user", json!("loose"));
    let error = site.send(&site.create_request()).expect_err("in clear");
    assert!(error.starts_with("/connection/requireAuth: "), "{error}");
    let methods = json!(["password"]);
    set(&mut site.inputs, "/connection/requireAuth", methods);
    site.create();
}
