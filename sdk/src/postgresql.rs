//! What kinds that log in to a PostgreSQL server have in common: the inputs by which
//! they do, and what it means to the user that they can't.
//!
//! How to log in is `nixops4_postgresql_client`'s; what is done there is the kind's.

use std::path::{Path, PathBuf};

pub use nixops4_postgresql_client as client;
use nixops4_postgresql_client::{
    ClientCertificate, Failure, Meaning, Method, Place, Target, TlsMode, root_cause,
};
use schemars::JsonSchema;
use secrecy::ExposeSecret as _;
use serde::Deserialize;

use crate::context::Context;
use crate::error::{Error, Result, Retry};
use crate::secret::SecretRef;

/// Encryption of a connection.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Tls {
    /// How much is asked of it. Unset: `verify-full`; on a loopback address,
    /// `prefer`. A unix socket is never encrypted.
    #[serde(default)]
    pub mode: Option<TlsMode>,
    /// File with the certificates (PEM) of the authorities to trust, in place of
    /// those that the system trusts.
    #[serde(default)]
    pub ca_file: Option<PathBuf>,
    /// The same certificates by reference, where no file of them is at hand.
    #[serde(default)]
    pub ca: Option<SecretRef>,
    /// File with the certificate (PEM) to log in with, and those between it and
    /// its authority.
    #[serde(default)]
    pub certificate_file: Option<PathBuf>,
    /// The key (PEM) of that certificate, by reference.
    #[serde(default)]
    pub key: Option<SecretRef>,
}

/// The input `connection` of a kind, as far as it is about logging in.
#[derive(Debug, Clone, Copy)]
pub struct Login<'a> {
    /// `host`: its name, its address, or the folder of its socket.
    pub host: &'a str,
    /// `port`.
    pub port: u16,
    /// `user`.
    pub user: &'a str,
    /// `password`.
    pub password: Option<&'a SecretRef>,
    /// `requireAuth`.
    pub require_auth: Option<&'a [Method]>,
    /// `database`.
    pub database: &'a str,
    /// `tls`.
    pub tls: &'a Tls,
    /// What the session is called on the server.
    pub application: &'static str,
}

