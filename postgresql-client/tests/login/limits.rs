//! Limits of time that a role or a database sets.

use nixops4_postgresql_client::{Meaning, Timeout, connect, open};
use nixops4_resources_tests::postgres::{Config, Server, versions};

use crate::{one, superuser};

#[tokio::test]
async fn are_lifted_whatever_sets_them() {
    for version in versions() {
        let server = Server::start(&Config {
            version: Some(version),
            ..Config::default()
        });
        let mut limits = vec![
            "statement_timeout",
            "lock_timeout",
            "idle_in_transaction_session_timeout",
            "idle_session_timeout",
        ];
        if version >= 17 {
            limits.push("transaction_timeout");
        }
        for number in 0..=limits.len() {
            let database = format!("limited_{number}");
            server.sql(&format!("CREATE DATABASE {database}"));
            // Each alone, and all together.
            let set = if number == limits.len() {
                &limits[..]
            } else {
                &limits[number..=number]
            };
            for name in set {
                server.sql(&format!("ALTER DATABASE {database} SET {name} = '1ms'"));
            }
            let mut target = superuser(&server);
            target.database.clone_from(&database);
            let opened = open(&mut target).await;
            let (mut session, settled) = match opened {
                Ok(opened) => opened,
                Err(error) => panic!("{version} {set:?}: {error:?}"),
            };
            assert!(!settled.is_pooled && !settled.is_standby);
            let left = "SELECT count(*)::int4 FROM pg_settings WHERE name LIKE '%timeout'
                        AND context = 'user' AND setting <> '0'";
            assert_eq!(
                one::<i32>(&mut session, left).await.ok(),
                Some(0),
                "{set:?}"
            );
            tokio::time::sleep(std::time::Duration::from_millis(30)).await;
            let slow = "BEGIN; SELECT pg_sleep(0.03); SELECT 7::int4; COMMIT";
            sqlx::raw_sql(slow)
                .execute(&mut session.connection)
                .await
                .unwrap_or_else(|error| panic!("{version} {set:?}: {error}"));
            assert_eq!(
                one::<i32>(&mut session, "SELECT 7::int4").await.ok(),
                Some(7)
            );
            session.close().await;
        }
    }
}

/// A library that is not there, or that may not be loaded, keeps nobody out.
#[tokio::test]
async fn a_database_keeps_nobody_out_by_a_library() {
    let server = Server::start(&Config::default());
    server.sql("CREATE DATABASE shop; CREATE ROLE app LOGIN; ALTER DATABASE shop OWNER TO app");
    for library in ["nothing", "/tmp/nothing"] {
        server.sql(&format!(
            "SET ROLE app; ALTER DATABASE shop SET local_preload_libraries = '{library}'"
        ));
        let mut target = superuser(&server);
        target.database = "shop".to_owned();
        connect(&target).await.expect_err("it can't be loaded");
        let (session, _) = open(&mut target).await.expect("it isn't loaded");
        session.close().await;
    }
}

/// That one has struck is told by its code, also when it ends the session between two
/// statements.
#[tokio::test]
async fn are_named_when_they_strike() {
    let server = Server::start(&Config::default());
    for (setting, statement, timeout) in [
        (
            "statement_timeout",
            "SELECT pg_sleep(1)",
            Timeout::Statement,
        ),
        ("idle_session_timeout", "SELECT 1", Timeout::IdleSession),
        (
            "idle_in_transaction_session_timeout",
            "BEGIN",
            Timeout::IdleInTransaction,
        ),
    ] {
        let mut target = superuser(&server);
        target.set(setting, "20ms");
        let mut session = connect(&target).await.expect("it lets us in");
        let mut struck = None;
        for _ in 0..3 {
            let done = sqlx::raw_sql(statement)
                .execute(&mut session.connection)
                .await;
            if let Err(error) = done {
                struck = Meaning::of_statement(&error);
                break;
            }
            tokio::time::sleep(std::time::Duration::from_millis(200)).await;
        }
        assert_eq!(struck, Some(Meaning::Struck(timeout)), "{setting}");
        assert_eq!(timeout.setting(), setting);
        assert!(timeout.hint().contains(setting));
    }
}
