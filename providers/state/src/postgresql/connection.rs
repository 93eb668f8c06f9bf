//! The input `connection`: which database, as whom, and how safely.

use std::fmt;
use std::path::{Path, PathBuf};

use nixops4_provider_sdk::{Context, Error, ExposeSecret as _, Result, SecretRef};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sqlx::postgres::{PgConnectOptions, PgSslMode};

/// What our sessions are called in `pg_stat_activity`.
const APPLICATION: &str = "nixops4-resources-state";

/// How to reach a database in a PostgreSQL server.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Connection {
    /// Host name or IP address; or the directory of the server's unix socket,
    /// beginning with `/`.
    pub(super) host: String,
    /// TCP port; for a socket, the number in its name.
    #[serde(default = "default_port")]
    pub(super) port: u16,
    /// The role to log in as. It needs no more than to own the tables; to make
    /// them it needs CREATE on the database, once.
    pub(super) user: String,
    /// That role's password; none for `peer` and `trust` authentication.
    #[serde(default)]
    pub(super) password: Option<SecretRef>,
    /// The database that holds the state. PgBouncer may stand before it, with
    /// any `pool_mode` but `statement`.
    pub(super) database: String,
    /// Encryption of the connection.
    #[serde(default)]
    pub(super) tls: Tls,
}

/// Encryption of a connection.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Tls {
    /// How much is asked of it. Unset: `verify-full`; on a loopback address,
    /// `prefer`. A unix socket is never encrypted.
    #[serde(default)]
    pub(super) mode: Option<TlsMode>,
    /// File with the certificates (PEM) of the authorities to trust beside those
    /// that the system trusts.
    #[serde(default)]
    pub(super) ca_file: Option<PathBuf>,
    /// The same certificates by reference, where no file of them is at hand.
    #[serde(default)]
    pub(super) ca: Option<SecretRef>,
    /// File with the certificate (PEM) to log in with, and those between it and
    /// its authority.
    #[serde(default)]
    pub(super) certificate_file: Option<PathBuf>,
    /// The key (PEM) of that certificate, by reference.
    #[serde(default)]
    pub(super) key: Option<SecretRef>,
}

/// As libpq's `sslmode`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(super) enum TlsMode {
    /// No encryption.
    Disable,
    /// Encryption if the server offers it, its certificate unchecked.
    Prefer,
    /// Encryption, the server's certificate unchecked.
    Require,
    /// Encryption, and a certificate of an authority that is trusted, whatever
    /// host name it is for: only as safe as the least careful of them.
    VerifyCa,
    /// Encryption, and a trusted certificate for this host name.
    VerifyFull,
}

fn default_port() -> u16 {
    5432
}

impl Connection {
    /// Fetches what is secret in it, and says how to connect.
    pub(super) async fn options(&self, cx: &Context) -> Result<PgConnectOptions> {
        self.validate()?;
        let mut options = PgConnectOptions::new_without_pgpass()
            .port(self.port)
            .username(&self.user)
            .database(&self.database)
            .application_name(APPLICATION)
            // PgBouncer refuses to know it, and no number here has a fraction.
            .extra_float_digits(None)
            .ssl_mode(self.ssl_mode());
        options = if self.is_socket() {
            options.socket(&self.host)
        } else {
            options.host(&self.host)
        };
        options = self.tls.options(cx, options).await?;
        // An empty password keeps PGPASSWORD out: a credential is an input.
        let password = match &self.password {
            Some(reference) => cx.secret(reference, "/connection/password").await?,
            None => String::new().into(),
        };
        Ok(options.password(password.expose_secret()))
    }