impl Login<'_> {
    /// Where the server is.
    #[must_use]
    pub fn place(&self) -> Place {
        Place::new(self.host, self.port)
    }

    /// Fetches what is secret in it, and says how to log in.
    pub async fn target(&self, cx: &Context) -> Result<Target> {
        self.validate()?;
        let place = self.place();
        let password = match self.password {
            Some(reference) => Some(cx.secret(reference, "/connection/password").await?),
            None => None,
        };
        Ok(Target {
            tls: self.tls.resolve(cx, &place).await?,
            place,
            require_auth: self.require_auth.map(<[_]>::to_vec),
            user: self.user.to_owned(),
            password,
            database: self.database.to_owned(),
            application: self.application.to_owned(),
            options: String::new(),
        })
    }

    fn validate(&self) -> Result<()> {
        for (name, value) in [
            ("host", self.host),
            ("user", self.user),
            ("database", self.database),
        ] {
            if value.is_empty() || value.contains('\0') {
                return Err(Error::input(
                    format!("/connection/{name}"),
                    format!("the {name} can't be empty or have a NUL character in it"),
                )
                .hint("give its name as the server knows it"));
            }
        }
        if self.require_auth.is_some_and(<[_]>::is_empty) {
            return Err(Error::input(
                "/connection/requireAuth",
                "a server that may ask for nothing of this can't let anybody in",
            )
            .hint("name what it may ask for, or leave it out"));
        }
        self.tls.validate()
    }

    /// What it means that the server can't be logged in to.
    #[must_use]
    pub fn unable(&self, failure: &Failure) -> Error {
        let place = self.place();
        let unable = Error::input(
            "/connection",
            format!(
                "unable to connect to PostgreSQL at {place} as {:?}",
                self.user
            ),
        )
        .because(root_cause(failure));
        match failure {
            Failure::Server(error) => self.refused(Meaning::of(&error.code), unable),
            Failure::NoPassword => unable
                .at("/connection/password")
                .hint("set connection.password to a reference"),
            Failure::Refused { .. } => refused_method(unable, self.require_auth),
            Failure::Unproven => unable.at("/connection/requireAuth").hint(
                "find out who listens there; a server that is meant knows the password that \
                 connection.password leads to",
            ),
            Failure::Binding(_) => unable.at("/connection/tls").hint(
                "set connection.tls.caFile to the authority that signed the server's certificate, \
                 which tells it from anybody in between",
            ),
            Failure::Unsupported(_) => unable
                .hint("let this role in by scram-sha-256, or by a certificate, in pg_hba.conf"),
            Failure::NoTls | Failure::Tls(_) => unable.at("/connection/tls").hint(
                "set connection.tls.caFile to the authority that signed the server's certificate, or \
                 connection.tls.mode to what the server can do",
            ),
            Failure::Authorities(_) => unable
                .at("/connection/tls/caFile")
                .hint("give certificates in PEM, and no others than those of authorities"),
            Failure::Certificate(_) => unable.at("/connection/tls").hint(
                "see that connection.tls.certificateFile and connection.tls.key are a certificate and \
                 its key, both in PEM and without a passphrase",
            ),
            Failure::Io(_) => unable
                .hint(format!(
                    "see that the server runs and listens at {place}, and that no firewall is between"
                ))
                .retry(Retry::Briefly),
            Failure::Protocol(_) => unable
                .hint(format!(
                    "see that it is PostgreSQL that listens at {place}; one that crashes may answer \
                     like this too"
                ))
                .retry(Retry::Briefly),
            _ => unable.hint("see that this process may write in the folder that TMPDIR names"),
        }
    }

    fn refused(&self, meaning: Meaning, unable: Error) -> Error {
        match meaning {
            Meaning::WrongPassword if self.password.is_some() => {
                unable.at("/connection/password").hint(
                    "the server refuses this password; see that the reference leads to the right one",
                )
            }
            Meaning::WrongPassword => unable
                .at("/connection/password")
                .hint("the server asks for a password; set connection.password to a reference"),
            Meaning::NotAdmitted => unable.hint(
                "the server's pg_hba.conf lets this role in from elsewhere, or with TLS only; see \
                 connection.tls.mode, connection.user and that file",
            ),
            Meaning::NoDatabase => unable
                .at("/connection/database")
                .hint("set connection.database to one that is there"),
            // It is closed, as a retained one is.
            Meaning::Closed => unable
                .at("/connection/database")
                .hint("open it again with allowConnections = true, or by declaring what was retained"),
            Meaning::Full => unable
                .hint("the server's max_connections is used up; it was tried until the time was over")
                .retry(Retry::UntilDeadline),
            // It is there, and says that it is starting, stopping or recovering.
            Meaning::Starting => unable
                .hint("it was tried until the time was over; see in the server's log what it waits for")
                .retry(Retry::UntilDeadline),
            Meaning::Struck(timeout) => unable.hint(timeout.hint()),
            meaning if meaning.is_going_away() => unable
                .hint("the server is starting or stopping; apply again when it is up")
                .retry(Retry::Briefly),
            _ => unable,
        }
    }

    /// What is said of a server that doesn't answer in time.
    #[must_use]
    pub fn no_answer(&self, limit: std::time::Duration) -> Error {
        let place = self.place();
        Error::input(
            "/connection",
            format!(
                "the server at {place} gave no answer within {} s",
                limit.as_secs()
            ),
        )
    }
}

fn refused_method(unable: Error, listed: Option<&[Method]>) -> Error {
    let unable = unable.at("/connection/requireAuth");
    if listed.is_some() {
        return unable.hint(
            "let this role in by one of connection.requireAuth in the server's pg_hba.conf, or name \
             there what the server asks for",
        );
    }
    unable.hint(
        "let this role in by scram-sha-256 in the server's pg_hba.conf, or verify the server with \
         connection.tls.caFile; to trust it without either, name what it asks for in \
         connection.requireAuth",
    )
}

impl Tls {
    fn validate(&self) -> Result<()> {
        if self.ca.is_some() && self.ca_file.is_some() {
            return Err(
                Error::input("/connection/tls/ca", "the authorities are given twice")
                    .hint("set either ca or caFile"),
            );
        }
        match (&self.certificate_file, &self.key) {
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

    async fn resolve(&self, cx: &Context, place: &Place) -> Result<client::Tls> {
        let mut authorities = None;
        if let Some(file) = &self.ca_file {
            authorities = Some(read(file, "/connection/tls/caFile")?);
        }
        if let Some(reference) = &self.ca {
            let pem = cx.secret(reference, "/connection/tls/ca").await?;
            let pem = pem.expose_secret().as_bytes().to_vec();
            authorities = Some(certificates(pem, "/connection/tls/ca")?);
        }
        let mut certificate = None;
        if let (Some(file), Some(reference)) = (&self.certificate_file, &self.key) {
            let key = cx.secret(reference, "/connection/tls/key").await?;
            if !key.expose_secret().contains("PRIVATE KEY-----") {
                return Err(
                    Error::input("/connection/tls/key", "this is no private key in PEM")
                        .hint("it begins with -----BEGIN PRIVATE KEY-----, and has no passphrase"),
                );
            }
            let chain = read(file, "/connection/tls/certificateFile")?;
            certificate = Some(ClientCertificate { chain, key });
        }
        Ok(client::Tls {
            mode: self.mode.unwrap_or_else(|| TlsMode::default_at(place)),
            authorities,
            certificate,
        })
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
