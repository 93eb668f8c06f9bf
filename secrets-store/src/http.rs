//! The one place that builds an HTTP client, for the sources here and for whoever
//! writes a provider: TLS by rustls with `ring`, verified always, no redirects,
//! with time limits.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use reqwest::redirect::Policy;
use rustls::crypto::ring;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};
use url::Url;

pub use reqwest;

/// To reach the server.
const CONNECT: Duration = Duration::from_secs(10);
/// For a whole request, unless its own says otherwise.
const REQUEST: Duration = Duration::from_secs(30);

/// A client of `server` that trusts the authorities in a file of PEM, or else those
/// that the system trusts. It follows no redirect: it would take the credentials
/// along.
pub fn client(server: &Url, authorities: Option<&Path>) -> io::Result<reqwest::Client> {
    let mut roots = RootCertStore::empty();
    match authorities {
        // To read some hundred certificates takes longer than most requests.
        None if server.scheme() != "https" => {}
        Some(path) => {
            let odd = |error| io::Error::other(format!("{}: {error}", path.display()));
            let certificates = CertificateDer::pem_file_iter(path)
                .and_then(Iterator::collect::<Result<Vec<_>, _>>)
                .map_err(|error| odd(error.to_string()))?;
            for certificate in certificates {
                roots
                    .add(certificate)
                    .map_err(|error| odd(error.to_string()))?;
            }
            if roots.is_empty() {
                return Err(odd("there is no certificate in it".into()));
            }
        }
        None => {
            // What the system has that is no certificate helps nobody.
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
    }
    let tls = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?
        .with_root_certificates(roots)
        .with_no_client_auth();
    reqwest::Client::builder()
        .tls_backend_preconfigured(tls)
        .redirect(Policy::none())
        .connect_timeout(CONNECT)
        .timeout(REQUEST)
        .user_agent(concat!("nixops4-resources/", env!("CARGO_PKG_VERSION")))
        .build()
        .map_err(io::Error::other)
}

/// An error with what caused it: the reason is the last one.
#[must_use]
pub fn causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        source = cause.source();
    }
    text
}
