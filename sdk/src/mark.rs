//! The owner's mark, as it stands on a server.
//!
//! One line of text, in whatever comment or description the server has for the
//! thing. Text of others may stand on other lines.

use std::collections::HashMap;
use std::fmt;

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::kind::Owner;

const PREFIX: &str = "nixops4-resources:";

/// Who manages a thing, as what, since when, and whether it is only kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mark {
    /// The deployment that it belongs to.
    pub owner: Owner,
    /// The resource type as which it is managed: what belongs to a
    /// `postgresql_tenant` is nobody's `postgresql_role`. A mark that doesn't
    /// say is of any.
    pub resource_type: Option<String>,
    /// Since when: it was made then, or taken over.
    pub since: Option<OffsetDateTime>,
    /// Since when it is out of service with its data kept, if it is.
    pub retained_since: Option<OffsetDateTime>,
}

impl Mark {
    /// The mark of a thing in service that is made or taken over now.
    #[must_use]
    pub fn new(owner: Owner, resource_type: &str) -> Self {
        Self {
            owner,
            resource_type: Some(resource_type.to_owned()),
            since: Some(now()),
            retained_since: None,
        }
    }

    /// This mark on a thing that is taken out of service now.
    #[must_use]
    pub fn retained_now(self) -> Self {
        Self {
            retained_since: Some(now()),
            ..self
        }
    }

    /// Whether both are of the same owner and the same resource type.
    #[must_use]
    pub fn is_of_same(&self, other: &Self) -> bool {
        let (one, another) = (&self.resource_type, &other.resource_type);
        self.owner == other.owner && (one.is_none() || another.is_none() || one == another)
    }

    /// What every mark of this owner has in it, for searching.
    #[must_use]
    pub fn trace(&self) -> String {
        format!("{PREFIX} owner={}", self.owner)
    }

    /// Finds the mark in a comment. A line that begins like one but can't be
    /// read is no mark: what it stands on is foreign.
    #[must_use]
    pub fn find_in(comment: &str) -> Option<Self> {
        comment.lines().find_map(Self::parse_line)
    }

    fn parse_line(line: &str) -> Option<Self> {
        let mut fields = HashMap::new();
        for field in line.strip_prefix(PREFIX)?.split_whitespace() {
            let (name, value) = field.split_once('=')?;
            // Two of a kind: somebody has put a mark together by hand. What a later
            // version adds is passed over.
            if fields.insert(name, value).is_some() {
                return None;
            }
        }
        let time = |name| match fields.get(name) {
            Some(text) => OffsetDateTime::parse(text, &Rfc3339).ok().map(Some),
            None => Some(None),
        };
        Some(Self {
            owner: Owner::try_from((*fields.get("owner")?).to_owned()).ok()?,
            resource_type: fields.get("type").map(|name| (*name).to_owned()),
            since: time("since")?,
            retained_since: time("retained-since")?,
        })
    }
}

/// Seconds are enough, and read better.
fn now() -> OffsetDateTime {
    let now = OffsetDateTime::now_utc();
    now.replace_nanosecond(0).unwrap_or(now)
}

impl fmt::Display for Mark {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.trace())?;
        if let Some(resource_type) = &self.resource_type {
            write!(out, " type={resource_type}")?;
        }
        for (name, time) in [
            ("since", self.since),
            ("retained-since", self.retained_since),
        ] {
            if let Some(time) = time {
                let time = time.format(&Rfc3339).map_err(|_| fmt::Error)?;
                write!(out, " {name}={time}")?;
            }
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
            "nixops4-resources: owner=demo since=once",
            "nixops4-resources: owner=démo",
        ] {
            assert_eq!(Mark::find_in(text), None, "{text}");
        }
    }

    #[test]
    fn beside_other_text() {
        let text = "the mail server's\nnixops4-resources: owner=demo shape=round\nask Ann";
        let mark = Mark::find_in(text).unwrap();
        assert_eq!(mark.owner, owner("demo"));
        assert_eq!((mark.resource_type, mark.since), (None, None));
    }

    #[test]
    fn whose_it_is() {
        let mark = |name, of| Mark::new(owner(name), of);
        let role = mark("demo", "test_role");
        assert!(role.is_of_same(&mark("demo", "test_role").retained_now()));
        assert!(!role.is_of_same(&mark("demo", "test_tenant")));
        assert!(!role.is_of_same(&mark("other", "test_role")));
        let any = Mark {
            resource_type: None,
            ..role.clone()
        };
        assert!(role.is_of_same(&any) && any.is_of_same(&role));
    }

    proptest! {
        #[test]
        fn round_trip(name in "[A-Za-z0-9][A-Za-z0-9._/-]{0,40}", retained: bool) {
            let mark = Mark::new(owner(&name), "test_thing");
            let mark = if retained { mark.retained_now() } else { mark };
            prop_assert_eq!(Mark::find_in(&mark.to_string()), Some(mark));
        }
    }
}
