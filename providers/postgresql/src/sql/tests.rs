use nixops4_resources_tests::postgres::{Config, SUPERUSER, Server};
use proptest::prelude::*;
use proptest::test_runner::{Config as Cases, TestRunner};
use sqlx::postgres::{PgConnectOptions, PgConnection, PgRow, PgSslMode};
use sqlx::{AssertSqlSafe, Column as _, Connection as _, Executor as _, Row as _};

use super::*;

#[test]
fn identifiers() {
    for (name, quoted) in [
        ("app", r#""app""#),
        ("App", r#""App""#),
        ("select", r#""select""#),
        (r#"a"b"#, r#""a""b""#),
        (
            r#"x"; DROP ROLE postgres; --"#,
            r#""x""; DROP ROLE postgres; --""#,
        ),
    ] {
        let name = Name::try_from(name.to_owned()).unwrap();
        assert_eq!(Ident(&name).to_string(), quoted);
    }
}

#[test]
fn literals() {
    for (text, quoted) in [
        ("", "''"),
        ("it's", "'it''s'"),
        (r"a\'b", r" E'a\\''b'"),
        ("$$", "'$$'"),
        ("a\nb", "'a\nb'"),
    ] {
        assert_eq!(Literal(text).to_string(), quoted);
    }
}

/// The server is the judge: of what it is told, and of what its own functions
/// would have told it.
#[test]
fn quoted_as_the_server_does() {
    let server = Server::start(&Config {
        log_statements: false,
        ..Config::default()
    });
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let connection = runtime.block_on(connect(&server));
    let connection = std::cell::RefCell::new(connection);
    // Nothing is written beside the sources: a failing text is in the message.
    let cases = Cases {
        failure_persistence: None,
        ..Cases::with_cases(1024)
    };
    let mut runner = TestRunner::new(cases);
    runner
        .run(&text(), |text| {
            runtime.block_on(agrees(&mut connection.borrow_mut(), &text));
            Ok(())
        })
        .unwrap();
}

/// Any text without NUL, more often than not of what quoting is about.
fn text() -> impl Strategy<Value = String> {
    let odd = prop::sample::select(
        [
            "'", "''", "\"", "\"\"", "\\", "\\'", "$$", "$1", "$a$", ";", "--", "/*", "*/", "E'",
            "U&'", "x", "select", "\n", "\r", "\t", "\0x", " ", "%I", "?", ":a", "ü", "名", "🐘",
            "\u{301}", "\u{feff}", "\u{202e}",
        ]
        .as_slice(),
    );
    let mixed = prop::collection::vec(odd, 0..12).prop_map(|parts| parts.concat());
    let word = "[a-z_][a-z0-9_$]{0,8}";
    prop_oneof![3 => mixed, 2 => any::<String>(), 1 => word]
        .prop_map(|text| text.replace('\0', "\u{1}"))
}

async fn connect(server: &Server) -> PgConnection {
    let password = std::fs::read_to_string(server.superuser_password_file()).unwrap();
    let options = PgConnectOptions::new_without_pgpass()
        .host(&server.host())
        .port(server.port())
        .username(SUPERUSER)
        .password(password.trim_end())
        .ssl_mode(PgSslMode::Disable);
    PgConnection::connect_with(&options).await.unwrap()
}

async fn agrees(connection: &mut PgConnection, text: &str) {
    let row = sqlx::query("SELECT quote_literal($1::text), quote_ident($1::text)")
        .bind(text)
        .fetch_one(&mut *connection)
        .await
        .unwrap();
    let (server_literal, server_ident): (String, String) = (row.get(0), row.get(1));

    // It is set apart from what may stand before its E.
    let literal = Literal(text).to_string();
    assert_eq!(literal.trim_start_matches(' '), server_literal);
    for conforming in ["on", "off"] {
        let setting = format!(
            "SET standard_conforming_strings = {conforming}; SET escape_string_warning = off"
        );
        connection.execute(AssertSqlSafe(setting)).await.unwrap();
        let row = select(connection, &format!("SELECT{literal}::text")).await;
        assert_eq!(row.get::<String, _>(0), text, "{conforming}");
    }

    let Ok(name) = Name::try_from(text.to_owned()) else {
        return;
    };
    let ident = Ident(&name).to_string();
    // The server quotes what it has to.
    if server_ident.starts_with('"') {
        assert_eq!(ident, server_ident);
    } else {
        assert_eq!((&*server_ident, ident.trim_matches('"')), (text, text));
    }
    let row = select(connection, &format!("SELECT 1 AS {ident}")).await;
    assert_eq!(row.column(0).name(), text);
}

/// As statements of ours are sent: as they stand.
async fn select(connection: &mut PgConnection, statement: &str) -> PgRow {
    sqlx::raw_sql(AssertSqlSafe(statement.to_owned()))
        .fetch_one(connection)
        .await
        .unwrap()
}
