//! The envelope of one value, and the key that authenticates what the database
//! holds. Pure: bytes in, bytes out; it knows nothing of databases and files.
//!
//! Inside the age ciphertext there is text, so that a person with `age --decrypt`
//! can recover a value by hand:
//!
//! ```text
//! nixops4-secret 1
//! name mastodon/db
//! generation 2
//! id 8f3c...
//! tag HMAC-SHA256 of the lines above and the value, in hex
//!
//! the value
//! ```

use std::fmt;
use std::io::{Read, Write};

use hmac::{Hmac, KeyInit, Mac};
use secrecy::{ExposeSecret, ExposeSecretMut, SecretBox, SecretString};
use sha2::Sha256;
use zeroize::Zeroizing;

use crate::identity::Identities;
use crate::name::{Generation, SecretId, SecretName};
use crate::recipient::Recipient;

const VALUE: &str = "nixops4-secret 1";
const KEY: &str = "nixops4-secrets-store-key 1";
const RECIPIENTS: &str = "nixops4-secrets-recipients 1";
const TAG_LINE: &str = "tag ";

/// What a value is stored under.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Label<'a> {
    pub(crate) name: &'a SecretName,
    pub(crate) generation: Generation,
    pub(crate) id: SecretId,
}

impl Label<'_> {
    /// The lines above the tag. None of the parts can hold a line break.
    fn header(&self) -> String {
        let Self {
            name,
            generation,
            id,
        } = self;
        format!("{VALUE}\nname {name}\ngeneration {generation}\nid {id}\n")
    }
}

/// Why an envelope did not open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Unopened {
    /// It is encrypted to others, or its header was altered.
    NotForUs,
    /// It was altered, cut short, made up or moved: says how.
    Tampered(String),
}

impl Unopened {
    fn tampered(reason: &str) -> Self {
        Self::Tampered(reason.to_owned())
    }
}

impl fmt::Display for Unopened {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotForUs => "it does not decrypt with the identity that opens the store",
            Self::Tampered(reason) => reason,
        })
    }
}

/// The store's own key, known to those who can open the store. What carries its
/// tag was written by one of them. As long as a block of SHA-256, so that every
/// one is a key.
pub(crate) struct StoreKey(SecretBox<[u8; 64]>);

impl StoreKey {
    pub(crate) fn random() -> Self {
        let mut key = SecretBox::new(Box::new([0_u8; 64]));
        rand::fill(key.expose_secret_mut());
        Self(key)
    }

    fn mac(&self, parts: &[&[u8]]) -> Hmac<Sha256> {
        let mut mac = Hmac::<Sha256>::new(self.0.expose_secret().into());
        for part in parts {
            mac.update(part);
        }
        mac
    }

    /// The tag of the recipients of the store `id`, given in the order of their text.
    pub(crate) fn tag_recipients(&self, id: &str, recipients: &[Recipient]) -> Vec<u8> {
        let list = recipients_list(id, recipients);
        self.mac(&[list.as_bytes()])
            .finalize()
            .into_bytes()
            .to_vec()
    }

    pub(crate) fn made_recipients_tag(
        &self,
        tag: &[u8],
        id: &str,
        recipients: &[Recipient],
    ) -> bool {
        let list = recipients_list(id, recipients);
        self.mac(&[list.as_bytes()]).verify_slice(tag).is_ok()
    }
}

/// One per line; a recipient's text has no line break.
fn recipients_list(id: &str, recipients: &[Recipient]) -> String {
    let mut list = format!("{RECIPIENTS}\nstore {id}\n");
    for recipient in recipients {
        list.push_str(recipient.as_str());
        list.push('\n');
    }
    list
}

/// Encrypts a value under its label. The error is the library's reason.
pub(crate) fn seal(
    recipients: &[Recipient],
    key: &StoreKey,
    label: Label<'_>,
    value: &SecretString,
) -> Result<Vec<u8>, String> {
    let header = label.header();
    let value = value.expose_secret().as_bytes();
    let tag = key.mac(&[header.as_bytes(), value]).finalize().into_bytes();
    let tag_line = format!("{TAG_LINE}{}\n\n", hex::encode(tag));
    encrypt(recipients, &[header.as_bytes(), tag_line.as_bytes(), value])
}

