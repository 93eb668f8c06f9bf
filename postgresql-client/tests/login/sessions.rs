//! Sessions: how they end, on both sides.

use std::time::{Duration, Instant};

use nixops4_postgresql_client::{Meaning, Target, TlsMode, connect};
use nixops4_resources_tests::postgres::{Config, Server, Tls};

use crate::{encrypted, one, superuser};

const OURS: &str =
    "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'tests of logging in'";

fn targets(server: &Server) -> [Target; 2] {
    let with = |mode| Target {
        tls: encrypted(mode, None),
        ..superuser(server)
    };
    [with(TlsMode::Disable), with(TlsMode::Require)]
}

fn server() -> Server {
    Server::start(&Config {
        tls: Tls::Offered,
        ..Config::default()
    })
}

#[tokio::test]
async fn a_closed_one_has_let_go() {
    let server = server();
    for target in targets(&server) {
        for _ in 0..5 {
            let session = connect(&target).await.expect("it lets us in");
            session.close().await;
            assert_eq!(server.sql(OURS), "0");
        }
    }
}

/// A process that drops its sessions may not run its tasks again for long.
#[test]
fn one_that_is_dropped_ends_without_being_run() {
    let server = server();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    for target in targets(&server) {
        let session = runtime.block_on(connect(&target)).expect("it lets us in");
        assert_eq!(server.sql(OURS), "1");
        drop(session);
        let begun = Instant::now();
        while server.sql(OURS) != "0" {
            assert!(
                begun.elapsed() < Duration::from_secs(20),
                "it is still there"
            );
        }
    }
}

#[tokio::test]
async fn what_the_server_says_last_is_heard() {
    let server = server();
    for target in targets(&server) {
        let mut session = connect(&target).await.expect("it lets us in");
        let pid: i32 = one(&mut session, "SELECT pg_backend_pid()")
            .await
            .expect("it");
        server.sql(&format!("SELECT pg_terminate_backend({pid}, 10000)"));
        let error = one::<i32>(&mut session, "SELECT 1")
            .await
            .expect_err("it has ended");
        let meaning = Meaning::of_statement(&error);
        assert_eq!(meaning, Some(Meaning::GoingAway), "{error:?}");
        let error = one::<i32>(&mut session, "SELECT 1")
            .await
            .expect_err("it has ended");
        assert!(matches!(error, sqlx::Error::Io(_)), "{error:?}");
    }
}

#[tokio::test]
async fn much_goes_through_both_ways() {
    let server = server();
    for target in targets(&server) {
        let mut session = connect(&target).await.expect("it lets us in");
        let text = "x".repeat(20 << 20);
        let back: String = sqlx::query_scalar("SELECT $1 || 'y'")
            .bind(&text)
            .fetch_one(&mut session.connection)
            .await
            .expect("it fits");
        assert_eq!(back.len(), text.len() + 1);
        session.close().await;
    }
}
