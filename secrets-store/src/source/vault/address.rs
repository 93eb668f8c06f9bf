//! The address of a KV engine. It opens nothing; errors never repeat an address,
//! which may hold a token.

use std::path::PathBuf;

use url::Url;

use super::Vault;
use crate::error::Invalid;

impl Vault {
    /// Reads an address without its `vault:`.
    pub(in crate::source) fn parse(url: &str) -> Result<Self, Invalid> {
        let refuse = |problem: &str| Invalid::Source {
            problem: problem.into(),
        };
        let mut server = Url::parse(url).map_err(|_| refuse("what follows vault: is not a URL"))?;
        let is_loopback = match server.host() {
            Some(url::Host::Domain(name)) => name == "localhost",
            Some(url::Host::Ipv4(address)) => address.is_loopback(),
            Some(url::Host::Ipv6(address)) => address.is_loopback(),
            None => false,
        };
        match server.scheme() {
            "https" => {}
            "http" if is_loopback => {}
            "http" => {
                return Err(refuse(
                    "it would send the token over the network in clear; write vault:https://",
                ));
            }
            _ => return Err(refuse("it is not like vault:https://server:8200/secret")),
        }
        if !server.username().is_empty() || server.password().is_some() {
            return Err(refuse(
                "it holds a credential, which belongs into a file or BAO_TOKEN",
            ));
        }
        let mount = server.path().trim_matches('/').to_owned();
        if mount.is_empty() {
            return Err(refuse("it does not name the KV engine, such as /secret"));
        }
        let (mut namespace, mut token_file, mut ca) = (None, None, None);
        for (key, value) in server.query_pairs() {
            match &*key {
                "namespace" => namespace = Some(value.into_owned()),
                "token-file" => token_file = Some(PathBuf::from(value.into_owned())),
                "ca" => ca = Some(PathBuf::from(value.into_owned())),
                _ => {
                    return Err(refuse(
                        "it has a parameter that is none of namespace, token-file and ca",
                    ));
                }
            }
        }
        if [&token_file, &ca]
            .into_iter()
            .flatten()
            .any(|path| !path.is_absolute())
        {
            return Err(refuse("the path of token-file or ca is not absolute"));
        }
        server.set_path("");
        server.set_query(None);
        server.set_fragment(None);
        Ok(Self {
            server,
            mount,
            namespace: namespace.or_else(|| variable(&["BAO_NAMESPACE", "VAULT_NAMESPACE"])),
            token_file,
            ca: ca.or_else(|| variable(&["BAO_CACERT", "VAULT_CACERT"]).map(PathBuf::from)),
        })
    }
}

pub(super) fn variable(names: &[&str]) -> Option<String> {
    names
        .iter()
        .filter_map(|name| std::env::var(name).ok())
        .find(|value| !value.is_empty())
}
