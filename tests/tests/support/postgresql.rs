//! What several of the tests need to reach a PostgreSQL server.

use nixops4_resources_tests::postgres::Server;
use serde_json::{Value, json};

/// The input `connection` for a server's superuser.
pub(crate) fn connection(server: &Server) -> Value {
    json!({
        "host": server.host(),
        "port": server.port(),
        "password": {"file": server.superuser_password_file()},
    })
}

/// Text as a literal of SQL.
pub(crate) fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}
