//! Through PgBouncer.

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::time::{Duration, Instant};

use nixops4_resources_tests::lifeline;
use nixops4_resources_tests::messages::{self, Object};
use nixops4_resources_tests::postgres::{Config, REQUIRED, Server, Tls, is_required};
use nixops4_resources_tests::provider::Provider;
use serde_json::{Value, json};

use crate::support::{DATABASE, Place, ROLE, config};

/// Where Debian's package pgbouncer puts it, which is in nobody's `PATH` but root's.
const DEBIAN: &str = "/usr/sbin/pgbouncer";

/// The program, if it is there.
fn pgbouncer() -> Option<&'static str> {
    let is_there = |program: &&str| Command::new(program).arg("--version").output().is_ok();
    let found = ["pgbouncer", DEBIAN].into_iter().find(is_there);
    assert!(
        found.is_some() || !is_required("pgbouncer"),
        "there is no pgbouncer, and {REQUIRED} names it: `scripts/setup.sh pgbouncer` installs it"
    );
    found
}

/// A PgBouncer before a server. Killed when dropped.
struct Pooler {
    port: u16,
    _process: Provider,
    _folder: tempfile::TempDir,
}

impl Pooler {
    fn start(program: &str, place: &Place, settings: &str) -> Self {
        let folder = lifeline::folder("pgbouncer-");
        let port = TcpListener::bind("127.0.0.1:0")
            .and_then(|free| free.local_addr())
            .expect("a port")
            .port();
        let password =
            fs::read_to_string(place.server.superuser_password_file()).expect("a password");
        let users = folder.path().join("users.txt");
        fs::write(
            &users,
            format!("\"postgres\" \"{password}\"\n\"admin\" \"secret\"\n"),
        )
        .expect("it can be written");
        let configuration = folder.path().join("pgbouncer.ini");
        fs::write(
            &configuration,
            format!(
                "[databases]\n* = host={} port={}\n[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\n\
                 unix_socket_dir =\nauth_type = scram-sha-256\nauth_file = {}\n{settings}\n",
                place.server.host(),
                place.server.port(),
                users.display()
            ),
        )
        .expect("it can be written");
        for path in [folder.path(), users.as_path(), configuration.as_path()] {
            fs::set_permissions(path, fs::Permissions::from_mode(0o755)).expect("it is ours");
        }
        let mut command = Command::new(program);
        command.arg("-q").arg(&configuration).current_dir("/");
        if rustix::process::geteuid().is_root() {
            let id = Command::new("id")
                .args(["-u", "nobody"])
                .output()
                .expect("id")
                .stdout;
            command.uid(
                String::from_utf8_lossy(&id)
                    .trim()
                    .parse()
                    .expect("a number"),
            );
        }
        let process = Provider::spawn(command);
        let begun = Instant::now();
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(
                begun.elapsed() < Duration::from_secs(20),
                "pgbouncer doesn't listen"
            );
            std::thread::sleep(Duration::from_millis(20));
        }
        Self {
            port,
            _process: process,
            _folder: folder,
        }
    }

    fn inputs(&self, place: &Place, more: Value) -> Object {
        let mut inputs = place.inputs(more);
        messages::set(&mut inputs, "/connection/port", json!(self.port));
        inputs
    }
}

#[test]
fn with_a_session_for_each_client_all_is_as_usual() {
    let Some(program) = pgbouncer() else { return };
    Place::both(|place| {
        let pooler = Pooler::start(program, place, "pool_mode = session");
        let role = pooler.inputs(place, json!({"name": "app", "reassignOwnedTo": "heir"}));
        let role_outputs = place.ensure(ROLE, &role);
        place.ensure(ROLE, &pooler.inputs(place, json!({"name": "heir"})));
        let database = pooler.inputs(place, json!({
            "name": "shop", "ownerRole": "app", "extensions": ["citext"], "revokePublic": true, "deletionPolicy": "delete",
        }));
        let outputs = place.ensure(DATABASE, &database);
        let (database, outputs) = place.change(
            DATABASE,
            &database,
            &outputs,
            json!({"connectionLimit": 50}),
            &["/connectionLimit"],
        );
        place
            .server
            .sql_in("shop", "create schema s authorization app");
        place
            .destroy(ROLE, &role, &role_outputs)
            .expect("it is dropped");
        place
            .destroy(DATABASE, &database, &outputs)
            .expect("it is dropped");
        // A pool with no second session keeps the first one's for good.
        let pooler = Pooler::start(program, place, "pool_mode = session\ndefault_pool_size = 1");
        place.ensure(ROLE, &pooler.inputs(place, json!({"name": "app"})));
    });
}

#[test]
fn shared_sessions_are_refused() {
    let Some(program) = pgbouncer() else { return };
    Place::both(|place| {
        for settings in [
            "pool_mode = transaction",
            "pool_mode = transaction\ndefault_pool_size = 1",
            "pool_mode = transaction\nserver_round_robin = 1",
            "pool_mode = statement",
        ] {
            let pooler = Pooler::start(program, place, settings);
            // The second time, the pool has several sessions.
            for _ in 0..3 {
                let error = place.refused(
                    ROLE,
                    &pooler.inputs(place, json!({"name": "app"})),
                    "/connection",
                );
                assert!(error.contains("shares sessions"), "{settings}: {error}");
                assert!(error.contains("pool_mode=session"), "{settings}: {error}");
            }
        }
        assert_eq!(
            place.sql("select count(*) from pg_locks where locktype = 'advisory'"),
            "0"
        );
        let settings = "pool_mode = transaction\n[users]\npostgres = pool_mode=session\nadmin = pool_mode=session";
        let pooler = Pooler::start(program, place, settings);
        place.ensure(ROLE, &pooler.inputs(place, json!({"name": "app"})));
    });
}

/// What a pooler asks for counts like what a server asks for.
#[test]
fn what_the_pooler_asks_for() {
    let Some(program) = pgbouncer() else { return };
    let place = Place::on(
        Server::start(&Config {
            tls: Tls::Offered,
            ..config()
        }),
        false,
    );
    for (auth_type, method) in [("md5", "md5"), ("trust", "none")] {
        let settings = format!("pool_mode = session\nauth_type = {auth_type}");
        let pooler = Pooler::start(program, &place, &settings);
        let mut inputs = pooler.inputs(&place, json!({"name": "app"}));
        place.refused(ROLE, &inputs, "/connection/requireAuth");
        messages::set(&mut inputs, "/connection/requireAuth", json!([method]));
        place.ensure(ROLE, &inputs);
    }
    // It has TLS, and does not offer to bind a login to it. The server's key is the
    // server's alone to read.
    let folder = lifeline::folder("pgbouncer-tls-");
    for name in ["server.pem", "server.key"] {
        let copy = folder.path().join(name);
        fs::copy(place.server.folder().join(name), &copy).expect("it is copied");
        fs::set_permissions(&copy, fs::Permissions::from_mode(0o644)).expect("it is ours");
    }
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).expect("it is ours");
    let folder = folder.path().display();
    let settings = format!(
        "pool_mode = session\nclient_tls_sslmode = require\n\
         client_tls_cert_file = {folder}/server.pem\nclient_tls_key_file = {folder}/server.key"
    );
    let pooler = Pooler::start(program, &place, &settings);
    for tls in [
        json!({"mode": "require"}),
        json!({"mode": "verify-full", "caFile": place.server.ca_file()}),
    ] {
        let mut inputs = pooler.inputs(&place, json!({"name": "app"}));
        messages::set(&mut inputs, "/connection/tls", tls);
        place.ensure(ROLE, &inputs);
    }
}
