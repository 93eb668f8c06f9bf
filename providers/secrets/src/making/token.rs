//! Random tokens.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use nixops4_provider_sdk::SecretString;
use rand::Rng as _;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

/// How a token is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Encoding {
    /// Digits and a to f, two for each byte.
    Hex,
    /// RFC 4648 with padding.
    Base64,
    /// RFC 4648 for URLs and file names, without padding.
    Base64url,
    /// A random UUID (version 4), whatever `bytes` is.
    Uuid,
}

/// Makes a token of so many random bytes.
pub(crate) fn make(encoding: Encoding, bytes: usize) -> SecretString {
    if encoding == Encoding::Uuid {
        return uuid::Uuid::new_v4().to_string().into();
    }
    let mut random = Zeroizing::new(vec![0; bytes]);
    rand::rng().fill_bytes(&mut random);
    match encoding {
        Encoding::Hex => hex::encode(&*random),
        Encoding::Base64 => STANDARD.encode(&*random),
        Encoding::Base64url | Encoding::Uuid => URL_SAFE_NO_PAD.encode(&*random),
    }
    .into()
}

#[cfg(test)]
mod tests {
    use nixops4_provider_sdk::ExposeSecret as _;

    use super::*;

    #[test]
    fn each_encoding_holds_the_bytes() {
        for bytes in [16, 17, 32, 1024] {
            let made = |encoding| make(encoding, bytes).expose_secret().to_owned();
            assert_eq!(hex::decode(made(Encoding::Hex)).unwrap().len(), bytes);
            assert_eq!(
                STANDARD.decode(made(Encoding::Base64)).unwrap().len(),
                bytes
            );
            let url = made(Encoding::Base64url);
            assert_eq!(URL_SAFE_NO_PAD.decode(&url).unwrap().len(), bytes);
            assert!(!url.contains(['+', '/', '=']), "{url}");
            let uuid: uuid::Uuid = made(Encoding::Uuid).parse().unwrap();
            assert_eq!(uuid.get_version_num(), 4);
        }
    }

    #[test]
    fn no_two_are_alike() {
        for encoding in [Encoding::Hex, Encoding::Uuid] {
            let made: std::collections::BTreeSet<_> = (0..1000)
                .map(|_| make(encoding, 16).expose_secret().to_owned())
                .collect();
            assert_eq!(made.len(), 1000);
        }
    }
}
