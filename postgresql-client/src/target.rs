//! Everything that has to be known to log in.

use secrecy::SecretString;

use crate::authentication::Method;
use crate::place::Place;
use crate::tls::Tls;

/// A server, and as whom to log in to it.
#[derive(Debug, Clone)]
pub struct Target {
    /// Where it listens.
    pub place: Place,
    /// Encryption, which a unix socket never has.
    pub tls: Tls,
    /// What it may ask for; `None` for SCRAM, or anything of a server that is known
    /// by other means, or if there is no password.
    pub require_auth: Option<Vec<Method>>,
    /// The role.
    pub user: String,
    /// Its password.
    pub password: Option<SecretString>,
    /// The database.
    pub database: String,
    /// What the session is called in `pg_stat_activity`.
    pub application: String,
    /// Settings of the session, as PostgreSQL takes them on a command line:
    /// `-c NAME=VALUE`. They count more than those of the role and of the database.
    pub options: String,
}

impl Target {
    /// Adds a setting of the session.
    pub fn set(&mut self, name: &str, value: &str) {
        if !self.options.is_empty() {
            self.options.push(' ');
        }
        self.options.push_str("-c ");
        for character in name.chars().chain(['=']).chain(value.chars()) {
            if character.is_whitespace() || character == '\\' {
                self.options.push('\\');
            }
            self.options.push(character);
        }
    }

    /// What the session begins with.
    pub(crate) fn parameters(&self) -> Vec<(&str, &str)> {
        let mut parameters = vec![
            ("user", self.user.as_str()),
            ("database", self.database.as_str()),
            ("application_name", self.application.as_str()),
            // What `sqlx` relies on.
            ("client_encoding", "UTF8"),
            ("DateStyle", "ISO, MDY"),
            ("TimeZone", "UTC"),
        ];
        // A pooler may refuse this one, even if there is nothing in it.
        if !self.options.is_empty() {
            parameters.push(("options", self.options.as_str()));
        }
        parameters
    }
}
