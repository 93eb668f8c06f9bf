//! SQL without `psql`: what a test looks at, and what it makes by hand.
//!
//! Every call is like a session of its own. The last one in the database `postgres`
//! is kept for the next, where nothing stands in the way of: no test drops that
//! database. In any other a session could.

use std::net::SocketAddr;
use std::sync::PoisonError;

use socket2::SockAddr;

use super::session::Session;
use super::{HOST, SUPERUSER, Server, Tls};

/// The database in which sessions are kept.
const KEPT_IN: &str = "postgres";

impl Server {
    /// Runs statements as the superuser in the database `postgres`, each by itself,
    /// and gives their rows: columns separated by `|`. Panics if one fails.
    pub fn sql(&self, statements: &str) -> String {
        self.sql_in(KEPT_IN, statements)
    }

    /// The same in another database.
    pub fn sql_in(&self, database: &str, statements: &str) -> String {
        let kept = match database {
            KEPT_IN => self.kept_session(),
            _ => None,
        };
        let session = kept.map_or_else(|| self.superusers_session(database), Ok);
        let ran = session.and_then(|mut session| {
            let rows = session.run(statements)?;
            if database == KEPT_IN && session.forget() {
                self.keep(session);
            }
            Ok(rows)
        });
        ran.unwrap_or_else(|error| panic!("cannot run SQL: {error}"))
    }

    /// Logs in over TCP without TLS and runs statements; an error is what the server
    /// says.
    pub fn sql_as(
        &self,
        user: &str,
        password: &str,
        database: &str,
        statements: &str,
    ) -> Result<String, String> {
        assert_ne!(self.tls, Tls::Required, "without TLS nobody logs in");
        let address = SocketAddr::from((HOST, self.port()));
        Session::login(&address.into(), user, password, database)?.run(statements)
    }

    fn superusers_session(&self, database: &str) -> Result<Session, String> {
        let socket = self.socket_dir().join(format!(".s.PGSQL.{}", self.port()));
        let address = SockAddr::unix(socket).map_err(|error| error.to_string())?;
        Session::login(&address, SUPERUSER, &self.superuser_password, database)
    }

    /// One that nobody uses, and that nothing has ended since.
    fn kept_session(&self) -> Option<Session> {
        let mut sessions = self.sessions.lock().unwrap_or_else(PoisonError::into_inner);
        std::iter::from_fn(|| sessions.pop()).find(Session::is_open)
    }

    fn keep(&self, session: Session) {
        let mut sessions = self.sessions.lock().unwrap_or_else(PoisonError::into_inner);
        sessions.push(session);
    }
}
