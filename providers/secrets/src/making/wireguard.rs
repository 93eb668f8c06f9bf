//! `WireGuard` keys.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use nixops4_provider_sdk::SecretString;
use rand::Rng as _;
use x25519_dalek::{X25519_BASEPOINT_BYTES, x25519};
use zeroize::Zeroizing;

/// Both keys as `wg` writes them, in base64.
pub(crate) struct Made {
    pub(crate) private: SecretString,
    pub(crate) public: String,
}

/// Makes a pair of keys.
pub(crate) fn make() -> Made {
    let mut private = Zeroizing::new([0; 32]);
    rand::rng().fill_bytes(&mut *private);
    // As `wg genkey` does; X25519 itself does it whenever the key is used.
    private[0] &= 0b1111_1000;
    private[31] = (private[31] & 0b0111_1111) | 0b0100_0000;
    Made {
        private: STANDARD.encode(*private).into(),
        public: STANDARD.encode(x25519(*private, X25519_BASEPOINT_BYTES)),
    }
}

#[cfg(test)]
mod tests {
    use nixops4_provider_sdk::ExposeSecret as _;

    use super::*;
    use crate::making::tools::Bench;

    /// `OpenSSL` knows X25519: a key in its DER form is the same 32 bytes.
    #[test]
    fn openssl_finds_the_same_public_key() {
        let (made, bench) = (make(), Bench::new());
        let key = STANDARD.decode(made.private.expose_secret()).unwrap();
        let mut der = hex::decode("302e020100300506032b656e04220420").unwrap();
        der.extend(key);
        let pem = format!(
            "-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n",
            STANDARD.encode(der)
        );
        bench.file("key.pem", &pem);
        let public = ["pkey", "-in", "key.pem", "-pubout"];
        let public = bench.succeed("openssl", &public, "");
        let body: String = public
            .lines()
            .filter(|line| !line.starts_with('-'))
            .collect();
        let der = STANDARD.decode(body).unwrap();
        assert_eq!(STANDARD.encode(&der[der.len() - 32..]), made.public);
    }
}
