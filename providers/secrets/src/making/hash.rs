//! Hashes of passwords, as programs that log people in keep them.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use nixops4_provider_sdk::{Error, ExposeSecret as _, Result, SecretString};
use rand::Rng as _;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sha_crypt::{Params, PasswordHasher as _, PasswordVerifier as _, ShaCrypt};
use sha2::{Digest as _, Sha256};

/// How a password is hashed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Algorithm {
    /// `$2b$...`: for `NixOS`' `hashedPassword`, web servers and most
    /// applications. Passwords of at most 72 bytes.
    Bcrypt,
    /// `$6$...`: crypt(3) with SHA-512, for `NixOS`' `hashedPassword` and
    /// `/etc/shadow` everywhere.
    Sha512crypt,
    /// `SCRAM-SHA-256$...`: what `PostgreSQL` keeps of a role's password.
    ScramSha256,
}

/// What one algorithm costs.
struct Cost {
    default: u32,
    least: u32,
    most: u32,
    unit: &'static str,
}

impl Algorithm {
    const fn cost(self) -> Cost {
        match self {
            Self::Bcrypt => Cost {
                default: 12,
                least: 10,
                most: 18,
                unit: "doublings",
            },
            Self::Sha512crypt => Cost {
                default: 100_000,
                least: 5000,
                most: 10_000_000,
                unit: "rounds",
            },
            Self::ScramSha256 => Cost {
                default: 4096,
                least: 4096,
                most: 1_000_000,
                unit: "iterations",
            },
        }
    }

    /// The cost that is meant, and whether it can be used. Fails at `/cost`.
    pub(crate) fn cost_of(self, wanted: Option<u32>) -> Result<u32> {
        let cost = self.cost();
        let wanted = wanted.unwrap_or(cost.default);
        if (cost.least..=cost.most).contains(&wanted) {
            return Ok(wanted);
        }
        Err(Error::input(
            "/cost",
            format!(
                "{wanted} can't be used: this algorithm takes {} to {} {}, and {} if this isn't set",
                cost.least, cost.most, cost.unit, cost.default
            ),
        ))
    }
}

/// Hashes a password with a fresh salt. Fails at `/secret`.
pub(crate) fn make(algorithm: Algorithm, cost: u32, password: &SecretString) -> Result<String> {
    let password = password.expose_secret();
    if password.contains('\0') {
        return Err(Error::input(
            "/secret",
            "the password has a NUL character, at which programs in C would end it",
        ));
    }
    let unable =
        |cause: String| Error::input("/secret", "unable to hash the password").because(cause);
    match algorithm {
        Algorithm::Bcrypt if password.len() > 72 => Err(Error::input(
            "/secret",
            format!(
                "the password has {} bytes, and bcrypt leaves out all after 72",
                password.len()
            ),
        )
        .hint("take a shorter password, or another algorithm")),
        Algorithm::Bcrypt => {
            bcrypt::non_truncating_hash(password, cost).map_err(|error| unable(error.to_string()))
        }
        Algorithm::Sha512crypt => sha512(password, cost).map_err(unable),
        Algorithm::ScramSha256 => Ok(scram(password, cost, &salt())),
    }
}

/// Whether a hash is one of this password.
pub(crate) fn matches(password: &SecretString, hash: &str) -> bool {
    let password = password.expose_secret();
    if hash.starts_with("$2b$") {
        bcrypt::non_truncating_verify(password, hash).unwrap_or(false)
    } else if hash.starts_with("$6$") {
        let hasher = ShaCrypt::SHA512;
        hasher.verify_password(password.as_bytes(), hash).is_ok()
    } else {
        let mut parts = hash.splitn(3, ['$', ':']).skip(1);
        let cost = parts.next().and_then(|cost| cost.parse().ok());
        let salt = parts.next().and_then(|rest| rest.split('$').next());
        let salt = salt.and_then(|salt| STANDARD.decode(salt).ok());
        match (cost, salt) {
            // Neither is secret enough for the time to tell something: the whole
            // of it stands in an output.
            (Some(cost), Some(salt)) => scram(password, cost, &salt) == hash,
            _ => false,
        }
    }
}

fn salt() -> [u8; 16] {
    let mut salt = [0; 16];
    rand::rng().fill_bytes(&mut salt);
    salt
}

