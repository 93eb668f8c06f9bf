//! A file of sops that only given machines can open, as sops-nix installs it:
//! JSON, which is YAML as well. It knows no store and no provider.
//!
//! The format is that of `sops` itself: every value is encrypted with AES-256-GCM
//! under one data key, with its place in the document as associated data; the data
//! key is encrypted with age to each recipient; and a digest of all values,
//! encrypted like one of them, shows what was taken away or exchanged.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use aes_gcm::aead::AeadInPlace as _;
use aes_gcm::aead::consts::U32;
use aes_gcm::aes::Aes256;
use aes_gcm::{AesGcm, KeyInit as _};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use nixops4_provider_sdk::{Error, ExposeSecret as _, Result, SecretString};
use rand::Rng as _;
use serde::Serialize;
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha512};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use zeroize::Zeroizing;

use super::seal::{Recipients, armoured, pointer};

/// sops takes nonces of this size, in bytes.
const NONCE: usize = 32;
type Cipher = AesGcm<Aes256, U32>;

/// Where sops keeps its own part of a document.
const METADATA: &str = "sops";
/// What sops leaves in clear unless it is told otherwise.
const UNENCRYPTED: &str = "_unencrypted";
/// The version of sops whose format this is: it tells readers what to expect.
const VERSION: &str = "3.10.2";

/// Values by name. A name with slashes is a path, as sops-nix reads it.
enum Node<'a> {
    Value(&'a SecretString),
    Branch(BTreeMap<&'a str, Node<'a>>),
}

/// What sops keeps beside the values.
#[derive(Serialize)]
struct Metadata {
    age: Vec<DataKey>,
    lastmodified: String,
    mac: String,
    unencrypted_suffix: &'static str,
    version: &'static str,
}

/// The data key, for one recipient.
#[derive(Serialize)]
struct DataKey {
    recipient: String,
    enc: String,
}

/// Fails if these can't be the names of one document. Errors point into
/// `/secrets`.
pub(crate) fn check<'a>(names: impl IntoIterator<Item = &'a String>) -> Result<()> {
    let placeholder = SecretString::default();
    tree(names.into_iter().map(|name| (name, &placeholder))).map(drop)
}

/// Encrypts the values under their names. Each call gives another document.
pub(crate) fn seal(
    recipients: &Recipients,
    values: &BTreeMap<String, SecretString>,
    now: OffsetDateTime,
) -> Result<String> {
    let unable = |error: &dyn std::fmt::Display| {
        Error::input("/secrets", "unable to encrypt these").because(error)
    };
    let tree = tree(values)?;
    let mut key = Zeroizing::new([0; 32]);
    rand::rng().fill_bytes(&mut *key);
    let mut sealing = Sealing {
        cipher: Cipher::new((&*key).into()),
        digest: Sha512::new(),
    };
    let mut document = sealing.branch(&tree, "")?;
    // To the second: it is associated data, and has to read back as it was.
    let now = now.replace_nanosecond(0).map_err(|error| unable(&error))?;
    let lastmodified = now.format(&Rfc3339).map_err(|error| unable(&error))?;
    let digest = hex::encode_upper(sealing.digest.finalize());
    let data_key = |recipient: &age::x25519::Recipient| {
        Ok(DataKey {
            recipient: recipient.to_string(),
            enc: armoured(std::iter::once(recipient as _), &*key)?,
        })
    };
    let recipients = recipients.as_age()?;
    let metadata = Metadata {
        age: recipients.iter().map(data_key).collect::<Result<_>>()?,
        mac: encrypted(&sealing.cipher, &digest, &lastmodified)?,
        lastmodified,
        unencrypted_suffix: UNENCRYPTED,
        version: VERSION,
    };
    let metadata = serde_json::to_value(metadata).map_err(|error| unable(&error))?;
    document.insert(METADATA.to_owned(), metadata);
    let mut text = serde_json::to_string_pretty(&document).map_err(|error| unable(&error))?;
    text.push('\n');
    Ok(text)
}

/// Encrypts a document from its first value to its last.
struct Sealing {
    cipher: Cipher,
    digest: Sha512,
}

impl Sealing {
    /// `place` has a colon behind each key that leads to it.
    fn branch(&mut self, branch: &BTreeMap<&str, Node>, place: &str) -> Result<Map<String, Value>> {
        let mut sealed = Map::new();
        for (key, node) in branch {
            let place = format!("{place}{key}:");
            let value = match node {
                Node::Branch(branch) => Value::Object(self.branch(branch, &place)?),
                Node::Value(value) => {
                    let value = value.expose_secret();
                    self.digest.update(value);
                    Value::String(encrypted(&self.cipher, value, &place)?)
                }
            };
            sealed.insert((*key).to_owned(), value);
        }
        Ok(sealed)
    }
}

