//! A state that is not where it was looked for: what is there is not known, and
//! nobody may take that for an empty one.

use std::fmt;

use super::Location;
use crate::member::MemberPath;

/// A state resource whose state was not found.
#[derive(Debug, Clone)]
pub(crate) struct Absent {
    pub(crate) path: MemberPath,
    place: String,
    /// Where the command runs, if that is where its path begins.
    from: Option<String>,
    /// Why it could not be read, if it may be there.
    reason: Option<String>,
    /// Whether it was only remembered that it is there.
    is_remembered: bool,
}

impl Absent {
    pub(super) fn new(location: &Location, reason: Option<String>) -> Self {
        let directory = || {
            let directory = std::env::current_dir().ok()?;
            Some(directory.display().to_string())
        };
        Self {
            path: location.label.clone(),
            place: location.told(),
            from: location.is_relative().then(directory).flatten(),
            reason,
            is_remembered: false,
        }
    }

    /// The same, of a place that nobody named but that was remembered.
    pub(crate) fn remembered(self) -> Self {
        Self {
            is_remembered: true,
            ..self
        }
    }
}

impl fmt::Display for Absent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            path, place, from, ..
        } = self;
        match &self.reason {
            Some(reason) => write!(
                f,
                "the state that '{path}' keeps could not be read ({place}): {reason}"
            )?,
            None => write!(
                f,
                "there is no state at {place}, where '{path}' keeps it: where there is none yet, \
                 apply makes it; otherwise see that the place is right, and its disk there"
            )?,
        }
        if let Some(from) = from {
            write!(
                f,
                ". A relative path begins where the command is run, which is {from}"
            )?;
        }
        if self.is_remembered {
            write!(
                f,
                ". It was there at the last apply from here; `nixops4-resources plan` finds out where \
                 it is now"
            )?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_says_where_and_what_to_do() {
        let said = |text: &str| {
            let location = Location::parse(text).unwrap();
            Absent::new(&location, None).to_string()
        };
        let absolute = said("sqlite:/mnt/shop.sqlite#shop");
        assert!(
            absolute.contains("at sqlite:/mnt/shop.sqlite#shop"),
            "{absolute}"
        );
        assert!(absolute.contains("apply makes it"), "{absolute}");
        assert!(!absolute.contains("relative"), "{absolute}");
        assert!(!absolute.contains("resources plan"), "{absolute}");
        let location = Location::parse("file:/shop.json#shop").unwrap();
        let remembered = Absent::new(&location, None).remembered().to_string();
        assert!(remembered.contains("resources plan"), "{remembered}");
        let relative = said("file:shop.json#shop");
        let here = std::env::current_dir().unwrap();
        assert!(
            relative.ends_with(&here.display().to_string()),
            "{relative}"
        );
        let other = said(r#"{"type": "state_postgresql", "inputs": {"deployment": "shop"}}"#);
        assert!(
            other.contains(r#"at {"type":"state_postgresql","inputs":{"deployment":"shop"}}"#),
            "{other}"
        );
    }
}
