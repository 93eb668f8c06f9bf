//! The harness itself: what it starts works, and nothing of it stays.

mod garage;
mod proxy;

use std::fs;
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use nixops4_resources_tests::canary::Canary;
use nixops4_resources_tests::lifeline::Signal;
use nixops4_resources_tests::postgres::{Config, Server, Tls, versions};
use nixops4_resources_tests::provider::{Provider, Silence, oneshot};
use nixops4_resources_tests::sandbox::Sandbox;
use nixops4_resources_tests::{binaries, lifeline};
use rustix::process::{Pid, kill_process_group};

#[test]
fn a_server_answers_over_its_socket_and_over_tcp() {
    let server = Server::start(&Config::default());
    assert_eq!(server.sql("select 1, 'a'; select null"), "1|a\n");
    assert_eq!(server.sql("show listen_addresses"), server.host());
    assert_eq!(
        server.sql("select pg_encoding_to_char(encoding), datcollate from pg_database limit 1"),
        "UTF8|C.UTF-8"
    );
    let version = server.sql("show server_version_num");
    assert!(version.starts_with(&server.version().to_string()));

    let password = r"p:w\d'";
    server.sql(r"create role app login password E'p:w\\d'''; create database app");
    let app = |password, sql| server.psql_as("app", password, "app", sql);
    let who = "select current_user, current_database(), inet_server_port()";
    let answer = format!("app|app|{}", server.port());
    assert_eq!(app(password, who), Ok(answer));
    assert_eq!(server.sql_in("app", "select current_database()"), "app");

    let refused = app("wrong", "select 1").expect_err("the password is wrong");
    assert!(
        refused.contains("password authentication failed"),
        "{refused}"
    );
    let failed = app(password, "select 1; selec").expect_err("the statement is wrong");
    assert!(failed.contains("syntax error"), "{failed}");
    assert!(server.log().contains("statement: select current_user, "));

    let file = server.superuser_password_file();
    assert_eq!(mode(&file), 0o600);
    let superuser = fs::read_to_string(file).expect("the password");
    let superuser = server.psql_as("postgres", &superuser, "postgres", "show is_superuser");
    assert_eq!(superuser.as_deref(), Ok("on"));
}

