//! By what a server is recognised.

use std::fmt;
use std::io;
use std::path::Path;
use std::str::FromStr;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, OtherError, RootCertStore,
    SignatureScheme,
};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use url::Url;

/// By what a server is recognised. Without TLS there is nothing to go by.
#[derive(Debug, Clone, Default)]
pub enum Trust {
    /// A certificate for its name, of an authority that the system trusts.
    #[default]
    System,
    /// A certificate for its name, of one of these authorities.
    Authorities(Arc<RootCertStore>),
    /// This very certificate, whatever name is in it, and until whenever.
    Certificate(Fingerprint),
}

impl Trust {
    /// The authorities whose certificates stand in a file of PEM. An error names the
    /// file.
    pub fn read(path: &Path) -> io::Result<Self> {
        let named =
            |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", path.display()));
        std::fs::read(path)
            .and_then(|pem| Self::authorities(&pem))
            .map_err(named)
    }

    /// The authorities whose certificates stand in this text of PEM.
    pub fn authorities(pem: &[u8]) -> io::Result<Self> {
        let odd = |text: String| io::Error::new(io::ErrorKind::InvalidData, text);
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(pem) {
            let certificate = certificate.map_err(|error| odd(error.to_string()))?;
            roots
                .add(certificate)
                .map_err(|error| odd(error.to_string()))?;
        }
        if roots.is_empty() {
            return Err(odd("there is no certificate in it".to_owned()));
        }
        Ok(Self::Authorities(Arc::new(roots)))
    }

    pub(crate) fn configuration(&self, server: &Url) -> io::Result<ClientConfig> {
        let provider = Arc::new(ring::default_provider());
        let begun = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(io::Error::other)?;
        let begun = match self {
            Self::System => begun.with_root_certificates(system_roots(server)),
            Self::Authorities(roots) => begun.with_root_certificates(Arc::clone(roots)),
            Self::Certificate(fingerprint) => {
                let pinned = Pinned {
                    fingerprint: *fingerprint,
                    provider,
                };
                begun
                    .dangerous()
                    .with_custom_certificate_verifier(Arc::new(pinned))
            }
        };
        Ok(begun.with_no_client_auth())
    }
}

fn system_roots(server: &Url) -> RootCertStore {
    let mut roots = RootCertStore::empty();
    // To read some hundred certificates takes longer than most requests.
    if server.scheme() == "https" {
        // What the system has that is no certificate helps nobody.
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    }
    roots
}

/// The SHA-256 digest of a certificate, in hexadecimal digits, with or without colons.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schemas", derive(schemars::JsonSchema))]
#[serde(try_from = "String", into = "String")]
#[cfg_attr(
    feature = "schemas",
    schemars(with = "String", extend("pattern" = "^([0-9A-Fa-f]{2}:?){31}[0-9A-Fa-f]{2}$"))
)]
pub struct Fingerprint([u8; 32]);

impl Fingerprint {
    /// That of a certificate in DER.
    #[must_use]
    pub fn of(certificate: &[u8]) -> Self {
        Self(Sha256::digest(certificate).into())
    }
}

impl FromStr for Fingerprint {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut bytes = [0; 32];
        hex::decode_to_slice(text.replace(':', ""), &mut bytes).map_err(|_| {
            "this is no SHA-256 fingerprint of a certificate, which has 64 hexadecimal digits; \
             `openssl x509 -noout -fingerprint -sha256` prints it"
                .to_owned()
        })?;
        Ok(Self(bytes))
    }
}

impl TryFrom<String> for Fingerprint {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Fingerprint> for String {
    fn from(fingerprint: Fingerprint) -> Self {
        fingerprint.to_string()
    }
}

/// As `openssl x509 -fingerprint` writes it.
impl fmt::Display for Fingerprint {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, byte) in self.0.iter().enumerate() {
            let colon = if index == 0 { "" } else { ":" };
            write!(out, "{colon}{byte:02X}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Fingerprint({self})")
    }
}

/// Trusts one certificate, and whoever proves to have its key.
#[derive(Debug)]
struct Pinned {
    fingerprint: Fingerprint,
    provider: Arc<CryptoProvider>,
}

#[derive(Debug, thiserror::Error)]
#[error("the server's certificate has the fingerprint {0}, and another one is pinned")]
struct Another(Fingerprint);

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let found = Fingerprint::of(end_entity);
        if found == self.fingerprint {
            return Ok(ServerCertVerified::assertion());
        }
        let another = OtherError(Arc::new(Another(found)));
        Err(CertificateError::Other(another).into())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}
