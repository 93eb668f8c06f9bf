//! SCRAM-SHA-256 verifiers: the server gets one instead of the password, so that
//! the password is in no statement and in no log. RFC 5802; the text form is
//! that of `pg_authid.rolpassword`.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use nixops4_provider_sdk::{ExposeSecret as _, SecretString};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

/// Makes a verifier with a fresh salt.
pub(crate) fn verifier(password: &SecretString) -> SecretString {
    postgres_protocol::password::scram_sha_256(password.expose_secret().as_bytes()).into()
}

/// Whether a verifier on the server is one of this password. Anything that isn't
/// a SCRAM verifier, such as an MD5 hash, isn't.
pub(crate) fn matches(password: &SecretString, verifier: &str) -> bool {
    parse(verifier).is_some_and(|parsed| parsed.is_of(password))
}

struct Verifier {
    iterations: u32,
    salt: Vec<u8>,
    stored_key: Vec<u8>,
}

/// `SCRAM-SHA-256$ITERATIONS:SALT$STORED_KEY:SERVER_KEY`
fn parse(text: &str) -> Option<Verifier> {
    let mut parts = text.strip_prefix("SCRAM-SHA-256$")?.split(['$', ':']);
    let mut next = || parts.next();
    let iterations = next()?.parse().ok()?;
    let salt = STANDARD.decode(next()?).ok()?;
    let stored_key = STANDARD.decode(next()?).ok()?;
    Some(Verifier {
        iterations,
        salt,
        stored_key,
    })
}

impl Verifier {
    fn is_of(&self, password: &SecretString) -> bool {
        let password = password.expose_secret();
        // Like the server: what SASLprep can't take is used as it stands.
        let prepared = stringprep::saslprep(password).unwrap_or_else(|_| password.into());
        let salted: [u8; 32] = pbkdf2::pbkdf2_hmac_array::<Sha256, 32>(
            prepared.as_bytes(),
            &self.salt,
            self.iterations,
        );
        let Ok(mut client_key) = Hmac::<Sha256>::new_from_slice(&salted) else {
            return false;
        };
        client_key.update(b"Client Key");
        let stored_key = Sha256::digest(client_key.finalize().into_bytes());
        stored_key.as_slice().ct_eq(&self.stored_key).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_verifier_matches_its_password_alone() {
        for password in [
            "secret",
            "pässwörd",
            "with space ",
            "\u{ad}soft",
            "名前",
            "a'b\\c\"d$",
        ] {
            let verifier = verifier(&password.into());
            assert!(
                matches(&password.into(), verifier.expose_secret()),
                "{password}"
            );
            assert!(!matches(&"other".into(), verifier.expose_secret()));
        }
    }

    /// Made by a PostgreSQL 15 server for the password `pencil`.
    #[test]
    fn a_verifier_of_the_server() {
        let verifier = "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=";
        assert!(matches(&"pencil".into(), verifier));
        assert!(!matches(&"pencils".into(), verifier));
    }

    #[test]
    fn what_is_no_verifier() {
        for text in [
            "",
            "md5c4ca4238a0b923820dcc509a6f75849b",
            "SCRAM-SHA-256$x:y$z",
            "SCRAM-SHA-256$4096",
        ] {
            assert!(!matches(&"x".into(), text));
        }
    }
}
