//! A server with what all processes share.

use nixops4_resources_tests::messages::{Object, object};
use nixops4_resources_tests::postgres::{Config, SUPERUSER, Server};
use serde_json::json;

/// The environment variable that has the administrator's password.
pub(crate) const ADMINISTRATOR: &str = "ADMINISTRATOR";

/// The password of the restricted administrator: no secret.
const PASSWORD: &str = "load-load-load";

/// How many there are of groups, people and tables.
pub(crate) const EACH: u32 = 8;

/// A server, and as whom it is administered.
pub(crate) struct Town {
    pub(crate) server: Server,
    user: &'static str,
    pub(crate) password: String,
}

impl Town {
    pub(crate) fn new(version: u32, restricted: bool) -> Self {
        let server = Server::start(&Config {
            version: Some(version),
            max_connections: 20,
            log_statements: false,
            ..Config::default()
        });
        server.sql(&format!(
            "create role manager login createrole createdb password '{PASSWORD}'"
        ));
        let each = |statement: fn(u32) -> String| (0..EACH).map(statement).collect::<String>();
        let roles = each(|number| format!("create role p{number}; create role g{number};"));
        let tables = each(|number| format!("create table s.t{number} (a int, b int);"));
        server.sql(&format!("set role manager; create role keeper; {roles}"));
        server.sql("create database load owner keeper");
        server.sql_in(
            "load",
            &format!("set role keeper; create schema s; {tables}"),
        );
        let (user, password) = if restricted {
            ("manager", PASSWORD.to_owned())
        } else {
            let password = std::fs::read_to_string(server.superuser_password_file());
            (
                SUPERUSER,
                password.expect("it is there").trim_end().to_owned(),
            )
        };
        Self {
            server,
            user,
            password,
        }
    }

    /// What all inputs have.
    pub(crate) fn inputs(&self) -> Object {
        object(json!({"owner": "load", "connection": {
            "host": self.server.host(), "port": self.server.port(), "user": self.user,
            "password": {"env": ADMINISTRATOR},
        }}))
    }
}
