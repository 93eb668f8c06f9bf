//! What the environment of a process says: where the stores are, and which
//! identity opens them. It belongs to whoever runs a deployment, not to what is
//! deployed, so that no laptop's path gets into a state.

use std::collections::BTreeMap;

use crate::error::Error;
use crate::identity::Identities;
use crate::url::StoreUrl;

/// Maps the logical names of stores, and of back ends to obtain secrets from, to
/// their addresses: `NAME=ADDRESS`, several separated by white space.
pub const STORES_VARIABLE: &str = "NIXOPS4_SECRETS_STORES";
/// Names the file with the identity that opens the stores.
pub const IDENTITY_VARIABLE: &str = "NIXOPS4_SECRETS_IDENTITY";
/// Names the file that says by which keys stores are known, where that is not to stand
/// beside the identity.
pub const KNOWN_STORES_VARIABLE: &str = "NIXOPS4_SECRETS_KNOWN_STORES";

/// What is shown of a name that nobody knows, in characters.
const SHOWN: usize = 64;

/// The address of the store with that logical name. Fails with
/// [`Error::Environment`].
pub fn store_url(name: &str) -> Result<StoreUrl, Error> {
    let address = address(name, "sqlite:/path/to/secrets.db")?;
    address.parse().map_err(|error| unusable(name, &error))
}

/// The logical names of all stores that [`STORES_VARIABLE`] names. What only secrets are
/// obtained from is none.
pub fn stores() -> Result<Vec<String>, Error> {
    let is_store = |address: &String| address.parse::<StoreUrl>().is_ok();
    let stores = mapping()?
        .into_iter()
        .filter(|(_, address)| is_store(address));
    Ok(stores.map(|(name, _)| name).collect())
}

/// The identities that [`IDENTITY_VARIABLE`] names.
pub fn identities() -> Result<Identities, Error> {
    let path = std::env::var_os(IDENTITY_VARIABLE).filter(|path| !path.is_empty());
    let Some(path) = path else {
        return Err(Error::Environment(format!(
            "{IDENTITY_VARIABLE} is not set; set it to the file of the age identity or SSH key that \
             opens the store (`nixops4-resources-secrets keygen FILE` makes one)"
        )));
    };
    let known_stores = std::env::var_os(KNOWN_STORES_VARIABLE).filter(|path| !path.is_empty());
    match known_stores {
        Some(known_stores) => Identities::with_known_stores(&path, known_stores),
        None => Identities::from_file(&path),
    }
}

/// The address that a logical name stands for; `example` is for who has none.
pub(crate) fn address(name: &str, example: &str) -> Result<String, Error> {
    let mut stores = mapping()?;
    if let Some(address) = stores.remove(name) {
        return Ok(address);
    }
    let known: Vec<_> = stores.into_keys().collect();
    Err(unknown(name, &known, example))
}

fn mapping() -> Result<BTreeMap<String, String>, Error> {
    let mapping = std::env::var_os(STORES_VARIABLE).unwrap_or_default();
    let mapping = mapping
        .to_str()
        .ok_or_else(|| Error::Environment(format!("{STORES_VARIABLE} is not text in UTF-8")))?;
    parse(mapping)
}

/// The error for a name that stands for nothing. It ends with a line of its own
/// that says what to do.
fn unknown(name: &str, known: &[String], example: &str) -> Error {
    let name: String = name.chars().take(SHOWN).collect();
    let entry = format!("{name}={example}");
    let hint = if known.is_empty() {
        format!("{STORES_VARIABLE} names none; set {STORES_VARIABLE}={entry:?}")
    } else {
        let known = known.join(", ");
        format!("{STORES_VARIABLE} names {known}; name one of them, or add {entry:?} to it")
    };
    Error::Environment(format!("no secrets store is called {name:?}\nhint: {hint}"))
}

/// The error for an address that is none.
pub(crate) fn unusable(name: &str, error: &crate::Invalid) -> Error {
    Error::Environment(format!(
        "the address of {name:?} in {STORES_VARIABLE} cannot be used: {error}"
    ))
}