/// Decrypts a value and holds it against the label that it was found under.
pub(crate) fn open(
    identities: &Identities,
    key: &StoreKey,
    label: Label<'_>,
    ciphertext: &[u8],
) -> Result<SecretString, Unopened> {
    let plain = decrypt(identities, ciphertext)?;
    let text = std::str::from_utf8(&plain)
        .map_err(|_| Unopened::tampered("what it decrypts to is not text"))?;
    let (header, tag, value) = split(text).ok_or_else(|| {
        Unopened::tampered("what it decrypts to is not an envelope that this program knows")
    })?;
    // The tag first: what an unauthenticated header says is not worth repeating.
    key.mac(&[header.as_bytes(), value.as_bytes()])
        .verify_slice(&tag)
        .map_err(|_| {
            Unopened::tampered("it was not encrypted by anybody who can open this store")
        })?;
    if header != label.header() {
        let other: Vec<&str> = header.lines().skip(1).collect();
        return Err(Unopened::Tampered(format!(
            "the row holds the value of another one ({})",
            other.join(", ")
        )));
    }
    Ok(SecretString::from(value))
}

/// Header, tag and value of an envelope's text.
fn split(text: &str) -> Option<(&str, Vec<u8>, &str)> {
    // The value may hold blank lines; the header cannot.
    let (head, value) = text.split_once("\n\n")?;
    let (_, tag) = head.rsplit_once('\n')?;
    let header = &head[..head.len() - tag.len()];
    let tag = hex::decode(tag.strip_prefix(TAG_LINE)?).ok()?;
    header
        .starts_with(&format!("{VALUE}\n"))
        .then_some((header, tag, value))
}

/// Encrypts the store's key. The error is the library's reason.
pub(crate) fn seal_key(recipients: &[Recipient], key: &StoreKey) -> Result<Vec<u8>, String> {
    let hex = Zeroizing::new(hex::encode(key.0.expose_secret()));
    encrypt(recipients, &[KEY.as_bytes(), b"\n", hex.as_bytes()])
}

/// Decrypts the store's key.
pub(crate) fn open_key(identities: &Identities, ciphertext: &[u8]) -> Result<StoreKey, Unopened> {
    let plain = decrypt(identities, ciphertext)?;
    let odd = || Unopened::tampered("what the store's key decrypts to is not one");
    let hex = plain
        .strip_prefix(KEY.as_bytes())
        .and_then(|rest| rest.strip_prefix(b"\n"))
        .ok_or_else(odd)?;
    let mut key = SecretBox::new(Box::new([0_u8; 64]));
    hex::decode_to_slice(hex, key.expose_secret_mut()).map_err(|_| odd())?;
    Ok(StoreKey(key))
}

fn encrypt(recipients: &[Recipient], parts: &[&[u8]]) -> Result<Vec<u8>, String> {
    let encryptor = age::Encryptor::with_recipients(recipients.iter().map(Recipient::key))
        .map_err(|error| error.to_string())?;
    let mut ciphertext = Vec::new();
    let mut writer = encryptor
        .wrap_output(&mut ciphertext)
        .map_err(|error| error.to_string())?;
    for part in parts {
        writer.write_all(part).map_err(|error| error.to_string())?;
    }
    writer.finish().map_err(|error| error.to_string())?;
    Ok(ciphertext)
}

