//! Channel binding: what of a server's certificate goes into a login, so that who
//! sits in between with a certificate of its own can't pass the login on (RFC 5929,
//! `tls-server-end-point`).

use rustls::pki_types::CertificateDer;
use sha2::{Digest as _, Sha224, Sha256, Sha384, Sha512};
use x509_parser::oid_registry::{
    OID_HASH_SHA1, OID_NIST_HASH_SHA256, OID_NIST_HASH_SHA384, OID_NIST_HASH_SHA512,
    OID_PKCS1_MD5WITHRSAENC, OID_PKCS1_SHA1WITHRSA, OID_PKCS1_SHA224WITHRSA,
    OID_PKCS1_SHA256WITHRSA, OID_PKCS1_SHA384WITHRSA, OID_PKCS1_SHA512WITHRSA,
    OID_SIG_ECDSA_WITH_SHA224, OID_SIG_ECDSA_WITH_SHA256, OID_SIG_ECDSA_WITH_SHA384,
    OID_SIG_ECDSA_WITH_SHA512,
};
use x509_parser::prelude::{FromDer as _, X509Certificate};
use x509_parser::signature_algorithm::SignatureAlgorithm;

/// The hash of a certificate that a login is bound to. There is none where the
/// certificate is signed without a hash of its own, as with Ed25519: then servers
/// can't bind either.
pub(crate) fn end_point(certificate: &CertificateDer<'_>) -> Option<Vec<u8>> {
    let (_, parsed) = X509Certificate::from_der(certificate).ok()?;
    let algorithm = &parsed.signature_algorithm;
    let pss = match SignatureAlgorithm::try_from(algorithm) {
        Ok(SignatureAlgorithm::RSASSA_PSS(parameters)) => {
            Some(parameters.hash_algorithm_oid().to_owned())
        }
        _ => None,
    };
    let hash = match &pss {
        Some(hash) => hash,
        None => &algorithm.algorithm,
    };
    // MD5 and SHA-1 are too weak for it: SHA-256 takes their place.
    let with_sha256 = [
        OID_PKCS1_MD5WITHRSAENC,
        OID_PKCS1_SHA1WITHRSA,
        OID_PKCS1_SHA256WITHRSA,
        OID_SIG_ECDSA_WITH_SHA256,
        OID_HASH_SHA1,
        OID_NIST_HASH_SHA256,
    ];
    let is_one_of = |those: &[_]| those.contains(hash);
    Some(if is_one_of(&with_sha256) {
        Sha256::digest(certificate).to_vec()
    } else if is_one_of(&[
        OID_PKCS1_SHA384WITHRSA,
        OID_SIG_ECDSA_WITH_SHA384,
        OID_NIST_HASH_SHA384,
    ]) {
        Sha384::digest(certificate).to_vec()
    } else if is_one_of(&[
        OID_PKCS1_SHA512WITHRSA,
        OID_SIG_ECDSA_WITH_SHA512,
        OID_NIST_HASH_SHA512,
    ]) {
        Sha512::digest(certificate).to_vec()
    } else if is_one_of(&[OID_PKCS1_SHA224WITHRSA, OID_SIG_ECDSA_WITH_SHA224]) {
        Sha224::digest(certificate).to_vec()
    } else {
        return None;
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of each kind that a certificate here may be signed as.
    #[test]
    fn the_hash_is_that_of_the_signature() {
        for (algorithm, length) in [
            (&rcgen::PKCS_ECDSA_P256_SHA256, Some(32)),
            (&rcgen::PKCS_ECDSA_P384_SHA384, Some(48)),
            (&rcgen::PKCS_ED25519, None),
        ] {
            let key = rcgen::KeyPair::generate_for(algorithm).unwrap();
            let parameters = rcgen::CertificateParams::new(["localhost".to_owned()]).unwrap();
            let certificate = parameters.self_signed(&key).unwrap();
            let hash = end_point(certificate.der());
            assert_eq!(hash.map(|hash| hash.len()), length, "{algorithm:?}");
        }
        assert_eq!(end_point(&CertificateDer::from(vec![0x30, 0])), None);
    }
}
