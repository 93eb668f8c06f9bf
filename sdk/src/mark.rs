//! The owner's mark, as it stands on a server.
//!
//! One line of text, in whatever comment or description the server has for the
//! thing. Text of others may stand on other lines.

use std::fmt;

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::kind::Owner;

const PREFIX: &str = "nixops4-resources:";

/// Who made a thing, and whether it is only kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mark {
    /// The deployment that it belongs to.
    pub owner: Owner,
    /// Since when it is out of service with its data kept, if it is.
    pub retained_since: Option<OffsetDateTime>,
}

impl Mark {
    /// The mark of a thing in service.
    #[must_use]
    pub fn of(owner: Owner) -> Self {
        Self {
            owner,
            retained_since: None,
        }
    }

    /// The mark of a thing that is taken out of service now.
    #[must_use]
    pub fn retained_now(owner: Owner) -> Self {
        // Seconds are enough, and read better.
        let now = OffsetDateTime::now_utc();
        Self {
            owner,
            retained_since: Some(now.replace_nanosecond(0).unwrap_or(now)),
        }
    }

    /// Finds the mark in a comment. A line that begins like one but can't be
    /// read is no mark: what it stands on is foreign.
    #[must_use]
    pub fn find_in(comment: &str) -> Option<Self> {
        comment.lines().find_map(Self::parse_line)
    }

    fn parse_line(line: &str) -> Option<Self> {
        let mut owner = None;
        let mut retained_since = None;
        for field in line.strip_prefix(PREFIX)?.split_whitespace() {
            match field.split_once('=')? {
                // Two of a kind: somebody has put a mark together by hand.
                ("owner", _) if owner.is_some() => return None,
                ("retained-since", _) if retained_since.is_some() => return None,
                ("owner", value) => owner = Some(Owner::try_from(value.to_owned()).ok()?),
                ("retained-since", value) => {
                    retained_since = Some(OffsetDateTime::parse(value, &Rfc3339).ok()?);
                }
                // A later version may say more.
                _ => {}
            }
        }
        Some(Self {
            owner: owner?,
            retained_since,
        })
    }
}

impl fmt::Display for Mark {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{PREFIX} owner={}", self.owner)?;
        if let Some(since) = self.retained_since {
            let since = since.format(&Rfc3339).map_err(|_| fmt::Error)?;
            write!(out, " retained-since={since}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn owner(name: &str) -> Owner {
        Owner::try_from(name.to_owned()).unwrap()
    }

    #[test]
    fn what_is_no_mark() {
        for text in [
            "",
            "a comment",
            "nixops4-resources:",
            "nixops4-resources: retained-since=2026-01-01T00:00:00Z",
            "nixops4-resources: owner=",
            "nixops4-resources: owner=demo retained-since=yesterday",
            "xnixops4-resources: owner=demo",
            "nixops4-resources: owner=demo owner=other",
            "nixops4-resources: owner=demo loose",
            "nixops4-resources: owner=démo",
        ] {
            assert_eq!(Mark::find_in(text), None, "{text}");
        }
    }

    #[test]
    fn beside_other_text() {
        let text = "the mail server's\nnixops4-resources: owner=demo shape=round\nask Ann";
        assert_eq!(Mark::find_in(text), Some(Mark::of(owner("demo"))));
    }

    proptest! {
        #[test]
        fn round_trip(name in "[A-Za-z0-9][A-Za-z0-9._/-]{0,40}", retained: bool) {
            let mark = if retained {
                Mark::retained_now(owner(&name))
            } else {
                Mark::of(owner(&name))
            };
            prop_assert_eq!(Mark::find_in(&mark.to_string()), Some(mark));
        }
    }
}