fn parse(mapping: &str) -> Result<BTreeMap<String, String>, Error> {
    let refuse = |problem: &str| {
        Error::Environment(format!(
            "{STORES_VARIABLE} {problem}; write {STORES_VARIABLE}=\"NAME=ADDRESS NAME=ADDRESS ...\""
        ))
    };
    let mut stores = BTreeMap::new();
    for entry in mapping.split_whitespace() {
        // An entry may be an address with a password in it: don't repeat it.
        let (name, address) = entry
            .split_once('=')
            .filter(|(name, _)| !name.is_empty() && !name.contains("://"))
            .ok_or_else(|| refuse("has an entry without a name"))?;
        if holds_another(address) {
            return Err(refuse(
                "has a comma where an entry ends: separate them by white space (a comma of an \
                 address is written %2C)",
            ));
        }
        if stores.insert(name.to_owned(), address.to_owned()).is_some() {
            return Err(refuse(&format!("names the store {name:?} twice")));
        }
    }
    Ok(stores)
}

/// Whether what follows the comma in an address is meant to be the next entry, or
/// nothing.
fn holds_another(address: &str) -> bool {
    let is_name = |text: &str| {
        let name = text.split_once('=').map(|(name, _)| name);
        name.is_some_and(|name| {
            let in_name = |c: char| c.is_alphanumeric() || "._-".contains(c);
            !name.is_empty() && name.chars().all(in_name)
        })
    };
    address.ends_with(',') || address.split(',').skip(1).any(is_name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stores_are_separated_by_white_space() {
        assert_eq!(parse("").unwrap().len(), 0);
        let stores = parse(" main=sqlite:/a=b\n team=sqlite:/c ").unwrap();
        assert_eq!(stores["main"], "sqlite:/a=b");
        assert_eq!(stores["team"], "sqlite:/c");
        // A comma may be part of an address.
        for address in ["sqlite:/a,b.db", "postgresql://a,b/x?options=-c%20a=b,c"] {
            assert_eq!(parse(&format!("main={address}")).unwrap()["main"], address);
        }
    }

    #[test]
    fn a_name_that_nobody_knows_ends_with_a_hint() {
        for (name, known, hint) in [
            (
                "x",
                vec!["main".to_owned(), "team".to_owned()],
                "NIXOPS4_SECRETS_STORES names main, team; name one of them, or add \
                 \"x=sqlite:/s\" to it",
            ),
            (
                "two\nlines",
                Vec::new(),
                "NIXOPS4_SECRETS_STORES names none; set \
                 NIXOPS4_SECRETS_STORES=\"two\\nlines=sqlite:/s\"",
            ),
        ] {
            let error = unknown(name, &known, "sqlite:/s").to_string();
            assert_eq!(
                error,
                format!("no secrets store is called {name:?}\nhint: {hint}")
            );
        }
    }

    #[test]
    fn names_that_are_given_twice_or_not_at_all() {
        for (mapping, problem) in [
            (
                "main=sqlite:/a main=sqlite:/b",
                "names the store \"main\" twice",
            ),
            ("=sqlite:/canary", "has an entry without a name"),
            (
                "main=sqlite:/canary,team=sqlite:/b",
                "separate them by white space",
            ),
            (
                "main=sqlite:/canary, team=sqlite:/b",
                "separate them by white space",
            ),
            ("main=sqlite:/canary,", "separate them by white space"),
            (
                "main=postgresql://u@canary/d,team-2=sqlite:/b",
                "separate them by white space",
            ),
            ("postgresql://u:canary@h/d", "has an entry without a name"),
            (
                "postgresql://u:canary@h/d?x=y",
                "has an entry without a name",
            ),
        ] {
            let error = parse(mapping).unwrap_err().to_string();
            assert!(
                error.contains(problem) && !error.contains("canary"),
                "{error}"
            );
        }
    }
}
