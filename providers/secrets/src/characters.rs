//! Which characters a password is made of. It knows no store.

use std::collections::BTreeSet;

use nixops4_provider_sdk::{Error, Result, SecretString};
use rand::seq::{IndexedRandom as _, SliceRandom as _};

const LOWER: &str = "abcdefghijklmnopqrstuvwxyz";
const UPPER: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZ";
const DIGITS: &str = "0123456789";

/// One class: its characters, and how many there have to be at least.
struct Class {
    characters: Vec<char>,
    minimum: u32,
}

/// The classes of a password and its length.
pub(crate) struct Recipe {
    classes: Vec<Class>,
    length: u32,
}

/// What the author asks of one class.
pub(crate) struct Wanted<'a> {
    /// JSON pointer to the minimum, for errors.
    pub(crate) pointer: &'static str,
    /// Whether its characters are used.
    pub(crate) used: bool,
    /// How many there have to be at least.
    pub(crate) minimum: u32,
    /// Its characters.
    pub(crate) characters: &'a str,
}

impl<'a> Wanted<'a> {
    pub(crate) fn lower(used: bool, minimum: u32) -> Self {
        Self {
            pointer: "/minLower",
            used,
            minimum,
            characters: LOWER,
        }
    }

    pub(crate) fn upper(used: bool, minimum: u32) -> Self {
        Self {
            pointer: "/minUpper",
            used,
            minimum,
            characters: UPPER,
        }
    }

    pub(crate) fn digits(used: bool, minimum: u32) -> Self {
        Self {
            pointer: "/minDigits",
            used,
            minimum,
            characters: DIGITS,
        }
    }

    pub(crate) fn symbols(used: bool, minimum: u32, characters: &'a str) -> Self {
        Self {
            pointer: "/minSymbols",
            used,
            minimum,
            characters,
        }
    }
}

impl Recipe {
    /// Checks that such a password can be made.
    pub(crate) fn new(length: u32, wanted: &[Wanted<'_>]) -> Result<Self> {
        let mut classes = Vec::new();
        for class in wanted {
            if !class.used {
                if class.minimum > 0 {
                    return Err(Error::input(
                        class.pointer,
                        "at least so many characters of a class that isn't used can't be had; set \
                         this to 0, or use the class",
                    ));
                }
                continue;
            }
            // A character that stands there twice would be twice as likely.
            let characters: BTreeSet<char> = class.characters.chars().collect();
            if characters.is_empty() {
                return Err(Error::input(
                    "/symbolSet",
                    "this has no character to choose from",
                ));
            }
            let characters = characters.into_iter().collect();
            classes.push(Class {
                characters,
                minimum: class.minimum,
            });
        }
        if classes.is_empty() {
            return Err(Error::input(
                "/lower",
                "no class of characters is used; set at least one of lower, upper, digits and symbols",
            ));
        }
        let least: u64 = classes.iter().map(|class| u64::from(class.minimum)).sum();
        if least > u64::from(length) {
            return Err(Error::input(
                "/length",
                format!(
                    "{length} is too short for the {least} characters that the minimums ask for"
                ),
            ));
        }
        Ok(Self { classes, length })
    }

    /// Makes a password, from the operating system's randomness.
    pub(crate) fn make(&self) -> SecretString {
        let mut random = rand::rng();
        let all: Vec<char> = self
            .classes
            .iter()
            .flat_map(|class| class.characters.iter().copied())
            .collect();
        let mut characters: Vec<char> = Vec::with_capacity(self.length as usize);
        for class in &self.classes {
            for _ in 0..class.minimum {
                characters.extend(class.characters.choose(&mut random));
            }
        }
        while characters.len() < self.length as usize {
            characters.extend(all.choose(&mut random));
        }
        characters.shuffle(&mut random);
        characters.into_iter().collect::<String>().into()
    }
}

#[cfg(test)]
mod tests {
    use nixops4_provider_sdk::ExposeSecret as _;
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn has_what_was_asked_for(
            lower in 0u32..10, upper in 0u32..10, digits in 0u32..10, symbols in 0u32..10,
            more in 0u32..30,
        ) {
            let length = lower + upper + digits + symbols + more;
            prop_assume!(length > 0);
            let recipe = Recipe::new(length, &[
                Wanted::lower(true, lower),
                Wanted::upper(true, upper),
                Wanted::digits(digits > 0, digits),
                Wanted::symbols(symbols > 0, symbols, "-+-"),
            ]).unwrap();
            let password = recipe.make();
            let count = |fits: fn(char) -> bool| {
                u32::try_from(password.expose_secret().chars().filter(|c| fits(*c)).count()).unwrap()
            };
            prop_assert_eq!(count(|_| true), length);
            prop_assert!(count(|c| c.is_ascii_lowercase()) >= lower);
            prop_assert!(count(|c| c.is_ascii_uppercase()) >= upper);
            prop_assert!(count(|c| c.is_ascii_digit()) >= digits);
            prop_assert!(count(|c| "-+".contains(c)) >= symbols);
            if digits == 0 {
                prop_assert_eq!(count(|c| c.is_ascii_digit()), 0);
            }
        }
    }

    #[test]
    fn no_two_are_alike() {
        let recipe = Recipe::new(16, &[Wanted::lower(true, 0)]).unwrap();
        let made: BTreeSet<_> = (0..1000)
            .map(|_| recipe.make().expose_secret().to_owned())
            .collect();
        assert_eq!(made.len(), 1000);
    }

    #[test]
    fn what_cant_be_made() {
        for (length, wanted, pointer) in [
            (8, vec![], "/lower"),
            (8, vec![Wanted::lower(false, 0)], "/lower"),
            (8, vec![Wanted::digits(false, 1)], "/minDigits"),
            (
                8,
                vec![Wanted::lower(true, 5), Wanted::upper(true, 4)],
                "/length",
            ),
            (
                8,
                vec![Wanted::lower(true, u32::MAX), Wanted::upper(true, u32::MAX)],
                "/length",
            ),
            (8, vec![Wanted::symbols(true, 1, "")], "/symbolSet"),
        ] {
            let error = Recipe::new(length, &wanted).err().unwrap().to_string();
            assert!(error.starts_with(&format!("{pointer}: ")), "{error}");
        }
    }
}
