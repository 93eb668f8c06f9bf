//! age ciphertext that only given machines can open.

use std::io::Write as _;

use age::armor::{ArmoredWriter, Format};
use bech32::Hrp;
use nixops4_provider_sdk::{Error, ExposeSecret as _, Result, SecretString};

/// What the text of an age public key begins with.
const AGE: Hrp = Hrp::parse_unchecked("age");

/// Who can open what is sealed.
pub(crate) struct Recipients(Vec<Recipient>);

struct Recipient {
    /// Without the comment of an SSH key.
    text: String,
    /// Which of the inputs it is.
    index: usize,
    key: Key,
}

enum Key {
    Age(age::x25519::Recipient),
    Ssh(age::ssh::Recipient),
}

impl Key {
    fn as_recipient(&self) -> &dyn age::Recipient {
        match self {
            Self::Age(key) => key,
            Self::Ssh(key) => key,
        }
    }
}

impl Recipients {
    /// Reads age and SSH public keys. Errors point into `/recipients`.
    pub(crate) fn read(keys: &[String]) -> Result<Self> {
        if keys.is_empty() {
            return Err(Error::input(
                "/recipients",
                "there is nobody who could open it; give at least one public key",
            ));
        }
        let read = keys.iter().enumerate();
        let mut recipients = read
            .map(|(index, key)| recipient(key, index))
            .collect::<Result<Vec<_>>>()?;
        recipients.sort_by(|one, other| one.text.cmp(&other.text));
        recipients.dedup_by(|one, other| one.text == other.text);
        Ok(Self(recipients))
    }

    /// Their keys without comments, sorted, each once: equal for lists that mean
    /// the same.
    pub(crate) fn canonical(&self) -> Vec<String> {
        self.0.iter().map(|one| one.text.clone()).collect()
    }

    /// Encrypts a value, as ASCII armour. Each call gives another ciphertext.
    pub(crate) fn seal(&self, value: &SecretString) -> Result<String> {
        let keys = self.0.iter().map(|one| one.key.as_recipient());
        armoured(keys, value.expose_secret().as_bytes())
    }

    /// Each as an age key, in the order of their text and each once: an SSH key of
    /// the kind Ed25519 is a point on the same curve as one of age's, and that is
    /// how sops-nix opens with it. Fails for an RSA key.
    pub(crate) fn as_age(&self) -> Result<Vec<age::x25519::Recipient>> {
        let as_age = |one: &Recipient| match &one.key {
            Key::Age(key) => Ok(key.clone()),
            Key::Ssh(age::ssh::Recipient::SshEd25519(_, point)) => {
                converted(&point.to_montgomery().to_bytes(), one.index)
            }
            Key::Ssh(age::ssh::Recipient::SshRsa(..)) => Err(refuse(
                one.index,
                "sops can't encrypt to an RSA key for sops-nix to open",
            )),
        };
        let mut keys = self.0.iter().map(as_age).collect::<Result<Vec<_>>>()?;
        keys.sort_by_cached_key(ToString::to_string);
        keys.dedup_by_key(|key| key.to_string());
        Ok(keys)
    }
}

/// Encrypts to all of them, as ASCII armour.
pub(super) fn armoured<'a>(
    keys: impl Iterator<Item = &'a dyn age::Recipient>,
    plain: &[u8],
) -> Result<String> {
    let unable = |error: &dyn std::fmt::Display| {
        Error::input("/recipients", "unable to encrypt for these").because(error)
    };
    let encryptor = age::Encryptor::with_recipients(keys).map_err(|error| unable(&error))?;
    let write = || -> std::io::Result<Vec<u8>> {
        let armour = ArmoredWriter::wrap_output(Vec::new(), Format::AsciiArmor)?;
        let mut writer = encryptor.wrap_output(armour)?;
        writer.write_all(plain)?;
        writer.finish()?.finish()
    };
    let bytes = write().map_err(|error| unable(&error))?;
    String::from_utf8(bytes).map_err(|error| unable(&error))
}

/// The age key on a point of its curve.
fn converted(point: &[u8; 32], index: usize) -> Result<age::x25519::Recipient> {
    let odd = || refuse(index, "this is not an SSH key that age could use");
    let text = bech32::encode::<bech32::Bech32>(AGE, point).map_err(|_| odd())?;
    text.parse().map_err(|_| odd())
}

