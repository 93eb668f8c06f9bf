//! Certificates that are there already, read to sign with or to compare.

use nixops4_provider_sdk::{Error, Result};
use rcgen::{Issuer, KeyPair};
use sha2::{Digest as _, Sha256};
use time::OffsetDateTime;
use x509_parser::certificate::X509Certificate;
use x509_parser::pem::Pem;

use super::issue::{CERTIFICATE, pem};
use super::key::Key;

/// One or more certificates in PEM: an authority's, and those above it.
#[derive(Debug, Clone)]
pub(crate) struct Certificates {
    first: Vec<u8>,
    /// Those that somebody who trusts the root still has to be given, in PEM.
    intermediates: String,
    fingerprint: String,
    not_after: OffsetDateTime,
    /// How many authorities may stand below.
    path_length: Option<u32>,
    public: Vec<u8>,
}

impl Certificates {
    /// Reads the certificates of an authority, its own first.
    pub(crate) fn read(text: &str) -> Result<Self> {
        let mut first = None;
        let mut intermediates = String::new();
        for block in Pem::iter_from_buffer(text.as_bytes()) {
            let block = block.map_err(|_| refuse("this can't be read as PEM"))?;
            if block.label != CERTIFICATE {
                return Err(refuse("this has something else than certificates in it"));
            }
            let certificate = block
                .parse_x509()
                .map_err(|_| refuse("this has a certificate that can't be read"))?;
            if certificate.subject().as_raw() != certificate.issuer().as_raw() {
                intermediates.push_str(&pem(CERTIFICATE, &block.contents));
            }
            if first.is_none() {
                first = Some(Self::of(&block.contents, &certificate)?);
            }
        }
        let first = first.ok_or_else(|| refuse("this has no certificate in it"))?;
        Ok(Self {
            intermediates,
            ..first
        })
    }

    fn of(der: &[u8], certificate: &X509Certificate<'_>) -> Result<Self> {
        let constraints = certificate
            .basic_constraints()
            .map_err(|_| refuse("the certificate can't be read"))?;
        let constraints = constraints.filter(|constraints| constraints.value.ca);
        let constraints = constraints.ok_or_else(|| {
            refuse("the first certificate is not an authority's: it says CA:FALSE")
        })?;
        let usage = certificate
            .key_usage()
            .map_err(|_| refuse("the certificate can't be read"))?;
        if usage.is_some_and(|usage| !usage.value.key_cert_sign()) {
            return Err(refuse(
                "the authority's key is not for signing certificates",
            ));
        }
        Ok(Self {
            first: der.to_vec(),
            intermediates: String::new(),
            fingerprint: fingerprint(der),
            not_after: certificate.validity().not_after.to_datetime(),
            path_length: constraints.value.path_len_constraint,
            public: certificate.public_key().raw.to_vec(),
        })
    }

    /// SHA-256 of the authority's own certificate, in hex.
    pub(crate) fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    /// Until when the authority's own certificate is valid.
    pub(crate) fn not_after(&self) -> OffsetDateTime {
        self.not_after
    }

    /// How many authorities may stand below it; no limit if `None`.
    pub(crate) fn path_length(&self) -> Option<u32> {
        self.path_length
    }

    pub(super) fn intermediates(&self) -> &str {
        &self.intermediates
    }
}

fn refuse(problem: &str) -> Error {
    Error::new(problem)
        .hint("give the authority's certificate in PEM, then those above it, and nothing else")
}

/// SHA-256 of a certificate in DER, in hex.
pub(super) fn fingerprint(der: &[u8]) -> String {
    hex::encode(Sha256::digest(der))
}

/// An authority that can sign.
pub(crate) struct Authority {
    certificates: Certificates,
    key: Key,
}

impl Authority {
    /// Fails if the key isn't the certificate's.
    pub(crate) fn new(certificates: Certificates, key: Key) -> Result<Self> {
        if key.public_der() == certificates.public {
            return Ok(Self { certificates, key });
        }
        Err(
            Error::new("the authority's private key is not that of its certificate")
                .hint("give both of the same authority, and of the same generation"),
        )
    }

    pub(super) fn certificates(&self) -> &Certificates {
        &self.certificates
    }

    pub(super) fn issuer(&self) -> Result<Issuer<'_, &KeyPair>, rcgen::Error> {
        Issuer::from_ca_cert_der(&self.certificates.first.as_slice().into(), self.key.pair())
    }
}
