//! The public keys of a store, and which came after which. Each is derived from the
//! store's own secret key of its time, so that only who can open the store can say
//! what comes next: the old key signs the new one. Pure: it knows no database and no
//! files.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use ring::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::error::Invalid;

/// What a link is signed as.
const LINK: &str = "nixops4-secrets-store-succession 1";
/// How a fingerprint begins.
const SHA256: &str = "SHA256:";
/// More changes of its recipients than any store sees.
pub(crate) const MOST_LINKS: usize = 10_000;

/// A public key of a store, as much of it as people compare: `SHA256:` and the
/// digest in base64, as of an SSH key.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Fingerprint([u8; 32]);

impl fmt::Display for Fingerprint {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{SHA256}{}", STANDARD_NO_PAD.encode(self.0))
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, out)
    }
}

impl FromStr for Fingerprint {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let digest = text.strip_prefix(SHA256);
        let digest = digest.and_then(|text| STANDARD_NO_PAD.decode(text).ok());
        digest
            .and_then(|bytes| bytes.try_into().ok())
            .map(Self)
            .ok_or(Invalid::Fingerprint)
    }
}

impl TryFrom<String> for Fingerprint {
    type Error = Invalid;

    fn try_from(text: String) -> Result<Self, Invalid> {
        text.parse()
    }
}

impl From<Fingerprint> for String {
    fn from(fingerprint: Fingerprint) -> Self {
        fingerprint.to_string()
    }
}

/// How long a signature of Ed25519 is, in bytes.
const SIGNATURE: usize = 64;

/// What a store signs its next key with.
pub(crate) struct Signer(Ed25519KeyPair);

impl Signer {
    /// The one of this seed.
    pub(crate) fn of(seed: &[u8; 32]) -> Self {
        match Ed25519KeyPair::from_seed_unchecked(seed) {
            Ok(pair) => Self(pair),
            Err(_) => unreachable!("every 32 bytes are a seed"),
        }
    }

    pub(crate) fn public(&self) -> PublicKey {
        PublicKey(self.0.public_key().as_ref().to_vec())
    }

    /// Says which key comes next in the store `id`. Both sign it: the old one says what
    /// follows it, and the new one what it follows. With one signature alone, whoever
    /// can write could put a key of their own before all others.
    pub(crate) fn succeed(&self, id: &str, new: &Self) -> Link {
        let (old_key, new_key) = (self.public(), new.public());
        let text = text(id, &old_key, &new_key);
        let signed = [self.0.sign(&text), new.0.sign(&text)];
        Link {
            signature: signed.map(|one| one.as_ref().to_vec()).concat(),
            new: new_key,
            old: old_key,
        }
    }
}

/// A public key; from a database, it may be anything.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PublicKey(pub(crate) Vec<u8>);

impl PublicKey {
    pub(crate) fn fingerprint(&self) -> Fingerprint {
        Fingerprint(Sha256::digest(&self.0).into())
    }
}

/// That one key came after another.
#[derive(Debug, Clone)]
pub(crate) struct Link {
    pub(crate) new: PublicKey,
    pub(crate) old: PublicKey,
    pub(crate) signature: Vec<u8>,
}

impl Link {
    fn is_signed(&self, id: &str) -> bool {
        let Some((of_old, of_new)) = self.signature.split_at_checked(SIGNATURE) else {
            return false;
        };
        let text = text(id, &self.old, &self.new);
        [(&self.old, of_old), (&self.new, of_new)]
            .into_iter()
            .all(|(key, signature)| {
                let key = UnparsedPublicKey::new(&ED25519, &key.0);
                key.verify(&text, signature).is_ok()
            })
    }
}

/// What is signed. None of the parts can hold a line break, or have another length.
fn text(id: &str, old: &PublicKey, new: &PublicKey) -> Vec<u8> {
    let (old, new) = (hex::encode(&old.0), hex::encode(&new.0));
    format!("{LINK}\nstore {id}\nold {old}\nnew {new}\n").into_bytes()
}

/// The keys of the store `id` that lead to its present one, by signature, the oldest
/// first and the present one last. What doesn't lead there is passed over.
pub(crate) fn line(id: &str, links: &[Link], present: &PublicKey) -> Vec<Fingerprint> {
    let mut keys = vec![present.clone()];
    // Each key has one that comes before it. Who knows all of them can close a circle.
    while let Some(link) = keys.last().and_then(|key| before(links, key))
        && !keys.contains(&link.old)
        && link.is_signed(id)
    {
        keys.push(link.old.clone());
    }
    keys.iter().rev().map(PublicKey::fingerprint).collect()
}

fn before<'a>(links: &'a [Link], key: &PublicKey) -> Option<&'a Link> {
    links.iter().find(|link| link.new == *key)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "8f3c";

    fn signers() -> Vec<Signer> {
        (0..4).map(|number| Signer::of(&[number; 32])).collect()
    }

    fn prints(signers: &[&Signer]) -> Vec<Fingerprint> {
        let print = |signer: &&Signer| signer.public().fingerprint();
        signers.iter().map(print).collect()
    }

    #[test]
    fn each_key_leads_to_the_next() {
        let signers = signers();
        let [a, b, c, d] = &signers[..] else {
            unreachable!()
        };
        let ab = a.succeed(ID, b);
        let bc = b.succeed(ID, c);
        // In any order.
        let links = [bc.clone(), ab.clone()];
        assert_eq!(line(ID, &links, &c.public()), prints(&[a, b, c]));
        assert_eq!(line(ID, &links, &b.public()), prints(&[a, b]));
        assert_eq!(line(ID, &links, &d.public()), prints(&[d]));
        assert_eq!(line(ID, &[], &a.public()), prints(&[a]));
        // In a circle.
        let links = [ab.clone(), bc.clone(), c.succeed(ID, a)];
        assert_eq!(line(ID, &links, &c.public()), prints(&[a, b, c]));
        // Of another store.
        assert_eq!(
            line("other", std::slice::from_ref(&ab), &b.public()),
            prints(&[b])
        );
        // Signed by another key, for another one, or with anything.
        for link in [
            Link {
                signature: d.succeed(ID, b).signature,
                ..ab.clone()
            },
            Link {
                signature: a.succeed(ID, c).signature,
                ..ab.clone()
            },
            // By the old one alone: anybody could come before somebody else's key.
            Link {
                signature: [&ab.signature[..SIGNATURE], &ab.signature[..SIGNATURE]].concat(),
                ..ab.clone()
            },
            Link {
                signature: ab.signature[..SIGNATURE].to_vec(),
                ..ab.clone()
            },
            Link {
                old: PublicKey(vec![1, 2]),
                ..ab.clone()
            },
            Link {
                signature: Vec::new(),
                ..ab
            },
        ] {
            assert_eq!(line(ID, &[link], &b.public()), prints(&[b]));
        }
    }

    #[test]
    fn fingerprints_are_as_those_of_ssh() {
        let print = signers()[0].public().fingerprint();
        let text = print.to_string();
        assert!(text.starts_with("SHA256:") && text.len() == 50, "{text}");
        assert_eq!(text.parse(), Ok(print));
        for odd in [
            "",
            "SHA256:",
            "SHA256:AAAA",
            &text[7..],
            &format!("{text}="),
        ] {
            let error = odd.parse::<Fingerprint>().unwrap_err().to_string();
            assert!(error.contains("secret trust"), "{odd}: {error}");
        }
    }
}