fn decrypt(identities: &Identities, ciphertext: &[u8]) -> Result<Zeroizing<Vec<u8>>, Unopened> {
    let decryptor = age::Decryptor::new_buffered(ciphertext)
        .map_err(|_| Unopened::tampered("the ciphertext is not an intact age file"))?;
    let mut reader = decryptor
        .decrypt(identities.keys())
        .map_err(|error| match error {
            age::DecryptError::NoMatchingKeys => Unopened::NotForUs,
            _ => Unopened::tampered("the head of the ciphertext was altered"),
        })?;
    // Room for all of it at once: a buffer that grows leaves copies behind.
    let mut plain = Zeroizing::new(Vec::with_capacity(ciphertext.len()));
    reader
        .read_to_end(&mut plain)
        .map_err(|_| Unopened::tampered("the ciphertext was altered or cut short"))?;
    Ok(plain)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::generated;
    use proptest::prelude::*;

    const VALUE: &str = "canary-7391";

    struct World {
        identities: Identities,
        key: StoreKey,
        name: SecretName,
        id: SecretId,
    }

    impl World {
        fn new() -> Self {
            Self {
                identities: generated(),
                key: StoreKey::random(),
                name: "app/db".parse().unwrap(),
                id: SecretId::random(),
            }
        }

        fn label(&self) -> Label<'_> {
            Label {
                name: &self.name,
                generation: Generation::FIRST,
                id: self.id,
            }
        }

        fn seal(&self, value: &str) -> Vec<u8> {
            let value = SecretString::from(value);
            seal(
                self.identities.recipients(),
                &self.key,
                self.label(),
                &value,
            )
            .unwrap()
        }

        fn open(&self, ciphertext: &[u8]) -> Result<SecretString, Unopened> {
            open(&self.identities, &self.key, self.label(), ciphertext)
        }

        fn refused(&self, ciphertext: &[u8]) -> String {
            let refused = self.open(ciphertext).unwrap_err();
            assert!(!format!("{refused:?}").contains(VALUE), "{refused:?}");
            refused.to_string()
        }
    }

    #[test]
    fn each_flipped_bit_is_noticed() {
        let world = World::new();
        let sealed = world.seal(VALUE);
        assert_eq!(world.open(&sealed).unwrap().expose_secret(), VALUE);
        for at in 0..sealed.len() {
            let mut altered = sealed.clone();
            altered[at] ^= 1 << (at % 8);
            world.refused(&altered);
        }
    }

    #[test]
    fn each_truncation_is_noticed() {
        let world = World::new();
        let sealed = world.seal(VALUE);
        for length in 0..sealed.len() {
            world.refused(&sealed[..length]);
        }
        let longer = [sealed.as_slice(), b"x"].concat();
        assert!(world.refused(&longer).contains("altered or cut short"));
    }

    #[test]
    fn another_label_is_noticed_and_named() {
        let world = World::new();
        let sealed = world.seal(VALUE);
        let other: SecretName = "app/mail".parse().unwrap();
        let second = Generation::try_from(2).unwrap();
        let label = world.label();
        for label in [
            Label {
                name: &other,
                ..label
            },
            Label {
                generation: second,
                ..label
            },
            Label {
                id: SecretId::random(),
                ..label
            },
        ] {
            let refused = open(&world.identities, &world.key, label, &sealed).unwrap_err();
            let refused = refused.to_string();
            assert!(refused.contains("the value of another one"), "{refused}");
            let true_label = format!("name app/db, generation 1, id {}", world.id);
            assert!(refused.contains(&true_label), "{refused}");
        }
    }

    #[test]
    fn a_value_made_with_the_public_key_alone_is_noticed() {
        let world = World::new();
        let forged = seal(
            world.identities.recipients(),
            &StoreKey::random(),
            world.label(),
            &SecretString::from("mine"),
        )
        .unwrap();
        assert!(world.refused(&forged).contains("not encrypted by anybody"));
        for text in [
            "",
            "hello",
            "nixops4-secret 2\nname x\ntag 00\n\nv",
            "\n\n",
            "tag \n\n",
        ] {
            let forged = encrypt(world.identities.recipients(), &[text.as_bytes()]).unwrap();
            assert!(
                world.refused(&forged).contains("not an envelope"),
                "{text:?}"
            );
        }
        let forged = encrypt(world.identities.recipients(), &[b"\xff\n\n"]).unwrap();
        assert!(world.refused(&forged).contains("not text"));
    }

    #[test]
    fn others_cannot_open_it() {
        let world = World::new();
        let sealed = world.seal(VALUE);
        let other = open(&generated(), &world.key, world.label(), &sealed);
        assert_eq!(other.unwrap_err(), Unopened::NotForUs);
    }

    #[test]
    fn each_of_several_recipients_can_open_it() {
        let world = World::new();
        let (two, value) = (generated(), SecretString::from(VALUE));
        let recipients = [world.identities.recipients(), two.recipients()].concat();
        let sealed = seal(&recipients, &world.key, world.label(), &value).unwrap();
        for identities in [&world.identities, &two] {
            let opened = open(identities, &world.key, world.label(), &sealed).unwrap();
            assert_eq!(opened.expose_secret(), VALUE);
        }
    }

    #[test]
    fn the_store_key_opens_and_vouches_for_its_recipients_alone() {
        let world = World::new();
        let ours = world.identities.recipients();
        let sealed = seal_key(ours, &world.key).unwrap();
        let key = open_key(&world.identities, &sealed).unwrap();
        let tag = world.key.tag_recipients("a", ours);
        assert!(key.made_recipients_tag(&tag, "a", ours));
        assert!(!key.made_recipients_tag(&tag, "b", ours));
        assert!(!key.made_recipients_tag(&tag, "a", &[ours, generated().recipients()].concat()));
        assert!(!key.made_recipients_tag(&tag, "a", &[]));
        assert!(!StoreKey::random().made_recipients_tag(&tag, "a", ours));
        assert_eq!(
            open_key(&generated(), &sealed).err(),
            Some(Unopened::NotForUs)
        );
        // A value is no key, nor is a key that is too short.
        assert!(open_key(&world.identities, &world.seal(VALUE)).is_err());
        let short = encrypt(ours, &[KEY.as_bytes(), b"\n", b"00ff"]).unwrap();
        assert!(open_key(&world.identities, &short).is_err());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn any_value_comes_back(value in "(?s).{0,300}") {
            let world = World::new();
            let opened = world.open(&world.seal(&value)).unwrap();
            prop_assert_eq!(opened.expose_secret(), &value);
        }

        #[test]
        fn arbitrary_bytes_are_refused(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            prop_assert!(World::new().open(&bytes).is_err());
        }
    }
}
