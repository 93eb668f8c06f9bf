//! The envelope of one value, and the key that authenticates what the database
//! holds: the recipients, and what stands beside the values of a secret. Pure:
//! bytes in, bytes out; it knows nothing of databases and files.
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

use std::fmt::{self, Write as _};
use std::io::{Read as _, Write as _};

use hmac::{Hmac, KeyInit, Mac};
use secrecy::{ExposeSecret, ExposeSecretMut, SecretBox, SecretString};
use sha2::Sha256;
use time::OffsetDateTime;
use zeroize::Zeroizing;

use crate::entry::Entry;
use crate::identity::Identities;
use crate::name::{Generation, SecretId, SecretName};
use crate::recipient::Recipient;
use crate::succession::Signer;

const VALUE: &str = "nixops4-secret 1";
const KEY: &str = "nixops4-secrets-store-key 1";
const RECIPIENTS: &str = "nixops4-secrets-recipients 1";
const ENTRY: &str = "nixops4-secret-entry 1";
const SIGNER: &str = "nixops4-secrets-store-signer 1\n";
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

    /// What says which key comes after this one, and by whose public key the store is
    /// known: it tells nothing of this one.
    pub(crate) fn signer(&self) -> Signer {
        let seed: [u8; 32] = self
            .mac(&[SIGNER.as_bytes()])
            .finalize()
            .into_bytes()
            .into();
        Signer::of(&Zeroizing::new(seed))
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

    /// The tag of what the store `id` says of a secret beside its values.
    pub(crate) fn tag_entry(&self, id: &str, entry: &Entry) -> Vec<u8> {
        let text = entry_text(id, entry);
        self.mac(&[text.as_bytes()])
            .finalize()
            .into_bytes()
            .to_vec()
    }

    pub(crate) fn made_entry_tag(&self, tag: &[u8], id: &str, entry: &Entry) -> bool {
        let text = entry_text(id, entry);
        self.mac(&[text.as_bytes()]).verify_slice(tag).is_ok()
    }
}

/// All of an entry, each text with its length before it, so that nothing can be
/// taken for something else.
fn entry_text(store: &str, entry: &Entry) -> String {
    let mut text = format!("{ENTRY}\n");
    let mut add = |what: &str, value: &str| {
        // Writing to a string does not fail.
        let _ = writeln!(text, "{what} {}\n{value}", value.len());
    };
    let second = |time: OffsetDateTime| time.unix_timestamp().to_string();
    add("store", store);
    add("name", entry.name.as_str());
    add("owner", &entry.owner);
    add("kind", &entry.kind);
    add("created", &second(entry.created_at));
    if let Some(mark) = &entry.retained {
        add("retained by", &mark.by);
        add("retained since", &second(mark.since));
    }
    if let Some(mark) = &entry.rotation {
        add("rotation by", &mark.by);
        add("rotation since", &second(mark.since));
    }
    for version in &entry.generations {
        add("generation", &version.generation.to_string());
        add("id", &version.id.to_string());
        add("made", &second(version.created_at));
        if let Some(public_part) = &version.public_part {
            add("public", public_part);
        }
    }
    text
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
mod tests;
