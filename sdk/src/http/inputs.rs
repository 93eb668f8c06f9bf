//! The inputs by which servers are reached over HTTP, to be used by all providers alike.

use std::fmt;
use std::path::{Path, PathBuf};

use nixops4_http_client::{Fingerprint, Trust, Url};
use schemars::JsonSchema;
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;

use super::authentication::Authentication;
use super::client::Client;
use super::refusal::Dialect;
use crate::certificates::{certificates, read};
use crate::context::Context;
use crate::error::{Error, Result};
use crate::secret::SecretRef;

/// Address of an HTTP server, without a credential, a query or a fragment.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Deserialize, JsonSchema)]
#[serde(try_from = "String")]
#[schemars(with = "String", extend("pattern" = "^https?://[^?#@]+$"))]
pub struct Endpoint(Url);

impl Endpoint {
    /// The address itself.
    #[must_use]
    pub fn url(&self) -> &Url {
        &self.0
    }
}

impl TryFrom<String> for Endpoint {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        const FORM: &str = "write it like https://server.example:8443";
        let url = Url::parse(&text).map_err(|error| format!("this is no URL ({error}); {FORM}"))?;
        if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
            return Err(format!("this is no address of an HTTP server; {FORM}"));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(format!("an address holds no credential; {FORM}"));
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err(format!("an address has no query and no fragment; {FORM}"));
        }
        Ok(Self(url))
    }
}

/// Without the slash that a URL ends with.
impl fmt::Display for Endpoint {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.0.as_str().trim_end_matches('/'))
    }
}

/// By what the server is recognised with `https`. Unset: a certificate for its name, of
/// an authority that the system trusts.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Tls {
    /// File with the certificates (PEM) of the authorities to trust, in place of
    /// those that the system trusts.
    #[serde(default)]
    pub ca_file: Option<PathBuf>,
    /// The same certificates by reference, where no file of them is at hand.
    #[serde(default)]
    pub ca: Option<SecretRef>,
    /// SHA-256 fingerprint of the server's own certificate, in place of authorities:
    /// this very certificate is trusted, whatever names it has. To be set anew whenever
    /// the server gets another one.
    #[serde(default)]
    pub fingerprint: Option<Fingerprint>,
}

impl Tls {
    /// Reads what it names. `at` is where it stands in the inputs.
    pub async fn resolve(&self, cx: &Context, at: &str) -> Result<Trust> {
        let given = [
            ("caFile", self.ca_file.is_some()),
            ("ca", self.ca.is_some()),
            ("fingerprint", self.fingerprint.is_some()),
        ];
        let mut given = given.iter().filter(|(_, is_given)| *is_given);
        if let (Some((one, _)), Some((another, _))) = (given.next(), given.next()) {
            let problem = format!("it is said twice what to trust, by {one} too");
            return Err(Error::input(format!("{at}/{another}"), problem)
                .hint("set one of caFile, ca and fingerprint"));
        }
        if let Some(file) = &self.ca_file {
            return read_authorities(file, &format!("{at}/caFile"));
        }
        if let Some(reference) = &self.ca {
            let at = format!("{at}/ca");
            let pem = cx.secret(reference, &at).await?;
            let pem = pem.expose_secret().as_bytes().to_vec();
            return trust(&certificates(pem, &at)?, &at);
        }
        Ok(self.fingerprint.map_or(Trust::System, Trust::Certificate))
    }
}

/// Trust in the authorities whose certificates stand in a file. `at` is where it stands in
/// the inputs.
pub fn read_authorities(file: &Path, at: &str) -> Result<Trust> {
    trust(&read(file, at)?, at)
}

fn trust(pem: &[u8], at: &str) -> Result<Trust> {
    Trust::authorities(pem).map_err(|error| {
        Error::input(at, "unable to read the authorities to trust")
            .because(error)
            .hint("give certificates in PEM, and no others than those of authorities")
    })
}

/// How to reach a server by HTTP, with a token.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Connection {
    /// Address of the server, such as `https://server.example:8443`.
    pub endpoint: Endpoint,
    /// The token to log in with, by reference.
    pub token: SecretRef,
    /// By what the server is recognised with `https`.
    #[serde(default)]
    pub tls: Tls,
}

impl Connection {
    /// A client, which shows the token in the way that `authentication` gives, such as
    /// [`Authentication::bearer`].
    pub async fn connect(
        &self,
        cx: &Context,
        dialect: &'static dyn Dialect,
        authentication: impl FnOnce(&SecretString, &str) -> Result<Authentication>,
    ) -> Result<Client> {
        const TOKEN: &str = "/connection/token";
        const TLS: &str = "/connection/tls";
        let token = cx.secret(&self.token, TOKEN).await?;
        let builder = Client::of(&self.endpoint, dialect)
            .authentication(authentication(&token, TOKEN)?)
            .trust(self.tls.resolve(cx, TLS).await?, TLS);
        builder.connect(cx).await
    }
}

/// The server, as errors name it.
impl fmt::Display for Connection {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.endpoint.fmt(out)
    }
}