    fn validate(&self) -> Result<()> {
        for (name, value) in [
            ("host", &self.host),
            ("user", &self.user),
            ("database", &self.database),
        ] {
            if value.is_empty() || value.contains('\0') {
                return Err(Error::input(
                    format!("/connection/{name}"),
                    format!("the {name} can't be empty or have a NUL character in it"),
                )
                .hint("give its name as the server knows it"));
            }
        }
        if self.tls.ca.is_some() && self.tls.ca_file.is_some() {
            return Err(
                Error::input("/connection/tls/ca", "the authorities are given twice")
                    .hint("set either ca or caFile"),
            );
        }
        match (&self.tls.certificate_file, &self.tls.key) {
            (Some(_), None) => Err(Error::input(
                "/connection/tls/key",
                "a certificate is of no use without its key",
            )
            .hint("set connection.tls.key to a reference to it")),
            (None, Some(_)) => Err(Error::input(
                "/connection/tls/certificateFile",
                "a key is of no use without its certificate",
            )
            .hint("set connection.tls.certificateFile to its path")),
            _ => Ok(()),
        }
    }

    fn ssl_mode(&self) -> PgSslMode {
        if self.is_socket() {
            return PgSslMode::Disable;
        }
        match self.tls.mode {
            Some(TlsMode::Disable) => PgSslMode::Disable,
            Some(TlsMode::Prefer) => PgSslMode::Prefer,
            Some(TlsMode::Require) => PgSslMode::Require,
            Some(TlsMode::VerifyCa) => PgSslMode::VerifyCa,
            None if self.is_local() => PgSslMode::Prefer,
            Some(TlsMode::VerifyFull) | None => PgSslMode::VerifyFull,
        }
    }

    /// Whether it is a directory with a socket.
    pub(super) fn is_socket(&self) -> bool {
        self.host.starts_with('/')
    }

    fn is_local(&self) -> bool {
        let loopback = self
            .host
            .parse()
            .is_ok_and(|address: std::net::IpAddr| address.is_loopback());
        loopback || self.host == "localhost"
    }
}

impl Tls {
    async fn options(
        &self,
        cx: &Context,
        mut options: PgConnectOptions,
    ) -> Result<PgConnectOptions> {
        if let Some(file) = &self.ca_file {
            options = options.ssl_root_cert_from_pem(read(file, "/connection/tls/caFile")?);
        }
        if let Some(reference) = &self.ca {
            let pem = cx.secret(reference, "/connection/tls/ca").await?;
            let pem = pem.expose_secret().as_bytes().to_vec();
            options = options.ssl_root_cert_from_pem(certificates(pem, "/connection/tls/ca")?);
        }
        if let (Some(file), Some(reference)) = (&self.certificate_file, &self.key) {
            let key = cx.secret(reference, "/connection/tls/key").await?;
            if !key.expose_secret().contains("PRIVATE KEY-----") {
                return Err(
                    Error::input("/connection/tls/key", "this is no private key in PEM")
                        .hint("it begins with -----BEGIN PRIVATE KEY-----, and has no passphrase"),
                );
            }
            options = options
                .ssl_client_cert_from_pem(read(file, "/connection/tls/certificateFile")?)
                .ssl_client_key_from_pem(key.expose_secret());
        }
        Ok(options)
    }
}

fn read(file: &Path, pointer: &str) -> Result<Vec<u8>> {
    let pem = std::fs::read(file).map_err(|error| {
        Error::input(
            pointer,
            format!("unable to read the certificates in {}", file.display()),
        )
        .because(error)
        .hint("give a PEM file that this process can read")
    })?;
    certificates(pem, pointer)
}

/// What has no certificate in it would be taken for an empty list of them.
fn certificates(pem: Vec<u8>, pointer: &str) -> Result<Vec<u8>> {
    const BEGIN: &[u8] = b"-----BEGIN CERTIFICATE-----";
    if pem.windows(BEGIN.len()).any(|window| window == BEGIN) {
        return Ok(pem);
    }
    Err(Error::input(pointer, "there is no certificate in PEM here")
        .hint("it begins with -----BEGIN CERTIFICATE-----"))
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
