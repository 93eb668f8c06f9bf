//! Encryption, and who is at the other end of it.

use std::io;
use std::sync::Arc;

use postgres_protocol::message::frontend;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{verify_server_cert_signed_by_trust_anchor, verify_server_name};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::failure::Failure;
use crate::place::Place;

/// As libpq's `sslmode`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize, Serialize)]
#[cfg_attr(feature = "schemas", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum TlsMode {
    /// No encryption.
    Disable,
    /// Encryption if the server offers it. Its certificate is checked as by
    /// `verify-ca` if there is a `caFile` or `ca`, and else not at all.
    Prefer,
    /// Encryption. The server's certificate is checked as by `verify-ca` if there is
    /// a `caFile` or `ca`, and else not at all.
    Require,
    /// Encryption, and a certificate of an authority that is trusted, whatever
    /// host name it is for: only as safe as the least careful of them.
    VerifyCa,
    /// Encryption, and a trusted certificate for this host name.
    VerifyFull,
}

impl TlsMode {
    /// What is asked where nothing is said: nobody listens on the way to a server on
    /// this machine.
    #[must_use]
    pub fn default_at(place: &Place) -> Self {
        if place.is_local() {
            Self::Prefer
        } else {
            Self::VerifyFull
        }
    }
}

/// Encryption of a connection.
#[derive(Debug, Clone)]
pub struct Tls {
    /// How much is asked of it.
    pub mode: TlsMode,
    /// The certificates (PEM) of the authorities to trust, in place of those that the
    /// system trusts.
    pub authorities: Option<Vec<u8>>,
    /// What to log in with.
    pub certificate: Option<ClientCertificate>,
}

/// A certificate to log in with.
#[derive(Debug, Clone)]
pub struct ClientCertificate {
    /// It, and those between it and its authority (PEM).
    pub chain: Vec<u8>,
    /// Its key (PEM).
    pub key: SecretString,
}

impl Tls {
    /// Whether a certificate has to be one that is trusted.
    pub(crate) fn verifies(&self) -> bool {
        match self.mode {
            TlsMode::Disable => false,
            TlsMode::Prefer | TlsMode::Require => self.authorities.is_some(),
            TlsMode::VerifyCa | TlsMode::VerifyFull => true,
        }
    }

    /// Whether a certificate that was trusted tells which server this is: it has its name
    /// in it, or it is of an authority that was named. Of all those that the system
    /// trusts, somebody has one for a name of their own.
    pub(crate) fn tells_who(&self) -> bool {
        self.mode == TlsMode::VerifyFull || self.verifies() && self.authorities.is_some()
    }

    /// Asks the server for TLS, and begins it; gives back the plain stream where
    /// there is to be none.
    pub(crate) async fn begin(&self, mut tcp: TcpStream, host: &str) -> Result<Begun, Failure> {
        if self.mode == TlsMode::Disable || !is_offered(&mut tcp).await? {
            return match self.mode {
                TlsMode::Disable | TlsMode::Prefer => Ok(Begun::Plain(tcp)),
                _ => Err(Failure::NoTls),
            };
        }
        let name = ServerName::try_from(host.to_owned())
            .map_err(|error| Failure::Tls(format!("{host:?}: {error}")))?;
        let connector = TlsConnector::from(Arc::new(self.configuration()?));
        let connecting = connector.connect(name, tcp);
        connecting
            .await
            .map(|stream| Begun::Encrypted(Box::new(stream)))
            .map_err(failed)
    }