fn sha512(password: &str, rounds: u32) -> Result<String, String> {
    let params = Params::new(rounds).map_err(|error| error.to_string())?;
    // 12 bytes are the 16 characters that crypt(3) takes.
    let hash = ShaCrypt::new(sha_crypt::Algorithm::Sha512Crypt, params)
        .hash_password_with_salt(password.as_bytes(), &salt()[..12]);
    hash.map(|hash| hash.to_string())
        .map_err(|error| error.to_string())
}

/// `SCRAM-SHA-256$ITERATIONS:SALT$STORED_KEY:SERVER_KEY` (RFC 5802, as
/// `pg_authid.rolpassword` has it).
fn scram(password: &str, iterations: u32, salt: &[u8]) -> String {
    // Like the server: what SASLprep can't take is used as it stands.
    let prepared = stringprep::saslprep(password).unwrap_or_else(|_| password.into());
    let salted = pbkdf2::pbkdf2_hmac_array::<Sha256, 32>(prepared.as_bytes(), salt, iterations);
    let key = |label: &[u8]| {
        // HMAC takes a key of any length.
        let mut mac = Hmac::<Sha256>::new(&salted_block(&salted));
        mac.update(label);
        mac.finalize().into_bytes()
    };
    format!(
        "SCRAM-SHA-256${iterations}:{}${}:{}",
        STANDARD.encode(salt),
        STANDARD.encode(Sha256::digest(key(b"Client Key"))),
        STANDARD.encode(key(b"Server Key"))
    )
}

/// A key shorter than HMAC's block is filled up with zeros.
fn salted_block(salted: &[u8; 32]) -> hmac::digest::Key<Hmac<Sha256>> {
    let mut block = hmac::digest::Key::<Hmac<Sha256>>::default();
    block[..salted.len()].copy_from_slice(salted);
    block
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::making::tools::Bench;

    const CHEAP: [(Algorithm, u32); 3] = [
        (Algorithm::Bcrypt, 10),
        (Algorithm::Sha512crypt, 5000),
        (Algorithm::ScramSha256, 4096),
    ];

    #[test]
    fn a_hash_matches_its_password_alone() {
        for (algorithm, cost) in CHEAP {
            for password in ["correct horse", "pässwörd", "a'b\\c\"d$", "x"] {
                let hash = make(algorithm, cost, &password.into()).unwrap();
                assert!(matches(&password.into(), &hash), "{hash}");
                assert!(!matches(&"other".into(), &hash), "{hash}");
                assert_ne!(make(algorithm, cost, &password.into()).unwrap(), hash);
            }
        }
        assert!(!matches(&"x".into(), ""));
        assert!(!matches(&"x".into(), "SCRAM-SHA-256$"));
    }

    /// What logs people in on Linux.
    #[test]
    fn crypt_takes_them() {
        let bench = Bench::new();
        let script = "my ($p, $h) = map { chomp; $_ } <STDIN>; exit(crypt($p, $h) eq $h ? 0 : 1)";
        for (algorithm, cost) in [
            (Algorithm::Bcrypt, 10),
            (Algorithm::Sha512crypt, 5000),
            (Algorithm::Sha512crypt, 100_000),
        ] {
            let hash = make(algorithm, cost, &"correct horse".into()).unwrap();
            bench.succeed("perl", &["-e", script], &format!("correct horse\n{hash}\n"));
            let wrong = bench.run("perl", &["-e", script], &format!("wrong horse\n{hash}\n"));
            assert_eq!(wrong.status.code(), Some(1));
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
    fn what_cant_be_hashed() {
        let long = "x".repeat(73);
        for (algorithm, password, says) in [
            (Algorithm::Bcrypt, long.as_str(), "73 bytes"),
            (Algorithm::Bcrypt, "a\0b", "NUL"),
            (Algorithm::Sha512crypt, "a\0b", "NUL"),
        ] {
            let error = make(algorithm, algorithm.cost().default, &password.into());
            let error = error.unwrap_err().to_string();
            assert!(
                error.starts_with("/secret: ") && error.contains(says),
                "{error}"
            );
            assert!(!error.contains(password), "{error}");
        }
        for (algorithm, cost) in [
            (Algorithm::Bcrypt, 3),
            (Algorithm::Bcrypt, 31),
            (Algorithm::Sha512crypt, 999),
            (Algorithm::ScramSha256, 1),
        ] {
            let error = algorithm.cost_of(Some(cost)).unwrap_err().to_string();
            assert!(
                error.starts_with(&format!("/cost: {cost} can't")),
                "{error}"
            );
        }
        assert_eq!(Algorithm::Bcrypt.cost_of(None).unwrap(), 12);
    }
}
