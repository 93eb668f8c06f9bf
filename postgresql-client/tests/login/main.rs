//! Logging in to real servers, and to those who only say that they are one.

mod hostile;
mod limits;
mod methods;
mod middle;
mod sessions;

use std::path::Path;

use nixops4_postgresql_client::{Failure, Method, Place, Session, Target, Tls, TlsMode, connect};
use nixops4_resources_tests::postgres::{SUPERUSER, Server};
use sqlx::Row as _;

/// A password that must reach nobody who may not have it.
const CANARY: &str = "canary-7c1d90";

/// As a role whose password is the canary.
fn target(place: Place, user: &str) -> Target {
    Target {
        place,
        tls: Tls {
            mode: TlsMode::Prefer,
            authorities: None,
            certificate: None,
        },
        require_auth: None,
        user: user.to_owned(),
        password: Some(CANARY.into()),
        database: "postgres".to_owned(),
        application: "tests of logging in".to_owned(),
        options: String::new(),
    }
}

fn on_tcp(server: &Server, user: &str) -> Target {
    target(Place::new(&server.host(), server.port()), user)
}

/// As the superuser, with its own password.
fn superuser(server: &Server) -> Target {
    let password = std::fs::read_to_string(server.superuser_password_file()).expect("a file");
    Target {
        password: Some(password.trim_end().into()),
        ..on_tcp(server, SUPERUSER)
    }
}

fn encrypted(mode: TlsMode, authority: Option<&Path>) -> Tls {
    Tls {
        mode,
        authorities: authority.map(|path| std::fs::read(path).expect("a certificate")),
        certificate: None,
    }
}

async fn one<T>(session: &mut Session, question: &'static str) -> sqlx::Result<T>
where
    T: for<'r> sqlx::Decode<'r, sqlx::Postgres> + sqlx::Type<sqlx::Postgres>,
{
    let row = sqlx::raw_sql(question)
        .fetch_one(&mut session.connection)
        .await?;
    row.try_get(0)
}

/// Logs in and asks who that is.
async fn who(target: &Target) -> Result<String, Failure> {
    let mut session = connect(target).await?;
    let who = one(&mut session, "SELECT current_user::text").await;
    session.close().await;
    Ok(who.expect("an answer"))
}

async fn lets_in(target: &Target) {
    match who(target).await {
        Ok(who) => assert_eq!(who, target.user),
        Err(failure) => panic!("{target:?}: {failure}"),
    }
}

async fn refuses(target: &Target, wanted: Method) {
    match connect(target).await {
        Err(Failure::Refused { asked, .. }) => assert_eq!(asked, wanted, "{target:?}"),
        Err(other) => panic!("{target:?}: {other:?}"),
        Ok(_) => panic!("{target:?}: it is let in"),
    }
}