fn refuse(index: usize, problem: &str) -> Error {
    Error::input(format!("/recipients/{index}"), problem).hint(
        "give an age public key (age1...), or an SSH public key of the kind ssh-ed25519 (or \
         ssh-rsa, for age files alone), such as `ssh-keyscan -t ed25519 HOST` prints",
    )
}

fn recipient(key: &str, index: usize) -> Result<Recipient> {
    let refuse = |problem| refuse(index, problem);
    let key = key.trim();
    if key.starts_with("AGE-SECRET-KEY-") || key.contains("PRIVATE KEY") {
        return Err(refuse(
            "this is a private key, which must not be known here",
        ));
    }
    if key.starts_with("age1") {
        let parsed: age::x25519::Recipient = key
            .parse()
            .map_err(|_| refuse("this is not an age public key that can be used"))?;
        return Ok(Recipient {
            text: parsed.to_string(),
            index,
            key: Key::Age(parsed),
        });
    }
    let parsed = key
        .parse()
        .map_err(|_| refuse("this is not a public key that can be encrypted to"))?;
    let text = key.split_whitespace().take(2).collect::<Vec<_>>().join(" ");
    Ok(Recipient {
        text,
        index,
        key: Key::Ssh(parsed),
    })
}

/// Where a secret that is to be sealed stands in the inputs.
pub(crate) fn pointer(name: &str) -> String {
    format!("/secrets/{}", name.replace('~', "~0").replace('/', "~1"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::making::tools::Bench;
    use crate::making::{age_key, ssh};

    #[test]
    fn age_opens_it_with_each_key() {
        let bench = Bench::new();
        let mut keys = Vec::new();
        for (name, key_type) in [
            ("ed25519", ssh::KeyType::Ed25519),
            ("rsa", ssh::KeyType::Rsa3072),
        ] {
            let made = ssh::make(key_type, "root@host", &|| false).unwrap();
            bench.file(name, made.private.expose_secret());
            keys.push(made.public);
        }
        let made = age_key::make();
        bench.file("age", made.private.expose_secret());
        keys.push(made.public);

        let recipients = Recipients::read(&keys).unwrap();
        let value = "line\nand another, ünicode\n";
        let sealed = recipients.seal(&value.into()).unwrap();
        assert!(sealed.starts_with("-----BEGIN AGE ENCRYPTED FILE-----\n"));
        for name in ["ed25519", "rsa", "age"] {
            let opened = bench.succeed("age", &["-d", "-i", name], &sealed);
            assert_eq!(opened, value, "{name}");
        }
        let stranger = age_key::make();
        bench.file("stranger", stranger.private.expose_secret());
        let refused = bench.run("age", &["-d", "-i", "stranger"], &sealed);
        assert!(!refused.status.success());
    }

    #[test]
    fn the_same_keys_in_any_spelling() {
        let one = ssh::make(ssh::KeyType::Ed25519, "a comment", &|| false)
            .unwrap()
            .public;
        let other = age_key::make().public;
        let bare = one.rsplit_once(" a comment").unwrap().0.to_owned();
        let read = |keys: &[&String]| {
            let keys: Vec<_> = keys.iter().map(|key| (*key).clone()).collect();
            Recipients::read(&keys).unwrap().canonical()
        };
        assert_eq!(read(&[&one, &other]), read(&[&other, &bare, &one]));
        assert_ne!(read(&[&one, &other]), read(&[&one]));
    }

    #[test]
    fn who_cant_open_anything() {
        let ecdsa = ssh::make(ssh::KeyType::EcdsaP256, "", &|| false)
            .unwrap()
            .public;
        let private = age_key::make().private;
        for (key, says) in [
            ("", "not a public key"),
            ("age1qqq", "not an age public key"),
            (&ecdsa, "not a public key that can be encrypted to"),
            (private.expose_secret(), "a private key"),
        ] {
            let error = Recipients::read(&[age_key::make().public, key.to_owned()]);
            let error = error.err().unwrap().to_string();
            assert!(error.starts_with("/recipients/1: "), "{error}");
            assert!(error.contains(says), "{error}");
            assert!(!error.contains("AGE-SECRET-KEY-"), "{error}");
        }
        let error = Recipients::read(&[]).err().unwrap().to_string();
        assert!(error.starts_with("/recipients: "), "{error}");
    }
}