    fn configuration(&self) -> Result<ClientConfig, Failure> {
        let provider = Arc::new(ring::default_provider());
        let roots = self.verifies().then(|| self.roots()).transpose()?;
        let verifier = Verifier {
            roots,
            checks_name: self.mode == TlsMode::VerifyFull,
            provider: Arc::clone(&provider),
        };
        let begun = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| Failure::Tls(error.to_string()))?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier));
        let Some(certificate) = &self.certificate else {
            return Ok(begun.with_no_client_auth());
        };
        let odd = |error: &dyn std::fmt::Display| Failure::Certificate(error.to_string());
        let chain = certificates(&certificate.chain).map_err(|error| odd(&error))?;
        let key = PrivateKeyDer::from_pem_slice(certificate.key.expose_secret().as_bytes());
        let key = key.map_err(|error| odd(&error))?;
        begun
            .with_client_auth_cert(chain, key)
            .map_err(|error| odd(&error))
    }

    fn roots(&self) -> Result<RootCertStore, Failure> {
        let mut roots = RootCertStore::empty();
        let Some(pem) = &self.authorities else {
            // What the system has that is no certificate helps nobody.
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            return Ok(roots);
        };
        let odd = |error: &dyn std::fmt::Display| Failure::Authorities(error.to_string());
        for certificate in certificates(pem).map_err(|error| odd(&error))? {
            roots.add(certificate).map_err(|error| odd(&error))?;
        }
        if roots.is_empty() {
            return Err(odd(&"there is no certificate in PEM"));
        }
        Ok(roots)
    }
}

fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, rustls::pki_types::pem::Error> {
    CertificateDer::pem_slice_iter(pem).collect()
}

/// A stream, encrypted or not.
pub(crate) enum Begun {
    Plain(TcpStream),
    Encrypted(Box<TlsStream<TcpStream>>),
}

/// Asks whether the server has TLS. One byte is read and no more: what somebody puts
/// behind it in clear must not be taken for what the server says later.
async fn is_offered(tcp: &mut TcpStream) -> Result<bool, Failure> {
    let mut request = bytes::BytesMut::new();
    frontend::ssl_request(&mut request);
    tcp.write_all(&request).await.map_err(Failure::Io)?;
    match tcp.read_u8().await.map_err(Failure::Io)? {
        b'S' => Ok(true),
        b'N' => Ok(false),
        // What nobody has vouched for yet is not repeated.
        b'E' => Err(Failure::Protocol(
            "it refuses to say whether it has TLS".to_owned(),
        )),
        other => Err(Failure::Protocol(format!(
            "it answers {other:#04x} when asked for TLS"
        ))),
    }
}

/// A handshake that fails is told as an error of reading.
fn failed(error: io::Error) -> Failure {
    match error
        .get_ref()
        .and_then(|cause| cause.downcast_ref::<rustls::Error>())
    {
        Some(cause) => Failure::Tls(cause.to_string()),
        None => Failure::Io(error),
    }
}

/// Checks as much of a certificate as is asked for. That the server has its key is
/// checked in every case: channel binding would mean nothing without.
#[derive(Debug)]
struct Verifier {
    /// The authorities; `None` to trust any certificate.
    roots: Option<RootCertStore>,
    checks_name: bool,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        if let Some(roots) = &self.roots {
            let certificate = ParsedCertificate::try_from(end_entity)?;
            let algorithms = self.provider.signature_verification_algorithms.all;
            verify_server_cert_signed_by_trust_anchor(
                &certificate,
                roots,
                intermediates,
                now,
                algorithms,
            )?;
            if self.checks_name {
                verify_server_name(&certificate, server_name)?;
            }
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signed, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signed, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        let algorithms = &self.provider.signature_verification_algorithms;
        algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn which_certificates_tell_who_it_is() {
        for (mode, by_the_system, by_a_file) in [
            (TlsMode::Disable, false, false),
            (TlsMode::Prefer, false, true),
            (TlsMode::Require, false, true),
            // Anybody gets a certificate of some authority, for a name of their own.
            (TlsMode::VerifyCa, false, true),
            (TlsMode::VerifyFull, true, true),
        ] {
            let tells_who = |authorities| {
                let tls = Tls {
                    mode,
                    authorities,
                    certificate: None,
                };
                tls.tells_who()
            };
            let told = (tells_who(None), tells_who(Some(Vec::new())));
            assert_eq!(told, (by_the_system, by_a_file), "{mode:?}");
        }
    }
}
