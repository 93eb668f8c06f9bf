//! SSH keys, in the `OpenSSH` form.

use nixops4_provider_sdk::{Error, Result, SecretString};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use ssh_key::private::{KeypairData, RsaKeypair};
use ssh_key::rand_core::OsRng;
use ssh_key::{Algorithm, EcdsaCurve, HashAlg, LineEnding, PrivateKey};

use super::watched::Watched;

/// What kind of key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) enum KeyType {
    /// Ed25519: small, fast, and known to every `OpenSSH` since 2014.
    Ed25519,
    /// ECDSA on the curve NIST P-256.
    EcdsaP256,
    /// ECDSA on the curve NIST P-384.
    EcdsaP384,
    /// ECDSA on the curve NIST P-521.
    EcdsaP521,
    /// RSA of 3072 bits.
    Rsa3072,
    /// RSA of 4096 bits.
    Rsa4096,
}

/// A pair of keys.
pub(crate) struct Made {
    /// The private key as `ssh-keygen` writes it, with the line end.
    pub(crate) private: SecretString,
    /// The public key as one line, without the line end.
    pub(crate) public: String,
    /// `SHA256:` and the digest in base64.
    pub(crate) fingerprint: String,
}

/// Makes a pair of keys. An RSA key takes seconds, and some minutes: in a thread of
/// its own it ends with that once it `is_over`.
pub(crate) fn make(key_type: KeyType, comment: &str, is_over: &dyn Fn() -> bool) -> Result<Made> {
    generate(key_type, comment, is_over)
        .map_err(|error| Error::new("unable to make an SSH key").because(error))
}

fn generate(key_type: KeyType, comment: &str, is_over: &dyn Fn() -> bool) -> ssh_key::Result<Made> {
    let random = &mut OsRng;
    let curve = |curve| Algorithm::Ecdsa { curve };
    let mut key = match key_type {
        KeyType::Ed25519 => PrivateKey::random(random, Algorithm::Ed25519),
        KeyType::EcdsaP256 => PrivateKey::random(random, curve(EcdsaCurve::NistP256)),
        KeyType::EcdsaP384 => PrivateKey::random(random, curve(EcdsaCurve::NistP384)),
        KeyType::EcdsaP521 => PrivateKey::random(random, curve(EcdsaCurve::NistP521)),
        KeyType::Rsa3072 => rsa(3072, is_over),
        KeyType::Rsa4096 => rsa(4096, is_over),
    }?;
    key.set_comment(comment);
    Ok(Made {
        private: key.to_openssh(LineEnding::LF)?.as_str().into(),
        public: key.public_key().to_openssh()?,
        fingerprint: key.fingerprint(HashAlg::Sha256).to_string(),
    })
}

fn rsa(bits: usize, is_over: &dyn Fn() -> bool) -> ssh_key::Result<PrivateKey> {
    let pair = RsaKeypair::random(&mut Watched::new(is_over), bits)?;
    PrivateKey::new(KeypairData::from(pair), "")
}

#[cfg(test)]
mod tests {
    use nixops4_provider_sdk::ExposeSecret as _;

    use super::*;
    use crate::making::tools::Bench;

    #[test]
    fn ssh_keygen_takes_each() {
        for (key_type, bits, name) in [
            (KeyType::Ed25519, "256", "(ED25519)"),
            (KeyType::EcdsaP256, "256", "(ECDSA)"),
            (KeyType::EcdsaP384, "384", "(ECDSA)"),
            (KeyType::EcdsaP521, "521", "(ECDSA)"),
            (KeyType::Rsa3072, "3072", "(RSA)"),
        ] {
            let made = make(key_type, "deploy@example.org", &|| false).unwrap();
            let bench = Bench::new();
            bench.file("key", made.private.expose_secret());
            let public = bench.succeed("ssh-keygen", &["-y", "-f", "key"], "");
            assert_eq!(public.trim_end(), made.public);
            bench.file("key.pub", &made.public);
            let shown = bench.succeed("ssh-keygen", &["-l", "-f", "key.pub"], "");
            assert_eq!(
                shown.trim_end(),
                format!("{bits} {} deploy@example.org {name}", made.fingerprint)
            );
            // And it signs what its public key verifies.
            let sign = ["-Y", "sign", "-f", "key", "-n", "file"];
            let signature = bench.succeed("ssh-keygen", &sign, "message");
            bench.file("signature", &signature);
            bench.file("allowed", &format!("me {}", made.public));
            let verify = [
                "-Y",
                "verify",
                "-f",
                "allowed",
                "-I",
                "me",
                "-n",
                "file",
                "-s",
                "signature",
            ];
            bench.succeed("ssh-keygen", &verify, "message");
        }
    }
}