fn encrypted(cipher: &Cipher, value: &str, associated: &str) -> Result<String> {
    if value.is_empty() {
        // sops leaves it empty, and finds no ciphertext in it.
        return Ok(String::new());
    }
    let mut nonce = [0; NONCE];
    rand::rng().fill_bytes(&mut nonce);
    // Encrypted where it stands, so that nothing of it is left behind.
    let mut bytes = Zeroizing::new(value.as_bytes().to_vec());
    let tag = cipher
        .encrypt_in_place_detached((&nonce).into(), associated.as_bytes(), &mut bytes)
        .map_err(|_| Error::input("/secrets", "a value is too long for sops"))?;
    Ok(format!(
        "ENC[AES256_GCM,data:{},iv:{},tag:{},type:str]",
        STANDARD.encode(&*bytes),
        STANDARD.encode(nonce),
        STANDARD.encode(tag)
    ))
}

fn tree<'a>(
    values: impl IntoIterator<Item = (&'a String, &'a SecretString)>,
) -> Result<BTreeMap<&'a str, Node<'a>>> {
    let mut root = BTreeMap::new();
    for (name, value) in values {
        let placed = keys(name).and_then(|keys| place(&mut root, &keys, value));
        placed.map_err(|problem| {
            Error::input(pointer(name), problem)
                .hint("choose another name for it in `secrets`, or the format `age`")
        })?;
    }
    Ok(root)
}

/// The path that a name is.
fn keys(name: &str) -> Result<Vec<&str>, &'static str> {
    let keys: Vec<_> = name.split('/').collect();
    if keys.contains(&"") {
        return Err("sops-nix takes a name as a path, and a part of this one is empty");
    }
    if keys.first() == Some(&METADATA) {
        return Err("sops keeps data of its own under the name `sops`");
    }
    if keys.iter().any(|key| key.ends_with(UNENCRYPTED)) {
        return Err("sops takes what is called `..._unencrypted` as not encrypted");
    }
    Ok(keys)
}

