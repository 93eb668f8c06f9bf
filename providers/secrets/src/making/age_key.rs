//! age identities.

use age::secrecy::ExposeSecret as _;
use nixops4_provider_sdk::SecretString;

/// An identity file's text, and the public key.
pub(crate) struct Made {
    pub(crate) private: SecretString,
    pub(crate) public: String,
}

/// Makes an X25519 identity. Its text is a whole identity file, as `age-keygen`
/// writes one.
pub(crate) fn make() -> Made {
    let identity = age::x25519::Identity::generate();
    let public = identity.to_public().to_string();
    let private = identity.to_string();
    Made {
        private: format!("{}\n", private.expose_secret()).into(),
        public,
    }
}

#[cfg(test)]
mod tests {
    use nixops4_provider_sdk::ExposeSecret as _;

    use super::*;
    use crate::making::tools::Bench;

    #[test]
    fn age_takes_it() {
        let (made, bench) = (make(), Bench::new());
        let file = bench.file("key", made.private.expose_secret());
        let file = file.to_str().unwrap();
        let public = bench.succeed("age-keygen", &["-y", file], "");
        assert_eq!(public.trim_end(), made.public);
        let sealed = bench.succeed("age", &["-a", "-r", &made.public], "hello");
        let opened = bench.succeed("age", &["-d", "-i", file], &sealed);
        assert_eq!(opened, "hello");
    }
}
