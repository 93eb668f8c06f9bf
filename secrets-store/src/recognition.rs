//! Whether a store is the one that is known: the keys that are noted are held against
//! the key that is there and those that lead to it. Pure.

use time::format_description::well_known::Rfc3339;

use crate::error::Error;
use crate::known::Known;
use crate::succession::Fingerprint;
use crate::url::StoreUrl;

/// How a store stands to what is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Recognition {
    /// It has the key that is noted for its address, or one that follows it.
    Known,
    /// It is known under another address.
    Moved,
    /// It is an older copy of a store that is known.
    Older,
    /// Another one is known at its address.
    Another,
    /// Nothing is known of it, nor of its address.
    New,
}

/// A store that was held against what is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Recognised {
    pub(crate) as_what: Recognition,
    /// The keys that it is known by from now on, the oldest first. The present one is
    /// the last, unless it is refused.
    pub(crate) keys: Vec<Fingerprint>,
    /// What was known, of its address or of the store.
    pub(crate) known: Option<Known>,
}

/// What is noted for that address.
pub(crate) fn at<'a>(known: &'a [Known], address: &str) -> Option<&'a Known> {
    known.iter().find(|one| one.address == address)
}

/// Holds the keys that lead to the present one, the oldest first, against what is
/// known.
pub(crate) fn recognise(known: &[Known], address: &str, line: &[Fingerprint]) -> Recognised {
    let recognised = |as_what, known: &Known, keys| Recognised {
        as_what,
        keys,
        known: Some(known.clone()),
    };
    let is_older = |one: &&Known| line.last().is_some_and(|now| one.keys().contains(now));
    if let Some(here) = at(known, address) {
        return match follow(here.keys(), line) {
            Some(keys) => recognised(Recognition::Known, here, keys),
            None if is_older(&here) => recognised(Recognition::Older, here, line.to_vec()),
            None => recognised(Recognition::Another, here, line.to_vec()),
        };
    }
    let elsewhere = known.iter().find_map(|one| {
        let keys = follow(one.keys(), line)?;
        Some(recognised(Recognition::Moved, one, keys))
    });
    let older = || {
        let one = known.iter().find(is_older)?;
        Some(recognised(Recognition::Older, one, line.to_vec()))
    };
    elsewhere.or_else(older).unwrap_or_else(|| Recognised {
        as_what: Recognition::New,
        keys: line.to_vec(),
        known: None,
    })
}

/// The keys that were known and those that follow the last of them, if the line leads
/// over that one.
pub(crate) fn follow(known: &[Fingerprint], line: &[Fingerprint]) -> Option<Vec<Fingerprint>> {
    let last = known.last()?;
    let position = line.iter().position(|key| key == last)?;
    Some([known, &line[position + 1..]].concat())
}

/// The error for a store that is not the one that is known; none for one that is, or
/// may be.
pub(crate) fn refusal(url: &StoreUrl, recognised: &Recognised) -> Option<Error> {
    let store = url.to_string();
    let known = recognised.known.as_ref()?;
    let (found, last) = (*recognised.keys.last()?, *known.last()?);
    match recognised.as_what {
        Recognition::Another => Some(Error::AnotherStore {
            store,
            found,
            known: last,
            since: since(known),
        }),
        Recognition::Older => Some(Error::OlderStore {
            store,
            found,
            known: last,
        }),
        Recognition::Known | Recognition::Moved | Recognition::New => None,
    }
}

/// Since when it is known.
pub(crate) fn since(known: &Known) -> String {
    known.since.format(&Rfc3339).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use time::OffsetDateTime;

    use super::*;
    use crate::succession::Signer;

    fn key(seed: u8) -> Fingerprint {
        Signer::of(&[seed; 32]).public().fingerprint()
    }

    fn keys(seeds: &[u8]) -> Vec<Fingerprint> {
        seeds.iter().copied().map(key).collect()
    }

    /// What is known: at `/a` the keys 1, 2, 3, at `/b` the keys 5, 6.
    fn known() -> Vec<Known> {
        let at = |path: &str, seeds: &[u8]| {
            let url = format!("sqlite:{path}").parse().unwrap();
            Known::new(&url, OffsetDateTime::UNIX_EPOCH, &keys(seeds))
        };
        vec![at("/a", &[1, 2, 3]), at("/b", &[5, 6])]
    }

    #[test]
    fn what_a_line_of_keys_means() {
        use Recognition::{Another, Known, Moved, New, Older};
        for (address, line, as_what, known_by) in [
            ("/a", &[1, 2, 3][..], Known, &[1, 2, 3][..]),
            ("/a", &[3], Known, &[1, 2, 3]),
            ("/a", &[2, 3, 4, 7], Known, &[1, 2, 3, 4, 7]),
            // Somebody who could open it once made another one follow, or put the old
            // one back.
            ("/a", &[1, 2, 9], Another, &[1, 2, 9]),
            ("/a", &[1, 2], Older, &[1, 2]),
            ("/a", &[1], Older, &[1]),
            ("/a", &[9], Another, &[9]),
            // One that is known elsewhere in its place.
            ("/a", &[5, 6], Another, &[5, 6]),
            ("/c", &[5, 6], Moved, &[5, 6]),
            ("/c", &[6, 8], Moved, &[5, 6, 8]),
            ("/c", &[5], Older, &[5]),
            ("/c", &[9], New, &[9]),
        ] {
            let found = recognise(&known(), &format!("sqlite:{address}"), &keys(line));
            assert_eq!(found.as_what, as_what, "{address} {line:?}");
            assert_eq!(found.keys, keys(known_by), "{address} {line:?}");
            let url = "sqlite:/x".parse().unwrap();
            let is_refused = matches!(as_what, Another | Older);
            assert_eq!(refusal(&url, &found).is_some(), is_refused);
        }
    }
}