fn place<'a>(
    branch: &mut BTreeMap<&'a str, Node<'a>>,
    path: &[&'a str],
    value: &'a SecretString,
) -> Result<(), &'static str> {
    const IN_THE_WAY: &str = "sops-nix takes a name as a path, and another secret is on this one";
    let Some((key, below)) = path.split_first() else {
        return Ok(());
    };
    match (branch.entry(key), below) {
        (Entry::Vacant(free), []) => {
            free.insert(Node::Value(value));
            Ok(())
        }
        (Entry::Vacant(free), below) => {
            let mut branch = BTreeMap::new();
            place(&mut branch, below, value)?;
            free.insert(Node::Branch(branch));
            Ok(())
        }
        (Entry::Occupied(mut taken), below) => match taken.get_mut() {
            Node::Branch(branch) if !below.is_empty() => place(branch, below, value),
            _ => Err(IN_THE_WAY),
        },
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use sha2::{Digest as _, Sha512};
    use ssh_key::private::KeypairData;

    use super::*;
    use crate::making::tools::{Bench, sops};
    use crate::making::{age_key, ssh};

    fn values(list: &[(&str, &str)]) -> BTreeMap<String, SecretString> {
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).into());
        list.iter().map(owned).collect()
    }

    fn sealed(keys: &[String], list: &[(&str, &str)]) -> String {
        let recipients = Recipients::read(keys).unwrap();
        seal(&recipients, &values(list), OffsetDateTime::now_utc()).unwrap()
    }

    /// What `ssh-to-age -private-key` prints, which sops-nix does at each
    /// activation: not by the point on the curve, but by the secret number.
    fn ssh_to_age(private: &str) -> String {
        let key = ssh_key::PrivateKey::from_openssh(private).unwrap();
        let KeypairData::Ed25519(pair) = key.key_data() else {
            panic!("another kind of key");
        };
        let number = &Sha512::digest(pair.private.to_bytes())[..32];
        let prefix = bech32::Hrp::parse("age-secret-key-").unwrap();
        bech32::encode_upper::<bech32::Bech32>(prefix, number).unwrap()
    }

    #[test]
    fn sops_opens_it_with_each_key() {
        let Some(sops) = sops() else { return };
        let bench = Bench::new();
        let host = ssh::make(ssh::KeyType::Ed25519, "root@host", &|| false).unwrap();
        let other = age_key::make();
        let converted = ssh_to_age(host.private.expose_secret());
        let number = "0012";
        let long = "a line\nand \"another\", \u{7f}\u{e9}\u{1f511}\t\n";
        let document = sealed(
            &[host.public.clone(), other.public.clone(), host.public],
            &[
                ("db", number),
                ("mail/relay", long),
                ("mail/box", "true"),
                ("nothing", ""),
                ("a/b/c", "deep"),
            ],
        );
        for value in [number, "a line", "deep"] {
            assert!(!document.contains(&format!("\"{value}")), "{document}");
        }
        let read: Value = serde_json::from_str(&document).unwrap();
        assert_eq!(read["sops"]["age"].as_array().unwrap().len(), 2);
        for file in ["sealed.json", "sealed.yaml"] {
            bench.file(file, &document);
        }
        for (name, key) in [
            ("host", converted.as_str()),
            ("age", other.private.expose_secret()),
        ] {
            let key = bench.file(name, key);
            let environment = [("SOPS_AGE_KEY_FILE", key.to_str().unwrap())];
            for file in ["sealed.json", "sealed.yaml"] {
                let arguments = ["--decrypt", "--output-type", "json", file];
                let output = bench.run_with(&sops, &arguments, "", &environment);
                let said = String::from_utf8_lossy(&output.stderr);
                assert!(output.status.success(), "{name} {file}: {said}");
                let opened: Value = serde_json::from_slice(&output.stdout).unwrap();
                let expected = serde_json::json!({
                    "a": {"b": {"c": "deep"}},
                    "db": number,
                    "mail": {"box": "true", "relay": long},
                    "nothing": "",
                });
                assert_eq!(opened, expected, "{name} {file}");
            }
        }
        // Nor does it open for anybody else, or when values have changed places.
        let stranger = age_key::make();
        let stranger = bench.file("stranger", stranger.private.expose_secret());
        let mut swapped = read;
        let (one, two) = (swapped["db"].clone(), swapped["mail"]["box"].clone());
        swapped["db"] = two;
        swapped["mail"]["box"] = one;
        bench.file("swapped.json", &swapped.to_string());
        let key = bench.path("age");
        for (file, key) in [("sealed.json", &stranger), ("swapped.json", &key)] {
            let environment = [("SOPS_AGE_KEY_FILE", key.to_str().unwrap())];
            let output = bench.run_with(&sops, &["--decrypt", file], "", &environment);
            assert!(!output.status.success(), "{file}");
        }
    }

    #[test]
    fn sops_goes_on_with_it() {
        let Some(sops) = sops() else { return };
        let bench = Bench::new();
        let key = age_key::make();
        let document = sealed(&[key.public], &[("db", "before"), ("mail", "stays")]);
        bench.file("sealed.json", &document);
        let key = bench.file("age", key.private.expose_secret());
        let environment = [("SOPS_AGE_KEY_FILE", key.to_str().unwrap())];
        for arguments in [
            &["set", "sealed.json", "[\"db\"]", "\"after\""][..],
            &["--decrypt", "sealed.json"],
        ] {
            let output = bench.run_with(&sops, arguments, "", &environment);
            let said = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success(), "{arguments:?}: {said}");
            if arguments.len() == 2 {
                let opened: Value = serde_json::from_slice(&output.stdout).unwrap();
                assert_eq!(opened, serde_json::json!({"db": "after", "mail": "stays"}));
            }
        }
    }

    #[test]
    fn an_ssh_key_is_the_age_key_that_opens_with_it() {
        let host = ssh::make(ssh::KeyType::Ed25519, "", &|| false).unwrap();
        let identity: age::x25519::Identity =
            ssh_to_age(host.private.expose_secret()).parse().unwrap();
        let recipients = Recipients::read(&[host.public]).unwrap().as_age().unwrap();
        assert_eq!(recipients[0].to_string(), identity.to_public().to_string());
    }

    #[test]
    fn who_cant_open_it() {
        let keys = [
            age_key::make().public,
            ssh::make(ssh::KeyType::Rsa3072, "", &|| false)
                .unwrap()
                .public,
        ];
        let error = Recipients::read(&keys).unwrap().as_age().err().unwrap();
        let error = error.to_string();
        assert!(error.starts_with("/recipients/1: "), "{error}");
        assert!(error.contains("RSA"), "{error}");
    }

    #[test]
    fn names_that_cant_be() {
        for (names, pointer, says) in [
            (&["sops"][..], "/secrets/sops: ", "data of its own"),
            (&["sops/db"], "/secrets/sops~1db: ", "data of its own"),
            (&["a//b"], "/secrets/a~1~1b: ", "is empty"),
            (&["/a"], "/secrets/~1a: ", "is empty"),
            (&[""], "/secrets/: ", "is empty"),
            (&["a", "a/b"], "/secrets/a~1b: ", "another secret"),
            (&["a/b", "a/b/c"], "/secrets/a~1b~1c: ", "another secret"),
            (
                &["x_unencrypted/y"],
                "/secrets/x_unencrypted~1y: ",
                "not encrypted",
            ),
        ] {
            let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
            let error = check(&names).unwrap_err().to_string();
            assert!(error.starts_with(pointer), "{error}");
            assert!(error.contains(says), "{error}");
        }
        let names = ["a/b", "a/c", "b", "x/sops"].map(str::to_owned);
        check(&names).unwrap();
    }
}