#[test]
fn the_configuration_is_used() {
    let server = Server::start(&Config {
        max_connections: 7,
        log_statements: false,
        hba: vec!["host all banned 127.0.0.1/32 reject".to_owned()],
        settings: vec![
            ("work_mem".to_owned(), "1234kB".to_owned()),
            ("search_path".to_owned(), r#""it's a \", public"#.to_owned()),
        ],
        ..Config::default()
    });
    assert_eq!(server.sql("show max_connections"), "7");
    assert_eq!(server.sql("show work_mem"), "1234kB");
    assert_eq!(server.sql("show search_path"), r#""it's a \", public"#);
    assert!(!server.log().contains("show work_mem"));
    server.sql("create role banned login password 'x'");
    let refused = server
        .psql_as("banned", "x", "postgres", "select 1")
        .expect_err("it is banned");
    assert!(refused.contains("pg_hba.conf rejects"), "{refused}");
}

#[test]
fn tls_is_off_offered_or_required() {
    for (tls, plain, encrypted) in [
        (Tls::Off, true, false),
        (Tls::Offered, true, true),
        (Tls::Required, false, true),
    ] {
        let server = Server::start(&Config {
            tls,
            ..Config::default()
        });
        server.sql("create role app login password 'x'");
        let ssl = "select ssl from pg_stat_ssl where pid = pg_backend_pid()";
        let ask = |sslmode| server.psql_with_sslmode(sslmode, "app", "x", "postgres", ssl);
        match ask("disable") {
            Ok(ssl) => assert_eq!((plain, &*ssl), (true, "f"), "{tls:?}"),
            Err(error) => {
                assert!(!plain, "{tls:?}: {error}");
                assert!(error.contains("no encryption"), "{error}");
            }
        }
        match ask("require") {
            Ok(ssl) => assert_eq!((encrypted, &*ssl), (true, "t"), "{tls:?}"),
            Err(error) => {
                assert!(!encrypted, "{tls:?}: {error}");
                assert!(error.contains("does not support SSL"), "{error}");
            }
        }
        let strictest = server.psql_as("app", "x", "postgres", ssl);
        assert_eq!(strictest.as_deref(), Ok(if encrypted { "t" } else { "f" }));
        if encrypted {
            let ca = fs::read_to_string(server.ca_file()).expect("a certificate");
            assert!(ca.starts_with("-----BEGIN CERTIFICATE-----"));
        }
    }
}

#[test]
fn a_restart_keeps_port_and_data() {
    let mut server = Server::start(&Config::default());
    let (port, first) = (server.port(), server.id());
    server.sql("create table kept as select 42 as answer");

    server.stop();
    assert!(is_gone(first));
    let refused = TcpStream::connect((server.host(), port)).expect_err("it is stopped");
    assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused);

    server.start_again();
    assert_ne!(server.id(), first);
    assert_eq!(server.port(), port);
    assert_eq!(server.sql("select answer from kept"), "42");

    server.sql("insert into kept values (43)");
    server.restart_immediate();
    assert_eq!(server.sql("show port"), port.to_string());
    assert_eq!(server.sql("select sum(answer) from kept"), "85");
    assert!(server.log().contains("automatic recovery in progress"));
}

#[test]
fn two_servers_at_once() {
    let start = |own_system_identifier| {
        thread::spawn(move || {
            Server::start(&Config {
                own_system_identifier,
                ..Config::default()
            })
        })
    };
    let starting = [start(false), start(false), start(true)];
    let [one, two, other] = starting.map(|server| server.join().expect("it starts"));
    one.sql("create role only_here");
    for server in [&two, &other] {
        assert_ne!(one.port(), server.port());
        let roles = server.sql("select count(*) from pg_roles where rolname = 'only_here'");
        assert_eq!(roles, "0");
    }
    let identifier = "select system_identifier from pg_control_system()";
    assert_eq!(one.sql(identifier), two.sql(identifier));
    assert_ne!(one.sql(identifier), other.sql(identifier));
}

#[test]
fn each_version_that_is_there() {
    let versions = versions();
    assert!(!versions.is_empty());
    for version in versions {
        let server = Server::start(&Config {
            version: Some(version),
            tls: Tls::Required,
            ..Config::default()
        });
        assert_eq!(server.version(), version);
        let number = server.sql("show server_version_num");
        assert!(number.starts_with(&version.to_string()), "{number}");
        // Each has extensions and ICU.
        server.sql("create extension citext");
        server.sql("create database german template template0 locale_provider icu icu_locale 'de'");
    }
}

#[test]
#[should_panic(expected = "scripts/setup.sh postgresql")]
fn a_version_that_is_not_there() {
    let _server = Server::start(&Config {
        version: Some(1),
        ..Config::default()
    });
}

#[test]
fn a_dropped_server_is_gone() {
    let server = Server::start(&Config::default());
    let (id, folder) = (server.id(), server.folder().to_owned());
    let backends = children(id);
    assert!(!backends.is_empty() && folder.is_dir());
    drop(server);
    assert!(is_gone(id));
    assert!(backends.iter().all(|backend| is_gone(*backend)));
    assert!(!folder.exists());
}

/// The variable that makes [`an_owner`] one: the file for its report.
const REPORT: &str = "NIXOPS4_RESOURCES_TESTS_REPORT";

#[test]
#[ignore = "run by nothing_outlives_its_owner, as another process"]
fn an_owner() {
    let Some(report) = std::env::var_os(REPORT) else {
        return;
    };
    let server = Server::start(&Config::default());
    let sandbox = Sandbox::new();
    let mut command = sandbox.command("sh");
    command.args(["-c", "trap '' HUP INT TERM; sleep 1000 & echo $!; wait"]);
    let mut provider = Provider::spawn(command);
    let sleep = provider.answer();
    let elsewhere = PathBuf::from(&report).with_extension("elsewhere");
    fs::create_dir(&elsewhere).expect("a folder");
    lifeline::remove_at_end(&elsewhere);

    let ids = [server.id(), provider.id()].map(|id| id.to_string());
    let folders = [server.folder(), sandbox.path(), &elsewhere]
        .map(|folder| folder.to_str().expect("UTF-8").to_owned());
    let text = [&ids[..], &[sleep], &folders].concat().join("\n");
    let unfinished = Path::new(&report).with_extension("unfinished");
    fs::write(&unfinished, text).expect("a report");
    fs::rename(unfinished, report).expect("a report");
    if std::env::var_os("LEAVE").is_some() {
        // Runs no destructor.
        std::process::exit(0);
    }
    server.sql("select pg_sleep(1000)");
}

#[test]
fn nothing_outlives_its_owner() {
    let ways = [
        ("killed", Some(Signal::KILL)),
        ("interrupted", Some(Signal::INT)),
        ("left", None),
    ];
    for (name, signal) in ways {
        let sandbox = Sandbox::new();
        let report = sandbox.work().join("report");
        // A job in the background of a shell ignores SIGINT, and so would this.
        let mut command = Command::new("env");
        command
            .arg("--default-signal=INT")
            .arg(std::env::current_exe().expect("our own path"))
            .args(["--exact", "--ignored", "an_owner"])
            .env(REPORT, &report)
            .process_group(0)
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        if signal.is_none() {
            command.env("LEAVE", "yes");
        }
        let mut owner = command.spawn().expect("our own executable");
        until(&format!("{name}: no report"), || report.exists());
        let text = fs::read_to_string(&report).expect("a report");
        let lines: Vec<_> = text.lines().collect();
        let (ids, folders) = lines.split_at(3);
        let mut ids: Vec<u32> = ids.iter().map(|id| id.parse().expect("an id")).collect();
        if let Some(signal) = signal {
            until("no backend sleeps", || children(ids[0]).len() > 5);
            ids.extend(children(ids[0]));
            assert!(!ids.iter().any(|id| is_gone(*id)), "{name}: not running");
            kill_process_group(Pid::from_child(&owner), signal).expect("it is there");
        }
        owner.wait().expect("it has ended");
        until(&format!("{name}: processes are left of {ids:?}"), || {
            ids.iter().all(|id| is_gone(*id))
        });
        // What holds the folders and the templates goes with them.
        let root = Path::new(folders[0]).parent().expect("a folder");
        until(&format!("{name}: folders are left of {folders:?}"), || {
            !root.exists() && !folders.iter().any(|folder| Path::new(folder).exists())
        });
    }
}

#[test]
fn the_executables_are_built_and_ours_alone() {
    let path = binaries::path("nixops4-resources-postgresql");
    assert!(path.is_file() && path.starts_with(binaries::folder()));
    assert_ne!(mode(&path) & 0o111, 0);
    assert!(binaries::path("nixops4-resources").is_file());
}

#[test]
fn a_provider_is_spoken_to_in_lines() {
    let sandbox = Sandbox::new();
    let mut command = sandbox.command("sh");
    command.args([
        "-c",
        r#"while read -r line; do echo "<$line>"; echo log >&2; done; printf end; exit 3"#,
    ]);
    let mut provider = Provider::spawn(command);
    assert_eq!(provider.request("one"), "<one>");
    assert_eq!(
        provider.receive(Duration::from_millis(50)),
        Err(Silence::TimedOut)
    );
    provider.send_bytes("tw");
    provider.send_bytes("o\nthree\n");
    assert_eq!(
        (provider.answer(), provider.answer()),
        ("<two>".into(), "<three>".into())
    );
    provider.close_stdin();
    assert_eq!(provider.answer(), "end");
    assert_eq!(
        provider.receive(Duration::from_mins(1)),
        Err(Silence::Closed)
    );
    let output = provider.finish();
    assert_eq!(output.stdout, b"<one>\n<two>\n<three>\nend");
    assert_eq!(output.stderr, b"log\nlog\nlog\n");
    assert_eq!(output.status.code(), Some(3));

    let output = oneshot(sandbox.command("cat"), ["a", "b"]);
    assert_eq!(output.stdout, b"a\nb\n");
    assert!(output.status.success());
}

#[test]
fn a_provider_that_does_not_read_blocks_nobody() {
    let sandbox = Sandbox::new();
    let mut command = sandbox.command("sh");
    command.args(["-c", "echo started; sleep 1000 & echo $!; wait"]);
    let mut provider = Provider::spawn(command);
    assert_eq!(provider.answer(), "started");
    let sleep = provider.answer().parse().expect("an id");
    provider.send(vec![b'x'; 10 << 20]);
    let start = Instant::now();
    let output = provider.kill();
    assert!(start.elapsed() < Duration::from_secs(4));
    assert_eq!(output.status.code(), None, "it was killed");
    until("its child is left", || is_gone(sleep));
}

#[test]
fn a_sandbox_is_private_and_its_environment_clean() {
    let sandbox = Sandbox::new();
    assert_eq!(mode(sandbox.path()), 0o700);
    let secret = sandbox.write("keys/secret", "x");
    assert_eq!(mode(&secret), 0o600);
    assert_eq!(fs::read(&secret).expect("a file"), b"x");

    let output = oneshot(sandbox.command("env"), [""; 0]);
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    let mut names: Vec<_> = text
        .lines()
        .filter_map(|line| line.split('=').next())
        .collect();
    names.sort_unstable();
    assert_eq!(
        names,
        [
            "HOME",
            "LC_ALL",
            "PATH",
            "TMPDIR",
            "TZ",
            "XDG_CACHE_HOME",
            "XDG_CONFIG_HOME",
            "XDG_DATA_HOME",
            "XDG_RUNTIME_DIR",
            "XDG_STATE_HOME"
        ]
    );
    let output = oneshot(sandbox.command("sh"), [""; 0]);
    assert!(output.status.success());
    let pwd = sandbox.command("pwd").output().expect("pwd");
    let pwd = String::from_utf8(pwd.stdout).expect("UTF-8");
    assert_eq!(Path::new(pwd.trim_end()), sandbox.work());

    let path = sandbox.path().to_owned();
    drop(sandbox);
    assert!(!path.exists());
}

#[test]
fn a_canary_is_found_in_what_a_server_logs() {
    let canary = Canary::new();
    let server = Server::start(&Config::default());
    canary.assert_absent("the log", server.log());
    server.sql(&format!("create role app password '{}'", canary.value()));
    let log = server.log();
    std::panic::catch_unwind(|| canary.assert_absent("the log", &log))
        .expect_err("the statement is in the log");
    // The server keeps a verifier only.
    canary.assert_absent_in_dir_except(server.folder(), &[&server.folder().join("server.log")]);
}

fn mode(path: &Path) -> u32 {
    let metadata = fs::metadata(path).expect("a file");
    metadata.permissions().mode() & 0o777
}

/// Waits for something that takes a moment.
fn until(what: &str, mut done: impl FnMut() -> bool) {
    let start = Instant::now();
    while !done() {
        assert!(start.elapsed() < Duration::from_mins(1), "{what}");
        thread::sleep(Duration::from_millis(10));
    }
}

/// A process's state letter and its parent, if it exists.
fn stat(id: u32) -> Option<(char, u32)> {
    let text = fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
    // The name before, in parentheses, may hold anything.
    let (_, fields) = text.rsplit_once(") ")?;
    let mut fields = fields.split(' ');
    let state = fields.next()?.chars().next()?;
    Some((state, fields.next()?.parse().ok()?))
}

/// Whether a process has ended; somebody may still have to collect it.
fn is_gone(id: u32) -> bool {
    stat(id).is_none_or(|(state, _)| state == 'Z')
}

fn children(parent: u32) -> Vec<u32> {
    fs::read_dir("/proc")
        .expect("/proc")
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter(|id| stat(*id).is_some_and(|(_, found)| found == parent))
        .collect()
}
