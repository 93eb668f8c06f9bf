//! The input `connection`: which node of which cluster, and with what token.

use std::fmt;
use std::path::PathBuf;

use nixops4_provider_sdk::SecretRef;
use nixops4_provider_sdk::http::{Url, parse_server};
use schemars::JsonSchema;
use serde::Deserialize;

/// How to reach the admin API of a Garage cluster.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Connection {
    /// Address of one node's admin API, such as `http://127.0.0.1:3903`. Give all
    /// resources of a cluster the same node, and no balancer: names and keys are
    /// locked on each node by itself alone. Garage speaks no TLS: where it isn't
    /// on this machine or in a private network, put a proxy with `https` before it.
    pub(crate) endpoint: Endpoint,
    /// The admin token, by reference.
    pub(crate) token: SecretRef,
    /// File with the certificates (PEM) of the authorities to trust with `https`,
    /// instead of those that the system trusts.
    #[serde(default)]
    pub(crate) ca_file: Option<PathBuf>,
    /// Where clients reach S3, such as `https://s3.example.org`: for outputs, and
    /// to empty a bucket. Unset: what the node's own configuration says
    /// (`s3_api.public_endpoint`).
    #[serde(default)]
    pub(crate) s3_endpoint: Option<Endpoint>,
    /// The domain below which websites are served (`s3_web.root_domain`), such as
    /// `web.example.org`: for outputs. Unset: a website has an address only under
    /// an alias that is a domain itself.
    #[serde(default)]
    pub(crate) web_root_domain: Option<Domain>,
}

/// Address of an HTTP server, without a credential, a query or a fragment.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Deserialize, JsonSchema)]
#[serde(try_from = "String")]
#[schemars(with = "String", extend("pattern" = "^https?://[^?#@]+$"))]
pub(crate) struct Endpoint(Url);

impl Endpoint {
    pub(crate) fn url(&self) -> &Url {
        &self.0
    }
}

impl TryFrom<String> for Endpoint {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        parse_server(&text).map(Self)
    }
}

/// Without the slash that a URL ends with.
impl fmt::Display for Endpoint {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.0.as_str().trim_end_matches('/'))
    }
}

/// A domain, without a dot at either end.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(try_from = "String")]
#[schemars(extend("pattern" = "^[.]?[A-Za-z0-9-]+([.][A-Za-z0-9-]+)*$"))]
pub(crate) struct Domain(String);

impl TryFrom<String> for Domain {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        // Garage's own setting is written with a dot before it.
        let domain = text.strip_prefix('.').unwrap_or(&text);
        let is_label = |label: &str| {
            !label.is_empty() && label.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
        };
        if domain.split('.').all(is_label) {
            return Ok(Self(domain.to_ascii_lowercase()));
        }
        let shown: String = text.chars().take(80).collect();
        Err(format!(
            "{shown:?} is no domain; write it like web.example.org"
        ))
    }
}

impl fmt::Display for Domain {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

impl fmt::Display for Connection {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.endpoint.fmt(out)
    }
}
