//! Private keys of certificates, in PKCS #8.

use nixops4_provider_sdk::{Error, ExposeSecret as _, Result, SecretString};
use rand::Rng as _;
use rcgen::{KeyPair, PublicKeyData as _, SignatureAlgorithm};
use rsa::RsaPrivateKey;
use rsa::pkcs8::{EncodePrivateKey as _, LineEnding};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::making::watched::Watched;

/// What kind of key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) enum KeyType {
    /// ECDSA on the curve NIST P-256, which everything knows.
    EcdsaP256,
    /// ECDSA on the curve NIST P-384.
    EcdsaP384,
    /// Ed25519. Browsers don't take it.
    Ed25519,
    /// RSA of 2048 bits.
    Rsa2048,
    /// RSA of 3072 bits.
    Rsa3072,
    /// RSA of 4096 bits.
    Rsa4096,
}

/// A private key that can sign.
pub(crate) struct Key(Zeroizing<KeyPair>);

impl Key {
    /// Makes a key. One of RSA takes seconds, and some minutes: in a thread of its own
    /// it ends with that once it `is_over`.
    pub(crate) fn make(key_type: KeyType, is_over: &dyn Fn() -> bool) -> Result<Self> {
        let made = match key_type {
            KeyType::EcdsaP256 => generate(&rcgen::PKCS_ECDSA_P256_SHA256),
            KeyType::EcdsaP384 => generate(&rcgen::PKCS_ECDSA_P384_SHA384),
            KeyType::Ed25519 => generate_ed25519(),
            KeyType::Rsa2048 => generate_rsa(2048, is_over),
            KeyType::Rsa3072 => generate_rsa(3072, is_over),
            KeyType::Rsa4096 => generate_rsa(4096, is_over),
        };
        made.map_err(|cause| Error::new("unable to make a private key").because(cause))
    }

    /// Reads a key in PEM. The error says nothing of what was read.
    pub(crate) fn read(pem: &SecretString) -> Result<Self> {
        KeyPair::from_pem(pem.expose_secret())
            .map(|pair| Self(Zeroizing::new(pair)))
            .map_err(|_| {
                Error::new("this is not a private key that can sign certificates").hint(
                    "give one in PKCS #8 (-----BEGIN PRIVATE KEY-----), of ECDSA P-256 or P-384, \
                     Ed25519 or RSA; `openssl pkcs8 -topk8 -nocrypt` converts others",
                )
            })
    }

    /// The key in PKCS #8, as PEM.
    pub(crate) fn pem(&self) -> SecretString {
        self.0.serialize_pem().into()
    }

    /// The public key, in PEM.
    #[cfg(test)]
    pub(crate) fn public_pem(&self) -> String {
        self.0.public_key_pem()
    }

    pub(super) fn pair(&self) -> &KeyPair {
        &self.0
    }

    /// The public key as a certificate holds it, in DER.
    pub(super) fn public_der(&self) -> Vec<u8> {
        self.0.subject_public_key_info()
    }

    pub(super) fn is_rsa(&self) -> bool {
        self.0.is_compatible(&rcgen::PKCS_RSA_SHA256)
    }
}

fn generate(algorithm: &'static SignatureAlgorithm) -> Result<Key, String> {
    KeyPair::generate_for(algorithm)
        .map(|pair| Key(Zeroizing::new(pair)))
        .map_err(|error| error.to_string())
}

/// ring writes the second version of PKCS #8 (RFC 5958), which `OpenSSL` 3.0
/// can't read, so the first one (RFC 8410, section 7) is written here.
fn generate_ed25519() -> Result<Key, String> {
    const PREFIX: [u8; 16] = [
        0x30, 0x2e, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 4, 0x22, 4, 0x20,
    ];
    let mut der = Zeroizing::new([0; 48]);
    der[..16].copy_from_slice(&PREFIX);
    rand::rng().fill_bytes(&mut der[16..]);
    let pem = Zeroizing::new(super::issue::pem("PRIVATE KEY", &*der));
    KeyPair::from_pkcs8_pem_and_sign_algo(&pem, &rcgen::PKCS_ED25519)
        .map(|pair| Key(Zeroizing::new(pair)))
        .map_err(|error| error.to_string())
}

fn generate_rsa(bits: usize, is_over: &dyn Fn() -> bool) -> Result<Key, String> {
    let key =
        RsaPrivateKey::new(&mut Watched::new(is_over), bits).map_err(|error| error.to_string())?;
    let pem = key
        .to_pkcs8_pem(LineEnding::LF)
        .map_err(|error| error.to_string())?;
    KeyPair::from_pkcs8_pem_and_sign_algo(&pem, &rcgen::PKCS_RSA_SHA256)
        .map(|pair| Key(Zeroizing::new(pair)))
        .map_err(|error| error.to_string())
}
