//! The input `connection`: which server, as whom, and how safely.

use std::fmt;
use std::path::PathBuf;

use nixops4_provider_sdk::{Context, Error, ExposeSecret as _, Result, SecretRef};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sqlx::postgres::{PgConnectOptions, PgSslMode};
use tokio::net::{TcpStream, UnixStream};

use crate::name::Name;

/// How long a server may take to accept a connection, before it says anything.
const LISTENING: std::time::Duration = std::time::Duration::from_secs(5);

/// How to reach a PostgreSQL server, as an administrator of it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Connection {
    /// Host name or IP address; or the directory of the server's unix socket,
    /// beginning with `/`.
    pub(crate) host: String,
    /// TCP port; for a socket, the number in its name.
    #[serde(default = "default_port")]
    pub(crate) port: u16,
    /// The role to log in as. It has to be a superuser.
    #[serde(default = "default_user")]
    pub(crate) user: Name,
    /// That role's password; none for `peer` and `trust` authentication.
    #[serde(default)]
    pub(crate) password: Option<SecretRef>,
    /// The maintenance database: the same one for everybody who manages this
    /// server, because the lock that keeps them apart lives in it.
    #[serde(default = "default_user")]
    pub(crate) database: Name,
    /// Encryption of the connection.
    #[serde(default)]
    pub(crate) tls: Tls,
}

/// Encryption of a connection.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Tls {
    /// How much is asked of it. Unset: `verify-full`; on a loopback address or a
    /// unix socket, `prefer`.
    #[serde(default)]
    pub(crate) mode: Option<TlsMode>,
    /// File with the certificates (PEM) of authorities to trust beside those that
    /// the system trusts.
    #[serde(default)]
    pub(crate) ca_file: Option<PathBuf>,
}

/// As libpq's `sslmode`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum TlsMode {
    /// No encryption.
    Disable,
    /// Encryption if the server offers it, its certificate unchecked.
    Prefer,
    /// Encryption, the server's certificate unchecked.
    Require,
    /// Encryption, and a certificate of an authority that is trusted.
    VerifyCa,
    /// Encryption, and a trusted certificate for this host name.
    VerifyFull,
}

fn default_port() -> u16 {
    5432
}

#[expect(clippy::expect_used, reason = "a constant that fits")]
fn default_user() -> Name {
    Name::try_from("postgres".to_owned()).expect("a short name")
}

impl Connection {
    /// Fetches what is secret in it, and says how to connect.
    pub(crate) async fn options(&self, cx: &Context) -> Result<PgConnectOptions> {
        if self.host.is_empty() {
            return Err(Error::input("/connection/host", "the host can't be empty")
                .hint("give a host name, an address, or the directory of the server's socket"));
        }
        let mut options = PgConnectOptions::new_without_pgpass()
            .port(self.port)
            .username(self.user.as_str())
            .database(self.database.as_str())
            .application_name("nixops4-resources")
            .ssl_mode(self.ssl_mode());
        options = if self.is_socket() {
            options.socket(&self.host)
        } else {
            options.host(&self.host)
        };
        if let Some(ca) = &self.tls.ca_file {
            std::fs::metadata(ca).map_err(|error| {
                Error::input(
                    "/connection/tls/caFile",
                    format!("unable to read the certificates in {}", ca.display()),
                )
                .because(error)
                .hint("give a PEM file that this process can read")
            })?;
            options = options.ssl_root_cert(ca);
        }
        // An empty password keeps PGPASSWORD out: a credential is an input.
        let password = match &self.password {
            Some(reference) => cx.secret(reference, "/connection/password").await?,
            None => String::new().into(),
        };
        Ok(options.password(password.expose_secret()))
    }

    fn ssl_mode(&self) -> PgSslMode {
        match self.tls.mode {
            Some(TlsMode::Disable) => PgSslMode::Disable,
            Some(TlsMode::Prefer) => PgSslMode::Prefer,
            Some(TlsMode::Require) => PgSslMode::Require,
            Some(TlsMode::VerifyCa) => PgSslMode::VerifyCa,
            None if self.is_local() => PgSslMode::Prefer,
            Some(TlsMode::VerifyFull) | None => PgSslMode::VerifyFull,
        }
    }

    /// Whether somebody takes connections there.
    pub(crate) async fn listens(&self) -> bool {
        let connecting = async {
            if self.is_socket() {
                UnixStream::connect(self.to_string()).await.is_ok()
            } else {
                let address = (self.host.as_str(), self.port);
                TcpStream::connect(address).await.is_ok()
            }
        };
        tokio::time::timeout(LISTENING, connecting)
            .await
            .unwrap_or(false)
    }

    fn is_socket(&self) -> bool {
        self.host.starts_with('/')
    }

    fn is_local(&self) -> bool {
        let loopback = self
            .host
            .parse()
            .is_ok_and(|address: std::net::IpAddr| address.is_loopback());
        self.is_socket() || loopback || self.host == "localhost"
    }
}

/// Where the server is: `HOST:PORT`, or the path of its socket.
impl fmt::Display for Connection {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_socket() {
            write!(
                out,
                "{}/.s.PGSQL.{}",
                self.host.trim_end_matches('/'),
                self.port
            )
        } else if self.host.contains(':') {
            write!(out, "[{}]:{}", self.host, self.port)
        } else {
            write!(out, "{}:{}", self.host, self.port)
        }
    }
}
